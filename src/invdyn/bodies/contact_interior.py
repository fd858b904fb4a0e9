"""Interior point for friction cones (Mehrotra, SIAM J. Optim. 2, 1992): which faces hold, from any start.

Each problem has its own step length. The Newton matrix of a frame is 3 x 3 blocks plus rank 6: the blocks are inverted
in closed form without cancellation, the rest is a 6 x 6 solve (Woodbury). Frames that rho couples give a banded one.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invdyn.bodies.contact_cone import ConeProblem, Solve

__all__ = ["interior_point"]

MOST = 60  # iterations; 12 to 20 are usual
GAP, RESIDUAL = 1e-13, 1e-9  # complementarity and stationarity where faces are told apart, for a load scaled to one


def interior_point(problem: ConeProblem) -> tuple[Float[Tensor, "time k 2"], Bool[Tensor, "time k"]]:
    """The faces that hold at the optimum: side (-1, 0, 1) of x and y, and contacts that carry nothing.

    A guess to be checked by solving on them: frames that rounding keeps from converging end after `MOST` iterations.
    """
    here = problem.closed[..., None].to(problem.a)
    linear = problem.linear()
    size = problem.each(linear.abs(), "max").clamp_min(1.0)
    count = problem.each(here.expand(-1, -1, 4), "sum").clamp_min(1.0)
    f = torch.zeros_like(linear)
    f[..., 2] = here[..., 0]
    s = torch.where(here > 0, _faces(problem.half, f), torch.ones_like(f[..., :1]))
    z = here.expand(-1, -1, 4) / s

    def limit(x: Tensor, dx: Tensor) -> Tensor:
        """How far x may go before a component is zero; at most 1."""
        room = torch.where(dx < 0, -x / dx, torch.inf)
        return problem.each(room, "min").clamp_max(1.0)

    for _ in range(MOST):
        dual = (problem.hessian(f) - linear - _faces_t(problem.half, z)) * here
        gap = problem.each(s * z, "sum") / count
        off = problem.each(dual.abs(), "max") / size
        done = (gap <= GAP) & (off <= RESIDUAL)
        if bool(done.all()):
            break
        solve = _newton(problem, z / s)
        df, ds, dz = _step(problem, solve, dual, s * z, s, z)
        length = torch.minimum(limit(s, ds), limit(z, dz))
        ahead = problem.each((s + length * ds) * (z + length * dz), "sum") / count
        centring = (ahead / gap.clamp_min(1e-300)) ** 3
        centre = (s * z + ds * dz - (centring * gap).clamp_min(GAP / 10)) * here
        df, ds, dz = _step(problem, solve, dual, centre, s, z)
        length = (torch.minimum(limit(s, ds), limit(z, dz)) * 0.995) * ~done
        f, s, z = f + length * df, s + length * ds, z + length * dz
    held = s < z
    side = (held[..., 0::2].to(f) - held[..., 1::2].to(f)) * (held[..., 0::2] != held[..., 1::2])
    return side, held.all(-1) | ~problem.closed


def _step(
    problem: ConeProblem, solve: Solve, dual: Tensor, centre: Tensor, s: Tensor, z: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Newton step of f, s and z. s = G f holds from the start: its rounding, times z / s, is not to be corrected."""
    here = problem.closed[..., None].to(s)
    df = solve((-dual - _faces_t(problem.half, centre / s)) * here) * here
    ds = _faces(problem.half, df)
    return df, ds, (-centre - z * ds) / s


def _newton(problem: ConeProblem, d: Tensor) -> Solve:
    """x from (H + G' diag(d) G) x = r."""
    return _banded(problem, d) if problem.together else _woodbury(problem, d)


def _woodbury(problem: ConeProblem, d: Tensor) -> Solve:
    eps, half = problem.eps, problem.half
    xx, yy = eps + d[..., 0] + d[..., 1], eps + d[..., 2] + d[..., 3]
    xz, yz = half * (d[..., 1] - d[..., 0]) / xx, half * (d[..., 3] - d[..., 2]) / yy
    left = (4 * d[..., 0] * d[..., 1] + eps * (d[..., 0] + d[..., 1])) / xx
    left = left + (4 * d[..., 2] * d[..., 3] + eps * (d[..., 2] + d[..., 3])) / yy
    zz = eps + half**2 * left  # what z keeps after x and y: written so that nothing cancels

    def blocks(r: Tensor) -> Tensor:
        """Inverse of the contact's own 3 x 3 block; r [T, ..., k, 3] with frames first."""
        at = (slice(None),) + (None,) * (r.ndim - 3)
        z = (r[..., 2] - xz[at] * r[..., 0] - yz[at] * r[..., 1]) / zz[at]
        return torch.stack([r[..., 0] / xx[at] - xz[at] * z, r[..., 1] / yy[at] - yz[at] * z, z], dim=-1)

    spread = blocks(problem.a)
    small = torch.eye(6).to(problem.a) + torch.einsum("tikc,tjkc->tij", problem.a, spread)
    factor = torch.linalg.cholesky(small)

    def solve(r: Tensor) -> Tensor:
        first = blocks(r)
        pull = torch.einsum("tikc,tkc->ti", problem.a, first)
        return first - torch.einsum("tikc,ti->tkc", spread, torch.cholesky_solve(pull[..., None], factor)[..., 0])

    return solve


def _banded(problem: ConeProblem, d: Tensor) -> Solve:
    one = torch.eye(3).to(problem.a)
    faces = torch.stack([-one[0], one[0], -one[1], one[1]]).expand(len(problem.half), 4, 3).clone()
    faces[:, :, 2] = problem.half[:, None]
    every = one.expand(*problem.closed.shape, 3, 3)
    return problem.factor(every, torch.einsum("tkm,kmc,kme->tkce", d, faces, faces))


def _faces(half: Tensor, f: Tensor) -> Tensor:
    """G f: distance to the four faces, [T, k, 4]."""
    x, y, z = f.unbind(-1)
    return torch.stack([half * z - x, half * z + x, half * z - y, half * z + y], dim=-1)


def _faces_t(half: Tensor, z: Tensor) -> Tensor:
    """G' z, [T, k, 3]."""
    return torch.stack([z[..., 1] - z[..., 0], z[..., 3] - z[..., 2], half * z.sum(-1)], dim=-1)
