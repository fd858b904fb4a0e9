"""Public recordings recognised by their keys, so that they open without options: one literal table.

Each entry tells what the publishers wrote beside the data: names, units, rate, bounds, task and the world it can be
replayed in. Nothing is guessed: a folder with other keys is no match, and opens as a plain NPZ folder with options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import EpisodeRecord
from invdyn.episodes.formats import npz
from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.npz_archive import NpzArchive
from invdyn.episodes.formats.strips import PngStrips
from invdyn.episodes.signal import Schema, Signal, SignalSpec
from invdyn.errors import FormatError

__all__ = ["KNOWN", "KnownSet", "matches", "open"]

# Observation and action of AdroitHandDoor-v1 (gymnasium-robotics), in its order.
FINGERS = [f"{f}J{k}" for f, n in (("FF", 3), ("MF", 3), ("RF", 3), ("LF", 4), ("TH", 4)) for k in range(n, -1, -1)]
HAND = ["ARRx", "ARRy", "ARRz", "WRJ1", "WRJ0", *FINGERS]
DOOR_STATE = [
    *HAND,
    "latch",
    "door_hinge",
    *(f"{part}_{axis}" for part in ("palm", "handle", "palm_to_handle") for axis in "xyz"),
    "door_open",
]
PUSHT_PIXELS = 512.0
IMAGES = "observation.images.top"


@dataclass(frozen=True)
class KnownSet:
    """One public data set.

    Args:
        files: pattern of its NPZ files with the signals.
        keys: keys that must be there (without episode numbers).
        world: id of the world it was recorded in.
        options: what `npz.open` is told.
        start: key of a per-episode constant -> name under which it stands in metadata["world"].
        images: pattern of its image files, or empty.
        source: who published it.
    """

    files: str
    keys: frozenset[str]
    world: str
    options: Mapping[str, Any]
    source: str
    start: Mapping[str, str] = field(default_factory=dict)
    images: str = ""


KNOWN: Mapping[str, KnownSet] = {
    "adroit_door_human": KnownSet(
        files="demos*.npz",
        keys=frozenset({"observations", "actions", "rewards", "init_qpos", "init_qvel", "init_door_body_pos"}),
        world="adroit/door",
        options={
            # 5 simulator steps of 2 ms per action: the control rate of the world
            "fps": 100.0,
            "names": {"observations": "observation.state", "actions": "action", "rewards": "next.reward"},
            "units": {"observation.state": "rad, m", "action": "share of the actuator's range"},
            # what the actuators take; recorded commands reach 1.37 and the simulator clips them
            "bounds": {"action": (-1.0, 1.0)},
            "components": {"observation.state": DOOR_STATE, "action": [f"A_{n}" for n in ("ARTz", *HAND)]},
            "constants": ("init_qpos", "init_qvel", "init_door_body_pos"),
            "task": "open the door",
        },
        start={"init_qpos": "init_qpos", "init_qvel": "init_qvel", "init_door_body_pos": "door_body_pos"},
        source="Rajeswaran et al., Learning Complex Dexterous Manipulation with Deep RL and Demonstrations, RSS 2018",
    ),
    "pusht_human": KnownSet(
        files="pusht_lowdim*.npz",
        keys=frozenset({"action", "state", "keypoint"}),
        world="pusht",
        options={
            "fps": 10.0,
            "names": {
                "state": "observation.state",
                "keypoint": "observation.keypoints",
                "n_contacts": "contacts",
                "action": "action",
            },
            "units": {"observation.state": "px, rad", "observation.keypoints": "px", "action": "px"},
            "bounds": {"action": (0.0, PUSHT_PIXELS)},
            "components": {
                "observation.state": ["agent_x", "agent_y", "block_x", "block_y", "block_angle"],
                "observation.keypoints": [f"keypoint{k}_{axis}" for k in range(9) for axis in "xy"],
                "action": ["target_x", "target_y"],
            },
            "flatten": ("observation.keypoints",),
            "constants": (),
            "task": "push the T onto its target",
        },
        images="pusht_images*.npz",
        source="Chi et al., Diffusion Policy, RSS 2023 (pusht_cchi_v7_replay)",
    ),
}
"""Data sets that open without options, by name."""


def _which(path: Path) -> KnownSet | None:
    """The entry whose files lie in this folder (or that this file is of); reads one table of contents."""
    for known in KNOWN.values():
        file = next(iter(_files(path, known)), None)
        if file is None:
            continue
        try:
            names = NpzArchive(file).headers
        except FormatError:
            return known  # opening it tells what is wrong with the file
        keys = {m["key"] if (m := npz.NUMBERED.match(n)) else n for n in names}
        if known.keys <= keys:
            return known
    return None


def _files(path: Path, known: KnownSet) -> list[Path]:
    if path.is_file():
        return [path] if fnmatch(path.name, known.files) else []
    return sorted(path.glob(known.files)) if path.is_dir() else []


def matches(path: Path | str) -> bool:
    """Whether this folder, or file, is of one of `KNOWN`."""
    return _which(Path(path)) is not None


def open(path: Path | str, **options: Any) -> Dataset:  # noqa: A001 - every format module has `open`
    """Open a known data set; `options` go to `npz.open` and win over the table.

    Metadata of each episode: `world` = {"id": ..., recorded start} so that replay can begin there, and the
    episode's number in the published set.

    Raises:
        FormatError: not a known data set, or broken files.
    """
    path = Path(path)
    known = _which(path)
    if known is None:
        raise complaint(
            path, "no known data set", expected=f"one of {', '.join(KNOWN)}", remedy="Open it as format='npz'."
        )
    files, folder = _files(path, known), path if path.is_dir() else path.parent
    data = npz.open(path, **{"files": files, **known.options, **options})
    numbers = [n for file in files for n in _numbers(file, data)]
    images = [_strips(file) for file in sorted(folder.glob(known.images))] if known.images else []
    return Dataset(_KnownSource(data, known, tuple(numbers), tuple(images)))


def _numbers(file: Path, data: Dataset) -> range:
    """Published numbers of the episodes of one file: `ep060_109` in its name counts from 60."""
    match = re.search(r"ep(\d+)_", file.name)
    first = int(match[1]) if match else 0
    source = data.source
    assert isinstance(source, npz.NpzSource)
    return range(first, first + sum(part.archive.path == file for part in source.parts))


def _strips(file: Path) -> PngStrips:
    return PngStrips(file, 96, 96)


@dataclass(frozen=True)
class _KnownSource:
    """The NPZ episodes with the frames that some of them have, and with the world in the metadata."""

    data: Dataset
    known: KnownSet
    numbers: Sequence[int]
    images: Sequence[PngStrips]

    def __post_init__(self) -> None:
        frames: dict[int, tuple[PngStrips, int]] = {}
        length = dict(zip(self.numbers, self.data.lengths.tolist(), strict=True))
        for strips in self.images:
            first = 0
            for number in strips.episodes:
                if number not in length:
                    first = -1
                    break
                frames[number] = (strips, first)
                first += length[number]
            if first not in (-1, strips.count):
                raise complaint(
                    strips.path,
                    f"{strips.count} frames for episodes of {first} steps in all",
                    expected="one frame per step",
                    remedy="Use signal and image files of one release.",
                    signal=IMAGES,
                )
        object.__setattr__(self, "_frames", frames)

    _frames: Mapping[int, tuple[PngStrips, int]] = field(init=False, repr=False)

    @property
    def schema(self) -> Schema:
        if not self.images:
            return self.data.schema
        first = self.images[0]
        return self.data.schema.updated(
            [SignalSpec(IMAGES, (first.height, first.width, 3), "uint8", "image", encoding="png")]
        )

    @property
    def origin(self) -> str:
        return self.data.source.origin

    @property
    def lengths(self) -> np.ndarray:
        return self.data.lengths

    def record(self, index: int) -> EpisodeRecord:
        record = self.data.source.record(index)
        facts = dict(record.metadata)
        world = {"id": self.known.world} | {name: facts.pop(key) for key, name in self.known.start.items()}
        about = {"world": world, "source": self.known.source, "number": self.numbers[index], **facts}
        return replace(record, metadata=about)

    def timestamps(self, index: int) -> Float64[np.ndarray, " time"]:
        return self.data.source.timestamps(index)

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        if name != IMAGES:
            return self.data.source.read(index, name, start, stop)
        if self.numbers[index] not in self._frames:
            return None
        if start == stop:  # only asked whether it is there
            return Signal(self.schema[IMAGES], np.empty((0, *self.schema[IMAGES].shape), np.uint8))
        strips, first = self._frames[self.numbers[index]]
        return Signal(self.schema[IMAGES], strips.read(first + start, first + stop))
