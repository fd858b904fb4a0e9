"""The video files of a LeRobotDataset: clips joined up to the size limit, or files of another dataset taken over."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.lerobot_info import VIDEO_PATH, expand
from invdyn.episodes.formats.lerobot_options import LeRobotOptions
from invdyn.episodes.formats.lerobot_source import LeRobotSource
from invdyn.episodes.signal import SignalSpec
from invdyn.episodes.statistics import Statistics, signal_statistics, subsample
from invdyn.episodes.video import join_clips
from invdyn.errors import FormatError

__all__ = ["join_camera", "take_over_camera", "taken_over", "video_origin"]

Places = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""[episodes] chunk, file, first second, last second."""


def join_camera(
    root: Path, spec: SignalSpec, clips: Sequence[Path], lengths: Sequence[int], fps: float, options: LeRobotOptions
) -> Places:
    """Join the clips of all episodes into files of `options.video_mb`; says where each episode is."""
    limit = options.video_mb * 1e6
    groups: list[list[int]] = []
    size = 0
    for index, clip in enumerate(clips):
        try:
            more = clip.stat().st_size
        except FileNotFoundError:
            raise FormatError(f"{clip} is missing. Delete the shard of episode {index} and write it again.") from None
        if not groups or size + more > limit:
            groups.append([])
            size = 0
        groups[-1].append(index)
        size += more
    chunk, file = np.zeros(len(clips), np.int64), np.zeros(len(clips), np.int64)
    start, stop = np.zeros(len(clips)), np.zeros(len(clips))
    for number, group in enumerate(groups):
        path = _file(root, spec.name, number, options)
        if len(group) == 1:
            shutil.copyfile(clips[group[0]], path)
        else:
            join_clips(path, [clips[i] for i in group], [lengths[i] for i in group], fps)
        before = np.cumsum([0, *(lengths[i] for i in group)])
        for place, index in enumerate(group):
            chunk[index], file[index] = divmod(number, options.chunk_files)
            start[index], stop[index] = before[place] / fps, before[place + 1] / fps
    return chunk, file, start, stop


def video_origin(dataset: Dataset, index: int, spec: SignalSpec) -> tuple[LeRobotSource, int]:
    """The LeRobot folder, and the episode in it, that holds the video of `dataset[index]`; looks through views.

    Raises:
        FormatError: the dataset is not LeRobot on disk, has another camera there, or hides it in this episode.
    """
    where = f"episode {index}, signal {spec.name!r}"
    if not 0 <= index < len(dataset):
        raise FormatError(
            f"{where}: the dataset to take videos from has {len(dataset)} episodes. Pass one with an episode for each."
        )
    source, inner = dataset.source, int(dataset.indices[index])
    while not isinstance(source, LeRobotSource):
        data = getattr(source, "data", None)  # a view of another dataset
        if not isinstance(data, Dataset):
            raise FormatError(
                f"{where}: {dataset.source.origin} is not a LeRobotDataset on disk. Write without videos_from."
            )
        source, inner = data.source, int(data.indices[inner])
    if source.schema[spec.name] != spec or spec.encoding != "video":
        raise FormatError(
            f"{where}: {source.origin} has {source.schema[spec.name]}, expected {spec}. Write without videos_from."
        )
    if spec.name not in dataset[index] and source.has(inner, spec):
        raise FormatError(
            f"{where}: hidden in the dataset to take videos from, but its file would show it. Write without "
            "videos_from."
        )
    return source, inner


def taken_over(
    dataset: Dataset, index: int, spec: SignalSpec, length: int
) -> tuple[Statistics | None, np.ndarray | None]:
    """Statistics and mask of a video that is taken over.

    The statistics are the source's where this package wrote it, else those of a few decoded frames: foreign ones are
    not trusted. None means that the episode lacks the signal.
    """
    source, inner = video_origin(dataset, index, spec)
    if int(source.lengths[inner]) != length:
        raise FormatError(
            f"episode {index}, signal {spec.name!r}: {length} steps, but the video to take over has "
            f"{source.lengths[inner]}. "
            "Write without videos_from."
        )
    if not source.has(inner, spec):
        return None, None
    mask = source.mask(inner, spec.name, 0, length)
    stored = source.stored_statistics(inner, spec.name)
    if stored is not None:
        return stored, mask
    chosen = subsample(length)
    spans = [(0, length)] if len(chosen) == length else [(int(at), int(at) + 1) for at in chosen]
    pieces = [p for start, stop in spans if (p := source.read(inner, spec.name, start, stop)) is not None]
    found = signal_statistics(
        spec, np.concatenate([p.values for p in pieces]), np.concatenate([p.mask for p in pieces])
    )
    return found, mask


def take_over_camera(
    root: Path, spec: SignalSpec, dataset: Dataset, episodes: int, fps: float, options: LeRobotOptions
) -> Places:
    """Copy the video files that the episodes stand in, unchanged, numbered by first use; says where each episode is."""
    numbers: dict[Path, int] = {}
    chunk, file = np.zeros(episodes, np.int64), np.zeros(episodes, np.int64)
    start, stop = np.zeros(episodes), np.zeros(episodes)
    for index in range(episodes):
        source, inner = video_origin(dataset, index, spec)
        if source.schema.fps != fps:
            raise FormatError(
                f"{source.origin}: {source.schema.fps} fps, the new dataset has {fps}. Write without videos_from."
            )
        path = source.table.video_file(inner, spec.name)
        if path not in numbers:
            numbers[path] = len(numbers)
            if not path.is_file():
                raise FormatError(
                    f"{path} (episode {inner}, signal {spec.name!r}): the video file is missing. Copy it again "
                    "from the source."
                )
            shutil.copyfile(path, _file(root, spec.name, numbers[path], options))
        chunk[index], file[index] = divmod(numbers[path], options.chunk_files)
        start[index] = source.table.videos[spec.name].start[inner]
        stop[index] = start[index] + int(source.lengths[inner]) / fps
    return chunk, file, start, stop


def _file(root: Path, name: str, number: int, options: LeRobotOptions) -> Path:
    chunk, file = divmod(number, options.chunk_files)
    path = expand(root, VIDEO_PATH, video_key=name, chunk_index=chunk, file_index=file)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
