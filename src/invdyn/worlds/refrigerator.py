"""`Refrigerator`: a box that warms towards the room and is cooled by a compressor; a temperature and nothing else.

    T' = T + leak (T_room - T) - power u + noise

After the temperature control of MOREC (arXiv 2310.05422), whose constants are not published; these are ours. Linear and
scalar, so what a learnt model makes of temperatures it has never seen can be read off exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError
from invdyn.worlds.torch_world import PROCESS, RESET, Outcome, TorchWorld

__all__ = ["PID", "OnOff", "Refrigerator", "RefrigeratorConfig"]

OBSERVATION = "observation.state"


@dataclass(frozen=True)
class RefrigeratorConfig:
    """Settings of a refrigerator.

    Args:
        room: temperature outside, deg C.
        leak: share of the difference that comes in per step.
        power: deg C per step that the compressor at full speed takes out.
        noise: standard deviation of a step's disturbance, deg C.
        target: wanted temperature, deg C.
        coldest, warmest: range of start temperatures, deg C.
        horizon: steps per episode.
    """

    room: float = 25.0
    leak: float = 0.1
    power: float = 4.0
    noise: float = 0.05
    target: float = 5.0
    coldest: float = 3.0
    warmest: float = 7.0
    horizon: int = 100

    def __post_init__(self) -> None:
        if not (0 < self.leak < 1 and self.power > 0 and self.noise >= 0 and self.horizon >= 1):
            raise ConfigError(
                f"refrigerator: leak is {self.leak}, power {self.power}, noise {self.noise}, horizon {self.horizon}; "
                "expected a leak in (0, 1), a positive power, a noise of at least 0 and at least 1 step."
            )

    @property
    def reach(self) -> tuple[float, float]:
        """Temperatures at rest with the compressor full on and off: nothing lies outside for long."""
        return self.room - self.power / self.leak, self.room


class Refrigerator(TorchWorld[RefrigeratorConfig]):
    """A batch of refrigerators.

    State and observation: temperature (deg C). Cause: speed of the compressor in [0, 1].
    Reward: -(T - target)^2 of the state before the step. Success: within 0.5 deg C of the target.
    """

    name = "refrigerator"
    config_class = RefrigeratorConfig
    state_names = ("temperature",)

    def specs(self) -> None:
        self.dt, self.horizon = 1.0, self.config.horizon
        self.observations = (self.vector(OBSERVATION, 1, unit="deg C", names=("temperature",)),)
        self.action = SignalSpec("action", (1,), "float32", "action", "", ("compressor",), (0.0,), (1.0,))

    def start(self) -> tuple[Float64[Tensor, "state batch"], dict[str, Float64[Tensor, "value batch"]]]:
        c = self.config
        return c.coldest + (c.warmest - c.coldest) * self.uniform(RESET, 1), {}

    def advance(self, cause: Float64[Tensor, "cause batch"]) -> Outcome:
        c, before = self.config, self.x[0]
        self.x = self.x + c.leak * (c.room - self.x) - c.power * cause + c.noise * self.normal(PROCESS, 1)
        return Outcome(-((before - c.target) ** 2), (self.x[0] - c.target).abs() < 0.5)

    def observe_state(self) -> dict[str, Shaped[Tensor, "batch ..."]]:
        return {OBSERVATION: self.x.T.float()}


@dataclass
class PID:
    """A controller with proportional, integral and derivative terms, and noise on what it commands.

    Args:
        target: wanted temperature, deg C.
        proportional, integral, derivative: gains, per deg C.
        noise: standard deviation of the noise on the command.
        seed: of the noise.
    """

    target: float = 5.0
    proportional: float = 0.15
    integral: float = 0.02
    derivative: float = 0.05
    noise: float = 0.1
    seed: int = 0

    def reset(self, batch: int) -> None:
        """Forget the past."""
        self.generator = torch.Generator().manual_seed(self.seed)
        self.total, self.last = torch.zeros(batch), torch.full((batch,), torch.nan)

    def act(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "batch cause"]:
        """Speed of the compressor."""
        error = observation[OBSERVATION][:, 0] - self.target
        self.total = (self.total + error).clamp(-100, 100)
        change = torch.where(self.last.isnan(), 0.0, error - self.last)
        self.last = error
        command = self.proportional * error + self.integral * self.total + self.derivative * change
        drawn = torch.randn(len(error), generator=self.generator)
        return (command + self.noise * drawn).clamp(0, 1)[:, None]


@dataclass
class OnOff:
    """A thermostat: full on above the upper, off below the lower temperature, between them as before.

    Args:
        lower, upper: deg C.
    """

    lower: float
    upper: float

    def reset(self, batch: int) -> None:
        """Start with the compressor on."""
        self.on = torch.ones(batch, dtype=torch.bool)

    def act(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "batch cause"]:
        """0 or 1."""
        temperature = observation[OBSERVATION][:, 0]
        self.on = torch.where(temperature > self.upper, True, torch.where(temperature < self.lower, False, self.on))
        return self.on.float()[:, None]
