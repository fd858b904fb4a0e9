"""`Point2D`: a point in the plane on its way to a goal; first order or double integrator, with its exact inverse.

Second order (the default; constants of the point mass in Brandfonbrener et al., NeurIPS 2023, 20 Hz):

    v' = v + (gear u - damping v) / mass dt,     x' = x + v' dt

First order: x' = x + gear u. Walls stop the point (the velocity into them is lost); so does a round obstacle in
the middle, which can be passed on either side. The goal may be hidden from observations and pictures, and may move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Shaped, UInt8
from torch import Tensor

from invdyn.errors import ConfigError, WorldError
from invdyn.worlds.base import Expert
from invdyn.worlds.rasterizer import Disc, Picture, rasterize, waves
from invdyn.worlds.torch_world import MODE, RESET, Outcome, Quality, ScriptedExpert, TorchWorld

__all__ = ["Point2D", "Point2DConfig", "ReachGoal"]

STATE, GOAL = "observation.state", "observation.goal"
DISTRACTORS = ("none", "still", "moving")
TOUCH = 1e-6
"""Closer than this to a wall or the obstacle counts as touching it (a float32 step at 1 is 1.2e-7)."""


@dataclass(frozen=True)
class Point2DConfig:
    """Settings of a point world.

    Args:
        order: 1 for x' = x + gear u, 2 for the double integrator.
        mass, gear, damping: kg, N, N s/m.
        dt: seconds per step.
        reach: half the side of the walled square, m; infinite for no walls.
        spread: starts and drawn goals lie within +-spread * reach (+-spread where there are no walls).
        goal: where it is; None to draw it per seed.
        goal_speed: m/s at which the goal moves to and fro; 0 for a resting goal.
        goal_visible: whether observations and pictures show the goal.
        goal_radius: m; nearer is success.
        obstacle: radius of a round obstacle at the origin, m; 0 for none. Starts then lie below it, goals above.
        distractor: a random texture behind the scene: none, still or moving.
        reward_scale: the reward is -reward_scale * distance to the goal after the step.
        horizon: steps per episode.
    """

    order: int = 2
    mass: float = 0.3
    gear: float = 0.1
    damping: float = 1.0
    dt: float = 0.05
    reach: float = 0.29
    spread: float = 0.7
    goal: tuple[float, float] | None = None
    goal_speed: float = 0.0
    goal_visible: bool = False
    goal_radius: float = 0.03
    obstacle: float = 0.0
    distractor: str = "none"
    reward_scale: float = 1.0
    horizon: int = 100

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise ConfigError(f"point2d: order is {self.order}; expected 1 or 2.")
        if self.distractor not in DISTRACTORS:
            raise ConfigError(f"point2d: distractor {self.distractor!r} is none of {', '.join(DISTRACTORS)}.")
        if min(self.mass, self.gear, self.dt, self.reach, self.goal_radius) <= 0 or self.horizon < 1:
            raise ConfigError(f"point2d: mass, gear, dt, reach, goal_radius and horizon are positive, got {self}.")
        if self.order == 2 and not 0 <= self.damping * self.dt < self.mass:
            raise ConfigError(
                f"point2d: damping {self.damping} N s/m over {self.dt} s is too much for {self.mass} kg; "
                "expected 0 <= damping * dt < mass."
            )
        if not 0 <= self.obstacle < 0.5 * min(self.reach, 2 * self.view):
            raise ConfigError(
                f"point2d: an obstacle of radius {self.obstacle} m leaves no way round within {self.reach} m."
            )

    @classmethod
    def first_order(cls) -> Point2DConfig:
        """s' = s + a, |a| <= 1, reward -0.1 |s' - (2, 2)|, starts uniform in [-1, 1]^2, no walls."""
        return cls(
            order=1, gear=1.0, dt=1.0, reach=math.inf, spread=1.0, goal=(2.0, 2.0), goal_radius=0.1, reward_scale=0.1,
            horizon=20,
        )  # fmt: skip

    @property
    def view(self) -> float:
        """Half the side of what pictures show, m."""
        return self.reach if math.isfinite(self.reach) else 3 * self.spread


class Point2D(TorchWorld[Point2DConfig]):
    """A batch of points.

    State: position (m), velocity (m/s; second order only), goal and its velocity, phase of the moving texture.
    Cause: two components within +-1. Context: the numbers of the texture, where there is one.
    """

    name = "point2d"
    config_class = Point2DConfig

    def specs(self) -> None:
        c = self.config
        self.dt, self.horizon = c.dt, c.horizon
        moving = ("x", "y", "vx", "vy") if c.order == 2 else ("x", "y")
        self.state_names = (*moving, "goal_x", "goal_y", "goal_vx", "goal_vy", "phase")
        self.constant_names = () if c.distractor == "none" else ("texture",)
        unit = "m, m/s" if c.order == 2 else "m"
        seen = [self.vector(STATE, len(moving), unit=unit, names=moving)]
        if c.goal_visible:
            seen.append(self.vector(GOAL, 2, unit="m", names=("goal_x", "goal_y")))
        self.observations = tuple(seen)
        self.action = self.vector("action", 2, kind="action", names=("x", "y"), low=(-1.0,), high=(1.0,))

    # ---- views of the state ----------------------------------------------------------------------------------------

    @property
    def position(self) -> Float64[Tensor, "2 batch"]:
        return self.x[:2]

    @property
    def velocity(self) -> Float64[Tensor, "2 batch"]:
        """Zero for the first-order point, which has none."""
        return self.x[2:4] if self.config.order == 2 else torch.zeros_like(self.x[:2])

    @property
    def goal(self) -> Float64[Tensor, "2 batch"]:
        return self.x[-5:-3]

    def distance(self) -> Float64[Tensor, " batch"]:
        """Distance to the goal, m."""
        return ((self.position - self.goal) ** 2).sum(0).sqrt()

    # ---- dynamics --------------------------------------------------------------------------------------------------

    def start(self) -> tuple[Float64[Tensor, "state batch"], dict[str, Float64[Tensor, "value batch"]]]:
        c, draws = self.config, self.uniform(RESET, 25)
        size = c.spread * (c.reach if math.isfinite(c.reach) else 1.0)
        place, goal = size * (2 * draws[:2] - 1), size * (2 * draws[2:4] - 1)
        angle = 2 * math.pi * draws[4]
        heading = torch.stack([angle.cos(), angle.sin()])
        if c.obstacle:
            # Below and above the obstacle, so that both ways round are about equally long.
            low, high = c.obstacle + 0.2 * (c.view - c.obstacle), c.obstacle + 0.8 * (c.view - c.obstacle)
            place = torch.stack([c.obstacle * (2 * draws[0] - 1), -(low + (high - low) * draws[1])])
            goal = torch.stack([c.obstacle * (2 * draws[2] - 1), low + (high - low) * draws[3]])
            heading = torch.stack([torch.where(draws[4] < 0.5, -1.0, 1.0).double(), torch.zeros_like(draws[4])])
        if c.goal is not None:
            goal = torch.tensor(c.goal, dtype=torch.float64, device=self.device)[:, None].expand(2, self.batch)
        rest = [torch.zeros_like(place)] if c.order == 2 else []
        phase = torch.zeros_like(place[:1])
        x = torch.cat([place, *rest, goal, c.goal_speed * heading, phase])
        return x, {} if c.distractor == "none" else {"texture": draws[5:]}

    def advance(self, cause: Float64[Tensor, "cause batch"]) -> Outcome:
        c = self.config
        if c.order == 2:
            velocity = self.velocity + (c.gear * cause - c.damping * self.velocity) / c.mass * c.dt
            place, velocity = self.stop(self.position + velocity * c.dt, velocity)
            moving = [place, velocity]
        else:
            moving = [self.stop(self.position + c.gear * cause, torch.zeros_like(cause))[0]]
        self.x = torch.cat([*moving, *self.move_goal(), self.x[-1:] + (c.dt if c.distractor == "moving" else 0.0)])
        distance = self.distance()
        return Outcome(-c.reward_scale * distance, distance < c.goal_radius)

    def stop(
        self, place: Float64[Tensor, "2 batch"], velocity: Float64[Tensor, "2 batch"]
    ) -> tuple[Float64[Tensor, "2 batch"], Float64[Tensor, "2 batch"]]:
        """Keep the point out of the obstacle and within the walls; it loses the velocity into them."""
        c = self.config
        if c.obstacle:
            far = (place**2).sum(0).sqrt()
            outward = place / far.clamp(min=1e-12)
            inside = far < c.obstacle
            inward_speed = (velocity * outward).sum(0).clamp(max=0)
            velocity = torch.where(inside, velocity - inward_speed * outward, velocity)
            place = torch.where(inside, c.obstacle * outward, place)
        outside = place.abs() > c.reach
        return place.clamp(-c.reach, c.reach), torch.where(outside, 0.0, velocity)

    def move_goal(self) -> tuple[Float64[Tensor, "2 batch"], Float64[Tensor, "2 batch"]]:
        """The goal and its velocity one step on; it turns round at the borders of where goals are drawn."""
        limit = self.config.spread * self.config.view
        goal, velocity = self.goal + self.x[-3:-1] * self.config.dt, self.x[-3:-1]
        out = (goal.abs() > limit) & (goal * velocity > 0)
        return goal, torch.where(out, -velocity, velocity)

    # ---- observation, inverse, value ---------------------------------------------------------------------------------

    def observe_state(self) -> dict[str, Shaped[Tensor, "batch ..."]]:
        seen = {STATE: self.x[: 2 * self.config.order].T.float()}
        if self.config.goal_visible:
            seen[GOAL] = self.goal.T.float()
        return seen

    def inverse(
        self, before: Mapping[str, Shaped[Tensor, "batch ..."]], after: Mapping[str, Shaped[Tensor, "batch ..."]]
    ) -> Float[Tensor, "batch cause"]:
        """The cause between two observations; NaN in a component that a wall stopped, in both at the obstacle."""
        c = self.config
        now, then = before[STATE].double(), after[STATE].double()
        if c.order == 2:
            u = (c.mass * (then[:, 2:] - now[:, 2:]) / c.dt + c.damping * now[:, 2:]) / c.gear
        else:
            u = (then - now) / c.gear
        place = then[:, :2]
        hidden = place.abs() > c.reach - TOUCH
        if c.obstacle:
            hidden = hidden | ((place**2).sum(1).sqrt() < c.obstacle + TOUCH)[:, None]
        return torch.where(hidden, torch.nan, u)

    def optimal_value(self, discount: float, steps: int) -> Float64[Tensor, " batch"]:
        """Best discounted return over the next `steps` steps of the first-order point without obstacle or moving goal.

        Each component closes its gap by up to `gear` per step; no other order of moves is nearer at any time.
        """
        c = self.config
        if c.order != 1 or c.obstacle or c.goal_speed:
            raise WorldError(
                "point2d: the optimal value is known for order=1 without obstacle and with a resting goal only."
            )
        gap = (self.goal - self.position).abs()
        value = torch.zeros(self.batch, dtype=torch.float64, device=self.device)
        for step in range(steps):
            gap = (gap - c.gear).clamp(min=0)
            value = value - discount**step * c.reward_scale * (gap**2).sum(0).sqrt()
        return value

    def expert(self, quality: Quality | None = None, *, mode: str = "random") -> Expert:
        """A controller to the goal.

        Args:
            quality: how good.
            mode: on which side it passes the obstacle: left, right, or random (drawn per seed).
        """
        return ReachGoal(self, quality, mode)

    # ---- pictures ----------------------------------------------------------------------------------------------------

    def render(self, height: int = 48, width: int = 48) -> UInt8[Tensor, "batch height width 3"]:
        return self.picture(height, width).rgb

    def picture(
        self,
        height: int = 48,
        width: int = 48,
        *,
        labels: bool = False,
        toward: Float64[Tensor, "batch state"] | None = None,
    ) -> Picture:
        """RGB, and with `labels` the exact ids (1 goal, 2 obstacle, 3 point), z-order depth and flow.

        Args:
            labels: make the labels too.
            toward: the state one step later; the flow is the displacement from the present state to it.
        """
        self.picture_size(height, width)
        c = self.config
        scale = 0.5 / c.view
        back: tuple[float, float, float] | Tensor = (0.85, 0.85, 0.85)
        if c.distractor != "none":
            gray = waves(self.constants["texture"], height, width, self.x[-1])
            tint = torch.tensor([0.3, 0.2, -0.3], device=self.device)[:, None, None]
            back = (0.6 + tint * gray[:, None]).clamp(0, 1)
        moved = None if toward is None else scale * (toward.to(self.device).T - self.x)
        motion, goal_motion = (None, None) if moved is None else (moved[:2], moved[-5:-3])
        shapes = [Disc(0.5 + scale * self.position, 0.06, color=(0.85, 0.15, 0.1), id=3, depth=0.25, motion=motion)]
        if c.obstacle:
            middle = torch.full_like(self.position, 0.5)
            shapes.append(Disc(middle, c.obstacle * scale, color=(0.2, 0.2, 0.25), id=2, depth=0.5))
        if c.goal_visible:
            radius = max(c.goal_radius * scale, 0.04)
            shapes.append(
                Disc(0.5 + scale * self.goal, radius, color=(0.1, 0.65, 0.2), id=1, depth=0.75, motion=goal_motion)
            )
        return rasterize(shapes, height, width, background=back, labels=labels)


class ReachGoal(ScriptedExpert[Point2D]):
    """clip(10 (goal - x) - v) for a resting goal, as in the point-mass data; past an obstacle by two waypoints."""

    def __init__(self, world: Point2D, quality: Quality | None = None, mode: str = "random") -> None:
        super().__init__(world, quality)
        if mode not in ("left", "right", "random"):
            raise ConfigError(f"point2d: mode {mode!r} is none of left, right, random.")
        self.mode = mode

    def side(self) -> Bool[Tensor, " batch"]:
        """Which copies pass on the right."""
        if self.mode == "random":
            return self.world.per_episode(MODE, 1)[0] < 0.5
        return torch.full((self.world.batch,), self.mode == "right", device=self.world.device)

    def control(self) -> Float64[Tensor, "cause batch"]:
        world, c = self.world, self.world.config
        aim = world.goal
        if c.obstacle:
            r, (x, y) = c.obstacle, world.position
            sign = torch.where(self.side(), 1.0, -1.0).double()
            beside = torch.stack([1.5 * r * sign, torch.zeros_like(sign)])
            beyond = torch.stack([1.3 * r * sign, torch.full_like(sign, 1.2 * r)])
            aim = torch.where(y < r, beyond, aim)
            aim = torch.where((y < 0) & (x * sign < 1.2 * r), beside, aim)
        if c.order == 1:
            return (aim - world.position) / c.gear
        # The gains are those of the point-mass data; the goal's own velocity is fed forward, else it stays ahead.
        ahead = (1 + c.damping / c.gear) * world.x[-3:-1]
        return 10 * (aim - world.position) - world.velocity + torch.where((aim == world.goal).all(0), ahead, 0.0)
