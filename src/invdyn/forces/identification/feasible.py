"""Physically consistent parameters as a semidefinite program: the global optimum, checked by its solver.

    min |R x - z|^2 / 2 + strength |L^-1 (J(pi) - J0) L^-T|^2 / 2   subject to  J(pi_i) - least E >= 0,  friction >= 0

R, z: the reduced equations, each joint's rows divided by its sigma. J0 = L L': the pseudo-inertia of a prior; the
distance is the entropic one to second order (Lee, Wensing and Park 2020, section IV). Wensing, Kim and Slotine 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float, Int

from invdyn.errors import ConfigError, SignalError, require
from invdyn.forces.identification.base_parameters import CUT
from invdyn.forces.identification.equations import Equations
from invdyn.forces.identification.estimate import Estimate
from invdyn.forces.identification.least_squares import fit_least_squares
from invdyn.forces.identification.pseudo_inertia import consistent, pseudo_inertia

__all__ = ["check_prior", "fit_feasible", "joint_weights"]

UNIT_BALL = np.array([1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 2.0])  # parameters whose pseudo-inertia is E
UPPER = tuple((i, k) for k in range(4) for i in range(k + 1))  # column by column, as Clarabel stacks a triangle


def joint_weights(
    equations: Equations, sigma: Float[np.ndarray, " nv"] | None, method: str = "weighted"
) -> Float[np.ndarray, " nv"]:
    """Each joint's sigma: as given, else of the weighted least-squares fit, N m or N."""
    if sigma is None:
        return fit_least_squares(equations, method).estimate.sigma  # type: ignore[arg-type]
    if sigma.shape != (len(equations.joints),) or not (sigma > 0).all():
        raise ConfigError(
            f"identification: sigma={sigma.tolist()}; expected {len(equations.joints)} positive numbers, N m or N."
        )
    return sigma


def check_prior(equations: Equations, prior: Float[np.ndarray, " inertial"], strength: float) -> None:
    """Raises ConfigError on a prior that no body has, or a negative strength."""
    if strength < 0:
        raise ConfigError(f"identification: strength={strength:g}; expected zero or a positive number.")
    if prior.shape != (equations.inertial,):
        raise ConfigError(f"identification: the prior has {prior.size} parameters; expected {equations.inertial}.")
    fine = consistent(torch.as_tensor(prior.reshape(-1, 10), dtype=torch.float64)).numpy()
    if not fine.all():
        name = equations.bodies[int((~fine).argmax())]
        raise ConfigError(
            f"identification: the prior of body {name!r} is no real body's (its pseudo-inertia is not positive "
            "definite). Correct the model, or fit without a prior."
        )


def fit_feasible(
    equations: Equations,
    *,
    sigma: Float[np.ndarray, " nv"] | None = None,
    prior: Float[np.ndarray, " inertial"] | None = None,
    strength: float = 0.0,
    least: float = 1e-6,
) -> Estimate:
    """Fit parameters that real bodies can have.

    Args:
        equations: the reduced recording.
        sigma: [nv] of each joint's torque error; None: of the weighted least-squares fit.
        prior: [10 nbody] parameters to stay near to.
        strength: of the prior; 1: a body that differs from it by its own size counts as one sigma.
        least: eigenvalues of every pseudo-inertia lie above it (kg, kg m^2).

    Raises:
        ConfigError: sigma, prior, strength or least out of range; a strength without a prior.
        SignalError: the solver did not arrive.
        MissingExtraError: without clarabel.
    """
    clarabel = require("clarabel", "bodies")
    if least <= 0:
        raise ConfigError(f"identification: least={least:g}; expected a positive number.")
    if prior is None and strength:
        raise ConfigError(f"identification: strength={strength:g} without a prior. Give the parameters it pulls to.")
    triangle = equations.triangle(joint_weights(equations, sigma))
    matrix, target = triangle.matrix, triangle.target
    size = len(equations.names)
    if prior is not None:
        check_prior(equations, prior, strength)
        pull = np.sqrt(strength) * _metric(prior)
        pull = np.pad(pull, ((0, 0), (0, size - equations.inertial)))
        matrix, target = np.concatenate([matrix, pull]), np.append(target, pull[:, : equations.inertial] @ prior)
        upper = np.asarray(np.linalg.qr(np.concatenate([matrix, target[:, None]], axis=1), mode="r"))
        matrix, target = upper[:size, :size], upper[:size, size]
    best = np.linalg.lstsq(matrix, target, rcond=CUT)[0]
    signed = np.flatnonzero(equations.positive)
    real = consistent(torch.as_tensor(best[: equations.inertial].reshape(-1, 10)), least)
    if bool(real.all()) and (best[signed] >= 0).all():
        return Estimate.of(best, equations, "feasible")  # no constraint binds
    status = ""
    # Counted from the unconstrained optimum, what is left to decide is of the size of constraints and prior; counted
    # from zero it would vanish beside the torque itself, within the solver's tolerance. Zero is the second try.
    for start in (best, np.zeros(size)):
        x, status = _solve(matrix, target - matrix @ start, start, signed, len(equations.bodies), least, clarabel)
        if "Solved" in status:
            x[signed] = np.maximum(x[signed], 0.0)  # the solver's own tolerance below zero, here and for the bodies
            x[: equations.inertial] = _lifted(x[: equations.inertial], least)
            return Estimate.of(x, equations, "feasible")
    raise SignalError(
        f"identification: the semidefinite program ended as {status}. Fit with method='log-cholesky', or "
        "check the units of motion and torque."
    )


def _lifted(inertial: Float[np.ndarray, " inertial"], least: float) -> Float[np.ndarray, " inertial"]:
    """Bodies whose pseudo-inertia lies below the least eigenvalue by round-off, with as much of E added as it lacks."""
    rows = inertial.reshape(-1, 10)
    lowest = np.linalg.eigvalsh(pseudo_inertia(torch.as_tensor(rows)).numpy())[:, :1]
    lacking = np.where(lowest < least, 2 * least - lowest, 0.0)
    return np.asarray((rows + lacking * UNIT_BALL).reshape(-1))


def _solve(
    matrix: Float[np.ndarray, "rows unknowns"],
    target: Float[np.ndarray, " rows"],
    start: Float[np.ndarray, " unknowns"],
    signed: Int[np.ndarray, " signed"],
    bodies: int,
    least: float,
    clarabel: Any,
) -> tuple[Float[np.ndarray, " unknowns"], str]:
    """x and the solver's word. Unknowns (x - start, r) with r = (matrix (x - start) - target) / scale as constraints:
    the quadratic form is the identity, nothing is squared."""
    rows, size = matrix.shape
    scale = float(np.linalg.norm(target)) if not start.any() else 1.0
    scale = scale or 1.0
    wide = scipy.sparse.hstack([scipy.sparse.csc_matrix(matrix / scale), -scipy.sparse.eye(rows)])
    blocks, right, cones = [wide], [target / scale], [clarabel.ZeroConeT(rows)]
    floor = np.array([least * float(i == k) for i, k in UPPER])
    for b in range(bodies):
        part = np.zeros((10, size + rows))
        part[:, 10 * b : 10 * b + 10] = -TRIANGLE
        blocks.append(scipy.sparse.csc_matrix(part))
        right.append(TRIANGLE @ start[10 * b : 10 * b + 10] - floor)
        cones.append(clarabel.PSDTriangleConeT(4))
    if len(signed):
        part = np.zeros((len(signed), size + rows))
        part[np.arange(len(signed)), signed] = -1.0
        blocks.append(scipy.sparse.csc_matrix(part))
        right.append(start[signed])
        cones.append(clarabel.NonnegativeConeT(len(signed)))
    quadratic = scipy.sparse.diags(np.append(np.zeros(size), np.ones(rows))).tocsc()
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    problem = scipy.sparse.vstack(blocks).tocsc(), np.concatenate(right)
    found = clarabel.DefaultSolver(quadratic, np.zeros(size + rows), *problem, cones, settings).solve()
    return start + np.array(found.x[:size]), str(found.status)


def _stack_triangle() -> Float[np.ndarray, "10 10"]:
    """From ten parameters to the upper triangle of J, off-diagonals times sqrt 2."""
    unit = pseudo_inertia(torch.eye(10, dtype=torch.float64)).numpy()
    return np.stack([unit[:, i, k] * (1.0 if i == k else np.sqrt(2)) for i, k in UPPER])


TRIANGLE = _stack_triangle()


def _metric(prior: Float[np.ndarray, " inertial"]) -> Float[np.ndarray, "rows inertial"]:
    """Rows whose squares sum to |L^-1 J(pi) L^-T|^2 over the bodies."""
    unit = pseudo_inertia(torch.eye(10, dtype=torch.float64))
    own = torch.linalg.cholesky(pseudo_inertia(torch.as_tensor(prior.reshape(-1, 10), dtype=torch.float64)))
    half = torch.linalg.solve(own[:, None], unit)
    white = torch.linalg.solve(own[:, None], half.mT)  # [nbody, 10, 4, 4]
    return np.asarray(torch.block_diag(*white.reshape(len(own), 10, 16).mT))
