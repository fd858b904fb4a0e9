"""Rewards up to what cannot matter: processes solved exactly, STARC, identified sets, adversarial pairs, the report."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from invdyn.decisions.adversarial import adversarial_pair, random_redistribution, random_shaping, step_length
from invdyn.decisions.batched_projection import ShapingProjection
from invdyn.decisions.behaviour import Behaviour, policy_distance
from invdyn.decisions.identified_set import IdentifiedSet, reward_space
from invdyn.decisions.sensitivity import by_rule, count_policy, mix_dynamics, sensitivity
from invdyn.decisions.tabular_mdp import TabularMDP, chain_mdp, grid_mdp, random_mdp
from invdyn.verify.metrics import RewardSpace, epic, feature_starc, regret, starc
from invdyn.verify.metrics.starc import SPARSE, orthonormal_span


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def maze() -> TabularMDP:
    """Terminal goal, a wall with fewer actions, one state that nothing reaches."""
    g = generator(3)
    mdp = grid_mdp(3, 3, 0.9, torch.randn(9, dtype=torch.float64, generator=g), terminal=torch.arange(9) == 8)
    transition = mdp.transition.clone()
    transition[:, :, 0] += transition[:, :, 6]
    transition[:, :, 6] = 0
    available = torch.ones(9, 4, dtype=torch.bool)
    available[4, 1:3] = False
    reward = torch.randn(9, 4, 9, dtype=torch.float64, generator=g)
    start = torch.eye(9, dtype=torch.float64)[0]
    return TabularMDP(transition, reward, 0.9, start, mdp.terminal, available)


PROCESSES = {"random": random_mdp(6, 3, 0.9, generator()), "maze": maze(), "chain": chain_mdp(5, 0.8)}


@pytest.mark.parametrize("name", PROCESSES)
def test_solutions_satisfy_their_bellman_equations(name: str) -> None:
    mdp = PROCESSES[name]
    best = mdp.optimal()
    alive = ~mdp.ends
    assert torch.allclose(best.q.max(1).values[alive], best.values[alive], atol=1e-11)
    assert torch.allclose(mdp.values(best.policy), best.values, atol=1e-11)
    soft = mdp.soft(0.7)
    assert torch.allclose(0.7 * torch.logsumexp(soft.q / 0.7, 1)[alive], soft.values[alive], atol=1e-11)
    assert bool((best.values + 1e-12 >= mdp.values(soft.policy)).all())
    assert bool((soft.values >= best.values - 1e-12).all())  # entropy is a bonus where there is a choice


@pytest.mark.parametrize("name", PROCESSES)
def test_values_agree_with_plain_value_iteration(name: str) -> None:
    mdp = PROCESSES[name]
    hard = soft = torch.zeros_like(mdp.start)
    for _ in range(600):
        hard = torch.where(mdp.ends, 0.0, mdp.q_of(hard).max(1).values)
        soft = torch.where(mdp.ends, 0.0, 0.7 * torch.logsumexp(mdp.q_of(soft) / 0.7, 1))
    assert torch.allclose(hard, mdp.optimal().values, atol=1e-10)
    assert torch.allclose(soft, mdp.soft(0.7).values, atol=1e-10)


@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_soft_values_converge_from_wherever_newton_starts(alpha: float) -> None:
    """Cold temperatures and large grids, where the residual rises before it falls."""
    for seed in range(8):
        g = generator(1000 + seed)
        mdp = grid_mdp(5, 5, 0.9, torch.randn(25, dtype=torch.float64, generator=g))
        soft = mdp.soft(alpha)
        gap = alpha * torch.logsumexp(soft.q / alpha, 1) - soft.values
        assert float(gap.abs().max()) < 1e-12 * (1 + float(soft.values.abs().max()))


def test_returns_are_visits_times_reward() -> None:
    for mdp in PROCESSES.values():
        policy = mdp.soft(0.5).policy
        assert float(mdp.returns(policy)) == pytest.approx(float((mdp.occupancy(policy) * mdp.expected_reward).sum()))
    many = torch.stack([PROCESSES["random"].uniform(), PROCESSES["random"].optimal().policy])
    assert PROCESSES["random"].returns(many).shape == (2,)


def full_projection(mdp: TabularMDP, reward: Tensor) -> np.ndarray:
    """c(R) by the definition: least squares over shaping and every redistribution, on the supported transitions."""
    space = reward_space(mdp)
    columns = []
    for state in range(space.states):
        potential = np.zeros(space.states)
        potential[state] = 0.0 if mdp.ends[state] else 1.0
        columns.append(mdp.discount * potential[space.next_state] - potential[space.state])
    for first, size in zip(space.first, np.diff([*space.first, len(space.state)])):
        p = space.probability[first : first + size]
        for other in range(1, size):
            delta = np.zeros(len(space.state))
            delta[first + other], delta[first] = 1 / p[other], -1 / p[0]
            columns.append(delta)
    basis = orthonormal_span(np.array(columns).T)
    r = reward.numpy()[space.state, space.action, space.next_state]
    return np.asarray(r - basis @ (basis.T @ r))


@pytest.mark.parametrize("name", PROCESSES)
def test_canonical_form_is_the_projection_of_the_definition(name: str) -> None:
    mdp = PROCESSES[name]
    space = reward_space(mdp)
    c = space.canonical(mdp.reward)
    whole = full_projection(mdp, mdp.reward)
    assert np.allclose(space.lift(c), whole, atol=1e-12)
    assert np.linalg.norm(c) == pytest.approx(np.linalg.norm(whole))


@pytest.mark.parametrize("name", PROCESSES)
def test_what_cannot_matter_does_not(name: str) -> None:
    mdp, g = PROCESSES[name], generator(1)
    blind = random_shaping(mdp, g) + random_redistribution(mdp, g)
    space = reward_space(mdp)
    assert space.distance(mdp.reward, 3.7 * mdp.reward + blind) < 1e-12
    assert space.distance(mdp.reward, -mdp.reward) == pytest.approx(2, abs=1e-12)
    other = torch.randn(mdp.reward.shape, dtype=torch.float64, generator=g)
    assert space.distance(mdp.reward, other) > 0.1
    assert space.distance(blind, 2 * blind) == 0  # nothing is left of either, and rounding is nothing
    moved = mdp.with_reward(mdp.reward + blind).soft(1.0).policy
    assert policy_distance(moved, mdp.soft(1.0).policy, mdp) < 1e-12
    value = [space.value_canonical(r, mdp.uniform()) for r in (mdp.reward, mdp.reward + blind)]
    assert np.allclose(value[0], value[1], atol=1e-11)


def test_rewards_where_nobody_comes_do_not_matter() -> None:
    mdp = PROCESSES["maze"]
    assert mdp.reachable().tolist() == [True] * 6 + [False] + [True] * 2
    changed = mdp.reward.clone()
    changed[6] += 100  # nothing reaches it
    changed[8] -= 100  # the episode is over
    changed[4, 1:3] += 100  # not available
    changed[:, :, 6] += 100  # never happens
    assert reward_space(mdp).distance(mdp.reward, changed) < 1e-12


def test_sparse_and_batched_projections_agree_with_the_dense_one() -> None:
    g = generator(2)
    mdp = grid_mdp(12, 12, 0.9, torch.randn(144, dtype=torch.float64, generator=g))
    space = reward_space(mdp)
    assert len(space.state) > SPARSE
    rewards = torch.randn(4, 144, 4, dtype=torch.float64, generator=g)
    sparse = space.canonical(rewards)
    z = rewards.numpy()[:, space.state[space.first], space.action[space.first]] / space.scale
    basis = space._basis
    assert np.allclose(sparse, z - (z @ basis) @ basis.T, atol=1e-12)
    batched = ShapingProjection(mdp)
    assert np.allclose(sparse, batched.canonical(rewards).numpy(), atol=1e-11)
    shaped = rewards + batched.shaping(torch.randn(4, 144, dtype=torch.float64, generator=g))
    assert np.allclose(sparse, batched.canonical(shaped).numpy(), atol=1e-11)
    assert (space.distance(rewards, rewards * 2) < 1e-12).all()


def test_discount_one_where_episodes_end() -> None:
    mdp = PROCESSES["maze"]
    space = RewardSpace.of(mdp.transition, 1.0, terminal=mdp.ends, available=mdp.live, reachable=mdp.reachable())
    potential = torch.randn(9, dtype=torch.float64, generator=generator()) * ~mdp.ends
    assert space.distance(mdp.reward, mdp.reward + potential[None, None] - potential[:, None, None]) < 1e-12
    endless = PROCESSES["random"]  # constants are in the kernel of shaping: the rank falls by one
    assert RewardSpace.of(endless.transition, 1.0)._basis.shape[1] == len(endless.start) - 1


def test_features_of_continuous_states() -> None:
    """x' = 0.9 x + u with quadratic rewards: shaping by x and x^2 is projected away, the cost of u is not."""
    rng = np.random.default_rng(0)
    x, u = rng.normal(size=(2, 400))
    after = 0.9 * x + u
    features = np.stack([x**2, x * u, u**2, x, u], 1)
    gamma = 0.95
    shaping = np.stack([gamma * after**k - x**k for k in (1, 2, 3)], 1)
    w = np.array([-1.0, 0.0, -0.5, 0.2, 0.0])
    shaped = w + 3 * np.array([gamma * 0.81 - 1, gamma * 1.8, gamma, 0, 0])
    d, rank = feature_starc(w, shaped, features, shaping)
    assert d < 1e-12
    assert rank == 3
    assert feature_starc(w, w + np.array([0, 0, -3.0, 0, 0]), features, shaping)[0] > 0.1
    assert feature_starc(w, -w, features, shaping)[0] == pytest.approx(2)


def test_epic_is_blind_to_shaping_and_scale_only() -> None:
    mdp, g = PROCESSES["random"], generator(5)
    r = mdp.reward.numpy()
    shaped = (2 * mdp.reward + random_shaping(mdp, g)).numpy()
    assert epic(r, shaped, mdp.discount) < 1e-7
    assert epic(r, -r, mdp.discount) == pytest.approx(1)
    moved = r + random_redistribution(mdp, g).numpy()
    assert epic(r, moved, mdp.discount) > 0.1
    assert starc(r, moved, mdp.transition, mdp.discount) < 1e-12


@pytest.mark.parametrize("distance", [0.01, 0.3, 1.0, 1.4])
def test_rotation_reaches_its_distance_by_the_shortest_step(distance: float) -> None:
    mdp = PROCESSES["maze"]
    near, far = adversarial_pair(mdp, "rotation", distance, generator(4))
    space = reward_space(mdp)
    assert space.distance(near, far) == pytest.approx(distance, abs=1e-12)
    length = np.linalg.norm(space.canonical(far) - space.canonical(near)) / np.linalg.norm(space.canonical(near))
    assert length == pytest.approx(step_length(distance), rel=1e-12)
    assert step_length(math.sqrt(2)) == pytest.approx(1)


@pytest.mark.parametrize("name", ["random", "maze"])
def test_identified_sets_hold_the_truth_and_every_pick_explains_the_policy(name: str) -> None:
    mdp, g = PROCESSES[name], generator(6)
    for behaviour in (Behaviour("mce", 0.6), Behaviour("boltzmann", 1.5)):
        policy = behaviour.policy(mdp)
        found = IdentifiedSet(policy, mdp, behaviour)
        assert found.contains(mdp.reward)
        assert not found.contains(mdp.reward + torch.randn(mdp.reward.shape, dtype=torch.float64, generator=g))
        members = [found.member(torch.randn(len(mdp.start), dtype=torch.float64, generator=g))]
        for reward in (*members, *(found.pick(rule) for rule in ("advantage", "minimal_norm"))):
            assert found.contains(reward)
            again = behaviour.policy(mdp.with_reward(reward))
            assert float((again - policy)[mdp.reachable()].abs().max()) < 1e-9
        space = reward_space(mdp)
        least = np.linalg.norm(space._pairs(found.pick("minimal_norm")))
        assert all(np.linalg.norm(space._pairs(reward)) > least for reward in members)


def test_state_only_rule_finds_state_rewards() -> None:
    mdp = PROCESSES["random"]
    states = torch.randn(6, dtype=torch.float64, generator=generator(7))
    mdp = mdp.with_reward(states[:, None].expand(-1, 3))
    behaviour = Behaviour("mce", 1.0)
    found = IdentifiedSet(behaviour.policy(mdp), mdp, behaviour).pick("state_only")[:, 0]
    assert torch.allclose(found - found.mean(), states - states.mean(), atol=1e-9)  # up to a constant


def test_maximum_margin_explains_optimal_behaviour() -> None:
    mdp = PROCESSES["random"]
    states = torch.randn(6, dtype=torch.float64, generator=generator(8))
    mdp = mdp.with_reward(states[:, None].expand(-1, 3))
    found = IdentifiedSet(mdp.optimal().policy, mdp, Behaviour("optimal"))
    picked = found.pick("max_margin")
    assert found.contains(picked)
    assert float(picked.abs().max()) <= 1 + 1e-9
    assert not found.contains(-picked)


def test_regret_of_the_other_reward_is_bounded_by_distance() -> None:
    assert regret(np.array([1.0, 3.0]), 3.0, worst=-1.0).tolist() == [0.5, 0.0]
    assert regret(2.0, 3.0) == 1.0


def test_report_tells_typical_from_worst_and_counts_the_data() -> None:
    mdp = PROCESSES["random"]
    states = torch.randn(6, dtype=torch.float64, generator=generator(9))
    mdp = mdp.with_reward(states[:, None].expand(-1, 3))
    policy = Behaviour("mce", 1.0).policy(mdp)

    def counts(each: int) -> Tensor:
        seen = torch.multinomial(policy, 12 * each, replacement=True, generator=generator(10))
        return torch.nn.functional.one_hot(seen.reshape(6, 12, each), 3).sum(2).transpose(0, 1).double()

    model, rule = Behaviour("mce", 1.0), by_rule("state_only")
    few, many = (
        sensitivity(counts(n), mdp, model, recover=rule, resamples=50, generator=generator()) for n in (20, 2000)
    )
    assert many.estimate[1] < 0.25 * few.estimate[1]
    rows = {(r.change, r.to): r for r in many.rows}
    assert rows["discount", "0.9"].distance < 1e-12
    assert rows["temperature", "x 5"].distance < 1e-12
    assert rows["temperature", "x 5"].worst == 0
    assert 0.005 < rows["discount", "0.5"].distance < 0.4
    assert rows["discount", "0.5"].worst == 2
    assert math.isnan(rows["kind", "boltzmann 1"].worst)
    assert any("worst case d = 2, which no data exclude" in line for line in many.verdict)
    assert any("settle the reward" in line and "do not" not in line for line in many.verdict)
    assert "95 %" in str(few)
    alone = sensitivity(counts(20)[:1], mdp, model, recover=rule, generator=generator())
    assert math.isnan(alone.estimate[0])
    assert any("a single unit" in line for line in alone.verdict)


def test_where_actions_move_nothing_the_discount_cannot_hurt() -> None:
    transition = torch.full((3, 2, 3), 1 / 3, dtype=torch.float64)
    start = torch.full((3,), 1 / 3, dtype=torch.float64)
    mdp = TabularMDP(transition, torch.zeros_like(transition), 0.9, start)
    counts = torch.tensor([[[3.0, 9.0], [5.0, 6.0], [2.0, 1.0]]] * 2)
    report = sensitivity(
        counts, mdp, Behaviour(), recover=by_rule("state_only"), resamples=5, generator=generator(), mixings=()
    )
    assert all(r.worst == 0 for r in report.rows if r.change == "discount")


def test_counts_become_policies_and_dynamics_mix() -> None:
    mdp = PROCESSES["maze"]
    counts = torch.zeros(9, 4)
    counts[0] = torch.tensor([3.0, 1.0, 0.0, 0.0])
    policy = count_policy(counts, mdp, smoothing=0.5)
    assert policy[0].tolist() == pytest.approx([3.5 / 6, 1.5 / 6, 0.5 / 6, 0.5 / 6])
    assert policy[4].tolist() == pytest.approx([0.5, 0, 0, 0.5])
    mixed = mix_dynamics(mdp, 1.0)
    assert torch.allclose(mixed.transition[0], mixed.transition[0, :1].expand(4, -1))
