"""Ensembles of dynamics on a linear system whose noise is known, and in the rollout loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invdyn.decisions.learned_dynamics import DynamicsConfig, FittedDynamics, fit_dynamics
from invdyn.decisions.rollout_loop import RolloutLoop
from invdyn.decisions.transitions import Transitions
from invdyn.errors import ConfigError
from invdyn.nn import Streams
from invdyn.nn.probabilistic_ensemble import ProbabilisticEnsemble

CONFIG = DynamicsConfig(members=4, elites=2, width=32, depth=2, lr=3e-3, batch=128, epochs=40)
LOW, HIGH = torch.tensor([-2.0]), torch.tensor([2.0])
NOISE = torch.tensor([0.05, 0.2])


def truth(state: Tensor, cause: Tensor) -> Tensor:
    """Change of a two-dimensional state."""
    return torch.stack([0.5 * state[:, 1], -0.3 * state[:, 0] + 0.4 * cause[:, 0]], -1)


def data(rows: int = 3000) -> Transitions:
    g = torch.Generator().manual_seed(0)
    state, unit = torch.randn(rows, 2, generator=g), torch.rand(rows, 1, generator=g) * 2 - 1
    after = state + truth(state, 2 * unit) + NOISE * torch.randn(rows, 2, generator=g)
    reward = -(state.square().sum(-1))
    flags = torch.zeros(rows, dtype=torch.bool)
    return Transitions(*(v[None] for v in (state, unit, reward, after, flags, flags)))


@pytest.fixture(scope="module")
def fitted() -> FittedDynamics:
    def ends(state: Tensor, cause: Tensor, after: Tensor) -> Tensor:
        return after[:, 0].abs() > 2

    return fit_dynamics(data(), LOW, HIGH, CONFIG, seed=1, ends=ends)


def test_mean_and_noise_are_recovered(fitted: FittedDynamics) -> None:
    g = torch.Generator().manual_seed(9)
    state, cause = torch.randn(400, 2, generator=g), torch.rand(400, 1, generator=g) * 4 - 2
    mean, std, _ = fitted.model._predict(state, cause)
    change = truth(state, cause)
    for part in range(2):
        error = (mean[..., part] - change[:, part]).square().mean().sqrt()
        assert error < 0.5 * NOISE[part] + 0.02  # far below what one draw of the noise would give
        assert 0.75 < float(std[..., part].median() / NOISE[part]) < 1.4
    assert 3 < fitted.epochs <= 80


def test_elites_are_the_members_of_least_error(fitted: FittedDynamics) -> None:
    assert fitted.errors.argsort()[:2].sort().values.tolist() == fitted.model.ensemble.elites.tolist()
    assert len(set(fitted.errors.tolist())) == 4  # bootstraps and starts differ


def test_steps_end_where_the_task_says_and_candidates_are_all_elites(fitted: FittedDynamics) -> None:
    state, cause = torch.tensor([[0.0, 0.0], [1.9, 1.0], [0.1, 0.3]]), torch.zeros(3, 1)
    step = fitted.model.step(state, cause, torch.Generator().manual_seed(0))
    assert step.terminated.tolist() == [False, True, False]
    assert (step.spread > 0).all()
    several = fitted.model.candidates(state, cause, torch.Generator().manual_seed(0))
    assert several.state.shape == (2 * 2, 3, 2)
    assert not torch.equal(several.state[0], several.state[2])
    loop = RolloutLoop([fitted.model, fitted.model], 4, LOW, HIGH, penalty=[0.0, 3.0])
    out = loop.roll(lambda o, n: n.tanh()[..., :1], state.expand(2, -1, -1), Streams([5, 5]))
    torch.testing.assert_close(out.rows.next_observation[0], out.rows.next_observation[1])  # one seed, one path
    assert (out.rows.reward[0] > out.rows.reward[1] + 0.1).all()  # the penalty alone tells the runs apart
    assert out.lengths[0] < 4


def test_far_outside_the_data_members_disagree_and_inputs_are_clipped(fitted: FittedDynamics) -> None:
    near, far = torch.zeros(1, 2), torch.full((1, 2), 6.0)
    cause = torch.zeros(1, 1)
    inside, outside = (fitted.model._predict(s, cause)[0] for s in (near, far))
    assert outside.std(0).mean() > 2 * inside.std(0).mean()
    a, b = (fitted.model._predict(torch.full((1, 2), x), cause)[0] for x in (1e3, 1e6))
    torch.testing.assert_close(a, b)


def test_the_ensemble_equals_its_members_and_keeps_its_bounds() -> None:
    net = ProbabilisticEnsemble(3, 2, members=3, width=16, depth=4, generator=torch.Generator().manual_seed(0))
    x, y = torch.randn(3, 10, 3), torch.randn(3, 10, 2)
    mean, log_variance = net(x)
    total = torch.zeros(())
    for i in range(3):
        m, _ = net.nets.member(i)(x[i]).chunk(2, -1)
        torch.testing.assert_close(mean[i], m, atol=1e-6, rtol=0)
        total = total + (log_variance[i] + (m - y[i]) ** 2 / log_variance[i].exp()).mean()
    decays = [2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4]
    decay = sum(d / 2 * float(w.detach().square().sum()) for d, w in zip(decays, net.nets.weights))
    expected = float(total.detach()) + 0.01 * 2 * 10.5 + decay
    assert float(net.loss(x, y).detach()) == pytest.approx(expected, rel=1e-5)
    with torch.no_grad():
        net.nets.weights[-1].mul_(1e3)
        _, wild = net(x)
    assert wild.max() <= 0.5 + 1e-3
    assert wild.min() >= -10 - 1e-3
    assert all(w.abs().max() <= w.shape[1] ** -0.5 for w in net.nets.weights[:-1])  # cut at two sd


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ConfigError, match="6 elites of 5 members"):
        DynamicsConfig(members=5, elites=6)
    with pytest.raises(ConfigError, match="1 runs of 5 transitions; expected one run of 10 at least"):
        fit_dynamics(data(5), LOW, HIGH, CONFIG)
    with pytest.raises(ConfigError, match=r"elites \[7\] are not among its 3 members"):
        ProbabilisticEnsemble(2, 1, members=3, width=8, depth=1).choose([7])
