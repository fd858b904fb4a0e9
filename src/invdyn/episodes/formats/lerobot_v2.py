"""The episode table of LeRobotDataset v2.1 and v2.0: JSON lines, files per episode (formats.md 1.11)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from invdyn.episodes.formats.lerobot_episodes import EpisodeTable, VideoPlace, _check
from invdyn.episodes.formats.lerobot_info import MOST_FRAMES, LeRobotInfo
from invdyn.errors import FormatError

__all__ = ["read_episodes_v2"]


def read_episodes_v2(info: LeRobotInfo) -> EpisodeTable:
    """From `meta/episodes.jsonl` and `meta/tasks.jsonl`."""
    path = info.root / "meta" / "episodes.jsonl"
    rows = sorted(_lines(path, "episode_index"), key=lambda row: row["episode_index"])
    for row in rows:
        length = row.get("length")
        if type(length) is not int or not 0 < length <= MOST_FRAMES:
            raise FormatError(
                f"{path}: episode {row['episode_index']} has length {length!r}, expected a number of steps. Correct it."
            )
    index = np.array([row["episode_index"] for row in rows], np.int64)
    lengths = np.array([row["length"] for row in rows], np.int64)
    _check(info, path, index, lengths)
    chunk = index // info.chunks_size
    zeros = np.zeros(len(index), np.int64)
    cameras = [s.name for s in info.schema.signals if s.encoding == "video"]
    videos = {c: VideoPlace(chunk, index, np.zeros(len(index))) for c in cameras}
    tasks = [[str(t) for t in row.get("tasks", [])] for row in rows]
    text = {"tasks": pa.chunked_array([pa.array(tasks, pa.list_(pa.string()))])}
    return EpisodeTable(info, lengths, chunk, index, zeros, lengths, videos, text, _tasks(info.root))


def _tasks(root: Path) -> tuple[str, ...]:
    path = root / "meta" / "tasks.jsonl"
    rows = sorted(_lines(path, "task_index"), key=lambda row: row["task_index"])
    if [row["task_index"] for row in rows] != list(range(len(rows))):
        raise FormatError(f"{path}: task_index does not run 0, 1, 2, ... Correct it.")
    return tuple(str(row.get("task", "")) for row in rows)


def _lines(path: Path, key: str) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # JSON text may hold other line separators
    except FileNotFoundError:
        raise FormatError(f"{path} is missing. Copy it again from the source.") from None
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not UTF-8 text ({error}). Copy it again from the source.") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise FormatError(
                f"{path}, line {number}: not JSON ({error}); cut off? Copy it again from the source."
            ) from error
        if not isinstance(row, dict) or type(row.get(key)) is not int:
            raise FormatError(f"{path}, line {number}: expected an object with a whole number {key}. Correct it.")
        rows.append(row)
    return rows
