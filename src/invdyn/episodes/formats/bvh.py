"""BVH recordings: translations and rotations of a skeleton's joints; `bvh_file.py` reads and writes the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.bvh_file import Bvh, BvhJoint, read_bvh, write_bvh
from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.motion_files import (
    Recording,
    as_dataset,
    episode_files,
    episode_paths,
    float_spec,
    masked,
)

__all__ = ["matches", "open", "write"]

POSITION, ROTATION = "observation.position", "observation.rotation"


def matches(path: Path | str) -> bool:
    """Whether this is a .bvh file."""
    return Path(path).suffix.lower() == ".bvh" and Path(path).is_file()


def open(  # noqa: A001 - every format module has `open`
    path: Path | str, *, length_unit: str | None = None, task: str = ""
) -> Dataset:
    """Open .bvh files, one episode each.

    Translation channels are `observation.position`, rotation channels `observation.rotation` in degrees, as the format
    has them, with names `<joint>.<channel>`. The skeleton is in the metadata (`joints`), so that `write` makes the
    file again.

    Args:
        path: a file, or a folder with one file per episode.
        length_unit: the unit of lengths (`m`, `cm`, ...), if you know it: the format does not say it. Values stay.
        task: what was asked, in words, of every episode.

    Raises:
        FormatError: a broken file, see `read_bvh`.
    """
    path = Path(path)
    recordings, fps = [], 0.0
    for file in episode_files(path, (".bvh",)):
        bvh = read_bvh(file)
        names = bvh.channel_names
        fps = fps or round(1 / bvh.frame_time, 6)
        signals = []
        for name, ending, unit in ((POSITION, "position", length_unit or ""), (ROTATION, "rotation", "deg")):
            at = [k for k, n in enumerate(names) if n.endswith(ending)]
            if at:
                spec = float_spec(file, name, [names[k] for k in at], unit=unit)
                signals.append(masked(spec, np.ascontiguousarray(bvh.values[:, at]), file))
        joints = [[j.name, j.parent, list(j.offset), list(j.channels), j.end] for j in bvh.joints]
        clock = np.arange(len(bvh.values)) * bvh.frame_time
        recordings.append(Recording(file, signals, clock, {"joints": joints, "frame_time": bvh.frame_time}))
    return as_dataset(path, recordings, fps, task)


def write(dataset: Dataset, path: Path | str) -> None:
    """Write recordings that came from BVH: a .bvh file (one episode), or a folder of `episode_000000.bvh` (several).

    Raises:
        FormatError: an episode without the skeleton in its metadata, or without the channels it names.
    """
    for episode, file in zip(dataset, episode_paths(dataset, Path(path), ".bvh"), strict=True):
        try:
            joints = tuple(
                BvhJoint(str(name), int(parent), (float(x), float(y), float(z)), tuple(channels), bool(end))
                for name, parent, (x, y, z), channels, end in episode.metadata["joints"]
            )
        except (KeyError, TypeError, ValueError):
            raise complaint(
                file,
                "no skeleton",
                expected="metadata `joints`: name, parent, offset, channels and end of each",
                remedy="Write recordings that were read from BVH, or use write_bvh.",
                episode=episode.index,
            ) from None
        columns = {
            n: s.values[:, k]
            for name in (POSITION, ROTATION)
            if name in episode
            for s in [episode[name]]
            for k, n in enumerate(s.spec.names or ())
        }
        wanted = [f"{j.name}.{c}" for j in joints for c in j.channels]
        missing = [n for n in wanted if n not in columns]
        if missing:
            raise complaint(
                file,
                f"no channel {missing[0]!r} ({len(missing)} in all)",
                expected="every channel of the skeleton",
                remedy="Keep both signals as they were read.",
                episode=episode.index,
            )
        values = np.stack([columns[n] for n in wanted], axis=1).astype(np.float64)
        write_bvh(Bvh(joints, values, float(episode.metadata.get("frame_time", 1 / episode.schema.fps))), file)
