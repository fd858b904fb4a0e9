"""Minari data sets: `<name>-v<N>/data/metadata.json` with HDF5, Arrow or Parquet beside it (layout of Minari 0.5.4).

An episode of T actions and T+1 observations becomes T+1 rows whose last action and reward are missing. Minari
keeps no clock: without `fps` rows count as one per second, which is logged.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import EpisodeRecord, Span
from invdyn.episodes.formats.foreign import ForeignSource, MissingPolicy, Values, complaint, spec_from_json
from invdyn.episodes.formats.minari_spaces import leaves, parse
from invdyn.episodes.formats.minari_stores import PADDED, ArrowStore, Hdf5Store, MinariStore
from invdyn.episodes.formats.minari_write import CLOCK, OWN, write
from invdyn.episodes.signal import Schema, SignalSpec, infer_kind
from invdyn.errors import FormatError, SignalError

__all__ = ["MinariSource", "matches", "open", "write"]

log = logging.getLogger(__name__)
STEPWISE = {
    "rewards": SignalSpec("next.reward", (), "float64", "reward"),
    "terminations": SignalSpec("next.terminated", (), "bool", "event"),
    "truncations": SignalSpec("next.truncated", (), "bool", "event"),
}


@dataclass(frozen=True)
class _Place:
    """Where a signal stands."""

    part: str
    path: tuple[str | int, ...]


def _folder(path: Path) -> Path:
    return path / "data" if (path / "data" / "metadata.json").is_file() else path


def matches(path: Path | str) -> bool:
    """Whether the folder (or its `data/`) has a metadata.json that names a data format and the spaces' counters."""
    file = _folder(Path(path)) / "metadata.json"
    try:
        return file.is_file() and {"total_episodes", "data_format"} <= set(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return False


class MinariSource(ForeignSource):
    """Episodes of a Minari data set.

    Args:
        path: the folder with metadata.json.
        schema: the signals.
        store: where their values are.
        places: signal -> where in the store.
        facts: about the whole data set; they become metadata of every episode.
        own: whether `write` made it: names, masks and the clock then stand among the infos.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        store: MinariStore,
        places: Mapping[str, _Place],
        facts: Mapping[str, Any],
        own: bool,
        task: str,
        nan: MissingPolicy,
    ) -> None:
        super().__init__(path, schema, [steps + 1 for steps in store.lengths], nan)
        self.store, self.places, self.facts, self.own, self.task = store, places, facts, own, task

    def file(self, index: int) -> Path:
        return self.store.file(index)

    def record(self, index: int) -> EpisodeRecord:
        beside = dict(self.store.facts(index))
        length = int(self.lengths[index])
        if self.own:
            told = json.loads(beside.get(OWN, "{}"))
            spans = tuple(Span(s["start"], s["stop"], s["name"], s.get("detail", {})) for s in told.get("spans", []))
            return EpisodeRecord(length, told.get("task", self.task), told.get("metadata", {}), spans)
        beside.pop("total_steps", None)
        return EpisodeRecord(length, self.task, {**self.facts, **_nested(beside)})

    def _clock(self, index: int) -> Float64[np.ndarray, " time"] | None:
        if not (self.own and self.store.has(index, "infos", (CLOCK,))):
            return None
        spec = SignalSpec("clock", (), "float64", "state")
        return self.store.rows(index, "infos", (CLOCK,), spec, 0, int(self.lengths[index]))

    def _place(self, index: int, name: str) -> _Place | None:
        if self.own and self.store.has(index, "infos", (name,)):
            return _Place("infos", (name,))  # every step, the last one included
        place = self.places[name]
        return place if self.store.has(index, place.part, place.path) else None

    def _has(self, index: int, name: str) -> bool:
        return self._there(index, name, self._place(index, name))

    def _there(self, index: int, name: str, place: _Place | None) -> bool:
        if place is None or (place.part in PADDED and self.lengths[index] == 1):  # one observation, no action
            return False
        mask = self._mask(index, name, 0, int(self.lengths[index]))
        return mask is None or bool(mask.any())

    def _mask(self, index: int, name: str, start: int, stop: int) -> np.ndarray | None:
        path = (f"mask.{name}",)
        if not (self.own and self.store.has(index, "infos", path)):
            return None
        return self.store.rows(index, "infos", path, SignalSpec("mask", (), "bool", "event"), start, stop)

    def _values(self, index: int, name: str, start: int, stop: int) -> Values | None:
        place, spec = self._place(index, name), self._specs[name]
        if place is None or not self._there(index, name, place):
            return None
        values = self.store.rows(index, place.part, place.path, spec, start, stop)
        valid, there = None, len(values)
        if there < stop - start:  # the last observation has no action
            padded = np.empty((stop - start, *values.shape[1:]), values.dtype)
            padded[:there] = values
            padded[there:] = "" if spec.is_text else np.nan if values.dtype.kind == "f" else 0
            values, valid = padded, np.arange(stop - start) < there
        mask = self._mask(index, name, start, stop)
        return values, mask if valid is None else valid if mask is None else valid & mask


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`options/a` as {"options": {"a": ...}}; bytes and arrays are plain values by now."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split("/")
        at = tree
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return tree


def open(  # noqa: A001 - every format module has `open`
    path: Path | str,
    *,
    fps: float | None = None,
    task: str = "",
    units: Mapping[str, str] | None = None,
    nan: MissingPolicy = "refuse",
) -> Dataset:
    """Open a Minari data set.

    Signals: a plain observation is `observation.state` (a picture: `observation.image`), a Dict or Tuple gives
    `observation.<key>.<key>`; likewise `action`; `next.reward`, `next.terminated`, `next.truncated`; `info.<key>`
    for the infos that the first episode has. Data that `write` made comes back as it was.

    Args:
        path: the folder `<name>-v<N>`, or its `data`.
        fps: steps per second; None takes what `write` noted, else 1 (time then counts steps; this is logged).
        task: what was asked, in words.
        units: signal name -> unit.
        nan: `refuse`, or `mask` to read NaN steps as missing.

    Raises:
        FormatError: unreadable metadata, an unknown data format or space, counters that do not fit the data.
    """
    folder = _folder(Path(path))
    file = folder / "metadata.json"
    try:
        metadata = json.loads(file.read_text("utf-8"))
        if not isinstance(metadata, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise complaint(
            file, f"cannot be read ({error})", expected="Minari's metadata.json", remedy="Check the path."
        ) from None
    store = _store(folder, metadata, file)
    if len(store.lengths) != metadata.get("total_episodes"):
        raise complaint(
            file,
            f"total_episodes is {metadata.get('total_episodes')}, {len(store.lengths)} episodes are there",
            expected="equal numbers",
            remedy="Copy the data set again, or correct metadata.json.",
        )
    own = _own(metadata, file)
    observation, action = parse(metadata, "observation_space", file), parse(metadata, "action_space", file)
    specs: dict[str, SignalSpec] = {}
    places: dict[str, _Place] = {}

    def add(spec: SignalSpec, place: _Place) -> None:
        if spec.name in specs:
            raise complaint(
                file,
                f"two values are both called {spec.name!r}",
                expected="distinct keys",
                remedy="Rename one of them.",
            )
        specs[spec.name], places[spec.name] = spec, place

    found = leaves(observation, "observation", "observation.state", file)
    if len(found) == 1 and not found[0].path and found[0].image:
        found = [replace(found[0], spec=replace(found[0].spec, name="observation.image", kind="image"))]
    for leaf in found:
        add(leaf.spec, _Place("observations", leaf.path))
    for leaf in leaves(action, "action", "action", file, "action"):
        add(leaf.spec, _Place("actions", leaf.path))
    for part, spec in STEPWISE.items():
        add(spec, _Place(part, ()))
    if own is None:
        for keys, (shape, dtype) in store.info_keys(0).items():
            name = "info." + ".".join(map(str, keys)).replace("/", ".")
            add(SignalSpec(name, shape, dtype, infer_kind(name, dtype, shape)), _Place("infos", keys))
    else:
        wanted = {s.name: s for s in own[0]}
        # roots: a single observation or action has no key that could name it
        single = {p.part: n for n, p in places.items() if p.part in ("observations", "actions") and not p.path}
        for part, name in single.items():
            actual = own[2][part]
            places[actual] = places.pop(name)
        places = {n: places.get(n, _Place("infos", (n,))) for n in wanted}
        specs = wanted
    for name, unit in (units or {}).items():
        if name not in specs:
            raise complaint(
                file, f"option units names {name!r}", expected=f"one of {list(specs)}", remedy="Correct it."
            )
        specs[name] = replace(specs[name], unit=unit)
    rate = fps or (own[1] if own else None)
    if rate is None:
        log.warning("%s tells no frame rate: time counts steps, one per second. Pass fps=... to set it.", folder)
        rate = 1.0
    try:
        schema = Schema(tuple(specs.values()), float(rate))
    except SignalError as error:
        raise FormatError(f"{file}: {error}") from None
    kept = ("dataset_id", "env_spec", "algorithm_name", "description", "author", "code_permalink", "minari_version")
    facts = {"minari": {k: metadata[k] for k in kept if metadata.get(k)}}
    return Dataset(MinariSource(folder, schema, store, places, facts, own is not None, task, nan))


def _store(folder: Path, metadata: Mapping[str, Any], file: Path) -> MinariStore:
    kind = metadata.get("data_format", "hdf5")
    if kind == "hdf5":
        return Hdf5Store(folder / "main_data.hdf5")
    if kind in ("arrow", "parquet"):
        return ArrowStore(folder, kind)
    raise complaint(
        file, f"data_format is {kind!r}", expected="hdf5, arrow or parquet", remedy="Convert it with Minari first."
    )


def _own(metadata: Mapping[str, Any], file: Path) -> tuple[list[SignalSpec], float, dict[str, str]] | None:
    """What `write` noted about the signals, or None for data of others."""
    told = metadata.get(OWN)
    if told is None:
        return None
    try:
        noted = json.loads(told)
        specs = [spec_from_json(one) for one in noted["signals"]]
        return specs, float(noted["fps"]), noted["roots"]
    except (KeyError, TypeError, ValueError) as error:
        raise complaint(
            file,
            f"the entry {OWN!r} cannot be used ({error!r})",
            expected="what invdyn wrote",
            remedy="Delete the entry.",
        ) from None
