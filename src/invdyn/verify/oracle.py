"""`ReplayOracle`: which candidate causes reproduce the next observation? The set says what can be known at all.

A key pressed against a wall leaves no trace: no inverse model can be right about it except by luck. Accuracy is
therefore reported over all frames *and* over those where exactly one candidate fits (card vpt).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from invdyn.episodes.episode import Episode
from invdyn.errors import ConfigError, SignalError
from invdyn.verify.compared import Compared, loaded, to_cause
from invdyn.worlds.base import Snapshot, World

__all__ = ["Consistent", "OracleAccuracy", "ReplayOracle"]


@dataclass(frozen=True)
class Consistent:
    """Which candidates lead to the recorded next observation.

    Args:
        steps: [frames] steps of the episode that were examined.
        matches: [frames, candidates].
    """

    steps: Int64[np.ndarray, " frames"]
    matches: Bool[np.ndarray, "frames candidates"]

    @property
    def unique(self) -> Bool[np.ndarray, " frames"]:
        """[frames] exactly one candidate fits: the frame is resolvable."""
        return self.matches.sum(1) == 1


@dataclass(frozen=True)
class OracleAccuracy:
    """How answers fare.

    Args:
        overall: share of frames whose answer is the true candidate.
        resolvable: the same over resolvable frames; NaN without any.
        reproduces: share of frames whose answer is in the consistent set, right or indistinguishable.
        frames, resolvable_frames: counts.
        truth_consistent: share of frames whose true cause is in the set; below 1 the world does not replay exactly.
    """

    overall: float
    resolvable: float
    reproduces: float
    frames: int
    resolvable_frames: int
    truth_consistent: float


class ReplayOracle:
    """Enumerates candidate causes.

    Args:
        world: restores snapshots exactly.
        candidates: [candidates, cause].
        signals, angles: what is compared, see `Compared.of`.
        tolerance: largest absolute difference of any component that still counts as the same; 0 is bit-exact.
        scale: [component] with it the tolerance is in these units (`OneStep.of(...).scale`), else in the signals' own.

    Raises:
        ConfigError: no candidates, a negative tolerance.
    """

    def __init__(
        self,
        world: World,
        candidates: Float[Tensor, "candidates cause"],
        *,
        signals: Sequence[str] | None = None,
        angles: Sequence[str] = (),
        tolerance: float = 0.0,
        scale: Float64[np.ndarray, " component"] | None = None,
    ) -> None:
        if not len(candidates) or tolerance < 0:
            raise ConfigError(
                f"replay oracle: {len(candidates)} candidates at tolerance {tolerance}; "
                "at least one candidate and a tolerance >= 0 are needed."
            )
        self.world, self.candidates = world, candidates.detach().cpu().double().numpy()
        self.signals, self.angles, self.tolerance, self.scale = signals, angles, tolerance, scale

    def from_snapshot(
        self, snapshot: Snapshot, after: Mapping[str, Tensor], compared: Compared
    ) -> Bool[np.ndarray, "batch candidates"]:
        """Which candidates lead from a snapshot to the observation `after`; the world is left in the snapshot."""
        wanted = torch.cat([after[s.name].cpu().double().reshape(self.world.batch, -1) for s in compared.specs], 1)
        return self._matches(snapshot, wanted.numpy(), compared)

    def consistent(self, episode: Episode, steps: Sequence[int] | np.ndarray | None = None) -> Consistent:
        """Examine recorded steps (all that have a next observation by default) from their anchored states."""
        (episode,) = loaded([episode])
        compared = Compared.of(self.world, episode, self.signals, self.angles)
        recorded = compared.recorded(episode)
        chosen = np.arange(episode.length - 1) if steps is None else np.asarray(steps, np.int64)
        outside = chosen[(chosen < 0) | (chosen >= episode.length - 1)]
        if len(outside):
            raise SignalError(
                f"replay oracle: step {outside[0]} of episode {episode.index} has no next observation; "
                f"steps 0..{episode.length - 2} have one."
            )
        batch = self.world.batch
        matches = np.zeros((len(chosen), len(self.candidates)), bool)
        for first in range(0, len(chosen), batch):
            part = chosen[first : first + batch]
            padded = np.concatenate([part, np.full(batch - len(part), part[-1])])
            self.world.anchor([episode] * batch, [int(t) for t in padded])
            found = self._matches(self.world.snapshot(), recorded[padded + 1], compared)
            matches[first : first + len(part)] = found[: len(part)]
        return Consistent(chosen, matches)

    def accuracy(
        self,
        consistent: Sequence[Consistent],
        truth: Int64[np.ndarray, " truths"],
        answer: Int64[np.ndarray, " answers"],
    ) -> OracleAccuracy:
        """Score answers, as numbers of candidates, over the frames of several episodes end to end."""
        matches = np.concatenate([c.matches for c in consistent])
        unique = np.concatenate([c.unique for c in consistent])
        if not len(matches) == len(truth) == len(answer):
            raise SignalError(
                f"replay oracle: {len(matches)} frames examined, {len(truth)} truths, {len(answer)} answers."
            )
        right, rows = truth == answer, np.arange(len(truth))
        return OracleAccuracy(
            overall=float(right.mean()),
            resolvable=float(right[unique].mean()) if unique.any() else float("nan"),
            reproduces=float(matches[rows, answer].mean()),
            frames=len(truth),
            resolvable_frames=int(unique.sum()),
            truth_consistent=float(matches[rows, truth].mean()),
        )

    def _matches(
        self, snapshot: Snapshot, wanted: Float64[np.ndarray, "batch component"], compared: Compared
    ) -> Bool[np.ndarray, "batch candidates"]:
        found = np.zeros((self.world.batch, len(self.candidates)), bool)
        scale = 1.0 if self.scale is None else np.where(self.scale > 0, self.scale, np.inf)
        for number, candidate in enumerate(self.candidates):
            self.world.restore(snapshot)
            self.world.step(to_cause(self.world, np.tile(candidate, (self.world.batch, 1))))
            gap = np.abs(compared.difference(compared.now(self.world), wanted)) / scale
            # Components that were not recorded at a step say nothing against a candidate; a NaN in the world does.
            found[:, number] = ((gap <= self.tolerance) | np.isnan(wanted)).all(1)
        self.world.restore(snapshot)
        return found
