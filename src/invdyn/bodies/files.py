"""`load_model`: a `BodyModel` from a URDF, MJCF or OpenSim file, told apart by the root element, or a character's."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from invdyn.bodies.character import read_character
from invdyn.bodies.mjcf import read_mjcf
from invdyn.bodies.model import BodyModel
from invdyn.bodies.osim import read_osim
from invdyn.bodies.urdf import read_urdf
from invdyn.bodies.xml_reading import quoted, read_xml
from invdyn.episodes.formats.foreign import complaint
from invdyn.errors import ConfigError

__all__ = ["FORMATS", "load_model", "model_format"]

FORMATS = {"robot": "URDF", "mujoco": "MJCF", "OpenSimDocument": "OSIM"}
"""Root element -> format."""


def model_format(path: Path | str) -> str:
    """URDF, MJCF, OSIM, or DeepMimic (a character, which is no XML but JSON).

    Raises:
        FormatError: neither XML nor JSON, or another root element.
    """
    if _is_json(path):
        return "DeepMimic"
    document = read_xml(path)
    tag = str(document.root.tag)
    if tag not in FORMATS:
        raise complaint(
            Path(path),
            f"root element {quoted(tag)}",
            expected=" or ".join(f"<{t}> ({f})" for t, f in FORMATS.items()),
            remedy="Pass a model file.",
        )
    return FORMATS[tag]


def _is_json(path: Path | str) -> bool:
    """Whether the file begins as a JSON object; what cannot be read is left to others to complain about."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(64).lstrip()[:1] == b"{"
    except OSError:
        return False


def load_model(
    path: Path | str,
    root: str | None = None,
    mimic: bool = True,
    ignore: Collection[str] = (),
    geometry: bool = True,
) -> BodyModel:
    """Read a model file.

    Args:
        path: of the file.
        root: URDF only, which does not say how the robot stands: fixed (as None), free, or planar.
        mimic: URDF only; see `read_urdf`.
        ignore, geometry: MJCF only; see `read_mjcf`.

    Raises:
        FormatError: the file is broken, or has elements we do not know; names the file and the line.
        ConfigError: an option that does not go with the format.
        MissingExtraError: lxml, or for MJCF mujoco, is not installed.
    """
    kind = model_format(path)
    given = {"root": root is not None, "mimic": not mimic, "ignore": bool(ignore), "geometry": not geometry}
    allowed = {"URDF": ("root", "mimic"), "MJCF": ("ignore", "geometry")}.get(kind, ())
    wrong = [name for name, is_given in given.items() if is_given and name not in allowed]
    if wrong:
        raise ConfigError(
            f"{path}: option {wrong[0]} does not go with {kind} files; they take "
            f"{' and '.join(allowed) or 'no options'}. Leave {wrong[0]}= out."
        )
    if kind == "URDF":
        return read_urdf(path, "fixed" if root is None else root, mimic)
    if kind == "MJCF":
        return read_mjcf(path, ignore, geometry)
    return read_character(path) if kind == "DeepMimic" else read_osim(path)
