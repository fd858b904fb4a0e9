"""Writing the tables: data files, one row per episode, the tasks (formats.md 1.4 to 1.6)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from invdyn.episodes.formats.lerobot_episodes import ABSENT, METADATA, SPANS
from invdyn.episodes.formats.lerobot_info import DATA_PATH, expand
from invdyn.episodes.formats.lerobot_options import LeRobotOptions
from invdyn.episodes.formats.lerobot_shards import Shard
from invdyn.episodes.formats.lerobot_videos import Places
from invdyn.episodes.statistics import QUANTILES, Statistics, combine

__all__ = ["DEFAULTS", "EpisodeRows", "RollingData", "write_tasks"]

DEFAULTS = {
    "timestamp": pa.float32(),
    "frame_index": pa.int64(),
    "episode_index": pa.int64(),
    "index": pa.int64(),
    "task_index": pa.int64(),
}
"""The columns that every LeRobotDataset has, last."""
BATCH = 500
"""Episodes written, and statistics combined, at once."""


class RollingData:
    """The data files: one row group per episode, a new file when the size limit would be passed."""

    def __init__(self, root: Path, schema: pa.Schema, options: LeRobotOptions) -> None:
        self.root, self.schema, self.options = root, schema, options
        self._number = -1
        self._writer: pq.ParquetWriter | None = None
        self._sink: Any = None

    def add(self, table: pa.Table, size: int) -> tuple[int, int]:
        """Write one episode that took `size` bytes in its shard; gives (chunk, file)."""
        if self._writer is not None and self._sink.tell() + size > self.options.data_mb * 1e6:
            self.close()
        if self._writer is None:
            self._number += 1
            chunk, file = divmod(self._number, self.options.chunk_files)
            path = expand(self.root, DATA_PATH, chunk_index=chunk, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(path), "wb")
            # Statistics of the index columns only: readers filter by them, and pictures have none worth keeping.
            self._writer = pq.ParquetWriter(
                self._sink, self.schema, compression="snappy", use_dictionary=True, write_statistics=list(DEFAULTS)
            )
        self._writer.write_table(table, row_group_size=max(len(table), 1))
        return divmod(self._number, self.options.chunk_files)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._sink.close()
        self._writer = None


class EpisodeRows:
    """`meta/episodes`, written in batches and rolled over by size; gathers the statistics of the whole dataset.

    Args:
        features: as in info.json.
        places: camera -> where each episode's video is.
    """

    def __init__(
        self,
        root: Path,
        features: Mapping[str, Mapping[str, Any]],
        places: Mapping[str, Places],
        options: LeRobotOptions,
    ) -> None:
        self.root, self.places, self.options = root, places, options
        self.measured = {n: f for n, f in features.items() if f["dtype"] != "string" and 0 not in f["shape"]}
        self.schema = _schema(self.measured, places)
        self._rows: list[dict[str, Any]] = []
        self._parts: dict[str, list[Statistics]] = {n: [] for n in self.measured}
        self._number = -1
        self._writer: pq.ParquetWriter | None = None
        self._sink: Any = None

    def add(self, index: int, shard: Shard, first: int, place: tuple[int, int], statistics: Mapping[str, Any]) -> None:
        row: dict[str, Any] = {
            "episode_index": index,
            "tasks": [shard.task],
            "length": shard.length,
            "data/chunk_index": place[0],
            "data/file_index": place[1],
            "dataset_from_index": first,
            "dataset_to_index": first + shard.length,
            METADATA: shard.metadata,
            SPANS: shard.spans,
            ABSENT: list(shard.absent),
        }
        for camera, where in self.places.items():
            for part, values in zip(("chunk_index", "file_index", "from_timestamp", "to_timestamp"), where):
                row[f"videos/{camera}/{part}"] = values[index].item()
        for name in self.measured:
            told = statistics.get(name)
            for part in ("min", "max", "mean", "std", "count", *QUANTILES):
                row[f"stats/{name}/{part}"] = None if told is None else told[part]
            if told is not None:
                self._parts[name].append(Statistics.of_json(told))
        self._rows.append(row)
        if len(self._rows) >= BATCH:
            self._flush()

    def close(self) -> dict[str, Any]:
        """Finish the files; the statistics of all episodes, for `meta/stats.json`."""
        self._flush()
        self._finish()
        return {name: combine(parts).json() for name, parts in self._parts.items() if parts}

    def _flush(self) -> None:
        for name, parts in self._parts.items():
            if len(parts) > 1:
                self._parts[name] = [combine(parts)]
        if not self._rows:
            return
        if self._writer is not None and self._sink.tell() > self.options.data_mb * 1e6:
            self._finish()
        if self._writer is None:
            self._number += 1
            chunk, file = divmod(self._number, self.options.chunk_files)
            path = self.root / "meta" / "episodes" / f"chunk-{chunk:03d}" / f"file-{file:03d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(path), "wb")
            self._writer = pq.ParquetWriter(self._sink, self.schema, compression="snappy", write_statistics=False)
        chunk, file = divmod(self._number, self.options.chunk_files)
        own = {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}
        self._writer.write_table(pa.Table.from_pylist([row | own for row in self._rows], self.schema))
        self._rows = []

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._sink.close()
        self._writer = None


def _schema(measured: Mapping[str, Mapping[str, Any]], places: Mapping[str, Places]) -> pa.Schema:
    number, seconds, texts = pa.int64(), pa.float64(), pa.list_(pa.string())
    fields: list[tuple[str, pa.DataType]] = [("episode_index", number), ("tasks", texts), ("length", number)]
    fields += [(n, number) for n in ("data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index")]
    for camera in places:
        fields += [(f"videos/{camera}/{part}", number) for part in ("chunk_index", "file_index")]
        fields += [(f"videos/{camera}/{part}", seconds) for part in ("from_timestamp", "to_timestamp")]
    for name, feature in measured.items():
        picture = feature["dtype"] in ("image", "video")
        depth = 3 if picture else len(feature["shape"])
        dtype = feature["dtype"]
        extreme = (
            pa.float64()
            if picture or dtype.startswith("float")
            else pa.bool_()
            if dtype == "bool"
            else pa.uint64()
            if dtype == "uint64"
            else pa.int64()
        )
        for part in ("min", "max", "mean", "std", "count", *QUANTILES):
            kind: pa.DataType = extreme if part in ("min", "max") else pa.int64() if part == "count" else pa.float64()
            for _ in range(1 if part == "count" else depth):
                kind = pa.list_(kind)
            fields.append((f"stats/{name}/{part}", kind))
    fields += [("meta/episodes/chunk_index", number), ("meta/episodes/file_index", number)]
    fields += [(METADATA, pa.string()), (SPANS, pa.string()), (ABSENT, texts)]
    return pa.schema(fields)


def write_tasks(path: Path, tasks: Sequence[str]) -> None:
    """`meta/tasks.parquet` as pandas writes a frame indexed by the text.

    Without the pandas metadata LeRobot takes row numbers for tasks (formats.md 1.5).
    """
    columns = [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
    ]
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [
            {
                "name": None,
                "field_name": None,
                "pandas_type": "unicode",
                "numpy_type": "object",
                "metadata": {"encoding": "UTF-8"},
            }
        ],
        "columns": columns,
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    schema = pa.schema([("task_index", pa.int64()), ("task", pa.string())], {"pandas": json.dumps(pandas)})
    pq.write_table(pa.table([list(range(len(tasks))), list(tasks)], schema=schema), path)
