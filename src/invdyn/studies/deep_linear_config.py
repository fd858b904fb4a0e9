"""Sizes, random streams and data of the deep-linear study."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invdyn.errors import FormatError, require
from invdyn.learning import Correlations, correlations, orthogonal_init
from invdyn.studies.part import Part, generators
from invdyn.studies.study import Context

__all__ = ["DeepLinearConfig", "Part", "generators", "load_correlations", "teacher"]


@dataclass(frozen=True)
class DeepLinearConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = ("exact", "half_times", "order", "depth", "spectra", "tanh", "tree", "inverse", "bend")
    """Which experiments run."""
    strengths: tuple[float, ...] = (5.0, 3.0, 1.5, 0.7)
    """Modes of the synthetic teacher (card)."""
    units: int = 32
    """Units per layer of the synthetic nets (card)."""
    flow_end: float = 5.0
    """Time simulated for the exactness claims, in tau; the step is 1e-4 tau (card)."""
    data: str = "digits"
    """`digits` (scikit-learn's 8x8) or `mnist` (IDX files under --data)."""
    width: int = 80
    """Hidden units of the depth experiment: the paper's ratio, 1000 for 784 pixels, at 61 varying pixels."""
    depths: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Depths of the depth experiment (card: 4 to 64)."""
    starts: int = 8
    """Random orthogonal starts per seed and depth whose epochs are averaged (ours)."""
    gaussian_cap: float = 4.0
    """A Gaussian start is given up at this multiple of its epochs at the least depth (the claim asks for 3)."""
    tanh_units: int = 100
    """Units of the tanh nets (ours); their depth is 100 (card)."""
    tree_starts: int = 10
    """Random starts per seed on the tree data (card)."""
    curves: int = 4
    """Learning curves per seed and depth for the inverse use (ours)."""
    records: int = 2000
    """Losses recorded per curve (ours)."""


def teacher(config: DeepLinearConfig, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Correlations]:
    s = torch.tensor(config.strengths, dtype=torch.float64)
    left, right = (orthogonal_init(config.units, len(s), g)[0] for _ in range(2))
    return left, right, s, Correlations((left * s) @ right.mT)


def load_correlations(data: str, context: Context) -> Correlations:
    """Whitened inputs and standardised one-hot classes of the depth experiment's data set."""
    if data == "digits":
        pixels, classes = require("sklearn.datasets", "studies").load_digits(return_X_y=True)
    else:
        folder = context.need_data("MNIST as train-images-idx3-ubyte and train-labels-idx1-ubyte (.gz or not)")
        images = _idx(folder, "train-images-idx3-ubyte")
        pixels, classes = images.reshape(len(images), -1), _idx(folder, "train-labels-idx1-ubyte")
    targets = np.eye(10)[np.asarray(classes, int)]
    targets = (targets - targets.mean(0)) / targets.std(0)
    return correlations(torch.from_numpy(np.asarray(pixels, float)), torch.from_numpy(targets))


def _idx(folder: Path, name: str) -> np.ndarray:
    """An array of unsigned bytes in the IDX format: magic 0, 0, 8, rank; big-endian sizes; data."""
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise FormatError(f"--data {folder}: no {name} or {name}.gz in it. Put the four MNIST files there.")
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rank = raw[3] if len(raw) > 4 and raw[:3] == b"\0\0\x08" else 0
    shape = (
        tuple(int(n) for n in np.frombuffer(raw, ">u4", rank, 4)) if 0 < rank < 5 and len(raw) >= 4 + 4 * rank else ()
    )
    if not shape or len(raw) != 4 + 4 * rank + int(np.prod(shape, dtype=np.int64)):
        raise FormatError(f"{path}: not an IDX file of bytes, or cut short. Fetch it again.")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)
