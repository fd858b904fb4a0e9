"""The offline-RL kernel: critics against separate nets, EDAC against a double loop, targets and rollouts by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from invdyn.decisions.edge_of_reach import bellman_sweeps, edge_states, effective_penalty, expected_least, nearest_edge
from invdyn.decisions.offline import OfflineConfig, RunPolicy, model_returns, train_offline
from invdyn.decisions.rollout_loop import Choice, RolloutLoop
from invdyn.decisions.sac import SAC, SACConfig
from invdyn.decisions.transitions import RecentRollouts, Transitions, transitions_of
from invdyn.errors import ConfigError, SignalError, WorldError
from invdyn.nn import MLP, SeedAxis, SquashedGaussian, StackedMLP, Streams, VectorizedCritic, diversity
from invdyn.verify import evaluate
from invdyn.worlds import record
from invdyn.worlds.forward_model import ExactDynamics, ForwardModel, ModelStep
from invdyn.worlds.pendulum import Pendulum
from invdyn.worlds.point2d import Point2D, Point2DConfig

LOW, HIGH = -torch.ones(2), torch.ones(2)


def critic(runs: int = 2, critics: int = 5, seed: int = 0) -> VectorizedCritic:
    return VectorizedCritic(
        runs, critics, 3, 2, width=16, depth=3, streams=Streams([seed + r for r in range(runs)])
    ).double()


def batch_of(runs: int, rows: int, seed: int = 0, observations: int = 3) -> Transitions:
    g = torch.Generator().manual_seed(seed)
    flags = torch.rand(runs, rows, generator=g) < 0.3
    return Transitions(
        torch.randn(runs, rows, observations, generator=g),
        torch.rand(runs, rows, 2, generator=g) * 2 - 1,
        torch.randn(runs, rows, generator=g),
        torch.randn(runs, rows, observations, generator=g),
        flags,
        torch.zeros_like(flags),
    )


# ---- critics ---------------------------------------------------------------------------------------------------------


def test_stacked_nets_equal_separate_layers_and_the_seed_axis() -> None:
    torch.manual_seed(0)
    nets = StackedMLP(4, 5, 2, width=7, depth=2, activation="silu")
    x = torch.randn(4, 11, 5)
    for i in range(4):
        torch.testing.assert_close(nets(x)[i], nets.member(i)(x[i]), atol=1e-6, rtol=0)
    axis = SeedAxis(lambda: MLP(5, 2, width=7, depth=2), 4)
    relu = StackedMLP(4, 5, 2, width=7, depth=2)
    with torch.no_grad():
        stored = dict(axis.named_parameters())
        for layer in range(3):
            relu.weights[layer].copy_(stored[f"{2 * layer}/weight"].mT)
            relu.biases[layer].copy_(stored[f"{2 * layer}/bias"][:, None])
    torch.testing.assert_close(relu(x), axis(x, shared=False), atol=1e-6, rtol=0)


def test_vectorized_critics_equal_separate_nets_in_value_and_gradient() -> None:
    q = critic()
    s, a = torch.randn(2, 9, 3).double(), torch.randn(2, 9, 2).double()
    values = q(s, a)
    values.square().sum().backward()
    for run in range(2):
        for n in range(5):
            net = q.nets.member(5 * run + n)
            alone = net(torch.cat([s[run], a[run]], -1))[:, 0]
            torch.testing.assert_close(values[run, n], alone, atol=1e-12, rtol=0)
            alone.square().sum().backward()
            first = net[0].weight.grad
            assert isinstance(first, Tensor)
            torch.testing.assert_close(q.nets.weights[0].grad[5 * run + n].T, first, atol=1e-12, rtol=1e-9)


def test_slopes_and_their_gradient_equal_second_order_autograd() -> None:
    q = critic()
    s, a = torch.randn(2, 9, 3).double(), torch.randn(2, 9, 2).double().requires_grad_()
    values, slopes = q.with_slopes(s, a)
    torch.testing.assert_close(values, q(s, a))
    parameters = list(q.parameters())
    by_hand = torch.autograd.grad(diversity(slopes).sum(), parameters, allow_unused=True)
    each = [torch.autograd.grad(q(s, a)[:, n].sum(), a, create_graph=True)[0] for n in range(5)]
    torch.testing.assert_close(slopes, torch.stack(each, 1), atol=1e-12, rtol=0)
    reference = torch.autograd.grad(diversity(torch.stack(each, 1)).sum(), parameters, allow_unused=True)
    compared = 0
    for ours, theirs, parameter in zip(by_hand, reference, parameters):
        nothing = torch.zeros_like(parameter)
        ours, theirs = (nothing if g is None else g for g in (ours, theirs))
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-8)
        compared += bool(theirs.any())
    assert compared >= 4  # every weight enters; biases only through the masks


def test_diversity_equals_a_double_loop() -> None:
    slopes = torch.randn(3, 6, 8, 2, generator=torch.Generator().manual_seed(1)).double()
    ours = diversity(slopes)
    for run in range(3):
        total = 0.0
        for b in range(8):
            for i in range(6):
                for j in range(6):
                    if i != j:
                        u, v = slopes[run, i, b], slopes[run, j, b]
                        total += float(u @ v / (u.norm() * v.norm()))
        assert float(ours[run]) == pytest.approx(total / 8 / 5, abs=1e-9)
    assert float(diversity(slopes[:, :1].expand(3, 4, 8, 2))[0]) == pytest.approx(4.0)  # N (N-1) / (N-1) when parallel
    assert diversity(slopes[:, :1]).tolist() == [0, 0, 0]


def test_a_drawn_cause_knows_its_density() -> None:
    low, high = torch.tensor([-2.0, 0.0]).double(), torch.tensor([2.0, 3.0]).double()
    mean, log_std = torch.randn(50, 2).double(), torch.rand(50, 2).double() - 1
    policy = SquashedGaussian(mean, log_std, low, high)
    cause, log_prob = policy.draw(torch.randn(50, 2).double())
    torch.testing.assert_close(log_prob, policy.log_prob(cause), atol=1e-6, rtol=1e-6)
    far = SquashedGaussian(torch.full((1, 2), 30.0), torch.zeros(1, 2), -torch.ones(2), torch.ones(2))
    u = torch.full((1, 2), 0.5)
    # tanh rounds to 1 here; the density is -log of the Jacobian 4 exp(-2 u) all the same
    expected = 2 * (-0.5 * 0.25 - 0.5 * math.log(2 * math.pi) - math.log(4) + 2 * 30.5)
    assert float(far.draw(u)[1]) == pytest.approx(expected, rel=1e-5)


# ---- SAC -------------------------------------------------------------------------------------------------------------


def small(runs: list[int], **changes: float) -> SAC:
    config = SACConfig(**{"critics": 3, "eta": 0.5, "width": 16, "depth": 2, **changes})  # type: ignore[arg-type]
    return SAC(config, 3, 2, runs)


def test_the_target_is_the_least_soft_value_and_ends_only_where_the_world_does() -> None:
    agent, rows = small([4, 5]), batch_of(2, 40)
    noise = torch.randn(2, 40, 2)
    target = agent.targets(rows, noise)
    assert rows.terminated.any()
    for run in range(2):
        policy = agent.policy(rows.next_observation)
        mean, std = policy.base_mean[run].detach(), policy.log_std[run].detach().exp()
        normal = torch.distributions.Normal(mean, std)
        u = mean + std * noise[run]
        log_prob = (normal.log_prob(u) - torch.log(1 - u.tanh() ** 2)).sum(-1)
        inputs = torch.cat([rows.next_observation[run], u.tanh()], -1)
        least = torch.stack([agent.target.nets.member(3 * run + n)(inputs)[:, 0] for n in range(3)]).amin(0)
        value = torch.where(
            rows.terminated[run], 0.0, least.detach() - float(agent.log_alpha[run].detach().exp()) * log_prob
        )
        torch.testing.assert_close(target[run], rows.reward[run] + 0.99 * value.detach(), atol=1e-5, rtol=1e-5)


def test_an_oracle_replaces_what_is_bootstrapped_and_only_there() -> None:
    rows = batch_of(1, 40)
    rows = rows._replace(last=rows.reward > 0)
    noise = torch.randn(1, 40, 2)
    plain = small([4]).targets(rows, noise)
    agent = SAC(
        SACConfig(critics=3, width=16, depth=2),
        3,
        2,
        [4],
        bootstrap=lambda b, value: torch.where(b.last, 7.0, value),
    )
    patched = agent.targets(rows, noise)
    torch.testing.assert_close(patched[~rows.last], plain[~rows.last])
    alive = rows.last & ~rows.terminated
    torch.testing.assert_close(patched[alive], rows.reward[alive] + 0.99 * 7.0)


def test_runs_are_independent_and_alike_for_one_seed() -> None:
    rows = batch_of(1, 32)
    three = Transitions(*(v.expand(3, *v.shape[1:]) for v in rows))
    together, alone = small([8, 9, 8]), small([9])
    for _ in range(20):
        together.update(three)
        alone.update(rows)
    look = torch.randn(1, 10, 3)
    many, one = together.values(look.expand(3, -1, -1)), alone.values(look)
    torch.testing.assert_close(many[0], many[2], atol=1e-6, rtol=0)
    torch.testing.assert_close(many[1], one[0], atol=1e-5, rtol=0)
    assert (many[0] - many[1]).abs().max() > 1e-3


def test_temperature_holds_the_entropy_it_is_learnt_for() -> None:
    """A value-free problem: the temperature alone decides, and the entropy settles at the target."""
    agent = SAC(
        SACConfig(
            critics=1, eta=0.0, width=16, depth=1, actor_lr=1e-2, critic_lr=1e-2, alpha_lr=1e-2, target_entropy=-1.0
        ),
        3,
        2,
        [0],
    )
    rows = batch_of(1, 64)._replace(reward=torch.zeros(1, 64), terminated=torch.ones(1, 64, dtype=torch.bool))
    rows = rows._replace(reward=-10 * (rows.cause - 0.3).square().sum(-1))
    told = [float(agent.update(rows)["entropy"]) for _ in range(600)]
    assert np.mean(told[-150:]) == pytest.approx(-1.0, abs=0.2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"critics": 0}, "critics 0"), ({"gamma": 1.0}, "gamma 1.0 lies in \\[0, 1\\)"), ({"tau": 0.0}, "tau 0.0")],
)
def test_settings_that_cannot_be_used_are_named(changes: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SACConfig(**changes)  # type: ignore[arg-type]


# ---- models and rollouts ---------------------------------------------------------------------------------------------


def test_exact_dynamics_is_the_world_itself_bit_for_bit() -> None:
    world, model = Pendulum(5), ExactDynamics(Pendulum(4))  # 4 does not divide 5: the last chunk is filled up
    world.reset(range(5))
    state = world.state()
    for step in range(7):
        cause = 2 * torch.randn(5, 1, generator=torch.Generator().manual_seed(step))
        after, told = model.step(state, cause), world.step(cause)
        assert torch.equal(after.state, world.state())
        assert torch.equal(after.reward, told.reward.float())
        assert not after.spread.any()
        assert torch.equal(model.observe(after.state), world.observe()["observation.state"])
        state = after.state


def test_exact_dynamics_refuses_a_world_without_states() -> None:
    world = Pendulum(1)
    world.has_state = False
    with pytest.raises(WorldError, match=r"pendulum has no state that can be set"):
        ExactDynamics(world)


class Line(ForwardModel):
    """A number line: x' = x + a, reward x, ends beyond 3; uncertain by |x|."""

    deterministic = True

    def step(self, state: Tensor, cause: Tensor, generator: torch.Generator | None = None) -> ModelStep:
        after = state + cause
        return ModelStep(after, state[:, 0], after[:, 0] > 3, state[:, 0].abs())

    def candidates(self, state: Tensor, cause: Tensor, generator: torch.Generator | None = None) -> ModelStep:
        parts = [self.step(state + shift, cause) for shift in (0.0, 0.25, 0.5)]
        return ModelStep(*(torch.stack(values) for values in zip(*parts)))


def forward(observation: Tensor, noise: Tensor) -> Tensor:
    return torch.ones_like(observation)


def test_rollouts_end_early_and_their_end_is_no_termination() -> None:
    loop = RolloutLoop(Line(), [4, 2], -torch.ones(1), torch.ones(1), penalty=[0.0, 0.5], scale=2.0)
    start = torch.tensor([[[1.0], [-3.0]], [[1.0], [-3.0]]])
    out = loop.roll(forward, start, Streams([0, 0]))
    # run 0, start 1: 1 -> 2 -> 3 -> 4 ends in the third step; start -3 goes all four steps
    rows, kept = out.rows, out.kept
    grid = kept.reshape(2, 4, 2)
    assert grid[0, :, 0].tolist() == [True, True, True, False]
    assert grid[0, :, 1].tolist() == [True] * 4
    assert grid[1].sum().item() == 4
    assert out.lengths.tolist() == [3.5, 2.0]
    assert rows.terminated.reshape(2, 4, 2)[0, 2, 0]
    assert not (rows.terminated & kept & rows.last).any()
    assert rows.last.reshape(2, 4, 2)[0, 3].all()
    assert rows.last.reshape(2, 4, 2)[1, 1].all()
    np.testing.assert_allclose(rows.reward.reshape(2, 4, 2)[0, :, 1], [-6, -4, -2, 0])
    np.testing.assert_allclose(rows.reward.reshape(2, 4, 2)[1, :2, 1], [-9, -6])


def test_a_filter_chooses_the_candidate_and_drops_what_it_distrusts() -> None:
    def choose(observation: Tensor, cause: Tensor, candidates: ModelStep, generator: object) -> Choice:
        assert candidates.state.shape == (3, 2, 1)
        return Choice(torch.full((2,), 2), candidates.state[2, :, 0] < 2.0)

    loop = RolloutLoop(Line(), 3, -torch.ones(1), torch.ones(1), choose=choose)
    out = loop.roll(forward, torch.tensor([[[-3.0], [-1.0]]]), Streams([0]))
    np.testing.assert_allclose(out.rows.next_observation.reshape(3, 2)[0], [-1.5, 0.5])  # x + 0.5 + 1
    # -3 goes -1.5, 0, 1.5; -1 goes 0.5 and is stopped before 2: that transition is dropped, the rollout over
    assert out.kept.reshape(3, 2).tolist() == [[True, True], [True, False], [True, False]]
    assert out.lengths.tolist() == [2.0]


def test_numbers_that_fit_no_run_are_refused() -> None:
    loop = RolloutLoop(Line(), [2, 3, 4], -torch.ones(1), torch.ones(1))
    with pytest.raises(ConfigError, match="3 lengths for 2 runs; give one, or one per run"):
        loop.roll(forward, torch.zeros(2, 1, 1), Streams([0, 1]))
    with pytest.raises(ConfigError, match="length is \\[0\\], expected at least 1 step"):
        RolloutLoop(Line(), 0, -torch.ones(1), torch.ones(1))


def test_recent_rollouts_are_drawn_uniformly_and_forgotten() -> None:
    buffer = RecentRollouts(keep=2)
    for epoch in range(3):
        rows = batch_of(2, 6)
        rows = rows._replace(reward=10.0 * epoch + torch.arange(6.0).expand(2, 6))
        kept = torch.zeros(2, 6, dtype=torch.bool)
        kept[0, [1, 4]] = True
        kept[1, epoch:] = True
        buffer.add(rows, kept)
    assert buffer.counts.tolist() == [4, 9]
    drawn = buffer.draw(Streams([0, 1]), 40_000).reward
    for run, wanted in ((0, [11, 14, 21, 24]), (1, [11, 12, 13, 14, 15, 22, 23, 24, 25])):
        values, counts = drawn[run].unique(return_counts=True)
        assert values.tolist() == wanted
        np.testing.assert_allclose(counts / 40_000, 1 / len(wanted), atol=0.012)  # 5 standard deviations
    rows, mask = buffer.everything()
    assert sorted(rows.reward[0][mask[0]].tolist()) == [11, 14, 21, 24]
    with pytest.raises(ConfigError, match="a run has no transition"):
        RecentRollouts(1).draw(Streams([0]), 1)


def test_recorded_steps_become_transitions_in_half_ranges() -> None:
    dataset = record(Pendulum(2), seeds=[3, 4])
    low, high = torch.tensor([-2.0]), torch.tensor([2.0])
    table, state = transitions_of(dataset, low, high)
    assert state is not None
    assert table.rows == sum(e.length - 1 for e in dataset)
    model = ExactDynamics(Pendulum(64))
    after = model.step(state, 2 * table.cause[0])
    torch.testing.assert_close(model.observe(after.state), table.next_observation[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(after.reward, table.reward[0], atol=1e-5, rtol=1e-6)
    with pytest.raises(SignalError, match=r"has no signal 'observation.speed'"):
        transitions_of(dataset, low, high, ["observation.speed"])


# ---- the edge of reach -----------------------------------------------------------------------------------------------


def chain(states: int = 12) -> Tensor:
    """Causes 0: stay, 1: one to the right; the last state keeps."""
    here = torch.arange(states)
    return torch.stack([here, (here + 1).clamp(max=states - 1)], 1)


def test_edge_states_are_those_reached_only_by_the_last_step() -> None:
    start = torch.zeros(12, dtype=torch.bool)
    start[:3] = True
    within, edge = edge_states(chain(), start, 4)
    assert within.nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert edge.nonzero()[:, 0].tolist() == [6]


def test_an_edge_error_goes_one_step_back_per_sweep() -> None:
    start = torch.zeros(12, dtype=torch.bool)
    start[:3] = True
    within, edge = edge_states(chain(), start, 4)
    reward = torch.full((12, 2), -1.0).double()
    truth = torch.full((1, 12, 2), -1.0 / (1 - 0.9)).double()  # staying or going costs 1 for ever
    values = truth.clone()
    values[:, edge] += 50.0
    for sweeps in range(1, 7):
        found = bellman_sweeps(values, chain(), reward, within, 0.9, sweeps)
        assert torch.equal(found[:, edge], values[:, edge])
        for distance in range(1, 7):
            expected = 0.9**distance * 50 if distance <= sweeps else 0.0
            assert float(found[0, 6 - distance, 1] - truth[0, 0, 0]) == pytest.approx(expected, abs=1e-10)


def test_the_least_of_normal_draws_has_the_tabulated_mean() -> None:
    # Harter, Biometrika 48 (1961): expected largest of 10 and of 50 normal draws
    assert expected_least(10) == pytest.approx(-1.53875, abs=5e-6)
    assert expected_least(50) == pytest.approx(-2.24907, abs=5e-6)


def test_nearest_neighbours_find_the_edge_of_a_known_reach() -> None:
    """First-order points from the square +-1 taking one step: s' beyond the square is edge-of-reach."""
    world = Point2D(4000, Point2DConfig.first_order())
    world.reset(range(4000))
    loop = RolloutLoop(ExactDynamics(Point2D(4000, Point2DConfig.first_order())), 1, LOW, HIGH)
    rolled = loop.roll(lambda o, n: n.tanh(), world.state()[None], Streams([0]))
    rows, edge = nearest_edge(rolled.rows, rolled.kept, generator=torch.Generator().manual_seed(0))
    outside = rows.next_observation.abs().amax(-1) > 1
    assert 0.2 < outside.float().mean() < 0.8
    assert (edge & ~outside).float().mean() < 0.02
    assert (edge & outside).sum() > 0.85 * outside.sum()  # missed: those that lie just outside
    values = torch.zeros(1, 3, edge.shape[1])
    values[:, 0] = torch.where(edge, -6.0, -0.3)
    told = effective_penalty(values, edge, torch.ones_like(edge))
    assert (round(float(told.edge), 5), round(float(told.within), 5)) == (4.0, 0.2)
    assert float(told.share) == pytest.approx(float(edge.float().mean()))
    assert effective_penalty(values, edge, ~edge).edge.isnan().all()  # rows that do not exist do not count


# ---- all together ----------------------------------------------------------------------------------------------------


def test_the_loop_learns_where_the_goal_is_within_reach_and_refuses_nothing_to_learn_from() -> None:
    config = Point2DConfig.first_order()
    starts = Point2D(500, config)
    starts.reset(range(500))
    model = ExactDynamics(Point2D(512, config))
    agent = SAC(
        SACConfig(critics=2, eta=0.0, width=32, depth=2, actor_lr=3e-3, critic_lr=3e-3, alpha_lr=3e-3, alpha=0.01),
        2,
        2,
        [0],
    )
    schedule = OfflineConfig(epochs=12, updates=50, starts=128, batch=64, real=0.0)
    world = Point2D(50, config, horizon=50)

    def mean_return() -> float:
        policy = RunPolicy(agent, 0, LOW, HIGH, ["observation.state"])
        return float(evaluate(policy, world, range(50)).returns.mean())

    before, told = mean_return(), []
    world.reset(range(50))
    together = model_returns(agent, RolloutLoop(model, 3, LOW, HIGH), world.state(), 50)
    assert float(together.mean()) == pytest.approx(before, rel=1e-5)
    train_offline(
        agent,
        schedule,
        [0],
        loop=RolloutLoop(model, 3, LOW, HIGH),
        starts=starts.state()[None],
        on_epoch=lambda epoch, values, rollouts: told.append((epoch, float(rollouts.lengths[0]))),  # type: ignore[union-attr]
    )
    assert told == [(e, 3.0) for e in range(1, 13)]
    assert before < -10
    assert mean_return() > -4
    with pytest.raises(ConfigError, match="batches are to hold recorded transitions, and no data were given"):
        train_offline(agent, OfflineConfig(epochs=1), [0])
    with pytest.raises(ConfigError, match="rollouts need states to start from"):
        train_offline(agent, schedule, [0], loop=RolloutLoop(model, 3, LOW, HIGH))
