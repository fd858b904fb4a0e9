"""The arm of `torques_case` with friction: recordings of motion and torque whose causes are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torques_case import arm_torque, swing, write_csv

VISCOUS, COULOMB, NOISE = (0.3, 0.2), (0.5, 0.4), 0.02


def recorded(seconds: float = 10.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time, position [T, 2] and torque [T, 2] with viscous and Coulomb friction and 0.02 N m of noise."""
    time, q, v, a = swing(seconds)
    tau = arm_torque(q, v, a) + np.array(VISCOUS) * v + np.array(COULOMB) * np.sign(v)
    return time, q, tau + NOISE * np.random.default_rng(seed).normal(size=tau.shape)


def write_run(path: Path, rows: slice = slice(None), *, degrees: bool = False) -> Path:
    """A CSV with units in its header."""
    time, q, tau = recorded()
    unit, factor = ("deg", 180 / np.pi) if degrees else ("rad", 1.0)
    columns = {f"{n} [{unit}]": factor * q[rows, k] for k, n in enumerate(("shoulder", "elbow"))}
    columns |= {f"tau.{n} [N m]": tau[rows, k] for k, n in enumerate(("shoulder", "elbow"))}
    return write_csv(path, time[rows], columns)
