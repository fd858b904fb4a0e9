"""How parameters are fitted: `IdentifySettings`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from invdyn.errors import ConfigError, unknown_name
from invdyn.forces.identification.friction import Friction

__all__ = ["TERMS", "IdentifySettings", "Method"]

Method = Literal["ols", "wls", "feasible", "log-cholesky"]
TERMS = ("viscous", "coulomb", "stribeck", "rotor", "offset")


@dataclass(frozen=True)
class IdentifySettings:
    """How parameters are fitted.

    Args:
        method: `ols`, `wls` (base parameters alone), `feasible` (semidefinite program), `log-cholesky`.
        friction: columns of every joint, see `Friction`.
        width: of the smoothed sign, rad/s or m/s, of all joints; None: chosen by blocks left out.
        stribeck: the Stribeck velocity, likewise.
        prior: strength that holds physically consistent fits near the given model, see `fit_feasible`. 0: none.
        blocks: of time, in all recordings together, for cross-validation and intervals. gap: s between two of them.
        level: coverage of the intervals.
        horizon: s of the replay forward.
    """

    method: str = "feasible"
    friction: tuple[str, ...] = ("viscous", "coulomb", "rotor", "offset")
    width: float | None = None
    stribeck: float | None = None
    prior: float = 1.0
    blocks: int = 10
    gap: float = 0.1
    level: float = 0.95
    horizon: float = 0.25

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise unknown_name("method (--method)", self.method, get_args(Method))
        for term in self.friction:
            if term not in TERMS:
                raise unknown_name("friction term (--friction)", term, TERMS)
        if not 0 < self.level < 1:
            raise ConfigError(f"--level {self.level:g}: expected a share between 0 and 1, for example 0.95.")
        if self.blocks < 3:
            raise ConfigError(f"--blocks {self.blocks}: expected 3 or more, or nothing tells the scatter.")
        if self.prior < 0:
            raise ConfigError(f"--prior {self.prior:g}: expected zero or a positive strength.")
        if self.horizon <= 0:
            raise ConfigError(f"--horizon {self.horizon:g} s: expected a positive number, for example 0.25.")
        if self.stribeck is not None and "stribeck" not in self.friction:
            raise ConfigError(f"--stribeck {self.stribeck:g} without that term. Add it: --friction ... stribeck.")
        if self.width is not None and not {"coulomb", "stribeck"} & set(self.friction):
            raise ConfigError(f"--width {self.width:g} smooths the sign of Coulomb friction, which --friction lacks.")
        if self.width is not None and not 0 <= self.width < math.inf:
            raise ConfigError(
                f"--width {self.width:g}: expected a velocity, or 0 for the sign itself, for example 0.05."
            )
        if self.stribeck is not None and not 0 < self.stribeck < math.inf:
            raise ConfigError(f"--stribeck {self.stribeck:g}: expected a velocity above zero, for example 0.1.")

    def columns(self, width: tuple[float, ...] | float, stribeck: tuple[float, ...] | float | None) -> Friction:
        """The friction columns with these nonlinear numbers."""
        there = {name: name in self.friction for name in ("viscous", "coulomb", "rotor", "offset")}
        return Friction(**there, width=width, stribeck=stribeck if "stribeck" in self.friction else None)
