"""`LinearGaussianWorld`: x' = A x + B u + e, y = C x + D u + n, and every posterior of it in closed form.

The oracle (`LinearGaussianOracle`) is the one-step joint of observation o, action a and next observation o':

    a = K o + s,  s ~ N(0, S_a);     o' = A o + B a + w,  w ~ N(0, S_w)

policy   p(a | o)      N(K o, S_a)
forward  p(o' | o, a)  N(A o + B a, S_w)
video    p(o' | o)     N((A + B K) o, B S_a B' + S_w)
inverse  p(a | o, o')  precision P = S_a^-1 + B' S_w^-1 B, mean P^-1 (S_a^-1 K o + B' S_w^-1 (o' - A o))

(Zhu et al., Unified World Models, RSS 2025, learns all of them with one network; here is what it should learn.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from invdyn.errors import ConfigError, WorldError
from invdyn.worlds.base import Expert
from invdyn.worlds.torch_world import EXPERT, PROCESS, RESET, Outcome, Quality, ScriptedExpert, TorchWorld

__all__ = ["Gaussian", "LinearGaussianConfig", "LinearGaussianOracle", "LinearGaussianWorld"]

STATE = "observation.state"
OBSERVING = 101
"""Stream of the observation noise."""

Matrix = Float64[Tensor, "row column"]


@dataclass(frozen=True)
class Gaussian:
    """Normal distributions with one covariance.

    Args:
        mean: one per sample.
        covariance: of all of them.
    """

    mean: Float64[Tensor, "batch event"]
    covariance: Float64[Tensor, "event event"]

    def sample(self, generator: torch.Generator | None = None) -> Float64[Tensor, "batch event"]:
        """One draw each."""
        noise = torch.randn(self.mean.shape, dtype=torch.float64, generator=generator)
        return self.mean + noise @ torch.linalg.cholesky(self.covariance).T

    def log_prob(self, value: Float64[Tensor, "batch event"]) -> Float64[Tensor, " batch"]:
        """Log-density of one value each."""
        return torch.distributions.MultivariateNormal(self.mean, self.covariance).log_prob(value)


@dataclass(frozen=True)
class LinearGaussianOracle:
    """The one-step joint of (o, a, o') and its conditionals; see the module.

    Args:
        A, B, K: dynamics, input and policy matrices.
        S_a, S_w: covariances of the policy's and the dynamics' noise.
    """

    A: Float64[Tensor, "o o"]
    B: Float64[Tensor, "o a"]
    K: Float64[Tensor, "a o"]
    S_a: Float64[Tensor, "a a"]
    S_w: Float64[Tensor, "o o"]

    def policy(self, o: Float64[Tensor, "batch o"]) -> Gaussian:
        """p(a | o)."""
        return Gaussian(o @ self.K.T, self.S_a)

    def forward(self, o: Float64[Tensor, "batch o"], a: Float64[Tensor, "batch a"]) -> Gaussian:
        """p(o' | o, a)."""
        return Gaussian(o @ self.A.T + a @ self.B.T, self.S_w)

    def video(self, o: Float64[Tensor, "batch o"]) -> Gaussian:
        """p(o' | o), the action unknown."""
        return Gaussian(o @ (self.A + self.B @ self.K).T, self.B @ self.S_a @ self.B.T + self.S_w)

    def inverse(self, o: Float64[Tensor, "batch o"], after: Float64[Tensor, "batch o"]) -> Gaussian:
        """p(a | o, o')."""
        weight = torch.linalg.solve(self.S_w, self.B).T  # B' S_w^-1
        prior = torch.linalg.inv(self.S_a)
        covariance = torch.linalg.inv(prior + weight @ self.B)
        mean = (o @ (prior @ self.K).T + (after - o @ self.A.T) @ weight.T) @ covariance.T
        return Gaussian(mean, (covariance + covariance.T) / 2)

    def joint(self, o: Float64[Tensor, "batch o"]) -> Gaussian:
        """p(a, o' | o)."""
        mean = torch.cat([self.policy(o).mean, self.video(o).mean], 1)
        cross = self.S_a @ self.B.T
        covariance = torch.cat(
            [torch.cat([self.S_a, cross], 1), torch.cat([cross.T, self.video(o).covariance], 1)],
        )
        return Gaussian(mean, covariance)


@dataclass(frozen=True)
class LinearGaussianConfig:
    """Settings of a linear-Gaussian world; matrices that are None are drawn from `matrix_seed`.

    Args:
        states, causes: dimensions of drawn matrices; ignored where A and B are given.
        A, B, C, D, K: dynamics, input, output, feedthrough and behaviour-policy matrices as nested tuples. C None is
            the identity, D None is zero.
        process_noise, output_noise, policy_noise: standard deviations per component of e, n and the policy's noise.
        radius: spectral radius of a drawn A.
        start: standard deviation of the start state.
        matrix_seed: what the drawn matrices come from.
        horizon: steps per episode.
    """

    states: int = 4
    causes: int = 2
    A: tuple[tuple[float, ...], ...] | None = None
    B: tuple[tuple[float, ...], ...] | None = None
    C: tuple[tuple[float, ...], ...] | None = None
    D: tuple[tuple[float, ...], ...] | None = None
    K: tuple[tuple[float, ...], ...] | None = None
    process_noise: float = 0.2
    output_noise: float = 0.0
    policy_noise: float = 0.5
    radius: float = 0.9
    start: float = 1.0
    matrix_seed: int = 0
    horizon: int = 50

    def __post_init__(self) -> None:
        if min(self.process_noise, self.output_noise, self.policy_noise, self.start) < 0 or self.horizon < 1:
            raise ConfigError("linear_gaussian: standard deviations are at least 0 and the horizon at least 1.")


class LinearGaussianWorld(TorchWorld[LinearGaussianConfig]):
    """A batch of linear systems with one set of matrices.

    Step: x' = A x + B u + e, then y = C x' + D u + n is what is observed: the feedthrough shows in the observation
    that follows the cause. After a reset y = C x + n, no cause having acted.
    State: x, then y. The cause is unbounded. No reward and no success.
    """

    name = "linear_gaussian"
    config_class = LinearGaussianConfig

    def specs(self) -> None:
        c = self.config
        generator = torch.Generator().manual_seed(c.matrix_seed)
        drawn_a = torch.randn(c.states, c.states, dtype=torch.float64, generator=generator)
        drawn_a = c.radius * drawn_a / torch.linalg.eigvals(drawn_a).abs().max()
        drawn_b = torch.randn(c.states, c.causes, dtype=torch.float64, generator=generator)
        drawn_k = 0.5 * torch.randn(c.causes, c.states, dtype=torch.float64, generator=generator)
        self.A = self.matrix("A", c.A, drawn_a)
        self.B = self.matrix("B", c.B, drawn_b)
        n, m = self.B.shape
        self.C = self.matrix("C", c.C, torch.eye(n, dtype=torch.float64))
        self.D = self.matrix("D", c.D, torch.zeros(len(self.C), m, dtype=torch.float64))
        self.K = self.matrix("K", c.K, drawn_k)
        for matrix, shape in (("A", (n, n)), ("C", (len(self.C), n)), ("D", (len(self.C), m)), ("K", (m, n))):
            given = tuple(getattr(self, matrix).shape)
            if given != shape:
                raise ConfigError(f"linear_gaussian: {matrix} is {given}; with B of {(n, m)} it has to be {shape}.")
        outputs = tuple(f"y{i}" for i in range(len(self.C)))
        self.state_names = (*(f"x{i}" for i in range(n)), *outputs)
        self.dt, self.horizon = 1.0, c.horizon
        self.observations = (self.vector(STATE, len(outputs), names=outputs),)
        self.action = self.vector("action", m, kind="action", names=tuple(f"u{i}" for i in range(m)))

    def matrix(self, name: str, rows: tuple[tuple[float, ...], ...] | None, default: Tensor) -> Matrix:
        """The matrix of the config, or the default."""
        if rows is None:
            return default.to(self.device)
        if len({len(row) for row in rows}) != 1:
            raise ConfigError(f"linear_gaussian: the rows of {name} have different lengths.")
        return torch.tensor(rows, dtype=torch.float64, device=self.device)

    def start(self) -> tuple[Float64[Tensor, "state batch"], dict[str, Float64[Tensor, "value batch"]]]:
        x = self.config.start * self.normal(RESET, len(self.A))
        return torch.cat([x, self.output(x, None)]), {}

    def advance(self, cause: Float64[Tensor, "cause batch"]) -> Outcome:
        n = len(self.A)
        noise = self.config.process_noise * self.normal(PROCESS, n)
        x = apply(self.A, self.x[:n]) + apply(self.B, cause) + noise
        self.x = torch.cat([x, self.output(x, cause)])
        nothing = torch.zeros(self.batch, dtype=torch.float64, device=self.device)
        return Outcome(nothing, torch.zeros_like(nothing, dtype=torch.bool))

    def output(
        self, x: Float64[Tensor, "state batch"], cause: Float64[Tensor, "cause batch"] | None
    ) -> Float64[Tensor, "output batch"]:
        """y = C x + D u + n."""
        y = apply(self.C, x) if cause is None else apply(self.C, x) + apply(self.D, cause)
        # The noise after a step is another one than after the reset, although both happen at step 0.
        stream = OBSERVING + (cause is not None)
        return y + self.config.output_noise * self.normal(stream, len(self.C))

    def observe_state(self) -> dict[str, Shaped[Tensor, "batch ..."]]:
        return {STATE: self.x[len(self.A) :].T.float()}

    def oracle(self) -> LinearGaussianOracle:
        """Posteriors between observations, where these are the state.

        Raises:
            WorldError: outputs that are not exactly the state.
        """
        c, n = self.config, len(self.A)
        if c.output_noise or self.D.any() or not torch.equal(self.C, torch.eye(n, dtype=torch.float64)):
            raise WorldError("linear_gaussian: the oracle needs C = identity, D = 0 and no output noise.")
        m = self.B.shape[1]
        return LinearGaussianOracle(
            self.A, self.B, self.K,
            c.policy_noise**2 * torch.eye(m, dtype=torch.float64),
            c.process_noise**2 * torch.eye(n, dtype=torch.float64),
        )  # fmt: skip

    def inverse(
        self, before: Mapping[str, Shaped[Tensor, "batch ..."]], after: Mapping[str, Shaped[Tensor, "batch ..."]]
    ) -> Float[Tensor, "batch cause"]:
        """The exact cause without noise: least squares of y' - A y on B; needs C = identity, D = 0, B of full rank."""
        if self.config.process_noise:
            raise WorldError("linear_gaussian: with process noise the cause is not exact; use oracle().inverse.")
        self.oracle()
        if torch.linalg.matrix_rank(self.B) < self.B.shape[1]:
            raise WorldError(
                "linear_gaussian: B has not full column rank; several causes lead to the same observation."
            )
        change = after[STATE].double() - before[STATE].double() @ self.A.T
        return change @ torch.linalg.pinv(self.B).T

    def markov_parameters(self, count: int) -> Float64[Tensor, "lag output cause"]:
        """D, C B, C A B, ..., C A^(count-2) B: the response of the output to an impulse of the cause."""
        terms, power = [self.D], self.B
        for _ in range(count - 1):
            terms.append(self.C @ power)
            power = self.A @ power
        return torch.stack(terms[:count])

    def stationary(self) -> Float64[Tensor, "state state"]:
        """Covariance of x in the long run under the behaviour policy (discrete Lyapunov equation).

        Raises:
            WorldError: a closed loop that is not stable.
        """
        loop, m = self.A + self.B @ self.K, self.B.shape[1]
        if torch.linalg.eigvals(loop).abs().max() >= 1:
            raise WorldError(
                "linear_gaussian: A + B K has an eigenvalue outside the unit circle; nothing is stationary."
            )
        n, c = len(loop), self.config
        noise = c.process_noise**2 * torch.eye(n, dtype=torch.float64) + c.policy_noise**2 * self.B @ self.B.T
        assert m == self.K.shape[0]
        return torch.linalg.solve(
            torch.eye(n * n, dtype=torch.float64) - torch.kron(loop, loop), noise.flatten()
        ).reshape(n, n)

    def expert(self, quality: Quality | None = None) -> Expert:
        """The behaviour policy u = K x + noise. A `Quality` may set the gain only, the cause being unbounded."""
        quality = quality or Quality()
        if quality.noise or quality.random:
            raise WorldError("linear_gaussian: the cause has no bounds to measure noise in; set policy_noise instead.")
        return LinearPolicy(self, quality)


class LinearPolicy(ScriptedExpert[LinearGaussianWorld]):
    """u = K x + policy_noise n."""

    def control(self) -> Float64[Tensor, "cause batch"]:
        world = self.world
        noise = world.config.policy_noise * world.normal(EXPERT, len(world.K))
        return apply(world.K, world.x[: len(world.A)]) + noise


def apply(matrix: Matrix, vectors: Float64[Tensor, "column batch"]) -> Float64[Tensor, "row batch"]:
    """matrix @ vectors, summed in one order whatever the batch size (BLAS would round differently)."""
    total = matrix[:, :1] * vectors[:1]
    for k in range(1, matrix.shape[1]):
        total = total + matrix[:, k : k + 1] * vectors[k : k + 1]
    return total
