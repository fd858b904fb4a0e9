"""Frames of OpenSim 4 models: offset frames by their paths, resolved to a body and a placement in it."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Any

from invdyn.bodies.model import Placement
from invdyn.bodies.osim_joints import body_fixed_xyz
from invdyn.bodies.xml_reading import XmlDocument, named, quoted

__all__ = ["GROUND", "Frames"]

GROUND = "ground"
OFFSET = "PhysicalOffsetFrame"
IN_FRAME = ("FrameGeometry", "frame_geometry", "attached_geometry", "WrapObjectSet", "components", "Appearance")
DEEPEST = 32
"""Offset frames on offset frames."""


@dataclass
class Frames:
    """Frames of a model so far.

    Args:
        document: they stand in.
        links: path -> body (or ground).
        offsets: path -> (path as told of the frame it is fixed in, where it stands there, element).
    """

    document: XmlDocument
    links: dict[str, str] = field(default_factory=lambda: {"/ground": GROUND})
    offsets: dict[str, tuple[str, Placement, Any]] = field(default_factory=dict)

    def add_body(self, name: str) -> None:
        self.links[f"/bodyset/{name}"] = name

    def add_offsets(self, holder: Any, owner: str) -> None:
        """The offset frames among the children of an element (`frames` or `components` of `owner`, a path)."""
        for child in self.document.children(holder):
            if child.tag == OFFSET:
                self._add(child, f"{owner}/{self.document.attribute(child, 'name')}")

    def _add(self, element: Any, path: str) -> None:
        document = self.document
        parts = document.sort(element, ("socket_parent", "translation", "orientation"), IN_FRAME)
        parent = document.at_most_one(element, parts["socket_parent"])
        if parent is None:
            raise document.error(element, f"{named(element)} without <socket_parent>", "the frame it is fixed in")
        if path in self.offsets:
            raise document.error(element, f"{named(element)} twice", "names of their own", "Rename one.")
        numbers = []
        for tag in ("translation", "orientation"):
            told = document.at_most_one(element, parts[tag])
            numbers.append(
                (0.0, 0.0, 0.0) if told is None else document.numbers(told, document.text(told), 3, f"{tag} of {path}")
            )
        placement = Placement.of(body_fixed_xyz(numbers[1]), numbers[0])
        self.offsets[path] = document.text(parent), placement, element
        for holder in element.iterchildren("components"):
            self.add_offsets(holder, path)

    def resolve(self, told: str, owner: str, element: Any) -> tuple[str, Placement]:
        """Body and placement of a frame.

        Args:
            told: path of the frame, absolute or as seen from `owner`; a bare name may also be a body's.
            owner: path of the component that tells it.
            element: for messages.

        Raises:
            FormatError: no such frame, or frames fixed in each other.
        """
        placement = Placement()
        for _ in range(DEEPEST):
            path = self._find(told, owner, element)
            if path in self.links:
                return self.links[path], placement
            told, inner, element = self.offsets[path]
            owner, placement = path, inner.then(placement)
        raise self.document.error(element, f"{named(element)} hangs in a circle of frames", "a frame on a body")

    def _find(self, told: str, owner: str, element: Any) -> str:
        paths = [posixpath.normpath(posixpath.join(owner, told))]
        if "/" not in told:
            paths += [f"/bodyset/{told}", f"/{told}"]
        for path in paths:
            if path in self.links or path in self.offsets:
                return path
        raise self.document.error(
            element, f"frame {quoted(told)}, which is not there", "a body, ground or a PhysicalOffsetFrame"
        )
