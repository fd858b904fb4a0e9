"""Measurements of this project, motion seen of a cause: integration, projection, contact forces, a simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.operators import Operator, matrix
from invdyn.errors import SignalError
from invdyn.worlds.torch_world import TorchWorld

__all__ = ["contact_motion", "integrate", "pinhole", "replayed"]


def integrate(steps: int, dt: float, gain: float = 1.0, drag: float = 0.0) -> Operator:
    """Positions [batch, time] of a mass at rest in the origin from accelerations or forces [batch, time].

    v' = v + (gain u - drag v) dt, x' = x + v' dt; the pseudo-inverse differentiates twice.

    Args:
        steps: time steps.
        dt: seconds a step.
        gain: acceleration per unit of the cause, m/s^2 (1 / mass for forces).
        drag: 1/s.
    """
    push = torch.eye(steps, dtype=torch.float64)
    speed, place, rows = torch.zeros_like(push[0]), torch.zeros_like(push[0]), []
    for k in range(steps):
        speed = speed + (gain * push[k] - drag * speed) * dt
        place = place + speed * dt
        rows.append(place)
    return matrix(torch.stack(rows))


def pinhole(focal: float = 1.0, nearest: float = 1e-3) -> Operator:
    """Points [batch, k, 3] in the camera's axes (z ahead, m) seen at focal (x / z, y / z) [batch, k, 2].

    Args:
        focal: focal length in the unit of the picture.
        nearest: m; depths below it, where projection has no answer, are taken as it. The first answer has depth 1.
    """

    def forward(x: Tensor) -> Tensor:
        return focal * x[..., :2] / x[..., 2:].clamp_min(nearest)

    def guess(y: Tensor) -> Tensor:
        return torch.cat([y / focal, torch.ones_like(y[..., :1])], -1)

    return Operator(forward, guess)


def contact_motion(mass: Float[Tensor, "nv nv"], jacobian: Float[Tensor, "row nv"]) -> Operator:
    """Accelerations M^-1 J^T f [batch, nv] that contact forces f [batch, row] add to a body's free motion.

    Args:
        mass: M in this posture.
        jacobian: J, velocities of the contact points per generalised velocity, stacked.
    """
    return matrix(torch.linalg.solve(mass, jacobian.mT))


def replayed(
    world: TorchWorld[Any],
    start: Float[Tensor, "batch state"],
    see: Callable[[TorchWorld[Any]], Tensor],
    guess: Callable[[Tensor], Tensor],
) -> Operator:
    """f is the simulator: causes [batch, time, cause] are replayed from `start`, y [batch, time, ...] is what is seen.

    Gradients pass through the world's own equations (`advance`), bounds of the cause included.

    Args:
        world: with as many copies as samples.
        start: states.
        see: world -> what is measured after a step [batch, ...], differentiable.
        guess: first causes from a measurement.
    """

    def forward(causes: Tensor) -> Tensor:
        if len(causes) != world.batch:
            raise SignalError(f"replay: {len(causes)} cause histories for a world of {world.batch} copies.")
        world.set_state(start)
        low, high = world.bounds
        seen = []
        for cause in causes.double().unbind(1):
            world.advance(torch.minimum(torch.maximum(cause.mT, low), high))
            seen.append(see(world))
        return torch.stack(seen, 1).to(causes.dtype)

    return Operator(forward, guess)
