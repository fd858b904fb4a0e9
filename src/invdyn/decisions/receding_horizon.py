"""`RecedingHorizonRunner`: a chunk policy in closed loop, many copies at once; from noise, or from its last chunk.

Real-time iteration (RTI-DP, arXiv 2508.05396): at every step the last normalised chunk, shifted by one, starts a few
denoising steps at a low level. Each copy of the world has its own first tick, which is denoised in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invdyn.decisions.chunk_policy import ChunkPolicy
from invdyn.diffusion.grids import level_grid
from invdyn.diffusion.real_time import iteration_pairs, shifted
from invdyn.diffusion.samplers import Sampler
from invdyn.diffusion.steps import DDIM, DPMpp2M, Rule
from invdyn.errors import ConfigError, unknown_name
from invdyn.nn.gaussians import standard_normal

__all__ = ["Plan", "RecedingHorizonRunner"]

RULES: dict[str, Rule] = {"ddpm": DDIM(eta=1.0), "ddim": DDIM(), "dpmpp2m": DPMpp2M()}
CLIPPED = 10.0
"""What a two-valued component of a guess is divided by under `clip` (the released image configurations)."""


@dataclass(frozen=True)
class Plan:
    """How chunks are made and how much of each is executed.

    Args:
        rule: `ddpm`, `ddim` or `dpmpp2m`.
        steps: denoising steps from noise; None for all levels.
        execute: actions executed of each chunk.
        real_time: levels of the steps from the shifted last chunk, e.g. (2, 1, 0); empty for noise every time.
        renoise: mix the guess with noise to the first level (ours; the paper enters it as it is).
        two_valued: `as_is`, or `clip`: in a guess, discrete components are replaced by their sign / 10.
    """

    rule: str = "ddpm"
    steps: int | None = None
    execute: int = 8
    real_time: tuple[int, ...] = ()
    renoise: bool = False
    two_valued: str = "as_is"

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise unknown_name("sampling rule of a plan", self.rule, RULES)
        if self.execute < 1 or (self.steps is not None and self.steps < 1):
            raise ConfigError(f"plan: execute {self.execute}, steps {self.steps}; expected at least 1.")
        if self.two_valued not in ("as_is", "clip"):
            raise unknown_name("treatment of two-valued components", self.two_valued, ("as_is", "clip"))


class RecedingHorizonRunner:
    """A policy of `verify.evaluate` and `worlds.record`: reset(batch), act(observation).

    Args:
        policy: trained; put into evaluation mode. Chunks are made on its device.
        plan: how it is run.
        seed: of its noise, which begins anew at every reset.

    Raises:
        ConfigError: more actions to execute than the chunk holds after the present one.
    """

    def __init__(self, policy: ChunkPolicy, plan: Plan, seed: int = 0) -> None:
        config = policy.config
        room = config.horizon - config.history + 1
        if plan.execute > room:
            raise ConfigError(f"plan: {plan.execute} actions of a chunk that holds {room} from the present one on.")
        self.policy, self.plan, self.seed = policy.eval(), plan, seed
        grid = level_grid(policy.path, plan.steps or policy.path.steps)
        self.whole = Sampler(policy.path, grid, RULES[plan.rule], clip=config.clip)
        self.short = None
        if plan.real_time:
            pairs = iteration_pairs(policy.path, plan.real_time)
            self.short = Sampler(policy.path, pairs, RULES[plan.rule], clip=config.clip)
        self.chunk: Tensor | None = None
        """[batch, horizon, action] the last chunk, normalised; its step `history - 1` is the action it was made for."""
        self.reset(1)

    def reset(self, batch: int) -> None:
        """Begin anew with so many copies."""
        self._seen: dict[str, Tensor] = {}
        self.chunk = None
        self.device = next(self.policy.parameters()).device
        self._fresh = torch.ones(batch, dtype=torch.bool, device=self.device)
        self._used, self._due = 0, True
        self._generator = torch.Generator(self.device).manual_seed(self.seed)

    def restart(self, which: Bool[Tensor, " batch"]) -> None:
        """Copies that began a new episode: their history and their guess are forgotten, a new chunk is due for all."""
        self._fresh |= which.to(self.device)
        self._due = True

    @torch.no_grad()
    def act(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "batch action"]:
        """The action for the observations now, in the world's units."""
        self._remember(observation)
        if self._due or self._used >= self.plan.execute:
            self._replan()
            self._used, self._due = 0, False
        assert self.chunk is not None
        self._fresh[:] = False
        at = self.policy.config.history - 1 + self._used
        self._used += 1
        action = self.policy.decode(self.chunk)[:, at]
        source = observation[self.policy.inputs[0].name].device
        return action.reshape(len(action), *self.policy.target.shape).to(source)

    def _remember(self, observation: Mapping[str, Tensor]) -> None:
        """Append to the histories; a copy's first observation fills its own."""
        steps = self.policy.config.history
        for spec in self.policy.inputs:
            now = observation[spec.name].to(self.device)[:, None]
            full = now.expand(-1, steps, *now.shape[2:])
            before = self._seen.get(spec.name, full)
            moved = torch.cat([before[:, 1:], now], 1)
            if not self._fresh.any():
                self._seen[spec.name] = moved
                continue
            fresh = self._fresh.reshape(-1, *(1,) * (now.ndim - 1))
            self._seen[spec.name] = torch.where(fresh, full, moved)

    def _replan(self) -> None:
        condition, old = self.policy.condition(self._seen), self.chunk
        fresh = torch.ones_like(self._fresh) if self.short is None else self._fresh
        if fresh.all():
            self.chunk = self._from_noise(condition)
            return
        assert old is not None
        if not fresh.any():  # nearly every tick: no copy is singled out
            self.chunk = self._from_guess(condition, old)
            return
        self.chunk = old.clone()
        self.chunk[fresh] = self._from_noise(condition[fresh])
        self.chunk[~fresh] = self._from_guess(condition[~fresh], old[~fresh])

    def _from_noise(self, condition: Float[Tensor, "batch size"]) -> Float[Tensor, "batch horizon action"]:
        shape = (len(condition), self.policy.config.horizon, self.policy.target.size)
        noise = self.whole.start(torch.empty(shape, device=self.device), self._generator)
        return self.whole(self.policy.denoiser(condition), noise, self._generator)

    def _from_guess(
        self, condition: Float[Tensor, "batch size"], old: Float[Tensor, "batch horizon action"]
    ) -> Float[Tensor, "batch horizon action"]:
        assert self.short is not None
        return self.short(self.policy.denoiser(condition), self._guess(shifted(old, self._used)), self._generator)

    def _guess(self, chunk: Tensor) -> Tensor:
        """The shifted chunk as it enters the first level."""
        if self.plan.two_valued == "clip":
            chunk = chunk.clone()
            for component in self.policy.config.discrete:
                chunk[..., component] = torch.where(chunk[..., component] < 0, -1.0, 1.0) / CLIPPED
        if self.plan.renoise:
            t = chunk.new_full((len(chunk),), self.policy.path.level_time(self.plan.real_time[0]))
            chunk = self.policy.path.corrupt(chunk, standard_normal(chunk, self._generator), t)
        return chunk
