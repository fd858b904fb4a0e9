"""Flights of a quadrotor in a wind tunnel as `neural_fly_residual.py` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["PERIOD", "WIND", "Flight", "flights"]

WIND = {"nowind": 0.0, "35wind": 4.2, "70wind": 8.5, "100wind": 12.1}  # m/s, the data's README
PERIOD = 0.02  # s


@dataclass(frozen=True)
class Flight:
    name: str
    wind: float
    """m/s."""
    state: np.ndarray
    """[T, 16] velocity (m/s), rotation matrix, motor commands in thousands."""
    force: np.ndarray
    """[T, 3] N, residual force as recorded, in the world."""
    told: np.ndarray
    """[T, 3, 2] what mass and weight multiply in it: acceleration; up minus the thrust as a share of the weight."""


def rotation(q: np.ndarray) -> np.ndarray:
    """[T, 3, 3] body to world from [T, 4] quaternions, scalar last."""
    x, y, z, w = q.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], 1)


def flights(file: Path) -> list[Flight]:
    given = np.load(file)
    names = [str(c) for c in given["columns"]]
    found = []
    for key in sorted(set(given.files) - {"columns"}):
        table_ = given[key].astype(float)

        def columns(name: str, count: int, table_: np.ndarray = table_) -> np.ndarray:
            return table_[:, [names.index(f"{name}{i}") for i in range(count)]]

        v, turn = columns("v", 3), rotation(columns("q", 4))
        share = table_[:, names.index("T_sp")] / table_[:, names.index("hover_throttle")]  # of the weight
        a = np.zeros_like(v)
        a[2:-2] = (v[:-4] - 8 * v[1:-3] + 8 * v[3:-1] - v[4:]) / (12 * PERIOD)
        told = np.stack([a, np.array([0, 0, 1.0]) - turn[..., 2] * share[:, None]], -1)
        state = np.concatenate([v, turn.reshape(-1, 9), columns("pwm", 4) / 1000], 1)
        inner = slice(2, -2)
        wind = WIND[key.split("_")[1]]
        found.append(Flight(key, wind, state[inner], columns("fa", 3)[inner], told[inner]))
    return found
