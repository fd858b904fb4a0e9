"""Products with Hessians and Jacobians against the matrices themselves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invdyn.errors import ConfigError, SignalError
from invdyn.training.hvp import hvp, jvp, largest_eigenvalue, spectral_norm, vjp


def curved(x: Tensor) -> Tensor:
    return torch.logsumexp(x**2, -1) + x.prod(-1)


def test_hessian_products_equal_the_full_hessian() -> None:
    g = torch.Generator().manual_seed(0)
    x, v = (torch.randn(5, generator=g, dtype=torch.float64) for _ in range(2))
    found = hvp(curved, x, v)
    torch.testing.assert_close(found.product, torch.autograd.functional.hessian(curved, x) @ v)
    torch.testing.assert_close(found.gradient, torch.autograd.functional.jacobian(curved, x))
    batch, directions = (torch.randn(3, 5, generator=g, dtype=torch.float64) for _ in range(2))
    rows = torch.stack([hvp(curved, a, b).product for a, b in zip(batch, directions, strict=True)])
    torch.testing.assert_close(hvp(curved, batch, directions).product, rows)
    assert float(hvp(lambda z: 3 * z.sum(), x, v).product.abs().max()) == 0


def test_jacobian_products_and_spectral_norm() -> None:
    g = torch.Generator().manual_seed(1)
    weight = torch.randn(4, 6, generator=g, dtype=torch.float64)
    x, v = (torch.randn(6, generator=g, dtype=torch.float64) for _ in range(2))
    u = torch.randn(4, generator=g, dtype=torch.float64)

    def layer(z: Tensor) -> Tensor:
        return torch.tanh(weight @ z)

    jacobian = torch.autograd.functional.jacobian(layer, x)
    torch.testing.assert_close(jvp(layer, x, v), jacobian @ v)
    torch.testing.assert_close(vjp(layer, x, u), jacobian.mT @ u)
    norm = spectral_norm(layer, x, torch.ones_like(x), tolerance=1e-8)
    assert norm == pytest.approx(float(torch.linalg.matrix_norm(jacobian, 2)), rel=1e-10)


def test_power_iteration_finds_the_largest_value_of_either_sign() -> None:
    values = torch.tensor([-7.0, 3.0, 1.0], dtype=torch.float64)
    found = largest_eigenvalue(lambda v: values * v, torch.ones(3, dtype=torch.float64))
    assert found.value == pytest.approx(-7.0, rel=1e-10)
    assert float(found.vector[0].abs()) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ConfigError, match="the start is zero"):
        largest_eigenvalue(lambda v: values * v, torch.zeros(3, dtype=torch.float64))
    tied = torch.tensor([1.0, -1.0], dtype=torch.float64)
    with pytest.raises(SignalError, match="no convergence to 1e-06 in 50 steps"):
        largest_eigenvalue(lambda v: tied * v, torch.tensor([1.0, 2.0], dtype=torch.float64), max_steps=50)
    with pytest.raises(SignalError, match="stops being finite"):
        largest_eigenvalue(lambda v: v / 0, torch.ones(2, dtype=torch.float64))
