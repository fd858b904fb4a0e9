"""Forces of OpenSim models: springs on coordinates are read, everything else is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from invdyn.bodies.xml_reading import XmlDocument, named, quoted

__all__ = ["force_springs"]

SPRING = "SpringGeneralizedForce"
QUIET = (
    *("CoordinateActuator", "PointActuator", "TorqueActuator", "BodyActuator", "PointToPointActuator"),
    *("ActivationCoordinateActuator", "RigidTendonMuscle"),
)
"""Act only when something controls them."""


def force_springs(
    document: XmlDocument, force_set: Any | None, number: Mapping[str, int], ignored: Counter[str]
) -> tuple[dict[str, dict[str, float]], Counter[str]]:
    """Springs of coordinates, and the classes of forces that would act in OpenSim's inverse dynamics.

    Args:
        document: they stand in.
        force_set: its ForceSet; None if there is none.
        number: coordinates of the model.
        ignored: classes left out are counted here.

    Returns:
        Coordinate -> stiffness, rest and damping for `Coordinate` (force = -stiffness (q - rest) - damping v); class
        -> count of forces that are left out although they act without muscles or controls.

    Raises:
        FormatError: a spring on a coordinate that is not there, or two on one.
    """
    springs: dict[str, dict[str, float]] = {}
    acting: Counter[str] = Counter()
    if force_set is None:
        return springs, acting
    for objects in document.sort(force_set, ("objects",), ("groups",))["objects"]:
        for element in document.children(objects):
            off = _off(document, element)
            if element.tag == SPRING and not off:
                name, told = _spring(document, element)
                if name not in number or name in springs:
                    what = "again" if name in springs else "which is not there"
                    raise document.error(element, f"{named(element)} on coordinate {quoted(name)}, {what}", "one each")
                springs[name] = told
                continue
            ignored[element.tag] += 1
            if not off and element.tag not in QUIET and not element.tag.endswith(("Muscle", "Actuator")):
                acting[element.tag] += 1
    return springs, acting


def _off(document: XmlDocument, element: Any) -> bool:
    for tag, quiet in (("isDisabled", True), ("appliesForce", False)):
        for child in element.iterchildren(tag):
            if document.text(child) and document.truth(child, document.text(child), tag) is quiet:
                return True
    return False


def _spring(document: XmlDocument, element: Any) -> tuple[str, dict[str, float]]:
    known = ("coordinate", "stiffness", "rest_length", "viscosity")
    skipped = [e.tag for e in document.children(element) if e.tag not in known]
    parts = {t: document.at_most_one(element, e) for t, e in document.sort(element, known, skipped).items()}
    if parts["coordinate"] is None:
        raise document.error(element, f"{named(element)} without <coordinate>", "the coordinate's name")

    def number(tag: str) -> float:
        told = parts[tag]
        return 0.0 if told is None else document.number(told, document.text(told), f"{tag} of {named(element)}")

    told = {"stiffness": number("stiffness"), "rest": number("rest_length"), "damping": number("viscosity")}
    return document.text(parts["coordinate"]), told
