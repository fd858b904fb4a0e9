"""push2d's scripted expert: go behind the disc, then push it home; round whatever is in the way."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from invdyn.errors import ConfigError
from invdyn.worlds.counter_rng import uniforms
from invdyn.worlds.push2d import CENTERS, ZONES, Push2D
from invdyn.worlds.push2d_contact import DISC, OBSTACLE, PUSHER, SPEED, length
from invdyn.worlds.torch_world import MODE, Quality, ScriptedExpert

__all__ = ["GoBehindThenPush"]

CONTACT = PUSHER + DISC
CARE = 0.8
"""Speed while pushing, as a share of the greatest."""
TURNS = [math.radians(angle) for angle in (0, 30, -30, 60, -60, 90, -90)]
"""By how much it may push off the straight line where it cannot get straight behind the disc."""

SIDES, ORDERS = ("short", "left", "right", "random"), ("given", "nearest", "random")


class GoBehindThenPush(ScriptedExpert[Push2D]):
    """Goes to the far side of the disc, then pushes it along the line to where it belongs.

    Args:
        world: whose state it sees.
        quality: how good.
        side: which way round the disc: the short one, always left, always right, or drawn per seed.
        order: which disc first under goal `targets`: as numbered, the nearest to the pusher, or drawn per seed.
        play: above zero, ignore the task and follow a random instruction that switches every `play` steps.
    """

    def __init__(
        self, world: Push2D, quality: Quality | None = None, side: str = "short", order: str = "given", play: int = 0
    ) -> None:
        super().__init__(world, quality)
        if side not in SIDES or order not in ORDERS:
            raise ConfigError(
                f"push2d: side {side!r} and order {order!r}; expected one of {', '.join(SIDES)} "
                f"and one of {', '.join(ORDERS)}."
            )
        self.side, self.order, self.play = side, order, play

    def control(self) -> Float64[Tensor, "cause batch"]:
        pusher = self.world.pusher
        disc, goal, reach = self.task()
        aim = torch.where(reach, disc, self.pushing(disc, goal))
        if "obstacle" in self.world.constants:
            aim = detour(pusher, aim, self.world.constants["obstacle"], PUSHER + OBSTACLE + 0.02)
        step = (aim - pusher) / SPEED
        return step / length(step).clamp(min=1.0)

    def pushing(self, disc: Float64[Tensor, "2 batch"], goal: Float64[Tensor, "2 batch"]) -> Float64[Tensor, "2 batch"]:
        """Where to go now so that the disc comes to the goal."""
        pusher, obstacle = self.world.pusher, self.world.constants.get("obstacle")
        if obstacle is not None:
            goal = detour(disc, goal, obstacle, DISC + OBSTACLE + 0.02)
        goal = self.past_others(disc, goal, disc, 2 * DISC + 0.01)
        way = goal - disc
        along = self.push_direction(disc, way / length(way).clamp(min=1e-9))
        offset = pusher - disc
        lateral = (offset[0] * along[1] - offset[1] * along[0]).abs()
        behind = within(disc - (CONTACT + 0.025) * along)
        ready = ((offset * along).sum(0) < -0.7 * CONTACT) & (lateral < 0.04) | (length(pusher - behind) < 0.01)
        around = detour(pusher, behind, disc, CONTACT + 0.02, self.turn())
        around = within(self.past_others(pusher, around, disc, CONTACT + 0.02))
        # Along the line at a careful pace, and no farther than brings the disc home.
        ahead = disc - CONTACT * along + length(way).clamp(max=CARE * SPEED) * along
        return torch.where(ready, ahead, around)

    def past_others(
        self,
        start: Float64[Tensor, "2 batch"],
        aim: Float64[Tensor, "2 batch"],
        disc: Float64[Tensor, "2 batch"],
        radius: float,
    ) -> Float64[Tensor, "2 batch"]:
        """The aim, or a way round the discs that are not to be moved; one that lies on the aim is pushed aside."""
        for other in self.world.discs:
            leave = (length(other - disc) > 1e-6) & (length(other - aim) > radius)
            aim = torch.where(leave, detour(start, aim, other, radius), aim)
        return aim

    def push_direction(
        self, disc: Float64[Tensor, "2 batch"], along: Float64[Tensor, "2 batch"]
    ) -> Float64[Tensor, "2 batch"]:
        """`along`, turned as little as needed to have room behind the disc: in the arena, off the obstacle."""
        obstacle, best = self.world.constants.get("obstacle"), along
        for angle in reversed(TURNS):
            cos, sin = math.cos(angle), math.sin(angle)
            turned = torch.stack([cos * along[0] - sin * along[1], sin * along[0] + cos * along[1]])
            behind = disc - (CONTACT + 0.025) * turned
            possible = (behind - within(behind)).abs().amax(0) < 0.02
            if obstacle is not None:
                possible &= length(behind - obstacle) > PUSHER + OBSTACLE + 0.005
            best = torch.where(possible, turned, best)
        return best

    def turn(self) -> Float64[Tensor, " batch"] | None:
        """+1 to go round counterclockwise, -1 clockwise, None for the short way."""
        if self.side == "short":
            return None
        draws = self.world.per_episode(MODE, 1)[0]
        if self.side != "random":
            draws = torch.full_like(draws, 0.0 if self.side == "left" else 1.0)
        return torch.where(draws < 0.5, 1.0, -1.0).double()

    def task(self) -> tuple[Float64[Tensor, "2 batch"], Float64[Tensor, "2 batch"], Bool[Tensor, " batch"]]:
        """The disc to see to, where it should go, and whether touching it is all."""
        world = self.world
        here = torch.arange(world.batch, device=world.device)
        if self.play:
            phase = torch.div(world.elapsed, self.play, rounding_mode="floor")
            number = (self.played(phase) * world.config.discs * len(ZONES)).long()
            centers = torch.tensor(CENTERS, dtype=torch.float64, device=world.device)
            disc = world.discs[number // len(ZONES), :, here].T
            return disc, centers[number % len(ZONES)].T, torch.zeros_like(here, dtype=torch.bool)
        aims = world.destinations()
        which = self.pick(aims)
        disc, goal = world.discs[which, :, here].T, aims[which, :, here].T
        return disc, goal, torch.full_like(here, world.config.goal == "reach", dtype=torch.bool)

    def played(self, phase: Int64[Tensor, " batch"]) -> Float64[Tensor, " batch"]:
        """A uniform number per seed and phase of play."""
        return uniforms(self.world.seeds, phase, MODE, 1)[0]

    def pick(self, aims: Float64[Tensor, "disc 2 batch"]) -> Int64[Tensor, " batch"]:
        """The disc to see to among those that are not yet where they should be (the last one when all are)."""
        world = self.world
        away = length(aims - world.discs)
        pending = away >= (0.0 if world.config.goal != "targets" else 0.8 * world.config.tolerance)
        rank = torch.arange(len(aims), dtype=torch.float64, device=world.device)[:, None].expand_as(away)
        if self.order == "nearest":
            rank = length(world.discs - world.pusher)
        elif self.order == "random":
            rank = world.per_episode(MODE, 1 + len(aims))[1:]
        return torch.where(pending, rank, torch.inf).argmin(0)


def within(place: Float64[Tensor, "2 batch"]) -> Float64[Tensor, "2 batch"]:
    """The nearest place where the pusher can be."""
    return place.clamp(PUSHER, 1 - PUSHER)


def detour(
    start: Float64[Tensor, "2 batch"],
    stop: Float64[Tensor, "2 batch"],
    center: Float64[Tensor, "2 batch"],
    radius: float,
    turn: Float64[Tensor, " batch"] | None = None,
) -> Float64[Tensor, "2 batch"]:
    """Where to head for from `start` to reach `stop` round a circle: `stop` itself where the way is clear, else the
    point on the circle an eighth of a turn on (+1 counterclockwise, -1 clockwise, None the short way)."""
    offset, way = start - center, stop - start
    along = (-(offset * way).sum(0) / (way * way).sum(0).clamp(min=1e-12)).clamp(0, 1)
    nearest = length(offset + along * way)
    rest = stop - center
    far_round = (offset * rest).sum(0) < 0.8 * length(offset) * length(rest)
    blocked = (along > 0) & (nearest < radius - 1e-3) & far_round
    short = torch.where(offset[0] * rest[1] - offset[1] * rest[0] >= 0, 1.0, -1.0).double()
    sign = short if turn is None else turn
    unit = offset / length(offset).clamp(min=1e-9)
    half = 0.5**0.5
    turned = torch.stack([half * (unit[0] - sign * unit[1]), half * (unit[1] + sign * unit[0])])
    return torch.where(blocked, center + radius * turned, stop)
