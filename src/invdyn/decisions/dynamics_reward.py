"""`fit_dynamics_reward`: the reward that recorded dynamics maximise, by adversarial imitation; a model imitates.

MOREC (Luo, Xu, Cao, Yu, ICLR 2024, arXiv 2310.05422): in GAIL (Ho and Ermon, NeurIPS 2016, arXiv 1606.03476) a policy
imitates actions; here P(s'|s, a) imitates next states. In turn, P is rolled along recorded actions, a discriminator
D(s, a, s') learns to tell recorded from rolled transitions, and P is improved by PPO (Schulman et al., 2017, arXiv
1707.06347) on -log(1 - D). What matters is not P but the discriminators on the way: snapshots of them are kept, and
their average is the reward (`dynamics_readout.py`). All runs are trained side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from invdyn.decisions.dynamics_readout import DynamicsReward, Snapshots
from invdyn.decisions.sac import optimizer_step
from invdyn.decisions.transitions import Transitions
from invdyn.errors import ConfigError
from invdyn.nn.gaussians import Gaussian
from invdyn.nn.stacked_mlp import StackedMLP
from invdyn.nn.streams import Streams
from invdyn.nn.vectorized_critic import redraw
from invdyn.training.seeding import mixed_seed

__all__ = ["FittedReward", "RewardConfig", "fit_dynamics_reward", "segment_starts"]


@dataclass(frozen=True)
class RewardConfig:
    """Settings; net sizes and snapshots are MOREC's (card morec), the sizes of an iteration ours.

    Args:
        encoder, head: units of the hidden layers of a discriminator; the encoder's last is the head's input.
        iterations: rounds of rollouts, discriminator and model updates.
        every: iterations between snapshots.
        snapshots: kept at most; the last ones.
        starts: rollouts per iteration.
        horizon: steps of a rollout, along recorded actions.
        discriminator_updates, batch: per iteration; transitions of each kind per update.
        discriminator_lr, model_lr: rates of Adam.
        gradient_penalty: weight of (|dD/dx| - 1)^2 between recorded and rolled transitions; 0 leaves it out.
        width, depth: units of each hidden layer of P and of its values, and their number.
        warm: updates of P by likelihood before the first iteration.
        likelihood: weight of the likelihood in P's updates afterwards.
        epochs, minibatches: passes over an iteration's rollouts, and parts of each.
        ratio: PPO's clip.
        gamma, lam: discount and GAE's lambda.
        log_std: bounds of P's log standard deviation, in standard deviations of the change of state. A high lower bound
            keeps P from winning: discriminators then tell recorded from rolled by wide margins throughout, so that what
            is true lies near e on their scale, also where nothing was recorded (ours).
    """

    encoder: tuple[int, ...] = (128, 256)
    head: tuple[int, ...] = (256, 128)
    iterations: int = 4000
    every: int = 10
    snapshots: int = 400
    starts: int = 256
    horizon: int = 5
    discriminator_updates: int = 4
    batch: int = 256
    discriminator_lr: float = 3e-4
    model_lr: float = 3e-4
    gradient_penalty: float = 0.0
    width: int = 64
    depth: int = 2
    warm: int = 100
    likelihood: float = 0.0
    epochs: int = 4
    minibatches: int = 4
    ratio: float = 0.2
    gamma: float = 0.9
    lam: float = 0.95
    log_std: tuple[float, float] = (-5.0, 1.0)

    def __post_init__(self) -> None:
        counts = (self.iterations, self.every, self.snapshots, self.starts, self.horizon, self.batch, self.epochs)
        if min(counts) < 1 or self.minibatches < 1 or self.warm < 0:
            raise ConfigError(f"dynamics reward: every count is at least 1 (warm: 0), got {self}.")
        if not self.log_std[0] < self.log_std[1]:
            raise ConfigError(f"dynamics reward: log_std is {self.log_std}, expected a lower and a higher bound.")
        if self.iterations < self.every:
            raise ConfigError(
                f"dynamics reward: {self.iterations} iterations with a snapshot every {self.every} leave none; "
                "expected at least as many iterations."
            )


@dataclass(frozen=True)
class FittedReward:
    """What the game left.

    Args:
        rewards: one per run.
        expert, learner: [iteration, run] mean logits of recorded and of rolled transitions.
        error: [iteration, run] root mean squared deviation of P's means from recorded s', in standard deviations of the
            change of state.
    """

    rewards: list[DynamicsReward]
    expert: Float[Tensor, "iteration run"]
    learner: Float[Tensor, "iteration run"]
    error: Float[Tensor, "iteration run"]


def segment_starts(data: Transitions, horizon: int) -> list[Int64[Tensor, " rows"]]:
    """Per run: rows from which `horizon` recorded steps follow on each other."""
    follows = (data.next_observation[:, :-1] == data.observation[:, 1:]).all(-1) & ~data.terminated[:, :-1]
    found = []
    for run in range(len(data.reward)):
        good = torch.ones(data.rows - horizon + 1, dtype=torch.bool, device=follows.device)
        for step in range(horizon - 1):
            good &= follows[run, step : step + len(good)]
        found.append(good.nonzero()[:, 0])
    if not all(len(rows) for rows in found):
        raise ConfigError(
            f"dynamics reward: no recording holds {horizon} steps in a row. Shorten the horizon, or bring the "
            "transitions in the order they happened."
        )
    return found


def fit_dynamics_reward(data: Transitions, config: RewardConfig, seeds: Sequence[int]) -> FittedReward:
    """Play the game on recorded transitions.

    Args:
        data: one run per seed, rows in the order they happened within an episode.
        config: settings.
        seeds: one per run; what a run learns depends on its own alone.

    Raises:
        ConfigError: other numbers of runs and seeds, or no segment as long as the horizon.
    """
    if len(data.reward) != len(seeds):
        raise ConfigError(f"dynamics reward: {len(data.reward)} runs of transitions for {len(seeds)} seeds.")
    return _Game(data, config, seeds).play()


class _Game:
    """One call of `fit_dynamics_reward`; s' is spoken of as its change in standard deviations."""

    def __init__(self, data: Transitions, config: RewardConfig, seeds: Sequence[int]) -> None:
        self.data, self.config, self.runs = data, config, len(seeds)
        self.size = data.observation.shape[2]
        device = data.reward.device
        self.inputs = torch.cat([data.observation, data.cause], -1)
        change = data.next_observation - data.observation
        both = torch.cat([self.inputs, change], -1)
        self.shift, self.scale = both.mean(1), both.std(1).clamp(min=1e-6)
        n = self.inputs.shape[2]
        self.change_shift, self.change_scale = self.shift[:, None, n:], self.scale[:, None, n:]
        self.input_shift, self.input_scale = self.shift[:, None, :n], self.scale[:, None, :n]
        self.known = self.standard(self.inputs), (change - self.change_shift) / self.change_scale
        init = Streams([mixed_seed(seed, 61) for seed in seeds])
        self.draws = Streams([mixed_seed(seed, 62) for seed in seeds], device)
        c = config
        self.model = StackedMLP(self.runs, n, 2 * self.size, width=c.width, depth=c.depth, activation="silu")
        self.value = StackedMLP(self.runs, n, 1, width=c.width, depth=c.depth)
        self.judge = StackedMLP(self.runs, n + self.size, 1, width=(*c.encoder, *c.head))
        for net in (self.model, self.value, self.judge):
            redraw(net, self.runs, init, last=1e-2)
            net.to(device)
        self.model_step = torch.optim.Adam([*self.model.parameters()], lr=c.model_lr, fused=True)
        self.value_step = torch.optim.Adam([*self.value.parameters()], lr=c.model_lr, fused=True)
        self.judge_step = torch.optim.Adam([*self.judge.parameters()], lr=c.discriminator_lr, fused=True)
        self.starts = segment_starts(data, c.horizon)
        self.counts = torch.tensor([len(rows) for rows in self.starts])
        most = int(self.counts.max())
        self.table = torch.stack([functional.pad(rows, (0, most - len(rows))) for rows in self.starts])

    # ---- pieces ------------------------------------------------------------------------------------------------------

    def standard(self, inputs: Float[Tensor, "run batch in"]) -> Float[Tensor, "run batch in"]:
        return (inputs - self.input_shift) / self.input_scale

    def imitate(self, x: Float[Tensor, "run batch in"]) -> Gaussian:
        """P of standardised (s, a), over standardised changes."""
        mean, raw = self.model(x).chunk(2, -1)
        return Gaussian(mean, raw.clamp(*self.config.log_std))

    def logits(self, x: Tensor, change: Tensor) -> Float[Tensor, "run batch"]:
        return self.judge(torch.cat([x, change], -1))[..., 0]

    def recorded(self, count: int) -> tuple[Float[Tensor, "run batch in"], Float[Tensor, "run batch out"]]:
        """Standardised (s, a) and changes of recorded transitions."""
        rows = self.draws.index(self.data.rows, count)
        x, change = (v.gather(1, rows[..., None].expand(-1, -1, v.shape[2])) for v in self.known)
        return x, change

    @torch.no_grad()
    def roll(self) -> tuple[Tensor, Tensor]:
        """P along recorded actions: standardised (s, a) and changes, [run, step, start, ...]."""
        c = self.config
        first = self.table.gather(1, self.draws.index(self.counts, c.starts))
        state = self.data.observation.gather(1, first[..., None].expand(-1, -1, self.size))
        xs, changes = [], []
        for step in range(c.horizon):
            rows = (first + step)[..., None].expand(-1, -1, self.data.cause.shape[2])
            x = self.standard(torch.cat([state, self.data.cause.gather(1, rows)], -1))
            told = self.imitate(x)
            change = told.mean + told.log_std.exp() * self.draws.normal(c.starts, self.size)
            state = state + self.change_shift + self.change_scale * change
            xs.append(x)
            changes.append(change)
        return torch.stack(xs, 1), torch.stack(changes, 1)

    # ---- updates -----------------------------------------------------------------------------------------------------

    def warm(self) -> None:
        for _ in range(self.config.warm):
            optimizer_step(self.model_step, [*self.model.parameters()], self.unlikelihood())

    def unlikelihood(self) -> Float[Tensor, " run"]:
        x, change = self.recorded(self.config.batch)
        return -self.imitate(x).log_prob(change).mean(1)

    def tell_apart(self, xs: Tensor, changes: Tensor) -> None:
        """Logistic loss of recorded against rolled transitions."""
        c = self.config
        for _ in range(c.discriminator_updates):
            x, change = self.recorded(c.batch)
            rows = self.draws.index(xs.shape[1], c.batch)[..., None]
            fake_x, fake = (v.gather(1, rows.expand(-1, -1, v.shape[2])) for v in (xs, changes))
            real, made = self.logits(x, change), self.logits(fake_x, fake)
            loss = functional.softplus(-real).mean(1) + functional.softplus(made).mean(1)
            if c.gradient_penalty:
                share = self.draws.uniform(c.batch, 1).to(x)
                between = torch.cat([x, change], -1).lerp(torch.cat([fake_x, fake], -1), share).requires_grad_()
                (slope,) = torch.autograd.grad(self.judge(between).sum(), between, create_graph=True)
                loss = loss + c.gradient_penalty * (slope.norm(dim=-1) - 1).square().mean(1)
            optimizer_step(self.judge_step, [*self.judge.parameters()], loss)

    @torch.no_grad()
    def advantages(self, xs: Tensor, changes: Tensor) -> tuple[Tensor, Tensor]:
        """GAE of -log(1 - D) over rollouts that are cut by time: the last state's value is bootstrapped by the last but
        one's, [run, step, start]; and the targets of the values."""
        c = self.config
        flat = xs.flatten(1, 2)
        reward = functional.softplus(self.logits(flat, changes.flatten(1, 2))).reshape(xs.shape[:3])
        value = self.value(flat)[..., 0].reshape(xs.shape[:3])
        following = torch.cat([value[:, 1:], value[:, -1:]], 1)
        gain, found = torch.zeros_like(value[:, 0]), []
        for step in reversed(range(c.horizon)):
            gain = reward[:, step] + c.gamma * following[:, step] - value[:, step] + c.gamma * c.lam * gain
            found.append(gain)
        advantage = torch.stack(found[::-1], 1)
        return advantage, advantage + value

    def improve(self, xs: Tensor, changes: Tensor) -> None:
        """PPO on the rollouts."""
        c = self.config
        advantage, target = (v.flatten(1, 2) for v in self.advantages(xs, changes))
        advantage = (advantage - advantage.mean(1, keepdim=True)) / (advantage.std(1, keepdim=True) + 1e-6)
        x, change = xs.flatten(1, 2), changes.flatten(1, 2)
        with torch.no_grad():
            before = self.imitate(x).log_prob(change)
        for _ in range(c.epochs):
            order = self.draws.uniform(x.shape[1]).argsort(1)
            for rows in order.chunk(c.minibatches, 1):

                def part(v: Tensor, rows: Tensor = rows) -> Any:
                    return v.gather(1, rows[..., None].expand(-1, -1, v.shape[2]) if v.ndim == 3 else rows)

                ratio = (self.imitate(part(x)).log_prob(part(change)) - part(before)).exp()
                wanted = torch.minimum(ratio * part(advantage), ratio.clamp(1 - c.ratio, 1 + c.ratio) * part(advantage))
                loss = -wanted.mean(1)
                if c.likelihood:
                    loss = loss + c.likelihood * self.unlikelihood()
                optimizer_step(self.model_step, [*self.model.parameters()], loss)
                missed = (self.value(part(x))[..., 0] - part(target)).square().mean(1)
                optimizer_step(self.value_step, [*self.value.parameters()], missed)

    # ---- the game ----------------------------------------------------------------------------------------------------

    def play(self) -> FittedReward:
        c = self.config
        self.warm()
        kept: list[tuple[list[Tensor], Tensor, Tensor]] = []
        told: list[tuple[Tensor, Tensor, Tensor]] = []
        for iteration in range(c.iterations):
            xs, changes = self.roll()
            self.tell_apart(xs.flatten(1, 2), changes.flatten(1, 2))
            with torch.no_grad():
                x, change = self.recorded(4 * c.batch)
                expert = self.logits(x, change).mean(1)
                learner = self.logits(xs.flatten(1, 2), changes.flatten(1, 2)).mean(1)
                missed = (self.imitate(x).mean - change).square().mean((1, 2)).sqrt()
            told.append((expert, learner, missed))
            if (iteration + 1) % c.every == 0:
                weights = [p.detach().clone() for p in (*self.judge.weights, *self.judge.biases)]
                kept = [*kept, (weights, expert, learner)][-c.snapshots :]
            self.improve(xs, changes)
        return FittedReward(
            [self.reward(run, kept) for run in range(self.runs)],
            *(torch.stack(column) for column in zip(*told)),
        )

    def reward(self, run: int, kept: Sequence[tuple[Sequence[Tensor], Tensor, Tensor]]) -> DynamicsReward:
        """The snapshots of one run; those that did not tell recorded from rolled have no scale to be read on."""
        c = self.config
        good = [k for k in kept if float(k[1][run]) > float(k[2][run])]
        if not good:
            raise ConfigError(
                f"dynamics reward: no discriminator of run {run} told recorded from rolled transitions. Give it more "
                "updates, or the model fewer."
            )
        nets = StackedMLP(len(good), self.shift.shape[1], 1, width=(*c.encoder, *c.head)).to(self.shift.device)
        with torch.no_grad():
            for number, target in enumerate((*nets.weights, *nets.biases)):
                target.copy_(torch.stack([k[0][number][run] for k in good]))
        snapshots = Snapshots(nets, self.shift[run], self.scale[run])
        expert, learner = (torch.stack([k[i][run] for k in good]) for i in (1, 2))
        return DynamicsReward(snapshots, expert, learner)
