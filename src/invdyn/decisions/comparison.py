"""`compare_policies`: the same policy from measured labels only, from inferred ones too, and from all true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from invdyn.decisions.cloning import FittedPolicy, fit_policy
from invdyn.decisions.config import PolicyConfig
from invdyn.decisions.selection import Weighting
from invdyn.episodes.dataset import Dataset
from invdyn.errors import ConfigError
from invdyn.training.trainer import TrainerConfig

__all__ = ["PolicyComparison", "compare_policies"]


@dataclass(frozen=True)
class PolicyComparison:
    """Three policies that differ in their labels alone.

    Args:
        labelled_only: from the measured actions (the lower control).
        inferred: from the measured and the inferred actions.
        oracle: from the true actions of all recordings (the upper control).
    """

    labelled_only: FittedPolicy
    inferred: FittedPolicy
    oracle: FittedPolicy


def compare_policies(
    labelled: Dataset,
    truth: Dataset,
    config: PolicyConfig | None = None,
    *,
    trainer: TrainerConfig | None = None,
    weighting: Weighting = "confidence",
    holdout: float | int | Sequence[int] = 0.1,
    folder: Path | None = None,
    progress: bool = False,
    seed: int | None = None,
) -> PolicyComparison:
    """Fit the three policies of the label protocol (SS-ORL, VPT) with one setting, budget and seed.

    Args:
        labelled: the output of `label_dataset`: a few measured episodes, the rest inferred.
        truth: the same recordings with all their true actions.
        weighting: how inferred steps count, see `frame_weights`; the controls have measured steps only.
        config, trainer, holdout, progress, seed: as in `fit_policy`, the same for all three.
        folder: checkpoints go to its subfolders, named as the fields of the result.

    Raises:
        ConfigError: recordings that do not correspond; otherwise as `fit_policy`.
    """
    if len(labelled) != len(truth) or (labelled.lengths != truth.lengths).any():
        raise ConfigError(
            f"compare_policies: {len(labelled)} labelled recordings ({labelled.frames} frames) and "
            f"{len(truth)} true ones ({truth.frames} frames) are not the same. "
            "Give the recordings the labels were inferred for."
        )

    def fit(name: str, data: Dataset, source: str, weights: Weighting) -> FittedPolicy:
        place = None if folder is None else folder / name
        return fit_policy(
            data,
            config,
            trainer=trainer,
            source=source,  # type: ignore[arg-type]
            weighting=weights,
            holdout=holdout,
            folder=place,
            progress=progress,
            seed=seed,
        )

    return PolicyComparison(
        fit("labelled_only", labelled, "measured", "none"),
        fit("inferred", labelled, "both", weighting),
        fit("oracle", truth, "measured", "none"),
    )
