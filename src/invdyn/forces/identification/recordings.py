"""Recordings as identification takes them: motion of the moving joints with its derivatives, and measured torque.

Torque columns are matched with coordinates by the names that our own outputs, OpenSim's and most loggers use; units are
read or asked for, never guessed. A recording is cut in time before it is smoothed, so that no filter looks from the
part that is held out into the part that is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy.interpolate
from jaxtyping import Float

from invdyn.bodies.manifold import plain_numbers
from invdyn.bodies.model import BodyModel
from invdyn.errors import ConfigError, SignalError, unknown_name
from invdyn.forces.torques_columns import Columns, Positions
from invdyn.forces.torques_smoothing import Smoother, smooth_positions

__all__ = [
    "Measured",
    "Recording",
    "match_torques",
    "moving_coordinates",
    "recordings_of",
    "resample",
    "smoothed",
    "split",
    "without_springs",
]

PATTERNS = ("tau.{}", "torque.{}", "effort.{}", "tau_{}", "torque_{}", "effort_{}", "{}.torque", "{}_torque")
"""What the torque column of a coordinate may be called; OpenSim's `_moment` and `_force` besides."""
UNITS = {
    True: {"Nm": 1.0, "mNm": 1e-3, "kNm": 1e3, "Ncm": 1e-2},
    False: {"N": 1.0, "mN": 1e-3, "kN": 1e3},
}
EDGE = 25  # smoothed samples left out at either end of a part, where there is no motion on one side


@dataclass(frozen=True)
class Measured:
    """A recording as read.

    Attributes:
        positions: of the model.
        tau: [T, k] N m or N of the moving coordinates, NaN where missing.
    """

    positions: Positions
    tau: Float[np.ndarray, "time k"]

    def part(self, first: int, last: int) -> Measured:
        """Some of the steps; less than all are told by messages."""
        whole, rows = self.positions, slice(first, last)
        origin = whole.origin if last - first == len(whole.time) else f"{whole.origin}, steps {first} to {last}"
        positions = replace(whole, time=whole.time[rows], q=whole.q[rows], origin=origin)
        return Measured(positions, self.tau[rows])


@dataclass(frozen=True)
class Recording:
    """Motion and torque of the k moving coordinates.

    Attributes:
        time: [T] s. q, qd, qdd: [T, k] rad or m and rates. tau: [T, k] N m or N, NaN where missing.
        cutoff: [k] Hz of the smoother, NaN where it has none.
        origin: file and part.
    """

    time: Float[np.ndarray, " time"]
    q: Float[np.ndarray, "time k"]
    qd: Float[np.ndarray, "time k"]
    qdd: Float[np.ndarray, "time k"]
    tau: Float[np.ndarray, "time k"]
    cutoff: Float[np.ndarray, " k"]
    origin: str


def moving_coordinates(model: BodyModel, recorded: Sequence[bool]) -> tuple[int, ...]:
    """Velocity numbers whose positions were recorded, [nq] flags as in `Positions.recorded`."""
    number = dict(zip(*plain_numbers(model)))
    return tuple(sorted(number[i] for i, there in enumerate(recorded) if there))


def match_torques(
    model: BodyModel,
    moving: Sequence[int],
    columns: Columns,
    *,
    named: Mapping[str, str] | None = None,
    units: Sequence[str] = (),
) -> Float[np.ndarray, "time k"]:
    """Torques of the moving coordinates out of columns, N m or N.

    Args:
        named: coordinate -> its column, where the name is none of the usual ones.
        units: of columns whose file does not say it, one for N m and one for N at most.

    Raises:
        UnknownNameError: names that are not there. SignalError: a coordinate without column, a unit nobody tells.
        ConfigError: a unit that the file contradicts.
    """
    names, named = [model.coordinates[k].name for k in moving], dict(named or {})
    for given in named:
        if given not in names:
            raise unknown_name(f"moving coordinate of model {model.name!r}", given, names)
    for column in named.values():
        if column not in columns.names:
            raise unknown_name(f"column of {columns.origin}", column, columns.names)
    tau = np.zeros((len(columns.time), len(names)))
    for i, (k, name) in enumerate(zip(moving, names)):
        turns = model.coordinates[k].rotational
        usual = [p.format(name) for p in PATTERNS] + [f"{name}_{'moment' if turns else 'force'}"]
        there = [named[name]] if name in named else [c for c in usual if c in columns.names]
        if not there:
            near = ", ".join(columns.names[:8]) + (" ..." if len(columns.names) > 8 else "")
            raise SignalError(
                f"{columns.origin}: no torque for {name!r} of model {model.name!r}; expected a column such as "
                f"{usual[0]!r}, it has {near}. Pass --torques {name}=COLUMN, or --torque-signal."
            )
        if len(there) > 1:
            raise SignalError(
                f"{columns.origin}: torque of {name!r} stands in {' and '.join(map(repr, there))}. "
                f"Pass --torques {name}={there[0]} to choose."
            )
        at = columns.names.index(there[0])
        tau[:, i] = columns.values[:, at] * _factor(columns, at, turns, units)
    return tau


def _factor(columns: Columns, at: int, turns: bool, units: Sequence[str]) -> float:
    """To N m or N."""
    known = UNITS[turns]
    name, told = columns.names[at], _plain(columns.angles[at])
    given = [u for u in map(_plain, units) if u in known]
    strange = [u for u in units if _plain(u) not in UNITS[True] | UNITS[False]]
    if strange:
        raise unknown_name("torque unit (--torque-units)", strange[0], UNITS[True] | UNITS[False])
    if len(given) > 1:
        raise ConfigError(f"--torque-units {' '.join(units)}: two units of one kind. Leave one out.")
    if not told and not given:
        values = columns.values[:, at]
        span = f"spans {np.nanmin(values):.4g} ... {np.nanmax(values):.4g}" if np.isfinite(values).any() else "is empty"
        raise SignalError(
            f"{columns.origin}: torque column {name!r} {span} without a unit; expected one of {', '.join(known)}. "
            f"Pass --torque-units {next(iter(known))} to settle it."
        )
    if told and told not in known:
        kind = "torque" if turns else "force"
        raise SignalError(
            f"{columns.origin}: column {name!r} is in {columns.angles[at]!r}; expected {', '.join(known)} of a {kind}. "
            "Convert it, or name the right column with --torques."
        )
    if told and given and told != given[0]:
        raise ConfigError(
            f"{columns.origin}: column {name!r} is in {told} by the file, --torque-units says {given[0]}. Leave it out."
        )
    return known[told or given[0]]


def _plain(unit: str) -> str:
    """`N m`, `N·m`, `N*m` -> `Nm`."""
    return "".join(c for c in unit if c.isalnum())


def resample(
    time: Float[np.ndarray, " steps"], columns: Columns, values: Float[np.ndarray, "rows k"]
) -> Float[np.ndarray, "steps k"]:
    """Torques of another file at the times of the motion, linear between its rows, NaN outside of them.

    Raises:
        SignalError: the clocks do not overlap.
    """
    if columns.time[-1] < time[0] or columns.time[0] > time[-1]:
        raise SignalError(
            f"{columns.origin}: its clock runs from {columns.time[0]:g} to {columns.time[-1]:g} s, the motion's from "
            f"{time[0]:g} to {time[-1]:g} s; expected the same clock. Shift one of them."
        )
    made = [np.interp(time, columns.time, x, left=np.nan, right=np.nan) for x in values.T]
    return np.stack(made, axis=1)


def recordings_of(
    model: BodyModel,
    moving: Sequence[int],
    measured: Measured,
    held_out: float = 0.0,
    *,
    smoother: Smoother = "rts",
    cutoff: float | None = None,
    lag: float = 0.0,
) -> tuple[Recording, Recording | None]:
    """Smooth and differentiate, in two parts: what is fitted, and the last part, held out.

    Args:
        held_out: share of the recording's steps; 0 for none.
        smoother, cutoff: see `smooth_positions`.
        lag: s by which the torque was recorded late.

    Returns:
        the part to fit, and the part held out (None without).

    Raises:
        SignalError: parts too short to smooth, torque missing everywhere.
        ConfigError: a share outside [0, 1).
    """
    first, last = split(measured, held_out)
    made = partial(smoothed, model, moving, smoother=smoother, cutoff=cutoff, lag=lag)
    return made(first), None if last is None else made(last)


def split(measured: Measured, held_out: float) -> tuple[Measured, Measured | None]:
    """A recording before and after the step from which on a share of it is held out; None for no share.

    Raises:
        ConfigError: a share outside [0, 1).
    """
    if not 0 <= held_out < 1:
        raise ConfigError(f"--held-out {held_out:g}: expected a share from 0 to below 1, for example 0.2.")
    size = len(measured.positions.time)
    edge = round(size * (1 - held_out))
    return measured.part(0, edge), measured.part(edge, size) if held_out else None


def smoothed(
    model: BodyModel,
    moving: Sequence[int],
    measured: Measured,
    *,
    smoother: Smoother = "rts",
    cutoff: float | None = None,
    lag: float = 0.0,
) -> Recording:
    """Smooth and differentiate all of a recording; see `recordings_of`."""
    origin, steps = measured.positions.origin, len(measured.positions.time)
    if steps < 20:
        raise SignalError(f"{origin}: {steps} samples; expected 20 or more. Record more, or hold less out.")
    motion = smooth_positions(model, measured.positions, smoother, cutoff)
    inner = slice(min(EDGE, steps // 20), steps - min(EDGE, steps // 20))
    number = dict(zip(*reversed(plain_numbers(model))))
    time, columns = motion.time, list(moving)
    q, qd, qdd = motion.q[:, [number[k] for k in columns]], motion.v[:, columns], motion.a[:, columns]
    if abs(lag) > (time[-1] - time[0]) / 2:
        raise ConfigError(f"--lag {lag:g} s: {origin} lasts {time[-1] - time[0]:.3g} s. Give a small part of that.")
    if lag:
        then = np.clip(time - lag, time[0], time[-1])
        q, qd, qdd = (scipy.interpolate.CubicSpline(time, x)(then) for x in (q, qd, qdd))
        inner = slice(*np.searchsorted(time - lag, [time[inner][0], time[inner][-1]]))
    tau = measured.tau[inner]
    if not np.isfinite(tau).all(1).any():
        raise SignalError(f"{origin}: no step has the torques of all moving coordinates. Check the torque columns.")
    return Recording(time[inner], q[inner], qd[inner], qdd[inner], tau, motion.cutoff[columns], origin)


def without_springs(model: BodyModel, moving: Sequence[int], recording: Recording) -> Recording:
    """Torque less what the model's springs need: they are known and stay."""
    k, rest = (np.array([getattr(model.coordinates[i], n) for i in moving]) for n in ("stiffness", "rest"))
    return replace(recording, tau=recording.tau - k * (recording.q - rest)) if k.any() else recording
