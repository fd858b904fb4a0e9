"""What inverse kinematics is asked for: points, frames and a posture, as weighted residuals with their Jacobians."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.bodies.ik_program import Independent, task_program
from invdyn.bodies.model import BodyModel
from invdyn.bodies.rotations import inverse_left_jacobian, quaternion_from_matrix, quaternion_log
from invdyn.errors import ConfigError, SignalError
from invdyn.kernels.function import Function

__all__ = ["FrameTargets", "Objective", "PointTargets", "Residual"]


@dataclass(frozen=True)
class PointTargets:
    """Points of the model that shall be at given places: cost weight |p - position|^2.

    Args:
        sites: names of K sites of the model (or of bodies: their origins).
        position: [T, K, 3] m in the world; NaN where not seen.
        weight: [K] 1/m^2; None: ones.

    Raises:
        SignalError: shapes that do not agree, infinite numbers.
        ConfigError: a negative weight.
    """

    sites: tuple[str, ...]
    position: Float[np.ndarray, "time k 3"]
    weight: Float[np.ndarray, "*k"] | None = None

    def __post_init__(self) -> None:
        _check("points", self.sites, self.position, (3,))
        _check_weight("points", self.sites, self.weight)


@dataclass(frozen=True)
class FrameTargets:
    """Frames of the model that shall stand at given placements.

    Cost: weight |p - translation|^2 + rotation_weight |log(rotation' R)|^2.

    Args:
        sites: names of K sites or bodies.
        rotation: [T, K, 3, 3] site axes to world. translation: [T, K, 3] m. NaN in either: not asked in this step.
        weight: [K] 1/m^2; None: ones. rotation_weight: [K] 1/rad^2; None: 0.01, one degree as 1.7 mm (our choice).

    Raises:
        SignalError: shapes that do not agree, infinite numbers, a matrix that is no rotation.
        ConfigError: a negative weight.
    """

    sites: tuple[str, ...]
    rotation: Float[np.ndarray, "time k 3 3"]
    translation: Float[np.ndarray, "time k 3"]
    weight: Float[np.ndarray, "*k"] | None = None
    rotation_weight: Float[np.ndarray, "*r"] | None = None

    def __post_init__(self) -> None:
        _check("frames", self.sites, self.translation, (3,))
        _check("frames", self.sites, self.rotation, (3, 3))
        _check_weight("frames", self.sites, self.weight)
        _check_weight("frames", self.sites, self.rotation_weight)
        square = np.einsum("tkij,tkil->tkjl", self.rotation, self.rotation)
        off = np.abs(square - np.eye(3)).max((2, 3)) + np.abs(np.linalg.det(self.rotation) - 1)
        bad = np.argwhere(off > 1e-3)
        if len(bad):
            t, k = bad[0]
            raise SignalError(
                f"frames: the matrix of {self.sites[k]!r} at step {t} is no rotation (off by {off[t, k]:.2g}); "
                "expected orthonormal columns, right-handed. Transpose or normalise it."
            )


class Residual(NamedTuple):
    """value [rows, batch], jacobian [batch, rows, moving]; the cost is the sum of squares."""

    value: Tensor
    jacobian: Tensor


@dataclass(frozen=True)
class Objective:
    """The residuals of a trajectory.

    Args:
        moving: what may move.
        points, frames: what is asked; not both None.
        rest: [nq, 1] posture. rest_weight: 1/rad^2 (1/m^2) of the distance to it, of coordinates without quaternion.
    """

    moving: Independent
    points: PointTargets | None
    frames: FrameTargets | None
    rest: Float[Tensor, "nq 1"]
    rest_weight: float = 0.0
    _function: Function = field(init=False, repr=False)
    _wanted: tuple[Tensor, Tensor, Tensor, Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        model: BodyModel = self.moving.model
        points = () if self.points is None else self.points.sites
        frames = () if self.frames is None else self.frames.sites
        program = task_program(self.moving, [model.site(s) for s in points], [model.site(s) for s in frames])
        object.__setattr__(self, "_function", Function(program, self.moving.backend))
        object.__setattr__(self, "_wanted", self._prepared())

    @property
    def steps(self) -> int:
        """T."""
        given = self.points.position if self.points is not None else self.frames.translation if self.frames else None
        return 0 if given is None else len(given)

    def positions(self, q: Float[Tensor, "nq batch"]) -> Float[Tensor, "sites 3 batch"]:
        """Where the sites are, points first, m."""
        return self._function(q)[0].unflatten(0, (-1, 3))

    def at(self, q: Float[Tensor, "nq batch"], steps: Tensor) -> Residual:
        """Residuals of the given steps [batch] at positions q."""
        target, root, rotation, turn = self._wanted
        n, b = len(self.moving.v), q.shape[1]
        place, linear, turned, angular = self._function(q)
        weight = root[:, steps]
        value = [weight * (place - target[:, steps])]
        slope = [weight.T[:, :, None] * linear.reshape(-1, n, b).permute(2, 0, 1)]
        if self.frames is not None:
            k = len(self.frames.sites)
            here = turned.reshape(k, 3, 3, b)
            between = torch.einsum("kjib,kjlb->ilkb", rotation[..., steps], here)  # target' R
            error = quaternion_log(quaternion_from_matrix(between.reshape(3, 3, -1)))
            right = inverse_left_jacobian(error).transpose(0, 1).reshape(3, 3, k, b)
            body = torch.einsum("kjib,kjnb->kinb", here, angular.reshape(k, 3, n, b))
            weight = turn[:, None, steps].expand(k, 3, b).reshape(3 * k, b)
            value.append(weight * error.reshape(3, k, b).transpose(0, 1).reshape(3 * k, b))
            slope.append(weight.T[:, :, None] * torch.einsum("ilkb,klnb->bkin", right, body).reshape(b, 3 * k, n))
        if self.rest_weight:
            root_weight = self.rest_weight**0.5
            away = self.moving.values(q) - self.moving.values(self.rest)
            plain = ~away.isnan().any(1)
            value.append(root_weight * away[plain])
            slope.append(root_weight * torch.eye(n, dtype=q.dtype)[plain].expand(b, -1, -1))
        return Residual(torch.cat(value), torch.cat(slope, 1))

    def _prepared(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Targets and roots of weights, [rows, T], and of rotations [k, 3, 3, T] and [k, T]; zero where missing."""
        target, weight = [], []
        rotation, turn = np.zeros((0, 3, 3, self.steps)), np.zeros((0, self.steps))
        for given in (self.points, self.frames):
            if given is None:
                continue
            place = given.position if isinstance(given, PointTargets) else given.translation
            seen = ~np.isnan(place).any(2)
            if isinstance(given, FrameTargets):
                seen &= ~np.isnan(given.rotation).any((2, 3))
                rotation = np.where(seen[..., None, None], given.rotation, np.eye(3)).transpose(1, 2, 3, 0)
                turn = (seen * np.sqrt(_weights(given.rotation_weight, given.sites, 0.01))).T
            root = seen * np.sqrt(_weights(given.weight, given.sites, 1.0))
            weight.append(np.repeat(root, 3, 1).T)
            target.append(np.where(seen[..., None], place, 0.0).reshape(len(place), -1).T)
        arrays = (np.concatenate(target), np.concatenate(weight), rotation, turn)
        first, second, third, fourth = (torch.from_numpy(np.ascontiguousarray(x)) for x in arrays)
        return first, second, third, fourth


def _weights(given: np.ndarray | None, sites: tuple[str, ...], default: float) -> np.ndarray:
    return np.full(len(sites), default) if given is None else given


def _check(what: str, sites: tuple[str, ...], values: np.ndarray, shape: tuple[int, ...]) -> None:
    if values.shape[1:] != (len(sites), *shape):
        wanted = ", ".join(str(x) for x in (len(sites), *shape))
        raise SignalError(f"{what}: {values.shape} numbers for {len(sites)} sites; expected [T, {wanted}].")
    bad = np.argwhere(np.isinf(values))
    if len(bad):
        raise SignalError(
            f"{what}: {sites[bad[0][1]]!r} is infinite at step {bad[0][0]}; expected metres, NaN where not seen."
        )


def _check_weight(what: str, sites: tuple[str, ...], weight: np.ndarray | None) -> None:
    if weight is None:
        return
    for name, w in zip(sites, weight.tolist()):
        if not 0 <= w < np.inf:
            raise ConfigError(f"{what}: weight {w:g} of {name!r}; expected zero or a positive number.")
    if len(weight) != len(sites):
        raise ConfigError(f"{what}: {len(weight)} weights for {len(sites)} sites; expected one each.")
