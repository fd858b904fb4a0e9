"""The BVH file itself: a skeleton with its rest offsets, and the motion of its channels; read, written, put in space.

Source: the Biovision hierarchy as M. Meredith and S. Maddock describe it (Motion Capture File Formats Explained, 2001,
section 3). Rotations are in degrees and apply in the order of the channels; lengths have no unit in the format.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.motion_files import count, number, numbers, read_lines, table_of

__all__ = ["Bvh", "BvhJoint", "read_bvh", "write_bvh"]

CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")
REMEDY = "Export the motion again, or repair the line."
DEEPEST = 256
"""Joints in one chain; a real skeleton has fewer than 50."""


@dataclass(frozen=True)
class BvhJoint:
    """One joint, or the end of a chain.

    Args:
        name: its name; an end site has that of its parent with `.end`.
        parent: number of the parent in the list of joints, -1 for a root.
        offset: x, y, z from the parent at rest, in the file's unit of length.
        channels: names among `CHANNELS`, in the order of the columns and of application.
        end: whether it is an end site.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[str, ...] = ()
    end: bool = False


@dataclass(frozen=True)
class Bvh:
    """A skeleton and its motion.

    Args:
        joints: parents before children.
        values: [time, channel] as in the file: degrees and the file's unit of length.
        frame_time: seconds per frame.
    """

    joints: tuple[BvhJoint, ...]
    values: Float64[np.ndarray, "time channel"]
    frame_time: float

    @property
    def channel_names(self) -> tuple[str, ...]:
        """`<joint>.<channel>` of every column."""
        return tuple(f"{j.name}.{c}" for j in self.joints for c in j.channels)

    def forward(self) -> tuple[Float64[np.ndarray, "time joint 3"], Float64[np.ndarray, "time joint 3 3"]]:
        """Positions (file's unit of length) and rotations (joint's frame to the world's) of every joint and end.

        World rotation R_j = R_parent R_1 R_2 R_3 with the elementary rotations in the order of the channels; position
        p_j = p_parent + R_parent (offset + translation channels). (Where a joint has position channels, some programs
        take them instead of the offset; the two agree for roots with a zero offset.)
        """
        time = len(self.values)
        positions = np.zeros((time, len(self.joints), 3))
        rotations = np.tile(np.eye(3), (time, len(self.joints), 1, 1))
        column = 0
        for k, joint in enumerate(self.joints):
            shift = np.tile(np.asarray(joint.offset), (time, 1))
            turn = np.tile(np.eye(3), (time, 1, 1))
            for channel in joint.channels:
                axis, values = "XYZ".index(channel[0]), self.values[:, column]
                column += 1
                if channel.endswith("position"):
                    shift[:, axis] += values
                else:
                    turn = turn @ _elementary(axis, np.radians(values))
            above = np.tile(np.eye(3), (time, 1, 1)) if joint.parent < 0 else rotations[:, joint.parent]
            before = np.zeros((time, 3)) if joint.parent < 0 else positions[:, joint.parent]
            positions[:, k] = before + np.einsum("tij,tj->ti", above, shift)
            rotations[:, k] = above @ turn
        return positions, rotations


def _elementary(axis: int, angle: Float64[np.ndarray, " time"]) -> Float64[np.ndarray, "time 3 3"]:
    """Rotation about one axis, right-handed."""
    turn = np.tile(np.eye(3), (len(angle), 1, 1))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn[:, i, i] = turn[:, j, j] = np.cos(angle)
    turn[:, j, i] = np.sin(angle)
    turn[:, i, j] = -np.sin(angle)
    return turn


def read_bvh(path: Path | str) -> Bvh:
    """Read a .bvh file.

    Raises:
        FormatError: a word that the format does not know (with its line), braces that do not close, an unknown
            channel, rows of another length than the channels, words where numbers belong.
    """
    path = Path(path)
    lines = read_lines(path)
    joints, at = _hierarchy(lines, path)
    names = [f"{j.name}.{c}" for j in joints for c in j.channels]

    def setting(key: str, at: int) -> tuple[str, int]:
        at = next((i for i in range(at, len(lines)) if lines[i].strip()), len(lines))
        line = lines[at].strip() if at < len(lines) else ""
        if not line.lower().startswith(key.lower()):
            raise complaint(path, f"line {at + 1}: {line[:40]!r}", expected=f"{key!r}", remedy=REMEDY)
        return line[len(key) :].strip(), at + 1

    _, at = setting("MOTION", at)
    told, at = setting("Frames:", at)
    frames = count(told, path, at, "Frames", len(lines))
    told, at = setting("Frame Time:", at)
    frame_time = number(told, path, at, "Frame Time")
    if not frame_time > 0:
        raise complaint(path, f"line {at}: Frame Time {told[:40]!r}", expected="seconds above 0", remedy=REMEDY)
    flat, rows = array("d"), 0
    for i in range(at, len(lines)):
        cells = lines[i].split()
        if not cells:
            continue
        if len(cells) != len(names):
            raise complaint(
                path, f"line {i + 1}: {len(cells)} numbers", expected=f"{len(names)}, one per channel", remedy=REMEDY
            )
        flat.extend(numbers(cells, names, path, i + 1))
        rows += 1
    if not rows or not names or rows != frames:
        raise complaint(
            path,
            f"{rows} rows of {len(names)} channels",
            expected=f"Frames: {frames}, at least one of each",
            remedy="Cut off? Copy it again.",
        )
    return Bvh(joints, table_of(flat, len(names)), frame_time)


def _hierarchy(lines: Sequence[str], path: Path) -> tuple[tuple[BvhJoint, ...], int]:
    """The joints, and the number of the first line after them."""
    joints: list[BvhJoint] = []
    chain: list[int] = []
    waiting: BvhJoint | None = None  # a joint whose brace has not opened yet
    told: set[int] = set()  # joints whose offset stands there
    begun = False

    def wrong(at: int, expected: str) -> Exception:
        return complaint(path, f"line {at + 1}: {lines[at].strip()[:60]!r}", expected=expected, remedy=REMEDY)

    for at, line in enumerate(lines):
        words = line.replace("{", " { ").replace("}", " } ").split()
        if not words:
            continue
        if not begun:
            if words != ["HIERARCHY"]:
                raise wrong(at, "'HIERARCHY' first")
            begun = True
            continue
        if words[0].upper() == "MOTION":
            if chain or waiting or not joints:
                raise wrong(at, "braces that close and at least one joint before MOTION")
            return tuple(joints), at
        if words[0].upper() in ("ROOT", "JOINT", "END"):
            opens = words[-1] == "{"
            name = " ".join(words[1:-1] if opens else words[1:])
            root, end = words[0].upper() == "ROOT", words[0].upper() == "END"
            if waiting or not name or root == bool(chain):
                raise wrong(at, "ROOT outside of joints, JOINT and End Site inside, each with a name")
            parent = chain[-1] if chain else -1
            name = f"{joints[parent].name}.end" if end else name
            waiting = BvhJoint(name, parent, (0.0, 0.0, 0.0), (), end)
            words = ["{"] if opens else []
        for k, word in enumerate(words):
            if word == "{":
                if waiting is None or len(chain) >= DEEPEST:
                    raise wrong(at, f"a brace after a joint's name, at most {DEEPEST} deep")
                chain.append(len(joints))
                joints.append(waiting)
                waiting = None
            elif word == "}":
                if not chain or chain[-1] not in told:
                    raise wrong(at, "a brace that closes a joint with an OFFSET")
                chain.pop()
            elif word.upper() in ("OFFSET", "CHANNELS") and chain and waiting is None and k == 0:
                joint = joints[chain[-1]]
                if word.upper() == "OFFSET":
                    if len(words) != 4:
                        raise wrong(at, "OFFSET and three numbers")
                    x, y, z = (number(w, path, at + 1, "OFFSET") for w in words[1:])
                    if not np.isfinite([x, y, z]).all():
                        raise wrong(at, "OFFSET and three finite numbers")
                    joints[chain[-1]] = BvhJoint(joint.name, joint.parent, (x, y, z), joint.channels, joint.end)
                    told.add(chain[-1])
                else:
                    known = {c.lower(): c for c in CHANNELS}
                    channels = tuple(known.get(w.lower(), "") for w in words[2:])
                    if words[1:2] != [str(len(channels))] or "" in channels or len(set(channels)) != len(channels):
                        raise wrong(at, f"CHANNELS, their number, and names among {', '.join(CHANNELS)}")
                    if joint.end or joint.channels:
                        raise wrong(at, "channels once, and none of an end site")
                    joints[chain[-1]] = BvhJoint(joint.name, joint.parent, joint.offset, channels, joint.end)
                break
            else:
                raise wrong(at, "ROOT, JOINT, End Site, OFFSET, CHANNELS, a brace, or MOTION")
    raise complaint(path, "no MOTION", expected="a hierarchy and then MOTION", remedy=REMEDY)


def write_bvh(bvh: Bvh, path: Path | str) -> None:
    """Write a skeleton and its motion; every number comes back bit for bit.

    Raises:
        FormatError: missing values, which the format cannot hold; a name with a line break or a brace.
    """
    if not np.isfinite(bvh.values).all():
        raise complaint(path, "missing values", expected="a number in every channel", remedy="Fill the gaps first.")
    children: dict[int, list[int]] = {}
    for k, joint in enumerate(bvh.joints):
        children.setdefault(joint.parent, []).append(k)
        if any(c in joint.name for c in "\r\n{}") or joint.name != " ".join(joint.name.split()):
            raise complaint(
                path, f"joint name {joint.name!r}", expected="no braces or outer blanks", remedy="Rename it."
            )
    lines = ["HIERARCHY"]
    todo: list[tuple[int, int]] = [(k, 0) for k in reversed(children.get(-1, []))]
    while todo:
        k, depth = todo.pop()
        indent = "\t" * depth
        if k < 0:
            lines.append(f"{indent}}}")
            continue
        joint = bvh.joints[k]
        title = "End Site" if joint.end else f"{'ROOT' if joint.parent < 0 else 'JOINT'} {joint.name}"
        lines += [f"{indent}{title}", f"{indent}{{", f"{indent}\tOFFSET {' '.join(map(repr, joint.offset))}"]
        if not joint.end:
            lines.append(f"{indent}\tCHANNELS {' '.join([str(len(joint.channels)), *joint.channels])}")
        todo.append((-1, depth))
        todo += [(child, depth + 1) for child in reversed(children.get(k, []))]
    lines += ["MOTION", f"Frames: {len(bvh.values)}", f"Frame Time: {bvh.frame_time!r}"]
    lines += [" ".join(map(repr, row)) for row in bvh.values.tolist()]
    Path(path).write_text("\n".join(lines) + "\n", "utf-8")
