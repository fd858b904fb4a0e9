"""`Push2D`: a round pusher moves coloured discs in a square; instructions, chains, targets, obstacle, exact labels.

Quasi-static contact: the pusher moves by `SPEED` times the cause, then overlaps are resolved by moving discs out of
the pusher, out of each other, the walls and the obstacle, a few times over; if a disc cannot give way, the pusher
does. Everything is a function of the state and the cause, so a recording replays bit-exactly. One thread makes 37,000
pictures of 32 x 32 px a second (25,000 of 64 x 64), expert and step included (batch 256; `invdyn bench worlds`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int64, Shaped, UInt8
from torch import Tensor

from invdyn.errors import ConfigError, WorldError
from invdyn.worlds.base import Expert
from invdyn.worlds.push2d_contact import DISC, OBSTACLE, PUSHER, SPEED, are_apart, length, settle
from invdyn.worlds.push2d_look import PALETTES, Look, backdrop, draw
from invdyn.worlds.rasterizer import Picture
from invdyn.worlds.torch_world import RESET, Outcome, Quality, TorchWorld

__all__ = ["COLORS", "ZONES", "Push2D", "Push2DConfig"]

COLORS = ("red", "green", "blue")
ZONES = ("lower left", "lower right", "upper left", "upper right")
CENTERS = ((0.22, 0.22), (0.78, 0.22), (0.22, 0.78), (0.78, 0.78))
FAR, PASSAGE = 0.35, 0.26
"""Centres of the zones; how far from its zone the first instruction's disc starts at least, and discs from each other
(the pusher fits between them)."""

STATE, INSTRUCTION, TARGETS = "observation.state", "observation.instruction", "observation.targets"
GOALS = ("instruction", "reach", "targets")
TOUCH, LAYOUTS = 1e-5, 48
"""Gap that counts as contact; start layouts tried at once."""


@dataclass(frozen=True)
class Push2DConfig:
    """Settings of a pushing world.

    Args:
        discs: 2 or 3.
        goal: `instruction` (push colour c to zone z), `reach` (touch colour c) or `targets` (every disc to its own).
        chain: instructions to be carried out one after the other without reset.
        steps: steps per instruction; an episode is truncated when one takes longer.
        tolerance: distance between disc and zone centre (or target) that counts as there.
        targets_visible: draw targets and give them as an observation; without, `goal_picture` tells them.
        obstacle: put a fixed round obstacle near the middle.
        movers: free discs that drift across the floor, touch nothing and mean nothing.
        palettes: colours and backgrounds, one drawn per seed. A, B, C are for training, D is for testing.
    """

    discs: int = 3
    goal: str = "instruction"
    chain: int = 1
    steps: int = 60
    tolerance: float = 0.06
    targets_visible: bool = True
    obstacle: bool = False
    movers: int = 0
    palettes: tuple[str, ...] = ("A",)

    def __post_init__(self) -> None:
        if self.discs not in (2, 3):
            raise ConfigError(f"push2d: {self.discs} discs; expected 2 or 3.")
        if self.goal not in GOALS:
            raise ConfigError(f"push2d: goal {self.goal!r} is none of {', '.join(GOALS)}.")
        if self.chain < 1 or self.steps < 1 or self.movers < 0 or not 0 < self.tolerance <= 0.12:
            raise ConfigError(
                f"push2d: chain and steps are at least 1, movers at least 0, 0 < tolerance <= 0.12, got {self}."
            )
        if self.goal == "targets" and self.chain != 1:
            raise ConfigError("push2d: goal 'targets' is one task; use chain=1.")
        if not self.palettes or not set(self.palettes) <= set(PALETTES):
            raise ConfigError(f"push2d: palettes {self.palettes} are not all among {', '.join(PALETTES)}.")


class Push2D(TorchWorld[Push2DConfig]):
    """A batch of pushing arenas.

    State: pusher, discs, movers (place and velocity), number of instructions done, steps spent on the present one.
    Cause: displacement of the pusher in units of `SPEED`, each component within +-1.
    Context: instructions or targets, obstacle, palette, texture. Reward: minus the distance still to go, summed over
    the discs that have one.
    """

    name = "push2d"
    config_class = Push2DConfig
    _backdrop: tuple[tuple[int, int], tuple[Tensor, ...], Tensor] | None = None

    def specs(self) -> None:
        c = self.config
        self.dt, self.horizon = 0.1, c.chain * c.steps
        colors = COLORS[: c.discs]
        bodies = ["pusher", *colors]
        places = [f"{body}_{axis}" for body in bodies for axis in "xy"]
        movers = [f"mover{k}_{axis}" for k in range(c.movers) for axis in ("x", "y", "vx", "vy")]
        self.state_names = (*places, *movers, "done", "clock")
        given = "targets" if c.goal == "targets" else "instructions"
        self.constant_names = (given, *(["obstacle"] if c.obstacle else []), "palette", "texture")
        seen = places + (["obstacle_x", "obstacle_y"] if c.obstacle else [])
        specs = [self.vector(STATE, len(seen), names=tuple(seen), low=(0.0,), high=(1.0,))]
        if c.goal != "targets":
            specs.append(self.vector(INSTRUCTION, len(self.tasks), names=self.tasks, low=(0.0,), high=(1.0,)))
        elif c.targets_visible:
            names = tuple(f"{color}_{axis}" for color in colors for axis in "xy")
            specs.append(self.vector(TARGETS, len(names), names=names, low=(0.0,), high=(1.0,)))
        self.observations = tuple(specs)
        self.action = self.vector("action", 2, kind="action", names=("x", "y"), low=(-1.0,), high=(1.0,))

    # ---- views of state and context ----------------------------------------------------------------------------------

    @property
    def tasks(self) -> tuple[str, ...]:
        """The instructions in words; instruction 4 c + z is disc c to zone z."""
        colors = COLORS[: self.config.discs]
        if self.config.goal == "reach":
            return tuple(f"touch the {color} disc" for color in colors)
        if self.config.goal == "targets":
            return ("push every disc onto its target",)
        return tuple(f"push the {color} disc to the {zone} zone" for color in colors for zone in ZONES)

    @property
    def pusher(self) -> Float64[Tensor, "2 batch"]:
        return self.x[:2]

    @property
    def discs(self) -> Float64[Tensor, "disc 2 batch"]:
        n = self.config.discs
        return self.x[2 : 2 + 2 * n].reshape(n, 2, -1)

    @property
    def done(self) -> Int64[Tensor, " batch"]:
        """Instructions carried out so far."""
        return self.x[-2].long()

    @property
    def instruction(self) -> Int64[Tensor, " batch"]:
        """The present instruction (the last one when all are done)."""
        if self.config.goal == "targets":
            return torch.zeros_like(self.seeds)
        at = self.done.clamp(max=self.config.chain - 1)
        return self.constants["instructions"].gather(0, at[None])[0].long()

    def destinations(self) -> Float64[Tensor, "disc 2 batch"]:
        """Where every disc has to go; NaN for those that the present instruction does not speak of."""
        n = self.config.discs
        if self.config.goal == "targets":
            return self.constants["targets"].reshape(n, 2, -1)
        centers = torch.tensor(CENTERS, dtype=torch.float64, device=self.device)
        task, per_disc = self.instruction, 1 if self.config.goal == "reach" else len(ZONES)
        disc = torch.arange(n, device=self.device)[:, None] == task // per_disc
        place = self.discs if self.config.goal == "reach" else centers[task % len(ZONES)].T[None].expand(n, 2, -1)
        return torch.where(disc[:, None], place, torch.nan)

    def instruct(self, instructions: Int64[Tensor, "batch chain"]) -> None:
        """Give new instructions (numbers of `tasks`), keeping the arena as it is; the count of those done restarts."""
        if self.config.goal == "targets":
            raise WorldError("push2d: goal 'targets' has no instructions to change.")
        if (
            instructions.shape != (self.batch, self.config.chain)
            or not ((instructions >= 0) & (instructions < len(self.tasks))).all()
        ):
            raise WorldError(
                f"push2d: instructions are numbers 0..{len(self.tasks) - 1} of shape "
                f"{(self.batch, self.config.chain)}, got shape {tuple(instructions.shape)}: {instructions.tolist()}."
            )
        self.constants["instructions"] = instructions.T.double().to(self.device)
        self.x = torch.cat([self.x[:-2], torch.zeros_like(self.x[-2:])])

    def context(self) -> list[Mapping[str, Any]]:
        """Constants, and the task in words (that of the first instruction first)."""
        rows: list[Mapping[str, Any]] = []
        for row in super().context():
            tasks = [self.tasks[int(k)] for k in row["instructions"]] if "instructions" in row else list(self.tasks)
            rows.append({**row, "task": ", then ".join(tasks)})
        return rows

    # ---- start -------------------------------------------------------------------------------------------------------

    def start(self) -> tuple[Float64[Tensor, "state batch"], dict[str, Float64[Tensor, "value batch"]]]:
        c, n = self.config, self.config.discs
        per_layout = 2 * (1 + n) + 2 * n + 2
        draws = self.uniform(RESET, c.chain + 1 + 20 + 4 * c.movers + LAYOUTS * per_layout)
        chain, palette, texture, movers, rest = draws.split([c.chain, 1, 20, 4 * c.movers, LAYOUTS * per_layout])
        instructions = (chain * len(self.tasks)).floor()
        layouts = rest.reshape(LAYOUTS, per_layout, -1)
        bodies = 0.2 + 0.6 * layouts[:, : 2 + 2 * n].reshape(LAYOUTS, 1 + n, 2, -1)
        targets = 0.2 + 0.6 * layouts[:, 2 + 2 * n : -2].reshape(LAYOUTS, n, 2, -1)
        obstacle = 0.4 + 0.2 * layouts[:, -2:]
        ok = are_apart(bodies[:, 1:], PASSAGE).all(0) & (
            length(bodies[:, 1:] - bodies[:, :1]) > PUSHER + DISC + 0.02
        ).all(1)
        if c.obstacle:
            ok &= (length(bodies - obstacle[:, None]) > OBSTACLE + DISC + 0.02).all(1)
        if c.goal == "targets":
            ok &= are_apart(targets, 2 * DISC + 0.04).all(0) & (length(bodies[:, 1:] - targets) > 2 * c.tolerance).all(
                1
            )
            if c.obstacle:
                ok &= (length(targets - obstacle[:, None]) > OBSTACLE + 2 * DISC).all(1)
        elif c.goal == "instruction":
            centers = torch.tensor(CENTERS, dtype=torch.float64, device=self.device)
            first = instructions[0].long()
            away = length(bodies[:, 1:] - centers[first % len(ZONES)].T)
            named = torch.arange(n, device=self.device)[:, None] == first // len(ZONES)
            ok &= (away > torch.where(named, FAR, 2 * DISC)).all(1)
        chosen = ok.double().argmax(0)  # the first layout that fits; the first of all where none does (p < 1e-4) ...
        here = torch.arange(self.batch, device=self.device)
        places = bodies[chosen, :, :, here].permute(1, 2, 0)
        obstacles, aims = obstacle[chosen, :, here].T, targets[chosen, :, :, here].permute(1, 2, 0)
        pusher, discs = settle(places[0], places[1:], obstacles if c.obstacle else None)  # ... pushed apart here
        drift = movers.reshape(c.movers, 4, self.batch).clone()
        drift[:, 2:] = 0.03 * (2 * drift[:, 2:] - 1)
        zeros = torch.zeros(2, self.batch, dtype=torch.float64, device=self.device)
        x = torch.cat([pusher, discs.flatten(0, 1), drift.flatten(0, 1), zeros])
        names = torch.tensor([list(PALETTES).index(p) for p in c.palettes], device=self.device)
        constants = {
            "palette": names[(palette * len(names)).long()].double(),
            "texture": texture,
            **({"obstacle": obstacles} if c.obstacle else {}),
            **({"targets": aims.flatten(0, 1)} if c.goal == "targets" else {"instructions": instructions}),
        }
        return x, constants

    # ---- dynamics ----------------------------------------------------------------------------------------------------

    def advance(self, cause: Float64[Tensor, "cause batch"]) -> Outcome:
        c = self.config
        done, clock = self.x[-2], self.x[-1]
        at_hand = (done < c.chain).double()
        pusher, discs = settle(self.pusher + SPEED * cause, self.discs, self.constants.get("obstacle"))
        movers = self.x[2 + 2 * c.discs : -2].reshape(c.movers, 4, self.batch)
        place, velocity = movers[:, :2] + movers[:, 2:], movers[:, 2:]
        velocity = torch.where(
            (place - 0.5).abs() > 0.5, torch.where(place < 0.5, 1.0, -1.0) * velocity.abs(), velocity
        )
        movers = torch.cat([place, velocity], 1)
        self.x = torch.cat([pusher, discs.flatten(0, 1), movers.flatten(0, 1), done[None], clock[None] + 1])
        left, solved = self.to_go()
        fresh = solved & (at_hand > 0)
        done = done + fresh
        self.x = torch.cat([self.x[:-2], done[None], torch.where(fresh, 0.0, self.x[-1])[None]])
        return Outcome(-left, solved & (done >= c.chain))

    def to_go(self) -> tuple[Float64[Tensor, " batch"], Bool[Tensor, " batch"]]:
        """Distance still to go (summed over discs), and whether the present instruction is carried out."""
        if self.config.goal == "reach":
            gap = length(self.destinations() - self.pusher) - PUSHER - DISC
            left = gap.nan_to_num(nan=0.0).sum(0).clamp(min=0)
            return left, left < TOUCH
        distance = length(self.destinations() - self.discs)
        return distance.nan_to_num(nan=0.0).sum(0), ~(distance >= self.config.tolerance).any(0)

    def out_of_time(self) -> Bool[Tensor, " batch"]:
        unfinished = self.done < self.config.chain
        return super().out_of_time() | (unfinished & (self.x[-1] >= self.config.steps))

    # ---- observation and inverse -------------------------------------------------------------------------------------

    def observe_state(self) -> dict[str, Shaped[Tensor, "batch ..."]]:
        c = self.config
        places = [self.x[: 2 + 2 * c.discs], *([self.constants["obstacle"]] if c.obstacle else [])]
        seen = {STATE: torch.cat(places).T.float()}
        if c.goal != "targets":
            seen[INSTRUCTION] = torch.nn.functional.one_hot(self.instruction, len(self.tasks)).float()
        elif c.targets_visible:
            seen[TARGETS] = self.constants["targets"].T.float()
        return seen

    def inverse(
        self, before: Mapping[str, Shaped[Tensor, "batch ..."]], after: Mapping[str, Shaped[Tensor, "batch ..."]]
    ) -> Float[Tensor, "batch cause"]:
        """The pusher's displacement in units of `SPEED`.

        NaN in a component that a wall stopped; in both where the pusher may have given way: at the obstacle, and at a
        disc that itself touches a wall, the obstacle or another disc.
        """
        now, then = before[STATE].double().T, after[STATE].double().T
        n, pusher = self.config.discs, then[:2]
        discs = then[2 : 2 + 2 * n].reshape(n, 2, -1)
        u = (pusher - now[:2]) / SPEED
        wall = (pusher < PUSHER + TOUCH) | (pusher > 1 - PUSHER - TOUCH)
        held = ((discs < DISC + TOUCH) | (discs > 1 - DISC - TOUCH)).any(1)
        between = length(discs[:, None] - discs[None]) < 2 * DISC + TOUCH
        held = held | (between & ~torch.eye(n, dtype=torch.bool, device=u.device)[:, :, None]).any(1)
        stopped = torch.zeros_like(wall[0])
        if self.config.obstacle:
            obstacle = then[-2:]
            held = held | (length(discs - obstacle) < DISC + OBSTACLE + TOUCH)
            stopped = length(pusher - obstacle) < PUSHER + OBSTACLE + TOUCH
        stopped = stopped | (held & (length(discs - pusher) < PUSHER + DISC + TOUCH)).any(0)
        return torch.where(wall | stopped, torch.nan, u).T

    def expert(
        self, quality: Quality | None = None, *, side: str = "short", order: str = "given", play: int = 0
    ) -> Expert:
        """The scripted policy "go behind, then push"; see `push2d_expert.GoBehindThenPush`."""
        from invdyn.worlds.push2d_expert import GoBehindThenPush

        return GoBehindThenPush(self, quality, side=side, order=order, play=play)

    # ---- pictures ----------------------------------------------------------------------------------------------------

    def render(self, height: int = 32, width: int = 32) -> UInt8[Tensor, "batch height width 3"]:
        return self.picture(height, width).rgb

    def picture(
        self,
        height: int = 32,
        width: int = 32,
        *,
        labels: bool = False,
        toward: Float64[Tensor, "batch state"] | None = None,
        crop: float | None = None,
    ) -> Picture:
        """RGB, and with `labels` exact ids (see `push2d_look`), z-order depth and flow.

        Args:
            labels: make the labels too.
            toward: the state one step later; the flow is the displacement from the present state to it.
            crop: show only this half side around the pusher instead of the whole arena.
        """
        self.picture_size(height, width)
        look = self.look()
        if not labels and crop is None:
            look = replace(look, backdrop=self.backdrop(look, height, width))
        return draw(look, self.x, height, width, labels=labels, toward=toward, crop=crop)

    def backdrop(self, look: Look, height: int, width: int) -> UInt8[Tensor, "batch height width 3"]:
        """The picture of what does not move, kept until the constants change."""
        constants = tuple(self.constants.values())
        kept = self._backdrop
        if (
            kept is None
            or kept[0] != (height, width)
            or any(a is not b for a, b in zip(kept[1], constants, strict=True))
        ):
            self._backdrop = kept = ((height, width), constants, backdrop(look, height, width))
        return kept[2]

    def goal_picture(self, height: int = 32, width: int = 32) -> UInt8[Tensor, "batch height width 3"]:
        """What the arena should look like: every disc that has to go somewhere is there, the rest as now."""
        self.picture_size(height, width)
        aims = self.destinations()
        discs = torch.where(aims.isnan(), self.discs, aims)
        x = torch.cat([self.x[:2], discs.flatten(0, 1), self.x[2 + 2 * self.config.discs :]])
        return draw(self.look(), x, height, width).rgb

    def look(self) -> Look:
        """What the drawing needs besides the state."""
        c = self.config
        zones: Sequence[tuple[float, float]] = CENTERS if c.goal == "instruction" else ()
        targets = self.constants["targets"] if c.goal == "targets" and c.targets_visible else None
        return Look(
            c.discs, c.movers, (PUSHER, DISC, OBSTACLE), zones, self.constants["palette"], self.constants["texture"],
            self.constants.get("obstacle"), targets,
        )  # fmt: skip
