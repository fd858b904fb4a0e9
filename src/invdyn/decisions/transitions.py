"""`Transitions`, and the two places they come from: recordings, and a buffer of recent model rollouts."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from invdyn.episodes.dataset import Dataset
from invdyn.errors import ConfigError, SignalError
from invdyn.nn.streams import Streams
from invdyn.worlds.base import WORLD_STATE

__all__ = ["RecentRollouts", "Transitions", "concatenate", "transitions_of"]


class Transitions(NamedTuple):
    """Steps (s, a, r, s'), for runs side by side. Causes are in half-ranges, within +-1.

    Args:
        observation, next_observation: [run, batch, obs].
        cause: [run, batch, cause].
        reward: [run, batch].
        terminated: [run, batch] whether s' has no future. Being cut off by time, or by the end of a model rollout, is
            no termination: the value of s' is bootstrapped.
        last: [run, batch] whether s' is the last state of a model rollout, from which no step was taken.
    """

    observation: Float[Tensor, "run batch obs"]
    cause: Float[Tensor, "run batch cause"]
    reward: Float[Tensor, "run batch"]
    next_observation: Float[Tensor, "run batch obs"]
    terminated: Bool[Tensor, "run batch"]
    last: Bool[Tensor, "run batch"]

    def take(self, index: Int64[Tensor, "run batch"]) -> Transitions:
        """Rows by number, each run its own; a table of one run serves all."""

        def pick(value: Tensor) -> Tensor:
            shared = value.expand(len(index), *value.shape[1:])
            rows = index.reshape(*index.shape, *[1] * (value.ndim - 2)).expand(*index.shape, *value.shape[2:])
            return shared.gather(1, rows)

        return Transitions(*(pick(v) for v in self))

    @property
    def rows(self) -> int:
        return self.reward.shape[1]


def concatenate(parts: Sequence[Transitions]) -> Transitions:
    """Parts of one batch, one after the other."""
    return Transitions(*(torch.cat(values, 1) for values in zip(*parts)))


def transitions_of(
    dataset: Dataset, low: Float[Tensor, " cause"], high: Float[Tensor, " cause"], signals: Sequence[str] | None = None
) -> tuple[Transitions, Float[Tensor, "rows state"] | None]:
    """Every recorded step of a dataset as one run, and the world states they started in (None where not recorded).

    Args:
        dataset: with `action` and `next.reward`; `next.terminated` where episodes end before their time.
        low, high: bounds of the cause, which become +-1.
        signals: observations, end to end; None for every numeric `observation.*`.

    Raises:
        SignalError: a signal is missing.
        ConfigError: an episode of fewer than two rows only, so no step at all.
    """
    specs = {spec.name: spec for spec in dataset.schema.signals}
    seen = [n for n, spec in specs.items() if n.startswith("observation") and spec.kind not in ("image", "text")]
    names = seen if signals is None else list(signals)
    for name in (*names, "action", "next.reward"):
        if name not in specs:
            raise SignalError(
                f"{dataset.source.origin} has no signal {name!r}, which offline learning needs. Signals: {list(specs)}."
            )
    parts: list[list[np.ndarray]] = []
    for episode in dataset:
        rows = np.concatenate([episode[n].values.reshape(episode.length, -1) for n in names], 1)
        ends = np.zeros(episode.length, bool)
        if "next.terminated" in episode:
            ends = episode["next.terminated"].values.astype(bool).reshape(-1)
        action = episode["action"]
        known = np.ones(episode.length, bool) if action.valid is None else np.array(action.valid)
        # A last row with an action has lost its s' (old D4RL files): it counts only where s' has no future anyway.
        known[-1] &= ends[-1]
        steps = np.flatnonzero(known)
        after = np.minimum(steps + 1, episode.length - 1)
        state = episode[WORLD_STATE].values[steps] if WORLD_STATE in episode else np.zeros((len(steps), 0))
        reward = episode["next.reward"].values.reshape(-1)
        parts.append([rows[steps], action.values[steps], reward[steps], rows[after], ends[steps], state])
    table = [torch.from_numpy(np.concatenate(column)) for column in zip(*parts)]
    if not parts or not len(table[0]):
        raise ConfigError(f"{dataset.source.origin} has no step with a known action. Record or label some first.")
    middle, half = (high + low) / 2, (high - low) / 2
    cause = ((table[1].float().reshape(len(table[1]), -1) - middle) / half).clamp(-1, 1)
    found = Transitions(
        table[0].float()[None],
        cause[None],
        table[2].float()[None],
        table[3].float()[None],
        table[4][None],
        torch.zeros_like(table[4])[None],
    )
    return found, table[5].double() if table[5].shape[1] else None


class RecentRollouts:
    """The model rollouts of the last few epochs, drawn from uniformly.

    Rollouts end early, so an epoch holds a number of transitions that differs from run to run; each is stored with
    its transitions in front and filling behind.

    Args:
        keep: epochs kept; the oldest goes.
    """

    def __init__(self, keep: int) -> None:
        if keep < 1:
            raise ConfigError(f"recent rollouts: keep is {keep}, expected at least 1 epoch.")
        self._epochs: deque[tuple[Transitions, Int64[Tensor, " run"]]] = deque(maxlen=keep)

    def add(self, rows: Transitions, kept: Bool[Tensor, "run batch"]) -> None:
        """Store an epoch: the rows that `kept` marks."""
        order = torch.argsort(~kept, dim=1, stable=True)
        self._epochs.append((rows.take(order), kept.sum(1)))
        self._all = concatenate([e for e, _ in self._epochs])
        self._before = torch.stack([n for _, n in self._epochs]).cumsum(0)
        widths = [e.rows for e, _ in self._epochs]
        self._starts = torch.tensor([0, *np.cumsum(widths)[:-1]], device=rows.reward.device)

    @property
    def counts(self) -> Int64[Tensor, " run"]:
        """Transitions to draw from, per run."""
        return self._before[-1]

    def draw(self, streams: Streams, batch: int) -> Transitions:
        """A batch, uniformly, with replacement.

        Raises:
            ConfigError: a run without any transition.
        """
        if not self._epochs or bool((self.counts < 1).any()):
            raise ConfigError(
                "recent rollouts: a run has no transition. The model or filter ends every rollout at once."
            )
        number = streams.index(self.counts, batch)
        epoch = torch.searchsorted(self._before.T.contiguous(), number, right=True)
        before = torch.cat([torch.zeros_like(self._before[:1]), self._before]).T.gather(1, epoch)
        return self._all.take(self._starts[epoch] + number - before)

    def everything(self) -> tuple[Transitions, Bool[Tensor, "run batch"]]:
        """All that is stored, and which rows count."""
        masks = [torch.arange(e.rows, device=n.device)[None] < n[:, None] for e, n in self._epochs]
        return self._all, torch.cat(masks, 1)
