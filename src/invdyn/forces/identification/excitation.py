"""Trajectories that make the parameters visible: Fourier series of least condition number, within limits.

    q_j(t) = o_j + sum_k (a_jk sin(k w t) - b_jk (cos(k w t) - 1)) / k,   w = 2 pi / period        (Swevers et al. 1997)

Sums over k of a_jk and of k b_jk vanish, so that the motion starts and ends at rest (velocity and acceleration zero).
Each joint's series is scaled to what its limits allow, by a smooth upper bound of its largest values, so every
candidate keeps the limits and the search (L-BFGS, all differences of a gradient in one call of the regressor) is free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import scipy.optimize
from jaxtyping import Float

from invdyn.errors import ConfigError
from invdyn.forces.identification.base_parameters import base_parameters
from invdyn.forces.identification.equations import Regressor
from invdyn.forces.identification.friction import Friction

__all__ = ["Excitation", "Limits", "design_excitation"]

PER_PERIOD = 12  # samples per period of the highest harmonic, for limits and condition
NORM = 40  # the smooth maximum is a norm of this order
STEP = 1e-6  # of the differences
SOFT = 0.05


@dataclass(frozen=True)
class Limits:
    """Attributes:
    lower, upper: [nv] rad or m.
    velocity: [nv] rad/s or m/s. acceleration: [nv] rad/s^2 or m/s^2. Largest sizes.
    """

    lower: Float[np.ndarray, " nv"]
    upper: Float[np.ndarray, " nv"]
    velocity: Float[np.ndarray, " nv"]
    acceleration: Float[np.ndarray, " nv"]


@dataclass(frozen=True)
class Excitation:
    """A periodic trajectory.

    Attributes:
        offset: [nv] rad or m.
        sine, cosine: [harmonics, nv] of the formula above, rad or m.
        period: s.
        condition: of the base regressor at the samples of the search; `initial`: at its start.
    """

    offset: Float[np.ndarray, " nv"]
    sine: Float[np.ndarray, "harmonics nv"]
    cosine: Float[np.ndarray, "harmonics nv"]
    period: float
    condition: float
    initial: float

    def at(
        self, time: Float[np.ndarray, " steps"]
    ) -> tuple[Float[np.ndarray, "steps nv"], Float[np.ndarray, "steps nv"], Float[np.ndarray, "steps nv"]]:
        """Position, velocity and acceleration at times, s."""
        k = np.arange(1, len(self.sine) + 1) * 2 * np.pi / self.period
        harmonic = np.arange(1, len(self.sine) + 1)[:, None]
        a, b = self.sine / harmonic, self.cosine / harmonic
        sin, cos = np.sin(time[:, None] * k), np.cos(time[:, None] * k)
        position = self.offset + sin @ a - (cos - 1) @ b
        return position, (cos * k) @ a + (sin * k) @ b, -(sin * k**2) @ a + (cos * k**2) @ b


def design_excitation(
    regressor: Regressor,
    limits: Limits,
    *,
    period: float = 10.0,
    harmonics: int = 5,
    friction: Friction | None = None,
    steps: int = 60,
    seed: int = 0,
) -> Excitation:
    """Find a trajectory whose base regressor has a small condition number.

    Args:
        regressor: Y, of joints with as many positions as velocities.
        limits: kept everywhere, not only at the samples of the search.
        period: s.
        harmonics: of 1 / period; three or more.
        friction: columns to be told apart too; None: the default ones. The search cannot descend over a sign that
            jumps: width 0 is taken as a twentieth of the velocity limits here.
        steps: of the search.
        seed: of its start.

    Raises:
        ConfigError: limits that allow no motion, too few harmonics, a period or a number of steps that is not positive.
    """
    nv = len(limits.lower)
    room = (limits.upper - limits.lower) / 2
    for name, given in (("range", room), ("velocity", limits.velocity), ("acceleration", limits.acceleration)):
        bad = ~(np.isfinite(given) & (given > 0))
        if bad.any():
            j = int(bad.argmax())
            raise ConfigError(
                f"excitation: the {name} limit of joint {j} is {given[j]:g}; expected a positive, finite number. "
                "A joint that turns without end needs a range to stay in."
            )
    if harmonics < 3 or period <= 0 or steps < 1:
        raise ConfigError(
            f"excitation: harmonics={harmonics}, period={period:g}, steps={steps}; expected 3 or more harmonics (two "
            "of each joint's numbers are spent on starting at rest), a positive period and at least one step."
        )
    friction = Friction() if friction is None else friction
    if not np.any(friction.width):
        friction = replace(friction, width=tuple(float(v) for v in SOFT * limits.velocity))
    search = _Search(regressor, limits, period, harmonics, friction, nv)
    rng = np.random.default_rng(seed)
    start = np.concatenate([rng.standard_normal(2 * (harmonics - 1) * nv), np.zeros(nv)])
    search.settle(start)
    found = scipy.optimize.minimize(
        search.value_and_slope, start, jac=True, method="L-BFGS-B", options={"maxiter": steps}
    )
    best = search.trajectories(found.x[None])
    first = float(np.exp(search.costs(start[None])[0]))
    offset, sine, cosine = (part[0] for part in best)
    return Excitation(offset, sine, cosine, period, float(np.exp(found.fun)), first)


class _Search:
    """The cost over free numbers [2 (harmonics - 1) nv + nv]: shapes of the series, and where each joint is centred."""

    def __init__(
        self, regressor: Regressor, limits: Limits, period: float, harmonics: int, friction: Friction, nv: int
    ) -> None:
        self.regressor, self.limits, self.period, self.friction, self.nv = regressor, limits, period, friction, nv
        k = np.arange(1, harmonics + 1)
        self.keep_sine = scipy.linalg.null_space(np.ones((1, harmonics)))  # velocity at the start
        self.keep_cosine = scipy.linalg.null_space(k[None].astype(float))  # acceleration at the start
        time = np.arange(PER_PERIOD * harmonics) / (PER_PERIOD * harmonics) * period
        w = 2 * np.pi / period * k
        sin, cos = np.sin(time[:, None] * w), np.cos(time[:, None] * w)
        self.sine = np.stack([sin / k, cos * w / k, -sin * w**2 / k])  # [3, T, harmonics]
        self.cosine = np.stack([-(cos - 1) / k, sin * w / k, cos * w**2 / k])
        # Between samples a series of bounded harmonics exceeds the largest sample by at most this.
        self.between = 1 / np.cos(np.pi / PER_PERIOD)
        self.independent: np.ndarray | None = None

    def trajectories(
        self, free: Float[np.ndarray, "n free"]
    ) -> tuple[Float[np.ndarray, "n nv"], Float[np.ndarray, "n h nv"], Float[np.ndarray, "n h nv"]]:
        """Offset, sine and cosine coefficients that keep the limits."""
        shape = free[:, : -self.nv].reshape(len(free), 2, -1, self.nv)
        a, b = self.keep_sine @ shape[:, 0], self.keep_cosine @ shape[:, 1]
        motion = np.einsum("dth,nhj->ndtj", self.sine, a) + np.einsum("dth,nhj->ndtj", self.cosine, b)
        middle = motion[:, 0].mean(1)
        motion[:, 0] -= middle[:, None]
        size = np.linalg.norm(motion, NORM, axis=2) * self.between  # [n, 3, nv], above the maximum
        room = (self.limits.upper - self.limits.lower) / 2
        used = [size[:, 0] / room, size[:, 1] / self.limits.velocity, size[:, 2] / self.limits.acceleration]
        scale = 1 / np.linalg.norm(np.stack(used), NORM, axis=0)
        # What the motion leaves of the range, the centre may use.
        centre = (self.limits.lower + self.limits.upper) / 2
        centre = centre + np.tanh(free[:, -self.nv :]) * (room - size[:, 0] * scale)
        return centre - middle * scale, a * scale[:, None], b * scale[:, None]

    def stacked(self, free: Float[np.ndarray, "n free"]) -> Float[np.ndarray, "n rows p"]:
        """Regressors with friction columns at the samples of every candidate."""
        offset, a, b = self.trajectories(free)
        motion = np.einsum("dth,nhj->dntj", self.sine, a) + np.einsum("dth,nhj->dntj", self.cosine, b)
        motion[0] += offset[:, None]
        q, qd, qdd = motion.reshape(3, -1, self.nv)
        y = np.asarray(self.regressor(q, qd, qdd), float)
        own = self.friction.columns(qd, qdd)
        wide = np.einsum("tjk,ji->tjik", own, np.eye(self.nv)).reshape(len(q), self.nv, -1)
        return np.concatenate([y, wide], axis=2).reshape(len(free), -1, y.shape[2] + wide.shape[2])

    def settle(self, free: Float[np.ndarray, " free"]) -> None:
        """Choose the base parameters once, at the start."""
        self.independent = base_parameters(self.stacked(free[None])[0]).independent

    def costs(self, free: Float[np.ndarray, "n free"]) -> Float[np.ndarray, " n"]:
        """Logarithms of the condition numbers."""
        y = self.stacked(free)[:, :, self.independent]
        square = np.swapaxes(y, 1, 2) @ y
        values = np.linalg.eigvalsh(square)  # condition below 1e6 here: its square is still told in double precision
        return 0.5 * np.log(values[:, -1] / np.maximum(values[:, 0], 1e-15 * values[:, -1]))

    def value_and_slope(self, free: Float[np.ndarray, " free"]) -> tuple[float, Float[np.ndarray, " free"]]:
        """The cost and its gradient by forward differences, in one call of the regressor."""
        found = self.costs(np.concatenate([free[None], free + STEP * np.eye(len(free))]))
        return float(found[0]), (found[1:] - found[0]) / STEP
