"""How linear a model is, and what settles when: share explained by a Gaussian, emergence, rotation, sensitivity.

Wang, Vastola 2023 (arXiv 2303.02490). Under a Gaussian with variances l_j every principal component of D moves on its
own: of its final value it has reached sqrt(alpha^2 l / (alpha^2 l + sigma^2)), so large variances come first, the
outline before the details; the state turns in the plane of noise and sample; what disturbs it late along small
variances dies out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.oracles import GaussianPrior, Prior
from invdyn.diffusion.parameterize import Denoise, Kind, denoised_to
from invdyn.diffusion.path import Path, along
from invdyn.errors import SignalError
from invdyn.nn.gaussians import standard_normal

__all__ = ["emergence", "emergence_ratio", "explained_share", "half_times", "plane_share", "sensitivity"]


def explained_share(
    denoise: Denoise,
    prior: Prior,
    data: Float[Tensor, "batch *event"],
    t: float,
    path: Path,
    generator: torch.Generator,
    kind: Kind = "score",
) -> float:
    """1 - E|s - s_G|^2 / E|s|^2 on data noised to time t: the share of a model's score that the prior explains.

    Args:
        denoise: the model's D.
        prior: what it is compared with.
        data: samples, noised here.
        t: the time.
        path: of model and prior.
        generator: of the noise.
        kind: `score`, or another quantity of the hub, for example `x0` for D itself.
    """
    when = data.new_full((len(data),), t)
    x = path.corrupt(data, standard_normal(data, generator), when)
    with torch.no_grad():
        model = denoised_to(kind, denoise(x, when), x, when, path)
        # The score by its own formula: from D it would be a difference of large numbers at little noise.
        told = (
            prior.score(x, when, path)
            if kind == "score"
            else denoised_to(kind, prior.denoised(x, when, path), x, when, path)
        )
    return float(1 - (model - told).square().sum() / model.square().sum())


def emergence_ratio(variance: float, sigma: float) -> float:
    """How far D's component of this variance has come at noise sigma, of its final value: sqrt(l / (l + sigma^2)), EDM.

    >>> round(emergence_ratio(2.0, 6.0**0.5), 12)
    0.5
    """
    return math.sqrt(variance / (variance + sigma**2))


def emergence(
    denoised: Float[Tensor, "time batch dim"], mean: Float[Tensor, " dim"], axes: Float[Tensor, "dim component"]
) -> Float[Tensor, "time component"]:
    """How much of the final value of every component of D is there at every time, along sampling trajectories.

    c = u^T (D - mean); reported is E[c c_end] / E[c_end^2]: the slope of c on its final value, 1 in the last row. Under
    a Gaussian every trajectory has the same.
    """
    found = (denoised - mean) @ axes
    return (found * found[-1]).sum(1) / found[-1].square().sum(0)


def half_times(
    share: Float[Tensor, "time component"], times: Sequence[float], least: float = 0.5
) -> Float[Tensor, " component"]:
    """The noise level at which each component is half there: where it last rises through `least`, log-linear between.

    Args:
        share: of `emergence`, in the order of the times.
        times: falling, positive.
        least: the share looked for.

    Raises:
        SignalError: a component that is above it from the first time on.
    """
    below = share < least
    if not bool(below[0].all()):
        component = int((~below[0]).nonzero()[0])
        raise SignalError(f"half times: component {component} is above {least:g} at the first time; start earlier.")
    index = torch.arange(len(share))[:, None]
    last = torch.where(below, index, -1).amax(0)
    after = (last + 1).clamp_max(len(share) - 1)
    column = torch.arange(share.shape[1])
    low, high = share[last, column], share[after, column]
    logs = torch.tensor(times, dtype=share.dtype).log()
    part = (least - low) / (high - low)
    return torch.lerp(logs[last], logs[after], part.clamp(0.0, 1.0)).exp()


def plane_share(
    states: Float[Tensor, "time batch dim"], times: Sequence[float], mean: Float[Tensor, " dim"], path: Path
) -> Float[Tensor, " batch"]:
    """The share of a trajectory, mean subtracted, that lies in the plane of its first and last state.

    States are brought to alpha^2 + sigma^2 = 1 first, where the motion is a rotation, x_t = alpha D_0 + sigma x_T,
    exact when every variance is 0 or 1 (section 3 of the paper).

    Args:
        states: at every time, first and last included.
        times: of the states.
        mean: of the data.
        path: of the states.
    """
    t = torch.tensor(times, dtype=states.dtype)
    alpha, sigma = path.alpha(t), path.sigma(t)
    away = (states - along(alpha, states) * mean) / along((alpha.square() + sigma.square()).sqrt(), states)
    plane = torch.linalg.qr(torch.stack([away[0], away[-1]], -1)).Q
    inside = torch.einsum("tbd,bdp->tbp", away, plane)
    return inside.square().sum((0, 2)) / away.square().sum((0, 2))


def sensitivity(prior: GaussianPrior, t: float, path: Path) -> Float[Tensor, " component"]:
    """How much of a push along each principal component at time t is left at the end: sqrt(l / (sigma^2 + alpha^2 l)).

    In the order of `prior.variances`.
    """
    at = torch.tensor(t, dtype=prior.variances.dtype)
    variance = prior.variances[0]
    return (variance / (path.sigma(at).square() + path.alpha(at).square() * variance)).sqrt()
