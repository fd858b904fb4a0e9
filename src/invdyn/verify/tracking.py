"""`refine_track`: correct causes along the episode, each from the state that the corrected ones before it reached.

`refine` puts the world into the recorded state of every step. A recording that does not tell that state (Push-T keeps
no velocities, an observation of joints none either) can only be put there nearly, and the one-step residual then
measures the start as much as the cause. Going along the episode needs the recorded state once, at the start: after
that the world itself is the state, kept in snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from invdyn.episodes.episode import Episode
from invdyn.verify.compared import to_cause
from invdyn.verify.correction import RefineConfig, Refinement, correct, prepared
from invdyn.verify.onestep import OneStep
from invdyn.worlds.base import Snapshot, World

__all__ = ["LOST", "refine_track"]

LOST = 1.0
"""A residual as large as the steps themselves. What is left above it after correction no cause has brought back."""


@dataclass(frozen=True)
class _FromHere(OneStep):
    """Forward evaluations from one snapshot, in which all copies of the world stand, instead of recorded states."""

    here: Snapshot | None = None

    def put(self, episode: Episode, steps: Int64[np.ndarray, " batch"]) -> None:
        assert self.here is not None
        self.world.restore(self.here)


def refine_track(
    world: World,
    episode: Episode,
    causes: np.ndarray | Tensor | str,
    *,
    threshold: float,
    config: RefineConfig | None = None,
    tool: OneStep | None = None,
    spread: Float64[np.ndarray, "time cause"] | None = None,
    keep: Bool[np.ndarray, " time"] | None = None,
    lost: float | None = LOST,
    seed: int = 0,
) -> Refinement:
    """Correct causes one after the other, from the recorded start on.

    At each step the snapshot that the corrected causes so far have reached is restored, the inferred cause is
    simulated, and where the next observation is further from the recorded one than `threshold` the cause is corrected
    from that snapshot (as in `refine`); the world then takes the step with what was kept. An error that is left is
    seen again at the next step and corrected there, so that it does not build up: the causes found are those that
    steer the world along the recording. They are the true ones where one step tells the cause and the start is known.
    Where a step moves little they take back the errors of the state as well and swing around the true ones: set
    `RefineConfig.noise`.

    Where a cause is missing the world cannot be stepped: the episode is anchored again at the next step that has one.

    Args:
        world: put into the recorded state at the start of the episode; its copies try candidates side by side, so one
            copy is best for worlds that step copy after copy.
        causes: [time, cause] inferred, NaN where there is none (those stay NaN).
        threshold: normalised residual above which a step is worked on.
        config: how; None for the defaults.
        tool: what is compared, at which scale, and how many steps ahead: a horizon of 2 or 3 tells the cause where
            its effect on the next observation is small; the later steps then take their inferred causes.
        spread, keep, seed: as in `refine`.
        lost: a residual, after correction, above which (and above `threshold`) the world has left the recording:
            contact came out another way, and no cause brings it back. It is then anchored in the recorded state of
            the next step. None never does so, and needs no recorded state but the first.

    Returns:
        As `refine`; `before` and `after` are residuals from the state that the corrected causes reached.

    Raises:
        ConfigError: a negative threshold, `noise` without a spread.
        SignalError: spread or keep of another shape.
        WorldError: the recording does not tell the state where the world has to be anchored.
    """
    config = config or RefineConfig()
    job = prepared(world, episode, causes, threshold, config, tool, spread, keep)
    tool, values, found = job.tool, job.values, Refinement.untouched(job.values, threshold)
    rng, reached = np.random.default_rng(seed), -1
    for step in map(int, tool.usable(job.episode, values)) if job.seen else ():
        if reached != step:
            world.anchor([job.episode] * world.batch, [step] * world.batch)
        at, here = np.array([step]), world.snapshot()
        local = replace(job, tool=_FromHere(world, tool.compared, tool.scale, tool.horizon, here))
        gaps = local.gaps(at, values[at])
        found.before[at] = found.after[at] = local.residual(gaps)
        found.evaluations[at] = 1
        wanted = found.before[step] > threshold and (keep is None or not keep[step])
        if wanted:
            correct(local, at, gaps, found, config, spread, rng)
        if wanted or tool.horizon > 1 or world.batch > 1:  # otherwise the world has just taken this very step
            world.restore(here)
            world.step(to_cause(world, np.repeat(values[at], world.batch, 0)))
        strayed = lost is not None and found.after[step] > max(lost, threshold)
        reached = -1 if strayed else step + 1
    return found
