"""Ordinary and weighted least squares for the base parameters, with intervals.

    min sum_j |Y_j x - tau_j|^2 / sigma_j^2,   sigma_j^2 = |Y_j x - tau_j|^2 / (samples - rank / joints), repeated

Ordinary: all sigma_j equal. Two covariances: the textbook's, for errors independent from sample to sample, and one from
the scatter of blocks of time (sandwich of Liang and Zeger 1986), which survives the correlated errors of a recording
at a kilohertz. Students t: with the degrees of freedom left, or the number of blocks less one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.stats
import torch
from jaxtyping import Float

from invdyn.errors import ConfigError, SignalError
from invdyn.forces.identification.base_parameters import CUT, BaseParameters, base_parameters
from invdyn.forces.identification.equations import Equations
from invdyn.forces.identification.estimate import Estimate

__all__ = ["LeastSquares", "fit_friction", "fit_least_squares"]

ROUNDS, SETTLED = 100, 1e-10  # of reweighting: until no sigma moves by more than this part


@dataclass(frozen=True)
class LeastSquares:
    """Attributes:
    estimate: a point among those with these base parameters, the nearest to `prior`.
    base: the combinations.
    value: [rank] their values.
    covariance: [rank, rank] errors independent from sample to sample.
    covariance_blocks: [rank, rank] from the scatter of the blocks; None with fewer than three.
    degrees: of freedom left.
    blocks: of time.
    """

    estimate: Estimate
    base: BaseParameters
    value: Float[np.ndarray, " rank"]
    covariance: Float[np.ndarray, "rank rank"]
    covariance_blocks: Float[np.ndarray, "rank rank"] | None
    degrees: int
    blocks: int

    def std(self, errors: Literal["independent", "blocks"] = "independent") -> Float[np.ndarray, " rank"]:
        """[rank] standard deviations of the base parameters."""
        return np.sqrt(np.diag(self._covariance(errors)))

    def relative_std(self, errors: Literal["independent", "blocks"] = "independent") -> Float[np.ndarray, " rank"]:
        """[rank] standard deviations as parts of the values; identification practice calls 0.1 poor."""
        with np.errstate(divide="ignore"):
            return self.std(errors) / np.abs(self.value)

    def interval(
        self, coverage: float = 0.95, errors: Literal["independent", "blocks"] = "independent"
    ) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, " rank"]]:
        """Lower and upper ends by Student's t.

        Raises:
            ConfigError: coverage outside (0, 1); too few blocks.
        """
        if not 0 < coverage < 1:
            raise ConfigError(f"identification: coverage={coverage}; expected a part between 0 and 1.")
        degrees = self.degrees if errors == "independent" else self.blocks - 1
        half = scipy.stats.t.ppf(0.5 + coverage / 2, degrees) * self.std(errors)
        return self.value - half, self.value + half

    def _covariance(self, errors: Literal["independent", "blocks"]) -> Float[np.ndarray, "rank rank"]:
        if errors == "independent":
            return self.covariance
        if self.covariance_blocks is None:
            raise ConfigError(
                f"identification: {self.blocks} blocks tell no scatter. Collect the equations with three or more."
            )
        return self.covariance_blocks


def fit_least_squares(
    equations: Equations,
    method: Literal["ordinary", "weighted"] = "weighted",
    *,
    prior: Float[np.ndarray, " unknowns"] | None = None,
    base: BaseParameters | None = None,
    cut: float = CUT,
) -> LeastSquares:
    """Fit the base parameters.

    Args:
        equations: the reduced recording.
        method: ordinary (equal weights), or weighted (1 / sigma_j^2, repeated until it settles).
        prior: the full parameters to stay near to where torque tells nothing; None: zeros.
        base: combinations to fit, where a richer motion told them; None: those this recording tells.
        cut: of singular values, where `base` is None.

    Raises:
        ConfigError: a method by another name.
        SignalError: not more equations than unknowns; a joint without any torque error to weigh by.
    """
    if method not in ("ordinary", "weighted"):
        raise ConfigError(f"identification: method={method!r}; expected 'ordinary' or 'weighted'.")
    joints, samples = len(equations.joints), int(equations.count.sum())
    plain = equations.triangle()
    base = base_parameters(plain.matrix, equations.names, cut) if base is None else base
    degrees = plain.rows - base.rank
    if degrees < 1:
        raise SignalError(f"identification: {plain.rows} equations for {base.rank} base parameters. Record more.")
    start = np.zeros(len(equations.names)) if prior is None else prior
    sigma, triangle = np.ones(joints), plain
    lift = torch.linalg.pinv(torch.from_numpy(base.combine)).numpy()
    for _ in range(ROUNDS if method == "weighted" else 1):
        matrix = triangle.matrix[:, base.independent]
        value = np.linalg.lstsq(matrix, triangle.target, rcond=None)[0]
        x = start + lift @ (value - base.combine @ start)
        squares = equations.squares(x).sum(0)
        if method == "ordinary":
            sigma = np.full(joints, np.sqrt(squares.sum() / degrees))
            triangle = equations.triangle(sigma)
            break
        if not (squares > 1e-24 * np.square(equations.factors[..., -1]).sum((0, 2))).all():
            raise SignalError(
                "identification: a joint's torque is explained without any error, so nothing weighs it against the "
                "others. Use method='ordinary'."
            )
        last, sigma = sigma, np.sqrt(squares / (samples - base.rank / joints))
        triangle = equations.triangle(sigma)
        if np.abs(sigma / last - 1).max() < SETTLED:
            break
    upper = scipy.linalg.qr(triangle.matrix[:, base.independent], mode="r")[0][: base.rank]
    inverse = scipy.linalg.solve_triangular(upper, np.eye(base.rank))
    covariance = inverse @ inverse.T
    scatter = _scatter(equations, base, x, sigma, covariance)
    estimate = Estimate.of(x, equations, method, degrees=base.rank)
    return LeastSquares(estimate, base, value, covariance, scatter, degrees, len(equations.count))


def fit_friction(equations: Equations, inertial: Float[np.ndarray, " inertial"]) -> Estimate:
    """Friction coefficients alone, the bodies being known: what a given model reaches with its joints' losses fitted.

    Args:
        inertial: [10 nbody] of the given bodies.

    Raises:
        ConfigError: another number of inertial parameters.
    """
    if inertial.shape != (equations.inertial,):
        raise ConfigError(
            f"identification: {inertial.size} inertial parameters; expected {equations.inertial}, ten a body."
        )
    own = []
    for j in range(len(equations.joints)):
        factor = np.concatenate(list(equations.factors[:, j]))
        left = factor[:, -1] - factor[:, : equations.inertial] @ inertial
        least = np.where(equations.friction.positive, 0.0, -np.inf)  # no passive joint gains by moving
        columns = factor[:, equations.inertial : -1]
        if columns.shape[1]:
            own.append(scipy.optimize.lsq_linear(columns, left, (least, np.inf), method="bvls").x)
    unknowns = np.concatenate([inertial, *own])
    return Estimate.of(unknowns, equations, "friction alone", degrees=len(unknowns) - len(inertial))


def _scatter(
    equations: Equations,
    base: BaseParameters,
    x: Float[np.ndarray, " unknowns"],
    sigma: Float[np.ndarray, " nv"],
    covariance: Float[np.ndarray, "rank rank"],
) -> Float[np.ndarray, "rank rank"] | None:
    """Covariance from how far each block pulls the estimate; blocks are taken as independent."""
    blocks = len(equations.count)
    if blocks < 3:
        return None
    pulls = np.zeros((blocks, len(equations.names)))
    for j in range(len(equations.joints)):
        columns = equations.columns(j)
        factor = equations.factors[:, j] / sigma[j]
        left = factor @ np.append(x[columns], -1.0)
        pulls[:, columns] += np.einsum("bnp,bn->bp", factor[..., :-1], left)
    moved = pulls[:, base.independent] @ covariance
    return moved.T @ moved * (blocks / (blocks - 1))
