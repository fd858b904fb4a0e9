"""Flow maps: the exact mean velocity is a zero of the losses, boundaries hold, wrong maps do not pass."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from invdyn.diffusion import (
    ConsistencyLoss,
    DenoisingLoss,
    GaussianPrior,
    MeanFlowLoss,
    ShortcutLoss,
    Times,
    TrajectoryLoss,
    drop_condition,
    jump,
    loss_weight,
    make_path,
    mean_velocity_map,
    trajectory_map,
)
from invdyn.diffusion.flowmaps import mean_flow_residual
from invdyn.errors import ConfigError
from invdyn.nn import EMA, MLP, EMAConfig

D64 = torch.float64
LINEAR, EDM = make_path("linear"), make_path("edm")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian() -> GaussianPrior:
    root = torch.randn(3, 3, generator=generator(1), dtype=D64)
    return GaussianPrior(torch.tensor([0.5, -1.0, 0.2], dtype=D64), root @ root.mT / 3 + 0.05 * torch.eye(3, dtype=D64))


@pytest.mark.parametrize("name", ["linear", "trig", "vp_linear", "edm"])
def test_exact_mean_velocity_is_a_zero_of_the_meanflow_residual(name: str) -> None:
    """Card, point 5: 1e-8; a velocity that ignores r is not."""
    path, prior, g = make_path(name), gaussian(), generator(2)
    low = 0.02 * path.t_max
    r = low + 0.4 * path.t_max * torch.rand(200, generator=g, dtype=D64)
    t = r + 0.1 * path.t_max + 0.4 * path.t_max * torch.rand(200, generator=g, dtype=D64)
    x = path.corrupt(prior.sample(200, g), torch.randn(200, 3, generator=g, dtype=D64), t)
    marginal = prior.velocity(x, t, path)
    u, aim = mean_flow_residual(lambda x, t, r: prior.mean_velocity(x, t, r, path), x, t, r, marginal)
    assert float((u - aim).abs().max()) < 1e-8
    wrong, aim = mean_flow_residual(lambda x, t, r: prior.velocity(x, t, path), x, t, r, marginal)
    assert float((wrong - aim).abs().max()) > 1e-3


def exact(x: Tensor, t: Tensor, h: Tensor, condition: Any) -> Tensor:
    """The Gaussian's own mean velocity on the linear path; plain velocity where the step is 0."""
    prior = gaussian()
    flat = h.abs() < 1e-9
    moved = prior.mean_velocity(x, t, torch.where(flat, t - 1e-3, t - h), LINEAR)
    return torch.where(flat[:, None], prior.velocity(x, t, LINEAR), moved)


def test_shortcut_bootstrap_holds_for_the_exact_map_only() -> None:
    """Two half steps of the exact map are its whole step, so an error on coarse steps only adds."""
    seen: list[tuple[Tensor, Tensor]] = []

    def net(x: Tensor, t: Tensor, h: Tensor, condition: Any) -> Tensor:
        seen.append((t.clone(), h.clone()))
        return exact(x, t, h, condition)

    x0 = gaussian().sample(64, generator(3))
    loss = float(ShortcutLoss()(net, x0, generator(4))["loss"])
    t, h = seen[-1]
    own = h > 0
    assert int(own.sum()) == 16
    assert torch.equal(h[own].log2(), h[own].log2().round())
    assert float(h[own].min()) >= 2 / 128
    assert bool((t[own] - h[own] >= -1e-12).all())
    assert bool((t <= 1).all())
    assert torch.equal((t[own] / h[own]).round(), t[own] / h[own])

    def without_bootstrap(scale: float) -> float:
        def bent(x: Tensor, t: Tensor, h: Tensor, condition: Any) -> Tensor:
            return exact(x, t, h, condition) + scale * (h > 0)[:, None] * (h > 1 / 100)[:, None]

        return float(ShortcutLoss()(bent, x0, generator(4))["loss"])

    # The exact map is consistent: a constant error on coarse steps only adds to the loss.
    assert without_bootstrap(0.5) > loss


def test_shortcut_target_of_the_exact_map_is_the_exact_map() -> None:
    g = generator(5)
    d = 2.0 ** -torch.randint(2, 7, (100,), generator=g).to(D64)
    t = 2 * d + (1 - 2 * d) * torch.rand(100, generator=g, dtype=D64)
    x = torch.randn(100, 3, generator=g, dtype=D64)
    first = exact(x, t, d, None)
    second = exact(x - d[:, None] * first, t - d, d, None)
    inside = t - 2 * d > 1e-6
    assert torch.allclose(((first + second) / 2)[inside], exact(x, t, 2 * d, None)[inside], atol=1e-9)


def test_consistency_and_trajectory_maps_hold_their_boundaries() -> None:
    """f(x, 0) = x and G(x, t, t) = x by construction, whatever the net; their losses train every parameter."""
    net = MLP(4, 3, width=8, depth=1).double()

    def two(x: Tensor, t: Tensor, condition: Any) -> Tensor:
        return net(torch.cat([x, t[:, None]], 1))

    def three(x: Tensor, t: Tensor, h: Tensor, condition: Any) -> Tensor:
        return net(torch.cat([x, (t + h)[:, None]], 1))

    x = torch.randn(6, 3, dtype=D64, generator=generator(6))
    t = torch.full((6,), 2.0, dtype=D64)
    assert torch.allclose(trajectory_map(three)(x, t, t), x)
    x0 = gaussian().sample(256, generator(7))
    for loss in (ConsistencyLoss(), TrajectoryLoss()):
        net.zero_grad()
        value = loss(two if isinstance(loss, ConsistencyLoss) else three, x0, generator(8))["loss"]
        value.backward()
        assert math.isfinite(float(value.detach()))
        assert all(p.grad is not None and bool((p.grad != 0).any()) for p in net.parameters())


def test_consistency_losses_vanish_for_the_exact_end_point() -> None:
    """The exact map to 0 as f, with the exact D as teacher on a fine grid: what is left is the solver's own error."""
    prior = gaussian()

    def raw(x: Tensor, t: Tensor, condition: Any) -> Tensor:
        """The F whose preconditioned D is the flow map to 0; t comes as ln(sigma) / 4, x as c_in x."""
        sigma = (4 * t).exp()
        total = (sigma**2 + 0.25).sqrt()[:, None]
        state = x * total
        end = prior.flow_map(state, sigma, torch.zeros_like(sigma), EDM)
        return (total**2 * end - 0.25 * state) / (sigma[:, None] * 0.5 * total)

    x0 = prior.sample(512, generator(9))
    teacher = prior.denoiser(EDM)
    coarse, fine = (
        float(ConsistencyLoss(points=n, teacher=teacher)(raw, x0, generator(10))["loss"]) for n in (40, 160)
    )
    # One Euler step of width h errs by h^2, its square by h^4: four times the points, 256 times less.
    assert fine < coarse / 60
    untaught = float(ConsistencyLoss(points=160)(raw, x0, generator(10))["loss"])
    assert untaught > 10 * fine


def test_jump_follows_the_exact_map() -> None:
    prior = gaussian()
    x = torch.randn(20, 3, generator=generator(11), dtype=D64)
    ends = [torch.full((20,), v, dtype=D64) for v in (1.0, 0.0)]
    whole = prior.flow_map(x, *ends, LINEAR)
    for times in ([1.0, 0.0], [1.0, 0.6, 0.3, 0.0]):
        assert torch.allclose(jump(mean_velocity_map(exact), x, times), whole, atol=1e-9)
    with pytest.raises(ConfigError, match="falling from noise to data"):
        jump(mean_velocity_map(exact), x, [0.0, 1.0])


def test_times_are_stratified_and_follow_their_distributions() -> None:
    g = generator(12)
    like = torch.zeros(1, dtype=D64)
    t = Times().draw(1000, LINEAR, g, like)
    assert torch.equal((t * 1000).floor().long().sort().values, torch.arange(1000))
    assert not torch.equal(t, t.sort().values)
    z = torch.logit(Times("logit_normal", -0.6, 1.6).draw(4000, LINEAR, g, like))
    assert float(z.mean()) == pytest.approx(-0.6, abs=0.02)
    assert float(z.std()) == pytest.approx(1.6, rel=0.02)
    sigma = Times("log_normal", -1.2, 1.2).draw(4000, EDM, g, like)
    assert float(sigma.log().mean()) == pytest.approx(-1.2, abs=0.02)
    t, r = MeanFlowLoss(t=Times("logit_normal", -0.6, 1.6), r=Times("logit_normal", -4.0, 1.6)).times(4000, g, like)
    assert bool((r <= t).all())
    # r < t where the share says so, unless min(t, r) was t: P(r > t) = Phi(-3.4 / (1.6 sqrt 2)) = 0.067.
    assert float((r < t).double().mean()) == pytest.approx(0.75 * (1 - 0.067), abs=0.03)


def test_power_schedule_of_the_average_and_dropped_conditions() -> None:
    config = EMAConfig("power", 0.9999, 0.75)
    assert [config.at(n) for n in (0, 15)] == pytest.approx([0.0, 1 - 16**-0.75])
    assert config.at(10**7) == 0.9999
    model = torch.nn.Linear(1, 1)
    ema = EMA(model, config)
    with torch.no_grad():
        model.weight.fill_(3.0)
    ema.update(model)
    assert float(ema.average["weight"]) == 3.0  # the first decay is 0
    condition = torch.ones(5000, 2)
    dropped = drop_condition(condition, torch.zeros(2), generator(13))
    assert float((dropped[:, 0] == 0).double().mean()) == pytest.approx(0.1, abs=0.015)
    assert torch.equal(dropped[:, 0], dropped[:, 1])


@pytest.mark.parametrize("kind", ["x0", "eps", "velocity", "salimans_v"])
def test_direct_and_hub_losses_agree(kind: str) -> None:
    """Regression on the output and the weighted error of D are one number."""
    x0, g = gaussian().sample(64, generator(14)), generator(15)
    path = make_path("vp_linear")
    t, noise = 0.1 + 0.8 * torch.rand(64, generator=g, dtype=D64), torch.randn(64, 3, generator=g, dtype=D64)

    def net(x: Tensor, t: Tensor, condition: Any) -> Tensor:
        return torch.tanh(x) * (1 + t)[:, None]

    direct = DenoisingLoss(path, kind, kind).per_sample(net, x0, noise, t)  # type: ignore[arg-type]
    through_x0 = DenoisingLoss(path, kind, "x0").per_sample(net, x0, noise, t)  # type: ignore[arg-type]
    assert torch.allclose(direct, loss_weight(kind, t, path) * through_x0, rtol=1e-9)


def test_refusals_name_the_fault() -> None:
    with pytest.raises(ConfigError, match="power of two"):
        ShortcutLoss(finest=100)
    with pytest.raises(ConfigError, match="ratio 2"):
        MeanFlowLoss(ratio=2.0)
    with pytest.raises(ConfigError, match="std is 0"):
        Times("logit_normal", 0.0, 0.0)
