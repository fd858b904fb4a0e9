"""RED-diff: an inverse problem y = f(x) + noise as optimisation, a frozen model's denoising as the regulariser.

Mardani, Song, Kautz, Vahdat, ICLR 2024, arXiv 2305.04391: the posterior is fitted by N(mu, 0); the gradient of the KL
is a mu-gradient of the data term plus E[lambda_t (eps_net(x_t) - eps)], x_t = alpha mu + sigma eps, without the net's
Jacobian (Prop. 2). One step of Adam for every noise level, from loud to quiet.

For a Gaussian prior N(m, S) and lambda_t = lambda sigma/alpha the mean field is exactly lambda M (mu - m),
M = mean_t sigma^2 (alpha^2 S + sigma^2 I)^-1 (`regulariser_precision`): the Bayes answer only where lambda M is S^-1 in
units of the noise. `whitening` is the matrix lambda that makes it so for every S (our extension).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.operators import Operator
from invdyn.diffusion.oracles import GaussianPrior
from invdyn.diffusion.parameterize import Denoise
from invdyn.diffusion.path import Path, along
from invdyn.diffusion.run import Level, asked, levels_at
from invdyn.errors import ConfigError, unknown_name
from invdyn.nn.gaussians import standard_normal

__all__ = [
    "WEIGHTINGS",
    "RedDiff",
    "denoising_field",
    "matched_weight",
    "ordered",
    "regulariser_precision",
    "whitening",
]

SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda r: r,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "log": torch.log1p,
    "clip": lambda r: r.clamp(max=1.0),
    "power23": lambda r: r ** (2 / 3),
    "const": torch.ones_like,
}
WEIGHTINGS = tuple(SHAPES)
"""lambda_t / lambda as a function of sigma/alpha; `linear` is the paper's."""
NOISES = ("own", "shared", "paired", "none")


def denoising_field(
    denoise: Denoise,
    mu: Float[Tensor, "batch *event"],
    t: Float[Tensor, " batch"],
    eps: Float[Tensor, "batch *event"],
    path: Path,
    clip: float | None = None,
) -> Float[Tensor, "batch *event"]:
    """eps_net(alpha mu + sigma eps) - eps, the net's noise read from D (clipped where asked); no gradient passes."""
    with torch.no_grad():
        alpha, sigma = along(path.alpha(t), mu), along(path.sigma(t), mu)
        return _field(denoise, mu, t, eps, alpha, sigma, clip)


def _field(denoise: Denoise, mu: Tensor, t: Tensor, eps: Tensor, alpha: Any, sigma: Any, clip: float | None) -> Tensor:
    x = alpha * mu + sigma * eps
    denoised = denoise(x, t)
    if clip is not None:
        denoised = denoised.clamp(-clip, clip)
    return x.sub_(alpha * denoised).div_(sigma).sub_(eps)


@dataclass(frozen=True)
class RedDiff:
    """How the optimisation goes.

    Both terms are averaged over their own components (the paper's code), so a data term of few components weighs more
    per unit; with `sums` they are not: data = 1/noise^2 is then the likelihood itself and `weight` has no unit.

    Args:
        path: the model's.
        times: noise levels, one Adam step each, loudest first (descending is best in the paper); an entry of several
            levels averages them in one step (the parallel form). `ordered` makes other orders.
        weight: lambda, a number (0.25 in the paper's code) or a matrix [dim, dim] over flattened events (`whitening`).
        weighting: lambda_t as a function of sigma/alpha, one of `WEIGHTINGS`.
        data: factor v on the data term |y - f(mu)|^2 / 2; 0 leaves the prior alone (score distillation).
        lr, betas: of Adam (0.1 and (0.9, 0.99) in the paper's code).
        final_lr: share of the rate left at the last step (ours; the paper keeps it at 1).
        draws: noises averaged in a step, antithetic pairs where even (ours); 1 in the paper.
        noise: `own` eps for every sample, one `shared` by the batch, `paired`: every second step takes the step's
            before with its sign turned, which cancels most of a step's error (ours), or `none`: eps = 0,
            regularisation by denoising as it was before diffusion models (RED; Romano, Elad, Milanfar 2017), for
            `times` of one level.
        sd: standard deviation of q: x0 = mu + sd z in both terms; 0 in the paper (1e-4 in its parallel form).
        clip: D is kept within [-clip, clip].
        sums: neither term is divided by its number of components: the objective's own units.
    """

    path: Path
    times: Sequence[float | tuple[float, ...]]
    weight: float | Tensor = 0.25
    weighting: str = "linear"
    data: float = 1.0
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    final_lr: float = 1.0
    draws: int = 1
    noise: str = "own"
    sd: float = 0.0
    clip: float | None = None
    sums: bool = False

    def __post_init__(self) -> None:
        if self.weighting not in SHAPES:
            raise unknown_name("weighting", self.weighting, WEIGHTINGS)
        if self.noise not in NOISES:
            raise unknown_name("noise of red-diff", self.noise, NOISES)
        if not self.times or any(not 0 < t <= self.path.t_max for step in self.times for t in _levels(step)):
            raise ConfigError(
                f"red-diff: times must lie above 0 and at most at {self.path.t_max:g}, one for each step."
            )
        if self.draws < 1:
            raise ConfigError(f"red-diff: {self.draws} draws a step, expected at least 1.")
        if not self.sd >= 0:
            raise ConfigError(f"red-diff: sd is {self.sd}, expected 0 or more.")

    def __call__(
        self,
        denoise: Denoise,
        operator: Operator,
        y: Tensor,
        generator: torch.Generator,
        start: Tensor | None = None,
        watch: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """mu [batch, ...] for measurements y [batch, ...].

        Args:
            denoise: the prior's D.
            operator: f.
            y: what was measured.
            generator: of the noise.
            start: first mu; the operator's guess without it.
            watch: called with (step, mu).
        """
        mu = (operator.guess(y) if start is None else start).detach().clone().requires_grad_(True)
        adam = torch.optim.Adam([mu], lr=self.lr, betas=self.betas)
        inside = 1.0 if self.sums else 1 / mu[0].numel()
        eps = mu.detach()
        known = dict(zip(self.visited, levels_at(self.path, self.visited)))
        for step, times in enumerate(self.times):
            levels = [known[t] for t in _levels(times)]
            for group in adam.param_groups:
                group["lr"] = self.lr * (1 + (self.final_lr - 1) * step / max(1, len(self.times) - 1))
            adam.zero_grad()
            x0 = mu if self.sd == 0 else mu + self.sd * standard_normal(mu, generator)
            error = (y - operator.forward(x0)).square().flatten(1)
            misfit = error.sum() if self.sums else error.mean(1).sum()
            (self.data / 2 * misfit).backward()
            assert mu.grad is not None
            eps = -eps if self.noise == "paired" and step % 2 else self.draw(mu.detach(), len(levels), generator)
            mu.grad += inside * self.pull(denoise, x0.detach(), levels, eps)
            adam.step()
            if watch is not None:
                watch(step, mu.detach())
        return mu.detach()

    @property
    def visited(self) -> list[float]:
        """Every noise level there is, once."""
        return list(dict.fromkeys(t for step in self.times for t in _levels(step)))

    def draw(
        self, mu: Float[Tensor, "batch *event"], levels: int, generator: torch.Generator
    ) -> Float[Tensor, "draw batch *event"]:
        """eps of a step, for every level and draw."""
        count = self.draws * levels
        like = mu[:1] if self.noise == "shared" else mu
        if self.noise == "none":
            return mu.new_zeros(count, *mu.shape)
        half = standard_normal(like.expand((self.draws + 1) // 2 * levels, *like.shape), generator)
        eps = half if len(half) == count else torch.cat([half, -half])[:count]
        return eps.expand(-1, *mu.shape)

    def pull(
        self,
        denoise: Denoise,
        mu: Float[Tensor, "batch *event"],
        levels: Sequence[Level],
        eps: Float[Tensor, "draw batch *event"],
    ) -> Float[Tensor, "batch *event"]:
        """lambda_t (eps_net - eps), averaged over draws and levels."""
        total = torch.zeros_like(mu)
        with torch.no_grad():
            for k, level in enumerate(levels):
                own = eps[k :: len(levels)]
                many = mu if len(own) == 1 else mu.expand(len(own), *mu.shape).flatten(0, 1)
                field = _field(
                    lambda x, t, level=level: asked(denoise, x, level),  # type: ignore[misc]
                    many, level.tensor(many), own.flatten(0, 1), level.alpha, level.sigma, self.clip,
                )  # fmt: skip
                ratio = float(SHAPES[self.weighting](torch.tensor(level.sigma / level.alpha, dtype=torch.float64)))
                total.add_(field.reshape(own.shape).mean(0), alpha=ratio / len(levels))
        if isinstance(self.weight, Tensor):
            return (total.flatten(1) @ self.weight.mT).reshape(mu.shape)
        return self.weight * total


def _levels(step: float | tuple[float, ...]) -> tuple[float, ...]:
    return step if isinstance(step, tuple) else (step,)


def ordered(times: Sequence[float], order: str, generator: torch.Generator) -> list[float]:
    """Noise levels `descending` (loud to quiet), `ascending`, or in `random` order."""
    if order == "random":
        return [times[int(k)] for k in torch.randperm(len(times), generator=generator, device=generator.device)]
    if order not in ("descending", "ascending"):
        raise unknown_name("order of times", order, ("descending", "ascending", "random"))
    return sorted(times, reverse=order == "descending")


def _precisions(spectrum: Tensor, path: Path, times: Sequence[float]) -> Tensor:
    """mean_t sigma^2 / (alpha^2 s + sigma^2) for every s."""
    t = torch.as_tensor(list(times), dtype=spectrum.dtype)
    alpha2, sigma2 = path.alpha(t).square()[:, None], path.sigma(t).square()[:, None]
    return (sigma2 / (alpha2 * spectrum + sigma2)).mean(0)


def regulariser_precision(prior: GaussianPrior, path: Path, times: Sequence[float]) -> Float[Tensor, "dim dim"]:
    """M: with lambda_t = lambda sigma/alpha the mean field of a Gaussian prior is lambda M (mu - mean)."""
    spectrum, axes = torch.linalg.eigh(prior.covariance())
    return (axes * _precisions(spectrum, path, times)) @ axes.mT


def whitening(prior: GaussianPrior, path: Path, times: Sequence[float], noise: float) -> Float[Tensor, "dim dim"]:
    """The matrix weight noise^2 S^-1 M^-1 that makes mu the posterior mean of a Gaussian prior (sums, data = 1)."""
    spectrum, axes = torch.linalg.eigh(prior.covariance())
    return (axes * (noise**2 / (spectrum * _precisions(spectrum, path, times)))) @ axes.mT


def matched_weight(variance: float, path: Path, times: Sequence[float], noise: float) -> float:
    """The one lambda that does the same for a round prior of this variance: noise^2 / (s I(s)) (sums, data = 1)."""
    s = torch.tensor([variance], dtype=torch.float64)
    return noise**2 / (variance * float(_precisions(s, path, times)[0]))
