"""Contact forces from the wrench that an unactuated base needs: a friction-cone QP, for many frames at once.

    min  (A f - b)' W (A f - b) + eps |f|^2 + rho |f_t - f_t-1|^2,   |f_x|, |f_y| <= mu f_z / sqrt(2)

f holds three components a contact, in contact axes (z along the normal, into the body); A = (J_c^T) rows of the base.
The square of half-width mu / sqrt(2) lies inside the round cone of mu. f_z >= 0 follows from the four faces.

Active sets, float64: forces are solved for directly where it is known which faces hold (one 6 x 6 system a frame), and
faces that prove wrong are exchanged, all at once (block pivoting; Portugal, Judice & Vicente, Math. Comp. 63, 1994).
Most frames are done in a few rounds; those that are not ask an interior point which faces hold. An answer is given only
when it meets the optimality conditions. With rho the frames of a trajectory are one problem, both neighbours pulling
(not only the past, as a sweep through time would have it), and the matrices are banded: LAPACK, on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invdyn.bodies.contact_cone import ConeProblem
from invdyn.bodies.contact_interior import interior_point
from invdyn.errors import ConfigError, SignalError

__all__ = ["ContactSolution", "contact_axes", "solve_contact_qp"]

TOGETHER, SINGLY, LAST = (
    6,
    20,
    200,
)  # rounds: all wrong faces at once; then each frame's worst; after the interior point
OUTSIDE, PULLED = 1e-9, 2e-14  # how far forces and multipliers may miss their conditions, for a load scaled to one


@dataclass(frozen=True)
class ContactSolution:
    """Attributes:
    force: [T, k, 3] N, contact axes; zero where there is no contact.
    residual: [T, 6] b - A f, what no allowed force explains (N, N m; axes of b).
    rounds: of exchanging faces. hard: frames that needed the interior point.
    """

    force: Float[Tensor, "time k 3"]
    residual: Float[Tensor, "time 6"]
    rounds: int
    hard: int


def contact_axes(normal: Float[Tensor, "*any 3"]) -> Float[Tensor, "*any 3 3"]:
    """Rotations whose third column is the normal (of any length): contact axes to the normal's axes.

    The tangents are chosen without a jump but at the normal (0, 0, -1) (Duff et al., JCGT 6, 2017).
    """
    x, y, z = (normal / normal.norm(dim=-1, keepdim=True)).unbind(-1)
    sign = torch.where(z >= 0, 1.0, -1.0).to(z)
    a = -1 / (sign + z)
    b = x * y * a
    first = torch.stack([1 + sign * x * x * a, sign * b, -sign * x], dim=-1)
    second = torch.stack([b, sign + y * y * a, -y], dim=-1)
    return torch.stack([first, second, torch.stack([x, y, z], dim=-1)], dim=-1)


def solve_contact_qp(
    matrix: Float[Tensor, "time 6 k 3"],
    wrench: Float[Tensor, "time 6"],
    friction: float | Float[Tensor, " k"] = 0.8,
    *,
    contact: Bool[Tensor, "time k"] | None = None,
    weight: Float[Tensor, " 6"] | None = None,
    regularization: float = 1e-6,
    smoothness: float = 0.0,
) -> ContactSolution:
    """Contact forces that explain the base's wrench, in the cones.

    Args:
        matrix: [T, 6, k, 3] A, from contact forces in contact axes to the base's six rows.
        wrench: [T, 6] b: the base's rows of inverse dynamics without contacts (N, N m).
        friction: mu, of all contacts or each; the default is rubber on a floor (our choice).
        contact: [T, k] whether the contact is closed; None: always.
        weight: [6] diagonal of W; None: ones.
        regularization: eps, beside weights of 1/N^2: which of the forces that explain b equally well.
        smoothness: rho; couples a contact's force in neighbouring frames while it is closed in both.

    Raises:
        ConfigError: friction, regularization or weights not positive, smoothness negative.
        SignalError: NaN or infinite numbers; the solver did not arrive (a report of a scale or a rank gone wrong).
    """
    contacts = matrix.shape[2]
    a = matrix.double()
    b = wrench.double()
    mu = torch.as_tensor(friction, dtype=torch.float64, device=a.device).expand(contacts)
    w = torch.ones(6, dtype=torch.float64, device=a.device) if weight is None else weight.to(a)
    if not (mu > 0).all() or not (w > 0).all() or not regularization > 0:
        raise ConfigError(
            f"contact forces: friction={mu.tolist()}, weight={w.tolist()}, regularization={regularization:g}; "
            "expected positive numbers. A contact without friction: give it a small one, e.g. 1e-3."
        )
    if smoothness < 0:
        raise ConfigError(f"contact forces: smoothness={smoothness:g}; expected zero or a positive number.")
    for name, given in (("matrix", a), ("wrench", b)):
        bad = (~torch.isfinite(given)).flatten(1).any(1).nonzero()
        if len(bad):
            raise SignalError(
                f"contact forces: {name} of frame {int(bad[0])} is not finite. Leave out frames without motion."
            )
    closed = torch.ones(a.shape[0], contacts, dtype=torch.bool, device=a.device) if contact is None else contact
    a = a * closed[:, None, :, None]
    root = w.sqrt()
    scale = b.abs().amax(1, keepdim=True) if smoothness == 0 else b.abs().amax().expand(len(b), 1)
    scale = scale.clamp_min(1e-30)
    problem = ConeProblem(
        a * root[:, None, None], b / scale * root, mu / 2**0.5, closed, float(regularization), float(smoothness)
    )
    force, rounds, hard = _solve(problem)
    force = force * scale[:, :, None]
    return ContactSolution(force, b - torch.einsum("tikc,tkc->ti", a, force), rounds, hard)


def _solve(problem: ConeProblem) -> tuple[Tensor, int, int]:
    """Forces, rounds, and frames that needed the interior point."""
    side = torch.zeros_like(problem.a[:, 0, :, :2])
    lifted = ~problem.closed
    if problem.together:  # from the faces of each frame alone
        apart = ConeProblem(problem.a, problem.b, problem.half, problem.closed, problem.eps, 0.0)
        side, lifted, _, _, _ = _exchange(apart, side, lifted, TOGETHER, 0)
    _, _, force, wrong, rounds = _exchange(problem, side, lifted, TOGETHER, SINGLY)
    if not bool(wrong.any()):
        return force, rounds, 0
    stuck = torch.arange(len(force), device=force.device) if problem.together else wrong.any(-1).nonzero()[:, 0]
    rest = problem if problem.together else problem.take(stuck)
    _, _, force[stuck], wrong, more = _exchange(rest, *interior_point(rest), 0, LAST)
    if bool(wrong.any()):
        raise SignalError(
            f"contact forces: frame {int(stuck[wrong.any(-1).nonzero()[0, 0]])} has no clear set of sliding contacts. "
            "Raise regularization, or check the units of its Jacobian."
        )
    return force, rounds + more, len(stuck)


def _exchange(
    problem: ConeProblem, side: Tensor, lifted: Tensor, together: int, singly: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Exchange faces, all at once for some rounds, then each frame's worst contact: until all are right.

    Returns faces, contacts at rest, forces, [T, k] what is still wrong, and rounds used.

    Frames that are problems of their own leave once they are right.
    """
    side, lifted = side.clone(), lifted.clone()
    force = torch.zeros_like(problem.a[:, 0])
    wrong = torch.zeros_like(lifted)
    here = torch.arange(len(side), device=side.device)
    part = problem
    for turn in range(1, together + singly + 1):
        found = part.on_faces(side[here], lifted[here])
        force[here] = found
        worst, new_side, new_lifted = _pivot(part, found, side[here], lifted[here], turn > together)
        wrong[here] = worst
        if not bool(worst.any()) or turn == together + singly:
            break
        side[here], lifted[here] = new_side, new_lifted
        if not problem.together:
            left = worst.any(-1)
            here, part = here[left], part.take(left)
    return side, lifted, force, wrong, turn


def _pivot(
    problem: ConeProblem, f: Tensor, side: Tensor, lifted: Tensor, singly: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """[T, k] contacts that miss optimality, and the faces to try next (`singly`: only each frame's worst changes)."""
    gradient = problem.hessian(f) - problem.linear()
    flat, up = f[..., :2], f[..., 2:]
    free, held = (side == 0) & ~lifted[..., None], (side != 0) & ~lifted[..., None]
    over = torch.where(free, flat.abs() - problem.half[:, None] * up, 0.0) / OUTSIDE
    pull = torch.where(held, gradient[..., :2] * side, 0.0) / PULLED  # a face only pushes
    sink = torch.where(lifted, 0.0, -up[..., 0]) / OUTSIDE
    lift = gradient[..., :2].abs().sum(-1) - gradient[..., 2] / problem.half  # a contact at rest: does it rise?
    rise = torch.where(lifted & problem.closed, lift, 0.0) / PULLED
    worst = torch.cat([over, pull, sink[..., None], rise[..., None]], dim=-1).amax(-1)
    wrong = worst > 1
    turned = wrong & (worst == worst.amax(1, keepdim=True)) if singly else wrong
    out, let = (over > 1) & turned[..., None], (pull > 1) & turned[..., None]
    sunk, rises = (sink > 1) & turned, (rise > 1) & turned
    side = torch.where(out, torch.sign(flat), torch.where(let, 0.0, side))
    side = torch.where(rises[..., None], -torch.sign(gradient[..., :2]), side)
    return wrong, side, (lifted | sunk) & ~rises
