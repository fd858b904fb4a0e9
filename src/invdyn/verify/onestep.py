"""`OneStep`: what would these causes have led to from the recorded states? Behind residual, oracle and refinement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.errors import ConfigError, SignalError
from invdyn.verify.compared import Compared, cause_rows, loaded, to_cause
from invdyn.worlds.base import World

__all__ = ["OneStep", "one_step_residual"]

SCALE_EPISODES = 64
"""Episodes of a dataset, spread evenly, that its one-step scale is taken from."""


@dataclass(frozen=True)
class OneStep:
    """Forward evaluations from anchored states, as many at a time as the world has copies.

    Args:
        world: the simulator.
        compared: what is compared.
        scale: [component] one-step scale, see `Compared.scale`; components with scale 0 are left out.
        horizon: steps simulated after each anchor.
    """

    world: World
    compared: Compared
    scale: Float64[np.ndarray, " component"]
    horizon: int = 1

    @classmethod
    def of(
        cls,
        world: World,
        episodes: Sequence[Episode],
        *,
        signals: Sequence[str] | None = None,
        angles: Sequence[str] = (),
        horizon: int = 1,
    ) -> OneStep:
        """Compare `signals` (see `Compared.of`), normalised by their one-step change over these episodes.

        Use one of these for all episodes of a dataset, so that residuals mean the same everywhere.
        """
        if horizon < 1:
            raise ConfigError(f"the horizon is at least 1 step, got {horizon}.")
        compared = Compared.of(world, episodes[0], signals, angles)
        return cls(world, compared, compared.scale(episodes), horizon)

    @classmethod
    def over(cls, world: World, dataset: Dataset) -> OneStep:
        """`of` for a dataset, however long: scaled by episodes spread evenly over it."""
        chosen = np.unique(np.linspace(0, len(dataset) - 1, min(SCALE_EPISODES, len(dataset))).round().astype(int))
        return cls.of(world, list(dataset[chosen]))

    def simulate(
        self, episode: Episode, steps: Int64[np.ndarray, " jobs"], causes: Float64[np.ndarray, "jobs horizon cause"]
    ) -> Float64[np.ndarray, "jobs horizon component"]:
        """The vectors that follow `causes` from the recorded states at `steps`."""
        world = self.world
        (episode,) = loaded([episode])
        seen = np.empty((len(steps), self.horizon, len(self.scale)))
        for first in range(0, len(steps), world.batch):
            jobs = np.arange(first, min(first + world.batch, len(steps)))
            padded = np.concatenate([jobs, np.full(world.batch - len(jobs), jobs[-1])])
            self.put(episode, steps[padded])
            world.rest(torch.arange(world.batch) >= len(jobs))
            for ahead in range(self.horizon):
                world.step(to_cause(world, causes[padded, ahead]))
                seen[jobs, ahead] = self.compared.now(world)[: len(jobs)]
        return seen

    def put(self, episode: Episode, steps: Int64[np.ndarray, " batch"]) -> None:
        """Put the copies of the world where the evaluations begin: into the recorded states."""
        self.world.anchor([episode] * self.world.batch, [int(step) for step in steps])

    def normalise(self, gap: Float64[np.ndarray, "... component"]) -> Float64[np.ndarray, "... kept"]:
        """Differences in units of the one-step scale, unchanging components left out."""
        kept = self.scale > 0
        return gap[..., kept] / self.scale[kept]

    def gaps(
        self,
        episode: Episode,
        steps: Int64[np.ndarray, " jobs"],
        causes: Float64[np.ndarray, "jobs horizon cause"],
        recorded: Float64[np.ndarray, "time component"] | None = None,
    ) -> Float64[np.ndarray, "jobs kept"]:
        """Normalised differences to the recording over the horizon, flattened; 0 beyond the end of the recording."""
        if recorded is None:
            recorded = self.compared.recorded(episode)
        rows = steps[:, None] + 1 + np.arange(self.horizon)
        wanted = recorded[np.minimum(rows, len(recorded) - 1)]
        gap = self.compared.difference(self.simulate(episode, steps, causes), wanted)
        # A simulator that blew up is as wrong as can be told, never right.
        gap = np.where(np.isfinite(gap), gap, 1e6)
        gap = np.where((rows < len(recorded))[..., None] & np.isfinite(wanted), gap, 0.0)
        return self.normalise(gap).reshape(len(steps), -1)

    def ahead(
        self, causes: Float64[np.ndarray, "time cause"], steps: Int64[np.ndarray, " jobs"]
    ) -> Float64[np.ndarray, "jobs horizon cause"]:
        """The causes of the steps within the horizon; a missing or unrecorded later one repeats the one before it."""
        rows = np.minimum(steps[:, None] + np.arange(self.horizon), len(causes) - 1)
        taken = causes[rows]
        for ahead in range(1, self.horizon):
            gone = ~np.isfinite(taken[:, ahead]).all(1) | (steps + ahead >= len(causes) - 1)
            taken[gone, ahead] = taken[gone, ahead - 1]
        return taken

    def usable(self, episode: Episode, causes: Float64[np.ndarray, "time cause"]) -> Int64[np.ndarray, " jobs"]:
        """Steps that have a cause and a recorded next observation."""
        after = np.isfinite(self.compared.recorded(episode)).any(1)
        good = np.isfinite(causes).all(1)
        good[:-1] &= after[1:]
        good[-1:] = False
        return np.flatnonzero(good)

    def residual(self, episode: Episode, causes: np.ndarray | Tensor | str) -> Float64[np.ndarray, " time"]:
        """[time] root mean square of the normalised differences one step (or horizon) on; NaN where there is no cause,
        no next observation, or nothing that moves."""
        rows = cause_rows(self.world, [episode], causes if isinstance(causes, str) else [causes])[0]
        steps = self.usable(episode, rows)
        residual = np.full(episode.length, np.nan)
        if len(steps) and (self.scale > 0).any():
            residual[steps] = rms(self.gaps(episode, steps, self.ahead(rows, steps)))
        return residual


def one_step_residual(
    world: World,
    episode: Episode,
    causes: np.ndarray | Tensor | str,
    *,
    signals: Sequence[str] | None = None,
    angles: Sequence[str] = (),
    scale: Float64[np.ndarray, " component"] | None = None,
) -> Float64[np.ndarray, " time"]:
    """What stands in `label.<name>.residual`: re-anchored at every step, how far is the next observation off?

    Root mean square over components of (simulated - recorded) / standard deviation of the one-step change; 0 is
    perfect, 1 is as wrong as not moving at all.

    Args:
        causes: [time, cause], NaN where there is none, or the name of a recorded signal.
        signals, angles: see `Compared.of`.
        scale: [component] from `OneStep.of(world, dataset).scale`; None takes this episode's own changes.

    Returns:
        [time]; NaN where there is no cause or no next observation (always at the last step).
    """
    compared = Compared.of(world, episode, signals, angles)
    if scale is not None and len(scale) != len(compared.angle):
        raise SignalError(
            f"one_step_residual: a scale of {len(scale)} components for {len(compared.angle)} compared ones."
        )
    return OneStep(world, compared, compared.scale([episode]) if scale is None else scale).residual(episode, causes)


def rms(gaps: Float64[np.ndarray, "jobs kept"]) -> Float64[np.ndarray, " jobs"]:
    """Root mean square over components."""
    return np.sqrt((gaps**2).mean(1))
