"""`Equations`: tau = Y(q, qd, qdd) pi + F(qd, qdd) phi over a recording, reduced as it is read.

Every block of time and every joint keeps the triangle of an orthogonal factorisation of [Y, F, tau], and nothing else:
residuals of any parameters, fits with any weights, and fits without some blocks follow from the triangles exactly.
Memory does not grow with the recording, and no normal equations are formed (their condition is the square).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from invdyn.bodies.model import BodyModel
from invdyn.errors import ConfigError, SignalError
from invdyn.forces.identification.friction import Friction
from invdyn.forces.identification.recordings import Recording
from invdyn.forces.identification.settings import IdentifySettings

__all__ = ["Equations", "Regressor", "Triangle", "collect", "equations_of", "inertial_names", "join"]

Regressor = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""q [T, nq], qd [T, nv], qdd [T, nv] -> Y [T, nv, 10 nbody]; ten a body: (m, m c, Ixx, Ixy, Iyy, Ixz, Iyz, Izz)."""

TEN = ("m", "mx", "my", "mz", "Ixx", "Ixy", "Iyy", "Ixz", "Iyz", "Izz")


@dataclass(frozen=True)
class Triangle:
    """One least-squares problem min |matrix x - target|^2 + rest, as small as its unknowns are many.

    Attributes:
        matrix: [P, P] upper triangular.
        target: [P].
        rest: squares that no x explains.
        rows: equations it stands for.
    """

    matrix: Float[np.ndarray, "p p"]
    target: Float[np.ndarray, " p"]
    rest: float
    rows: int


@dataclass(frozen=True)
class Equations:
    """A recording, reduced.

    Unknowns x: inertial parameters of all bodies [10 nbody], then the friction coefficients of each joint [nv k].

    Attributes:
        factors: [blocks, nv, p + 1, p + 1] triangles of [Y_j, F_j, tau_j], p = 10 nbody + k.
        count: [blocks] samples.
        mean: [blocks, nv] mean torque.
        bodies: names, one per ten inertial parameters.
        joints: names, one per torque.
        friction: the columns F.
    """

    factors: Float[np.ndarray, "blocks nv p1 p1"]
    count: Int[np.ndarray, " blocks"]
    mean: Float[np.ndarray, "blocks nv"]
    bodies: tuple[str, ...]
    joints: tuple[str, ...]
    friction: Friction

    @property
    def inertial(self) -> int:
        """Number of inertial parameters."""
        return 10 * len(self.bodies)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the unknowns, in their order."""
        own = [f"{name}[{joint}]" for joint in self.joints for name in self.friction.names]
        return (*inertial_names(self.bodies), *own)

    @property
    def positive(self) -> Bool[np.ndarray, " unknowns"]:
        """Unknowns of friction that cannot be negative."""
        return np.array([False] * self.inertial + list(self.friction.positive) * len(self.joints))

    def take(self, blocks: Sequence[int]) -> Equations:
        """Those blocks alone."""
        rows = list(blocks)
        return Equations(self.factors[rows], self.count[rows], self.mean[rows], self.bodies, self.joints, self.friction)

    @cached_property
    def joint_factors(self) -> Float[np.ndarray, "nv p1 p1"]:
        """Triangles of [Y_j, F_j, tau_j] over all blocks; what a joint's rows are divided by changes them in scale."""
        blocks, nv, rows, columns = self.factors.shape
        return _triangles(self.factors.swapaxes(0, 1).reshape(nv, blocks * rows, columns))

    def triangle(self, sigma: Float[np.ndarray, " nv"] | None = None) -> Triangle:
        """All blocks and joints as one problem, a joint's rows divided by its sigma (N m; None: by nothing)."""
        scale = np.ones(len(self.joints)) if sigma is None else 1 / sigma
        size = len(self.names)
        wide = np.zeros((*self.joint_factors.shape[:2], size + 1))
        for j, own in enumerate(self.joint_factors):
            wide[j][:, [*self.columns(j), size]] = own * scale[j]
        total = _triangles(wide.reshape(1, -1, size + 1))[0]
        rows = int(self.count.sum()) * len(self.joints)
        return Triangle(total[:size, :size], total[:size, size], float(total[size, size] ** 2), rows)

    def columns(self, joint: int) -> Int[np.ndarray, " p"]:
        """Numbers of the unknowns that a joint's torque depends on."""
        k = len(self.friction.names)
        return np.concatenate([np.arange(self.inertial), self.inertial + joint * k + np.arange(k)])

    def squares(self, x: Float[np.ndarray, " unknowns"]) -> Float[np.ndarray, "blocks nv"]:
        """[blocks, nv] sums of squared torque errors of given parameters, N^2 m^2."""
        found = np.empty(self.factors.shape[:2])
        for j in range(len(self.joints)):
            found[:, j] = (np.square(self.factors[:, j] @ np.append(x[self.columns(j)], -1.0))).sum(1)
        return found

    def spread(self) -> Float[np.ndarray, "blocks nv"]:
        """[blocks, nv] sums of squared deviations of the torque from its mean in the block, N^2 m^2."""
        size = np.square(self.factors[..., -1]).sum(2)
        return size - self.count[:, None] * self.mean**2


def _triangles(rows: Float[np.ndarray, "many rows columns"]) -> Float[np.ndarray, "many columns columns"]:
    """Triangles of orthogonal factorisations, with rows of zeros where there are fewer rows than columns.

    By torch, whose number of threads one can say: two threads that wait for each other beside other programs take a
    hundred times as long as one for matrices of this size.
    """
    found = torch.linalg.qr(torch.from_numpy(np.ascontiguousarray(rows)), mode="r").R.numpy()
    return np.pad(found, ((0, 0), (0, found.shape[2] - found.shape[1]), (0, 0)))


def inertial_names(bodies: Sequence[str]) -> tuple[str, ...]:
    """m[body], mx[body] (first moment), Ixx[body] (about the body frame's origin), ..."""
    return tuple(f"{ten}[{body}]" for body in bodies for ten in TEN)


def collect(
    regressor: Regressor,
    q: Float[np.ndarray, "time nq"],
    qd: Float[np.ndarray, "rows ..."],
    qdd: Float[np.ndarray, "rows ..."],
    tau: Float[np.ndarray, "time nv"],
    friction: Friction | None = None,
    *,
    blocks: int = 10,
    gap: int = 0,
    bodies: Sequence[str] = (),
    joints: Sequence[str] = (),
    chunk: int = 2048,
) -> Equations:
    """Reduce a recording.

    Args:
        regressor: Y, called on at most `chunk` samples at a time.
        q, qd, qdd: motion, rad or m and its rates.
        tau: measured torque, N m or N. Rows with NaN in tau are left out.
        friction: columns; None: the default ones.
        blocks: of time, equally long, for cross-validation and for intervals that survive correlated errors.
        gap: samples left out between two blocks.
        bodies, joints: names; numbers where none are given.
        chunk: samples.

    Raises:
        SignalError: lengths that differ, motion that is not finite, a regressor of another shape, too few samples.
        ConfigError: fewer than one block, names of another number.
    """
    friction = Friction() if friction is None else friction
    size, nv = tau.shape
    for name, given, width in (("q", q, q.shape[1]), ("qd", qd, nv), ("qdd", qdd, nv)):
        if given.shape != (size, width):
            raise SignalError(f"identification: {name} is {given.shape}, tau {tau.shape}; expected the same rows.")
        bad = ~np.isfinite(given).all(1)
        if bad.any():
            raise SignalError(f"identification: {name}[{int(bad.argmax())}] is not finite. Smooth or cut the motion.")
    if blocks < 1 or gap < 0:
        raise ConfigError(f"identification: blocks={blocks}, gap={gap}; expected one block or more, no gap below 0.")
    edges = np.linspace(0, size, blocks + 1).astype(int)
    if size < blocks or (np.diff(edges) <= gap).any():
        raise SignalError(
            f"identification: {size} samples do not fill {blocks} blocks {gap} samples apart. Take fewer (--blocks)."
        )
    joints = tuple(joints) or tuple(f"joint {i}" for i in range(nv))
    if len(joints) != nv:
        raise ConfigError(f"identification: {len(joints)} joint names for {nv} torques.")
    factors, counts, means = [], [], []
    for low, high in itertools.pairwise(edges):
        rows = np.arange(low, high - (gap if high < size else 0))
        rows = rows[np.isfinite(tau[rows]).all(1)]
        if not len(rows):
            raise SignalError(f"identification: no torque is known in rows {low} to {high}. Take fewer blocks.")
        total: np.ndarray | None = None
        for part in np.array_split(rows, -(-len(rows) // chunk)):
            y = np.asarray(regressor(q[part], qd[part], qdd[part]), float)
            if y.ndim != 3 or y.shape[:2] != (len(part), nv) or y.shape[2] % 10 or not y.shape[2]:
                raise SignalError(
                    f"identification: the regressor gave {y.shape}; expected [{len(part)}, {nv}, 10 a body]."
                )
            own = np.concatenate([y, friction.columns(qd[part], qdd[part]), tau[part][..., None]], axis=2)
            own = np.moveaxis(own, 1, 0)
            total = _triangles(own if total is None else np.concatenate([total, own], axis=1))
        assert total is not None  # rows is not empty
        factors.append(total)
        counts.append(len(rows))
        means.append(tau[rows].mean(0))
    count = (factors[0].shape[2] - 1 - len(friction.names)) // 10
    bodies = tuple(bodies) or tuple(f"body {i}" for i in range(count))
    if len(bodies) != count:
        raise ConfigError(f"identification: {len(bodies)} body names for {count} bodies in the regressor.")
    return Equations(np.stack(factors), np.array(counts), np.stack(means), bodies, joints, friction)


def join(parts: Sequence[Equations]) -> Equations:
    """Several recordings of the same bodies as one, block after block.

    Raises:
        ConfigError: none, or other bodies, joints or friction columns.
    """
    if not parts:
        raise ConfigError("identification: no recording was given.")
    first = parts[0]
    for k, other in enumerate(parts):
        if (other.bodies, other.joints, other.friction) != (first.bodies, first.joints, first.friction):
            raise ConfigError(f"identification: recording {k} has other bodies, joints or friction than the first.")
    factors, count, mean = (np.concatenate([getattr(p, n) for p in parts]) for n in ("factors", "count", "mean"))
    return Equations(factors, count, mean, first.bodies, first.joints, first.friction)


def equations_of(
    model: BodyModel,
    moving: Sequence[int],
    regressor: Regressor,
    recordings: Sequence[Recording],
    friction: Friction,
    settings: IdentifySettings,
) -> Equations:
    """Recordings reduced to blocks that are a gap apart."""
    each = max(1, -(-settings.blocks // len(recordings)))
    bodies = [b.name for b in model.bodies]
    joints = [model.coordinates[k].name for k in moving]
    made = []
    for r in recordings:
        step = float(np.median(np.diff(r.time)))
        gap = min(round(settings.gap / step), len(r.time) // (4 * each)) if each > 1 else 0
        made.append(
            collect(regressor, r.q, r.qd, r.qdd, r.tau, friction, blocks=each, gap=gap, bodies=bodies, joints=joints)
        )
    return join(made)
