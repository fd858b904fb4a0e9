"""Families of drifts without a named law: what they can express they recover, and gradients have no curl."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invdyn.diffusion.bridges_families import DriftFamily
from invdyn.diffusion.bridges_fields import GradientNet, gradient_bumps, lamb_oseen, polynomial, second_order
from invdyn.errors import ConfigError


def points(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_polynomials_name_and_recover_a_known_law() -> None:
    """Duffing's oscillator x0' = x1, x1' = x0 - x0^3 - 0.2 x1; every other coefficient stays 0."""
    family, x = polynomial(2, 3), points(300, 2)
    rise = torch.stack([x[:, 1], x[:, 0] - x[:, 0] ** 3 - 0.2 * x[:, 1]], 1)
    found = family.fit(x, rise, torch.ones(300, dtype=torch.float64), None)
    told = {name: float(value) for name, value in zip(family.names, found.parameters) if abs(value) > 1e-6}
    wanted = {"x0' x1": 1.0, "x1' x0": 1.0, "x1' x1": -0.2, "x1' x0^3": -1.0}
    assert told == pytest.approx(wanted, abs=1e-6)
    assert len(family.names) == 20
    assert torch.allclose(family.evaluate(found.parameters, x), rise, atol=1e-6)


def test_a_linear_mechanism_is_recovered_with_its_kinematics() -> None:
    """Two coupled oscillators: q' = v; v' = -K q - 0.1 v + f. The coordinates' own rates are all that q' may hold."""
    family, x = second_order(2), points(200, 4)
    stiffness = torch.tensor([[3.0, -1.0], [-1.0, 2.0]], dtype=torch.float64)
    force = torch.tensor([0.5, 0.0], dtype=torch.float64)
    rise = torch.cat([x[:, 2:], -x[:, :2] @ stiffness - 0.1 * x[:, 2:] + force], 1)
    found = family.fit(x, rise, torch.ones(200, dtype=torch.float64), None)
    told = {name: float(value) for name, value in zip(family.names, found.parameters) if abs(value) > 1e-6}
    wanted = {"x0' x2": 1.0, "x1' x3": 1.0, "x2' 1": 0.5, "x2' x0": -3.0, "x2' x1": 1.0, "x2' x2": -0.1}
    assert told == pytest.approx(wanted | {"x3' x0": 1.0, "x3' x1": -2.0, "x3' x3": -0.1}, abs=1e-6)
    assert len(family.names) == 12


def curl(family: DriftFamily, theta: Tensor, x: Tensor) -> float:
    """Largest asymmetry of the Jacobian, by central differences."""
    d, h = x.shape[1], 1e-5
    columns = [
        (family.evaluate(theta, x + h * e) - family.evaluate(theta, x - h * e)) / (2 * h)
        for e in torch.eye(d, dtype=torch.float64)
    ]
    jacobian = torch.stack(columns, 2)
    assert float(jacobian.abs().max()) > 0.1
    return float((jacobian - jacobian.mT).abs().max())


def test_gradient_fields_have_no_curl_and_follow_a_potential() -> None:
    x = points(150, 3)
    bumps = gradient_bumps(points(12, 3, seed=1), 1.5, 1e-6)
    theta = points(1, len(bumps.names), seed=2)[0]
    assert curl(bumps, theta, x) < 1e-7
    rise = bumps.evaluate(theta, x)
    again = bumps.fit(x, rise, torch.ones(150, dtype=torch.float64), None)
    assert float((bumps.evaluate(again.parameters, x) - rise).abs().max()) < 1e-3

    net = GradientNet(3, (32, 16), steps=150, rate=0.01)

    def potential(x: Tensor) -> Tensor:
        return net.potential(net.first, x)

    point = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(potential(point).sum(), point)
    assert torch.allclose(net.evaluate(net.first, x), slope)
    downhill = -x / (1 + x.square().sum(1, keepdim=True)).sqrt()
    found = net.fit(x, downhill, torch.ones(150, dtype=torch.float64), None)
    left = (net.evaluate(found.parameters, x) - downhill).square().mean() / downhill.square().mean()
    assert float(left) < 0.2


def test_vortex_with_a_core_is_found_wherever_its_centre_is() -> None:
    family, truth, x = lamb_oseen(), torch.tensor([0.7, -1.5, 0.4], dtype=torch.float64), points(200, 2)
    rise = family.evaluate(truth, x) + 0.05 * points(200, 2, seed=3)
    found = family.fit(x, rise, torch.full((200,), 1 / 0.05**2, dtype=torch.float64), None)
    assert bool(((found.parameters - truth).abs() < 4 * found.errors).all())
    assert float((found.parameters - truth).abs().max()) < 0.05
    # Far away a point vortex, near its centre solid rotation: both known in closed form.
    far = family.evaluate(truth, truth[1:] + torch.tensor([[5.0, 0.0]]))
    near = family.evaluate(truth, truth[1:] + torch.tensor([[0.0, 1e-4]]))
    assert torch.allclose(far, torch.tensor([[0.0, 0.7 / 5.0]], dtype=torch.float64), atol=1e-9)
    assert torch.allclose(near, torch.tensor([[-0.7e-4, 0.0]], dtype=torch.float64), atol=1e-9)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"dimension 0, degree 1; at least 1 and 0 are needed"):
        polynomial(0, 1)
    with pytest.raises(ConfigError, match=r"width 0\.0; above 0 is needed"):
        gradient_bumps(points(2, 2), 0.0)
