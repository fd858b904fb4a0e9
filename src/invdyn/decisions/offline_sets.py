"""Offline sets, made as D4RL's are: an agent is trained in the world, its checkpoints record.

Fu, Kumar, Nachum, Tucker, Levine, arXiv 2004.07219. `random`: uniform actions. `medium`: the first checkpoint that
reaches a third of the way from random to the best one. `expert`: the best checkpoint. `medium-expert`: half of each.
`medium-replay`: everything the agent tried up to medium, an equal share by each of its checkpoints until then; D4RL
keeps the training buffer itself, here the same policies act anew, so that episodes are whole and can be replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from invdyn.decisions.offline import OfflineConfig, model_returns, train_offline
from invdyn.decisions.rollout_loop import RolloutLoop, Rollouts
from invdyn.decisions.sac import SAC, SACConfig
from invdyn.episodes.dataset import Dataset
from invdyn.errors import ConfigError, unknown_name
from invdyn.training.seeding import mixed_seed
from invdyn.worlds.base import World
from invdyn.worlds.forward_model import ExactDynamics
from invdyn.worlds.mixtures import Behaviour, BehaviourMixture

__all__ = ["Checkpoints", "OfflineSet", "SetConfig", "record_set", "train_checkpoints"]

OfflineSet = Literal["random", "medium", "medium-replay", "medium-expert", "expert"]
SHARE = 1 / 3
"""Of the way from random to expert that a medium policy has come (D4RL)."""
POOL, LOOK = 1000, 20
"""Start states that training draws from; episodes of an evaluation."""


@dataclass(frozen=True)
class SetConfig:
    """How the agent behind the sets is trained.

    Args:
        epochs: rounds of episodes and updates; each leaves a checkpoint.
        episodes: whole episodes per round.
        updates: per round.
        batch: transitions per update.
        width: units of the two hidden layers.
        lr: of actor, critics and temperature.
        alpha: temperature at the start.
    """

    epochs: int = 40
    episodes: int = 5
    updates: int = 250
    batch: int = 128
    width: int = 64
    lr: float = 1e-3
    alpha: float = 0.1


@dataclass
class Checkpoints:
    """What training left behind.

    Args:
        agent: the learner; `load` puts a checkpoint into it.
        weights: actor's state after each epoch.
        returns: mean return of each, of its median actions.
        random: mean return of uniform actions.
        signals: observations in the order the agent reads them.
        low, high: bounds of the cause.
    """

    agent: SAC
    random: float
    signals: Sequence[str]
    low: Tensor
    high: Tensor
    weights: list[dict[str, Tensor]] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)

    @property
    def expert(self) -> int:
        """The best checkpoint."""
        return int(np.argmax(self.returns))

    @property
    def medium(self) -> int:
        """The first that has come a third of the way."""
        wanted = self.random + SHARE * (self.returns[self.expert] - self.random)
        return next(i for i, value in enumerate(self.returns) if value >= wanted)


def train_checkpoints(world: World, config: SetConfig, seed: int = 0, *, device: str = "cpu") -> Checkpoints:
    """Train SAC in a world and keep its actor after every epoch; `device` is where the agent learns.

    Raises:
        ConfigError: a world without bounds on its actions, or an agent that never got better than random.
    """
    size, (low, high) = world.action.size, _bounds(world)
    model = ExactDynamics(world)
    loop = RolloutLoop(model, world.horizon, low.to(device), high.to(device))
    starts = _starts(world, seed, POOL).to(device)
    agent = SAC(
        SACConfig(
            critics=2, eta=0.0, width=config.width, depth=2, alpha=config.alpha,
            actor_lr=config.lr, critic_lr=config.lr, alpha_lr=config.lr,
        ),
        model.observe(starts[:1]).shape[1],
        size,
        [seed],
        device=device,
    )  # fmt: skip
    look = starts[:LOOK]
    signals = [s.name for s in world.observations if s.kind != "image"]
    uniform = _Uniform(size, mixed_seed(seed, 41))
    kept = Checkpoints(agent, float(model_returns(uniform, loop, look, world.horizon).mean()), signals, low, high)

    def watch(epoch: int, told: Mapping[str, Tensor], rollouts: Rollouts | None) -> None:
        kept.weights.append({name: value.detach().clone() for name, value in agent.actor.state_dict().items()})
        kept.returns.append(float(model_returns(agent, loop, look, world.horizon).mean()))

    schedule = OfflineConfig(
        epochs=config.epochs,
        updates=config.updates,
        starts=config.episodes,
        keep=config.epochs,
        batch=config.batch,
        real=0.0,
    )
    train_offline(agent, schedule, [seed], loop=loop, starts=starts[None], on_epoch=watch)
    if not kept.returns[kept.expert] > kept.random:
        raise ConfigError(
            f"offline sets: after {config.epochs} epochs in {world.name} the best checkpoint returns "
            f"{kept.returns[kept.expert]:.4g}, uniform actions {kept.random:.4g}. Train longer (--epochs)."
        )
    return kept


def record_set(
    kind: str, world: World, episodes: int, *, checkpoints: Checkpoints | None = None, seed: int = 0
) -> Dataset:
    """Record one of the sets, with `next.terminated` and the metadata `policy`.

    Args:
        kind: which.
        world: recorded in; of the kind the checkpoints were trained in.
        episodes: how many.
        checkpoints: of the agent; `random` needs none.
        seed: of the first episode and of the policies' noise.

    Raises:
        UnknownNameError: no such set.
        ConfigError: no checkpoints where they are needed, fewer episodes than policies.
    """
    if kind not in get_args(OfflineSet):
        raise unknown_name("offline set", kind, get_args(OfflineSet))
    if kind == "random":
        makers = {"random": _Sampled(None, None, (), *_bounds(world), mixed_seed(seed, 42))}
    else:
        if checkpoints is None:
            raise ConfigError(f"offline set {kind!r} needs the checkpoints of an agent. Train them first.")
        c = checkpoints
        chosen = {
            "medium": {"medium": c.medium},
            "expert": {"expert": c.expert},
            "medium-expert": {"medium": c.medium, "expert": c.expert},
            "medium-replay": {f"epoch{i + 1}": i for i in range(c.medium + 1)},
        }[kind]
        makers = {
            name: _Sampled(c.agent, c.weights[at], c.signals, c.low, c.high, mixed_seed(seed, 42, at))
            for name, at in chosen.items()
        }
    counts = [len(part) for part in np.array_split(np.arange(episodes), len(makers))]
    if min(counts) < 1:
        raise ConfigError(f"offline set {kind!r}: {episodes} episodes for {len(makers)} policies; give one each.")
    mixture = BehaviourMixture(
        world,
        [Behaviour(name, n, lambda w, p=p: p) for (name, p), n in zip(makers.items(), counts)],  # type: ignore[misc]
    )
    return mixture.record(first_seed=seed, ends=True)


def _bounds(world: World) -> tuple[Tensor, Tensor]:
    """Lowest and highest action."""
    if world.action.low is None or world.action.high is None:
        raise ConfigError(f"offline sets: {world.name} bounds no actions, so there are no uniform ones.")
    low, high = (np.broadcast_to(bound, world.action.size).copy() for bound in (world.action.low, world.action.high))
    return torch.from_numpy(low).float(), torch.from_numpy(high).float()


def _starts(world: World, seed: int, count: int) -> Tensor:
    """Start states of a world, [count, state]."""
    found = []
    for at in range(0, count, world.batch):
        world.reset([mixed_seed(seed, 43, at + i) % 2**31 for i in range(world.batch)])
        found.append(world.state())
    return torch.cat(found)[:count]


class _Uniform:
    """Uniform actions, as a learner that does not learn."""

    runs, device = 1, "cpu"

    def __init__(self, causes: int, seed: int) -> None:
        self.causes, self.generator = causes, torch.Generator().manual_seed(seed)

    def act(self, observation: Tensor, noise: Tensor | None = None) -> Tensor:
        drawn = 2 * torch.rand(*observation.shape[:2], self.causes, generator=self.generator) - 1
        return drawn.to(observation.device)

    def update(self, batch: object) -> dict[str, Tensor]:
        return {}


class _Sampled:
    """A checkpoint's stochastic policy (uniform without one); every reset goes on to new noise."""

    def __init__(
        self,
        agent: SAC | None,
        weights: Mapping[str, Tensor] | None,
        signals: Sequence[str],
        low: Tensor,
        high: Tensor,
        seed: int,
    ) -> None:
        self.agent, self.weights, self.signals, self.seed = agent, weights, signals, seed
        self.middle, self.half, self.resets = (high + low) / 2, (high - low) / 2, 0

    def reset(self, batch: int) -> None:
        self.generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.resets))
        self.resets += 1
        if self.agent is not None and self.weights is not None:
            self.agent.actor.load_state_dict(dict(self.weights))

    def act(self, observation: Mapping[str, Tensor]) -> Tensor:
        rows = len(next(iter(observation.values())))
        if self.agent is None:
            return self.middle + self.half * (2 * torch.rand(rows, len(self.half), generator=self.generator) - 1)
        seen = torch.cat([observation[s].reshape(rows, -1).float() for s in self.signals], -1)[None]
        noise = torch.randn(1, rows, len(self.half), generator=self.generator)
        device = self.agent.device
        return self.middle + self.half * self.agent.act(seen.to(device), noise.to(device))[0].cpu()
