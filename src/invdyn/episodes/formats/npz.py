"""NPZ files and folders of them: `observations_00` per episode, flat arrays with `episode_ends`, or a file per episode.

Nothing is unpickled. A member is read when a signal of it is first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import EpisodeRecord
from invdyn.episodes.formats.foreign import ForeignSource, MissingPolicy, Naming, Values, complaint, nominal_fps
from invdyn.episodes.formats.npz_archive import NpzArchive
from invdyn.episodes.signal import Schema, SignalSpec
from invdyn.errors import FormatError, SignalError

__all__ = ["NpzSource", "matches", "open", "write"]

ENDS = ("episode_ends", "meta/episode_ends")
MASK = "mask."
"""An array `mask.<key>` [time] says at which steps `<key>` has a value."""
NUMBERED = re.compile(r"^(?P<key>.+)_(?P<number>\d+)$")


@dataclass(frozen=True)
class _Part:
    """Where the arrays of one episode stand: key -> (member, first row, rows)."""

    archive: NpzArchive
    arrays: Mapping[str, tuple[str, int, int]]
    flat: bool

    def length(self, signals: Sequence[str]) -> int:
        return max(self.arrays[key][2] for key in signals)

    def array(self, key: str) -> np.ndarray:
        member, start, rows = self.arrays[key]
        values = self.archive.array(member, keep=self.flat)
        return values[start : start + rows] if self.flat else values

    def shape(self, key: str) -> tuple[int, ...]:
        return self.archive.headers[self.arrays[key][0]].shape

    def dtype(self, key: str) -> np.dtype[Any]:
        return self.archive.headers[self.arrays[key][0]].dtype


def _files(path: Path) -> list[Path]:
    """The NPZ files of a folder (natural order: ep_10 after ep_9), or the file itself."""
    if path.is_file():
        return [path]

    def natural(file: Path) -> list[tuple[int, int | str]]:
        return [(0, int(p)) if p.isdigit() else (1, p) for p in re.split(r"(\d+)", file.name) if p]

    return sorted(path.glob("*.npz"), key=natural)


def matches(path: Path | str) -> bool:
    """Whether this is an NPZ file, or a folder that has some and no metadata of another layout."""
    path = Path(path)
    if path.is_file():
        return path.suffix == ".npz"
    return path.is_dir() and not (path / "meta").exists() and any(path.glob("*.npz"))


def _parts(archive: NpzArchive) -> list[_Part]:
    """The episodes of one file, by whichever of the three layouts it has."""
    ends_key = next((k for k in ENDS if k in archive), None)
    if ends_key is not None:
        return _flat_parts(archive, ends_key)
    numbered = {name: m for name in archive.headers if (m := NUMBERED.match(name))}
    rest = [name for name in archive.headers if name not in numbered]
    if numbered and not rest:
        episodes: dict[int, dict[str, tuple[str, int, int]]] = {}
        for name, match in numbered.items():
            shape = archive.headers[name].shape
            episodes.setdefault(int(match["number"]), {})[match["key"]] = (name, 0, shape[0] if shape else -1)
        return [_Part(archive, episodes[n], False) for n in sorted(episodes)]
    whole = {name: (name, 0, h.shape[0] if h.shape else -1) for name, h in archive.headers.items()}
    return [_Part(archive, whole, False)]


def _flat_parts(archive: NpzArchive, ends_key: str) -> list[_Part]:
    ends = archive.array(ends_key).astype(np.int64).reshape(-1)
    starts = np.concatenate([[0], ends[:-1]])
    if not len(ends) or (ends <= starts).any():
        raise complaint(
            archive.path,
            f"{ends_key} does not increase from above 0",
            expected="the cumulative number of rows after each episode",
            remedy="Write cumulative sums of the episode lengths.",
        )
    rows = int(ends[-1])
    for name, header in archive.headers.items():
        if name != ends_key and header.shape and header.shape[0] != rows:
            raise complaint(
                archive.path,
                f"array {name!r} has {header.shape[0]} rows, {ends_key} ends at {rows}",
                expected="one row per step of all episodes",
                remedy="Write the file again, or leave the array out of it.",
            )
    names = [n for n, h in archive.headers.items() if n != ends_key and h.shape]
    return [
        _Part(archive, {n.removeprefix("data/"): (n, int(a), int(b - a)) for n in names}, True)
        for a, b in zip(starts, ends, strict=True)
    ]


class NpzSource(ForeignSource):
    """Episodes of NPZ files.

    Args:
        path: the file or folder.
        parts: where each episode's arrays are.
        signals: foreign key of every signal.
        constants: keys that hold one value per episode; they become metadata.
        time: key of the recorded seconds, or None.
        flatten: signal names whose steps are flattened to vectors.
    """

    def __init__(
        self,
        path: Path,
        parts: Sequence[_Part],
        schema: Schema,
        signals: Mapping[str, str],
        *,
        constants: Sequence[str] = (),
        time: str | None = None,
        task: str = "",
        nan: MissingPolicy = "refuse",
    ) -> None:
        lengths = [part.length([k for k in signals.values() if k in part.arrays]) for part in parts]
        super().__init__(path, schema, lengths, nan)
        self.parts, self.signals, self.constants, self.time, self.task = parts, signals, constants, time, task

    def file(self, index: int) -> Path:
        return self.parts[index].archive.path

    def record(self, index: int) -> EpisodeRecord:
        part = self.parts[index]
        facts = {key: part.array(key).tolist() for key in self.constants if key in part.arrays}
        return EpisodeRecord(int(self.lengths[index]), self.task, facts)

    def _clock(self, index: int) -> Float64[np.ndarray, " time"] | None:
        if self.time is None:
            return None
        return np.asarray(self.parts[index].array(self.time), np.float64).reshape(-1)

    def _has(self, index: int, name: str) -> bool:
        return self.signals[name] in self.parts[index].arrays

    def _values(self, index: int, name: str, start: int, stop: int) -> Values | None:
        part, key, spec = self.parts[index], self.signals[name], self.schema[name]
        if key not in part.arrays:
            return None
        rows = part.array(key)[start:stop]
        values = rows.reshape(len(rows), *spec.shape) if rows[:1].size == spec.size else rows
        if spec.is_text:
            values = (np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values).astype(object)
        mask = f"{MASK}{key}"
        valid = part.array(mask)[start:stop].astype(bool) if mask in part.arrays else np.ones(len(values), bool)
        absent = stop - start - len(values)  # an action array one row shorter than the observations
        if absent:
            values = np.concatenate([values, np.zeros((absent, *values.shape[1:]), values.dtype)])
            valid = np.concatenate([valid, np.zeros(absent, bool)])
        return values, valid


def open(  # noqa: A001 - every format module has `open`
    path: Path | str,
    *,
    files: Sequence[Path] | None = None,
    fps: float | None = None,
    time: str | None = None,
    names: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    bounds: Mapping[str, tuple[Any, Any]] | None = None,
    components: Mapping[str, Sequence[str]] | None = None,
    kinds: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    constants: Sequence[str] | None = None,
    flatten: Sequence[str] = (),
    task: str = "",
    nan: MissingPolicy = "refuse",
) -> Dataset:
    """Open NPZ recordings.

    Args:
        path: a file or a folder of files.
        files: which files of the folder, in order; None for all, in natural order.
        fps: frames per second; needed without `time`.
        time: key of the recorded seconds (kept exactly, irregular or not); `timestamp` where there is such an array.
        names: array key -> signal name. Unlisted keys follow `CONVENTIONAL`, else keep their name.
        units, bounds, components, kinds: by signal name, see `Naming`.
        drop: keys to leave out.
        constants: keys with one value per episode, kept as metadata. None takes those whose first axis is not
            the episode's length (nor one less: an action array without the last step).
        flatten: signals whose steps become vectors.
        task: what was asked, in words, of every episode.
        nan: `refuse`, or `mask` to read NaN steps as missing.

    Raises:
        FormatError: no frame rate, arrays of different lengths, pickled arrays, a damaged archive.
    """
    path = Path(path)
    files = _files(path) if files is None else files
    if not files:
        raise FormatError(f"{path}: no .npz file found; expected at least one. Check the path.")
    parts = [part for file in files for part in _parts(NpzArchive(file))]
    naming = Naming(names or {}, units or {}, bounds or {}, components or {}, kinds or {}, drop)
    keys = list(dict.fromkeys(key for part in parts for key in part.arrays))
    if time is None and "timestamp" in keys:
        time = "timestamp"  # never a signal: the name is reserved for the clock
    apart = (
        set(drop)
        | ({time} if time else set())
        | {k for k in keys if k.startswith(MASK) and k.removeprefix(MASK) in keys}
    )
    if time and time not in keys:
        raise complaint(path, f"no array {time!r} for the time", expected=f"one of {keys}", remedy="Correct time=...")
    steps, single = _classify(parts, [k for k in keys if k not in apart], constants, path)
    specs: dict[str, SignalSpec] = {}
    for key in steps:
        holder = next(p for p in parts if key in p.arrays)
        shape, dtype = holder.shape(key)[1:], holder.dtype(key)
        if naming.name(key) in flatten:
            shape = (int(np.prod(shape)),)
        specs[key] = naming.spec(key, shape, "string" if dtype.kind in "US" else dtype.name, holder.archive.path)
    naming.check(keys, [s.name for s in specs.values()], path)
    if fps is None:
        if time is None:
            raise complaint(
                path,
                "the file tells no frame rate",
                expected="fps or a time array",
                remedy="Pass fps=... or time=<key of the seconds>.",
            )
        fps = nominal_fps(np.asarray(parts[0].array(time), np.float64).reshape(-1), files[0], 0)
    try:
        schema = Schema(tuple(specs.values()), float(fps))
    except SignalError as error:
        raise FormatError(f"{path}: {error}") from None
    signals = {spec.name: key for key, spec in specs.items()}
    return Dataset(NpzSource(path, parts, schema, signals, constants=single, time=time, task=task, nan=nan))


def _classify(
    parts: Sequence[_Part], keys: Sequence[str], constants: Sequence[str] | None, path: Path
) -> tuple[list[str], list[str]]:
    """Which keys run along the steps and which hold one value per episode."""
    if constants is not None:
        steps, single = [k for k in keys if k not in constants], [k for k in keys if k in constants]
    else:
        longest = [max((p.arrays[k][2] for k in keys if k in p.arrays), default=-1) for p in parts]
        along = {
            k: all(
                n >= 0 and p.arrays[k][2] in (n, n - 1) for p, n in zip(parts, longest, strict=True) if k in p.arrays
            )
            for k in keys
        }
        steps, single = [k for k in keys if along[k]], [k for k in keys if not along[k]]
    for index, part in enumerate(parts):
        rows = {k: part.arrays[k][2] for k in steps if k in part.arrays}
        longest_here = max(rows.values(), default=-1)
        for key, count in rows.items():
            if count not in (longest_here, longest_here - 1) or count < 0:
                raise complaint(
                    part.archive.path,
                    f"{count} rows where others have {longest_here}",
                    expected="one row per step (or one less, for actions)",
                    remedy=f"Pass constants=[{key!r}, ...] or drop=[{key!r}].",
                    episode=index,
                    signal=key,
                )
    for key in single:
        shapes = {p.shape(key) for p in parts if key in p.arrays}
        if constants is None and len(shapes) > 1:
            raise complaint(
                path,
                f"array {key!r} has neither one row per step nor one shape in all episodes ({sorted(shapes)[:3]} ...)",
                expected="signals along the steps or constants of one shape",
                remedy=f"Pass drop=[{key!r}].",
            )
    if not steps:
        raise complaint(path, "no array runs along the steps", expected="at least one signal", remedy="Check the file.")
    return steps, single


def write(dataset: Dataset, path: Path | str) -> None:
    """One NPZ per episode (`episode_000000.npz`): signals by name, `timestamp`, `mask.<name>` where steps miss.

    `open(path)` reads values, clock and masks back exactly; units, bounds, tasks and metadata have no place in
    this layout (write LeRobot for those).
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    for index, episode in enumerate(dataset):
        arrays: dict[str, np.ndarray] = {"timestamp": episode.timestamp}
        for name, signal in episode.items():
            arrays[name] = signal.values.astype(str) if signal.spec.is_text else signal.values
            if signal.valid is not None:
                arrays[f"mask.{name}"] = signal.valid
        np.savez_compressed(path / f"episode_{index:06d}.npz", **arrays)  # type: ignore[arg-type]
