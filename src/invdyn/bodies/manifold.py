"""Positions as points of a manifold: steps from one to another, differences, rates, random ones. Batch last.

A step is a vector of velocity numbers: along a free joint q moves by the exponential of SE(3), along a spherical one
by that of SO(3), both in the body's axes, elsewhere by addition (Pinocchio's `integrate` and `difference`).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.bodies.model import NQ, NV, BodyModel
from invdyn.bodies.rotations import (
    inverse_left_jacobian,
    left_jacobian,
    quaternion_exp,
    quaternion_log,
    quaternion_product,
    rotate,
)
from invdyn.errors import ConfigError, SignalError

__all__ = ["difference", "integrate", "plain_numbers", "position_rates", "random_positions"]

WIDE = (math.pi, 1.0)
"""rad, m: how far random positions go where a coordinate has no limits (our choice)."""


def plain_numbers(model: BodyModel) -> tuple[list[int], list[int]]:
    """Position and velocity numbers that belong to each other without a quaternion between, in pairs.

    Raises:
        ConfigError: a model whose other numbers do not pair off.
    """
    q, v = set(range(model.nq)), set(range(model.nv))
    for kind, at_q, at_v in _quaternions(model):
        q -= set(range(at_q, at_q + NQ[kind]))
        v -= set(range(at_v, at_v + NV[kind]))
    if len(q) != len(v):
        raise ConfigError(
            f"model {model.name!r}: {len(q)} position and {len(v)} velocity numbers outside spherical and free joints; "
            "expected as many of each. Give each driven coordinate one of both."
        )
    return sorted(q), sorted(v)


def integrate(
    model: BodyModel, q: Float[Tensor, "nq batch"], step: Float[Tensor, "nv batch"]
) -> Float[Tensor, "nq batch"]:
    """The positions reached from q by going with velocity `step` (body axes where there are any) for unit time.

    Args:
        q: unit quaternions x y z w.
        step: rad and m.

    Raises:
        SignalError: numbers that do not fit the model.
    """
    _check(model, q, "positions", model.nq)
    _check(model, step, "step", model.nv)
    rows = list(q.unbind(0))
    at_q, at_v = plain_numbers(model)
    for i, k in zip(at_q, at_v):
        rows[i] = q[i] + step[k]
    for kind, i, k in _quaternions(model):
        if kind == "free":
            turn = step[k + 3 : k + 6]
            moved = torch.einsum("ijb,jb->ib", left_jacobian(turn), step[k : k + 3])
            rows[i : i + 3] = (q[i : i + 3] + rotate(q[i + 3 : i + 7], moved)).unbind(0)
            i, k = i + 3, k + 3
        turned = quaternion_product(q[i : i + 4], quaternion_exp(step[k : k + 3]))
        rows[i : i + 4] = (turned / turned.norm(dim=0)).unbind(0)
    return torch.stack(rows)


def difference(
    model: BodyModel, start: Float[Tensor, "nq batch"], end: Float[Tensor, "numbers batch"]
) -> Float[Tensor, "nv batch"]:
    """The step from one position to another, the shorter way round: `integrate(start, difference(start, end))` = end.

    Raises:
        SignalError: numbers that do not fit the model.
    """
    _check(model, start, "start", model.nq)
    _check(model, end, "end", model.nq)
    rows: list[Tensor] = [start.new_zeros(start.shape[1])] * model.nv
    at_q, at_v = plain_numbers(model)
    for i, k in zip(at_q, at_v):
        rows[k] = end[i] - start[i]
    for kind, i, k in _quaternions(model):
        place = i + 3 if kind == "free" else i
        back = _conjugate(start[place : place + 4])
        turn = quaternion_log(quaternion_product(back, end[place : place + 4]))
        if kind == "free":
            straight = rotate(back, end[i : i + 3] - start[i : i + 3])
            rows[k : k + 3] = torch.einsum("ijb,jb->ib", inverse_left_jacobian(turn), straight).unbind(0)
            k += 3
        rows[k : k + 3] = turn.unbind(0)
    return torch.stack(rows) if rows else start.new_zeros(0, start.shape[1])


def position_rates(
    model: BodyModel, q: Float[Tensor, "nq batch"], v: Float[Tensor, "nv batch"]
) -> Float[Tensor, "nq batch"]:
    """dq/dt of the position numbers themselves at velocity v; of quaternions (0, w/2) q."""
    rows: list[Tensor] = [q.new_zeros(q.shape[1])] * model.nq
    at_q, at_v = plain_numbers(model)
    for i, k in zip(at_q, at_v):
        rows[i] = v[k]
    for kind, i, k in _quaternions(model):
        if kind == "free":
            rows[i : i + 3] = rotate(q[i + 3 : i + 7], v[k : k + 3]).unbind(0)
            i, k = i + 3, k + 3
        turning = torch.cat([v[k : k + 3], torch.zeros_like(v[:1])])
        rows[i : i + 4] = (quaternion_product(q[i : i + 4], turning) / 2).unbind(0)
    return torch.stack(rows)


def random_positions(
    model: BodyModel, n: int, generator: torch.Generator, wide: tuple[float, float] = WIDE
) -> Float[Tensor, "nq batch"]:
    """n positions, float64: even between the limits, orientations even over all rotations.

    Args:
        wide: rad and m, half the range of a coordinate that lacks a limit, about the limit it has or zero.
    """
    q = torch.zeros(model.nq, n, dtype=torch.float64)
    for i, k in zip(*plain_numbers(model)):
        c = model.coordinates[k]
        reach = wide[0] if c.rotational else wide[1]
        low = c.lower if math.isfinite(c.lower) else min(c.upper - 2 * reach, -reach)
        high = c.upper if math.isfinite(c.upper) else max(low + 2 * reach, reach)
        q[i] = low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)
    for kind, i, _ in _quaternions(model):
        if kind == "free":
            q[i : i + 3] = wide[1] * (2 * torch.rand(3, n, generator=generator, dtype=torch.float64) - 1)
            i += 3
        normal = torch.randn(4, n, generator=generator, dtype=torch.float64)
        q[i : i + 4] = normal / normal.norm(dim=0)
    return q


def _quaternions(model: BodyModel) -> list[tuple[str, int, int]]:
    """(kind, first position number, first velocity number) of joints that hold a quaternion."""
    joints = (b.joint for b in model.bodies)
    return [(j.kind, j.q, j.v) for j in joints if j.drive is None and j.kind in ("spherical", "free")]


def _conjugate(quaternion: Tensor) -> Tensor:
    return torch.cat([-quaternion[:3], quaternion[3:]])


def _check(model: BodyModel, x: Tensor, what: str, size: int) -> None:
    if x.shape[0] != size:
        raise SignalError(
            f"model {model.name!r}: {what} of shape {list(x.shape)}; expected [{size}, batch]. Transpose a batch-first "
            "one."
        )
