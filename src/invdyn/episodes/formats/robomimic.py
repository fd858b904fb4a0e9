"""robomimic HDF5: `data/demo_<k>` with `obs/<key>`, `actions`, `rewards`, `dones`, `states`; filters under `mask/`.

A per-step dataset that a demo lacks is a missing signal here. robomimic's own loader puts zeros in its place without a
word, so `write` stores every one of them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import EpisodeRecord, Span
from invdyn.episodes.formats.foreign import ForeignSource, MissingPolicy, Values, complaint, spec_from_json
from invdyn.episodes.formats.hdf5 import Hdf5File, decode, numbered
from invdyn.episodes.formats.robomimic_write import OWN, STATE, write
from invdyn.episodes.signal import Kind, Schema, SignalSpec, infer_kind
from invdyn.errors import FormatError, SignalError

__all__ = ["RobomimicSource", "matches", "open", "write"]

log = logging.getLogger(__name__)
NAMES: Mapping[str, tuple[str, Kind]] = {
    "actions": ("action", "action"),
    "rewards": ("next.reward", "reward"),
    "dones": ("next.done", "event"),
    "states": (STATE, "state"),
}
"""Per-step datasets with a name of their own; others are `robomimic.<key>` (never `action...`, see formats.md 1.3)."""


def matches(path: Path | str) -> bool:
    """Whether this is an HDF5 file with `data/demo_<k>` that is not a raw robosuite recording."""
    path = Path(path)
    if not path.is_file() or path.suffix not in (".hdf5", ".h5"):
        return False

    def test(root: Any) -> bool:
        if "data" not in root or "repository_version" in root["data"].attrs:
            return False
        return "env_args" in root["data"].attrs or any(name.startswith("demo_") for name in root["data"])

    return Hdf5File.looks_like(path, test)


@dataclass(frozen=True)
class _Place:
    """Where a signal stands in a demo; `following`: dataset whose last row goes on after it (`next_obs/<key>`)."""

    dataset: str
    following: str = ""


class RobomimicSource(ForeignSource):
    """Episodes of a robomimic file.

    Args:
        hdf5: the file.
        schema: the signals.
        demos: names of the episode groups, sorted by number.
        lengths: [episodes] rows.
        places: signal -> where.
        filters: filter name -> demos in it.
        facts: about the whole file.
        own: whether `write` made it: masks, spans and the clock then stand beside.
    """

    def __init__(
        self,
        hdf5: Hdf5File,
        schema: Schema,
        demos: Sequence[str],
        lengths: Sequence[int],
        places: Mapping[str, _Place],
        filters: Mapping[str, frozenset[str]],
        facts: Mapping[str, Any],
        own: bool,
        task: str,
        nan: MissingPolicy,
    ) -> None:
        super().__init__(hdf5.path, schema, lengths, nan)
        self._hdf5, self.demos, self.places, self.filters = hdf5, demos, places, filters
        self.facts, self.own, self.task = facts, own, task

    def _demo(self, index: int) -> h5py.Group:
        return self._hdf5.group(f"data/{self.demos[index]}")

    def record(self, index: int) -> EpisodeRecord:
        demo, length = self._demo(index), int(self.lengths[index])
        named = sorted(f for f, demos in self.filters.items() if self.demos[index] in demos)
        filters: dict[str, Any] = {"filters": named} if named else {}
        if self.own:
            told = json.loads(str(decode(demo.attrs[OWN])))
            spans = tuple(Span(s["start"], s["stop"], s["name"], s["detail"]) for s in told["spans"])
            return EpisodeRecord(length, told["task"], {**told["metadata"], **filters}, spans)
        attributes = {k: decode(v) for k, v in demo.attrs.items() if k != "num_samples"}
        return EpisodeRecord(length, self.task, {"demo": self.demos[index], **self.facts, **attributes, **filters})

    def _clock(self, index: int) -> Float64[np.ndarray, " time"] | None:
        demo = self._demo(index)
        if not self.own or f"{OWN}/timestamp" not in demo:
            return None
        data = self._hdf5.dataset(f"{OWN}/timestamp", demo)
        return np.asarray(self._hdf5.values(data, 0, len(data)), np.float64)

    def _has(self, index: int, name: str) -> bool:
        demo, mask = self._demo(index), f"{OWN}/mask.{name}"
        if self.own and mask in demo and not self._hdf5.dataset(mask, demo)[()].any():
            return False
        return self.places[name].dataset in demo

    def _values(self, index: int, name: str, start: int, stop: int) -> Values | None:
        demo, place, spec = self._demo(index), self.places[name], self.schema[name]
        if not self._has(index, name):
            return None
        data = self._hdf5.dataset(place.dataset, demo)
        length = int(self.lengths[index])
        following = place.following and place.following in demo
        if data.ndim == 0 or len(data) not in ((length, length - 1) if self.own else (length,)):
            raise complaint(
                self.path,
                f"{place.dataset} of {self.demos[index]} has shape {data.shape}",
                expected=f"{length} rows (num_samples)",
                remedy="Write the demo again, or leave it out.",
                episode=index,
                signal=name,
            )
        values = self._hdf5.values(data, start, min(stop, len(data)))
        if spec.is_text:
            values = np.array([decode(v) for v in values], object)
        elif spec.dtype == "bool" and values.dtype.kind in "iu":  # dones are stored as 0 and 1
            values = values.astype(bool)
        absent = stop - start - len(values)
        valid = np.ones(stop - start, bool)
        if absent:  # the row after the last action: its observation is the last of next_obs
            if following:
                last = self._hdf5.dataset(place.following, demo)
                tail = self._hdf5.values(last, len(last) - 1, len(last))
            else:
                tail = np.full((1, *spec.shape), np.nan if spec.numpy_dtype.kind == "f" else 0, spec.numpy_dtype)
                valid[-1] = False
            values = np.concatenate([values, tail])
        mask = f"{OWN}/mask.{name}"
        if self.own and mask in demo:
            valid &= self._hdf5.values(self._hdf5.dataset(mask, demo), start, stop).astype(bool)
        return values, valid


def open(  # noqa: A001 - every format module has `open`
    path: Path | str,
    *,
    fps: float | None = None,
    task: str = "",
    units: Mapping[str, str] | None = None,
    nan: MissingPolicy = "refuse",
) -> Dataset:
    """Open a robomimic file.

    Signals: `observation.<key>`, pictures `observation.images.<key>`, `action`, `next.reward`, `next.done`,
    `world.state`, others `robomimic.<key>`; those of the first demo. `next_obs` repeats `obs` one step later and is not
    read. Filters (`mask/`) become the metadata entry `filters`.

    Args:
        path: the HDF5 file.
        fps: steps per second; None takes `control_freq` of env_args, else 1 (time counts steps; this is logged).
        task: what was asked, in words.
        units: signal name -> unit.
        nan: `refuse`, or `mask` to read NaN steps as missing.

    Raises:
        FormatError: no demo, rows that do not fit `num_samples`, unreadable env_args.
    """
    path = Path(path)
    hdf5 = Hdf5File(path)
    data = hdf5.group("data")
    demos = [name for _, name in numbered(data, "demo_")]
    if not demos:
        raise complaint(path, "no group data/demo_<k>", expected="at least one demo", remedy="Check the file.")
    facts = _facts(data, path)
    own = json.loads(str(decode(data.attrs[OWN]))) if OWN in data.attrs else None
    lengths = [_length(hdf5, hdf5.group(name, data), index, own is not None) for index, name in enumerate(demos)]
    first = hdf5.group(demos[0], data)
    if own is not None:
        specs = [spec_from_json(s) for s in own["signals"]]
        places = {s.name: _Place(**own["places"][s.name]) for s in specs}
    else:
        specs, places = _survey(first, path)
    for name, unit in (units or {}).items():
        if name not in places:
            raise complaint(
                path, f"option units names {name!r}", expected=f"one of {list(places)}", remedy="Correct it."
            )
        specs = [s if s.name != name else SignalSpec(s.name, s.shape, s.dtype, s.kind, unit) for s in specs]
    rate = fps or (own["fps"] if own else None) or _control_rate(facts)
    if rate is None:
        log.warning("%s tells no frame rate: time counts steps, one per second. Pass fps=... to set it.", path)
        rate = 1.0
    try:
        schema = Schema(tuple(specs), float(rate))
    except SignalError as error:
        raise FormatError(f"{path}: {error}") from None
    filters: dict[str, frozenset[str]] = {}
    if "mask" in hdf5.root:
        for name in hdf5.group("mask"):
            filters[name] = frozenset(str(decode(d)) for d in hdf5.dataset(f"mask/{name}")[()])
    return Dataset(RobomimicSource(hdf5, schema, demos, lengths, places, filters, facts, own is not None, task, nan))


def _length(hdf5: Hdf5File, demo: h5py.Group, index: int, own: bool) -> int:
    if own:
        return int(json.loads(str(decode(demo.attrs[OWN])))["rows"])
    if "num_samples" in demo.attrs:
        return int(demo.attrs["num_samples"])
    if "actions" in demo:
        return len(hdf5.dataset("actions", demo))
    raise complaint(
        hdf5.path,
        f"{demo.name} has neither num_samples nor actions",
        expected="one of them",
        remedy="Write the demo again, or leave it out.",
        episode=index,
    )


def _facts(data: h5py.Group, path: Path) -> dict[str, Any]:
    text = data.attrs.get("env_args")
    if text is None:
        return {}
    try:
        return {"env_args": json.loads(str(decode(text)))}
    except ValueError as error:
        raise complaint(
            path, f"env_args is no JSON ({error})", expected="JSON text", remedy="Repair the attribute of `data`."
        ) from None


def _control_rate(facts: Mapping[str, Any]) -> float | None:
    rate = facts.get("env_args", {}).get("env_kwargs", {}).get("control_freq")
    return float(rate) if isinstance(rate, int | float) and rate > 0 else None


def _survey(demo: h5py.Group, path: Path) -> tuple[list[SignalSpec], dict[str, _Place]]:
    """The signals of a demo by name, observations first."""
    found: dict[str, _Place] = {}
    specs: list[SignalSpec] = []

    def add(name: str, kind: Kind | None, key: str, data: h5py.Dataset) -> None:
        text = h5py.check_string_dtype(data.dtype) is not None
        dtype = "string" if text else data.dtype.name
        found[name] = _Place(key)
        shape = tuple(data.shape[1:])
        specs.append(SignalSpec(name, shape, dtype, kind or infer_kind(name, dtype, shape)))

    def walk(group: h5py.Group, prefix: str) -> None:
        for key, child in group.items():
            where = f"{prefix}{key}"
            if isinstance(child, h5py.Group):
                if where != "next_obs":
                    walk(child, f"{where}/")
            elif child.ndim:
                dotted = where.replace("/", ".")
                if where.startswith("obs/"):
                    picture = child.dtype == np.uint8 and child.ndim == 4
                    name = ("observation.images." if picture else "observation.") + dotted.removeprefix("obs.")
                    add(name, None, where, child)
                elif where in NAMES:
                    add(*NAMES[where], where, child)
                else:
                    add(f"robomimic.{dotted}", None, where, child)

    walk(demo, "")
    if not specs:
        raise complaint(path, f"{demo.name} holds no dataset", expected="at least actions", remedy="Check the file.")
    return specs, found
