"""How one step's cause is corrected by forward evaluations: settings, result, Gauss-Newton and sampling.

Gauss-Newton on finite differences is a handful of evaluations per step; where contacts make the effect of a cause jump
or vanish, sampling takes over. With `RefineConfig.noise` both look for the most probable cause, given what was seen
and what the model said: the recording then outweighs the model only where it tells more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from invdyn.episodes.episode import Episode
from invdyn.errors import ConfigError, SignalError
from invdyn.verify.compared import cause_rows, loaded
from invdyn.verify.onestep import OneStep
from invdyn.verify.resolvable import bounds_of
from invdyn.worlds.base import World

__all__ = ["REFINED", "RefineConfig", "Refinement", "Refining", "correct", "prepared"]

Method = Literal["gauss-newton", "sample", "auto"]
REFINED = "+refined"
"""Appended to the source of a refined label, behind `inferred` and the id of the model."""
LEAST_SPREAD = 1e-3
"""Of the range: no model is surer than that where it is weighed against a recording."""


@dataclass(frozen=True)
class RefineConfig:
    """How much to spend on a step. All defaults are our own choices.

    Args:
        along: go along the episode, each step from the state that the corrected ones before it reached (see
            `refine_track`), instead of from the recorded state of every step. For recordings that do not tell the
            state fully: positions without velocities.
        noise: how far recording and simulator are thought to disagree, in one-step scales. The inferred cause then
            counts as an observation of its own, with the model's spread as its deviation, and the most probable cause
            is looked for. 0 trusts the recording alone: right where one step tells the cause clearly.
        method: `gauss-newton`, `sample`, or `auto`: Gauss-Newton where it reaches the level, sampling around the
            inferred cause elsewhere.
        iterations: Gauss-Newton updates; the first needs one evaluation per dimension for its Jacobian, each update
            one more (Broyden's rank-one formula keeps the Jacobian going).
        perturbation: of the finite differences, as a fraction of the cause's range.
        damping: Levenberg's, relative to the largest squared sensitivity: directions with less than its square root
            of the strongest effect keep the inferred value.
        rounds, samples, elite: of the cross-entropy search.
        width: least standard deviation it starts from, as a fraction of the range.
        goal: residual at which a step is done; 1e-3 saves updates where exactness is not wanted.
    """

    along: bool = False
    noise: float = 0.0
    method: Method = "auto"
    iterations: int = 3
    perturbation: float = 0.02
    damping: float = 1e-6
    rounds: int = 4
    samples: int = 16
    elite: int = 4
    width: float = 0.05
    goal: float = 1e-7

    def __post_init__(self) -> None:
        if min(self.iterations, self.rounds, self.elite) < 1 or self.samples <= self.elite:
            raise ConfigError(
                f"refine: iterations={self.iterations}, rounds={self.rounds}, samples={self.samples}, "
                f"elite={self.elite}; all are at least 1 and there are more samples than elite."
            )
        if not 0 <= self.noise < float("inf"):
            raise ConfigError(f"refine: noise={self.noise}; it is a size in one-step scales, 0 or more.")
        if not 0 < self.perturbation < 0.5 or self.damping <= 0 or self.width <= 0:
            raise ConfigError(
                f"refine: perturbation={self.perturbation} lies in (0, 0.5), damping={self.damping} and "
                f"width={self.width} are positive."
            )


@dataclass(frozen=True)
class Refinement:
    """Refined causes of one episode.

    Args:
        values: [time, cause] the causes given, changed where `changed`; never outside the world's bounds there.
        before, after: [time] normalised one-step residual; NaN where there is no cause or no next observation.
        changed: [time] a change was accepted, which needs `after` < `before`.
        evaluations: [time] forward evaluations spent, the first check included.
        threshold: residual above which a step was worked on.
    """

    values: Float64[np.ndarray, "time cause"]
    before: Float64[np.ndarray, " time"]
    after: Float64[np.ndarray, " time"]
    changed: Bool[np.ndarray, " time"]
    evaluations: Int64[np.ndarray, " time"]
    threshold: float
    methods: np.ndarray = field(repr=False)
    """[time] which method's change was accepted last: `gauss-newton`, `sample` or empty."""

    @classmethod
    def untouched(cls, values: Float64[np.ndarray, "time cause"], threshold: float) -> Refinement:
        """Nothing evaluated yet; holds `values` itself, so that what is accepted stands in them."""
        time = len(values)
        return cls(
            values=values,
            before=np.full(time, np.nan),
            after=np.full(time, np.nan),
            changed=np.zeros(time, bool),
            evaluations=np.zeros(time, np.int64),
            threshold=threshold,
            methods=np.full(time, "", object),
        )

    def accept(self, steps: np.ndarray, found: np.ndarray, residual: np.ndarray, method: str) -> None:
        """Take over causes that were found to be better."""
        self.values[steps], self.after[steps] = found, residual
        self.changed[steps], self.methods[steps] = True, method

    def source(self, source: np.ndarray | str) -> np.ndarray:
        """[time] the label's source with `+refined` where the value was changed."""
        base = np.broadcast_to(np.asarray(source, object), self.changed.shape)
        return np.array([f"{s}{REFINED}" if c else s for s, c in zip(base, self.changed, strict=True)], object)


def prepared(
    world: World,
    episode: Episode,
    causes: np.ndarray | Tensor | str,
    threshold: float,
    config: RefineConfig,
    tool: OneStep | None,
    spread: np.ndarray | None,
    keep: np.ndarray | None,
) -> Refining:
    """The arguments of a refinement, checked and filled in."""
    if threshold < 0:
        raise ConfigError(f"refine: threshold {threshold} is negative; a residual is >= 0.")
    (episode,) = loaded([episode])
    tool = OneStep.of(world, [episode]) if tool is None else tool
    values = cause_rows(world, [episode], causes if isinstance(causes, str) else [causes])[0].copy()
    for what, given, shape in (("spread", spread, values.shape), ("keep", keep, values.shape[:1])):
        if given is not None and given.shape != shape:
            raise SignalError(
                f"refine: {what} has shape {given.shape}, the causes of episode {episode.index} need {shape}."
            )
    if config.noise > 0 and spread is None:
        raise ConfigError(f"refine: noise={config.noise} weighs the recording against the model. Give its spread too.")
    low, high = bounds_of(world, values)
    span = np.maximum(high - low, 1e-12)
    pull = None
    if config.noise > 0 and spread is not None:
        pull = config.noise / np.maximum(spread, LEAST_SPREAD * span)
    return Refining(tool, episode, values, tool.compared.recorded(episode), low, span, values.copy(), pull)


@dataclass(frozen=True)
class Refining:
    """Forward evaluations of one episode; causes are handled in units of their range, 0..1.

    `inferred` and `pull` [time, cause] are what the model said and how much it weighs; `pull` is None for not at all.
    """

    tool: OneStep
    episode: Episode
    values: np.ndarray
    recorded: np.ndarray
    low: np.ndarray
    range: np.ndarray
    inferred: np.ndarray
    pull: np.ndarray | None

    def gaps(self, steps: np.ndarray, causes: np.ndarray) -> np.ndarray:
        """[jobs, component] what is to become small when the cause of each step is replaced: the normalised
        differences, and behind them the weighted distance from what the model said."""
        ahead = self.tool.ahead(self.values, steps)
        ahead[:, 0] = causes
        gaps = self.tool.gaps(self.episode, steps, ahead, self.recorded)
        if self.pull is None:
            return gaps
        return np.concatenate([gaps, self.pull[steps] * (causes - self.inferred[steps])], 1)

    @property
    def seen(self) -> int:
        """How many of the components are differences to the recording."""
        return int((self.tool.scale > 0).sum()) * self.tool.horizon

    def cost(self, gaps: np.ndarray) -> np.ndarray:
        """[jobs] what is made small; equal to the residual where the model has no say."""
        return np.sqrt((gaps**2).sum(-1) / self.seen)

    def residual(self, gaps: np.ndarray) -> np.ndarray:
        """[jobs] root mean square of the differences to the recording."""
        return self.cost(gaps[..., : self.seen])

    def unit(self, causes: np.ndarray) -> np.ndarray:
        return (causes - self.low) / self.range

    def cause(self, unit: np.ndarray) -> np.ndarray:
        """Back from units of the range, rounded to what the world takes, so that differences are true ones."""
        kind = self.tool.world.action.numpy_dtype
        values = self.low + unit * self.range
        return values.astype(kind if kind.kind == "f" else np.float32).astype(np.float64)


def correct(
    job: Refining,
    work: Int64[np.ndarray, " jobs"],
    gaps: Float64[np.ndarray, "jobs kept"],
    result: Refinement,
    config: RefineConfig,
    spread: np.ndarray | None,
    rng: np.random.Generator,
) -> None:
    """Gauss-Newton, then sampling around the inferred cause for what is left above the threshold.

    What is better is taken over. Where sampling follows, Gauss-Newton must bring the step to the threshold: in contacts
    it runs into minima far from any cause that was taken, better than the inferred one and still wrong.
    """
    if len(work) and config.method != "sample":
        found, new, spent = gauss_newton(job, work, gaps, config)
        result.evaluations[work] += spent
        better = job.cost(new) < job.cost(gaps)
        if config.method == "auto":
            better &= job.residual(new) <= result.threshold
        result.accept(work[better], found[better], job.residual(new)[better], "gauss-newton")
        gaps = np.where(better[:, None], new, gaps)
    left = result.after[work] > result.threshold
    work, gaps = work[left], gaps[left]
    if len(work) and config.method != "gauss-newton":
        wide = np.full((len(work), job.values.shape[1]), config.width)
        if spread is not None:
            wide = np.maximum(wide, spread[work] / job.range)
        found, new = sample(job, work, gaps, wide, config, rng)
        result.evaluations[work] += config.rounds * config.samples
        better = job.cost(new) < job.cost(gaps)
        result.accept(work[better], found[better], job.residual(new)[better], "sample")


def gauss_newton(
    job: Refining, steps: np.ndarray, gaps: np.ndarray, config: RefineConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levenberg-Marquardt per step with Broyden updates: (causes, gaps, evaluations per step)."""
    count, dims, gaps = len(steps), job.values.shape[1], gaps.copy()
    z = np.clip(job.unit(job.values[steps]), 0.0, 1.0)
    cause, cost = job.values[steps].copy(), job.cost(gaps)
    # Away from the nearer bound, so that the perturbed cause is not clipped.
    sign = np.where(z > 0.5, -1.0, 1.0)
    moved = np.repeat(z[:, None], dims, 1)
    moved[:, range(dims), range(dims)] += sign * config.perturbation
    probe = job.cause(moved).reshape(-1, dims)
    seen = job.gaps(np.repeat(steps, dims), probe).reshape(count, dims, -1)
    shift = (job.unit(probe).reshape(count, dims, dims) - job.unit(cause)[:, None])[:, range(dims), range(dims)]
    jacobian = np.swapaxes((seen - gaps[:, None]) / np.where(shift == 0, np.inf, shift)[..., None], 1, 2)
    z, spent = job.unit(cause), np.full(count, dims)
    damping = config.damping * np.maximum((jacobian**2).sum(1).max(1), 1e-300)
    for _ in range(config.iterations):
        todo = np.flatnonzero(cost > config.goal)
        if not len(todo):
            break
        step = _bounded_step(jacobian[todo], gaps[todo], damping[todo], z[todo])
        trial_cause = job.cause(np.clip(z[todo] + step, 0.0, 1.0))
        trial = job.unit(trial_cause)
        new = job.gaps(steps[todo], trial_cause)
        spent[todo] += 1
        step = trial - z[todo]
        # Moves of the size of rounding teach the Jacobian nothing but rounding.
        step[np.abs(step) < 1e-4 * config.perturbation] = 0.0
        length = np.maximum((step**2).sum(1), 1e-300)
        miss = new - gaps[todo] - np.einsum("jkd,jd->jk", jacobian[todo], step)
        jacobian[todo] += np.einsum("jk,jd->jkd", miss, step) / length[:, None, None]
        fall = job.cost(new)
        better = fall < cost[todo]
        at = todo[better]
        z[at], gaps[at], cost[at], cause[at] = trial[better], new[better], fall[better], trial_cause[better]
        damping[todo] *= np.where(better, 0.1, 100.0)
    return cause, gaps, spent


def _bounded_step(jacobian: np.ndarray, gaps: np.ndarray, damping: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Damped least-squares step; dimensions that would leave 0..1 stop at the bound and the rest is solved again."""
    dims = z.shape[1]
    normal = np.einsum("jkd,jke->jde", jacobian, jacobian) + damping[:, None, None] * np.eye(dims)
    slope = np.einsum("jkd,jk->jd", jacobian, gaps)
    step = np.linalg.solve(normal, -slope[..., None])[..., 0]
    stopped = np.clip(z + step, 0.0, 1.0) - z
    fixed = stopped != step
    if fixed.any() and dims > 1:
        held = np.where(fixed, stopped, 0.0)
        free = ~fixed
        system = np.where(free[:, :, None] & free[:, None, :], normal, 0.0) + fixed[:, :, None] * np.eye(dims)
        right = np.where(free, -slope - np.einsum("jde,je->jd", normal, held), held)
        stopped = np.linalg.solve(system, right[..., None])[..., 0]
    return stopped


def sample(
    job: Refining,
    steps: np.ndarray,
    gaps: np.ndarray,
    wide: np.ndarray,
    config: RefineConfig,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy search around the present causes, whose gaps are given: (causes, gaps)."""
    count, dims, many = len(steps), job.values.shape[1], config.samples
    best, gaps = job.values[steps].copy(), gaps.copy()
    cost, mean, rows = job.cost(gaps), np.clip(job.unit(best), 0.0, 1.0), np.arange(count)
    for _ in range(config.rounds):
        draw = np.clip(mean[:, None] + wide[:, None] * rng.standard_normal((count, many, dims)), 0.0, 1.0)
        cause = job.cause(draw)
        new = job.gaps(np.repeat(steps, many), cause.reshape(-1, dims)).reshape(count, many, -1)
        tried = job.cost(new)
        top = tried.argmin(1)
        better = tried[rows, top] < cost
        best[better], cost[better] = cause[rows, top][better], tried[rows, top][better]
        gaps[better] = new[rows, top][better]
        elite = np.take_along_axis(draw, np.argsort(tried, 1)[:, : config.elite, None], 1)
        mean = job.unit(best)
        # Around the best so far; never so narrow that the search stands still.
        wide = np.maximum(np.sqrt(((elite - mean[:, None]) ** 2).mean(1)), 1e-3)
    return best, gaps
