"""`meta/info.json` and `meta/invdyn.json`: what a LeRobotDataset says of itself (formats.md 1.2, 1.3)."""

from __future__ import annotations

import json
import logging
import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from invdyn.episodes.formats.lerobot_columns import check_storable
from invdyn.episodes.signal import RESERVED, Schema, SignalSpec, infer_kind
from invdyn.errors import FormatError, SignalError

__all__ = ["CLOCK", "DATA_PATH", "VIDEO_PATH", "LeRobotInfo", "expand", "mask_name", "read_info", "read_json"]

log = logging.getLogger(__name__)

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CLOCK = "clock.timestamp"
"""The column of the true float64 clock, where it is not frame_index / fps."""
PLACEHOLDERS = {"chunk_index", "file_index", "video_key", "episode_chunk", "episode_index"}
KNOWN = frozenset(
    [
        "codebase_version",
        "robot_type",
        "total_episodes",
        "total_frames",
        "total_tasks",
        "total_videos",
        "total_chunks",
        "chunks_size",
        "fps",
        "splits",
        "data_path",
        "video_path",
        "features",
        "tools",
        "data_files_size_in_mb",
        "video_files_size_in_mb",
    ]
)
MOST_BYTES, MOST_FRAMES = 2**31, 2**40
"""No step of a signal and no dataset is larger; metadata that says so is refused before anything is allocated."""


def mask_name(name: str) -> str:
    """The bool column that tells at which steps a signal has a value."""
    return f"mask.{name}"


@dataclass(frozen=True)
class LeRobotInfo:
    """What `info.json` and `invdyn.json` say.

    Args:
        root: the folder.
        version: (2, 0), (2, 1) or (3, 0).
        schema: signals and true frame rate; masks and the clock column are not signals.
        features: the raw feature table, for what the schema does not hold.
        masked: signals that have a `mask.<name>` column.
        clock: whether the column `clock.timestamp` is there.
        data_path, video_path: path templates.
        chunks_size: files (v3) or episodes (v2) in one chunk folder.
        frames, episodes: totals.
        ours: written by this package.
    """

    root: Path
    version: tuple[int, int]
    schema: Schema
    features: Mapping[str, Any] = field(repr=False)
    masked: frozenset[str]
    clock: bool
    data_path: str
    video_path: str
    chunks_size: int
    frames: int
    episodes: int
    ours: bool

    @property
    def file(self) -> Path:
        return self.root / "meta" / "info.json"


def read_json(path: Path) -> Any:
    """The content of a JSON file, or a `FormatError` naming it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormatError(f"{path} is missing. Copy it again, or pass the folder that holds meta/info.json.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{path} is not valid JSON ({error}). Copy it again from the source.") from error


def expand(root: Path, template: str, **values: int | str) -> Path:
    """A path template filled in; it may use the known placeholders only and may not leave `root`.

    Raises:
        FormatError: an unknown placeholder, attribute access, or a path outside the folder.
    """
    where = f"{root / 'meta' / 'info.json'}: path template {template!r}"
    try:
        fields = [(name, spec) for _, name, spec, _ in string.Formatter().parse(template) if name is not None]
        bad = [name for name, spec in fields if name not in PLACEHOLDERS or "{" in (spec or "") or len(spec or "") > 4]
        if bad:
            raise ValueError(f"placeholder {{{bad[0]}}} is not allowed")
        text = template.format(**values)
    except (ValueError, KeyError, IndexError) as error:
        raise FormatError(
            f"{where} cannot be used ({error}). Only {', '.join(sorted(PLACEHOLDERS))} are known."
        ) from None
    path = root / text
    if text.startswith(("/", "\\")) or ".." in Path(text).parts or not path.resolve().is_relative_to(root.resolve()):
        raise FormatError(f"{where} leads to {text!r}, outside the folder. Paths must stay inside the dataset.")
    return path


def read_info(root: Path) -> LeRobotInfo:
    """Read and check `meta/info.json` (and `meta/invdyn.json` if there); nothing is believed that can be checked."""
    file = root / "meta" / "info.json"
    raw = read_json(file)
    if not isinstance(raw, dict) or "codebase_version" not in raw or not isinstance(raw.get("features"), dict):
        raise FormatError(
            f"{file}: no codebase_version or features in it. It is not the info.json of a LeRobotDataset."
        )
    version = _version(file, raw["codebase_version"])
    for key in sorted(set(raw) - KNOWN):
        log.warning("%s: unknown key %r is ignored", file, key)

    def whole(key: str, least: int, most: int, default: int | None = None) -> int:
        value = raw.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise FormatError(
                f"{file}: {key} is {value!r}, expected a whole number from {least} to {most}. Correct it."
            )
        return value

    own_file = root / "meta" / "invdyn.json"
    own = read_json(own_file) if own_file.exists() else None
    if own is not None and not isinstance(own, dict):
        raise FormatError(f"{own_file} is not a JSON object. Delete it to read the folder as plain LeRobot.")
    fps = raw.get("fps") if own is None else own.get("fps", raw.get("fps"))
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1e9:
        raise FormatError(f"{file}: fps is {fps!r}, expected a positive number of frames per second. Correct it.")
    specs = _specs(file, raw["features"], own_file, own)
    masked = frozenset(s.name for s in specs if _is_mask(raw["features"].get(mask_name(s.name))))
    hidden = {mask_name(n) for n in masked} | {CLOCK}
    if own is not None:
        known = [s["name"] for s in own.get("signals", [])]
        order = {name: at for at, name in enumerate(known)}
        specs.sort(key=lambda s: order.get(s.name, len(order)))
    schema = Schema(tuple(s for s in specs if s.name not in hidden), float(fps))
    default_video = VIDEO_PATH if version[0] == 3 else ""
    return LeRobotInfo(
        root,
        version,
        schema,
        raw["features"],
        masked,
        CLOCK in raw["features"],
        _text(file, raw, "data_path"),
        raw.get("video_path") or default_video,
        whole("chunks_size", 1, 10**9, 1000),
        whole("total_frames", 0, MOST_FRAMES),
        whole("total_episodes", 0, MOST_FRAMES),
        own is not None,
    )


def _text(file: Path, raw: Mapping[str, Any], key: str) -> str:
    if not isinstance(raw.get(key), str):
        raise FormatError(f"{file}: {key} is {raw.get(key)!r}, expected a path template. Correct it.")
    return str(raw[key])


def _version(file: Path, text: Any) -> tuple[int, int]:
    known = {"v3.0": (3, 0), "v2.1": (2, 1), "v2.0": (2, 0)}
    if text not in known:
        raise FormatError(
            f"{file}: codebase_version {text!r} cannot be read, only {', '.join(known)}. Convert it with LeRobot's own "
            "script lerobot.datasets.v30.convert_dataset_v21_to_v30, or update invdyn."
        )
    return known[text]


def _is_depth(feature: Mapping[str, Any]) -> bool:
    told = [feature.get("info"), feature.get("video_info")]
    return any(
        t.get(key) is True for t in told if isinstance(t, dict) for key in ("is_depth_map", "video.is_depth_map")
    )


def _is_mask(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("dtype") == "bool" and list(feature.get("shape", [])) == [1]


def _specs(file: Path, features: Mapping[str, Any], own_file: Path, own: Any) -> list[SignalSpec]:
    try:
        told = {s["name"]: s for s in own["signals"]} if own is not None else {}
    except (KeyError, TypeError):
        raise FormatError(
            f"{own_file} has no list of signals with names. Delete it to read the folder as plain LeRobot."
        ) from None
    for name in sorted(set(told) - set(features)):
        log.warning("%s: signal %r is not among the features of info.json and is ignored", own_file, name)
    specs = []
    for name, feature in features.items():
        if name in RESERVED:
            continue
        where = f"{file}: feature {name!r}"
        shape = feature.get("shape") if isinstance(feature, dict) else None
        if not isinstance(shape, (list, tuple)) or not all(type(n) is int and n >= 0 for n in shape):
            raise FormatError(f"{where} has shape {shape!r}, expected a list of whole numbers. Correct it.")
        if math.prod(shape) * 8 > MOST_BYTES:
            raise FormatError(
                f"{where}: one step of shape {list(shape)} would take more than {MOST_BYTES} bytes. Correct the shape."
            )
        if feature.get("dtype") == "language":
            log.warning("%s holds language annotations, which are not read", where)
            continue
        if _is_depth(feature):
            log.warning("%s is a depth video (12-bit codes), which is not read", where)
            continue
        try:
            spec = _own_spec(told[name]) if name in told else _foreign_spec(name, feature, tuple(shape))
        except (SignalError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise FormatError(f"{where} cannot be read: {error}") from error
        if spec.size != math.prod(shape):
            raise FormatError(
                f"{where} has shape {list(shape)}, but {own_file} says {list(spec.shape)}. Delete {own_file.name} "
                "to read "
                "the folder as plain LeRobot."
            )
        check_storable(spec, where)
        if spec.encoding == "array" and spec.dtype != feature.get("dtype"):
            raise FormatError(
                f"{where} has dtype {feature.get('dtype')!r}, but {own_file} says {spec.dtype!r}. Correct one of them."
            )
        specs.append(spec)
    return specs


def _own_spec(told: Mapping[str, Any]) -> SignalSpec:
    def numbers(key: str) -> tuple[float, ...] | None:
        return None if told.get(key) is None else tuple(float(v) for v in told[key])  # "inf" and "nan" stand as text

    names = None if told.get("names") is None else tuple(told["names"])
    fields = {key: told[key] for key in ("name", "dtype", "kind", "unit", "encoding")}
    return SignalSpec(shape=tuple(told["shape"]), names=names, low=numbers("low"), high=numbers("high"), **fields)


def own_json(spec: SignalSpec) -> dict[str, Any]:
    """The spec as strict JSON (infinite bounds as text)."""

    def numbers(values: Sequence[float] | None) -> list[float | str] | None:
        return None if values is None else [v if np.isfinite(v) else str(float(v)) for v in map(float, values)]

    return asdict(spec) | {"low": numbers(spec.low), "high": numbers(spec.high)}


def _foreign_spec(name: str, feature: Mapping[str, Any], shape: tuple[int, ...]) -> SignalSpec:
    dtype, names = feature["dtype"], feature.get("names")
    if dtype in ("image", "video"):
        if len(shape) != 3:
            raise SignalError(f"a picture has a shape of three numbers, not {list(shape)}. Correct it.")
        if isinstance(names, list) and names and str(names[0]).startswith("channel"):
            shape = (shape[1], shape[2], shape[0])
        return SignalSpec(name, shape, "uint8", "image", encoding="png" if dtype == "image" else "video")
    if isinstance(names, Mapping):  # {"motors": [...]}
        inner = list(names.values())
        names = inner[0] if len(inner) == 1 and isinstance(inner[0], list) else None
    if shape == (1,) and not (name.startswith(("observation", "action")) and dtype.startswith("float")):
        shape, names = (), None  # LeRobot has no scalars: they have shape [1] (formats.md 1.3)
    fits = isinstance(names, list) and len(names) == math.prod(shape)
    return SignalSpec(
        name, shape, dtype, infer_kind(name, dtype, shape), names=tuple(map(str, names)) if fits and names else None
    )
