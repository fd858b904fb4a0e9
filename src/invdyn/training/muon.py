"""Muon: momentum whose matrix is replaced by its polar factor, so that all directions move alike.

Rare directions of a gradient are lost in its few large singular values; the polar factor U V^T of the momentum U S V^T
gives each of them the same step. Parameters that are no matrices, and groups marked `plain`, take Adam's step.
Source: Jordan et al. 2024 (Muon); coefficients: arXiv 2509.21519, its published code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Muon", "polar_factor"]

NEWTON_SCHULZ = (
    (4.01, -9.22, 5.80),
    (3.49, -6.38, 3.23),
    (3.34, -6.21, 3.20),
    (3.64, -7.48, 4.43),
    (3.46, -5.35, 2.85),
)
"""a, b, c of X <- a X + (b A + c A^2) X with A = X X^T: five odd quintics that push singular values to near one."""


def polar_factor(matrix: Float[Tensor, "*lead rows columns"]) -> Float[Tensor, "*lead rows columns"]:
    """About U V^T of U S V^T: singular values in 0.7 .. 1.3 where they were above 1e-3 of the Frobenius norm."""
    wide = matrix.mT if matrix.shape[-2] > matrix.shape[-1] else matrix
    x = wide / (torch.linalg.matrix_norm(wide)[..., None, None] + 1e-7)
    for a, b, c in NEWTON_SCHULZ:
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if matrix.shape[-2] > matrix.shape[-1] else x


class Muon(torch.optim.Optimizer):
    """Polar momentum for matrices (leading axes are independent matrices), Adam for the rest.

    A matrix moves by lr sqrt(long side / short side, at least 1) polar(momentum) and decays by lr times weight_decay
    (decoupled); a plain parameter takes Adam's step with coupled decay, as torch.optim.Adam does.

    Args:
        params: groups; key `plain` (default False) marks those that take Adam's step.
        lr: learning rate.
        weight_decay: decay of both kinds.
        momentum: share of the old momentum (0.99: arXiv 2509.21519).
        betas: of Adam.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        weight_decay: float = 0.0,
        momentum: float = 0.99,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas, "plain": False}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if group["plain"] or parameter.ndim < 2:
                    self._adam(parameter, group)
                else:
                    self._polar(parameter, group)
        return loss

    def _polar(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        sides = parameter.shape[-2:]
        scale = (max(sides) / min(sides)) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(polar_factor(state["momentum"]), alpha=-group["lr"] * scale)

    def _adam(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["first"], state["second"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        assert parameter.grad is not None
        gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
        (b1, b2), count = group["betas"], float(state["step"])
        state["first"].lerp_(gradient, 1 - b1)
        state["second"].mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        size = (state["second"] / (1 - b2**count)).sqrt_().add_(1e-8)
        parameter.addcdiv_(state["first"], size, value=-group["lr"] / (1 - b1**count))
