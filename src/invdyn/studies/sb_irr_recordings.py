"""Populations from recordings: particles in a vortex of the Gulf of Mexico, cells, gaits, a double pendulum."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invdyn.diffusion.bridges_families import vortex
from invdyn.diffusion.bridges_fields import gradient_bumps, polynomial, second_order
from invdyn.episodes import open_dataset
from invdyn.studies.part import generators
from invdyn.studies.sb_irr_config import Problem, SbIrrConfig

__all__ = ["FOLDERS", "recorded"]

FOLDERS = {
    "gulf": "sb_populations",
    "embryoid": "sb_populations",
    "pbmc": "sb_populations",
    "walk": "mocap_deepmimic",
    "trot": "mocap_deepmimic",
    "cmu": "mocap_cmu_dm_control",
    "pendulum": "double_pendulum_dfki",
}
"""Which folder each needs."""


def recorded(name: str, folder: Path, config: SbIrrConfig, seed: int) -> Problem:
    """A population of recordings in a folder as `FOLDERS` names it; the seed draws which particles are taken."""
    g, _ = generators(seed, name)
    return READERS[name](folder, config, g)


def _taken(sets: list[Tensor], most: int, g: torch.Generator) -> list[Tensor]:
    return [x[torch.randperm(len(x), generator=g)[:most]] for x in sets]


def _arrays(path: Path) -> list[Tensor]:
    with np.load(path) as file:
        return list(torch.from_numpy(file["X"].astype(np.float64)))


def _gulf(folder: Path, config: SbIrrConfig, g: torch.Generator) -> Problem:
    """11 snapshots of particles carried by a real reanalysis field; units of the file. Seen ones 2 apart (card)."""
    sets = _taken(_arrays(folder / "gulf_of_mexico.npz"), config.cells, g)
    return Problem(sets, [float(k) for k in range(len(sets))], vortex())


def _embryoid(folder: Path, config: SbIrrConfig, g: torch.Generator) -> Problem:
    """5 snapshots of cells, 5 principal components of the file; seen ones 1 apart (card); any gradient field."""
    sets = _taken(_arrays(folder / "embryoid_body_pca5.npz"), config.cells, g)
    centres = torch.cat(sets[::2])[:: max(1, 3 * config.cells // 30)]
    return Problem(sets, [0.5 * k for k in range(len(sets))], gradient_bumps(centres, 1.5, 1.0))


def _pbmc(folder: Path, config: SbIrrConfig, g: torch.Generator) -> Problem:
    """21 hourly snapshots of blood cells in 30 gene programmes; of these 5 principal components; an affine law."""
    sets = _taken(_arrays(folder / "pbmc.npz"), config.cells, g)
    return Problem(_components(sets, 5), [0.5 * k for k in range(len(sets))], polynomial(5, 1, 1.0))


def _components(sets: list[Tensor], count: int) -> list[Tensor]:
    """Principal components of the seen snapshots, in units of the first one's spread."""
    seen = torch.cat(sets[::2])
    _, spread, axes = torch.linalg.svd(seen - seen.mean(0), full_matrices=False)
    return [(x - seen.mean(0)) @ axes[:count].T * (len(seen) ** 0.5 / float(spread[0])) for x in sets]


def _poses(path: Path) -> list[Tensor]:
    """Joint rotations of every episode of a motion file; where the body is in the world is left out."""
    return [torch.from_numpy(np.asarray(e["observation.state"].values, dtype=np.float64)) for e in open_dataset(path)]


def _windows(
    clips: list[Tensor], centres: np.ndarray, half: float, n: int, g: torch.Generator, *, loop: bool
) -> list[Tensor]:
    """n poses around each of the given places (in frames): between frames by a straight line, clips in turn."""
    sets = []
    for centre in centres:
        rows = []
        for k in range(n):
            clip = clips[k % len(clips)]
            place = float(centre) + half * (2 * float(torch.rand((), generator=g, dtype=torch.float64)) - 1)
            place = place % len(clip) if loop else min(max(place, 0.0), len(clip) - 1.0)
            low = int(place)
            high = (low + 1) % len(clip) if loop else min(low + 1, len(clip) - 1)
            rows.append(clip[low] + (place - low) * (clip[high] - clip[low]))
        sets.append(torch.stack(rows))
    return sets


def _gait(clip: str) -> Callable[[Path, SbIrrConfig, torch.Generator], Problem]:
    def read(folder: Path, config: SbIrrConfig, g: torch.Generator) -> Problem:
        """One cycle in 13 snapshots, each the poses within 4 % of the cycle; 3 principal components; an affine law."""
        poses = _poses(folder / clip)
        frames = len(poses[0])
        centres = np.linspace(0, frames, 13)
        sets = _windows(poses, centres, 0.04 * frames, min(50, config.cells), g, loop=True)
        return Problem(_components(sets, 3), [0.5 * k for k in range(13)], polynomial(3, 1, 1.0))

    return read


def _cmu(folder: Path, config: SbIrrConfig, g: torch.Generator) -> Problem:
    """Two clips of 0.3 s together, 5 snapshots of the poses within half a frame; 3 principal components; affine."""
    poses = _poses(folder / "test_trajectories.h5")
    sets = _windows(poses, np.linspace(0.5, len(poses[0]) - 1.5, 5), 0.5, min(50, config.cells), g, loop=False)
    return Problem(_components(sets, 3), [float(k) for k in range(5)], polynomial(3, 1, 1.0))


SWINGS = ("design_C.0__20220914__trajectory_00", "design_C.0__20220914__trajectory_03")
SPAN = 0.36  # s, some 60 % of a swing


def _pendulum(folder: Path, config: SbIrrConfig, g: torch.Generator) -> Problem:
    """7 snapshots over 0.36 s since joint 1 passed its lowest point, from two runs of steady swinging; an affine law.

    A particle is (q1, q2, v1, v2) of one passage, in units of its spread, and each passage is seen in one snapshot
    alone. Passages the other way are mirrored: the arm hangs, and gravity does not know left from right.
    """
    count, states = 7, []
    with np.load(folder / "runs.npz") as file:
        for run, side in itertools.product(SWINGS, (1.0, -1.0)):
            time, state = file[run][:, 0].astype(np.float64), side * file[run][:, 1:5].astype(np.float64)
            before = np.flatnonzero((state[:-1, 0] < 0) & (state[1:, 0] >= 0))
            share = state[before, 0] / (state[before, 0] - state[before + 1, 0])
            starts = time[before] + share * (time[before + 1] - time[before])
            starts = starts[
                (starts > time[0] + 1.0) & (starts + SPAN < time[-1])
            ]  # after the first second it is steady
            at = starts[:, None] + np.linspace(0, SPAN, count)
            states.append(np.stack([np.interp(at, time, column) for column in state.T], -1))
    passages = torch.from_numpy(np.concatenate(states))
    order = torch.randperm(len(passages), generator=g)
    sets = [passages[order[k::count], k][: config.cells] for k in range(count)]
    seen = torch.cat(sets[::2])
    sets = [(x - seen.mean(0)) / seen.std(0) for x in sets]
    return Problem(sets, [0.5 * k for k in range(count)], second_order(2, 1.0))


READERS: Mapping[str, Callable[[Path, SbIrrConfig, torch.Generator], Problem]] = {
    "gulf": _gulf,
    "embryoid": _embryoid,
    "pbmc": _pbmc,
    "walk": _gait("humanoid3d_walk.txt"),
    "trot": _gait("dog3d_trot.txt"),
    "cmu": _cmu,
    "pendulum": _pendulum,
}
