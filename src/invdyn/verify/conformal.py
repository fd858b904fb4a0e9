"""Split-conformal intervals per dimension of the cause, with the episode as the exchangeable unit.

Frames of one episode resemble each other, so a thousand frames of ten episodes are not a thousand
independent scores. Two ways to a quantile of the scores take that into account, see `METHODS`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Float64, Int64

from invdyn.errors import ConfigError, SignalError
from invdyn.verify.metrics.arrays import Array, as_array, columns

__all__ = [
    "GUARANTEES",
    "LEVELS",
    "Calibration",
    "Method",
    "PointScore",
    "calibrate",
    "calibrate_quantiles",
    "episodes_needed",
]

Method = Literal["pooled", "hcp"]
PointScore = Literal["normalised", "absolute"]
Score = Literal["normalised", "absolute", "cqr"]

GUARANTEES: dict[str, str] = {
    "pooled": (
        "Coverage of a frame drawn from the pool of all frames of new episodes, exact as the number of calibration "
        "episodes grows; with few episodes right on average to second order (quantile level raised for the effective "
        "number of independent frames), not guaranteed in finite samples."
    ),
    "hcp": (
        "At least the stated level, in finite samples and for any dependence within episodes, for a random frame of a "
        "new episode exchangeable with the calibration episodes (Lee, Barber and Willett 2023, HCP); conservative with "
        "few episodes."
    ),
}
"""What each method promises. Both are marginal: on average over calibration sets and frames, not for every frame."""

LEVELS: tuple[float, ...] = tuple(round(0.05 * k, 2) for k in range(1, 20))
"""Levels kept beside the asked one, for coverage curves and for intervals at another level."""


def episodes_needed(level: float) -> int:
    """Fewest episodes that support a level: ceil(level / (1 - level)); with fewer the interval would be infinite.

    >>> episodes_needed(0.9), episodes_needed(0.95)
    (9, 19)
    """
    return math.ceil(level / (1.0 - level) - 1e-9)


def check_level(level: float, episodes: int) -> None:
    """Refuse a level outside (0, 1) or one that this many episodes cannot support (`ConfigError`)."""
    if not 0.0 < level < 1.0:
        raise ConfigError(f"an interval level lies between 0 and 1, got {level}. 0.9 means 90 %.")
    if episodes < episodes_needed(level):
        most = math.floor(1000 * episodes / (episodes + 1)) / 1000
        raise ConfigError(
            f"level {level:g} needs at least {episodes_needed(level)} labelled episodes for calibration, "
            f"got {episodes}. "
            f"Label more episodes or ask for a level of at most {most:g}."
        )


@dataclass(frozen=True)
class Calibration:
    """Quantiles of conformal scores, from which intervals are made: point ± quantile x scale.

    Args:
        level: coverage asked for.
        method: how the quantile takes episodes into account, see `GUARANTEES`.
        score: `normalised` |y - point| / spread, `absolute` |y - point|, or `cqr` max(lower - y, y - upper).
        guarantee: what is promised, in words.
        levels: levels with quantiles, ascending, `level` among them.
        quantiles: [levels][cause] score quantiles; infinite where the calibration episodes cannot support one.
        floor: [cause] least spread used to normalise, in the cause's unit.
        n_episodes, n_frames: how much was calibrated on.
        n_effective: [cause] number of independent frames that would tell the quantile as well.
    """

    level: float
    method: Method
    score: Score
    guarantee: str
    levels: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]
    floor: tuple[float, ...]
    n_episodes: int
    n_frames: int
    n_effective: tuple[float, ...]

    def quantile(self, level: float | None = None) -> Float64[np.ndarray, " cause"]:
        """[cause] the score quantile at `level` (the calibration's own by default).

        Raises:
            ConfigError: a level without a quantile.
        """
        level = self.level if level is None else level
        near = [i for i, known in enumerate(self.levels) if abs(known - level) < 1e-9]
        if not near:
            told = ", ".join(f"{x:g}" for x in self.levels)
            raise ConfigError(
                f"no quantile was kept for level {level:g}; kept: {told}. Calibrate again with level={level:g}."
            )
        return np.asarray(self.quantiles[near[0]])

    def interval(
        self,
        point: Array,
        spread: Array,
        *,
        level: float | None = None,
        bounds: tuple[Sequence[float] | float, Sequence[float] | float] | None = None,
    ) -> tuple[Float64[np.ndarray, "frames cause"], Float64[np.ndarray, "frames cause"]]:
        """Lower and upper ends around a model's answers.

        Args:
            point, spread: [frames, cause].
            level: another level kept in `levels`.
            bounds: (low, high) of the cause: ends are clipped to them, which loses no coverage as truths lie inside.

        Raises:
            ConfigError: a CQR calibration (use `widen`), an unknown level.
            SignalError: another number of dimensions than was calibrated.
        """
        if self.score == "cqr":
            raise ConfigError(
                "this calibration is of quantile pairs (cqr): use widen(lower, upper), not interval(point, spread)."
            )
        centre = self._checked(point)
        scale = np.maximum(self._checked(spread), self.floor) if self.score == "normalised" else np.ones_like(centre)
        half = self.quantile(level) * scale
        return _clipped(centre - half, centre + half, bounds)

    def widen(
        self,
        lower: Array,
        upper: Array,
        *,
        bounds: tuple[Sequence[float] | float, Sequence[float] | float] | None = None,
    ) -> tuple[Float64[np.ndarray, "frames cause"], Float64[np.ndarray, "frames cause"]]:
        """Conformalised quantile regression: predicted quantiles moved out (or in) by the score quantile.

        Raises:
            ConfigError: not a CQR calibration.
        """
        if self.score != "cqr":
            raise ConfigError(
                f"this calibration is of {self.score} scores: use interval(point, spread), not widen(lower, upper)."
            )
        low, high, move = self._checked(lower), self._checked(upper), self.quantile()
        # A pair moved inwards past itself meets in the middle: an interval is never inside out.
        middle = (low + high) / 2
        return _clipped(np.minimum(low - move, middle), np.maximum(high + move, middle), bounds)

    def curve(
        self, truth: Array, point: Array, spread: Array, mask: Array | None = None
    ) -> tuple[Float64[np.ndarray, " levels"], Float64[np.ndarray, "levels cause"]]:
        """Measured coverage at every level kept: (levels, [levels, cause]), for the reliability plot."""
        from invdyn.verify.metrics.calibration import coverage

        rows = [coverage(truth, *self.interval(point, spread, level=x), mask, resamples=1).per_dim for x in self.levels]
        return np.asarray(self.levels), np.stack(rows)

    def _checked(self, values: Array) -> Float64[np.ndarray, "frames cause"]:
        array = as_array(values).astype(np.float64)
        if array.ndim != 2 or array.shape[1] != len(self.floor):
            raise SignalError(
                f"the calibration is of [frames, {len(self.floor)}] causes, got an array of shape {array.shape}."
            )
        return array

    def to_json(self) -> str:
        """All of it as JSON text; floats are written so that they read back exactly."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """The calibration that `to_json` wrote.

        Raises:
            ConfigError: not JSON, unknown or missing fields.
        """
        try:
            given: dict[str, Any] = json.loads(text)
            known = {f.name for f in dataclasses.fields(cls)}
            wrong = sorted(known.symmetric_difference(given))
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"a calibration is one JSON object, got something else ({error}). Calibrate again."
            ) from None
        if wrong:
            raise ConfigError(
                f"calibration: field {wrong[0]!r} is {'unknown' if wrong[0] in given else 'missing'}. Calibrate again."
            )
        for name, kinds in (("method", get_args(Method)), ("score", get_args(Score))):
            if given[name] not in kinds:
                raise ConfigError(
                    f"calibration: {name} {given[name]!r} is none of {', '.join(kinds)}. Calibrate again."
                )
        for name in ("levels", "floor", "n_effective"):
            given[name] = tuple(given[name])
        given["quantiles"] = tuple(tuple(row) for row in given["quantiles"])
        return cls(**given)


def calibrate(
    truth: Array,
    point: Array,
    spread: Array,
    episode: Array,
    *,
    level: float = 0.9,
    method: Method = "pooled",
    score: PointScore = "normalised",
) -> Calibration:
    """Split-conformal calibration on held-out labelled episodes (none of which the model was trained on).

    With every episode of length 1 both methods are ordinary split conformal prediction: the
    ceil((n + 1) level)-th smallest score.

    Args:
        truth, point, spread: [frames, cause] true causes and the model's answers.
        episode: [frames] which episode each frame is of.
        level: coverage asked for.
        method: `pooled` (default) or `hcp`, see `GUARANTEES`.
        score: `normalised` adapts the width to the model's own spread, `absolute` gives one width.

    Raises:
        ConfigError: a level that so few episodes cannot support (names the number needed).
        SignalError: different shapes, NaN, negative spreads.
    """
    (y, centre, scale), _ = columns("calibrate", truth, point, spread)
    if (scale < 0).any():
        raise SignalError(
            f"calibrate: spread {scale.min():g} is negative at frame {int(np.argmin(scale.min(1)))}; a spread is >= 0."
        )
    # A point mass (spread 0) still needs a finite score: a thousandth of the cause's own spread is the least scale.
    floor = np.maximum(1e-3 * y.std(0), 1e-12)
    error = np.abs(y - centre)
    scores = error / np.maximum(scale, floor) if score == "normalised" else error
    return from_scores(scores, as_array(episode), level=level, method=method, score=score, floor=floor)


def calibrate_quantiles(
    truth: Array, lower: Array, upper: Array, episode: Array, *, level: float = 0.9, method: Method = "pooled"
) -> Calibration:
    """Conformalised quantile regression (Romano, Patterson and Candès 2019): scores max(lower - y, y - upper).

    Args:
        truth: [frames, cause].
        lower, upper: [frames, cause] the model's quantiles, e.g. at (1 ± level) / 2.
        episode, level, method: as in `calibrate`. Only `level` is kept: other levels need other quantile pairs.
    """
    (y, low, high), _ = columns("calibrate_quantiles", truth, lower, upper)
    scores = np.maximum(low - y, y - high)
    return from_scores(scores, as_array(episode), level=level, method=method, score="cqr", floor=np.zeros(y.shape[1]))


def from_scores(
    scores: Float64[np.ndarray, "frames cause"],
    episode: np.ndarray,
    *,
    level: float,
    method: Method,
    score: Score,
    floor: Float64[np.ndarray, " cause"],
    guarantee: str = "",
) -> Calibration:
    """The calibration of given scores; `calibrate`, CQR and cross-conformal end here."""
    if len(episode) != len(scores):
        raise SignalError(f"calibrate: {len(episode)} episode numbers for {len(scores)} frames.")
    _, unit, lengths = np.unique(episode.reshape(-1), return_inverse=True, return_counts=True)
    check_level(level, len(lengths))
    levels = (level,) if score == "cqr" else tuple(sorted({*(x for x in LEVELS if abs(x - level) > 1e-9), level}))
    pairs = [[_quantile(column, unit, lengths, x, method) for column in scores.T] for x in levels]
    at = levels.index(level)
    return Calibration(
        level=level,
        method=method,
        score=score,
        guarantee=guarantee or GUARANTEES[method],
        levels=levels,
        quantiles=tuple(tuple(q for q, _ in row) for row in pairs),
        floor=tuple(float(f) for f in floor),
        n_episodes=len(lengths),
        n_frames=len(scores),
        n_effective=tuple(n for _, n in pairs[at]),
    )


def _quantile(
    scores: Float64[np.ndarray, " frames"],
    unit: Int64[np.ndarray, " frames"],
    lengths: Int64[np.ndarray, " episodes"],
    level: float,
    method: Method,
) -> tuple[float, float]:
    """The score quantile and the effective number of frames behind it."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    frames, episodes = len(scores), len(lengths)
    effective = effective_frames(scores <= ranked[min(math.ceil(frames * level), frames) - 1], unit, lengths)
    if method == "hcp":
        # Frame j of episode i weighs 1 / ((n + 1) T_i); the new episode's 1 / (n + 1) stands at infinity.
        mass = np.cumsum((1.0 / ((episodes + 1) * lengths[unit]))[order])
        at = int(np.searchsorted(mass, level - 1e-12))
        return (float(ranked[at]) if at < frames else math.inf), effective
    # The plug-in quantile q of clustered frames has E F(q) = p - (p - 1/2) / n_eff + 1 / (2 N) to second order
    # (E F(q) - p is half the slope of Var F_n(p) = p (1 - p) / n_eff); raising p by the same amount undoes it, and
    # for independent frames (n_eff = N) gives the familiar p (1 + 1/N). No frames beyond the last: infinite.
    raised = level + max(level - 0.5, 0.0) / effective + min(level, 0.5) / frames
    at = math.ceil(frames * raised - 1e-9) - 1
    if at >= frames:
        return (math.inf if frames == episodes else float(ranked[-1])), effective
    return float(ranked[at]), effective


def effective_frames(
    hit: np.ndarray, unit: Int64[np.ndarray, " frames"], lengths: Int64[np.ndarray, " episodes"]
) -> float:
    """Independent frames that would estimate the share of hits as precisely as these clustered ones.

    p (1 - p) over the cluster-robust variance of the share; between Kish's number for frames that agree
    entirely within episodes, (sum T)² / sum T², and the number of frames.
    """
    frames, episodes = int(lengths.sum()), len(lengths)
    least = frames**2 / float((lengths.astype(float) ** 2).sum())
    share = float(hit.mean())
    if episodes < 2 or share in (0.0, 1.0):
        return least
    excess = np.bincount(unit, hit.astype(float), episodes) - share * lengths
    variance = float((excess**2).sum()) / frames**2 * episodes / (episodes - 1)
    return float(np.clip(share * (1 - share) / max(variance, 1e-300), least, frames))


def _clipped(
    lower: Float[np.ndarray, "frames cause"],
    upper: Float[np.ndarray, "frames cause"],
    bounds: tuple[Sequence[float] | float, Sequence[float] | float] | None,
) -> tuple[np.ndarray, np.ndarray]:
    if bounds is None:
        return lower, upper
    low, high = (np.asarray(b, np.float64) for b in bounds)
    return np.clip(lower, low, high), np.clip(upper, low, high)
