"""`refine_track`: correct causes along the episode, each from the state that the corrected ones before it reached.

`refine` puts the world into the recorded state of every step. A recording that does not tell that state (Push-T keeps
no velocities, a MuJoCo state has actuators and a warm start beside positions) can only be put there nearly, and the
one-step residual then measures the start as much as the cause. Going along the episode needs the recorded state once,
at the start: after that the world itself is the state, kept in snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from invdyn.episodes.episode import Episode
from invdyn.errors import ConfigError, SignalError
from invdyn.verify.compared import cause_rows, loaded, to_cause
from invdyn.verify.onestep import OneStep, rms
from invdyn.verify.refine import RefineConfig, Refinement, Refining, gauss_newton, sample
from invdyn.verify.resolvable import bounds_of
from invdyn.worlds.base import Snapshot, World

__all__ = ["refine_track"]


@dataclass(frozen=True)
class _FromHere(OneStep):
    """Forward evaluations from one snapshot instead of recorded states; all copies of the world stand in it."""

    here: Snapshot | None = None

    def simulate(
        self, episode: Episode, steps: Int64[np.ndarray, " jobs"], causes: Float64[np.ndarray, "jobs horizon cause"]
    ) -> Float64[np.ndarray, "jobs horizon component"]:
        world = self.world
        assert self.here is not None
        seen = np.empty((len(steps), self.horizon, len(self.scale)))
        for first in range(0, len(steps), world.batch):
            jobs = np.arange(first, min(first + world.batch, len(steps)))
            padded = np.concatenate([jobs, np.full(world.batch - len(jobs), jobs[-1])])
            world.restore(self.here)
            world.rest(torch.arange(world.batch) >= len(jobs))
            for ahead in range(self.horizon):
                world.step(to_cause(world, causes[padded, ahead]))
                seen[jobs, ahead] = self.compared.now(world)[: len(jobs)]
        return seen


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
    lost: float | None = None,
    seed: int = 0,
) -> Refinement:
    """Correct causes one after the other, from the recorded start on.

    At each step the snapshot that the corrected causes so far have reached is restored, the inferred cause is
    simulated, and where the next observation is further from the recorded one than `threshold` the cause is corrected
    from that snapshot (as in `refine`); the world then takes the step with what was kept. An error that is left is
    seen again at the next step and corrected there, so that it does not build up: the causes found are those that
    steer the world along the recording.

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
        lost: a residual, after correction, above which the world has left the recording (contact that came out
            another way, and no cause brings it back) and is anchored in the recorded state of the next step. None
            never does so, and needs no recorded state but the first.

    Returns:
        As `refine`; `before` and `after` are residuals from the state that the corrected causes reached.

    Raises:
        ConfigError: a negative threshold, `lost` not above it.
        SignalError: spread or keep of another shape.
        WorldError: the recording does not tell the state where the world has to be anchored.
    """
    config = config or RefineConfig()
    if threshold < 0:
        raise ConfigError(f"refine_track: threshold {threshold} is negative; a residual is >= 0.")
    if lost is not None and lost <= threshold:
        raise ConfigError(f"refine_track: lost={lost} must be above the threshold {threshold}.")
    (episode,) = loaded([episode])
    tool = OneStep.of(world, [episode]) if tool is None else tool
    values = cause_rows(world, [episode], causes if isinstance(causes, str) else [causes])[0].copy()
    for name, given, shape in (("spread", spread, values.shape), ("keep", keep, values.shape[:1])):
        if given is not None and given.shape != shape:
            raise SignalError(
                f"refine_track: {name} has shape {given.shape}, the causes of episode {episode.index} need {shape}."
            )
    low, high = bounds_of(world, values)
    span, recorded = np.maximum(high - low, 1e-12), tool.compared.recorded(episode)
    found = Refinement.untouched(values, threshold)
    rng, anchored = np.random.default_rng(seed), -1
    for step in map(int, tool.usable(episode, values)) if (tool.scale > 0).any() else ():
        if anchored != step:
            world.anchor([episode] * world.batch, [step] * world.batch)
        at, here = np.array([step]), world.snapshot()
        eye = _FromHere(world, tool.compared, tool.scale, tool.horizon, here)
        job = Refining(eye, episode, values, recorded, low, span)
        gaps = job.gaps(at, values[at])
        found.before[step] = found.after[step] = rms(gaps)[0]
        found.evaluations[step] = 1
        if found.before[step] > threshold and (keep is None or not keep[step]):
            _correct(job, at, gaps, found, config, spread, rng)
        world.restore(here)
        world.step(to_cause(world, np.repeat(values[at], world.batch, 0)))
        drifted = lost is not None and found.after[step] > lost
        anchored = -1 if drifted else step + 1
    return found


def _correct(
    job: Refining,
    at: Int64[np.ndarray, " jobs"],
    gaps: np.ndarray,
    found: Refinement,
    config: RefineConfig,
    spread: np.ndarray | None,
    rng: np.random.Generator,
) -> None:
    if config.method != "sample":
        cause, cost, spent = gauss_newton(job, at, gaps, config)
        found.evaluations[at] += spent
        found.accept(at, cause, cost, "gauss-newton")
    if config.method != "gauss-newton" and found.after[at[0]] > found.threshold:
        wide = np.full((1, job.values.shape[1]), config.width)
        if spread is not None:
            wide = np.maximum(wide, spread[at] / job.range)
        cause, cost = sample(job, at, wide, config, rng, found.values, found.after)
        found.evaluations[at] += config.rounds * config.samples
        found.accept(at, cause, cost, "sample")
