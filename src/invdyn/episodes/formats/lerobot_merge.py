"""`merge_shards`: a LeRobotDataset v3.0 out of one shard per episode, the same bytes whatever order they came in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.atomic import appearing
from invdyn.episodes.formats.lerobot_columns import column_type, encode_column
from invdyn.episodes.formats.lerobot_index import DEFAULTS, EpisodeRows, RollingData, write_tasks
from invdyn.episodes.formats.lerobot_info import CLOCK, DATA_PATH, VIDEO_PATH, expand, mask_name, own_json
from invdyn.episodes.formats.lerobot_options import LeRobotOptions
from invdyn.episodes.formats.lerobot_shards import Shard, check_schema, clip_path, digest, read_shard, shard_path
from invdyn.episodes.formats.lerobot_videos import Places, join_camera, take_over_camera
from invdyn.episodes.signal import Schema, SignalSpec
from invdyn.episodes.statistics import signal_statistics
from invdyn.episodes.video import video_facts
from invdyn.errors import FormatError

__all__ = ["merge_shards"]


def merge_shards(
    folder: Path,
    path: Path,
    schema: Schema,
    *,
    episodes: int,
    options: LeRobotOptions = LeRobotOptions(),  # noqa: B008  (frozen)
    videos_from: Dataset | None = None,
    overwrite: bool = False,
) -> Path:
    """Shards 0 .. episodes-1 of `folder` as a LeRobotDataset at `path`, which appears whole by one rename.

    The result depends on the shards alone. `folder` is left as it is.

    Args:
        schema, options, videos_from: as given to `write_shard`.

    Raises:
        FormatError: a shard that is missing, broken, or of another schema or other options; an existing `path`.
    """
    if episodes < 1:
        raise FormatError(f"{path}: a LeRobotDataset needs at least one episode, got {episodes}. Add one.")
    with appearing(Path(path), overwrite=overwrite) as root:
        write_dataset_folder(folder, root, schema, episodes, options, videos_from)
    return Path(path)


def write_dataset_folder(
    folder: Path, root: Path, schema: Schema, episodes: int, options: LeRobotOptions, videos_from: Dataset | None
) -> None:
    """The work of `merge_shards`, straight into `root`."""
    check_schema(schema)
    expected = digest(schema, options)
    shards = []
    for index in range(episodes):
        shard, _ = read_shard(folder, index, rows=False)
        if shard.digest != expected:
            raise FormatError(
                f"{shard_path(folder, index)} was written for another schema or with other options. Delete it and "
                "write it again."
            )
        shards.append(shard)
    masked = {name for s in shards for name in (*s.absent, *s.partial)}
    layout = _Layout(
        schema, options, tuple(s for s in schema.signals if s.name in masked), not all(s.regular for s in shards)
    )
    (root / "meta").mkdir(parents=True)
    tasks = list(dict.fromkeys(s.task for s in shards))
    number = {task: k for k, task in enumerate(tasks)}
    lengths = [s.length for s in shards]
    places: dict[str, Places] = {}
    for spec in layout.cameras:
        if videos_from is None:
            places[spec.name] = join_camera(
                root, spec, [clip_path(folder, k, spec.name) for k in range(episodes)], lengths, schema.fps, options
            )
        else:
            places[spec.name] = take_over_camera(root, spec, videos_from, episodes, schema.fps, options)
    rows = EpisodeRows(root, layout.features, places, options)
    first = 0
    data = RollingData(root, layout.arrow, options)
    for index, shard in enumerate(shards):
        _, table = read_shard(folder, index)
        assert table is not None
        whole = layout.complete(table, shard, index, first, number[shard.task])
        place = data.add(whole, shard_path(folder, index).stat().st_size)
        rows.add(index, shard, first, place, layout.statistics(shard, whole))
        first += shard.length
    data.close()
    totals = rows.close()
    write_tasks(root / "meta" / "tasks.parquet", tasks)
    _write_json(root / "meta" / "stats.json", totals)
    _write_json(root / "meta" / "info.json", _info(root, layout, options, episodes, first, len(tasks)))
    own = {"version": 1, "fps": schema.fps, "signals": [own_json(s) for s in schema.signals]}
    _write_json(root / "meta" / "invdyn.json", own)


class _Layout:
    """Which columns the data files have."""

    def __init__(self, schema: Schema, options: LeRobotOptions, masked: tuple[SignalSpec, ...], clock: bool) -> None:
        self.schema, self.nested = schema, options.matrices == "nested"
        self.cameras = tuple(s for s in schema.signals if s.encoding == "video")
        self.stored = tuple(s for s in schema.signals if s.encoding != "video")
        self.masked, self.clock = masked, clock
        fields = [(s.name, column_type(s, nested=self.nested)) for s in self.stored]
        fields += [(mask_name(s.name), pa.bool_()) for s in masked] + [(CLOCK, pa.float64())] * clock
        self.arrow = pa.schema(fields + [(name, kind) for name, kind in DEFAULTS.items()])
        features = {s.name: _feature(s, self.nested) for s in schema.signals}
        extra = {mask_name(s.name): "bool" for s in masked} | ({CLOCK: "float64"} if clock else {})
        extra |= {name: str(np.dtype(kind.to_pandas_dtype())) for name, kind in DEFAULTS.items()}
        self.features: dict[str, dict[str, Any]] = features | {
            n: {"dtype": d, "shape": [1], "names": None} for n, d in extra.items()
        }

    def complete(self, table: pa.Table, shard: Shard, index: int, first: int, task: int) -> pa.Table:
        """The rows of one shard with every column of the dataset."""
        length = shard.length
        columns: dict[str, Any] = {}
        for spec in self.stored:
            columns[spec.name] = table[spec.name] if spec.name not in shard.absent else self._blank(spec, length)
        for spec in self.masked:
            name = mask_name(spec.name)
            columns[name] = (
                table[name] if spec.name in shard.partial else pa.array(np.full(length, spec.name not in shard.absent))
            )
        frame = np.arange(length)
        if self.clock:
            columns[CLOCK] = pa.array(frame / self.schema.fps) if shard.regular else table[CLOCK]
        columns["timestamp"] = pa.array((frame / self.schema.fps).astype(np.float32))
        numbers = {
            "frame_index": frame,
            "episode_index": np.full(length, index),
            "index": first + frame,
            "task_index": np.full(length, task),
        }
        columns |= {name: pa.array(values) for name, values in numbers.items()}
        return pa.table([columns[field.name] for field in self.arrow], schema=self.arrow)

    def _blank(self, spec: SignalSpec, length: int) -> pa.Array:
        blank: Any = "" if spec.is_text else (np.nan if spec.numpy_dtype.kind == "f" else 0)
        return encode_column(spec, np.full((length, *spec.shape), blank, spec.numpy_dtype), nested=self.nested)

    def statistics(self, shard: Shard, table: pa.Table) -> dict[str, Any]:
        """Of the signals (from the shard) and of the columns that only the merge knows."""
        found = dict(shard.statistics)
        for name, feature in self.features.items():
            if name not in self.schema:
                spec = SignalSpec("column", (), feature["dtype"], "state")
                known = signal_statistics(spec, table[name].to_numpy())
                assert known is not None  # an episode has at least one step
                found[name] = known.json()
        return found


def _feature(spec: SignalSpec, nested: bool) -> dict[str, Any]:
    if spec.encoding != "array":
        return {
            "dtype": "image" if spec.encoding == "png" else "video",
            "shape": list(spec.shape),
            "names": ["height", "width", "channels"],
        }
    shape = list(spec.shape) if nested and 2 <= len(spec.shape) <= 5 else ([spec.size] if spec.shape else [1])
    names = list(spec.names) if spec.names else None
    if names is None and len(spec.shape) >= 2 and shape == [spec.size] and 0 < spec.size <= 1024:
        names = [str(list(map(int, at))) for at in np.ndindex(*spec.shape)]  # tells the layout of the flattened rows
    return {"dtype": spec.dtype, "shape": shape, "names": names}


def _info(
    root: Path, layout: _Layout, options: LeRobotOptions, episodes: int, frames: int, tasks: int
) -> dict[str, Any]:
    for spec in layout.cameras:
        first = expand(root, VIDEO_PATH, video_key=spec.name, chunk_index=0, file_index=0)
        layout.features[spec.name]["info"] = video_facts(first)
    fps = layout.schema.fps
    return {
        "codebase_version": "v3.0",
        "robot_type": options.robot_type,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": options.chunk_files,
        "data_files_size_in_mb": max(1, math.ceil(options.data_mb)),
        "video_files_size_in_mb": max(1, math.ceil(options.video_mb)),
        "fps": max(1, round(fps)),  # LeRobot needs a whole number; the true rate stands in invdyn.json
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if layout.cameras else None,
        "features": layout.features,
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
