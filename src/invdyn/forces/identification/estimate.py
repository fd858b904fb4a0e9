"""`Estimate`: parameters found, whatever the fit, and the torque they give."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from invdyn.forces.identification.equations import Equations, Regressor, inertial_names
from invdyn.forces.identification.friction import Friction

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate:
    """Parameters of a fit.

    Args:
        inertial: [10 nbody] (m, m c, Ixx, Ixy, Iyy, Ixz, Iyz, Izz) a body, about its frame's origin; kg, kg m, kg m^2.
            Where torque tells combinations only, one point among those that explain it equally well.
        coefficients: [nv, k] of `friction`'s columns.
        sigma: [nv] standard deviation of the torque error of the fit, N m or N.
        method: which fit.
        bodies, joints: names.
        friction: the columns.
    """

    inertial: Float[np.ndarray, " inertial"]
    coefficients: Float[np.ndarray, "nv k"]
    sigma: Float[np.ndarray, " nv"]
    method: str
    bodies: tuple[str, ...]
    joints: tuple[str, ...]
    friction: Friction

    @classmethod
    def of(cls, x: Float[np.ndarray, " unknowns"], equations: Equations, method: str, *, degrees: int = 0) -> Estimate:
        """From the unknowns of reduced equations; `degrees` of freedom that the fit used up."""
        joints, samples = len(equations.joints), int(equations.count.sum())
        left = max(samples - degrees / joints, 1.0)
        sigma = np.sqrt(equations.squares(x).sum(0) / left)
        inertial, rest = x[: equations.inertial], x[equations.inertial :]
        coefficients = rest.reshape(joints, len(equations.friction.names))
        return cls(inertial, coefficients, sigma, method, equations.bodies, equations.joints, equations.friction)

    @property
    def unknowns(self) -> Float[np.ndarray, " unknowns"]:
        """x of `Equations`: inertial parameters, then friction coefficients joint by joint."""
        return np.concatenate([self.inertial, self.coefficients.reshape(-1)])

    @property
    def named(self) -> dict[str, float]:
        """Every parameter under its name."""
        own = [f"{name}[{joint}]" for joint in self.joints for name in self.friction.names]
        return dict(zip((*inertial_names(self.bodies), *own), (float(v) for v in self.unknowns)))

    def torque(
        self,
        regressor: Regressor,
        q: Float[np.ndarray, "time nq"],
        qd: Float[np.ndarray, "time nv"],
        qdd: Float[np.ndarray, "time nv"],
        chunk: int = 4096,
    ) -> Float[np.ndarray, "time nv"]:
        """[T, nv] N m or N: Y(q, qd, qdd) inertial + F(qd, qdd) coefficients."""
        found = np.empty(qd.shape)
        for low in range(0, len(qd), chunk):
            rows = slice(low, low + chunk)
            found[rows] = np.asarray(regressor(q[rows], qd[rows], qdd[rows]), float) @ self.inertial
            found[rows] += (self.friction.columns(qd[rows], qdd[rows]) * self.coefficients).sum(2)
        return found

    def without_friction(self) -> Estimate:
        """The rigid bodies alone."""
        return replace(self, friction=Friction.none(), coefficients=np.zeros((len(self.joints), 0)))
