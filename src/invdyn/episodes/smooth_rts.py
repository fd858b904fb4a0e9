"""Smoothing by white jerk (or snap, crackle, pop): what is noise and what is motion is read off the recording itself.

`rts`: which derivative is white, its density and the noise by the likelihood of the innovations (one number is
searched, the ratio; the noise follows in closed form). White jerk alone has a spectrum too rough for most motion: its
likelihood then keeps noise that a smoother kind of motion lets it drop. `spline`: the quintic smoothing spline, which
is the same estimate of white jerk, its penalty by generalised cross-validation (Craven & Wahba, Numer. Math. 31, 1979).
Irregular clocks and missing values are welcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from invdyn.episodes.smooth_kalman import UNCOUNTED, Fit, States, run_filter, run_fit, run_smoother
from invdyn.episodes.smooth_result import Smoothed, check_clock, check_values, regular_step
from invdyn.errors import ConfigError, SignalError

__all__ = ["half_power", "smooth_white"]

ORDERS = (3, 4, 5, 6)  # jerk, snap, crackle, pop
FEWEST = UNCOUNTED + 4  # values a column must have
HIGHEST, LOWEST, FINENESS = 3.0, 1e-6, 1.12  # grid of w0 in rad a step; beyond HIGHEST nothing is smoothed
WIDE, ABREAST = 3e7, 16  # numbers held at once by the search, and rates tried at once at most
LOST = 1e100  # score where it cannot be told
HELD = 200_000  # samples times columns whose states are held at once
FLOOR = 1e-13  # noise below this share of the greatest value is rounding


def half_power(order: int) -> float:
    """w / w0 where the gain 1 / (1 + (w / w0)^(2m)) of the smoother is 1/sqrt(2)."""
    return float((np.sqrt(2.0) - 1.0) ** (0.5 / order))


def smooth_white(
    time: Float[np.ndarray, " steps"],
    values: Float[np.ndarray, "rows columns"],
    criterion: Literal["likelihood", "gcv"] = "likelihood",
    *,
    order: int | Int[np.ndarray, " orders"] | None = None,
    cutoff: float | Float[np.ndarray, " given"] | None = None,
    noise_std: float | Float[np.ndarray, " noises"] | None = None,
    density: float | Float[np.ndarray, " densities"] | None = None,
    tied: bool = False,
) -> Smoothed:
    """Position, velocity, acceleration of each column given all of it, with their covariance.

    Args:
        time: [T] s, strictly increasing.
        values: [T, n] u; NaN where there is none.
        criterion: what chooses the ratio of motion to noise where it is not given.
        order: which derivative is white noise, 3 to 6, of all columns or each; None: the likeliest (`gcv`: 3, the
            quintic spline).
        cutoff: Hz, sets the ratio: the half-power frequency where samples are dense.
        noise_std, density: u and u^2/s^(2 order - 1), where known; both set the ratio; `density` needs `order`.
        tied: one order, ratio and noise for all columns (components of one vector: the result turns with the frame).

    Raises:
        SignalError: a bad clock, or a column with too few values.
        ConfigError: settings that contradict each other, are not positive or not of one number a column.
    """
    check_clock(time)
    check_values(time, values)
    valid = ~np.isnan(values)
    if tied:
        valid[:] = valid.all(1, keepdims=True)
    few = np.flatnonzero(valid.sum(0) < FEWEST)
    if len(few):
        raise SignalError(
            f"smooth: column {int(few[0])} has {int(valid[:, few[0]].sum())} values; at least {FEWEST} are needed. "
            "Leave the column out, or give a longer recording."
        )
    if order is not None and not np.isin(order, ORDERS).all():
        raise ConfigError(f"smooth: order={order}; expected one of {', '.join(map(str, ORDERS))}.")
    if order is not None and np.shape(order) not in ((), (values.shape[1],)):
        raise ConfigError(
            f"smooth: order has shape {np.shape(order)}; expected a number or one a column ({values.shape[1]})."
        )
    if order is not None and tied and len(np.unique(order)) > 1:
        raise ConfigError(f"smooth: order={order} of columns that are tied; expected one order. Pass tied=False.")
    if density is not None and order is None:
        raise ConfigError("smooth: density is of one derivative. Say of which: order=3 for jerk.")
    if criterion == "gcv" and order is None:
        order = 3
    known = _Known.of(values.shape[1], cutoff, noise_std, density)
    even = regular_step(time)
    step = even or float(np.median(np.diff(time)))
    clock = np.arange(len(time), dtype=float) if even else (time - time[0]) / step
    count = values.shape[1]
    orders = None if order is None else np.broadcast_to(order, (count,))
    state, spread = np.empty((len(time), count, 3)), np.empty((len(time), count, 3, 3))
    noise, rates, chosen = np.empty(count), np.empty(count), np.empty(count, dtype=np.int64)
    for columns in _alike(valid):
        mask = valid[:, columns[0]]
        given = None if orders is None else orders[columns]
        found = _best(values[:, columns], mask, clock, step, known.take(columns), tied, criterion, given)
        chosen[columns], rates[columns] = found
        for part in _portions(columns, chosen[columns], len(columns) if tied else max(1, HELD // len(time))):
            m = int(chosen[part[0]])
            centre = values[mask][:, part].mean(0)
            problem = _Problem(values[:, part] - centre, mask, clock, step, known.take(part), tied, criterion, m)
            states, variance = problem.solve(rates[part])
            state[:, part] = states.mean.reshape(len(time), len(part), m)[..., :3]
            state[:, part, 0] += centre
            spread[:, part] = (states.covariance[..., :3, :3] * variance[:, None, None])[states.slot]
            noise[part] = np.sqrt(variance)
    units = step ** -np.arange(3.0)
    state *= units
    spread *= units[:, None] * units
    likely = criterion == "likelihood"
    half = np.array([half_power(int(m)) for m in chosen])
    return Smoothed(
        time=time,
        position=state[..., 0],
        velocity=state[..., 1],
        acceleration=state[..., 2],
        method="rts" if likely else "spline",
        cutoff=rates ** (0.5 / chosen) * half / (2 * np.pi * step),
        noise_std=noise if likely else None,
        order=chosen if likely else None,
        density=rates * noise**2 / step ** (2.0 * chosen - 1) if likely else None,
        covariance=spread if likely else None,
    )


def _alike(valid: Bool[np.ndarray, "steps columns"]) -> list[Int[np.ndarray, " group"]]:
    """Columns that were seen at the same times."""
    groups: dict[bytes, list[int]] = {}
    for k, mask in enumerate(np.packbits(valid, axis=0).T):
        groups.setdefault(mask.tobytes(), []).append(k)
    return [np.array(group) for group in groups.values()]


def _portions(
    columns: Int[np.ndarray, " columns"], orders: Int[np.ndarray, " columns"], width: int
) -> Iterator[Int[np.ndarray, " part"]]:
    """Columns of one order each, `width` of them at most."""
    for m in np.unique(orders):
        same = columns[orders == m]
        yield from (same[k : k + width] for k in range(0, len(same), width))


def _best(
    values: Float[np.ndarray, "steps columns"],
    mask: Bool[np.ndarray, " steps"],
    clock: Float[np.ndarray, " steps"],
    step: float,
    known: _Known,
    tied: bool,
    criterion: str,
    order: Int[np.ndarray, " columns"] | None,
) -> tuple[Int[np.ndarray, " columns"], Float[np.ndarray, " columns"]]:
    """Order and rate of each column: the likeliest pair among those not given."""
    y = values - values[mask].mean(0)

    def problem(columns: Int[np.ndarray, " columns"], m: int) -> _Problem:
        return _Problem(y[:, columns], mask, clock, step, known.take(columns), tied, criterion, m)

    if order is not None:
        rate = np.empty(len(order))
        for m in np.unique(order):
            columns = np.flatnonzero(order == m)
            rate[columns] = problem(columns, int(m)).rate()
        return order, rate
    found = [problem(np.arange(y.shape[1]), m).search() for m in ORDERS]
    which = np.stack([score for _, score in found]).argmin(0)
    return np.array(ORDERS)[which], np.stack([rate for rate, _ in found])[which, np.arange(len(which))]


@dataclass(frozen=True)
class _Known:
    """What the caller fixed, one number a column, NaN where it is to be found."""

    cutoff: Float[np.ndarray, " columns"]
    noise: Float[np.ndarray, " columns"]
    density: Float[np.ndarray, " columns"]

    @classmethod
    def of(cls, count: int, cutoff: object, noise: object, density: object) -> _Known:
        found = []
        for name, given in (("cutoff", cutoff), ("noise_std", noise), ("density", density)):
            array = np.full(count, np.nan) if given is None else np.asarray(given, dtype=float)
            if array.shape not in ((), (count,)):
                raise ConfigError(
                    f"smooth: {name} has shape {array.shape}; expected a number or one a column ({count})."
                )
            if given is not None and not (np.isfinite(array).all() and (array > 0).all()):
                raise ConfigError(f"smooth: {name}={given!r}; expected positive numbers. Correct it.")
            found.append(np.broadcast_to(array, (count,)))
        if cutoff is not None and density is not None:
            raise ConfigError("smooth: cutoff and density both set the ratio of motion to noise. Give one of them.")
        return cls(*found)

    def take(self, columns: np.ndarray) -> _Known:
        return _Known(self.cutoff[columns], self.noise[columns], self.density[columns])

    def rate(self, step: float, order: int) -> Float[np.ndarray, " columns"] | None:
        """Motion to noise in steps, where it is fixed."""
        if not np.isnan(self.cutoff).any():
            return (2 * np.pi * step * self.cutoff / half_power(order)) ** (2 * order)
        if not np.isnan(self.density + self.noise).any():
            return self.density * step ** (2 * order - 1) / self.noise**2
        return None

    def variance(self, fit: Fit, tied: bool, floor: Float[np.ndarray, " columns"]) -> Float[np.ndarray, " columns"]:
        """Noise variance of each column at its own rate: given, or the mean square of the scaled innovations."""
        if not np.isnan(self.noise).any():
            return self.noise**2
        found = fit.squares.reshape(-1) / fit.count
        return np.maximum(np.full_like(found, found.mean()) if tied else found, floor)


@dataclass(frozen=True)
class _Problem:
    """Columns seen at the same times, and the search for their ratio of motion to noise."""

    y: Float[np.ndarray, "steps columns"]
    valid: Bool[np.ndarray, " steps"]
    clock: Float[np.ndarray, " steps"]
    step: float
    known: _Known
    tied: bool
    criterion: str
    order: int

    @property
    def floor(self) -> Float[np.ndarray, " columns"]:
        """Variance of rounding."""
        return (FLOOR * np.abs(self.y[self.valid]).max(0) + np.finfo(float).tiny ** 0.25) ** 2

    def solve(self, rate: Float[np.ndarray, " columns"]) -> tuple[States, Float[np.ndarray, " columns"]]:
        """Smoothed states of each column at its own rate and its noise variance.

        States are [T, n, 1, m], covariances [slots, n, m, m]; [T, 1, n, m], [slots, 1, m, m] where all rates are one.
        """
        shared = bool((rate == rate[0]).all())
        y, rate = (self.y, rate[:1]) if shared else (self.y[:, :, None], rate)
        forward = run_filter(y, self.valid, self.clock, rate, self.order)
        variance = self.known.variance(forward.fit, self.tied, self.floor)
        return run_smoother(y, self.valid, self.clock, rate, forward), variance

    def rate(self) -> Float[np.ndarray, " columns"]:
        """Of each column: what is fixed, or the best."""
        fixed = self.known.rate(self.step, self.order)
        return self.search()[0] if fixed is None else fixed

    def search(self) -> tuple[Float[np.ndarray, " columns"], Float[np.ndarray, " columns"]]:
        """Best rate of each column and its score: a grid from rough to smooth, until every best lies inside it."""
        fixed = self.known.rate(self.step, self.order)
        columns = np.arange(self.y.shape[1])
        if fixed is not None:
            told = np.empty(len(columns))
            for rate in np.unique(fixed):
                at = columns if self.tied else columns[fixed == rate]
                part = replace(self, y=self.y[:, at], known=self.known.take(at))
                told[fixed == rate] = part._scores(rate[None])[0, fixed[at] == rate]
            return fixed, told
        turns, scores = [], []
        for turn in self._grids():
            turns.append(turn)
            scores.append(self._scores(turn ** (2 * self.order)))
            best = np.concatenate(scores).argmin(0)
            if (best < len(np.concatenate(turns)) - 2).all():
                break
        turn, score = np.log(np.concatenate(turns)), np.concatenate(scores)
        at = np.clip(best, 1, len(turn) - 2)
        left, centre, right = score[at - 1, columns], score[at, columns], score[at + 1, columns]
        bend = left - 2 * centre + right
        inside = (best == at) & (bend > 0) & (np.maximum(left, right) < LOST)
        shift = np.where(inside, 0.5 * (left - right) / np.where(inside, bend, 1.0), 0.0)
        rate = np.exp(2 * self.order * (turn[best] + np.clip(shift, -1, 1) * (turn[1] - turn[0])))
        return rate, score[best, columns]

    def _grids(self) -> Iterator[Float[np.ndarray, " rates"]]:
        """w0 in rad a step, falling; a piece ends where the likelihood most often has turned by then."""
        slowest = max(LOWEST, 1.0 / (self.clock[-1] - self.clock[0]))
        turn = HIGHEST * FINENESS ** -np.arange(np.log(HIGHEST / slowest) / np.log(FINENESS) + 1)
        m, c = self.order, self.y.shape[1]
        size = 8 * (m**2 + m * c) if self.criterion == "gcv" else 4 * (m + c)
        share = int(max(1, min(ABREAST, WIDE / (size * len(self.clock)))))
        yield from (turn[i : i + share] for i in range(0, len(turn), share))

    def _scores(self, rate: Float[np.ndarray, " rates"]) -> Float[np.ndarray, "rates columns"]:
        """What is to be minimal: minus twice the log likelihood, or cross-validation; one number where tied."""
        if self.criterion == "gcv":
            forward = run_filter(self.y, self.valid, self.clock, rate, self.order)
            score = self._gcv(run_smoother(self.y, self.valid, self.clock, rate, forward))
        else:
            score = self._unlikeliness(run_fit(self.y, self.valid, self.clock, rate, self.order), rate)
        score = np.where(np.isfinite(score), score, LOST)  # gaps so long that covariances lose all digits
        return np.broadcast_to(score.sum(1, keepdims=True), score.shape) if self.tied else score

    def _gcv(self, states: States) -> Float[np.ndarray, "rates columns"]:
        residual = self.y[self.valid][:, None] - states.mean[self.valid][..., 0]
        leverage = states.covariance[states.slot[self.valid]][..., 0, 0].mean(0)
        mean = (residual**2).mean(0)
        if self.tied:
            mean = np.broadcast_to(mean.mean(1, keepdims=True), mean.shape)
        return np.log(np.maximum(mean, self.floor)) - 2 * np.log(np.maximum(1 - leverage, 1e-9))[:, None]

    def _unlikeliness(self, fit: Fit, rate: Float[np.ndarray, " rates"]) -> Float[np.ndarray, "rates columns"]:
        squares, count = fit.squares, fit.count
        if not np.isnan(self.known.noise).any():
            noise = np.broadcast_to(self.known.noise**2, squares.shape)
        elif not np.isnan(self.known.density).any():
            noise = self.known.density * self.step ** (2 * self.order - 1) / rate[:, None]
        else:
            noise = squares / count
            noise = np.broadcast_to(noise.mean(1, keepdims=True), noise.shape) if self.tied else noise
            noise = np.maximum(noise, self.floor)
        return squares / noise + count * np.log(noise) + fit.logs[:, None]
