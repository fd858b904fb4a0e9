"""`score_labels`: inferred labels against the true values that were hidden from the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.label import MEASURED, Label, label_specs
from invdyn.errors import ConfigError
from invdyn.verify.metrics.calibration import Coverage, coverage
from invdyn.verify.metrics.regression import mae, r2

__all__ = ["LabelScore", "score_labels"]


@dataclass(frozen=True)
class LabelScore:
    """How well labels match the truth, over the steps that were inferred and whose truth is known.

    Args:
        r2, mae: [cause]; `mae` in the cause's unit.
        coverage: of the intervals; None where the labels have none.
        steps, episodes: how much was compared.
        truth, value, lower, upper: [steps, cause] what was compared.
        episode: [steps] which episode each is of.
    """

    r2: Float64[np.ndarray, " cause"]
    mae: Float64[np.ndarray, " cause"]
    coverage: Coverage | None
    steps: int
    episodes: int
    truth: Float64[np.ndarray, "steps cause"]
    value: Float64[np.ndarray, "steps cause"]
    lower: Float64[np.ndarray, "steps cause"]
    upper: Float64[np.ndarray, "steps cause"]
    episode: np.ndarray


def score_labels(labelled: Dataset, truth: Dataset, target: str = "action") -> LabelScore:
    """Compare the inferred steps of `labelled` with the recorded values in `truth`, the same recordings unhidden.

    Raises:
        ConfigError: recordings that do not correspond, no label columns, nothing inferred whose truth is known.
    """
    if len(labelled) != len(truth) or (labelled.lengths != truth.lengths).any():
        raise ConfigError(
            f"{labelled.source.origin} ({len(labelled)} episodes, {labelled.frames} frames) and {truth.source.origin} "
            f"({len(truth)} episodes, {truth.frames} frames) are not the same "
            "recordings. Compare with those that were labelled."
        )
    if label_specs(labelled.schema[target])["source"].name not in labelled.schema:
        raise ConfigError(f"{labelled.source.origin} has no labels of {target!r}. Label it first with `invdyn label`.")
    parts: dict[str, list[np.ndarray]] = {k: [] for k in ("truth", "value", "lower", "upper", "episode")}
    for number, (mine, true) in enumerate(zip(labelled, truth, strict=True)):
        if target not in true:
            continue
        label = Label.of(mine, target)
        inferred = np.array([bool(s) and s != MEASURED for s in label.source]) & true[target].mask
        rows = {
            "truth": np.asarray(true[target].values, float),
            "value": label.value,
            "lower": label.lower,
            "upper": label.upper,
        }
        for name, values in rows.items():
            parts[name].append(values.reshape(len(values), -1)[inferred])
        parts["episode"].append(np.full(int(inferred.sum()), number))
    joined = {k: np.concatenate(v) if v else np.empty(0) for k, v in parts.items()}
    if not len(joined["truth"]):
        raise ConfigError(
            f"{labelled.source.origin} has no inferred {target!r} whose true value stands in {truth.source.origin}. "
            "Give the recordings from before the actions were hidden."
        )
    bounded = np.isfinite(joined["lower"]).all() and np.isfinite(joined["upper"]).all()
    return LabelScore(
        r2=r2(joined["truth"], joined["value"]),
        mae=mae(joined["truth"], joined["value"]),
        coverage=coverage(joined["truth"], joined["lower"], joined["upper"], episode=joined["episode"])
        if bounded
        else None,
        steps=len(joined["truth"]),
        episodes=len(np.unique(joined["episode"])),
        **joined,
    )
