"""Who made a label: identities of model, recordings and settings, so that no two are ever mixed in one output."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

import invdyn
from invdyn.actions.base import InverseModel
from invdyn.episodes.dataset import Dataset
from invdyn.errors import ConfigError
from invdyn.training.saving import weights_hash

__all__ = ["dataset_identity", "differences", "model_identity", "versions"]

SAMPLED = 16
"""Episodes whose values enter the identity of a dataset; all episodes enter with length, task and metadata."""


def model_identity(model: InverseModel) -> dict[str, Any]:
    """Class, id, hash of all weights and buffers, window and inputs."""
    return {
        "class": type(model).__name__,
        "id": model.model_id,
        "weights": weights_hash(model),
        "config": repr(getattr(model, "config", None)),
        "inputs": list(model.inputs),
        "window": [model.window.before, model.window.after, int(getattr(getattr(model, "config", None), "stride", 1))],
    }


def dataset_identity(dataset: Dataset, names: Iterable[str]) -> dict[str, Any]:
    """What tells recordings apart wherever they lie: signals, lengths, tasks, metadata, values of sampled episodes.

    Args:
        dataset: the recordings.
        names: signals whose values are hashed, in 16 episodes spread evenly.
    """
    records = hashlib.sha256()
    for record in dataset.records():
        told = [record.length, record.task, record.metadata, [dataclasses.astuple(s) for s in record.spans]]
        records.update(json.dumps(told, sort_keys=True, default=str).encode())
    values = hashlib.sha256()
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(SAMPLED, len(dataset))).round().astype(int)):
        episode = dataset[int(index)]
        values.update(episode.timestamp.tobytes())
        for name in names:
            if name not in episode:
                values.update(b"absent")
                continue
            # The beginning is enough for pictures: they are large, and states and clock beside them are hashed whole.
            signal = episode.read(name, 0, min(8, episode.length) if episode.schema[name].kind == "image" else None)
            content = signal.values
            values.update(repr(content.tolist()).encode() if content.dtype == object else content.tobytes())
            values.update(signal.mask.tobytes())
    return {
        "episodes": len(dataset),
        "frames": dataset.frames,
        "schema": hashlib.sha256(repr(dataset.schema).encode()).hexdigest()[:16],
        "records": records.hexdigest()[:16],
        "values": values.hexdigest()[:16],
    }


def versions() -> dict[str, str]:
    """Versions whose arithmetic enters the labels."""
    return {"invdyn": invdyn.__version__, "torch": torch.__version__, "numpy": np.__version__}


def differences(one: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> list[str]:
    """Where two fingerprints differ, as `path: a, not b`."""
    found = []
    for key in sorted({*one, *other}):
        a, b, where = one.get(key), other.get(key), f"{path}{key}"
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{where}.")
        elif a != b:
            found.append(f"{where}: {_short(a)}, not {_short(b)}")
    return found


def check_same(known: Mapping[str, Any], asked: Mapping[str, Any], where: str, remedy: str) -> None:
    """Raises `ConfigError` naming the first differences between an output's fingerprint and the one asked for."""
    told = differences(known, asked)
    if told:
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        raise ConfigError(f"{where} was made with other settings ({'; '.join(told[:3])}{more}). {remedy}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
