"""`RolloutLoop`: short rollouts of a model, branched from states of the data, under the present policy.

MBPO (Janner, Fu, Zhang, Levine, NeurIPS 2019) with what offline methods add: a penalty for the model's uncertainty
(MOPO, arXiv 2005.13239), a filter over candidate next states (MOREC, arXiv 2310.05422), and the end handled as RAVL
(arXiv 2402.12527) insists on: the last state of a rollout is no terminal state, its value is bootstrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from invdyn.decisions.transitions import Transitions, concatenate
from invdyn.errors import ConfigError
from invdyn.nn.streams import Streams
from invdyn.worlds.forward_model import ForwardModel, ModelStep

__all__ = ["ActFunction", "Choice", "RolloutLoop", "Rollouts", "TransitionFilter", "Uncertainty"]

ActFunction = Callable[
    [Float[Tensor, "run batch obs"], Float[Tensor, "run batch cause"]], Float[Tensor, "run batch cause"]
]
"""Observation and standard normal noise to causes within +-1."""


class Choice(NamedTuple):
    """What a filter decides: which candidate is taken, and whether the transition is kept and the rollout goes on."""

    which: Int64[Tensor, " batch"]
    keep: Bool[Tensor, " batch"]


@runtime_checkable
class TransitionFilter(Protocol):
    """Chooses among candidate next states, given as what a policy sees of them.

    Causes come in half-ranges, as in recorded `Transitions`.
    """

    def __call__(
        self, observation: Tensor, cause: Tensor, candidates: ModelStep, generator: torch.Generator | None
    ) -> Choice: ...


Uncertainty = Callable[[ModelStep], Float[Tensor, "run batch"]]
"""Candidates as seen, [run, candidate, batch, ...], to what is penalised: a host's own in place of max |std|."""


@dataclass(frozen=True)
class Rollouts:
    """What an epoch of rollouts gave.

    Args:
        rows: [run, steps * starts, ...], step after step.
        kept: which rows exist: taken before the rollout's end, and not dropped by the filter.
        lengths: [run] mean number of steps of a rollout.
    """

    rows: Transitions
    kept: Bool[Tensor, "run batch"]
    lengths: Float[Tensor, " run"]


class RolloutLoop:
    """Branched rollouts, all runs side by side.

    Args:
        models: one per run, or one for all.
        length: steps k; may differ from run to run.
        low, high: bounds of the cause in its own unit.
        penalty: c in r - c max_i |std_i| (or c times `uncertainty`); may differ from run to run. 0 leaves the reward.
        scale: factor on the rewards, after the penalty, that the learner is given.
        choose: filter over the model's candidates; None takes one draw of the model.
        uncertainty: what is penalised; None for the model's own spread.

    Raises:
        ConfigError: a length below 1, or other numbers of models, lengths or penalties than runs.
    """

    def __init__(
        self,
        models: ForwardModel | Sequence[ForwardModel],
        length: int | Sequence[int],
        low: Float[Tensor, " cause"],
        high: Float[Tensor, " cause"],
        *,
        penalty: float | Sequence[float] = 0.0,
        scale: float = 1.0,
        choose: TransitionFilter | Sequence[TransitionFilter | None] | None = None,
        uncertainty: Uncertainty | None = None,
    ) -> None:
        self.models = [models] if isinstance(models, ForwardModel) else list(models)
        self.filters = list(choose) if isinstance(choose, Sequence) else [choose]
        self.uncertainty = uncertainty
        self.length = torch.as_tensor(length).reshape(-1)
        self.penalty = torch.as_tensor(penalty, dtype=torch.float32).reshape(-1)
        self.scale = scale
        self.middle, self.half = (high + low) / 2, (high - low) / 2
        if int(self.length.min()) < 1:
            raise ConfigError(f"rollouts: length is {self.length.tolist()}, expected at least 1 step.")

    def _shared(self, runs: int) -> None:
        for what, count in (
            ("models", len(self.models)),
            ("filters", len(self.filters)),
            ("lengths", len(self.length)),
            ("penalties", len(self.penalty)),
        ):
            if count not in (1, runs):
                raise ConfigError(f"rollouts: {count} {what} for {runs} runs; give one, or one per run.")

    def observe(self, state: Float[Tensor, "run batch state"]) -> Float[Tensor, "run batch obs"]:
        """What the policy sees of states."""
        if len(self.models) == 1:
            return self.models[0].observe(state.flatten(0, 1)).reshape(*state.shape[:2], -1)
        return torch.stack([m.observe(s) for m, s in zip(self.models, state)])

    @torch.no_grad()
    def roll(self, act: ActFunction, start: Float[Tensor, "run batch state"], streams: Streams) -> Rollouts:
        """k steps from every start."""
        runs, batch = start.shape[:2]
        self._shared(runs)
        length = self.length.to(start.device).expand(runs)[:, None]
        penalty = self.penalty.to(start.device).expand(runs)[:, None]
        state, alive = start, torch.ones(runs, batch, dtype=torch.bool, device=start.device)
        observation = self.observe(state)
        parts, kept = [], []
        for step in range(int(self.length.max())):
            alive = alive & (step < length)
            cause = act(observation, streams.normal(batch, self.half.numel()))
            after, keep = self._step(state, observation, self.middle + self.half * cause, streams)
            seen = self.observe(after.state)
            taken = alive & keep
            last = length.eq(step + 1).expand(runs, batch)
            reward = self.scale * (after.reward - penalty * after.spread)
            parts.append(Transitions(observation, cause, reward, seen, after.terminated, last))
            kept.append(taken)
            alive = taken & ~after.terminated
            state, observation = after.state, seen
        total = torch.stack(kept).sum(0).float().mean(1)
        return Rollouts(concatenate(parts), torch.cat(kept, 1), total)

    def _step(
        self, state: Tensor, observation: Tensor, cause: Tensor, streams: Streams
    ) -> tuple[ModelStep, Bool[Tensor, "run batch"]]:
        runs, batch = state.shape[:2]
        if len(self.models) == 1 and self.models[0].deterministic and self.filters == [None] and not self.uncertainty:
            groups = [(self.models[0], self.filters[0], slice(None))]
        else:
            groups = [
                (self.models[run % len(self.models)], self.filters[run % len(self.filters)], slice(run, run + 1))
                for run in range(runs)
            ]
        steps, keeps, offers = [], [], []
        # Runs of one seed get generators that draw alike, whatever stands between them.
        tickets = streams.index(2**31, 1)[:, 0].tolist()
        for ticket, (model, choose, part) in zip(tickets, groups):
            generator = torch.Generator().manual_seed(ticket)
            s, o, c = (v[part].flatten(0, 1) for v in (state, observation, cause))
            keep = torch.ones(len(s), dtype=torch.bool, device=s.device)
            if choose is None and self.uncertainty is None:
                after = model.step(s, c, generator)
            else:
                several = model.candidates(s, c, generator)
                seen = model.observe(several.state.flatten(0, 1)).unflatten(0, several.state.shape[:2])
                shown = several._replace(state=seen)
                if choose is None:
                    which = torch.randint(len(several.state), (len(s),), generator=generator).to(s.device)
                else:
                    which, keep = choose(o, (c - self.middle) / self.half, shown, generator)
                after = ModelStep(*(_choose(v, which) for v in several))
                offers.append(ModelStep(*(v.unflatten(1, (-1, batch)).transpose(0, 1) for v in shown)))
            steps.append(ModelStep(*(v.reshape(-1, batch, *v.shape[1:]) for v in after)))
            keeps.append(keep.reshape(-1, batch))
        made = ModelStep(*(torch.cat(values) for values in zip(*steps)))
        if self.uncertainty is not None:
            made = made._replace(spread=self.uncertainty(ModelStep(*(torch.cat(values) for values in zip(*offers)))))
        return made, torch.cat(keeps)


def _choose(values: Tensor, index: Tensor) -> Tensor:
    """Row b of candidate index[b]."""
    return values[index, torch.arange(len(index), device=index.device)]
