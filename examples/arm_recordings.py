"""Recordings of real arms as `arm_inverse_dynamics.py` takes them: rows to train on, rows to test on, a regressor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invdyn.bodies.files import load_model
from invdyn.cli.output import note
from invdyn.episodes.smooth import smooth
from invdyn.forces.identification.body_regressor import body_regressor
from invdyn.forces.learned.rigid_body import Regressor
from invdyn.forces.learned.rows import TorqueRows, time_blocks

__all__ = ["ARMS", "REFERENCE", "Arm"]

BLOCKS, EDGE = 20, 25  # stretches of a recording; smoothed samples dropped at either end of a part
ROWS = 4000  # of a recording to train on, evenly spaced: its neighbours in time are nearly copies

REFERENCE = {
    "sarcos": {
        "linear, data's README": (0.071, 0.119, 0.106, 0.059, 0.131, 0.276, 0.069),
        "kernel ridge, data's README": (0.028, 0.026, 0.020, 0.010, 0.032, 0.036, 0.013),
    },
    "panda_gaz2019": {"rigid body, data's README": (0.043, 0.002, 0.006, 0.011, 0.027, 0.030, 0.072)},
    "ur10_unisa": {"rigid body, data's README": (0.033, 0.015, 0.005, 0.015, 0.115, 0.071)},
}
"""nMSE of others on the same recordings; of the Panda and the UR10 with another smoother and a few rows more."""


@dataclass(frozen=True)
class Arm:
    train: TorqueRows
    test: TorqueRows
    regressor: Regressor | None = None
    independent: bool = False
    """Rows are shuffled, so each is a block of its own."""
    moment: np.ndarray | None = None
    """[test rows] the same number for the same moment of repeats that were driven by the same torque."""


def sarcos(folder: Path) -> Arm:
    given, test = (np.load(folder / f"sarcos_{n}.npz") for n in ("train_single_torque", "test_rows_0000_2999"))
    keep = ~given["also_in_test"]
    tau = np.full((int(keep.sum()), 7), np.nan)
    tau[np.arange(len(tau)), given["joint"][keep]] = given["torque"][keep]
    motion = (given[name][keep].astype(float) for name in ("q", "qd", "qdd"))
    whole = (test[name].astype(float) for name in ("q", "qd", "qdd", "tau"))
    rows = TorqueRows(*motion, tau, np.arange(len(tau)))
    return Arm(rows, TorqueRows(*whole, np.arange(len(test["q"]))), independent=True)


def cut(clock: np.ndarray, q: np.ndarray, tau: np.ndarray, first: int = 0) -> tuple[TorqueRows, TorqueRows]:
    """First two thirds and last third, each smoothed by itself; block numbers from `first`."""
    made = []
    for part in (slice(0, 2 * len(q) // 3), slice(2 * len(q) // 3, len(q))):
        found = smooth(clock[part], q[part].astype(float))
        inner = slice(EDGE, len(found.position) - EDGE)
        motion = (x[inner] for x in (found.position, found.velocity, found.acceleration))
        torque = tau[part][inner].astype(float)
        made.append(TorqueRows(*motion, torque, first + time_blocks(len(torque), min(BLOCKS, len(torque)))))
    return made[0].thinned(ROWS), made[1]


def urdf(models: Path, name: str, joints: int) -> Regressor | None:
    """Of the first joints of a model; other joints (fingers) stand still."""
    found = sorted(models.rglob(name))
    if not found:
        note(f"no {name} under {models}: no rigid body for it; pass --models DIR, or pip install example-robot-data")
        return None
    model = load_model(found[0])
    whole, more = body_regressor(model), model.nv - joints

    def regressor(*motion: np.ndarray) -> np.ndarray:
        padded = [np.concatenate([x, np.zeros((len(x), more))], 1) for x in motion]
        return whole(*padded)[:, :joints]

    return regressor


def panda(folder: Path, models: Path) -> Arm:
    given = np.load(folder / "panda_excitation_first80.npz")
    return Arm(*cut(given["t"], given["q"], given["tau"]), urdf(models, "panda.urdf", 7))


def ur10(folder: Path, models: Path) -> Arm:
    given = np.load(folder / "ur10_exciting.npz")
    return Arm(*cut(given["t"], given["q"], given["tau"]), urdf(models, "ur10_robot.urdf", 6))


def two_links(q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
    """[N, 2, 5]: I1 + m2 l1^2, I2, m2 l1 r2, (m1 r1 + m2 l1) g, m2 r2 g; angles from hanging down, relative."""
    (q1, q2), (v1, v2), (a1, a2) = q.T, qd.T, qdd.T
    c, s, zero = np.cos(q2), np.sin(q2), np.zeros_like(q1)
    first = [a1, a1 + a2, c * (2 * a1 + a2) - s * (2 * v1 * v2 + v2**2), np.sin(q1), np.sin(q1 + q2)]
    second = [zero, a1 + a2, c * a1 + s * v1**2, zero, np.sin(q1 + q2)]
    return np.stack([np.stack(first, -1), np.stack(second, -1)], 1)


def double_pendulum(folder: Path) -> Arm:
    run = np.load(folder / "runs.npz")["design_A.0__20220812__20220812-061157-PM_measured"].astype(float)
    return Arm(*cut(run[:, 0], run[:, 1:3], run[:, 5:7]), two_links)


def schunk(folder: Path) -> Arm:
    """Each input sequence has up to 20 repeats; the last third of every repeat is held out."""
    given = np.load(folder / "schunk_train.npz")
    parts, moments = [], []
    for kind, name in enumerate(sorted(k[2:] for k in given.files if k.startswith("u_"))):
        for x in given[f"x_{name}"]:
            tau = given[f"u_{name}"]
            parts.append(cut(given[f"t_{name}"][: len(tau)], x[: len(tau), :6], tau, first=BLOCKS * kind))
            moments.append(10_000 * kind + np.arange(len(parts[-1][1])))
    names = ("q", "qd", "qdd", "tau", "block")
    train, test = (TorqueRows(*(np.concatenate([getattr(p[i], n) for p in parts]) for n in names)) for i in (0, 1))
    # Repeats are alike at the same time, so a block is a stretch of time in all repeats of an input.
    return Arm(train.thinned(ROWS), test, moment=np.concatenate(moments))


ARMS: dict[str, Callable[[Path, Path], Arm]] = {
    "sarcos": lambda data, models: sarcos(data / "sarcos"),
    "panda_gaz2019": lambda data, models: panda(data / "panda_gaz2019", models),
    "ur10_unisa": lambda data, models: ur10(data / "ur10_unisa", models),
    "double_pendulum_dfki": lambda data, models: double_pendulum(data / "double_pendulum_dfki"),
    "schunk_lwa6dof": lambda data, models: schunk(data / "schunk_lwa6dof"),
}
"""From the folder of recordings and the folder of URDF files."""
