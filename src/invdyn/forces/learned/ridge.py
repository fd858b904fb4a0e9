"""Linear and kernel ridge regression of torques on (q, qd, qdd): what every other model must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from invdyn.errors import ConfigError
from invdyn.forces.learned.rows import TorqueEstimate, TorqueModel, TorqueRows, check_joints

__all__ = ["KernelRidge", "Linear", "fit_kernel_ridge", "fit_linear"]


@dataclass(frozen=True)
class Standard:
    """Inputs moved to mean 0 and standard deviation 1 of the rows fitted."""

    mean: Float64[np.ndarray, " inputs"]
    std: Float64[np.ndarray, " inputs"]

    @classmethod
    def of(cls, x: Float64[np.ndarray, "rows inputs"]) -> Standard:
        std = x.std(0)
        return cls(x.mean(0), np.where(std > 0, std, 1.0))

    def __call__(self, x: Float64[np.ndarray, "rows inputs"]) -> Float64[np.ndarray, "rows inputs"]:
        return (x - self.mean) / self.std


@dataclass(frozen=True)
class Linear(TorqueModel):
    """tau_j = w_j . (q, qd, qdd) + b_j. Args: weights [n, 3n + 1], the offset last; noise [n] N m, RMS left over."""

    weights: Float64[np.ndarray, "joint features"]
    noise: Float64[np.ndarray, " joints"]

    @property
    def joints(self) -> int:  # type: ignore[override]
        return len(self.weights)

    def predict(self, rows: TorqueRows) -> TorqueEstimate:
        check_joints(self, rows)
        mean = _with_one(rows.motion) @ self.weights.T
        return TorqueEstimate(mean, np.broadcast_to(self.noise, mean.shape).copy())


def fit_linear(rows: TorqueRows) -> Linear:
    """Ordinary least squares, each joint on the rows in which it was measured.

    Raises:
        SignalError: a joint without a measured torque.
    """
    weights, noise = [], []
    for joint in range(rows.joints):
        own = rows.of_joint(joint)
        x, y = _with_one(own.motion), own.tau[:, joint]
        weights.append(np.linalg.lstsq(x, y, rcond=None)[0])
        noise.append(np.sqrt(np.mean((y - x @ weights[-1]) ** 2)))
    return Linear(np.stack(weights), np.array(noise))


@dataclass(frozen=True)
class _KernelJoint:
    standard: Standard
    inputs: Float64[np.ndarray, "rows inputs"]
    weights: Float64[np.ndarray, " samples"]
    offset: float
    noise: float


@dataclass(frozen=True)
class KernelRidge(TorqueModel):
    """tau_j = sum_i w_ji exp(-gamma |x - x_i|^2) + b_j on standardised inputs x."""

    parts: tuple[_KernelJoint, ...]
    gamma: float

    @property
    def joints(self) -> int:  # type: ignore[override]
        return len(self.parts)

    def predict(self, rows: TorqueRows) -> TorqueEstimate:
        check_joints(self, rows)
        mean = np.empty(rows.q.shape)
        for joint, part in enumerate(self.parts):
            near = np.exp(-self.gamma * cdist(part.standard(rows.motion), part.inputs, "sqeuclidean"))
            mean[:, joint] = near @ part.weights + part.offset
        return TorqueEstimate(mean, np.broadcast_to([p.noise for p in self.parts], mean.shape).copy())


def fit_kernel_ridge(rows: TorqueRows, *, gamma: float = 0.02, alpha: float = 0.01) -> KernelRidge:
    """Kernel ridge regression with a Gaussian kernel, each joint by itself on standardised inputs and torques.

    Args:
        rows: measured torques.
        gamma: 1 / (2 length^2) in standard deviations. alpha: ridge, in variances of the torque.

    The spread told is the RMS error at left-out rows, in closed form.

    Raises:
        ConfigError: gamma or alpha not positive. SignalError: a joint without a measured torque.
    """
    if not (gamma > 0 and alpha > 0):
        raise ConfigError(f"kernel ridge: gamma={gamma}, alpha={alpha}; both must be positive.")
    parts = []
    for joint in range(rows.joints):
        own = rows.of_joint(joint)
        standard = Standard.of(own.motion)
        x, y = standard(own.motion), own.tau[:, joint]
        near = np.exp(-gamma * cdist(x, x, "sqeuclidean"))
        inverse = cho_solve(cho_factor(near + alpha * np.eye(len(x))), np.eye(len(x)))
        weights = inverse @ (y - y.mean())
        noise = float(np.sqrt(np.mean((weights / inverse.diagonal()) ** 2)))
        parts.append(_KernelJoint(standard, x, weights, float(y.mean()), noise))
    return KernelRidge(tuple(parts), gamma)


def _with_one(x: Float64[np.ndarray, "rows inputs"]) -> Float64[np.ndarray, "rows features"]:
    return np.concatenate([x, np.ones((len(x), 1))], 1)
