"""Torques written down: an episode of a Dataset, a CSV table, an OpenSim table, a summary."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats import write_dataset
from invdyn.episodes.formats.atomic import appearing
from invdyn.episodes.formats.opensim_tables import Table, write_table
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.errors import ConfigError
from invdyn.forces.torques import Torques
from invdyn.forces.torques_columns import frame_rate, position_kinds, position_names

__all__ = ["check_target", "episode_of", "summary_of", "write_torques"]

MODEL = "inferred:inverse dynamics"
ROWS = 4096
"""Rows of a table turned into text at a time."""
UNITS = {"angle": "rad", "length": "m", "quaternion": ""}


def episode_of(found: Torques, task: str = "", metadata: dict[str, Any] | None = None) -> Episode:
    """One episode: positions, velocities, accelerations, torques as a label of `force.torque`, contacts, residual.

    Signals: `observation.state` [nq], `observation.velocity`, `observation.acceleration`, `force.torque` [nv] with
    `label.force.torque.lower`, `.upper` and `.source`, `force.residual` [6], and per contact point
    `force.contact.<name>` [3] N.
    """
    motion, model = found.motion, found.model
    turns = tuple("rad" if c.rotational else "m" for c in model.coordinates)
    names = found.names
    signals = [
        _signal("observation.state", motion.q, position_names(model), [UNITS[k] for k in position_kinds(model)]),
        _signal("observation.velocity", motion.v, names, [f"{u}/s" for u in turns]),
        _signal("observation.acceleration", motion.a, names, [f"{u}/s^2" for u in turns]),
        _signal("force.torque", found.torque, names, found.units, "force"),
        Signal(
            SignalSpec("label.force.torque.source", (), "string", "text"),
            np.full(len(motion.time), MODEL, dtype=object),
        ),
    ]
    if found.std is not None:
        for side, values in (("lower", found.lower), ("upper", found.upper)):
            signals.append(_signal(f"label.force.torque.{side}", values, names, found.units))
    if found.residual is not None:
        axes, units = ("Fx", "Fy", "Fz", "Mx", "My", "Mz"), ("N",) * 3 + ("N m",) * 3
        signals.append(_signal("force.residual", found.residual, axes, units, "force"))
    if found.contacts is not None:
        for k, name in enumerate(found.contacts.names):
            label = f"force.contact.{name.replace('/', '.')}"
            signals.append(_signal(label, found.contacts.force[:, k], ("x", "y", "z"), ("N",) * 3, "force"))
        signals.append(_signal("observation.pressure", found.contacts.pressure.point, ("x", "y", "z"), ("m",) * 3))
    return Episode.from_signals(
        signals, fps=frame_rate(motion.time), timestamp=motion.time, task=task, metadata=metadata or {}
    )


def _signal(name: str, values: np.ndarray, names: Sequence[str], units: Sequence[str], kind: Any = "state") -> Signal:
    told = units[0] if len(set(units)) == 1 else ", ".join(units)
    spec = SignalSpec(name, values.shape[1:], "float64", kind, told, tuple(names))
    there = np.isfinite(values).all(1)
    return Signal(spec, np.ascontiguousarray(values), None if there.all() else there)


def write_torques(
    found: Sequence[Torques], path: Path, tasks: Sequence[str], metadata: dict[str, Any], *, overwrite: bool = False
) -> Path:
    """Write to a `.csv` or `.sto` file (one recording), or to a folder in the native layout; whole or not at all.

    Raises:
        ConfigError: several recordings for one file, or an ending that is neither.
        FormatError: an existing path.
    """
    check_target(path, [f.motion.time for f in found])
    kind = path.suffix.lower()
    if kind:
        with appearing(path, overwrite=overwrite) as staged:
            if kind == ".csv":
                _write_csv(found[0], staged)
            else:
                write_table(force_table(found[0]), staged)
        return path
    episodes = [episode_of(f, task, metadata) for f, task in zip(found, tasks)]
    return write_dataset(Dataset.from_episodes(episodes), path, overwrite=overwrite)


def check_target(path: Path, times: Sequence[Float[np.ndarray, " time"]]) -> None:
    """Whether recordings with these clocks can be written there: better known before hours of work than after.

    Raises:
        ConfigError: several recordings for one file, of several rates for one folder, or an ending that is neither.
    """
    kind = path.suffix.lower()
    if kind not in ("", ".csv", ".sto", ".mot"):
        raise ConfigError(f"{path}: expected .csv, .sto, .mot, or a folder without an ending for a Dataset. Rename it.")
    if kind and len(times) > 1:
        raise ConfigError(
            f"{path}: {len(times)} recordings for one {kind} file. Choose one with --episode N, or name a folder."
        )
    rates = [frame_rate(time) for time in times] if len(times) > 1 else []
    for k, rate in enumerate(rates):
        if abs(rate / rates[0] - 1) > 1e-3:
            raise ConfigError(
                f"{path}: recording {k} has {rate:g} frames/s, the first one {rates[0]:g}. "
                "Write them one by one with --episode N."
            )


def force_table(found: Torques) -> Table:
    """As OpenSim's inverse dynamics tool writes them: `<coordinate>_moment` of rotations, `_force` of the others."""
    names = tuple(f"{n}_{'moment' if u == 'N m' else 'force'}" for n, u in zip(found.names, found.units))
    return Table(names, found.motion.time, found.torque, False, "Inverse Dynamics Generalized Forces")


def _write_csv(found: Torques, path: Path) -> None:
    """`time`, then `tau.<coordinate> [unit]`, `.lower` and `.upper` where there are intervals, every digit kept."""
    head, columns = ["time"], [found.motion.time]
    for k, (name, unit) in enumerate(zip(found.names, found.units)):
        parts = [("", found.torque)]
        if found.std is not None:
            parts += [(".lower", found.lower), (".upper", found.upper)]
        for part, values in parts:
            head.append(f"tau.{name}{part} [{unit}]")
            columns.append(values[:, k])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for first in range(0, len(columns[0]), ROWS):
            writer.writerows(np.stack([c[first : first + ROWS] for c in columns], axis=1).tolist())


def summary_of(found: Torques) -> dict[str, Any]:
    """The numbers of one recording, for JSON."""
    motion, replay = found.motion, found.replay
    rows = []
    for k, (name, unit) in enumerate(zip(found.names, found.units)):
        rows.append(
            {
                "coordinate": name,
                "unit": unit,
                "rms": float(np.sqrt((found.torque[:, k] ** 2).mean())),
                "peak": float(np.abs(found.torque[:, k]).max()),
                "std": None if found.std is None else float(np.sqrt((found.std[:, k] ** 2).mean())),
                "noise_std": _known(0.0 if motion.noise_std[k] < 1e-15 else motion.noise_std[k]),  # below rounding
                "cutoff": _known(motion.cutoff[k]),
                "landing": float(replay.landing[k]),
                "landing_without_torques": float(replay.passive[k]),
                "travelled": float(replay.travelled[k]),
            }
        )
    told: dict[str, Any] = {
        "frames": len(motion.time),
        "seconds": float(motion.time[-1] - motion.time[0]),
        "smoother": motion.method,
        "level": None if found.std is None else found.level,
        "coordinates": rows,
        "replay": {
            "acceleration_error": float(replay.acceleration_error.max()),
            "horizon": replay.horizon,
            "starts": replay.starts,
        },
        "residual": None,
        "contacts": None,
        "cutoffs": None,
    }
    if found.residual_report is not None:
        report = found.residual_report
        told["residual"] = [
            {"axis": n, "rms": a, "peak": b, "rms_percent_bw": c, "peak_percent_bw": d}
            for n, a, b, c, d in zip(
                report.names, *(x.tolist() for x in (report.rms, report.peak, report.rms_percent, report.peak_percent))
            )
        ]
    if found.contacts is not None:
        weight = found.model.mass * float(np.linalg.norm(found.model.gravity))
        sizes = np.linalg.norm(found.contacts.force, axis=2)
        told["contacts"] = [
            {
                "point": n,
                "closed": float(found.contacts.closed[:, k].mean()),
                "lowest": float(found.contacts.height[:, k].min()),
                "mean_percent_bw": float(100 * sizes[:, k].mean() / weight),
                "peak": float(sizes[:, k].max()),
            }
            for k, n in enumerate(found.contacts.names)
        ]
    if found.sweep is not None:
        told["cutoffs"] = [
            {
                "cutoff": float(c),
                "rms": dict(zip(found.names, r.tolist())),
                "change": dict(zip(found.names, d.tolist())),
            }
            for c, r, d in zip(found.sweep.cutoffs, found.sweep.rms, found.sweep.change)
        ]
    return told


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
