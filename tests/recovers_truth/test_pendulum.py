"""The pendulum equals gymnasium's Pendulum-v1 and its closed-form inverse recovers the torque."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

from invdyn.worlds.pendulum import Pendulum
from invdyn.worlds.torch_world import QUALITIES

STATE = "observation.state"


def random_torques(steps: int, batch: int, seed: int = 0) -> torch.Tensor:
    return 5 * torch.rand(steps, batch, 1, generator=torch.Generator().manual_seed(seed)) - 2.5


def test_equals_gymnasium_step_by_step() -> None:
    world = Pendulum(batch=4)
    torques = random_torques(200, 4)
    for copy in range(4):
        peer = gymnasium.make("Pendulum-v1").unwrapped
        peer.reset(seed=copy)
        world.set_state(torch.from_numpy(peer.state)[None].expand(4, 2))
        for step in range(200):
            u = torques[step, copy].double()
            result = world.step(u.expand(4, 1))
            observed, reward, *_ = peer.step(u.numpy())
            # Both compute in float64; numpy's and torch's sine may differ in the last bit, which an unstable
            # pendulum stretches over 200 steps.
            np.testing.assert_allclose(world.state()[0].numpy(), peer.state, rtol=0, atol=1e-9)
            np.testing.assert_allclose(result.observation[STATE][0].numpy(), observed, rtol=0, atol=2e-6)
            assert abs(float(result.reward[0]) - reward) < 1e-8


def test_closed_form_inverse_recovers_the_torque() -> None:
    for coordinates in ("cos_sin", "theta"):
        world = Pendulum(batch=64, coordinates=coordinates)
        world.set_state(torch.rand(64, 2, generator=torch.Generator().manual_seed(1)).double() * 12 - 6)
        before, met_clip, checked = world.observe(), 0, 0
        for u in random_torques(100, 64):
            after = world.step(u).observation
            inferred, limited = world.inverse(before, after), u.clamp(-2, 2)
            free = world.state()[:, 1:].float().abs() < 8
            # float32 velocities near 8 rad/s are 4.8e-7 apart; over 0.05 s and 3 that is 3e-6 N m.
            assert (inferred - limited)[free].abs().max() <= (3.2e-6 if coordinates == "cos_sin" else 6e-6)
            assert inferred[~free].isnan().all()
            met_clip, checked, before = met_clip + int((~free).sum()), checked + int(free.sum()), after
        assert met_clip > 50
        assert checked > 3000


def test_energy_is_kept_without_torque() -> None:
    # Semi-implicit Euler keeps a pendulum's energy within a bound of order dt, without drift.
    world = Pendulum(batch=1, forced=False)
    world.set_state(torch.tensor([[2.5, 0.0]]).double())
    energies = []
    for _ in range(1000):
        world.step(torch.full((1, 1), 2.0))  # clipped to no torque
        theta, omega = world.state()[0]
        energies.append(float(omega**2 / 2 + 15 * theta.cos()))
    assert abs(np.mean(energies[:500]) - np.mean(energies[500:])) < 0.1
    assert np.ptp(energies) < 6


def test_experts_are_ordered_by_quality_and_the_best_balances() -> None:
    returns, stands = [], []
    for quality in QUALITIES:
        world = Pendulum(batch=200)
        expert, total = world.expert(quality), torch.zeros(200).double()
        for _ in range(200):
            result = world.step(expert.act())
            total += result.reward
        returns.append(float(total.mean()))
        stands.append(float(result.success.double().mean()))
    assert stands[0] == 1.0
    assert returns[0] > -220  # tuned reinforcement learners reach about -150 on Pendulum-v1
    assert returns == sorted(returns, reverse=True)


@pytest.mark.parametrize("velocity", [True, False])
def test_observations_follow_the_options(velocity: bool) -> None:
    world = Pendulum(batch=3, velocity=velocity, coordinates="theta")
    (spec,) = world.observations
    assert spec.names == (("theta", "omega") if velocity else ("theta",))
    assert world.observe()[STATE].shape == (3, spec.size)


def test_picture_shows_the_rod_where_it_is() -> None:
    world = Pendulum(batch=2)
    world.set_state(torch.tensor([[0.0, 0.0], [torch.pi, 0.0]]).double())
    up, down = (world.render(64, 64).float() < 250).any(-1)
    rows = torch.arange(64).float()
    assert (rows * up.any(1)).sum() / up.any(1).sum() < 28
    assert (rows * down.any(1)).sum() / down.any(1).sum() > 35
