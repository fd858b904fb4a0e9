"""OpenSim external-loads files (.xml): which columns of a force table push which body, and in which frame.

Source: the OpenSim documentation "External Loads"; ExternalForce.cpp and Storage::getDataForIdentifier of OpenSim 4:
an identifier stands for the three columns whose labels begin with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.motion_files import read_bytes
from invdyn.episodes.formats.opensim_tables import Table
from invdyn.errors import require

__all__ = ["AppliedLoad", "ExternalLoad", "ExternalLoads", "read_external_loads"]

TEXTS = {
    "applied_to_body": "body",
    "force_expressed_in_body": "force_frame",
    "point_expressed_in_body": "point_frame",
    "force_identifier": "force",
    "point_identifier": "point",
    "torque_identifier": "torque",
    "data_source_name": "source",
}
SWITCHES = ("isDisabled", "appliesForce")
SETTINGS = (
    "objects",
    "groups",
    "datafile",
    "components",
    "external_loads_model_kinematics_file",
    "lowpass_cutoff_frequency_for_load_kinematics",
)
TRUTH = {"true": True, "false": False}
REMEDY = "Correct the file, or export it again from OpenSim."
LARGEST = 2**24


@dataclass(frozen=True)
class AppliedLoad:
    """One load over time, read out of a table.

    Args:
        force: [time, 3] N in the frame of `ExternalLoad.force_frame`; None without one.
        point: [time, 3] m in the frame of `ExternalLoad.point_frame`; None: the origin of the body.
        torque: [time, 3] N m in the frame of `ExternalLoad.force_frame`; None without one.
    """

    force: Float64[np.ndarray, "time 3"] | None
    point: Float64[np.ndarray, "time 3"] | None
    torque: Float64[np.ndarray, "time 3"] | None


@dataclass(frozen=True)
class ExternalLoad:
    """One force on one body.

    Args:
        name: its name in the file.
        body: the body it is applied to.
        force_frame, point_frame: bodies in whose frames force (and torque) and point are expressed.
        force, point, torque: identifiers: beginnings of column labels; None where there is none.
        source: name of a table of its own; empty for that of the file.
        applies: whether it acts.
    """

    name: str
    body: str
    force_frame: str = "ground"
    point_frame: str = "ground"
    force: str | None = None
    point: str | None = None
    torque: str | None = None
    source: str = ""
    applies: bool = True

    def over(self, table: Table, path: Path | str = "table") -> AppliedLoad:
        """The load over the steps of a table (the path is for messages).

        Raises:
            FormatError: an identifier that does not begin the labels of exactly three columns, or missing cells.
        """
        found: list[Float64[np.ndarray, "time 3"] | None] = []
        for what in ("force", "point", "torque"):
            identifier = getattr(self, what)
            if identifier is None:
                found.append(None)
                continue
            names = [n for n in table.names if n.startswith(identifier)]
            if len(names) != 3 or table.width != 1:
                raise complaint(
                    path,
                    f"{len(names)} columns begin with {identifier[:60]!r}, the {what} of load {self.name[:60]!r}",
                    expected="three (x, y, z)",
                    remedy=f"Correct {what}_identifier in the external-loads file.",
                )
            values = table.columns(names)
            if np.isnan(values).any():
                row, column = np.argwhere(np.isnan(values))[0]
                raise complaint(
                    path,
                    f"column {names[column][:60]!r} has no number at {table.time[row]:g} s (row {row + 1})",
                    expected="a number in every row",
                    remedy="Write 0 where there is no load.",
                )
            found.append(values)
        return AppliedLoad(*found)


@dataclass(frozen=True)
class ExternalLoads:
    """What an external-loads file says.

    Args:
        loads: in the order of the file, those that do not act included.
        datafile: the table as named there, usually relative to the file; empty where none is named.
        path: the file.
    """

    loads: tuple[ExternalLoad, ...]
    datafile: str
    path: Path

    @property
    def table_path(self) -> Path:
        """The table beside (or below) the file.

        Raises:
            FormatError: no table is named, it is not there, or its path leaves the folder of the file.
        """
        folder = self.path.resolve().parent
        name = self.datafile.replace("\\", "/")
        found = (folder / name).resolve()
        if not name or not found.is_relative_to(folder) or not found.is_file():
            raise complaint(
                self.path,
                f"datafile is {self.datafile[:80]!r}",
                expected="a table in the folder of the file",
                remedy="Give the table itself, or put it beside the file.",
            )
        return found


def read_external_loads(path: Path | str) -> ExternalLoads:
    """Read an external-loads file of OpenSim 3 or 4.

    Raises:
        FormatError: no XML, another document, an element we do not know (with its line), a load without a body.
        MissingExtraError: lxml is not installed.
    """
    path = Path(path)
    etree = require("lxml.etree", "bodies")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )
    try:
        root = etree.fromstring(read_bytes(path, LARGEST), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise complaint(path, f"no XML ({reason})", expected="an external-loads file", remedy=REMEDY) from None
    document = root if root.tag == "ExternalLoads" else root.find("ExternalLoads")
    if document is None:
        raise complaint(path, "no element ExternalLoads", expected="an external-loads file", remedy=REMEDY)
    loads: list[ExternalLoad] = []
    datafile = ""
    for element in _elements(document):
        if element.tag not in SETTINGS:
            raise _unknown(path, element, SETTINGS)
        if element.tag == "datafile":
            datafile = _text(element)
        if element.tag == "objects":
            for child in _elements(element):
                if child.tag != "ExternalForce":
                    raise _unknown(path, child, ("ExternalForce",))
                loads.append(_load(path, child))
    return ExternalLoads(tuple(loads), datafile, path)


def _elements(parent: Any) -> list[Any]:
    return [e for e in parent if isinstance(e.tag, str)]  # entities and processing instructions have no name


def _text(element: Any) -> str:
    text = (element.text or "").strip()
    return "" if text.lower() in ("unassigned", "null") else text  # OpenSim's words for nothing


def _unknown(path: Path, element: Any, known: tuple[str, ...]) -> Exception:
    return complaint(
        path,
        f"line {element.sourceline}: element {str(element.tag)[:60]!r}",
        expected=f"one of {', '.join(known)}",
        remedy="Remove it, or tell us what it means.",
    )


def _load(path: Path, element: Any) -> ExternalLoad:
    told: dict[str, Any] = {"name": element.get("name") or f"line {element.sourceline}"}
    for child in _elements(element):
        text = _text(child)
        if child.tag in SWITCHES:
            if text.lower() not in TRUTH:
                raise complaint(
                    path,
                    f"line {child.sourceline}: {child.tag} is {text[:40]!r}",
                    expected="true or false",
                    remedy=REMEDY,
                )
            told["applies"] = TRUTH[text.lower()] is (child.tag == "appliesForce")
        elif child.tag in TEXTS:
            if text:
                told[TEXTS[child.tag]] = text
        else:
            raise _unknown(path, child, (*TEXTS, *SWITCHES))
    if "body" not in told or not ("force" in told or "torque" in told):
        raise complaint(
            path,
            f"line {element.sourceline}: load {told['name'][:60]!r} without body, or without force and torque",
            expected="applied_to_body, and force_identifier or torque_identifier",
            remedy=REMEDY,
        )
    return ExternalLoad(**told)
