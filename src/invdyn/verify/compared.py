"""`Compared`: which signals a replay is judged on, as one vector per step, recorded and simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import SignalSpec
from invdyn.errors import SignalError, UnknownNameError, WorldError, unknown_name
from invdyn.worlds.base import INVERSE, WORLD_STATE, World

__all__ = ["Causes", "Compared", "cause_rows", "to_cause"]

Causes = str | Sequence[np.ndarray | Tensor]
"""Causes of several episodes: the name of a recorded signal, `INVERSE` for those that the world's own exact inverse
finds, or per episode [time, cause], NaN where there is none."""


@dataclass(frozen=True)
class Compared:
    """The components in which recording and world are compared.

    Args:
        specs: the signals, as recorded.
        slices: where each stands in the vector.
        angle: [component] True where a difference is wrapped to [-pi, pi].
    """

    specs: tuple[SignalSpec, ...]
    slices: tuple[slice, ...]
    angle: Bool[np.ndarray, " component"]

    @classmethod
    def of(
        cls, world: World, episode: Episode, signals: Sequence[str] | None = None, angles: Sequence[str] = ()
    ) -> Compared:
        """Resolve the signals to compare.

        Args:
            signals: names; None for every observation of the world that is numbers (no picture, no text) and that
                the episode has. `world.state` may be named too.
            angles: signals, or `signal:component name`, that are angles: their differences are wrapped. Must be in rad.

        Raises:
            WorldError: the episode has none of the world's observations, or the world does not make a named signal.
            SignalError: a picture or text is named, or an angle that is not in rad.
        """
        made = {s.name for s in world.observations} | {WORLD_STATE}
        if signals is None:
            names = [s.name for s in world.observations if s.kind != "image" and not s.is_text and s.name in episode]
            if not names:
                told = ", ".join(s.name for s in world.observations)
                raise WorldError(
                    f"episode {episode.index} has none of the observations of {world.name} ({told}) to compare with. "
                    "Name the signals to compare, or verify without replay."
                )
        else:
            names = list(signals)
            for name in names:
                if name not in made:
                    raise WorldError(f"{world.name} does not observe {name!r}. It observes: {', '.join(sorted(made))}.")
                if name not in episode:
                    raise unknown_name(f"signal of episode {episode.index}", name, episode)
        specs = tuple(episode.schema[name] for name in names)
        for spec in specs:
            if spec.kind == "image" or spec.is_text:
                raise SignalError(
                    f"signal {spec.name!r} is {spec.kind}: replay compares numbers. Name state signals instead."
                )
        ends = np.cumsum([0, *(s.size for s in specs)])
        slices = tuple(slice(int(a), int(b)) for a, b in pairwise(ends))
        angle = np.zeros(int(ends[-1]), bool)
        for wanted in angles:
            angle[_angle_components(wanted, specs, slices)] = True
        return cls(specs, slices, angle)

    def recorded(self, episode: Episode) -> Float64[np.ndarray, "time component"]:
        """The recorded vectors; NaN in every component of a signal at its missing steps."""
        parts = []
        for spec in self.specs:
            signal = episode[spec.name]
            values = np.asarray(signal.values).astype(np.float64).reshape(episode.length, -1)
            parts.append(np.where(signal.mask[:, None], values, np.nan))
        return np.concatenate(parts, 1)

    def now(self, world: World) -> Float64[np.ndarray, "batch component"]:
        """The world's vectors, as its copies stand."""
        seen = world.observe()
        parts = [world.state() if s.name == WORLD_STATE else seen[s.name] for s in self.specs]
        return torch.cat([p.detach().cpu().double().reshape(world.batch, -1) for p in parts], 1).numpy()

    def difference(
        self, simulated: Float64[np.ndarray, "... component"], recorded: Float64[np.ndarray, "... component"]
    ) -> Float64[np.ndarray, "... component"]:
        """simulated - recorded, angles wrapped."""
        gap = simulated - recorded
        return np.where(self.angle, np.remainder(gap + np.pi, 2 * np.pi) - np.pi, gap)

    def scale(self, episodes: Sequence[Episode]) -> Float64[np.ndarray, " component"]:
        """Standard deviation of the one-step change of each component over these episodes.

        0 for a component that never changes: it is left out of normalised residuals. Never less than a thousandth
        of its signal's median scale, so that a component which hardly moves does not drown the rest.
        """
        changes = np.concatenate([self.difference(r[1:], r[:-1]) for r in map(self.recorded, episodes)])
        changes = changes[np.isfinite(changes).all(1)]
        if len(changes) < 2:
            raise SignalError(
                f"{len(changes)} recorded steps have a next one; at least 2 are needed for the one-step scale."
            )
        # Around zero, not around the mean: a steady drift is a change that a wrong cause would miss.
        scale = np.sqrt((changes**2).mean(0))
        for part in self.slices:
            own = scale[part]
            if (own > 0).any():
                scale[part] = np.where(own > 0, np.maximum(own, 1e-3 * np.median(own[own > 0])), 0.0)
        return scale


def loaded(episodes: Sequence[Episode]) -> list[Episode]:
    """The episodes as objects that keep what they read, simulator states read whole: anchoring asks row by row."""
    kept = list(episodes)
    for episode in kept:
        if WORLD_STATE in episode:
            episode[WORLD_STATE]
    return kept


def cause_rows(world: World, episodes: Sequence[Episode], causes: Causes) -> list[Float64[np.ndarray, "time cause"]]:
    """The causes per episode as float64 [time, cause], NaN where there is none.

    Raises:
        SignalError: another number of episodes, steps or components than the episodes and the world have.
        UnknownNameError: an episode without the named signal.
        WorldError: `INVERSE` of a world that has none, or of recordings that do not hold what it reads.
    """
    size = world.action.size
    if not isinstance(causes, str) and len(causes) != len(episodes):
        raise SignalError(f"causes were given for {len(causes)} episodes, there are {len(episodes)}.")
    rows = []
    for at, episode in enumerate(episodes):
        if isinstance(causes, str) and causes == INVERSE and INVERSE not in episode:
            values = _inverted(world, episode)
        elif isinstance(causes, str):
            signal = episode[causes]
            values = np.where(
                signal.mask.reshape(-1, 1), np.asarray(signal.values, np.float64).reshape(episode.length, -1), np.nan
            )
        else:
            given = causes[at]
            array = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
            values = array.astype(np.float64).reshape(len(array), -1)
        if values.shape != (episode.length, size):
            raise SignalError(
                f"episode {episode.index}: causes of shape {values.shape}; {world.name} needs "
                f"[{episode.length}, {size}], "
                "one row per recorded step, NaN where there is no cause."
            )
        rows.append(values)
    return rows


def _inverted(world: World, episode: Episode) -> Float64[np.ndarray, "time cause"]:
    """What the world's inverse finds between rows t and t + 1; NaN at the last row, and where a row is missing."""
    names = [s.name for s in world.observations] if world.inverse_inputs is None else list(world.inverse_inputs)
    for name in names:
        if name not in episode:
            raise WorldError(
                f"episode {episode.index} has no {name!r}, in which {world.name} finds causes. "
                "Record with worlds.record."
            )
    values = np.full((episode.length, world.action.size), np.nan)
    there = np.logical_and.reduce([episode[name].mask for name in names])
    steps = np.flatnonzero(there[:-1] & there[1:])
    if len(steps):
        world.anchor([episode] * world.batch, [0] * world.batch)  # what is constant in the episode
        before, after = (
            {name: torch.from_numpy(np.asarray(episode[name].values)[steps + ahead]) for name in names}
            for ahead in (0, 1)
        )
        values[steps] = world.inverse(before, after).detach().cpu().double().reshape(len(steps), -1).numpy()
    return values


def to_cause(world: World, values: Float64[np.ndarray, "batch cause"]) -> Tensor:
    """Causes as the world takes them: in the floating dtype in which they are recorded, missing ones as bounds' middle.

    A copy whose cause is missing has ended for the caller, who masks it; the world still needs some number.
    """
    kind = world.action.numpy_dtype
    low = -np.inf if world.action.low is None else np.asarray(world.action.low, np.float64)
    high = np.inf if world.action.high is None else np.asarray(world.action.high, np.float64)
    filled = np.where(np.isfinite(values), values, np.clip(0.0, low, high))
    return torch.from_numpy(np.ascontiguousarray(filled.astype(kind if kind.kind == "f" else np.float32)))


def _angle_components(wanted: str, specs: Sequence[SignalSpec], slices: Sequence[slice]) -> slice | int:
    for spec, part in zip(specs, slices, strict=True):
        if wanted == spec.name or wanted.startswith(spec.name + ":"):
            if "rad" not in [unit.strip() for unit in spec.unit.split(",")]:
                raise SignalError(
                    f"{wanted!r} was declared an angle but its unit is {spec.unit!r}; only rad is wrapped."
                )
            if wanted == spec.name:
                return part
            component = wanted[len(spec.name) + 1 :]
            if spec.names is None or component not in spec.names:
                raise unknown_name(f"component of {spec.name!r}", component, spec.names or ())
            return part.start + spec.names.index(component)
    raise UnknownNameError(f"angle {wanted!r} is none of the compared signals {', '.join(s.name for s in specs)}.")
