"""`refine`: correct inferred causes by a few forward evaluations from the recorded states.

Where a world can be put into the recorded state, an answer can be checked, and an answer that fails the check can be
improved: find the cause near it whose next observation is the recorded one. Gauss-Newton on finite differences is a
handful of evaluations per step; where contacts make the effect of a cause jump or vanish, sampling takes over.
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
from invdyn.verify.onestep import OneStep, rms
from invdyn.verify.resolvable import bounds_of
from invdyn.worlds.base import World

__all__ = ["REFINED", "RefineConfig", "Refinement", "refine"]

Method = Literal["gauss-newton", "sample", "auto"]
REFINED = "+refined"
"""Appended to the source of a refined label: `inferred:<model id>+refined`."""


@dataclass(frozen=True)
class RefineConfig:
    """How much to spend on a step. All defaults are our own choices.

    Args:
        method: `gauss-newton`, `sample`, or `auto`: sampling for the steps that Gauss-Newton leaves above the level.
        iterations: Gauss-Newton updates; the first needs one evaluation per dimension for its Jacobian, each update
            one more (Broyden's rank-one formula keeps the Jacobian going).
        perturbation: of the finite differences, as a fraction of the cause's range.
        damping: Levenberg's, relative to the largest squared sensitivity: directions with less than its square root
            of the strongest effect keep the inferred value.
        rounds, samples, elite: of the cross-entropy search.
        width: least standard deviation it starts from, as a fraction of the range.
        goal: residual at which a step is done; 1e-3 saves updates where exactness is not wanted.
    """

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

    def accept(self, steps: np.ndarray, found: np.ndarray, cost: np.ndarray, method: str) -> None:
        """Take over the causes whose residual is smaller than the one so far."""
        better = cost < self.after[steps]
        at = steps[better]
        self.values[at], self.after[at] = found[better], cost[better]
        self.changed[at], self.methods[at] = True, method

    def source(self, source: np.ndarray | str) -> np.ndarray:
        """[time] the label's source with `+refined` where the value was changed."""
        base = np.broadcast_to(np.asarray(source, object), self.changed.shape)
        return np.array([f"{s}{REFINED}" if c else s for s, c in zip(base, self.changed, strict=True)], object)


def refine(
    world: World,
    episode: Episode,
    causes: np.ndarray | Tensor | str,
    *,
    threshold: float,
    config: RefineConfig | None = None,
    tool: OneStep | None = None,
    spread: Float64[np.ndarray, "time cause"] | None = None,
    keep: Bool[np.ndarray, " time"] | None = None,
    seed: int = 0,
) -> Refinement:
    """Correct the causes of steps whose one-step residual is above `threshold`.

    All steps of the episode are worked on side by side on the copies of the world. Each step is its own problem: from
    the recorded state at t, which cause leads to the recorded observation at t + 1.

    Args:
        world: can be anchored in the episode's states.
        causes: [time, cause] inferred, NaN where there is none (those stay NaN).
        threshold: normalised residual (see `one_step_residual`) above which a step is worked on.
            One step moves little: on Meta-World pick-place causes wrong by 0.15 of 1 leave 0.018, so that 0.05
            touches hardly any step and 0.003 nearly all.
        config: how; None for the defaults.
        tool: what is compared and at which scale; pass one `OneStep.of(world, dataset)` for a whole dataset. None
            takes this episode's own scale.
        spread: [time, cause] the model's uncertainty, the width that sampling starts from.
        keep: [time] True where the value must not be touched (measured causes).
        seed: of the samples.

    Raises:
        ConfigError: a negative threshold.
        SignalError: spread or keep of another shape.
        WorldError: the recording does not tell its states.
    """
    config = config or RefineConfig()
    if threshold < 0:
        raise ConfigError(f"refine: threshold {threshold} is negative; a residual is >= 0.")
    (episode,) = loaded([episode])
    tool = OneStep.of(world, [episode]) if tool is None else tool
    values = cause_rows(world, [episode], causes if isinstance(causes, str) else [causes])[0].copy()
    for name, given, shape in (("spread", spread, values.shape), ("keep", keep, values.shape[:1])):
        if given is not None and given.shape != shape:
            raise SignalError(
                f"refine: {name} has shape {given.shape}, the causes of episode {episode.index} need {shape}."
            )
    steps = tool.usable(episode, values)
    result = Refinement.untouched(values, threshold)
    if len(steps) and (tool.scale > 0).any():
        low, high = bounds_of(world, values)
        job = Refining(tool, episode, values, tool.compared.recorded(episode), low, np.maximum(high - low, 1e-12))
        gaps = job.gaps(steps, values[steps])
        result.before[steps] = result.after[steps] = rms(gaps)
        result.evaluations[steps] = 1
        open_ = (result.before[steps] > threshold) & (~keep[steps] if keep is not None else True)
        work, gaps = steps[open_], gaps[open_]
        if len(work) and config.method != "sample":
            found, cost, spent = gauss_newton(job, work, gaps, config)
            result.evaluations[work] += spent
            result.accept(work, found, cost, "gauss-newton")
        left = work[result.after[work] > threshold] if config.method != "gauss-newton" else work[:0]
        if len(left):
            wide = np.full((len(left), values.shape[1]), config.width)
            if spread is not None:
                wide = np.maximum(wide, spread[left] / job.range)
            found, cost = sample(job, left, wide, config, np.random.default_rng(seed), values, result.after)
            result.evaluations[left] += config.rounds * config.samples
            result.accept(left, found, cost, "sample")
    return result


@dataclass(frozen=True)
class Refining:
    """Forward evaluations of one episode; causes are handled in units of their range, 0..1."""

    tool: OneStep
    episode: Episode
    values: np.ndarray
    recorded: np.ndarray
    low: np.ndarray
    range: np.ndarray

    def gaps(self, steps: np.ndarray, causes: np.ndarray) -> np.ndarray:
        """[jobs, component] normalised differences when the cause of each step is replaced."""
        ahead = self.tool.ahead(self.values, steps)
        ahead[:, 0] = causes
        return self.tool.gaps(self.episode, steps, ahead, self.recorded)

    def unit(self, causes: np.ndarray) -> np.ndarray:
        return (causes - self.low) / self.range

    def cause(self, unit: np.ndarray) -> np.ndarray:
        """Back from units of the range, rounded to what the world takes, so that differences are true ones."""
        kind = self.tool.world.action.numpy_dtype
        values = self.low + unit * self.range
        return values.astype(kind if kind.kind == "f" else np.float32).astype(np.float64)


def gauss_newton(
    job: Refining, steps: np.ndarray, gaps: np.ndarray, config: RefineConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levenberg-Marquardt per step with Broyden updates: (causes, residuals, evaluations per step)."""
    count, dims = len(steps), job.values.shape[1]
    z = np.clip(job.unit(job.values[steps]), 0.0, 1.0)
    cause, cost = job.values[steps].copy(), rms(gaps)
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
        better = rms(new) < cost[todo]
        at = todo[better]
        z[at], gaps[at], cost[at], cause[at] = trial[better], new[better], rms(new[better]), trial_cause[better]
        damping[todo] *= np.where(better, 0.1, 100.0)
    return cause, cost, spent


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
    wide: np.ndarray,
    config: RefineConfig,
    rng: np.random.Generator,
    values: np.ndarray,
    after: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy search around the present causes: (causes, residuals)."""
    count, dims, many = len(steps), values.shape[1], config.samples
    best, cost = values[steps].copy(), after[steps].copy()
    mean, rows = np.clip(job.unit(best), 0.0, 1.0), np.arange(count)
    for _ in range(config.rounds):
        draw = np.clip(mean[:, None] + wide[:, None] * rng.standard_normal((count, many, dims)), 0.0, 1.0)
        cause = job.cause(draw)
        tried = rms(job.gaps(np.repeat(steps, many), cause.reshape(-1, dims))).reshape(count, many)
        top = tried.argmin(1)
        better = tried[rows, top] < cost
        best[better], cost[better] = cause[rows, top][better], tried[rows, top][better]
        elite = np.take_along_axis(draw, np.argsort(tried, 1)[:, : config.elite, None], 1)
        mean = job.unit(best)
        # Around the best so far; never so narrow that the search stands still.
        wide = np.maximum(np.sqrt(((elite - mean[:, None]) ** 2).mean(1)), 1e-3)
    return best, cost
