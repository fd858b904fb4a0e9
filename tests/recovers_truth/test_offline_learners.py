"""TD3+BC and CQL on a problem whose answer is known: one step, reward -(a - best(s))^2, recorded actions elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invdyn.decisions.cql import CQL, CQLConfig
from invdyn.decisions.offline import OfflineConfig, train_offline
from invdyn.decisions.sac import SACConfig
from invdyn.decisions.td3bc import TD3BC, TD3BCConfig
from invdyn.decisions.transitions import Transitions
from invdyn.errors import ConfigError

SCHEDULE = OfflineConfig(epochs=1, updates=500, batch=128)


def best(observation: Tensor) -> Tensor:
    return 0.5 * observation[..., :1].sin()


def recorded(low: float, high: float, rows: int = 4000) -> Transitions:
    """Actions uniform in [low, high], whatever the state; every step ends."""
    g = torch.Generator().manual_seed(0)
    s, a = torch.randn(1, rows, 2, generator=g), torch.rand(1, rows, 1, generator=g) * (high - low) + low
    reward = -4 * (a - best(s)).square()[..., 0]
    flags = torch.ones(1, rows, dtype=torch.bool)
    return Transitions(s, a, reward, torch.randn(1, rows, 2, generator=g), flags, ~flags)


def test_td3bc_goes_from_cloning_to_maximising_with_its_weight() -> None:
    data = recorded(-0.6, 1.0)  # the mean recorded action is 0.2, the best lie between -0.5 and 0.5
    states = data.observation[:, :500]
    answers = {}
    for alpha in (1e-4, 100.0):
        agent = TD3BC(TD3BCConfig(alpha=alpha, width=32, lr=3e-3), 2, 1, [0])
        train_offline(agent, SCHEDULE, [0], data=data)
        answers[alpha] = agent.act(states)
    assert float((answers[1e-4] - 0.2).abs().mean()) < 0.05
    wanted = best(states)
    assert float((answers[100.0] - wanted).abs().mean()) < 0.1
    assert float((answers[1e-4] - wanted).abs().mean()) > 0.25


def test_td3bc_targets_and_delay() -> None:
    agent = TD3BC(TD3BCConfig(width=16, delay=3, noise=0.0), 2, 1, [0, 1])
    data = recorded(-1, 1, 40)._replace(terminated=torch.zeros(1, 40, dtype=torch.bool))
    rows = Transitions(*(v.expand(2, *v.shape[1:]) for v in data))
    action = agent.act(rows.next_observation)
    expected = rows.reward + 0.99 * agent.critic(rows.next_observation, action).amin(1)
    torch.testing.assert_close(agent.targets(rows, torch.ones(2, 40, 1)), expected.detach())
    before = [p.clone() for p in agent.actor.parameters()]
    for step in range(1, 4):
        agent.update(rows)
        moved = any(not torch.equal(p, q) for p, q in zip(before, agent.actor.parameters()))
        assert moved == (step == 3)


def small(weight: float, samples: int = 10) -> CQLConfig:
    sac = SACConfig(critics=2, eta=0.0, width=32, depth=2, actor_lr=3e-3, critic_lr=3e-3, entropy_backup=False)
    return CQLConfig(sac=sac, weight=weight, samples=samples)


def test_cql_estimates_the_log_integral() -> None:
    agent = CQL(small(1.0, samples=4000), 2, 1, [0])
    with torch.no_grad():
        for weight in agent.critic.nets.weights:
            weight.mul_(2.0)
        agent.critic.nets.weights[-1].mul_(200.0)  # values that vary by several units over the action
    s = torch.randn(1, 3, 2)
    a = torch.linspace(-1, 1, 2001)
    with torch.no_grad():
        values = agent.critic(s.repeat_interleave(2001, 1), a.repeat(3)[None, :, None]).reshape(1, 2, 3, 2001)
        assert float(values.std(-1).amax()) > 0.3
        exact = torch.trapezoid(values.exp(), a, dim=-1).log()
        torch.testing.assert_close(agent.log_integral(s, s), exact, atol=0.05, rtol=0)


def test_cql_presses_values_down_where_no_action_was_recorded() -> None:
    data = recorded(0.2, 0.6)
    s = data.observation[:, :300]
    inside, outside = torch.full((1, 300, 1), 0.4), torch.full((1, 300, 1), -0.9)
    gaps, actions = {}, {}
    for weight in (0.0, 5.0):
        agent = CQL(small(weight), 2, 1, [0])
        train_offline(agent, OfflineConfig(epochs=1, updates=300, batch=64), [0], data=data)
        with torch.no_grad():
            gaps[weight] = float((agent.critic(s, inside) - agent.critic(s, outside)).mean())
        actions[weight] = agent.act(s)
    assert gaps[5.0] > gaps[0.0] + 1.0
    assert float((actions[5.0] - 0.4).abs().mean()) < 0.2


def test_settings_that_cannot_be_used_are_named() -> None:
    with pytest.raises(ConfigError, match="CQL: samples 0 is at least 1"):
        CQLConfig(samples=0)
    with pytest.raises(ConfigError, match="TD3BC: delay 0 is at least 1"):
        TD3BCConfig(delay=0)
