"""`Labelling`: from what the model says about an episode to its label: value, interval, source, residual, weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from invdyn.actions.confidence import NINETY, confidence
from invdyn.actions.sliding import Answers
from invdyn.episodes.episode import Episode
from invdyn.episodes.label import MEASURED, Label
from invdyn.episodes.signal import SignalSpec
from invdyn.verify.conformal import Calibration
from invdyn.verify.onestep import OneStep
from invdyn.verify.refine import REFINED, RefineConfig, Refinement, refine
from invdyn.worlds.base import World

__all__ = ["Labelling"]

Ends = tuple[Float64[np.ndarray, "time cause"], Float64[np.ndarray, "time cause"]]


@dataclass(frozen=True)
class Labelling:
    """How labels are made; can be pickled.

    Args:
        target: spec of the cause.
        span: [cause] range that the width of an interval is compared with.
        source: of inferred values, `inferred:<model id>`.
        calibration, refined_calibration, level, refine_above, refinement: see `label_dataset`.
        world: to replay in, or a function that makes it, once per process.
        scale: [component] of the residual; None without a world.
    """

    target: SignalSpec
    span: np.ndarray
    source: str
    calibration: Calibration | None = None
    refined_calibration: Calibration | None = None
    level: float | None = None
    world: World | Callable[[], World] | None = None
    scale: np.ndarray | None = None
    refine_above: float | None = None
    refinement: RefineConfig = field(default_factory=RefineConfig)
    made: dict[str, Any] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "made": {}}

    @property
    def _continuous(self) -> bool:
        return self.target.numpy_dtype.kind == "f"

    def label(self, index: int, episode: Episode, answer: Answers) -> tuple[Label, dict[str, int]]:
        """The label of episode `index`, and how many of its steps are inferred, refined, measured, unanswered."""
        known = Label.of(episode, self.target.name) if self.target.name in episode else None
        measured = np.zeros(episode.length, bool) if known is None else known.source == MEASURED
        inferred = answer.known & ~measured
        value = np.where(inferred[:, None], answer.point, np.nan)
        if known is not None:
            value = np.where(measured[:, None], known.value.reshape(episode.length, -1), value)
        if self._continuous:
            value = value.astype(self.target.numpy_dtype).astype(np.float64)  # what is checked is what will be written
        residual, refined = np.full(episode.length, np.nan), np.zeros(episode.length, bool)
        if self.world is not None:
            tool = self._tool(episode)
            if self.refine_above is None:
                residual = tool.residual(episode, value)
            else:
                better = self._refined(tool, index, episode, value, answer, measured)
                value, residual, refined = better.values, better.after, better.changed
        low, high = self._interval(value, answer, refined)
        if low is None or high is None:
            width = NINETY * answer.spread if self._continuous else answer.spread
            lower = upper = np.where(measured[:, None], value, np.nan)
        else:
            width = high - low
            lower, upper = (
                np.where(measured[:, None], value, np.where(inferred[:, None], e, np.nan)) for e in (low, high)
            )
        source = np.where(measured, MEASURED, np.where(inferred, self.source, "")).astype(object)
        source = np.where(refined, source + REFINED, source)
        span = self.span if self._continuous else np.ones_like(self.span)
        weight = np.where(measured, 1.0, np.where(inferred, confidence(width, span, residual), 0.0))
        counts = {
            "inferred": int(inferred.sum()),
            "refined": int(refined.sum()),
            "measured": int(measured.sum()),
            "unanswered": int((~inferred & ~measured).sum()),
        }
        shape = (episode.length, *self.target.shape)
        value, lower, upper = (part.reshape(shape) for part in (value, lower, upper))
        return Label(value, lower, upper, source, residual, weight), counts

    def _interval(
        self, value: Float64[np.ndarray, "time cause"], answer: Answers, refined: Bool[np.ndarray, " time"]
    ) -> Ends | tuple[None, None]:
        """Around the corrected values where those were calibrated, else the model's, holding the corrected ones."""
        low, high = self.target.low, self.target.high
        bounds = None if low is None or high is None else (list(low), list(high))
        if self.refined_calibration is not None:
            return self.refined_calibration.interval(value, answer.spread, level=self.level, bounds=bounds)
        if self.calibration is None:
            return None, None
        lower, upper = self.calibration.interval(answer.point, answer.spread, level=self.level, bounds=bounds)
        moved = refined[:, None]
        return np.where(moved, np.minimum(lower, value), lower), np.where(moved, np.maximum(upper, value), upper)

    def _refined(
        self,
        tool: OneStep,
        index: int,
        episode: Episode,
        value: Float64[np.ndarray, "time cause"],
        answer: Answers,
        measured: Bool[np.ndarray, " time"],
    ) -> Refinement:
        assert self.refine_above is not None
        return refine(
            tool.world,
            episode,
            value,
            threshold=self.refine_above,
            config=self.refinement,
            tool=tool,
            spread=np.nan_to_num(answer.spread),
            keep=measured,
            seed=index,
        )

    def _tool(self, episode: Episode) -> OneStep:
        """The world and scale of this process, made once."""
        if "tool" not in self.made:
            assert self.world is not None
            assert self.scale is not None
            world = self.world if isinstance(self.world, World) else self.world()
            self.made["tool"] = replace(OneStep.of(world, [episode]), scale=self.scale)
        tool: OneStep = self.made["tool"]
        return tool
