"""Exact Gaussian process regression of torques, every setting of it chosen by the evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from invdyn.errors import ConfigError, SignalError
from invdyn.forces.learned.arm_kernel import ArmKernel, KernelKind
from invdyn.forces.learned.ridge import Standard
from invdyn.forces.learned.rows import LeftOut, TorqueEstimate, TorqueModel, TorqueRows, check_joints, evenly

__all__ = ["ArmGP", "ArmGPConfig", "fit_gp"]

JITTER = 1e-8  # of the torque's variance
AT_A_TIME = 4096
TILE = 384


@dataclass(frozen=True)
class ArmGPConfig:
    """How the process is fitted.

    Args:
        kernel: `arm` has the structure of the equation of motion, `rbf` none.
        rows: most rows a joint is conditioned on, evenly spaced among those given (cost grows with their cube).
        first_rows, first_evaluations: the evidence is climbed on so many of them first, evenly spaced again.
        evaluations: then on all rows conditioned on, for at most so many iterations of L-BFGS; 0 for none.
    """

    kernel: KernelKind = "arm"
    rows: int = 2200
    first_rows: int = 700
    first_evaluations: int = 60
    evaluations: int = 10

    def __post_init__(self) -> None:
        for name, least in (("rows", 2), ("first_rows", 2), ("first_evaluations", 1), ("evaluations", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"Gaussian process: {name} is {getattr(self, name)}, expected at least {least}.")


@dataclass(frozen=True)
class _Joint:
    """The posterior of one joint's torque.

    Args:
        kernel: of the torque in units of its spread, on standardised motion; noise: variance, in the same units.
        evidence: log marginal likelihood per row, in the same units.
        inputs: [N, 3n] standardised motion conditioned on; tau: [N] N m; block: [N].
        inverse: [N, N] of the covariance, noise included; weights: inverse times torques.
    """

    kernel: ArmKernel
    noise: float
    evidence: float
    standard: Standard
    mean: float
    std: float
    inputs: Tensor = field(repr=False)
    tau: Float64[np.ndarray, " samples"] = field(repr=False)
    block: Int64[np.ndarray, " samples"] = field(repr=False)
    inverse: Tensor = field(repr=False)
    weights: Tensor = field(repr=False)

    @torch.no_grad()
    def predict(self, motion: Float64[np.ndarray, "new inputs"]) -> tuple[np.ndarray, np.ndarray]:
        means, variances = [], []
        for x in torch.from_numpy(self.standard(motion)).split(AT_A_TIME):
            cross = self.kernel(x, self.inputs)
            means.append(cross @ self.weights)
            known = ((cross @ self.inverse) * cross).sum(1)
            variances.append((self.kernel.diagonal(x) - known).clamp_min(0) + self.noise)
        mean, std = torch.cat(means) * self.std + self.mean, torch.cat(variances).sqrt() * self.std
        return mean.numpy(), std.numpy()

    @torch.no_grad()
    def left_out(self) -> LeftOut:
        """With P the inverse and B a block: mean y_B - P_BB^-1 (P y)_B, covariance P_BB^-1."""
        mean, std = np.empty(len(self.tau)), np.empty(len(self.tau))
        for block in np.unique(self.block):
            at = np.flatnonzero(self.block == block)
            part = torch.linalg.inv(self.inverse[np.ix_(at, at)])
            mean[at] = self.tau[at] - self.std * (part @ self.weights[at]).numpy()
            std[at] = self.std * part.diagonal().sqrt().numpy()
        return LeftOut(self.tau, mean, std, self.block)


@dataclass(frozen=True)
class ArmGP(TorqueModel):
    """One posterior per joint."""

    parts: tuple[_Joint, ...]

    @property
    def joints(self) -> int:  # type: ignore[override]
        return len(self.parts)

    @property
    def evidence(self) -> Float64[np.ndarray, " joints"]:
        """[n] log marginal likelihood per row: what to choose a kernel by. Comparable on the same rows only."""
        return np.array([p.evidence for p in self.parts])

    @property
    def noise(self) -> Float64[np.ndarray, " joints"]:
        """[n] N m, standard deviation of what the motion does not explain."""
        return np.array([math.sqrt(p.noise) * p.std for p in self.parts])

    def predict(self, rows: TorqueRows) -> TorqueEstimate:
        check_joints(self, rows)
        told = [p.predict(rows.motion) for p in self.parts]
        return TorqueEstimate(np.stack([m for m, _ in told], 1), np.stack([s for _, s in told], 1))

    def left_out(self) -> tuple[LeftOut, ...]:
        """Per joint, each row conditioned on with its whole block left out of the data, in closed form (Rasmussen and
        Williams 2006, 5.4.2). The kernel stays that of all rows."""
        return tuple(p.left_out() for p in self.parts)


def fit_gp(rows: TorqueRows, config: ArmGPConfig | None = None) -> ArmGP:
    """A Gaussian process per joint, lengths, sizes and noise at a maximum of the log marginal likelihood

        log p(y) = -1/2 y' K^-1 y - 1/2 log |K| - N/2 log 2 pi    (Rasmussen and Williams 2006, eq. 5.8)

    Args:
        rows: measured torques, NaN where a joint was not measured; each joint takes its own.
        config: how.

    Raises:
        SignalError: a joint with fewer than two measured torques, or one that never changes.
    """
    config = config or ArmGPConfig()
    return ArmGP(tuple(_fit_joint(rows, joint, config) for joint in range(rows.joints)))


def _fit_joint(rows: TorqueRows, joint: int, config: ArmGPConfig) -> _Joint:
    own = rows.of_joint(joint).thinned(config.rows)
    tau = own.tau[:, joint]
    if len(tau) < 2 or tau.std() <= 1e-12 * max(1e-300, np.abs(tau).max()):
        raise SignalError(
            f"Gaussian process: the {len(tau)} torque(s) of joint {joint + 1} never change; nothing can be learned "
            "from them. Give rows in which it works."
        )
    standard = Standard.of(own.motion)
    x, y = torch.from_numpy(standard(own.motion)), torch.from_numpy((tau - tau.mean()) / tau.std())
    kernel = ArmKernel(config.kernel, rows.joints)
    log_noise = torch.nn.Parameter(torch.tensor(-2.0, dtype=torch.float64))
    if len(x) > config.first_rows:
        first = torch.from_numpy(evenly(len(x), config.first_rows))
        _climb(kernel, log_noise, x[first], y[first], config.first_evaluations)
        _climb(kernel, log_noise, x, y, config.evaluations)
    else:
        _climb(kernel, log_noise, x, y, config.first_evaluations + config.evaluations)
    kernel.requires_grad_(False)
    with torch.no_grad():
        factor = torch.linalg.cholesky(_covariance(kernel, _noise(log_noise), x))
        inverse = torch.cholesky_inverse(factor)
        weights = inverse @ y
        score = -0.5 * float(y @ weights) - float(factor.diagonal().log().sum())
    return _Joint(
        kernel=kernel,
        noise=_noise(log_noise),
        evidence=score / len(y) - 0.5 * math.log(2 * math.pi),
        standard=standard,
        mean=float(tau.mean()),
        std=float(tau.std()),
        inputs=x,
        tau=tau,
        block=own.block,
        inverse=inverse,
        weights=weights,
    )


def _noise(log_noise: Tensor) -> float:
    return math.exp(2 * float(log_noise.detach())) + JITTER


def _tiles(rows: int) -> Iterator[tuple[slice, slice]]:
    """The lower triangle in squares small enough for the cache."""
    cuts = [slice(i, min(i + TILE, rows)) for i in range(0, rows, TILE)]
    return ((a, b) for i, a in enumerate(cuts) for b in cuts[: i + 1])


@torch.no_grad()
def _covariance(kernel: ArmKernel, noise: float, x: Float64[Tensor, "rows inputs"]) -> Float64[Tensor, "rows rows"]:
    covariance = x.new_empty(len(x), len(x))
    for a, b in _tiles(len(x)):
        tile = kernel(x[a], x[b])
        covariance[a, b], covariance[b, a] = tile, tile.T
    covariance.diagonal().add_(noise)
    return covariance


def _climb(
    kernel: ArmKernel,
    log_noise: torch.nn.Parameter,
    x: Float64[Tensor, "rows inputs"],
    y: Float64[Tensor, " samples"],
    iterations: int,
) -> None:
    """Raise the evidence by L-BFGS; its gradient by the covariance is (a a' - K^-1) / 2 with a = K^-1 y (eq. 5.9)."""
    if iterations == 0:
        return
    unknown = [*kernel.parameters(), log_noise]
    climber = torch.optim.LBFGS(
        unknown, max_iter=iterations, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-6
    )

    @torch.no_grad()
    def downhill() -> Tensor:
        climber.zero_grad()
        covariance = _covariance(kernel, _noise(log_noise), x)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if int(failed):  # a step of the line search into rounding: refused, it takes a shorter one
            return torch.tensor(math.inf, dtype=x.dtype)
        inverse = torch.cholesky_inverse(factor)
        weights = inverse @ y
        value = 0.5 * y @ weights + factor.diagonal().log().sum()
        slope = (inverse - torch.outer(weights, weights)) * (0.5 / len(y))
        # Tile by tile, each computed again: faster than one pass over arrays that no cache holds.
        for a, b in _tiles(len(x)):
            with torch.enable_grad():
                kernel(x[a], x[b]).backward(slope[a, b] if a == b else 2 * slope[a, b])
        log_noise.grad = slope.diagonal().sum() * 2 * (2 * log_noise).exp()
        return value / len(y)

    climber.step(downhill)
