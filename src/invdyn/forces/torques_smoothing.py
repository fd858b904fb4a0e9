"""Recorded positions of a model to positions, velocities, accelerations and their covariance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from invdyn.bodies.manifold import difference, plain_numbers
from invdyn.bodies.model import BodyModel
from invdyn.episodes.smooth import smooth, smooth_free, smooth_rotation
from invdyn.episodes.smooth_opensim import opensim_motion
from invdyn.episodes.smooth_rts import FEWEST
from invdyn.errors import ConfigError, SignalError, unknown_name
from invdyn.forces.torques_columns import Positions, frame_rate, position_kinds, position_names

__all__ = ["SmoothMotion", "Smoother", "follow_couplings", "smooth_positions"]

AT_A_TIME, COLUMNS = 600_000, 10
"""Recorded numbers and columns smoothed at a time: long recordings take memory, and time that one likes to watch."""
BRIDGES = ("rts", "spline")
LONGER = 1e-2
"""How far the length of a recorded quaternion may be from 1."""
Smoother = Literal["rts", "butterworth", "spline", "savgol", "opensim", "none"]


@dataclass(frozen=True)
class SmoothMotion:
    """Motion of a model with its derivatives.

    Attributes:
        time: [T] s.
        q: [T, nq] positions; coupled ones follow the others. v, a: [T, nv] velocities, accelerations.
        covariance: [T, nv, 3, 3] of (displacement, velocity, acceleration) of each velocity number given the recording;
            zero where held or coupled; None where the smoother knows none.
        cutoff: [nv] Hz, half power; NaN where nothing was smoothed.
        noise_std: [nv] rad or m, measurement noise; NaN where unknown.
        method: the smoother.
        order: [nv] which derivative was taken for white noise (3 for jerk); 0 where none was.
        correlation: [nv, nv] of the noise between numbers, from what the smoother took away: positions found together
            (markers, vision) err together, and taking them for independent makes intervals several times too wide.
            None for independent.
    """

    time: Float[np.ndarray, " time"]
    q: Float[np.ndarray, "time nq"]
    v: Float[np.ndarray, "time nv"]
    a: Float[np.ndarray, "time nv"]
    covariance: Float[np.ndarray, "time nv 3 3"] | None
    cutoff: Float[np.ndarray, " nv"]
    noise_std: Float[np.ndarray, " nv"]
    method: str
    order: Int[np.ndarray, " nv"]
    correlation: Float[np.ndarray, "nv nv"] | None = None

    def part(self, rows: slice) -> SmoothMotion:
        """Some of the steps."""
        spread = None if self.covariance is None else self.covariance[rows]
        return replace(self, time=self.time[rows], q=self.q[rows], v=self.v[rows], a=self.a[rows], covariance=spread)


def smooth_positions(
    model: BodyModel,
    positions: Positions,
    method: Smoother = "rts",
    cutoff: float | None = None,
    order: Int[np.ndarray, " nv"] | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> SmoothMotion:
    """Smooth and differentiate all positions of a model.

    Quaternions and free joints are always smoothed by `smooth_rotation` and `smooth_free` (RTS on the manifold), at the
    same cut-off.

    Args:
        method: of the other numbers; `opensim` is the filter of OpenSim's inverse dynamics tool, `none` differentiates
            a quintic spline through the recording as it is.
        cutoff: Hz; None: found by likelihood (rts), cross-validation (spline), or the smoother's default (6 Hz).
        order: [nv] of another `SmoothMotion` of these positions: kept where not 0, and not looked for again.
        tell: called with the share that is done.

    Raises:
        UnknownNameError: no such smoother. ConfigError: a cut-off for `none`, or that the steps are too far apart for.
        SignalError: as `smooth`; missing values.
    """
    if method not in get_args(Smoother):
        raise unknown_name("smoother", method, get_args(Smoother))
    if method == "none" and cutoff is not None:
        raise ConfigError(f"--cutoff {cutoff:g} goes with a smoother; --smooth none has none. Leave one of them out.")
    _check_recorded(model, positions, method)
    rate = frame_rate(positions.time)
    if cutoff is not None and method != "opensim" and cutoff >= rate / 2:  # OpenSim takes 0.49 of the rate, and says so
        raise ConfigError(
            f"--cutoff {cutoff:g} Hz: {positions.origin} has {rate:g} steps/s; expected less than half of "
            "that. Lower it."
        )
    time, steps = positions.time, len(positions.time)
    q = positions.q.copy()
    v, a = np.zeros((steps, model.nv)), np.zeros((steps, model.nv))
    covariance = np.zeros((steps, model.nv, 3, 3))
    cut, noise, used = np.full(model.nv, np.nan), np.full(model.nv, np.nan), np.zeros(model.nv, dtype=np.int64)
    at_q, at_v = plain_numbers(model)
    pairs = [(i, k) for i, k in zip(at_q, at_v) if positions.recorded[i]]
    known = method == "rts"
    if pairs:
        i, k = [p[0] for p in pairs], [p[1] for p in pairs]
        values = q[:, i]
        if method in ("opensim", "none"):
            given = (6.0 if cutoff is None else cutoff) if method == "opensim" else None
            found = opensim_motion(time, values, None, given)
            q[:, i], v[:, k], a[:, k] = found.q, found.v, found.a
            cut[k] = np.nan if given is None else given
        else:
            width = max(1, min(COLUMNS, AT_A_TIME // steps))
            for first in range(0, len(i), width):
                here, to = i[first : first + width], k[first : first + width]
                kept = None if order is None or not known else order[to]
                with _named(positions):
                    smoothed = smooth(time, values[:, first : first + width], method, **_fixed(cutoff, kept))
                q[:, here], v[:, to], a[:, to] = smoothed.position, smoothed.velocity, smoothed.acceleration
                cut[to] = smoothed.cutoff
                if known:
                    assert smoothed.covariance is not None
                    assert smoothed.noise_std is not None
                    assert smoothed.order is not None
                    covariance[:, to], noise[to], used[to] = smoothed.covariance, smoothed.noise_std, smoothed.order
                tell((first + len(to)) / model.nv)
    done = len(pairs)
    for body in model.bodies:
        joint = body.joint
        if joint.drive is not None or joint.kind not in ("free", "spherical") or not positions.recorded[joint.q]:
            continue
        if joint.kind == "free":
            rows = slice(joint.v, joint.v + 6)
            moves, turns = (_fixed(cutoff, None if order is None else int(order[joint.v + k])) for k in (0, 3))
            place, turned = q[:, joint.q : joint.q + 3], q[:, joint.q + 3 : joint.q + 7]
            with _named(positions):
                free = smooth_free(time, place, turned, translation=moves, rotation=turns)
            q[:, joint.q : joint.q + 7], v[:, rows], a[:, rows] = free.q, free.v, free.a
            covariance[:, rows] = free.covariance
            assert free.translation.noise_std is not None
            assert free.translation.order is not None
            cut[rows] = [*free.translation.cutoff, *[free.rotation.cutoff] * 3]
            noise[rows] = [*free.translation.noise_std, *[free.rotation.noise_std] * 3]
            used[rows] = [*free.translation.order, *[free.rotation.order] * 3]
        else:
            rows = slice(joint.v, joint.v + 3)
            turns = _fixed(cutoff, None if order is None else int(order[joint.v]))
            with _named(positions):
                turn = smooth_rotation(time, q[:, joint.q : joint.q + 4], **turns)
            q[:, joint.q : joint.q + 4], v[:, rows], a[:, rows] = turn.orientation, turn.omega, turn.alpha
            covariance[:, rows], cut[rows], noise[rows] = turn.covariance, turn.cutoff, turn.noise_std
            used[rows] = turn.order
        done += rows.stop - rows.start
        tell(done / model.nv)
    follow_couplings(model, q, v, a)
    if not known:
        return SmoothMotion(time, q, v, a, None, cut, noise, method, used)
    together = noise_correlation(model, positions.q, q, np.asarray(covariance.any(axis=(0, 2, 3))))
    return SmoothMotion(time, q, v, a, covariance, cut, noise, method, used, together)


def _fixed(cutoff: float | None, order: Any) -> dict[str, Any]:
    """Settings of `smooth` that need not be found."""
    return {name: value for name, value in (("cutoff", cutoff), ("order", order)) if value is not None}


def noise_correlation(
    model: BodyModel,
    recorded: Float[np.ndarray, "time nq"],
    smoothed: Float[np.ndarray, "time nq"],
    noisy: Bool[np.ndarray, " nv"],
) -> Float[np.ndarray, "nv nv"]:
    """[nv, nv] correlation of what smoothing took away, over the steps where everything was recorded.

    Identity where a number has no noise, and altogether with too few such steps to tell.
    """
    together = np.eye(model.nv)
    there = np.where(np.isnan(recorded), smoothed, recorded)
    taken = difference(model, torch.from_numpy(smoothed.T.copy()), torch.from_numpy(there.T.copy())).numpy().T
    number = dict(zip(*reversed(plain_numbers(model))))
    gaps = [np.isnan(recorded[:, number[k]]) for k in np.flatnonzero(noisy) if k in number]
    quaternions = [k for k in np.flatnonzero(noisy) if k not in number]
    gaps += [(taken[:, quaternions] == 0).all(axis=1)] if quaternions else []
    whole = ~np.logical_or.reduce(gaps) if gaps else np.ones(len(taken), bool)
    kept = np.flatnonzero(noisy & (taken[whole].std(axis=0) > 0)) if whole.any() else np.zeros(0, int)
    if len(kept) > 1 and whole.sum() >= 10 * len(kept) ** 0.5:
        together[np.ix_(kept, kept)] = np.corrcoef(taken[whole][:, kept].T)
    return together


def _check_recorded(model: BodyModel, positions: Positions, method: str) -> None:
    """Whether there is enough to smooth; SignalError that names the recording and the number."""
    steps, origin, names = len(positions.time), positions.origin, position_names(model)
    fewest = FEWEST if method in BRIDGES else 6
    if steps < fewest:
        raise SignalError(
            f"{origin}: {steps} steps; --smooth {method} needs {fewest} or more. Give a longer recording."
        )
    kinds = position_kinds(model)
    for i in np.flatnonzero(positions.recorded):
        gaps = np.flatnonzero(np.isnan(positions.q[:, i]))
        if kinds[i] != "quaternion" and method not in BRIDGES and len(gaps):
            raise SignalError(
                f"{origin}: {names[i]!r} is missing at step {gaps[0]} ({len(gaps)} in all); "
                f"--smooth {method} cannot bridge gaps. Use --smooth rts, which can."
            )
        if steps - len(gaps) < FEWEST and method in BRIDGES:
            raise SignalError(
                f"{origin}: {names[i]!r} has {steps - len(gaps)} values in {steps} steps; expected {FEWEST} or more. "
                "Give a longer recording, or --hold it."
            )
        if names[i].endswith(".qx"):
            lengths = np.linalg.norm(positions.q[:, i : i + 4], axis=1)
            off = np.flatnonzero(np.abs(lengths - 1) > LONGER)
            if len(off):
                joint = names[i].removesuffix(".qx")
                raise SignalError(
                    f"{origin}: the quaternion of {joint!r} has length {lengths[off[0]]:.4g} at step {off[0]} "
                    f"({len(off)} in all); expected 1, in the order x y z w. "
                    "Divide it by its length, or name the right columns with --columns."
                )


@contextmanager
def _named(positions: Positions) -> Iterator[None]:
    """What a smoother says, with the recording it says it of."""
    try:
        yield
    except (ConfigError, SignalError) as error:
        raise type(error)(f"{positions.origin}: {str(error).removeprefix('smooth: ')}") from None


def follow_couplings(
    model: BodyModel,
    q: Float[np.ndarray, "steps nq"],
    v: Float[np.ndarray, "steps nv"],
    a: Float[np.ndarray, "steps nv"],
) -> None:
    """Set coupled coordinates from those that decide them, in place: x(q), x' v, x' a + x'' v^2.

    Raises:
        ConfigError: couplings that run in a circle.
    """
    at_q, at_v = plain_numbers(model) if model.couplings else ([], [])
    velocity = dict(zip(at_q, at_v))
    for number in _decided_first(model):
        drive = model.couplings[number]
        k = velocity[number]
        rows = list(torch.from_numpy(np.ascontiguousarray(q.T)))
        q[:, number] = np.asarray(drive.displacement(rows))
        v[:, k], a[:, k] = 0.0, 0.0
        for i, (slope, curvature) in drive.slopes(rows).items():
            s, c = np.asarray(slope), np.asarray(curvature)
            v[:, k] += s * v[:, i]
            a[:, k] += s * a[:, i] + c * v[:, i] ** 2


def _decided_first(model: BodyModel) -> tuple[int, ...]:
    """Coupled position numbers, each after those it follows: a coupled coordinate may decide another."""
    followed = {n: {t.q for t in drive.terms} & set(model.couplings) for n, drive in model.couplings.items()}
    try:
        return tuple(TopologicalSorter(followed).static_order())
    except CycleError as error:
        circle = " follows ".join(repr(position_names(model)[n]) for n in error.args[1])
        raise ConfigError(
            f"model {model.name!r}: {circle}; expected couplings that do not run in a circle. Leave one of them out."
        ) from None
