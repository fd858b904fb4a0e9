"""Typed heads: from raw network outputs to a `CauseDistribution`, and the loss that fits it.

A head holds no weights of the net. It says how many raw outputs it needs (`size`) and turns
[..., size] into a distribution on [..., cause], so that ensembles put a leading axis in front.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError, unknown_name
from invdyn.nn.categoricals import FactoredCategorical, JointCategorical
from invdyn.nn.distributions import CauseDistribution
from invdyn.nn.gaussians import ClippedGaussian, Factored, Gaussian, GaussianMixture, SquashedGaussian

__all__ = [
    "CategoricalHead",
    "ClippedGaussianHead",
    "GaussianHead",
    "Head",
    "HeadKind",
    "JointCategoricalHead",
    "MixtureHead",
    "RegressionHead",
    "ScaledHead",
    "SquashedGaussianHead",
    "bounded_log_std",
    "make_head",
]

HeadKind = Literal["auto", "squashed", "clipped", "gaussian", "mixture", "regression", "categorical", "joint"]
JOINT_LIMIT = 100_000
"""More joint classes than this are refused: factor them."""


def bounded_log_std(raw: Tensor) -> Tensor:
    """-5 + 3.5 (tanh(raw) + 1), in [-5, 2] (card ssorl)."""
    return -5.0 + 3.5 * (torch.tanh(raw) + 1.0)


class Head(nn.Module):
    """What every head does.

    Attributes:
        size: raw outputs it needs.
        dimensions: components of the cause.
        beta: exponent of the beta-NLL (Seitzer et al. 2022, eq. 5): the loss of each dimension is weighted by its own
            variance^beta (held constant), in the head's scaled units. 0 is the likelihood; towards 1 hard samples count
            as much for the mean as in a squared error, so that a spread that fits the training noise early does not
            starve the mean.
    """

    size: int
    dimensions: int
    beta: float = 0.0

    @abstractmethod
    def distribution(self, raw: Float[Tensor, "*batch size"]) -> CauseDistribution:
        """The distribution that raw outputs stand for."""

    def set_scale(self, values: Shaped[Tensor, "frames cause"]) -> None:
        """Take location and scale of the causes seen in training."""

    def loss(
        self,
        raw: Float[Tensor, "*batch size"],
        value: Shaped[Tensor, "*batch cause"],
        weight: Float[Tensor, "*batch"] | None = None,
        mask: Bool[Tensor, "*batch cause"] | None = None,
    ) -> Float[Tensor, ""]:
        """Weighted mean over the batch of the negative log-likelihood, summed over the dimensions in `mask`.

        Raises:
            ConfigError: a mask with a head whose dimensions cannot be told apart.
        """
        distribution = self.distribution(raw)
        if isinstance(distribution, (Factored, FactoredCategorical)):
            known = value if mask is None else torch.where(mask, value, torch.zeros_like(value))
            each = -distribution.log_prob_per_dimension(known) * self._importance(distribution)
            each = each if mask is None else torch.where(mask, each, torch.zeros_like(each))
            cost = each.sum(-1)
        elif mask is None:
            cost = -distribution.log_prob(value)
        else:
            raise ConfigError(
                f"{type(self).__name__} cannot leave single dimensions out of its loss. "
                "Use a squashed, clipped, gaussian, regression or categorical head for causes with missing dimensions."
            )
        return weighted_mean(cost, weight)

    def _importance(self, distribution: CauseDistribution) -> Tensor | float:
        """Weight of each dimension's likelihood."""
        return 1.0


def weighted_mean(cost: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return cost.mean()
    weight = weight.expand_as(cost)
    return (weight * cost).sum() / weight.sum().clamp_min(1e-12)


class ScaledHead(Head):
    """Heads over numbers: raw outputs are in standard deviations of the training causes around their mean."""

    loc: Tensor
    scale: Tensor
    spread_shift: Tensor
    spread_slope: Tensor
    low: Tensor | None
    high: Tensor | None

    def __init__(
        self, dimensions: int, low: Sequence[float] | None = None, high: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.register_buffer("loc", torch.zeros(dimensions))
        self.register_buffer("scale", torch.ones(dimensions))
        self.register_buffer("spread_shift", torch.zeros(dimensions))
        self.register_buffer("spread_slope", torch.ones(dimensions))
        for name, bound in (("low", low), ("high", high)):
            full = None if bound is None else torch.tensor(np.broadcast_to(bound, (dimensions,)).copy()).float()
            self.register_buffer(name, full)

    def set_scale(self, values: Shaped[Tensor, "frames cause"]) -> None:
        values = values.double()
        std = values.std(0, correction=0)
        # A cause that never varied keeps the scale 1: its net output then stays near the constant.
        std = torch.where(std > 1e-8 * (1 + values.abs().amax(0)), std, torch.ones_like(std))
        self.loc.copy_(values.mean(0))
        self.scale.copy_(std)

    def _importance(self, distribution: CauseDistribution) -> Tensor | float:
        if self.beta == 0 or not isinstance(distribution, (Gaussian, ClippedGaussian, SquashedGaussian)):
            return 1.0
        return torch.exp(2 * self.beta * (distribution.log_std - torch.log(self.scale))).detach()

    def _mean_and_log_std(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = raw.split(self.dimensions, -1)
        return self.loc + self.scale * mean, self._log_std(spread) + torch.log(self.scale)

    def _log_std(self, raw: Tensor) -> Tensor:
        return self.spread_shift + self.spread_slope * bounded_log_std(raw)

    @torch.no_grad()
    def recalibrate(
        self, raw: Float[Tensor, "*batch size"], value: Shaped[Tensor, "*batch cause"], least: int = 20
    ) -> None:
        """Correct the spread on data the net was not trained on: log std <- shift + slope * log std, per dimension.

        A net that fits its training causes closely believes its own residuals. The slope, in [0, 1], keeps as much of
        what it says about *where* it is uncertain as held-out errors bear out (0: one spread for all); the shift sets
        the level. Both maximise the Laplace likelihood of the held-out errors, which a few large ones do not rule; the
        level is that of a Gaussian with the same mean absolute error. Saturated causes and dimensions with
        fewer than `least` others are left out.
        """
        distribution = self.distribution(raw)
        if not isinstance(distribution, (Gaussian, ClippedGaussian, SquashedGaussian)):
            return
        error, inside = distribution.deviation(value)
        said = distribution.log_std - torch.log(self.scale)
        for dim in range(self.dimensions):
            keep = inside[..., dim]
            e = (error[..., dim] / self.scale[dim])[keep].abs().double()
            log_std = said[..., dim][keep].double()
            if len(e) < least:
                continue
            slopes = torch.linspace(0, 1, 21, dtype=torch.float64)
            levels = torch.log((e * torch.exp(-slopes[:, None] * log_std)).mean(1) + 1e-12)
            best = int((levels + slopes * log_std.mean()).argmin())
            self.spread_shift[dim] = levels[best] + 0.5 * math.log(math.pi / 2)
            self.spread_slope[dim] = slopes[best]


class GaussianHead(ScaledHead):
    """Diagonal Gaussian; raw = [mean, spread]."""

    def __init__(
        self, dimensions: int, low: Sequence[float] | None = None, high: Sequence[float] | None = None
    ) -> None:
        super().__init__(dimensions, low, high)
        self.size = 2 * dimensions

    def distribution(self, raw: Float[Tensor, "*batch size"]) -> Gaussian:
        return Gaussian(*self._mean_and_log_std(raw), self.low, self.high)


class ClippedGaussianHead(ScaledHead):
    """Gaussian clipped to the bounds; raw = [mean, spread]."""

    def __init__(self, dimensions: int, low: Sequence[float], high: Sequence[float]) -> None:
        super().__init__(dimensions, low, high)
        self.size = 2 * dimensions

    def distribution(self, raw: Float[Tensor, "*batch size"]) -> ClippedGaussian:
        assert self.low is not None
        assert self.high is not None
        return ClippedGaussian(*self._mean_and_log_std(raw), self.low, self.high)


class SquashedGaussianHead(ScaledHead):
    """tanh-squashed Gaussian; raw = [mean, spread] of the base, before squashing."""

    def __init__(self, dimensions: int, low: Sequence[float], high: Sequence[float]) -> None:
        super().__init__(dimensions, low, high)
        self.size = 2 * dimensions

    def set_scale(self, values: Shaped[Tensor, "frames cause"]) -> None:
        """Nothing to take: the bounds are the scale."""

    def distribution(self, raw: Float[Tensor, "*batch size"]) -> SquashedGaussian:
        assert self.low is not None
        assert self.high is not None
        mean, spread = raw.split(self.dimensions, -1)
        return SquashedGaussian(mean, self._log_std(spread), self.low, self.high)


class MixtureHead(ScaledHead):
    """Mixture of diagonal Gaussians; raw = [logits, means, spreads]."""

    def __init__(
        self,
        dimensions: int,
        low: Sequence[float] | None = None,
        high: Sequence[float] | None = None,
        components: int = 5,
        answer: str = "mode",
    ) -> None:
        super().__init__(dimensions, low, high)
        self.components, self.answer = components, answer
        self.size = components * (1 + 2 * dimensions)

    def distribution(self, raw: Float[Tensor, "*batch size"]) -> GaussianMixture:
        k, d = self.components, self.dimensions
        logits, means, spreads = raw.split([k, k * d, k * d], -1)
        means = self.loc + self.scale * means.unflatten(-1, (k, d))
        log_stds = bounded_log_std(spreads.unflatten(-1, (k, d))) + torch.log(self.scale)
        return GaussianMixture(logits, means, log_stds, self.low, self.high, self.answer)


class RegressionHead(ScaledHead):
    """A point and no opinion of its own about the error; raw = [mean].

    With `spread="learned"` one standard deviation per dimension is fitted beside the net (homoscedastic
    likelihood); with "none" the loss is half the squared error in training standard deviations, and the
    spread reported is that unit until `recalibrate` sets it from held-out errors.
    """

    def __init__(
        self,
        dimensions: int,
        low: Sequence[float] | None = None,
        high: Sequence[float] | None = None,
        spread: Literal["none", "learned"] = "none",
    ) -> None:
        super().__init__(dimensions, low, high)
        self.size = dimensions
        self.log_std = nn.Parameter(torch.zeros(dimensions)) if spread == "learned" else None

    def distribution(self, raw: Float[Tensor, "*batch size"]) -> Gaussian:
        mean = self.loc + self.scale * raw
        own = torch.zeros_like(self.scale) if self.log_std is None else self.log_std
        log_std = self.spread_shift + self.spread_slope * own + torch.log(self.scale)
        return Gaussian(mean, log_std.expand_as(mean), self.low, self.high)

    def loss(
        self,
        raw: Float[Tensor, "*batch size"],
        value: Shaped[Tensor, "*batch cause"],
        weight: Float[Tensor, "*batch"] | None = None,
        mask: Bool[Tensor, "*batch cause"] | None = None,
    ) -> Float[Tensor, ""]:
        """Half the mean squared error (or the likelihood when the spread is learned) over the components in `mask`."""
        error = (value - self.loc) / self.scale - raw
        if self.log_std is not None:
            each = 0.5 * (error * torch.exp(-self.log_std)).square() + self.log_std
        else:
            each = 0.5 * error.square()
        if mask is not None:
            each = torch.where(mask, each, torch.zeros_like(each))
        return weighted_mean(each.sum(-1), weight)


class CategoricalHead(Head):
    """Independent groups of classes (VPT's buttons and mouse bins)."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.dimensions, self.size = len(self.sizes), sum(self.sizes)

    def distribution(self, raw: Float[Tensor, "*batch size"]) -> FactoredCategorical:
        return FactoredCategorical(raw, self.sizes)


class JointCategoricalHead(Head):
    """One class per combination of groups."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.dimensions, self.size = len(self.sizes), math.prod(self.sizes)
        if self.size > JOINT_LIMIT:
            raise ConfigError(
                f"a joint head over groups {self.sizes} has {self.size} classes, more than {JOINT_LIMIT}. "
                "Use head='categorical'."
            )

    def distribution(self, raw: Float[Tensor, "*batch size"]) -> JointCategorical:
        return JointCategorical(raw, self.sizes)


def _classes(target: SignalSpec) -> tuple[int, ...]:
    if target.dtype == "bool":
        return (2,) * target.size
    if np.dtype(target.dtype).kind not in "iu" or target.low is None or target.high is None:
        raise ConfigError(
            f"target {target.name!r} ({target.dtype}, bounds {target.low} to {target.high}) does not say which classes "
            "it has. A categorical head needs a bool signal, or integers with bounds 0 to classes - 1."
        )
    low, high = (np.broadcast_to(b, (target.size,)) for b in (target.low, target.high))
    if (low != 0).any():
        raise ConfigError(f"target {target.name!r} has classes from {low.tolist()}; shift them to begin at 0.")
    return tuple(int(h) + 1 for h in high)


def make_head(
    kind: HeadKind,
    target: SignalSpec,
    *,
    components: int = 5,
    spread: Literal["none", "learned"] = "none",
    beta: float = 0.0,
) -> Head:
    """The head for a target signal.

    `auto` takes categorical for classes, clipped Gaussian for bounded numbers, Gaussian for unbounded ones.

    Raises:
        ConfigError: a target that is not numeric, bounds that are missing or infinite, classes that are not known.
        UnknownNameError: no such kind.
    """
    if kind not in get_args(HeadKind):
        raise unknown_name("head", kind, get_args(HeadKind))
    if target.is_text:
        raise ConfigError(
            f"target {target.name!r} is text, expected numbers or classes. Choose a numeric signal as the target."
        )
    bounded = (
        target.low is not None and target.high is not None and bool(np.isfinite((*target.low, *target.high)).all())
    )
    whole = np.dtype(target.dtype).kind in "biu"
    if kind == "auto":
        classes = target.dtype == "bool" or (whole and bounded)
        kind = "categorical" if classes else "clipped" if bounded else "gaussian"
    head = _make(kind, target, bounded, components, spread)
    head.beta = beta
    return head


def _make(
    kind: HeadKind, target: SignalSpec, bounded: bool, components: int, spread: Literal["none", "learned"]
) -> Head:
    if kind == "categorical":
        return CategoricalHead(_classes(target))
    if kind == "joint":
        return JointCategoricalHead(_classes(target))
    low, high = (target.low, target.high) if bounded else (None, None)
    if kind in ("squashed", "clipped"):
        if low is None or high is None:
            raise ConfigError(
                f"a {kind} head needs finite bounds and target {target.name!r} has {target.low} to {target.high}. "
                "Give the signal its bounds, or use head='gaussian'."
            )
        return (SquashedGaussianHead if kind == "squashed" else ClippedGaussianHead)(target.size, low, high)
    if kind == "mixture":
        return MixtureHead(target.size, low, high, components)
    if kind == "regression":
        return RegressionHead(target.size, low, high, spread)
    return GaussianHead(target.size, low, high)
