"""Joints of a MuJoCo model file, in the order of its state vector: enough to name a recording without a simulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from invdyn.episodes.formats.foreign import complaint

__all__ = ["Joint", "joints"]

POSITIONS = {"hinge": 1, "slide": 1, "ball": 4, "free": 7}
VELOCITIES = {"hinge": 1, "slide": 1, "ball": 3, "free": 6}
LARGEST = 16 * 2**20  # bytes of a model file; real ones are some 10 kB


@dataclass(frozen=True)
class Joint:
    """One joint: `kind` is hinge, slide, ball or free; `low`, `high` are its limits (rad or m), None without."""

    name: str
    kind: str
    low: float | None = None
    high: float | None = None

    @property
    def nq(self) -> int:
        return POSITIONS[self.kind]

    @property
    def nv(self) -> int:
        return VELOCITIES[self.kind]

    @property
    def position_names(self) -> list[str]:
        """Component names in qpos; quaternions are scalar first."""
        parts = {"ball": ["qw", "qx", "qy", "qz"], "free": ["x", "y", "z", "qw", "qx", "qy", "qz"]}
        return [f"{self.name}.{p}" for p in parts.get(self.kind, ["pos"])]

    @property
    def velocity_names(self) -> list[str]:
        """Component names in qvel; the angular part of ball and free joints is in the body's own frame."""
        parts = {"ball": ["wx", "wy", "wz"], "free": ["vx", "vy", "vz", "wx", "wy", "wz"]}
        return [f"{self.name}.{p}" for p in parts.get(self.kind, ["vel"])]


def joints(path: Path) -> list[Joint]:
    """The joints in document order, which is their order in qpos and qvel.

    Handles what compiled robosuite models use: explicit joints, `freejoint`, the default type hinge. A model
    with `<include>` or `<default>` classes for joints is refused rather than misread.

    Raises:
        FormatError: not an MJCF file, an unknown joint type, or a feature above.
    """
    remedy = "Pass the model file that was saved with the recording."
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path.stat().st_size} bytes")
        text = path.read_text("utf-8")
        if "<!ENTITY" in text or "<!DOCTYPE" in text:  # entity expansion can exhaust the memory
            raise ValueError("it declares XML entities")
        root = ElementTree.fromstring(text)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise complaint(path, f"the model cannot be read ({error})", expected="an MJCF file", remedy=remedy) from None
    unsupported = root.find(".//include") is not None or root.find(".//default//joint[@type]") is not None
    if root.tag != "mujoco" or root.find("worldbody") is None or unsupported:
        raise complaint(
            path,
            f"root element <{root.tag}>" + (" with includes or joint defaults" if unsupported else ""),
            expected="one complete <mujoco> model with a <worldbody>",
            remedy=remedy,
        )
    degrees = root.find("compiler") is None or root.find("compiler").get("angle", "degree") == "degree"  # type: ignore[union-attr]
    found: list[Joint] = []
    for body in root.find("worldbody").iter("body"):  # type: ignore[union-attr] # depth first, as MuJoCo compiles it
        for element in body:
            if element.tag not in ("joint", "freejoint"):
                continue
            kind = "free" if element.tag == "freejoint" else element.get("type", "hinge")
            if kind not in POSITIONS:
                raise complaint(path, f"joint type {kind!r}", expected=f"one of {', '.join(POSITIONS)}", remedy=remedy)
            # robosuite leaves the free joint of an object unnamed or names it after the body
            name = element.get("name") or body.get("name") or f"joint{len(found)}"
            low, high = None, None
            if element.get("range") and element.get("limited", "true") == "true":
                scale = 3.141592653589793 / 180 if degrees and kind == "hinge" else 1.0
                low, high = (float(v) * scale for v in element.get("range", "").split())
            found.append(Joint(name, kind, low, high))
    return found
