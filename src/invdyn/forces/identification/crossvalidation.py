"""Torque error on blocks of time that a fit did not see, and the choice between settings by it.

Blocks are long and have gaps between them: neighbouring samples of a recording are no independent test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from invdyn.errors import ConfigError, SignalError
from invdyn.forces.identification.equations import Equations
from invdyn.forces.identification.estimate import Estimate

__all__ = ["CrossValidation", "choose", "cross_validate"]

Key = TypeVar("Key")
Fit = Callable[[Equations], Estimate]


@dataclass(frozen=True)
class CrossValidation:
    """Attributes:
    nmse: [blocks, nv] mean squared torque error of each block, left out, over the variance of the recording's torque.
    rmse: [blocks, nv] N m or N.
    joints: names.
    """

    nmse: Float[np.ndarray, "blocks nv"]
    rmse: Float[np.ndarray, "blocks nv"]
    joints: tuple[str, ...]

    @property
    def mean(self) -> Float[np.ndarray, " nv"]:
        """[nv] nMSE over the blocks."""
        return self.nmse.mean(0)

    @property
    def nrmse(self) -> Float[np.ndarray, " nv"]:
        """[nv] root of it."""
        return np.sqrt(self.mean)


def cross_validate(equations: Equations, fit: Fit) -> CrossValidation:
    """Fit without each block in turn, and predict it.

    Args:
        equations: collected with two blocks or more.
        fit: from equations to an estimate.

    Raises:
        ConfigError: a single block.
        SignalError: a joint whose torque never changes.
    """
    count = len(equations.count)
    if count < 2:
        raise ConfigError("cross-validation: the equations are one block. Collect them with blocks=2 or more.")
    total = int(equations.count.sum())
    mean = (equations.mean * equations.count[:, None]).sum(0) / total
    variance = (equations.spread() + equations.count[:, None] * (equations.mean - mean) ** 2).sum(0) / total
    if not (variance > 0).all():
        name = equations.joints[int((variance <= 0).argmax())]
        raise SignalError(f"cross-validation: the torque of {name!r} never changes. Leave the joint out.")
    error = np.empty((count, len(equations.joints)))
    for b in range(count):
        found = fit(equations.take([k for k in range(count) if k != b]))
        error[b] = equations.take([b]).squares(found.unknowns)[0] / equations.count[b]
    return CrossValidation(error / variance, np.sqrt(error), equations.joints)


def choose(
    candidates: Mapping[Key, Callable[[], Equations]], fit: Fit
) -> tuple[Key, dict[Key, Float[np.ndarray, " nv"]]]:
    """The setting (filter, friction model, ...) with the least geometric mean over the joints of the left-out nMSE.

    Args:
        candidates: a setting -> equations collected with it, from the training part alone. The measured torque must
            be the same in all of them, or their errors are not comparable.
        fit: from equations to an estimate.

    Raises:
        ConfigError: nothing to choose from.
    """
    if not candidates:
        raise ConfigError("cross-validation: nothing to choose from.")
    scores = {key: cross_validate(make(), fit).mean for key, make in candidates.items()}
    return min(scores, key=lambda key: float(np.log(scores[key]).mean())), scores
