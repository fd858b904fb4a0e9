"""Inverse kinematics of recorded motion: the positions of a model that explain markers, or placements of its frames.

All steps of a trajectory are solved together, each a nonlinear least-squares problem of its own
(Lu & O'Connor, J. Biomech. 32, 1999: weighted distances of markers, coordinates of the whole model). A few steps are
first solved from several starts; the others begin at the nearest of these, and then at the answers of their
neighbours in time as long as that finds something better. Nothing is smoothed over time: that is `smooth`'s part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from invdyn.bodies.ik_branches import chain, exchanged, joined
from invdyn.bodies.ik_levenberg import BLOCK, minimise
from invdyn.bodies.ik_program import Independent
from invdyn.bodies.ik_tasks import FrameTargets, Objective, PointTargets
from invdyn.bodies.manifold import random_positions
from invdyn.bodies.model import BodyModel, Placement
from invdyn.episodes.formats.markers import Markers
from invdyn.errors import ConfigError, SignalError, unknown_name
from invdyn.kernels.function import Backend

__all__ = ["MarkerFit", "PoseFit", "solve_markers", "solve_poses"]

KEYS = 8
"""Steps that are solved from several starts."""


@dataclass(frozen=True)
class PoseFit:
    """Attributes:
    q: [T, nq] positions.
    cost: [T] weighted sum of squares.
    converged: [T] whether the conditions of a minimum hold.
    rounds: [T] evaluations of the last start that was taken.
    free: names of coordinates that nothing asked for moves; they stay where they started.
    at_limit: [T, moving] numbers that lie at a limit (none without `limits`); `moving` names them.
    moving: names of coordinates that were solved for.
    """

    q: Float[np.ndarray, "time nq"]
    cost: Float[np.ndarray, " time"]
    converged: Bool[np.ndarray, " time"]
    rounds: Int[np.ndarray, " time"]
    free: tuple[str, ...]
    at_limit: Bool[np.ndarray, "time moving"]
    moving: tuple[str, ...]


@dataclass(frozen=True)
class MarkerFit:
    """Attributes:
    q: [T, nq] positions.
    rms: [T] m, over the markers seen in each step (unweighted); NaN where none is.
    names: [K] markers used. marker_rms: [K] m over time; error: [T, K] m, NaN where not seen.
    unused: markers of the recording the model lacks.
    pose: the solver's own account.
    """

    q: Float[np.ndarray, "time nq"]
    rms: Float[np.ndarray, " time"]
    names: tuple[str, ...]
    marker_rms: Float[np.ndarray, " k"]
    error: Float[np.ndarray, "time k"]
    unused: tuple[str, ...]
    pose: PoseFit

    def __str__(self) -> str:
        pose = self.pose
        worst = sorted(zip(self.marker_rms.tolist(), self.names), reverse=True)[:5]
        total, highest = 1e3 * float(np.sqrt(np.nanmean(self.error**2))), 1e3 * float(np.nanmax(self.rms))
        arrived = f"{int(pose.converged.sum())} of {len(pose.converged)} steps converged"
        lines = [
            f"{len(self.q)} steps, {len(self.names)} markers: RMS {total:.2f} mm, worst step {highest:.2f} mm",
            arrived,
            "worst markers: " + ", ".join(f"{name} {1e3 * rms:.1f} mm" for rms, name in worst),
        ]
        share = pose.at_limit.mean(0)
        pinned = [f"{n} {100 * s:.0f} %" for n, s in zip(pose.moving, share) if s > 0]
        lines += ["at a limit: " + ", ".join(pinned)] if pinned else []
        lines += ["not seen by any marker: " + ", ".join(pose.free)] if pose.free else []
        return "\n".join(lines)


def solve_poses(
    model: BodyModel,
    points: PointTargets | None = None,
    frames: FrameTargets | None = None,
    *,
    start: Float[np.ndarray, "#time nq"] | None = None,
    rest: Float[np.ndarray, " nq"] | None = None,
    rest_weight: float = 0.0,
    limits: bool = True,
    held: Collection[str] = (),
    starts: int = 8,
    seed: int = 0,
    rounds: int = 200,
    backend: Backend = "auto",
) -> PoseFit:
    """Positions at which points and frames of the model are nearest to their targets, per step.

    Args:
        model: its couplings and (unless `limits` is false) coordinate limits are kept.
        points, frames: targets; at least one of them.
        start: [T, nq] or [1, nq] where to begin, instead of searching; dependent coordinates are set right.
        rest, rest_weight: a posture and how much it counts (1/rad^2, 1/m^2), for what targets leave open.
        held: coordinates that stay at their start.
        starts: random starts of the key steps, beside the neutral position.
        seed: of these.
        rounds: evaluations per start at most.

    Raises:
        ConfigError: nothing asked for, or settings that cannot be.
        SignalError: numbers of steps that differ, or a start that is not finite.
        UnknownNameError: a site or coordinate the model lacks.
    """
    moving = Independent(model, held, backend)
    steps = _check(model, moving, points, frames, start, rest, rest_weight, starts)
    posture = torch.from_numpy(np.asarray(model.neutral if rest is None else rest, dtype=np.float64))[:, None]
    objective = Objective(moving, points, frames, posture, rest_weight)
    everywhere = torch.arange(steps)
    if start is None:
        begin = _searched(objective, posture, starts, seed, limits, rounds)
    else:
        begin = torch.from_numpy(np.array(np.broadcast_to(start, (steps, model.nq)).T, dtype=np.float64))
    found = minimise(objective, begin, everywhere, limits=limits, rounds=rounds)
    found = joined(objective, exchanged(objective, found, limits, rounds), posture, limits, rounds)
    seen = torch.zeros(len(moving.v))
    for i in range(0, steps, BLOCK):
        here = everywhere[i : i + BLOCK]
        seen += objective.at(found.q[:, here], here).jacobian.abs().sum((0, 1)).float()
    names = tuple(model.coordinates[k].name for k in moving.v)
    where = moving.values(found.q)
    low, high = (torch.tensor(x, dtype=torch.float64)[:, None] for x in (moving.lower, moving.upper))
    at_limit = ((where <= low) | (where >= high)) & limits
    return PoseFit(
        np.ascontiguousarray(found.q.T.numpy()),
        found.cost.numpy(),
        found.converged.numpy(),
        found.rounds.numpy(),
        tuple(n for n, s in zip(names, seen) if s == 0),
        np.ascontiguousarray(at_limit.T.numpy()),
        names,
    )


def solve_markers(
    model: BodyModel,
    markers: Markers,
    weights: Mapping[str, float] | None = None,
    *,
    names: Mapping[str, str] | None = None,
    laboratory: Placement | None = None,
    start: Float[np.ndarray, "#time nq"] | None = None,
    limits: bool = True,
    held: Collection[str] = (),
    starts: int = 8,
    seed: int = 0,
    backend: Backend = "auto",
) -> MarkerFit:
    """Positions of the model that explain recorded markers.

    Args:
        model: markers are matched with its sites by name.
        markers: the recording, m.
        weights: marker -> weight (1 where not said; 0 leaves it out of the fit, though not of the report).
        names: marker of the recording -> site of the model, where they differ.
        laboratory: of the recording's frame in the model's world; None: they are the same.
        start, limits, held, starts, seed, backend: see `solve_poses`.

    Raises:
        SignalError: fewer than three markers the model knows.
        UnknownNameError: a weight or name of a marker that is not in the recording; a site the model lacks.
        ConfigError: see `solve_poses`.
    """
    told = dict(names or {})
    for name in [*(weights or {}), *told]:
        if name not in markers.names:
            raise unknown_name("marker of the recording", name, markers.names)
    sites = {s.name for s in model.sites}
    used = [n for n in markers.names if told.get(n, n) in sites or n in told]
    at = [markers.names.index(n) for n in used]
    if len(used) < 3:
        raise SignalError(
            f"markers: {len(used)} of {len(markers.names)} are sites of model {model.name!r}; expected at least 3. The "
            f"recording has {_few(markers.names)}; the model {_few(sorted(sites))}. Pass names={{recorded: site}}."
        )
    where = markers.positions[:, at]
    if laboratory is not None:
        where = where @ np.asarray(laboratory.rotation).T + np.asarray(laboratory.translation)
    weight = np.array([(weights or {}).get(n, 1.0) for n in used])
    targets = PointTargets(tuple(told.get(n, n) for n in used), where, weight)
    options = {"start": start, "limits": limits, "held": held, "starts": starts, "seed": seed, "backend": backend}
    pose = solve_poses(model, targets, **options)  # type: ignore[arg-type]
    objective = Objective(Independent(model, held, backend), targets, None, torch.zeros(model.nq, 1).double())
    got = objective.positions(torch.from_numpy(np.ascontiguousarray(pose.q.T))).numpy().transpose(2, 0, 1)
    error = np.linalg.norm(got - where, axis=2)
    rms, marker_rms = _rms(error, 1), _rms(error, 0)
    return MarkerFit(
        pose.q, rms, tuple(used), marker_rms, error, tuple(n for n in markers.names if n not in used), pose
    )


def _searched(
    objective: Objective, posture: torch.Tensor, starts: int, seed: int, limits: bool, rounds: int
) -> torch.Tensor:
    """[nq, T] starts: of each step the best answer found for the nearest of a few key steps.

    Of answers that are as good (other turns of the same angles) those are taken that belong together; see `chain`.
    """
    model, steps = objective.moving.model, objective.steps
    keys = torch.linspace(0, steps - 1, min(KEYS, steps)).round().long().unique()
    many = torch.cat([posture, random_positions(model, starts, torch.Generator().manual_seed(seed))], 1)
    still = [i for i in range(model.nq) if objective.moving.v_of.get(i, -1) not in objective.moving.v]
    plain = [i for i in still if i in objective.moving.v_of]
    many[plain] = posture[plain]
    tries = minimise(
        objective, many.repeat_interleave(len(keys), 1), keys.repeat(starts + 1), limits=limits, rounds=rounds
    )
    chosen = chain(
        objective.moving, posture, tries.q.reshape(model.nq, starts + 1, -1), tries.cost.reshape(starts + 1, -1)
    )
    nearest = (torch.arange(steps)[:, None] - keys).abs().argmin(1)
    return chosen[:, nearest].contiguous()


def _check(
    model: BodyModel,
    moving: Independent,
    points: PointTargets | None,
    frames: FrameTargets | None,
    start: np.ndarray | None,
    rest: np.ndarray | None,
    rest_weight: float,
    starts: int,
) -> int:
    """Number of steps."""
    lengths = [] if points is None else [len(points.position)]
    lengths += [] if frames is None else [len(frames.translation)]
    if not lengths or not moving.v:
        what = "neither points nor frames given" if not lengths else "every coordinate is held or coupled"
        raise ConfigError(f"inverse kinematics of {model.name!r}: {what}. Give targets and something that may move.")
    if len(set(lengths)) > 1 or not lengths[0]:
        raise SignalError(
            f"inverse kinematics: {lengths[0]} steps of points, {lengths[-1]} of frames; expected as many, at least "
            "one. Cut them to the same steps."
        )
    if rest_weight < 0 or starts < 0:
        raise ConfigError(f"inverse kinematics: rest_weight={rest_weight:g}, starts={starts}; expected 0 or more.")
    for name, given, rows in (("start", start, (1, lengths[0])), ("rest", None if rest is None else rest[None], (1,))):
        if given is None:
            continue
        if given.shape[1] != model.nq or len(given) not in rows or not np.isfinite(given).all():
            raise SignalError(
                f"inverse kinematics: {name} of shape {given.shape}, or not finite; expected {model.nq} finite numbers "
                f"a row, {' or '.join(str(r) for r in rows)} rows."
            )
    return lengths[0]


def _rms(error: np.ndarray, axis: int) -> np.ndarray:
    """Root mean square without what is missing; NaN where all is."""
    there = ~np.isnan(error)
    count = there.sum(axis)
    total = np.where(there, error, 0.0) ** 2
    return np.sqrt(np.divide(total.sum(axis), count, out=np.full(len(count), np.nan), where=count > 0))


def _few(names: Collection[str]) -> str:
    shown = list(names)[:4]
    return ", ".join(repr(n) for n in shown) + (" ..." if len(names) > 4 else "") if shown else "none"
