"""MJCF files compiled by MuJoCo, after a look at what would make its compiler hang or fill the memory.

MuJoCo's own reader is robust against damaged text, but believes every count: `<replicate count="10000000">` runs for
minutes, `<size nkey="1000000000">` takes all memory. So sizes are bounded before it sees the file and what it includes.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from invdyn.bodies.xml_reading import XmlDocument, quoted, read_xml, short
from invdyn.episodes.formats.foreign import complaint
from invdyn.errors import FormatError, require

__all__ = ["compile_mjcf", "compile_xml"]

MOST = {
    ("replicate", "count"): 10_000,
    ("composite", "count"): 10_000,
    ("flexcomp", "count"): 10_000,
    ("hfield", "nrow ncol"): 2**22,
    ("texture", "width height"): 2**24,
    ("mesh", "params"): 2**16,
    ("numeric", "size"): 2**20,
}
"""Product of the numbers in these attributes; of nested replicates together."""
MOST_SIZE, MOST_INCLUDES = 10**6, 100
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
MOST_MEMORY = 2**30
NAMES = ("name", "class", "childclass", "file", "mesh", "material", "texture", "prefix", "suffix")
WITHOUT_GEOMETRY = ("asset", "sensor", "contact", "deformable", "visual")


def compile_mjcf(path: Path | str, geometry: bool = True) -> tuple[Any, XmlDocument]:
    """A compiled `mujoco.MjModel`, and the document, which knows lines.

    Args:
        path: of the file.
        geometry: False leaves meshes, textures, sensors, and the geoms of bodies that state their inertia, out: for
            models whose mesh files are not at hand.

    Raises:
        FormatError: unsafe or broken XML, absurd sizes, or whatever MuJoCo refuses, in its words.
        MissingExtraError: mujoco or lxml is not installed.
    """
    path = Path(path)
    document = read_xml(path, remedy="Correct the MJCF file.")
    if document.root.tag not in ("mujoco", "mujocoinclude"):
        raise document.error(document.root, f"root element {quoted(document.root.tag)}", "<mujoco>")
    _look_at(document, path.resolve().parent, {path.resolve()}, expand=not geometry)
    if geometry:
        return _told(path, "from_xml_path", str(path)), document
    _strip(document)
    text = require("lxml.etree", "bodies").tostring(document.root, encoding="unicode")
    return _told(path, "from_xml_string", text), document


def compile_xml(text: str, name: str = "model.xml") -> Any:
    """A compiled `mujoco.MjModel` of a text of our own; `name` is for messages."""
    return _told(Path(name), "from_xml_string", text)


def _told(path: Path, how: str, what: str) -> Any:
    """Call MuJoCo; its complaints become ours."""
    mujoco = require("mujoco", "worlds")
    try:
        return getattr(mujoco.MjModel, how)(what)
    except (ValueError, RuntimeError, MemoryError, mujoco.FatalError) as error:
        said = short(str(error), 300)
        remedy = "Correct the MJCF file."
        if "Error opening file" in said or "resource" in said:
            remedy = "Put the file where the model names it, or pass geometry=False to leave geometry out."
        raise complaint(path, f"MuJoCo says: {said}", expected="a model that MuJoCo compiles", remedy=remedy) from None


def _look_at(document: XmlDocument, folder: Path, seen: set[Path], expand: bool) -> None:
    """Refuse counts that no model needs, here and in all included files; put those in their place if told."""
    times: dict[Any, float] = {}
    for element in [e for e in document.root.iter() if isinstance(e.tag, str)]:
        for key, value in element.items():
            if key not in NAMES and "nan" in value.lower().split():
                raise document.error(element, f"{element.tag} {key} contains NaN", "numbers")
        product = 1.0
        for (tag, keys), most in MOST.items():
            if element.tag == tag:
                values = _values(" ".join(element.get(key, "") for key in keys.split()))
                product = max(1.0, math.prod(max(v, 1.0) for v in values))
                if tag == "replicate":
                    product *= max((times[a] for a in element.iterancestors("replicate")), default=1.0)
                    times[element] = product
                if product > most:
                    raise document.error(element, f"{tag} {keys} {values}", f"at most {most:g} together")
        if element.tag == "size":
            _look_at_size(document, element)
        file = element.get("file") if element.tag in ("include", "model") else None
        if file:
            inner_path = (folder / file).resolve()
            if inner_path in seen or len(seen) > MOST_INCLUDES:
                raise document.error(element, f"{quoted(file)} included again", "every file once, at most 100 of them")
            seen.add(inner_path)
            inner = read_xml(inner_path, document.remedy)
            _look_at(inner, folder, seen, expand)
            if expand and element.tag == "include":
                for child in reversed(list(inner.root)):
                    element.addnext(child)
                element.getparent().remove(element)


def _look_at_size(document: XmlDocument, element: Any) -> None:
    for key, value in element.items():
        found = re.fullmatch(r"(-?[\d.]+(?:[eE]\d+)?)([KMG]?)B?", value.strip(), re.ASCII)
        size = _values(found.group(1))[0] * UNITS[found.group(2)] if found and _values(found.group(1)) else 0
        most = MOST_MEMORY if key == "memory" else MOST_SIZE * 100 if key == "nstack" else MOST_SIZE
        if size > most:
            raise document.error(element, f"size {key} is {quoted(value)}", f"at most {most}")


def _values(text: str) -> list[float]:
    """The numbers in a text; what is none is left to MuJoCo to complain about."""
    found = []
    for word in text.split()[:1000]:
        try:
            found.append(float(word))
        except ValueError:
            continue
    return found


def _strip(document: XmlDocument) -> None:
    """Take geometry out of the document; see `compile_mjcf`."""
    root = document.root
    for compiler in root.iter("compiler"):
        if compiler.get("inertiafromgeom") == "true":
            raise _needs_geometry(document, compiler, 'inertiafromgeom="true"')
    for tag in WITHOUT_GEOMETRY:
        for element in root.findall(tag):
            root.remove(element)
    for geom in list(root.iter("geom")):
        parent = geom.getparent()
        if parent.tag == "default":
            for key in ("material", "mesh", "hfield"):
                geom.attrib.pop(key, None)
        elif parent.tag in ("worldbody", "body") and (parent.tag == "worldbody" or parent.find("inertial") is not None):
            parent.remove(geom)
        elif geom.get("mesh") or geom.get("hfield"):
            raise _needs_geometry(document, geom, "a mesh whose body states no inertia")
    for element in root.iter():
        if isinstance(element.tag, str):
            element.attrib.pop("material", None)


def _needs_geometry(document: XmlDocument, element: Any, found: str) -> FormatError:
    return document.error(
        element, f"{found}, so that masses come from geometry", "<inertial> in every body", "Load it with its meshes."
    )
