"""`refine`: correct inferred causes by a few forward evaluations from the recorded states.

Where a world can be put into the recorded state, an answer can be checked, and an answer that fails the check can be
improved: find the cause near it whose next observation is the recorded one. How it is found: `correction.py`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64
from torch import Tensor

from invdyn.episodes.episode import Episode
from invdyn.verify.correction import REFINED, RefineConfig, Refinement, correct, prepared
from invdyn.verify.onestep import OneStep
from invdyn.verify.tracking import refine_track
from invdyn.worlds.base import World

__all__ = ["REFINED", "RefineConfig", "Refinement", "refine"]


def refine(
    world: World,
    episode: Episode,
    causes: np.ndarray | Tensor | str,
    *,
    threshold: float,
    config: RefineConfig | None = None,
    tool: OneStep | None = None,
    spread: Float64[np.ndarray, "time cause"] | None = None,
    keep: Bool[np.ndarray, " time"] | None = None,
    seed: int = 0,
) -> Refinement:
    """Correct the causes of steps whose one-step residual is above `threshold`.

    All steps of the episode are worked on side by side on the copies of the world. Each step is its own problem: from
    the recorded state at t, which cause leads to the recorded observation at t + 1. With `RefineConfig(along=True)` one
    after the other instead, see `refine_track`.

    Args:
        world: can be anchored in the episode's states.
        causes: [time, cause] inferred, NaN where there is none (those stay NaN).
        threshold: normalised residual (see `one_step_residual`) above which a step is worked on.
            One step moves little: on Meta-World pick-place causes wrong by 0.15 of 1 leave 0.018, so that 0.05
            touches hardly any step and 0.003 nearly all.
        config: how; None for the defaults.
        tool: what is compared and at which scale; pass one `OneStep.of(world, dataset)` for a whole dataset. None
            takes this episode's own scale.
        spread: [time, cause] the model's uncertainty: the width that sampling starts from, and what `noise` needs.
        keep: [time] True where the value must not be touched (measured causes).
        seed: of the samples.

    Raises:
        ConfigError: a negative threshold, `noise` without a spread.
        SignalError: spread or keep of another shape.
        WorldError: the recording does not tell its states.
    """
    config = config or RefineConfig()
    if config.along:
        return refine_track(
            world, episode, causes, threshold=threshold, config=config, tool=tool, spread=spread, keep=keep, seed=seed
        )
    job = prepared(world, episode, causes, threshold, config, tool, spread, keep)
    steps, result = job.tool.usable(job.episode, job.values), Refinement.untouched(job.values, threshold)
    if len(steps) and job.seen:
        gaps = job.gaps(steps, job.values[steps])
        result.before[steps] = result.after[steps] = job.residual(gaps)
        result.evaluations[steps] = 1
        open_ = (result.before[steps] > threshold) & (~keep[steps] if keep is not None else True)
        correct(job, steps[open_], gaps[open_], result, config, spread, np.random.default_rng(seed))
    return result
