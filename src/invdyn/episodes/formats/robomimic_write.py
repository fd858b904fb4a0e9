"""Writing robomimic HDF5 so that its loader finds every per-step dataset it looks for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.signal import SignalSpec

__all__ = ["OWN", "STATE", "write"]

OWN = "invdyn"
"""Attribute with what robomimic has no place for, and group of the signals and masks it does not know."""
STATE = "world.state"
FIXED = {"action": "actions", "next.reward": "rewards", "next.done": "dones", STATE: "states"}


def write(
    dataset: Dataset,
    path: Path | str,
    *,
    env_args: Mapping[str, Any] | None = None,
    filters: Mapping[str, Sequence[int]] | None = None,
    compression: str | None = "gzip",
) -> None:
    """Write a robomimic file.

    An episode whose last row has no action gives N = rows - 1 samples, and its last observation stands in `next_obs`;
    else N = rows. Without a reward, rewards are NaN; without `next.done`, the last sample is done; without a
    simulator state, `states` has no columns.

    Args:
        dataset: needs `action` and an `observation.*`.
        path: the file to create.
        env_args: `env_name`, `env_version`, `type` (1 robosuite, 2 gym), `env_kwargs`; None takes the world's id.
        filters: filter name -> episode numbers; added to those that stand in the metadata entry `filters`.
        compression: of the datasets, or None.

    Raises:
        FormatError: no action or observation; missing integers (there is no sign for them); an episode without sample.
    """
    path = Path(path)
    schema = dataset.schema
    observations = [n for n in schema if n.startswith("observation.")]
    if "action" not in schema or not observations:
        raise complaint(
            path,
            f"signals {', '.join(schema)}",
            expected="action and at least one observation.*",
            remedy="Choose another format, or name the signals so.",
        )
    places = _places(dataset, observations)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        data = file.create_group("data")
        total = 0
        members: dict[str, list[str]] = {name: [f"demo_{i}" for i in which] for name, which in (filters or {}).items()}
        world = ""
        for index, episode in enumerate(dataset):
            for name in episode.metadata.get("filters", []):
                members.setdefault(name, []).append(f"demo_{index}")
            world = world or str(episode.metadata.get("world", {}).get("id", ""))
            total += _demo(data.create_group(f"demo_{index}"), episode, places, path, compression)
        default = {"env_name": world, "env_version": "", "type": 2, "env_kwargs": {"control_freq": dataset.fps}}
        data.attrs["total"] = total
        data.attrs["env_args"] = json.dumps(dict(default if env_args is None else env_args))
        signals = [asdict(s) for s in schema.signals]
        data.attrs[OWN] = json.dumps({"signals": signals, "fps": dataset.fps, "places": places})
        for name, demos in members.items():
            file.create_dataset(f"mask/{name}", data=np.array(list(dict.fromkeys(demos)), dtype="S"))


def _places(dataset: Dataset, observations: Sequence[str]) -> dict[str, dict[str, str]]:
    """signal -> the dataset it stands in, and the one with its last row."""
    places: dict[str, dict[str, str]] = {}
    taken: set[str] = set()
    for name in dataset.schema:
        if name in FIXED:
            places[name] = {"dataset": FIXED[name], "following": f"{OWN}/last.{name}"}
        elif name in observations and not dataset.schema[name].is_text:
            key = name.removeprefix("observation.").removeprefix("images.")
            key = name.removeprefix("observation.") if key in taken else key
            taken.add(key)
            places[name] = {"dataset": f"obs/{key}", "following": f"next_obs/{key}"}
        else:
            places[name] = {"dataset": f"{OWN}/{name}"}
    return places


def _demo(
    group: h5py.Group,
    episode: Episode,
    places: Mapping[str, Mapping[str, str]],
    path: Path,
    compression: str | None,
) -> int:
    rows = episode.length
    terminal = "action" not in episode or not episode["action"].mask[-1]
    samples = rows - 1 if terminal else rows
    if samples < 1:
        raise complaint(
            path,
            "a single row without an action gives no sample",
            expected="one sample at least",
            remedy="Leave the episode out.",
            episode=episode.index,
        )

    def put(key: str, values: np.ndarray) -> None:
        if values.dtype == object:
            group.create_dataset(key, data=values, dtype=h5py.string_dtype("utf-8"))
        else:
            group.create_dataset(key, data=values, compression=compression if values.size else None)

    for name, place in places.items():
        spec, own = episode.schema[name], place["dataset"].startswith(f"{OWN}/")
        if name not in episode:
            if name == "action":
                put("actions", np.full((samples, *spec.shape), np.nan, _floating(spec, path, episode, 0)))
            if name in FIXED:  # what stands in its place is no value
                group.create_dataset(f"{OWN}/mask.{name}", data=np.zeros(rows, bool))
            continue
        signal = episode[name]
        valid, values = signal.mask, signal.values
        kept = rows if own else samples
        wrong = np.flatnonzero(~valid[:kept])
        if len(wrong):
            if not own and name != "next.done":
                _floating(spec, path, episode, int(wrong[0]))
            group.create_dataset(f"{OWN}/mask.{name}", data=valid)
        if name == "next.done":
            values = values.astype(np.int64) if spec.dtype == "bool" else values
        put(place["dataset"], values[:kept])
        if terminal and not own and valid[-1]:
            # a reward or state of the row after the last action has no place of robomimic's own
            put(place["following"], values[1:] if place["following"].startswith("next_obs/") else values[-1:])
    if "rewards" not in group:
        put("rewards", np.full(samples, np.nan))
    if "dones" not in group:
        put("dones", (np.arange(samples) == samples - 1).astype(np.int64))
    if "states" not in group:
        put("states", np.empty((samples, 0)))
    group.attrs["num_samples"] = samples
    if not np.array_equal(episode.timestamp, np.arange(rows) / episode.schema.fps):
        group.create_dataset(f"{OWN}/timestamp", data=episode.timestamp)
    for key in ("model_file", "ep_meta"):
        if isinstance(episode.metadata.get(key), str):
            group.attrs[key] = episode.metadata[key]
    spans = [{"start": s.start, "stop": s.stop, "name": s.name, "detail": dict(s.detail)} for s in episode.spans]
    told = {"rows": rows, "task": episode.task, "metadata": dict(episode.metadata), "spans": spans}
    group.attrs[OWN] = json.dumps(told)
    return samples


def _floating(spec: SignalSpec, path: Path, episode: Episode, step: int) -> np.dtype[Any]:
    """The dtype, if it can say that a value is missing."""
    if spec.numpy_dtype.kind != "f":
        raise complaint(
            path,
            f"{spec.dtype} value is missing at step {step}",
            expected="a value at every step, for robomimic has no sign for a missing one",
            remedy="Leave out the signal or the episode, or write the LeRobot format.",
            episode=episode.index,
            signal=spec.name,
        )
    return spec.numpy_dtype
