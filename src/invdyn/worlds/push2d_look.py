"""How push2d looks: palettes, backgrounds, and the shapes of a scene.

Ids in the mask: 0 floor, 1 pusher, 2..4 discs, 5 obstacle, 6..9 zones or targets, 10.. movers. Depth, near to far:
pusher, discs, obstacle, movers, targets, zones, floor (1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from invdyn.worlds.rasterizer import Camera, Disc, Picture, Rectangle, Shape, rasterize, waves

__all__ = ["PALETTES", "ZONE_HALF", "Look", "Palette", "backdrop", "draw"]

Rgb = tuple[float, float, float]
ZONE_HALF = 0.16
"""Half the side of a zone as drawn."""


@dataclass(frozen=True)
class Palette:
    """Colours in [0, 1] and how strong the background's random texture is."""

    floor: Rgb
    zone: Rgb
    pusher: Rgb
    obstacle: Rgb
    mover: Rgb
    discs: tuple[Rgb, Rgb, Rgb]
    texture: float = 0.0


PALETTES: dict[str, Palette] = {
    "A": Palette(
        (0.93, 0.93, 0.90), (0.80, 0.80, 0.76), (0.10, 0.10, 0.10), (0.45, 0.35, 0.25), (0.65, 0.65, 0.70),
        ((0.85, 0.15, 0.15), (0.15, 0.65, 0.20), (0.15, 0.30, 0.85)),
    ),
    "B": Palette(
        (0.70, 0.78, 0.86), (0.58, 0.67, 0.76), (0.05, 0.15, 0.30), (0.30, 0.30, 0.30), (0.80, 0.85, 0.60),
        ((0.95, 0.30, 0.20), (0.10, 0.55, 0.35), (0.30, 0.20, 0.75)), 0.10,
    ),
    "C": Palette(
        (0.84, 0.74, 0.58), (0.73, 0.62, 0.46), (0.25, 0.10, 0.05), (0.40, 0.45, 0.40), (0.55, 0.70, 0.75),
        ((0.75, 0.10, 0.25), (0.30, 0.60, 0.10), (0.10, 0.40, 0.70)), 0.18,
    ),
    "D": Palette(
        (0.55, 0.68, 0.52), (0.45, 0.56, 0.43), (0.95, 0.95, 0.90), (0.20, 0.25, 0.35), (0.85, 0.65, 0.75),
        ((0.90, 0.25, 0.35), (0.05, 0.45, 0.15), (0.20, 0.25, 0.95)), 0.26,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What a scene shows besides the state: numbers of bodies, radii, zones, and the constants of every copy.

    `backdrop` is the finished picture of what does not move, if it is at hand (see `backdrop`).
    """

    discs: int
    movers: int
    radii: tuple[float, float, float]
    zones: Sequence[tuple[float, float]]
    palette: Float64[Tensor, "1 batch"]
    texture: Float64[Tensor, "20 batch"]
    obstacle: Float64[Tensor, "2 batch"] | None
    targets: Float64[Tensor, "target batch"] | None
    backdrop: UInt8[Tensor, "batch height width 3"] | None = None


def _table() -> Float64[Tensor, "palette slot 3"]:
    rows = [[p.floor, p.zone, p.pusher, p.obstacle, p.mover, *p.discs] for p in PALETTES.values()]
    return torch.tensor(rows, dtype=torch.float64)


def draw(
    look: Look,
    x: Float64[Tensor, "state batch"],
    height: int,
    width: int,
    *,
    labels: bool = False,
    toward: Float64[Tensor, "batch state"] | None = None,
    crop: float | None = None,
) -> Picture:
    """Paint the state `x`; see `Push2D.picture`."""
    n, m = look.discs, look.movers
    (number,) = look.palette.long()
    _, _, pusher, obstacle, mover, *discs = _table().to(x.device)[number].permute(1, 2, 0)
    camera = None if crop is None else Camera(x[:2], crop)
    moved = None if toward is None else toward.to(x.device).T - x

    def motion(first: int) -> Tensor | None:
        return None if moved is None else moved[first : first + 2]

    background = look.backdrop
    shapes: list[Shape] = []
    if background is None or labels or crop is not None:
        background, shapes = scenery(look, height, width, camera)
    for k in range(m):
        first = 2 + 2 * n + 4 * k
        shapes.append(
            Disc(x[first : first + 2], 0.06, color=mover, id=10 + k, depth=0.6 - 0.1 * k / m, motion=motion(first))
        )
    if look.obstacle is not None:
        shapes.append(Disc(look.obstacle, look.radii[2], color=obstacle, id=5, depth=0.4))
    for k in range(n):
        first = 2 + 2 * k
        shapes.append(
            Disc(
                x[first : first + 2],
                look.radii[1],
                color=discs[k],
                id=2 + k,
                depth=0.2 + 0.05 * k,
                motion=motion(first),
            )
        )
    shapes.append(Disc(x[:2], look.radii[0], color=pusher, id=1, depth=0.1, motion=motion(0)))
    return rasterize(shapes, height, width, background=background, labels=labels, camera=camera)


def scenery(look: Look, height: int, width: int, camera: Camera | None = None) -> tuple[Tensor, list[Shape]]:
    """What does not move in an episode: the floor, and the zones or targets on it."""
    (number,) = look.palette.long()
    floor, zone, _, _, _, *discs = _table().to(number.device)[number].permute(1, 2, 0)
    shapes: list[Shape] = []
    still = torch.zeros(2, len(number), dtype=torch.float64, device=number.device)
    for k, (cx, cy) in enumerate(look.zones):
        place = still + torch.tensor([[cx], [cy]], dtype=torch.float64, device=still.device)
        shapes.append(Rectangle(place, (ZONE_HALF, ZONE_HALF), color=zone, id=6 + k, depth=0.9))
    if look.targets is not None:
        for k, place in enumerate(look.targets.reshape(look.discs, 2, -1)):
            pale = 0.55 * floor + 0.45 * discs[k]
            shapes.append(Disc(place, look.radii[1] + 0.02, color=pale, id=6 + k, depth=0.8 - 0.01 * k))
    strength = torch.tensor([p.texture for p in PALETTES.values()], device=number.device)[number]
    if not strength.any():
        return floor, shapes
    texture = strength[:, None, None] * waves(look.texture, height, width, camera=camera)
    return (floor.T.float()[:, :, None, None] + texture[:, None]).clamp(0, 1), shapes


def backdrop(look: Look, height: int, width: int) -> UInt8[Tensor, "batch height width 3"]:
    """The finished picture of the scenery, to paint on while the episode lasts."""
    background, shapes = scenery(look, height, width)
    if not shapes:  # nothing on the floor: a shape outside the arena makes a picture of the floor alone
        shapes = [Disc(torch.full_like(look.palette, -9.0).expand(2, -1), 0.1, color=(0.0, 0.0, 0.0), id=1, depth=0.5)]
    return rasterize(shapes, height, width, background=background).rgb
