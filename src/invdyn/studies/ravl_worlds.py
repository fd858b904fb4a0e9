"""RAVL and its controls with the true dynamics: a point whose goal lies beyond the reach of one step, a pendulum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invdyn.decisions.edge_of_reach import effective_penalty, nearest_edge
from invdyn.decisions.offline import model_returns, train_offline
from invdyn.decisions.rollout_loop import RolloutLoop, Rollouts
from invdyn.decisions.sac import SAC
from invdyn.decisions.transitions import Transitions, transitions_of
from invdyn.studies.ravl_config import GROUPS, RavlConfig
from invdyn.training.seeding import mixed_seed
from invdyn.verify.metrics import normalized_return
from invdyn.worlds.forward_model import ExactDynamics
from invdyn.worlds.mixtures import Behaviour, BehaviourMixture
from invdyn.worlds.pendulum import Pendulum, reference_returns
from invdyn.worlds.point2d import Point2D, Point2DConfig
from invdyn.worlds.torch_world import QUALITIES

__all__ = ["pendulum", "point"]

POINT = Point2DConfig.first_order()
UNIT = torch.ones(2)
CHECKS = 8
"""Points of a learning curve."""
STEPS = 50
"""Steps that the policy is followed for its true value; as many as an evaluation has."""


def point(group: str, seeds: Sequence[int], config: RavlConfig) -> Mapping[str, Any]:
    """All variants of a group for all seeds at once; results per seed."""
    variants = GROUPS[group]
    runs = [(variant, seed) for seed in seeds for variant in variants]
    lengths = torch.tensor([v.length for v, _ in runs])
    world = Point2D(config.pool, POINT)
    pools = []
    for seed in seeds:
        world.reset([mixed_seed(seed, 21, i) for i in range(config.pool)])
        pools += [world.state()] * len(variants)
    loop = RolloutLoop(
        ExactDynamics(Point2D(4096, POINT)),
        lengths.tolist(),
        -UNIT,
        UNIT,
        penalty=[1.0 if v.method == "mopo" else 0.0 for v, _ in runs],
        scale=config.reward_scale,
    )
    patched = torch.tensor([v.method == "oracle" for v, _ in runs])
    oracle = _Oracle(patched, lengths, loop) if bool(patched.any()) else None
    agent = SAC(config.agent(variants[0].method), 2, 2, [s for _, s in runs], bootstrap=oracle)
    if oracle is not None:
        oracle.agent = agent
    look = Point2D(config.evaluation, POINT)
    look.reset(range(config.evaluation))
    start, schedule = look.state(), config.schedule(config.updates, 0.0)
    every = max(1, schedule.epochs // CHECKS)
    curves: list[tuple[int, Tensor, Tensor]] = []
    gaps: dict[str, Tensor] = {}

    def watch(epoch: int, told: Mapping[str, Tensor], rollouts: Rollouts | None) -> None:
        done = epoch * schedule.updates
        if epoch % every == 0 or epoch == schedule.epochs:
            curves.append((done, model_returns(agent, loop, start, 50).mean(1), told["value"] / config.reward_scale))
        if rollouts is not None and done == min(config.diagnose_at, config.updates):
            rows = rollouts.rows
            seen = effective_penalty(agent.values(rows.next_observation), _beyond(rows, lengths), rollouts.kept)
            gaps.update(seen._asdict())

    train_offline(agent, schedule, [s for _, s in runs], loop=loop, starts=torch.stack(pools), on_epoch=watch)
    final = curves[-1][1]
    values = agent.values(loop.observe(start.expand(len(runs), -1, -1)))
    found: dict[str, Any] = {}
    for number, seed in enumerate(seeds):
        metrics: dict[str, Any] = {}
        lines: dict[str, Any] = {}
        for offset, variant in enumerate(variants):
            run = number * len(variants) + offset
            metrics[f"{variant.name}.return"] = float(final[run])
            for name, value in gaps.items():
                metrics[f"{variant.name}.{name}"] = float(value[run])
            lines[variant.name] = {
                "updates": [c[0] for c in curves],
                "returns": [float(c[1][run]) for c in curves],
                "values": [float(c[2][run]) for c in curves],
            }
        if group in ("base", "mopo"):
            metrics[f"{group}.start_values"] = (values[number] / config.reward_scale).flatten().tolist()
        if group == "ravl":
            metrics["penalty.ratio"] = metrics["ravl.k1.edge"] / metrics["ravl.k1.within"]
        found[str(seed)] = {"metrics": metrics, "curves": lines}
    return found


def _beyond(rows: Transitions, lengths: Tensor) -> Tensor:
    """Bootstrapped states no step was ever taken from: exactly those outside the square of half-side k.

    The policy's support is the whole action square, so rollouts step from everywhere up to k - 1 beyond the starts.
    """
    return rows.last & (rows.next_observation.abs().amax(-1) > lengths[:, None])


class _Oracle:
    """OraclePatch: the present policy's true value at edge-of-reach targets of the patched runs.

    The policy is followed from there through the true dynamics, `STEPS` of them.
    """

    def __init__(self, patched: Tensor, lengths: Tensor, loop: RolloutLoop) -> None:
        self.patched, self.lengths, self.loop = patched, lengths, loop
        self.agent: SAC | None = None

    def __call__(self, batch: Transitions, value: Tensor) -> Tensor:
        assert self.agent is not None
        true = value.clone()
        true[self.patched] = self.policy_value(batch.next_observation[self.patched])
        return torch.where(self.patched[:, None] & _beyond(batch, self.lengths), true, value)

    def policy_value(self, place: Tensor) -> Tensor:
        """Discounted return of the median action from places [run, batch, 2] of the patched runs."""
        agent = self.agent
        assert agent is not None
        actor = agent.actor.some(self.patched.nonzero()[:, 0])
        x, total, c = place.double(), torch.zeros(place.shape[:2], dtype=torch.float64), POINT
        goal = torch.tensor(c.goal, dtype=torch.float64)
        for step in range(STEPS):
            median = torch.tanh(actor(x.float()).chunk(2, -1)[0])
            x = x + c.gear * median  # one step of the first-order point
            total -= agent.config.gamma**step * c.reward_scale * (x - goal).norm(dim=-1)
        return (self.loop.scale * total).float()


def pendulum(method: str, seeds: Sequence[int], config: RavlConfig) -> Mapping[str, Any]:
    """One method on the pendulum from recordings of a mixture of policies, k = 5, all seeds at once."""
    low, high = torch.full((1,), -2.0), torch.full((1,), 2.0)
    share = max(1, config.pendulum_episodes // 3)
    tables, states = [], []
    for seed in seeds:
        world = Pendulum(share)
        mixture = BehaviourMixture(
            world,
            [Behaviour(f"level{k}", share, lambda w, k=k: w.expert(QUALITIES[k])) for k in (0, 2, 4)],  # type: ignore[misc]
        )
        table, state = transitions_of(mixture.record(first_seed=mixed_seed(seed, 31) % 2**31), low, high)
        assert state is not None
        tables.append(table)
        states.append(state)
    data = Transitions(*(torch.cat(values) for values in zip(*tables)))
    loop = RolloutLoop(ExactDynamics(Pendulum(4096)), 5, low, high)
    agent = SAC(replace(config.agent(method), alpha=config.pendulum_alpha), 3, 1, list(seeds))
    look = Pendulum(50)
    look.reset(range(50))
    start, schedule = look.state(), config.schedule(config.pendulum_updates, 0.05)
    every = max(1, schedule.epochs // CHECKS)
    curves: list[tuple[int, Tensor, Tensor]] = []
    told_last: dict[str, Tensor] = {}
    last: list[Rollouts] = []

    def watch(epoch: int, told: Mapping[str, Tensor], rollouts: Rollouts | None) -> None:
        if epoch % every == 0 or epoch == schedule.epochs:
            curves.append((epoch * schedule.updates, model_returns(agent, loop, start, 200).mean(1), told["value"]))
        if epoch == schedule.epochs and rollouts is not None:
            told_last.update(told)
            last.append(rollouts)

    train_offline(agent, schedule, seeds, data=data, loop=loop, starts=torch.stack(states), on_epoch=watch)
    rows, edge = nearest_edge(last[0].rows, last[0].kept, generator=torch.Generator().manual_seed(0))
    seen = effective_penalty(agent.values(rows.next_observation), edge, torch.ones_like(edge))
    reference = reference_returns(look)
    found: dict[str, Any] = {}
    for run, seed in enumerate(seeds):
        score = normalized_return(curves[-1][1][run : run + 1].double(), **reference)
        metrics = {
            f"pendulum.{method}.score": float(score[0]),
            f"pendulum.{method}.value": float(told_last["value"][run]),
            **{f"pendulum.{method}.{name}": float(value[run]) for name, value in seen._asdict().items()},
        }
        lines = {
            "updates": [c[0] for c in curves],
            "returns": [float(c[1][run]) for c in curves],
            "values": [float(c[2][run]) for c in curves],
        }
        found[str(seed)] = {"metrics": metrics, "curves": {f"pendulum.{method}": lines}}
    return found
