"""One episode as a stand-alone shard: the unit of interrupted and distributed writing.

`write_shard` is a pure function of its arguments and commits by one rename, so a shard is there and complete or not
there at all, and writing it again gives the same bytes. `merge_shards` (lerobot_merge.py) makes the dataset of them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.atomic import replacing
from invdyn.episodes.formats.lerobot_columns import check_storable, encode_column
from invdyn.episodes.formats.lerobot_info import CLOCK, mask_name, own_json
from invdyn.episodes.formats.lerobot_options import LeRobotOptions
from invdyn.episodes.formats.lerobot_videos import taken_over
from invdyn.episodes.signal import Schema, Signal, SignalSpec
from invdyn.episodes.statistics import signal_statistics, subsample
from invdyn.episodes.video import encode_clip
from invdyn.errors import FormatError

__all__ = ["Shard", "check_schema", "clip_path", "has_shard", "read_shard", "shard_path", "write_shard"]

KEY = b"invdyn.shard"


def shard_path(folder: Path, index: int) -> Path:
    return folder / f"episode-{index:06d}.parquet"


def clip_path(folder: Path, index: int, name: str) -> Path:
    """The encoded pictures of one camera beside the shard."""
    return folder / f"episode-{index:06d}.{name}.mp4"


def has_shard(folder: Path, index: int) -> bool:
    """Whether the episode has been written completely."""
    return shard_path(folder, index).is_file()


def check_schema(schema: Schema) -> None:
    """Raises `FormatError` for a schema that a LeRobotDataset cannot hold."""
    for spec in schema.signals:
        check_storable(spec)
        if spec.name == CLOCK or (spec.name.startswith("mask.") and spec.name.removeprefix("mask.") in schema):
            raise FormatError(
                f"signal {spec.name!r}: this name is taken by the column that the dataset format needs itself. "
                "Rename the signal."
            )


@functools.lru_cache(maxsize=8)
def digest(schema: Schema, options: LeRobotOptions) -> str:
    """What a shard depends on besides the episode."""
    told = {"fps": schema.fps, "signals": [own_json(s) for s in schema.signals], "options": asdict(options)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Shard:
    """A shard as it stands on disk.

    Args:
        length, task: of the episode.
        metadata, spans: JSON text.
        absent: signals of the schema that the episode lacks.
        partial: signals that lack a value at some steps.
        regular: whether time is step / fps.
        statistics: signal -> statistics.
    """

    length: int
    task: str
    metadata: str
    spans: str
    absent: tuple[str, ...]
    partial: tuple[str, ...]
    regular: bool
    statistics: Mapping[str, Any] = field(repr=False)
    digest: str = ""


def write_shard(
    folder: Path,
    index: int,
    episode: Episode,
    schema: Schema,
    *,
    options: LeRobotOptions = LeRobotOptions(),  # noqa: B008  (frozen)
    videos_from: Dataset | None = None,
) -> Path:
    """Write one episode as `<folder>/episode-<index>.parquet`, with `episode-<index>.<camera>.mp4` beside it.

    Args:
        folder: where the shards of one dataset are gathered; made if missing.
        index: the episode's number in the final dataset.
        schema: of the final dataset; it has every signal of the episode.
        videos_from: its episode `index` has the videos, which the merge takes over: no camera is encoded here.

    Raises:
        FormatError: names the episode and the signal that cannot be written, and why.
    """
    check_schema(schema)
    where = f"episode {index}"
    _check_episode(episode, schema, where)
    clock = episode.timestamp
    regular = bool(np.array_equal(clock, np.arange(episode.length, dtype=np.float64) / schema.fps))
    columns: dict[str, pa.Array] = {} if regular else {CLOCK: pa.array(clock)}
    absent, partial, found = [], [], {}
    nested = options.matrices == "nested"
    for spec in schema.signals:
        if spec.encoding == "video" and videos_from is not None:
            statistics, valid = taken_over(videos_from, index, spec, episode.length)
            if statistics is None:
                absent.append(spec.name)
            else:
                found[spec.name] = statistics.json()
            if statistics is not None and valid is not None:
                partial.append(spec.name)
                columns[mask_name(spec.name)] = pa.array(valid)
            continue
        signal = _complete(episode, spec, where)
        if signal is None:
            absent.append(spec.name)
            if spec.encoding == "video":
                signal = Signal(
                    spec, np.zeros((episode.length, *spec.shape), np.uint8)
                )  # LeRobot needs frames; the mask says they are none
        elif signal.valid is not None:
            partial.append(spec.name)
            columns[mask_name(spec.name)] = pa.array(signal.valid)
        if signal is None:
            continue
        if spec.name not in absent:
            chosen = subsample(episode.length) if spec.kind == "image" and len(spec.shape) == 3 else slice(None)
            known = signal_statistics(
                spec, signal.values[chosen], None if signal.valid is None else signal.valid[chosen]
            )
            if known is not None:
                found[spec.name] = known.json(nested=spec.encoding != "array" or (nested and len(spec.shape) <= 5))
        if spec.encoding == "video":
            with replacing(clip_path(folder, index, spec.name)) as temporary:
                encode_clip(
                    temporary,
                    signal.values,
                    schema.fps,
                    codec=options.codec,
                    lossless=options.lossless,
                    crf=options.crf,
                    gop=options.gop,
                    preset=options.preset,
                )
        else:
            columns[spec.name] = encode_column(spec, signal.values, nested=nested)
    shard = Shard(
        episode.length,
        episode.task,
        _json(dict(episode.metadata), f"{where}: metadata"),
        _json(
            [{"start": s.start, "stop": s.stop, "name": s.name, "detail": dict(s.detail)} for s in episode.spans],
            f"{where}: spans",
        ),
        tuple(absent),
        tuple(partial),
        regular,
        found,
        digest(schema, options),
    )
    # Parquet cannot hold a table without columns; the step number is made again at the merge.
    columns.setdefault("frame_index", pa.array(np.arange(episode.length)))
    table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(vars(shard))})
    path = shard_path(folder, index)
    with replacing(path) as temporary:
        pq.write_table(
            table, temporary, compression="snappy", row_group_size=max(episode.length, 1), write_statistics=False
        )
    return path


def read_shard(folder: Path, index: int, *, rows: bool = True) -> tuple[Shard, pa.Table | None]:
    """A shard and, with `rows`, its columns. Raises `FormatError` when it is missing or broken."""
    path = shard_path(folder, index)
    try:
        with pq.ParquetFile(path) as file:
            told = json.loads(file.schema_arrow.metadata[KEY])
            table = file.read(use_threads=False) if rows else None
    except FileNotFoundError:
        raise FormatError(
            f"{path} is missing: episode {index} has not been written. Write it, then merge again."
        ) from None
    except (pa.ArrowException, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise FormatError(
            f"{path} is not a complete shard ({error}). Delete it and write episode {index} again."
        ) from error
    return Shard(**told | {"absent": tuple(told["absent"]), "partial": tuple(told["partial"])}), table


def _check_episode(episode: Episode, schema: Schema, where: str) -> None:
    if episode.length < 1:
        raise FormatError(f"{where} has no steps, and a LeRobotDataset has no empty episodes. Leave it out.")
    for name in episode:
        if name not in schema:
            raise FormatError(
                f"{where} has signal {name!r}, which is not in the schema of the dataset. Add it there or drop it."
            )
        if episode.schema[name] != schema[name]:
            raise FormatError(
                f"{where}: signal {name!r} is {episode.schema[name]}, the dataset has {schema[name]}. Make them equal."
            )


def _complete(episode: Episode, spec: SignalSpec, where: str) -> Signal | None:
    """The signal with NaN, zero or an empty text where it is missing; None when it is missing everywhere."""
    if spec.name not in episode:
        return None
    signal = episode[spec.name]
    values, valid = signal.values, signal.valid
    if valid is not None and valid.all():
        valid = None
    if valid is not None and not valid.any():
        return None
    if valid is not None:
        blank = "" if spec.is_text else (np.nan if spec.numpy_dtype.kind == "f" else 0)
        values = values.copy()
        values[~valid] = blank
    if spec.numpy_dtype.kind == "f":
        finite = np.isfinite(values).reshape(len(values), -1).all(1)
        wrong = np.flatnonzero(~finite & (True if valid is None else valid))
        if len(wrong):
            raise FormatError(
                f"{where}, signal {spec.name!r}, step {wrong[0]}: {values[wrong[0]].ravel()[:8].tolist()} is not "
                "finite. Mark the step as "
                "missing (Signal.valid) or correct the value."
            )
    if spec.is_text:
        odd = [k for k, v in enumerate(values.reshape(-1)) if not isinstance(v, str)]
        if odd:
            raise FormatError(
                f"{where}, signal {spec.name!r}: {values.reshape(-1)[odd[0]]!r} is no text. Convert it with str()."
            )
    return Signal(spec, values, valid)


def _json(value: Any, where: str) -> str:
    def plain(item: Any) -> Any:
        if isinstance(item, np.generic):
            return item.item()
        if isinstance(item, np.ndarray):
            return item.tolist()
        if isinstance(item, Mapping):
            return dict(item)
        raise TypeError(f"{type(item).__name__} is not JSON")

    try:
        return json.dumps(value, default=plain, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"{where} cannot be stored as JSON ({error}). Use numbers, text, lists and dictionaries."
        ) from error
