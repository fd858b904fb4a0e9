"""Which steps of a labelled dataset a policy learns from, how much each counts, and which episodes are held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.label import MEASURED, label_specs
from invdyn.errors import ConfigError, unknown_name

__all__ = ["Source", "Weighting", "choose_holdout", "frame_sources", "frame_weights"]

Source = Literal["measured", "inferred", "both"]
Weighting = Literal["none", "confidence", "residual"]


def frame_sources(dataset: Dataset, target: str) -> tuple[Bool[np.ndarray, " frames"], Bool[np.ndarray, " frames"]]:
    """Where the target was measured and where it was inferred, over all frames end to end.

    Values without label columns count as measured.
    """
    known = dataset.column(target).valid
    column = label_specs(dataset.schema[target])["source"].name
    if column not in dataset.schema:
        return known, np.zeros_like(known)
    said = dataset.column(column)
    text = np.where(said.valid, said.values, MEASURED).astype(str)
    measured = text == MEASURED
    return known & measured, known & ~measured & (text != "")


def frame_weights(
    dataset: Dataset, target: str, source: str = "both", weighting: str = "none"
) -> Float[np.ndarray, " frames"]:
    """How much each frame counts: 0 where it is not of the wanted source or has no value.

    `none`: 1. `confidence`: the label's weight (1 where measured without label columns). `residual`: 1 / (1 + r)
    with r the label's replay residual in one-step scales; 1 where measured, 0 where an inferred step was not replayed.

    Raises:
        UnknownNameError: another source or weighting.
        ConfigError: no step of the wanted source; weights asked of labels that carry none.
    """
    for what, name, known in (("source", source, get_args(Source)), ("weighting", weighting, get_args(Weighting))):
        if name not in known:
            raise unknown_name(what, name, known)
    measured, inferred = frame_sources(dataset, target)
    wanted = {"measured": measured, "inferred": inferred, "both": measured | inferred}[source]
    where = dataset.source.origin
    if not wanted.any():
        told = f"{int(measured.sum())} measured and {int(inferred.sum())} inferred steps"
        remedy = "Label it first." if source == "inferred" else "Record or label this signal first."
        raise ConfigError(f"{where}: no {source} value of {target!r} to learn from ({told}). {remedy}")
    weight = wanted.astype(np.float32)
    if weighting == "none" or not (wanted & inferred).any():
        return weight
    part = "weight" if weighting == "confidence" else "residual"
    name = label_specs(dataset.schema[target])[part].name
    given = dataset.column(name) if name in dataset.schema else None
    if given is None or not given.valid[wanted & inferred].any():
        remedy = "Label with a world to replay in" if part == "residual" else "Label it again"
        raise ConfigError(
            f"{where}: weighting {weighting!r} needs {name!r} and no inferred step has it. "
            f"{remedy}, or use weighting='none'."
        )
    if weighting == "confidence":
        each = np.where(given.valid, given.values, measured.astype(np.float32))
    else:
        each = np.where(inferred, np.where(given.valid, 1 / (1 + given.values), 0.0), 1.0)
    weight = weight * each.astype(np.float32)
    if not (weight > 0).any():
        raise ConfigError(
            f"{where}: every step of source {source!r} has weight 0 under {weighting!r}. "
            "Use other labels or weighting='none'."
        )
    return weight


def choose_holdout(
    dataset: Dataset, weight: Float[np.ndarray, " frames"], holdout: float | int | Sequence[int], seed: int
) -> tuple[list[int], list[int]]:
    """Episodes to learn from and episodes for early stopping, among those with at least one weighted step.

    Args:
        dataset: the recordings.
        weight: per frame.
        holdout: share of episodes drawn at random (at least one when it is above 0), or the episodes themselves.
        seed: of the draw.

    Raises:
        ConfigError: nothing left to learn from, or a share outside [0, 1).
    """
    ends = np.cumsum(dataset.lengths)
    usable = [i for i, part in enumerate(np.split(weight, ends[:-1])) if (part > 0).any()]
    if isinstance(holdout, (int, float)):
        if not 0 <= holdout < 1:
            raise ConfigError(f"holdout is {holdout}, expected a share in [0, 1) or a list of episodes.")
        count = math.ceil(holdout * len(usable))
        order = np.random.default_rng(seed).permutation(len(usable))
        held = sorted(usable[i] for i in order[:count])
    else:
        held = sorted({int(range(len(dataset))[e]) for e in holdout})
    train = [e for e in usable if e not in held]
    if not train:
        raise ConfigError(
            f"{dataset.source.origin}: {len(usable)} usable episodes, all held out for early stopping. "
            "Give more episodes, or holdout=0 to train for the full number of steps."
        )
    return train, held
