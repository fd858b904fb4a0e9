"""`Friction`: columns, linear in their coefficients, of what a joint loses and of what its motor adds.

    tau = ... + v qd + c s(qd) + b s(qd) exp(-|qd / w|^2) + r qdd + o

viscous, Coulomb, the Stribeck rise towards rest, rotor inertia, offset (of the sensor, or Coulomb friction that differs
between the directions). s is the sign, or tanh(qd / width) where a sign would jump at every noisy rest. Width and w are
the only nonlinear numbers: `crossvalidation.choose` tries several.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from invdyn.errors import ConfigError

__all__ = ["Friction"]


@dataclass(frozen=True)
class Friction:
    """Which columns a joint gets; the same for all joints.

    Args:
        viscous: N m per rad/s (N per m/s).
        coulomb: N m (N).
        rotor: kg m^2 (kg), on the joint side.
        offset: N m (N).
        width: rad/s (m/s), of the smoothed sign, of all joints or each; 0: the sign itself.
        stribeck: rad/s (m/s), w above, of all joints or each; None: no such column.

    Raises:
        ConfigError: a negative width, a Stribeck velocity that is not positive.
    """

    viscous: bool = True
    coulomb: bool = True
    rotor: bool = True
    offset: bool = True
    width: float | tuple[float, ...] = 0.0
    stribeck: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not (np.asarray(self.width) >= 0).all():
            raise ConfigError(f"friction: width={self.width}; expected zero (the sign itself) or positive velocities.")
        if self.stribeck is not None and not (np.asarray(self.stribeck) > 0).all():
            raise ConfigError(f"friction: stribeck={self.stribeck}; expected positive velocities, or None.")

    @classmethod
    def none(cls) -> Friction:
        """No columns: the rigid bodies alone."""
        return cls(viscous=False, coulomb=False, rotor=False, offset=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns of a joint, in their order."""
        there = {
            "viscous": self.viscous,
            "coulomb": self.coulomb,
            "stribeck": self.stribeck is not None,
            "rotor": self.rotor,
            "offset": self.offset,
        }
        return tuple(name for name, used in there.items() if used)

    @property
    def positive(self) -> tuple[bool, ...]:
        """Which coefficients no passive joint can have below zero."""
        return tuple(name in ("viscous", "coulomb", "rotor") for name in self.names)

    def columns(
        self, qd: Float[np.ndarray, "time nv"], qdd: Float[np.ndarray, "time nv"]
    ) -> Float[np.ndarray, "time nv k"]:
        """[T, nv, k] what one unit of each coefficient adds to the joint's own torque.

        Raises:
            ConfigError: widths or Stribeck velocities for another number of joints.
        """
        for what, given in (("width", self.width), ("stribeck", self.stribeck)):
            if isinstance(given, tuple) and len(given) != qd.shape[1]:
                raise ConfigError(
                    f"friction: {what} names {len(given)} joints, the motion has {qd.shape[1]}. Give one each, or one."
                )
        width = np.broadcast_to(np.asarray(self.width, float), qd.shape[1:])
        soft = width > 0
        sign = np.where(soft, np.tanh(qd / np.where(soft, width, 1.0)), np.sign(qd))
        made = {"viscous": qd, "coulomb": sign, "rotor": qdd, "offset": np.ones_like(qd)}
        if self.stribeck is not None:
            made["stribeck"] = sign * np.exp(-((qd / np.asarray(self.stribeck, float)) ** 2))
        return np.stack([made[name] for name in self.names], axis=2) if self.names else np.zeros((*qd.shape, 0))
