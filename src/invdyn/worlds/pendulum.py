"""`Pendulum`: a torque swings a rod up and balances it; gymnasium's Pendulum-v1 in a batch, with its exact inverse.

Constants and order of update are Pendulum-v1's (a uniform rod, semi-implicit Euler, theta = 0 upright):

    omega' = clip(omega + (3 g / (2 l) sin theta + 3 / (m l^2) u) dt, -8, 8)
    theta' = theta + omega' dt

so that u = ((omega' - omega) / dt - 15 sin theta) / 3 wherever omega' was not clipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Shaped, UInt8
from torch import Tensor

from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError, WorldError
from invdyn.worlds.base import Expert
from invdyn.worlds.rasterizer import Disc, Segment, rasterize
from invdyn.worlds.torch_world import QUALITIES, RESET, Outcome, Quality, ScriptedExpert, TorchWorld

__all__ = ["Pendulum", "PendulumConfig", "SwingUp", "reference_returns"]

GRAVITY, MASS, LENGTH, DT = 10.0, 1.0, 1.0, 0.05
MAX_TORQUE, MAX_SPEED = 2.0, 8.0
PULL, GAIN = 3 * GRAVITY / (2 * LENGTH), 3 / (MASS * LENGTH**2)
OBSERVATION = "observation.state"


@dataclass(frozen=True)
class PendulumConfig:
    """Settings of a pendulum.

    Args:
        coordinates: observe the angle as `cos_sin` or as the number `theta` itself.
        velocity: observe the angular velocity too.
        forced: whether torques act; without, the only cause is zero.
        horizon: steps per episode.
    """

    coordinates: str = "cos_sin"
    velocity: bool = True
    forced: bool = True
    horizon: int = 200

    def __post_init__(self) -> None:
        if self.coordinates not in ("cos_sin", "theta"):
            raise ConfigError(f"pendulum: coordinates {self.coordinates!r} are neither 'cos_sin' nor 'theta'.")
        if self.horizon < 1:
            raise ConfigError(f"pendulum: horizon is {self.horizon}; an episode has at least one step.")


class Pendulum(TorchWorld[PendulumConfig]):
    """Pendulum-v1 in a batch.

    State: theta (rad, 0 upright, not wrapped), omega (rad/s). Cause: torque (N m), clipped to +-2.
    Reward: -(theta^2 + 0.1 omega^2 + 0.001 u^2) of the state before the step, theta wrapped to +-pi.
    Success: within 0.2 rad of upright at less than 0.5 rad/s (ours; gymnasium defines none).
    """

    name = "pendulum"
    config_class = PendulumConfig
    state_names = ("theta", "omega")

    def specs(self) -> None:
        c = self.config
        self.dt, self.horizon = DT, c.horizon
        angle = ["cos_theta", "sin_theta"] if c.coordinates == "cos_sin" else ["theta"]
        names = (*angle, *(["omega"] if c.velocity else []))
        self.observations = (self.vector(OBSERVATION, len(names), unit="rad, rad/s", names=names),)
        most = MAX_TORQUE if c.forced else 0.0
        self.action = SignalSpec("action", (1,), "float32", "action", "N m", ("torque",), (-most,), (most,))

    def start(self) -> tuple[Float64[Tensor, "state batch"], dict[str, Float64[Tensor, "value batch"]]]:
        theta, omega = 2 * self.uniform(RESET, 2) - 1
        return torch.stack([theta * math.pi, omega]), {}

    def advance(self, cause: Float64[Tensor, "cause batch"]) -> Outcome:
        theta, omega = self.x
        (u,) = cause
        reward = -(wrapped(theta) ** 2 + 0.1 * omega**2 + 0.001 * u**2)
        omega = (omega + (PULL * theta.sin() + GAIN * u) * DT).clamp(-MAX_SPEED, MAX_SPEED)
        self.x = torch.stack([theta + omega * DT, omega])
        return Outcome(reward, self.upright())

    def upright(self) -> Tensor:
        """[batch] whether the rod stands."""
        theta, omega = self.x
        return (wrapped(theta).abs() < 0.2) & (omega.abs() < 0.5)

    def observe_state(self) -> dict[str, Shaped[Tensor, "batch ..."]]:
        theta, omega = self.x
        parts = [theta.cos(), theta.sin()] if self.config.coordinates == "cos_sin" else [theta]
        parts += [omega] if self.config.velocity else []
        return {OBSERVATION: torch.stack(parts, 1).float()}

    def expert(self, quality: Quality | None = None) -> Expert:
        if not self.config.forced:
            raise WorldError("the unforced pendulum has no scripted expert: no torque acts on it.")
        return SwingUp(self, quality)

    def inverse(
        self, before: Mapping[str, Shaped[Tensor, "batch ..."]], after: Mapping[str, Shaped[Tensor, "batch ..."]]
    ) -> Float[Tensor, "batch cause"]:
        """The torque between two observations, to 3e-6 N m from float32 ones; NaN where the speed was clipped."""
        if not self.config.velocity:
            raise WorldError(
                "pendulum without angular velocity: two observations do not tell the torque. Use velocity=True."
            )
        now, then = before[OBSERVATION].double(), after[OBSERVATION].double()
        sine = now[:, 1] if self.config.coordinates == "cos_sin" else now[:, 0].sin()
        u = ((then[:, -1] - now[:, -1]) / DT - PULL * sine) / GAIN
        return torch.where(then[:, -1].abs() < MAX_SPEED, u, torch.nan)[:, None]

    def render(self, height: int = 96, width: int = 96) -> UInt8[Tensor, "batch height width 3"]:
        """The rod about the centre, upright = up; white background."""
        self.picture_size(height, width)
        theta = self.x[0]
        hub = torch.full_like(self.x, 0.5)
        tip = hub + 0.38 * torch.stack([-theta.sin(), theta.cos()])
        shapes = [
            Segment(hub, tip, 0.06, color=(0.8, 0.3, 0.3), id=1, depth=0.5),
            Disc(hub, 0.02, color=(0.0, 0.0, 0.0), id=2, depth=0.25),
        ]
        return rasterize(shapes, height, width, background=(1.0, 1.0, 1.0)).rgb


class SwingUp(ScriptedExpert[Pendulum]):
    """Pumps energy until the rod is near the top, then holds it there by linear feedback.

    Energy per inertia relative to the upright equilibrium: E = omega^2 / 2 + 15 (cos theta - 1). The pump pushes
    along omega while E < 0 and against it above (Astrom and Furuta, Automatica 2000). The catch cancels gravity
    and places both poles of the linearised rod at -5 per second, which the torque limit can hold within 0.25 rad.
    """

    def control(self) -> Float64[Tensor, "cause batch"]:
        theta, omega = self.world.x
        energy = omega**2 / 2 + PULL * (theta.cos() - 1)
        direction = torch.where(omega < 0, -1.0, 1.0).to(omega)
        pump = (-2.0 * energy * omega.abs().clamp(min=0.1)).clamp(-MAX_TORQUE, MAX_TORQUE) * direction
        near = wrapped(theta)
        catch = -(PULL * near.sin() + 25.0 * near + 10.0 * omega) / GAIN
        return torch.where((near.abs() < 0.35) & (energy.abs() < 1.0), catch, pump)[None]


def wrapped(theta: Float64[Tensor, " batch"]) -> Float64[Tensor, " batch"]:
    """The angle in [-pi, pi), as gymnasium computes it."""
    return (theta + math.pi) % (2 * math.pi) - math.pi


def reference_returns(world: Pendulum) -> dict[str, float]:
    """Mean returns of a uniformly random policy and of the scripted expert, as `normalized_return` takes them.

    Starts are those of the seeds 0, 1, ...; the world is left in an end state.
    """
    means = {}
    for name, quality in (("random", QUALITIES[-1]), ("expert", QUALITIES[0])):
        world.reset(range(world.batch))
        expert, total = world.expert(quality), torch.zeros(world.batch, dtype=torch.float64)
        for _ in range(world.horizon):
            total += world.step(expert.act()).reward
        means[name] = float(total.mean())
    return means
