"""`invdyn identify design MODEL OUT.csv`: a trajectory within limits that makes the parameters visible."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from invdyn.cli.bodies import Bodies
from invdyn.cli.options import Flag, new_path
from invdyn.cli.output import note, table
from invdyn.cli.torques_reading import held, pairs
from invdyn.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    import numpy as np

    from invdyn.bodies.model import BodyModel
    from invdyn.forces.identification.excitation import Limits

__all__ = ["Design"]


@dataclass(frozen=True)
class Design:
    """A periodic motion from rest to rest whose regressor has a small condition number.

    Not checked: whether the robot hits itself or its surroundings.
    """

    model: tyro.conf.Positional[Path]
    """Bodies: URDF, MJCF or OpenSim (.osim), with limits of positions and velocities."""
    out: tyro.conf.Positional[Path]
    """CSV file to create: time, then position, velocity and acceleration of every coordinate."""
    acceleration: tuple[str, ...]
    """Largest acceleration, rad/s^2 or m/s^2: one number for all, or `COORDINATE=VALUE` of each."""
    velocity: tuple[str, ...] = ()
    """Largest velocity likewise, where the model says none or a smaller one is wanted."""
    range: tuple[str, ...] = ()
    """`COORDINATE=LOWER:UPPER` (rad or m), where the model says none or a smaller one is wanted."""
    hold: tuple[str, ...] = ()
    """`COORDINATE=VALUE` (rad or m) of coordinates that stand still."""
    bodies: tyro.conf.OmitArgPrefixes[Bodies] = field(default_factory=Bodies)
    period: float = 10.0
    """Seconds until the motion repeats."""
    harmonics: int = 5
    """Of 1 / period."""
    rate: float = 100.0
    """Samples per second."""
    steps: int = 60
    """Of the search."""
    seed: int = 0
    """Of the search's start."""
    overwrite: Flag = False
    """Replace an existing output."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        import numpy as np

        from invdyn.bodies.manifold import plain_numbers
        from invdyn.forces.identification.body_regressor import check_joints, moving_regressor
        from invdyn.forces.identification.excitation import design_excitation

        if self.out.suffix.lower() != ".csv":
            raise ConfigError(f"{self.out}: expected a name that ends in .csv. Rename it.")
        if not self.rate > 0:
            raise ConfigError(f"--rate {self.rate:g}: expected samples per second, for example 100.")
        new_path(self.out, "OUT", overwrite=self.overwrite)
        model = self.bodies.read(self.model)
        check_joints(model)
        number = dict(zip(*reversed(plain_numbers(model))))
        hold = held(self.hold)
        _check_names(model, hold)
        still = model.neutral.copy()
        for name, value in hold.items():
            still[number[model.coordinate(name)]] = value
        moving = [k for k, c in enumerate(model.coordinates) if c.name not in hold]
        if not moving:
            raise ConfigError(f"{self.model}: every coordinate is held. Nothing is left to move.")
        limits = self._limits(model, moving)
        found = design_excitation(
            moving_regressor(model, moving, still),
            limits,
            period=self.period,
            harmonics=self.harmonics,
            steps=self.steps,
            seed=self.seed,
        )
        time = np.arange(round(self.period * self.rate) + 1) / self.rate
        motion = found.at(time)
        _write(self.out, model, moving, time, motion, overwrite=self.overwrite)
        effort = _effort(model, moving, still, motion)
        rows: list[dict[str, Any]] = []
        for j, k in enumerate(moving):
            c, (q, v, a) = model.coordinates[k], (x[:, j] for x in motion)
            rows.append(
                {
                    "coordinate": c.name,
                    "lowest": float(q.min()),
                    "highest": float(q.max()),
                    "fastest": float(np.abs(v).max()),
                    "acceleration": float(np.abs(a).max()),
                    "torque of the model": float(effort[j]),
                    "effort limit": float(c.effort) if np.isfinite(c.effort) and c.effort > 0 else None,
                }
            )
        for row in rows:
            limit = row["effort limit"]
            if limit is not None and row["torque of the model"] > limit:
                note(
                    f"{row['coordinate']}: by the model this motion asks for {row['torque of the model']:.3g}, its "
                    f"effort limit is {limit:g}. Lower --acceleration or --velocity."
                )
        return {
            "model": str(self.model),
            "out": str(self.out),
            "samples": len(time),
            "period": self.period,
            "condition": found.condition,
            "condition_at_start": found.initial,
            "coordinates": rows,
            "offset": found.offset.tolist(),
            "sine": found.sine.tolist(),
            "cosine": found.cosine.tolist(),
        }

    def _limits(self, model: BodyModel, moving: list[int]) -> Limits:
        """Of the moving coordinates: the model's, narrowed or given by the options."""
        import numpy as np

        from invdyn.forces.identification.excitation import Limits

        own = [model.coordinates[k] for k in moving]
        velocity = _each("--velocity", self.velocity, model, [c.velocity for c in own], [c.name for c in own])
        acceleration = _each("--acceleration", self.acceleration, model, [np.inf] * len(own), [c.name for c in own])
        lower, upper = np.array([c.lower for c in own]), np.array([c.upper for c in own])
        ranges = pairs("--range", self.range, "elbow=-1:1")
        _check_names(model, ranges)
        for j, c in enumerate(own):
            if c.name in ranges:
                low, colon, high = ranges[c.name].partition(":")
                option = f"--range {c.name}={ranges[c.name]}"
                if not colon:
                    raise ConfigError(f"{option}: expected LOWER:UPPER in rad or m, for example -1:1.")
                lower[j], upper[j] = _number(option, low), _number(option, high)
                if not c.lower <= lower[j] < upper[j] <= c.upper:
                    raise ConfigError(f"{option}: expected a range within the model's {c.lower:g} to {c.upper:g}.")
            for what, value, option in (
                ("range", upper[j] - lower[j], f"--range {c.name}=LOWER:UPPER"),
                ("velocity limit", velocity[j], f"--velocity {c.name}=VALUE"),
                ("acceleration limit", acceleration[j], f"--acceleration {c.name}=VALUE"),
            ):
                if not (np.isfinite(value) and value > 0):
                    raise ConfigError(
                        f"{self.model}: coordinate {c.name!r} has no {what} to stay within. Pass {option}, or hold it."
                    )
        return Limits(lower, upper, velocity, acceleration)

    def show(self, result: dict[str, Any]) -> None:
        print(
            f"condition {result['condition']:.4g} of the base regressor (the search began at "
            f"{result['condition_at_start']:.4g}); {result['samples']} samples over {result['period']:g} s"
        )
        table(result["coordinates"], title="rad, m, s; N m, N")
        print(f"written: {result['out']}")

    def exit_code(self, result: Any) -> int:
        return 0


def _check_names(model: BodyModel, given: Iterable[str]) -> None:
    names = [c.name for c in model.coordinates]
    for name in given:
        if name not in names:
            raise unknown_name(f"coordinate of model {model.name!r}", name, names)


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is no number; expected rad or m and their rates.") from None


def _each(option: str, given: tuple[str, ...], model: BodyModel, own: list[float], names: list[str]) -> np.ndarray:
    """A limit per coordinate: the smaller of the model's and the one given."""
    import numpy as np

    plain = [g for g in given if "=" not in g]
    if len(plain) > 1:
        raise ConfigError(f"{option} {' '.join(plain)}: one number for all, or COORDINATE=VALUE of each.")
    named = pairs(option, [g for g in given if "=" in g], "elbow=2")
    _check_names(model, named)
    whole = _number(option, plain[0]) if plain else np.inf
    return np.array(
        [min(limit, _number(f"{option} {n}", named[n]) if n in named else whole) for limit, n in zip(own, names)]
    )


def _effort(
    model: BodyModel, moving: list[int], still: np.ndarray, motion: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    """[k] largest torque that the model as given asks for; zero where it weighs nothing."""
    import numpy as np

    from invdyn.forces.identification.body_regressor import moving_regressor
    from invdyn.forces.identification.identify import given_estimate

    given = given_estimate(model, moving)
    if given is None:
        return np.zeros(len(moving))
    return np.asarray(np.abs(given.torque(moving_regressor(model, moving, still), *motion)).max(0))


def _write(
    path: Path,
    model: BodyModel,
    moving: list[int],
    time: np.ndarray,
    motion: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    overwrite: bool,
) -> None:
    """`time`, `<coordinate> [rad]`, `<coordinate>.velocity [rad/s]`, `<coordinate>.acceleration [rad/s^2]`."""
    from invdyn.episodes.formats.atomic import appearing

    head, columns = ["time"], [time]
    for part, rate, values in zip(("", ".velocity", ".acceleration"), ("", "/s", "/s^2"), motion):
        for j, k in enumerate(moving):
            c = model.coordinates[k]
            head.append(f"{c.name}{part} [{'rad' if c.rotational else 'm'}{rate}]")
            columns.append(values[:, j])
    with appearing(path, overwrite=overwrite) as staged, staged.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows([[repr(float(x)) for x in row] for row in zip(*columns)])
