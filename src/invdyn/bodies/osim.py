"""OpenSim models (.osim of OpenSim 2, 3 and 4): bodies, joints, couplings and markers; muscles are left out.

Joints of several moves become chains of massless bodies, constant moves are folded into placements. Position and
velocity numbers are the coordinates, in the order of joints in the file; each generalised force does work on the rate
of its coordinate. Coupled coordinates stay independent in the dynamics, as OpenSim's InverseDynamicsSolver has them.

OpenSim's inverse dynamics tool subtracts the forces it does not exclude; its usual setting excludes muscles only. Of
the passive ones we read SpringGeneralizedForce (stiffness, rest and damping of its coordinate); others
(CoordinateLimitForce, BushingForce, contact) are named in the warning as acting in OpenSim.

Source: the OpenSim documentation "OpenSim Models"; Body.cpp, Joint.cpp, CoordinateCouplerConstraint.cpp of OpenSim 4.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from invdyn.bodies.drive import Drive
from invdyn.bodies.merging import Assembly
from invdyn.bodies.model import BodyModel, Coordinate, Inertia, Placement, Site, Vector3
from invdyn.bodies.osim_forces import force_springs
from invdyn.bodies.osim_frames import GROUND, IN_FRAME, Frames
from invdyn.bodies.osim_functions import FUNCTIONS, function_drive, function_element
from invdyn.bodies.osim_joints import JOINTS, OsimCoordinate, body_fixed_xyz, read_joint
from invdyn.bodies.osim_tree import PlacedJoint, assembled
from invdyn.bodies.xml_reading import XmlDocument, named, quoted, read_xml
from invdyn.errors import ConfigError, FormatError

__all__ = ["OsimModel", "read_opensim", "read_osim"]

log = logging.getLogger(__name__)

GRAVITY = (0.0, -9.80665, 0.0)
"""OpenSim's default, m/s^2."""
IN_MODEL = (
    *("credits", "publications", "assembly_accuracy", "ModelVisualPreferences", "use_visualizer", "ModelVisualizer"),
    *("ContactGeometrySet", "ControllerSet", "ProbeSet", "WrapObjectSet"),
)
SETS = ("ContactGeometrySet", "ControllerSet", "ProbeSet")
READ = (
    *("defaults", "length_units", "force_units", "gravity", "Ground", "BodySet", "JointSet", "ConstraintSet"),
    *("ForceSet", "MarkerSet", "ComponentSet", "components"),
)
IN_BODY = ("VisibleObject", "WrapObjectSet", "attached_geometry", "FrameGeometry", "frame_geometry", "Appearance")
PRODUCTS = ("inertia_xx", "inertia_yy", "inertia_zz", "inertia_xy", "inertia_xz", "inertia_yz")
PLACING_3 = ("parent_body", "location_in_parent", "orientation_in_parent", "location", "orientation")
PLACING_4 = ("socket_parent_frame", "socket_child_frame", "frames")
MOST = 10_000
"""Bodies or joints."""


@dataclass(frozen=True)
class OsimModel:
    """What an .osim file holds.

    Args:
        bodies: the tree.
        coordinates: one per position number, as the file has them.
        ignored: class -> how many of them were left out.
    """

    bodies: BodyModel
    coordinates: tuple[OsimCoordinate, ...]
    ignored: Mapping[str, int] = field(default_factory=dict)

    @property
    def defaults(self) -> np.ndarray:
        """[nq] the model's default pose, rad or m; couplings may disagree with it."""
        return np.array([c.default for c in self.coordinates])


def read_osim(path: Path | str) -> BodyModel:
    """The bodies of an OpenSim model; see `read_opensim`."""
    return read_opensim(path).bodies


def read_opensim(path: Path | str) -> OsimModel:
    """An OpenSim model from a file.

    What cannot enter inverse dynamics (muscles and other actuators, controllers, probes, contact geometry) is left
    out with one warning that lists it.

    Raises:
        FormatError: no OpenSim model, an unknown element, joint, function or constraint (with its line), numbers that
            cannot be, bodies that do not form one tree on the ground.
        MissingExtraError: lxml is not installed.
    """
    document = read_xml(path, remedy="Correct the model file.")
    root = document.root
    models = document.sort(root, ("Model",))["Model"] if root.tag == "OpenSimDocument" else []
    model = document.at_most_one(root, models)
    if model is None:
        raise document.error(root, f"no OpenSim model in {quoted(root.tag)}", "<OpenSimDocument> with one <Model>")
    return _Reader(document, model).read()


class _Reader:
    """The steps from a Model element to an `OsimModel`."""

    def __init__(self, document: XmlDocument, model: Any) -> None:
        self.document, self.model = document, model
        found = document.sort(model, READ, IN_MODEL)
        self.parts = {tag: document.at_most_one(model, elements) for tag, elements in found.items()}
        self.frames = Frames(document)
        self.ignored: Counter[str] = Counter()
        self.inertias: dict[str, Inertia] = {}
        self.placed: list[PlacedJoint] = []

    def read(self) -> OsimModel:
        self._units_and_defaults()
        self._bodies_and_joints()
        coordinates = [c for p in self.placed for c in p.joint.coordinates]
        names = [c.name for c in coordinates]
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise self.document.error(self.model, f"coordinate {quoted(twice)} in two joints", "names of their own")
        number = {name: k for k, name in enumerate(names)}
        parts = assembled(self.document, self.model, self.placed, self.inertias, number)
        parts.sites.extend(self._markers(parts))
        springs, acting = force_springs(self.document, self.parts["ForceSet"], number, self.ignored)
        turning = {c for p in self.placed for m in p.joint.moves if m.kind == "revolute" for c in m.coordinates}
        told = tuple(
            Coordinate(
                c.name,
                c.motion == "rotational" or (c.motion == "coupled" and c.name in turning),
                c.lower,
                c.upper,
                **springs.get(c.name, {}),
            )
            for c in coordinates
        )
        couplings = self._couplings(number)
        for tag in SETS:
            for holder in self.model.iterchildren(tag):
                self.ignored.update(
                    e.tag for objects in holder.iterchildren("objects") for e in self.document.children(objects)
                )
        self._warn(acting)
        try:
            bodies = BodyModel(
                self.model.get("name") or self.document.path.stem,
                tuple(parts.bodies),
                told,
                len(told),
                self._gravity(),
                (Site(GROUND, -1), *parts.sites),
                couplings=couplings,
                source=str(self.document.path),
            )
        except ConfigError as error:  # a body called like a link of a chain
            raise FormatError(f"{self.document.path}: {error}") from None
        return OsimModel(bodies, tuple(coordinates), dict(self.ignored))

    def _units_and_defaults(self) -> None:
        document = self.document
        for tag, unit in (("length_units", "meters"), ("force_units", "N")):
            element = self.parts[tag]
            if element is not None and document.text(element) not in ("", unit):
                raise document.error(element, f"{tag} {quoted(document.text(element))}", unit, "Convert it in OpenSim.")
        if self.parts["defaults"] is not None:
            for element in document.children(self.parts["defaults"]):
                if element.tag in (*JOINTS, "Body", "Coordinate", "TransformAxis", *FUNCTIONS):
                    raise document.error(
                        element, f"defaults for {element.tag}", "them in every element", "Save the model in OpenSim 4."
                    )

    def _gravity(self) -> Vector3:
        element = self.parts["gravity"]
        if element is None or not self.document.text(element):
            return GRAVITY
        x, y, z = self.document.numbers(element, self.document.text(element), 3, "gravity")
        return x, y, z

    def _objects(self, tag: str) -> list[Any]:
        """Elements of a set."""
        holder = self.parts[tag]
        if holder is None:
            return []
        sets = self.document.sort(holder, ("objects",), ("groups",))["objects"]
        found = [e for objects in sets for e in self.document.children(objects)]
        if len(found) > MOST:
            raise self.document.error(holder, f"{len(found)} elements in {tag}", f"at most {MOST}")
        return found

    # bodies and joints

    def _bodies_and_joints(self) -> None:
        document = self.document
        inside: list[tuple[Any, str]] = []
        for element in self._objects("BodySet"):
            if element.tag != "Body":
                raise document.unknown(element, ("Body",))
            name = document.attribute(element, "name")
            parts = document.sort(
                element, ("mass", "mass_center", "inertia", *PRODUCTS, "Joint", "components"), IN_BODY
            )
            joints = [j for holder in parts["Joint"] for j in document.children(holder)]
            if name == GROUND:
                continue
            if name in self.inertias:
                raise document.error(element, f"body {quoted(name)} again", "every body once", "Rename one.")
            self.inertias[name] = self._inertia(element, parts)
            self.frames.add_body(name)
            for holder in parts["components"]:
                self.frames.add_offsets(holder, f"/bodyset/{name}")
            inside += [(j, name) for j in joints]
        ground = self.parts["Ground"]
        if ground is not None:
            for holder in document.sort(ground, ("components",), IN_FRAME)["components"]:
                self.frames.add_offsets(holder, "/ground")
        for tag, owner in (("ComponentSet", "/componentset"), ("components", "")):
            outer = self.parts[tag]
            if outer is not None:
                for holder in (outer, *outer.iterchildren("objects")):
                    self.frames.add_offsets(holder, owner)
                    others = (e.tag for e in document.children(holder) if e.tag not in ("objects", "groups"))
                    self.ignored.update(t for t in others if t != "PhysicalOffsetFrame")
        beside = self._objects("JointSet")
        for element in beside:
            for holder in element.iterchildren("frames"):
                self.frames.add_offsets(holder, f"/jointset/{document.attribute(element, 'name')}")
        self.placed = [self._within(e, body) for e, body in inside] + [self._beside(e) for e in beside]

    def _inertia(self, element: Any, parts: dict[str, list[Any]]) -> Inertia:
        """Mass, its centre and the inertia about it in the body's axes."""
        document = self.document

        def numbers(tag: str, count: int) -> tuple[float, ...]:
            told = document.at_most_one(element, parts[tag])
            if told is None:
                return (0.0,) * count
            return document.numbers(told, document.text(told), count, f"{tag} of {element.get('name')}")

        mass = numbers("mass", 1)[0]
        xx, yy, zz, xy, xz, yz = numbers("inertia", 6) if parts["inertia"] else [numbers(tag, 1)[0] for tag in PRODUCTS]
        if mass < 0 or min(xx, yy, zz) < 0:
            raise document.error(element, f"{named(element)} has mass {mass:g} and moments {[xx, yy, zz]}", "0 or more")
        about_com = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]
        principal = np.linalg.eigvalsh(about_com)
        if principal[2] > (principal[0] + principal[1]) * (1 + 1e-6):
            log.warning(
                "%s: line %d: the moments of %s, %.4g, %.4g and %.4g kg m^2, are no body's: one is above the sum of "
                "the others. They are taken; OpenSim 4 would put their quadratic mean in place of each.",
                *(document.path, element.sourceline, element.get("name"), *principal),
            )
        return Inertia.of(mass, numbers("mass_center", 3), about_com)

    def _within(self, element: Any, body: str) -> PlacedJoint:
        """A joint inside its child body (OpenSim 2 and 3)."""
        document = self.document
        joint = read_joint(document, element, PLACING_3)
        parts = document.sort(element, PLACING_3, [e.tag for e in document.children(element)])
        parent = document.at_most_one(element, parts["parent_body"])
        if parent is None:
            raise document.error(element, f"{named(element)} without <parent_body>", "the parent's name")
        name = document.text(parent)
        if name != GROUND and name not in self.inertias:
            raise document.error(parent, f"{named(element)} hangs on body {quoted(name)}, which is not there", "a body")

        def place(location: str, orientation: str) -> Placement:
            told = []
            for tag in (location, orientation):
                holder = document.at_most_one(element, parts[tag])
                told.append(
                    (0.0, 0.0, 0.0) if holder is None else document.numbers(holder, document.text(holder), 3, tag)
                )
            return Placement.of(body_fixed_xyz(told[1]), told[0])

        on_parent = place("location_in_parent", "orientation_in_parent")
        return PlacedJoint(joint, name, on_parent, body, place("location", "orientation"))

    def _beside(self, element: Any) -> PlacedJoint:
        """A joint of a JointSet (OpenSim 4)."""
        document = self.document
        joint = read_joint(document, element, PLACING_4)
        parts = document.sort(element, PLACING_4, [e.tag for e in document.children(element)])
        ends = []
        for tag in ("socket_parent_frame", "socket_child_frame"):
            told = document.at_most_one(element, parts[tag])
            if told is None:
                raise document.error(element, f"{named(element)} without <{tag}>", "the path of a frame")
            ends.append(self.frames.resolve(document.text(told), f"/jointset/{joint.name}", told))
        return PlacedJoint(joint, *ends[0], *ends[1])

    # what hangs on it

    def _markers(self, parts: Assembly) -> list[Site]:
        document, found = self.document, []
        for element in self._objects("MarkerSet"):
            if element.tag != "Marker":
                raise document.unknown(element, ("Marker",))
            inside = document.sort(
                element,
                ("body", "socket_parent_frame", "location"),
                ("fixed", "VisibleObject", "Appearance", "visible"),
            )
            name = document.attribute(element, "name")
            told = document.at_most_one(element, inside["body"] + inside["socket_parent_frame"])
            location = document.at_most_one(element, inside["location"])
            if told is None or location is None:
                raise document.error(element, f"{named(element)} without a frame or <location>", "both")
            where = Placement.of(
                translation=document.numbers(location, document.text(location), 3, f"location of {name}")
            )
            link, outer = self.frames.resolve(document.text(told), f"/markerset/{name}", told)
            body, placement = parts.at[link]
            found.append(Site(name, body, placement.then(outer).then(where), "marker"))
        return found

    def _couplings(self, number: Mapping[str, int]) -> dict[int, Drive]:
        """Dependent position -> its function of the independent ones."""
        document, found = self.document, {}
        known = ("coupled_coordinates_function", "independent_coordinate_names", "dependent_coordinate_name")
        for element in self._objects("ConstraintSet"):
            switches = {tag: list(element.iterchildren(tag)) for tag in ("isDisabled", "isEnforced")}
            enforced = all(
                document.truth(e, document.text(e) or str(tag == "isEnforced"), tag) is (tag == "isEnforced")
                for tag, elements in switches.items()
                for e in elements
            )
            if not enforced:
                self.ignored[element.tag] += 1
                continue
            if element.tag != "CoordinateCouplerConstraint":
                raise document.error(
                    element,
                    f"constraint {named(element)}",
                    "CoordinateCouplerConstraint",
                    "Remove it, or set isEnforced to false: inverse dynamics then ignores it, as OpenSim's does.",
                )
            inside = document.sort(element, (*known, "scale_factor"), (*switches,))
            parts = {tag: document.at_most_one(element, e) for tag, e in inside.items()}
            if any(parts[tag] is None for tag in known):
                raise document.error(element, f"{named(element)} is not complete", f"{', '.join(known)}")
            function = function_element(document, parts[known[0]])
            names = [*document.text(parts[known[1]]).split(), document.text(parts[known[2]])]
            for name in names:
                if name not in number:
                    raise document.error(
                        element, f"{named(element)} couples {quoted(name)}", "coordinates of the model"
                    )
            if function is None:
                raise document.error(element, f"{named(element)} without a function", "a function")
            drive = function_drive(document, function, [(number[n], number[n]) for n in names[:-1]])
            scale = (
                1.0
                if parts["scale_factor"] is None
                else document.number(parts["scale_factor"], document.text(parts["scale_factor"]), "scale_factor")
            )
            if number[names[-1]] in found:
                raise document.error(element, f"coordinate {quoted(names[-1])} is coupled twice", "one coupling each")
            found[number[names[-1]]] = drive.scaled(scale)
        return found

    def _warn(self, acting: Counter[str]) -> None:
        """One warning about everything that was left out."""
        if not self.ignored:
            return
        text = ", ".join(f"{n} {kind}" for kind, n in sorted(self.ignored.items()))
        forces = ", ".join(sorted(acting))
        log.warning(
            "%s: left out, as they do not enter inverse dynamics: %s.%s",
            self.document.path,
            text,
            f" OpenSim would apply {forces} unless told to exclude them." if forces else "",
        )
