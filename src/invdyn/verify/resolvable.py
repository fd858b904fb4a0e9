"""`resolvable`: for continuous causes, which dimensions leave a trace that a model could see?

From anchored states one dimension of the cause is moved at a time, both ways, and the effect on what follows is
measured. A gripper that is closed against its stop, or a channel without actuator, has none: its truth can be anything,
and explained variance over it says nothing about the model. Saturation is why both ways are tried: a cause at its
bound can still be told apart from a smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from invdyn.episodes.episode import Episode
from invdyn.errors import ConfigError, SignalError
from invdyn.verify.compared import Causes, cause_rows, loaded
from invdyn.verify.onestep import OneStep
from invdyn.worlds.base import World

__all__ = ["Resolvability", "resolvable"]


@dataclass(frozen=True)
class Resolvability:
    """What was found per dimension of the cause.

    Args:
        names: of the dimensions.
        dims: [cause] the verdict: True where at least `share` of the steps resolve the dimension.
        fraction: [cause] share of steps that do.
        effect: [frames, cause] largest effect of moving the dimension by `delta` of its range, over both directions,
            the components compared and the horizon, in units of the one-step scale.
        episode, step: [frames] where each row of `effect` was measured.
        delta, tolerance, horizon, share: as asked.
    """

    names: tuple[str, ...]
    dims: Bool[np.ndarray, " cause"]
    fraction: Float64[np.ndarray, " cause"]
    effect: Float64[np.ndarray, "frames cause"] = field(repr=False)
    episode: Int64[np.ndarray, " frames"] = field(repr=False)
    step: Int64[np.ndarray, " frames"] = field(repr=False)
    delta: float
    tolerance: float
    horizon: int
    share: float

    @property
    def mask(self) -> Bool[np.ndarray, "frames cause"]:
        """[frames, cause] whether the dimension is resolvable at the step."""
        return self.effect > self.tolerance

    def summary(self) -> dict[str, Any]:
        """JSON-able key figures."""
        return {
            "resolvable_dims": [name for name, yes in zip(self.names, self.dims, strict=True) if yes],
            "names": list(self.names),
            "fraction": [float(f) for f in self.fraction],
            "effect_median": [float(e) for e in np.median(self.effect, 0)],
            "frames": len(self.effect),
            "delta": self.delta,
            "tolerance": self.tolerance,
            "horizon": self.horizon,
            "share": self.share,
        }


def resolvable(
    world: World,
    episodes: Sequence[Episode],
    causes: Causes = "action",
    *,
    steps: int | None = 256,
    delta: float = 0.25,
    tolerance: float = 0.05,
    horizon: int = 1,
    share: float = 0.5,
    signals: Sequence[str] | None = None,
    angles: Sequence[str] = (),
    seed: int = 0,
) -> Resolvability:
    """Measure the effect of each dimension of the cause at steps drawn from the episodes.

    The perturbation is a pulse: only the cause of the step itself is moved, later ones within the horizon are those
    recorded. Set `horizon` to the number of later steps in the model's window: that is how far it can look.

    Args:
        world: evaluated (1 + 2 x dimensions) x horizon times per step.
        episodes: with their states.
        causes: around which to perturb, see `replay`.
        steps: how many steps are drawn at random (None for all).
        delta: perturbation as a fraction of the range (between the bounds, or of the causes seen where unbounded).
        tolerance: least effect, in standard deviations of the one-step change, that counts as a trace.
        share: least share of steps for the verdict.
        signals, angles: what is looked at, see `Compared.of`.
        seed: of the draw of steps.

    Raises:
        ConfigError: delta or share outside (0, 1], a negative tolerance, no step to measure at.
    """
    if not 0 < delta <= 1 or not 0 < share <= 1 or tolerance < 0:
        raise ConfigError(
            f"resolvable: delta={delta}, share={share}, tolerance={tolerance}; "
            "delta and share lie in (0, 1], the tolerance is >= 0."
        )
    episodes = loaded(episodes)
    rows = cause_rows(world, episodes, causes)
    tool = OneStep.of(world, episodes, signals=signals, angles=angles, horizon=horizon)
    where = [(i, int(t)) for i, e in enumerate(episodes) for t in tool.usable(e, rows[i])]
    if not where:
        raise SignalError("resolvable: no step has both a cause and a recorded next observation.")
    if steps is not None and steps < len(where):
        drawn = np.random.default_rng(seed).choice(len(where), steps, replace=False)
        where = [where[k] for k in sorted(drawn)]
    low, high = bounds_of(world, np.concatenate(rows))
    move = delta * (high - low)
    dims = world.action.size
    effect = np.empty((len(where), dims))
    owner = np.array([i for i, _ in where])
    step = np.array([t for _, t in where])
    for i in np.unique(owner):
        mine = np.flatnonzero(owner == i)
        base = tool.ahead(rows[i], step[mine])
        variants = np.repeat(base[None], 1 + 2 * dims, 0)
        for d in range(dims):
            variants[1 + 2 * d, :, 0, d] = np.minimum(base[:, 0, d] + move[d], np.maximum(high[d], base[:, 0, d]))
            variants[2 + 2 * d, :, 0, d] = np.maximum(base[:, 0, d] - move[d], np.minimum(low[d], base[:, 0, d]))
        jobs = np.tile(step[mine], len(variants))
        seen = tool.simulate(episodes[i], jobs, variants.reshape(len(jobs), horizon, dims))
        seen = seen.reshape(len(variants), len(mine), horizon, -1)
        gap = np.abs(tool.normalise(tool.compared.difference(seen[1:], seen[:1])))
        largest = np.nan_to_num(gap.reshape(*gap.shape[:2], -1).max(2, initial=0.0), nan=0.0)
        effect[mine] = largest.reshape(dims, 2, len(mine)).max(1).T
    fraction = (effect > tolerance).mean(0)
    names = world.action.names or tuple(f"{world.action.name}[{d}]" for d in range(dims))
    return Resolvability(names, fraction >= share, fraction, effect, owner, step, delta, tolerance, horizon, share)


def bounds_of(
    world: World, seen: Float64[np.ndarray, "frames cause"]
) -> tuple[Float64[np.ndarray, " cause"], Float64[np.ndarray, " cause"]]:
    """Lower and upper ends of the cause: the world's bounds, or the values seen where it has none."""
    size = world.action.size
    ends = []
    for bound, seen_end in ((world.action.low, np.nanmin(seen, 0)), (world.action.high, np.nanmax(seen, 0))):
        given = np.full(size, np.nan) if bound is None else np.broadcast_to(np.asarray(bound, np.float64), (size,))
        ends.append(np.where(np.isfinite(given), given, seen_end))
    return ends[0], ends[1]
