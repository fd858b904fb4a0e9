"""LeRobotDataset, our native layout: v3.0 read and written, v2.1 and v2.0 read (formats.md 1), without lerobot.

| file | what |
|---|---|
| `lerobot_info.py` | `meta/info.json`, `meta/invdyn.json`, path templates |
| `lerobot_episodes.py`, `lerobot_v2.py` | the episode table of v3.0; of v2.1 and v2.0 |
| `lerobot_columns.py` | values as Arrow columns, and back |
| `lerobot_files.py`, `lerobot_source.py` | open data files; reading one column of one episode |
| `lerobot_shards.py`, `lerobot_merge.py` | one episode as a stand-alone file; the dataset made of them |
| `lerobot_index.py`, `lerobot_videos.py` | writing the tables; joining or taking over video files |
| `lerobot_writer.py`, `lerobot_options.py` | episodes one after the other; how to write |

What LeRobot has no place for stands beside, where other readers ignore it: bool columns `mask.<signal>` where values
are missing (floats hold NaN there, whole numbers 0, text is empty, pictures are black), `clock.timestamp` (float64)
where time is not frame / fps, `meta/invdyn.json` (fps, shapes, units, kinds, names, bounds, encodings), and the columns
`invdyn/metadata`, `invdyn/spans` (JSON text) and `invdyn/absent` (names) of the episode table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.lerobot_options import LeRobotOptions
from invdyn.episodes.formats.lerobot_source import LeRobotSource
from invdyn.episodes.formats.lerobot_writer import LeRobotWriter

__all__ = ["open", "write"]


def open(path: Path, **options: Any) -> Dataset:  # noqa: A001  (the name every format module has)
    """The dataset in a folder that holds `meta/info.json`; options: see `LeRobotSource`."""
    return Dataset(LeRobotSource(Path(path), **options))


def write(dataset: Dataset, path: Path, *, videos_from: Dataset | None = None, **options: Any) -> None:
    """Write v3.0; options: see `LeRobotOptions`; `videos_from`: see `LeRobotWriter`."""
    with LeRobotWriter(path, dataset.schema, options=LeRobotOptions.of(**options), videos_from=videos_from) as writer:
        for episode in dataset:
            writer.add(episode)
