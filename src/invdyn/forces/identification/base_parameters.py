"""`BaseParameters`: the combinations of inertial and friction parameters that torque depends on.

Many parameters never show alone (the mass of the first link of an arm shows not at all). A pivoted orthogonal
factorisation picks as many independent columns as the rank is and writes the others as their combinations
(Gautier 1991): Y x = Y_1 (x_1 + K x_2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float, Int

from invdyn.errors import SignalError

__all__ = ["CUT", "BaseParameters", "base_parameters"]

CUT = 1e-9
"""Singular values below this part of the largest count as zero (card)."""

ROUND = 1e-11
"""Coefficients of combinations below this are round-off of the elimination, no lever arm."""


@dataclass(frozen=True)
class BaseParameters:
    """Attributes:
    names: of all parameters [P].
    independent: [rank] numbers of the parameters whose columns were kept, ascending.
    combine: [rank, P] base parameters = combine @ parameters; the identity on the independent ones.
    singular: [P] singular values of the stacked regressor, descending.
    """

    names: tuple[str, ...]
    independent: Int[np.ndarray, " rank"]
    combine: Float[np.ndarray, "rank p"]
    singular: Float[np.ndarray, " p"]

    @property
    def rank(self) -> int:
        return len(self.independent)

    @property
    def condition(self) -> float:
        """Largest over smallest nonzero singular value: how unequally well the combinations are told."""
        return float(self.singular[0] / self.singular[self.rank - 1])

    def of(self, x: Float[np.ndarray, " p"]) -> Float[np.ndarray, " rank"]:
        """Values of the base parameters."""
        return self.combine @ x

    def identifiable(self) -> tuple[str, ...]:
        """Parameters that torque tells by themselves, in no combination."""
        alone = [i for i, row in zip(self.independent, self.combine) if np.count_nonzero(row) == 1]
        return tuple(self.names[i] for i in alone)

    def invisible(self) -> tuple[str, ...]:
        """Parameters that torque does not depend on."""
        return tuple(n for n, column in zip(self.names, self.combine.T) if not column.any())

    def expressions(self, digits: int = 4) -> tuple[str, ...]:
        """Each base parameter as a sum, the independent parameter first: `mx[arm] + 0.3 m[hand]`."""
        found = []
        for i, row in zip(self.independent, self.combine):
            text = self.names[i]
            for k in np.flatnonzero(row):
                if k != i:
                    size = "" if abs(abs(row[k]) - 1) < 1e-9 else f"{abs(row[k]):.{digits}g} "
                    text += f" {'-' if row[k] < 0 else '+'} {size}{self.names[k]}"
            found.append(text)
        return tuple(found)


def base_parameters(
    matrix: Float[np.ndarray, "rows p"], names: Sequence[str] | None = None, cut: float = CUT
) -> BaseParameters:
    """Base parameters of a stacked regressor, or of its triangle (`Equations.triangle().matrix`).

    Args:
        matrix: [n, P].
        names: of the columns; numbers where none are given.
        cut: of singular values, a part of the largest.

    Raises:
        SignalError: not finite, all zero, or names of another number.
    """
    size = matrix.shape[1]
    names = tuple(names) if names is not None else tuple(f"p{i}" for i in range(size))
    if len(names) != size:
        raise SignalError(f"base parameters: {len(names)} names for {size} columns.")
    if not np.isfinite(matrix).all() or not matrix.any():
        raise SignalError("base parameters: the regressor is zero or not finite. Give motion that moves every joint.")
    singular = np.zeros(size)
    found = torch.linalg.svdvals(torch.from_numpy(matrix)).numpy()
    singular[: len(found)] = found
    rank = int((found > cut * found[0]).sum())
    factor, order = scipy.linalg.qr(matrix, mode="r", pivoting=True)
    kept = np.sort(order[:rank])
    # Kept columns in their own order: the combination does not depend on it, readers do.
    upper = factor[:rank]
    rest = order[rank:]
    combine = np.zeros((rank, size))
    within = scipy.linalg.solve_triangular(upper[:, :rank], upper[:, rank:])
    within[np.abs(within) < ROUND] = 0.0
    rows = np.argsort(order[:rank])
    combine[np.arange(rank), kept] = 1.0
    combine[np.ix_(np.arange(rank), rest)] = within[rows]
    return BaseParameters(names, kept, combine, singular)
