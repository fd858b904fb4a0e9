"""`Mixing`: a fixed-point iteration theta -> F(theta) that learns from its last steps (Anderson acceleration).

Alternating minimisation crawls where two parameters make up for each other: every turn takes a fixed share of the way.
Of the last few turns it is known where each began and where it led; the combination of them that would have stood still
had F been linear is a better place to go on from (Anderson, J. ACM 12, 1965; Walker and Ni, SIAM J. Numer. Anal. 49,
2011). Ours: a step is kept that leads on (not back) and is at most `reach` times as long as the plain one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Mixing"]

Point = Float[Tensor, " p"]


@dataclass
class Mixing:
    """Where to go on from, given where each turn began and led.

    Args:
        memory: earlier turns it looks back on; 0 goes on from where the last one led.
        reach: longest step beyond that, in steps of the turn itself.
    """

    memory: int
    reach: float = 4.0
    began: list[Point] = field(default_factory=list)
    led: list[Point] = field(default_factory=list)

    def forget(self) -> None:
        """Turns so far say nothing about those to come."""
        self.began.clear()
        self.led.clear()

    def after(self, began: Point, led: Point) -> Point:
        """Where the next turn begins."""
        self.began.append(began)
        self.led.append(led)
        del self.began[: -self.memory - 1], self.led[: -self.memory - 1]
        steps = [b - a for a, b in zip(self.began, self.led)]
        size = float(steps[-1].norm())
        if len(steps) < 2 or size == 0:
            return led
        change = torch.stack([b - a for a, b in pairwise(steps)], 1)
        weights = torch.linalg.lstsq(change, steps[-1][:, None], driver="gelsd").solution[:, 0]
        further = -torch.stack([b - a for a, b in pairwise(self.led)], 1) @ weights
        if float(further @ steps[-1]) < 0:  # the steps grew: no rate of decay to go by
            further = steps[-1]
        return led + further * min(1.0, self.reach * size / max(float(further.norm()), 1e-300))
