"""`replay`: roll causes forward from the recorded start and measure how far the world drifts from the recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from invdyn.episodes.episode import Episode
from invdyn.errors import ConfigError, SignalError, unknown_name
from invdyn.verify.compared import Causes, Compared, cause_rows, loaded, to_cause
from invdyn.worlds.base import World

__all__ = ["DivergenceCurve", "ReplayResult", "replay"]

Reduce = Literal["mean", "median", "max"]
_REDUCE: dict[str, Callable[..., np.ndarray]] = {"mean": np.mean, "median": np.median, "max": np.max}


@dataclass(frozen=True)
class DivergenceCurve:
    """Divergence of one signal over time, over episodes.

    Args:
        step: [time] steps since the start.
        q25, median, q75: [time] quartiles over the episodes still replayed at that step, in `unit`.
        count: [time] how many those are.
        unit: the signal's own.
        components: how the components of a step were reduced to one number.
    """

    step: Int64[np.ndarray, " time"]
    q25: Float64[np.ndarray, " time"]
    median: Float64[np.ndarray, " time"]
    q75: Float64[np.ndarray, " time"]
    count: Int64[np.ndarray, " time"]
    unit: str
    components: Reduce


@dataclass(frozen=True)
class ReplayResult:
    """What replaying did, per episode in the order given.

    Args:
        world: its id.
        every: re-anchored to the recording every so many steps; None for open loop.
        units: signal -> unit.
        errors: signal -> per episode [time, component] absolute difference between world and recording, before
            re-anchoring; row 0 is the mismatch right after the first anchor; NaN where not replayed or not recorded.
        seen: the same of what the world showed; NaN where not replayed.
        transitions: [episodes] recorded steps that have a next one.
        replayed: [episodes] how many of them were replayed.
        success: [episodes] the world called the task solved at any replayed step.
        returns: [episodes] sum of the world's rewards over replayed steps.
        best_reward: [episodes] largest of them; NaN where nothing was replayed.
    """

    world: str
    every: int | None
    units: Mapping[str, str]
    errors: Mapping[str, Sequence[Float64[np.ndarray, "_ _"]]] = field(repr=False)
    seen: Mapping[str, Sequence[Float64[np.ndarray, "_ _"]]] = field(repr=False)
    transitions: Int64[np.ndarray, " episodes"]
    replayed: Int64[np.ndarray, " episodes"]
    success: Bool[np.ndarray, " episodes"]
    returns: Float64[np.ndarray, " episodes"]
    best_reward: Float64[np.ndarray, " episodes"]

    @property
    def missing(self) -> Int64[np.ndarray, " episodes"]:
        """[episodes] transitions that were not replayed because a cause was missing."""
        return self.transitions - self.replayed

    def divergence(self, signal: str | None = None, components: Reduce = "mean") -> list[Float64[np.ndarray, " _"]]:
        """Per episode [time]: error of one signal (the first by default), its components reduced, in its unit."""
        reduce = _REDUCE[components]
        return [reduce(e, axis=1) for e in self.errors[self._name(signal)]]

    def curve(self, signal: str | None = None, components: Reduce = "mean") -> DivergenceCurve:
        """Median and quartiles over episodes at every step."""
        series = self.divergence(signal, components)
        table = np.full((len(series), max(map(len, series))), np.nan)
        for row, values in zip(table, series, strict=True):
            row[: len(values)] = values
        count = np.isfinite(table).sum(0)
        steps = np.flatnonzero(count)
        q25, median, q75 = np.nanquantile(table[:, steps], [0.25, 0.5, 0.75], axis=0)
        return DivergenceCurve(steps, q25, median, q75, count[steps], self.units[self._name(signal)], components)

    def final_error(self, signal: str | None = None, components: Reduce = "mean") -> Float64[np.ndarray, " episodes"]:
        """[episodes] error at the last step replayed; NaN for an episode of which nothing could be compared."""
        ends = [e[np.isfinite(e)] for e in self.divergence(signal, components)]
        return np.array([e[-1] if len(e) else np.nan for e in ends])

    def median_error(self, signal: str | None = None, components: Reduce = "mean") -> float:
        """Median over all replayed steps of all episodes (the start, which is anchored, left out)."""
        series = np.concatenate([e[1:] for e in self.divergence(signal, components)])
        return float(np.nanmedian(series)) if np.isfinite(series).any() else float("nan")

    def summary(self) -> dict[str, Any]:
        """JSON-able key figures."""
        finals = {name: self.final_error(name) for name in self.errors}
        return {
            "world": self.world,
            "every": self.every,
            "episodes": len(self.success),
            "transitions": int(self.transitions.sum()),
            "replayed": int(self.replayed.sum()),
            "success": float(self.success.mean()),
            "return_mean": float(self.returns.mean()),
            "error_median": {name: self.median_error(name) for name in self.errors},
            "final_error_median": {
                n: float(np.nanmedian(v)) if np.isfinite(v).any() else None for n, v in finals.items()
            },
            "units": dict(self.units),
        }

    def _name(self, signal: str | None) -> str:
        if signal is None:
            return next(iter(self.errors))
        if signal not in self.errors:
            raise unknown_name("replayed signal", signal, self.errors)
        return signal


def replay(
    world: World,
    episodes: Sequence[Episode],
    causes: Causes,
    *,
    every: int | None = None,
    signals: Sequence[str] | None = None,
    angles: Sequence[str] = (),
) -> ReplayResult:
    """Replay causes from the recorded start of every episode.

    `replay(world, episodes, "action")` replays the recorded causes: the ceiling of what any inference can reach.
    Row t of the causes leads from recorded row t to row t + 1; a cause in the last row has no observed effect and is
    not applied. An open-loop replay ends at the first missing cause; a re-anchored one goes on at its next anchor.
    Either way the steps left out are counted in `missing`.

    Args:
        world: whose `batch` copies replay as many episodes at a time.
        causes: name of a recorded signal, or per episode [time, cause], NaN where there is none.
        every: put the copies back into the recorded state every so many steps; None for open loop.
        signals, angles: what is compared, and what of it is wrapped; see `Compared.of`.

    Raises:
        ConfigError: `every` below 1.
        SignalError, UnknownNameError: no episodes, causes that do not fit, signals that are not there.
        WorldError: a recording that does not tell the start state.
    """
    if every is not None and every < 1:
        raise ConfigError(f"replay: every={every}; re-anchor every 1 or more steps, or pass None for open loop.")
    if not len(episodes):
        raise SignalError("replay: no episodes were given.")
    episodes = loaded(episodes)
    compared = Compared.of(world, episodes[0], signals, angles)
    rows = cause_rows(world, episodes, causes)
    errors: list[np.ndarray] = [np.empty(0)] * len(episodes)
    seen: list[np.ndarray] = [np.empty(0)] * len(episodes)
    replayed = np.zeros(len(episodes), np.int64)
    success = np.zeros(len(episodes), bool)
    returns, best = np.zeros(len(episodes)), np.full(len(episodes), np.nan)
    # Episodes of like length run together, so that few copies idle.
    order = sorted(range(len(episodes)), key=lambda i: -episodes[i].length)
    for first in range(0, len(order), world.batch):
        group = order[first : first + world.batch]
        outcome = _roll(world, [episodes[i] for i in group], [rows[i] for i in group], compared, every)
        for at, i in enumerate(group):
            errors[i], seen[i] = outcome.errors[at], outcome.seen[at]
        replayed[group], success[group] = outcome.replayed, outcome.success
        returns[group], best[group] = outcome.returns, outcome.best
    return ReplayResult(
        world=world.name,
        every=every,
        units={s.name: s.unit for s in compared.specs},
        errors={s.name: [e[:, part] for e in errors] for s, part in zip(compared.specs, compared.slices, strict=True)},
        seen={s.name: [e[:, part] for e in seen] for s, part in zip(compared.specs, compared.slices, strict=True)},
        transitions=np.array([max(e.length - 1, 0) for e in episodes], np.int64),
        replayed=replayed,
        success=success,
        returns=returns,
        best_reward=best,
    )


@dataclass
class _Outcome:
    errors: list[np.ndarray]
    seen: list[np.ndarray]
    replayed: np.ndarray
    success: np.ndarray
    returns: np.ndarray
    best: np.ndarray


def _roll(
    world: World, episodes: list[Episode], rows: list[np.ndarray], compared: Compared, every: int | None
) -> _Outcome:
    """Replay up to `world.batch` episodes side by side; surplus copies repeat the last one and are ignored."""
    used = len(episodes)
    copies = [*episodes, *[episodes[-1]] * (world.batch - used)]
    recorded = [compared.recorded(e) for e in episodes]
    last = np.array([e.length - 1 for e in episodes])
    errors, shown = ([np.full(r.shape, np.nan) for r in recorded] for _ in range(2))
    replayed, success, returns = np.zeros(used, np.int64), np.zeros(used, bool), np.zeros(used)
    best, alive = np.full(used, np.nan), last >= 0
    for step in range(int(last.max())):
        running = step < last
        if step == 0 or (every is not None and step % every == 0):
            world.anchor(copies, [min(step, e.length - 1) for e in copies])
            alive = running.copy()
            if step == 0:
                start = compared.now(world)
                for i in range(used):
                    shown[i][0], errors[i][0] = start[i], np.abs(compared.difference(start[i], recorded[i][0]))
        idle = np.ones(world.batch, bool)
        idle[:used] = ~running
        world.rest(torch.from_numpy(idle))
        causes = np.full((world.batch, world.action.size), np.nan)
        for i in range(used):
            if running[i]:
                causes[i] = rows[i][step]
        alive &= running & np.isfinite(causes[:used]).all(1)
        if not alive.any():
            if every is None:
                break
            continue
        result = world.step(to_cause(world, causes))
        seen = compared.now(world)
        success |= alive & result.success[:used].cpu().numpy()
        reward = result.reward[:used].double().cpu().numpy()
        returns += np.where(alive, reward, 0.0)
        best = np.where(alive, np.fmax(best, reward), best)
        replayed += alive
        for i in map(int, np.flatnonzero(alive)):
            shown[i][step + 1] = seen[i]
            errors[i][step + 1] = np.abs(compared.difference(seen[i], recorded[i][step + 1]))
    return _Outcome(errors, shown, replayed, success, returns, best)
