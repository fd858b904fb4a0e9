"""Pictures of batches of flat scenes: anti-aliased colours, and exact labels (ids, z-order depth, flow).

The scene is the unit square, x to the right and y up; row 0 of a picture is at the top, so pixel (row, column) has
its centre at x = (column + 1/2) / width, y = 1 - (row + 1/2) / height. Shapes are painted from the farthest to the
nearest. A shape's edge is softened over one pixel; its labels belong to the pixels whose centre it covers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Float64, Int64, UInt8
from torch import Tensor

from invdyn.errors import ConfigError

__all__ = ["Camera", "Disc", "Picture", "Rectangle", "Segment", "Shape", "rasterize", "waves"]

Color = tuple[float, float, float] | Float[Tensor, "3 batch"]
"""Red, green, blue in [0, 1]: one for all copies, or one each."""

Columns = Float32[Tensor, "#batch w"]
Rows = Float32[Tensor, "#batch h"]
Coverage = Float32[Tensor, "batch h w"]
Size = float | Float[Tensor, " batch"]


@dataclass(frozen=True, kw_only=True)
class Shape(ABC):
    """What every shape has besides its geometry.

    Args:
        color: in [0, 1].
        id: number in the id mask; 0 is the background.
        depth: in [0, 1); 0 is nearest, the background lies at 1.
        motion: [2, batch] displacement in the scene to be written into the flow; None for none.
    """

    color: Color
    id: int
    depth: float
    motion: Float64[Tensor, "2 batch"] | None = None

    @abstractmethod
    def coverage(self, x: Columns, y: Rows, scale: float) -> Coverage:
        """Share of each pixel that the shape covers: centres x, y; `scale` pixels per unit; edges one pixel wide."""

    @property
    def device(self) -> torch.device:
        return next(value.device for value in vars(self).values() if isinstance(value, Tensor))


def _rows(value: Size) -> Size:
    """A size per copy as something that broadcasts against [batch, h, w]."""
    return value if isinstance(value, float) else value.float()[:, None, None]


@dataclass(frozen=True)
class Disc(Shape):
    """A filled circle."""

    center: Float64[Tensor, "2 batch"]
    radius: Size

    def coverage(self, x: Columns, y: Rows, scale: float) -> Coverage:
        cx, cy = self.center.float()[:, :, None]
        squared = ((y - cy) ** 2)[:, :, None] + ((x - cx) ** 2)[:, None, :]
        return squared.sqrt_().sub_(_rows(self.radius)).mul_(-scale).add_(0.5).clamp_(0, 1)


@dataclass(frozen=True)
class Rectangle(Shape):
    """A filled upright rectangle; `half` is half its width and height."""

    center: Float64[Tensor, "2 batch"]
    half: tuple[float, float]

    def coverage(self, x: Columns, y: Rows, scale: float) -> Coverage:
        cx, cy = self.center.float()[:, :, None]
        along_x = ((self.half[0] - (x - cx).abs()) * scale + 0.5).clamp(0, 1)
        along_y = ((self.half[1] - (y - cy).abs()) * scale + 0.5).clamp(0, 1)
        return along_y[:, :, None] * along_x[:, None, :]


@dataclass(frozen=True)
class Segment(Shape):
    """A line of some thickness with round ends from `begin` to `end`, [2, batch] each."""

    begin: Float64[Tensor, "2 batch"]
    end: Float64[Tensor, "2 batch"]
    thickness: float

    def coverage(self, x: Columns, y: Rows, scale: float) -> Coverage:
        (bx, by), (ex, ey) = self.begin.float()[:, :, None, None], self.end.float()[:, :, None, None]
        dx, dy = ex - bx, ey - by
        px, py = x[:, None, :] - bx, y[:, :, None] - by
        along = ((px * dx + py * dy) / (dx * dx + dy * dy).clamp(min=1e-12)).clamp(0, 1)
        distance = ((px - along * dx) ** 2 + (py - along * dy) ** 2).sqrt()
        return ((self.thickness / 2 - distance) * scale + 0.5).clamp(0, 1)


@dataclass(frozen=True)
class Camera:
    """A square part of the scene: its centre [2, batch] and half its side. Crops follow an object this way."""

    center: Float64[Tensor, "2 batch"]
    half: float


@dataclass(frozen=True)
class Picture:
    """What `rasterize` returns.

    Args:
        rgb: colours.
        ids: number of the nearest shape at each pixel's centre, 0 for the background; None unless asked for.
        depth: z-order of that shape, 1 for the background; None unless asked for.
        flow: displacement of what is seen at the pixel, (columns to the right, rows down) in pixels; None unless
            asked for.
    """

    rgb: UInt8[Tensor, "batch height width 3"]
    ids: Int64[Tensor, "batch height width"] | None = None
    depth: Float32[Tensor, "batch height width"] | None = None
    flow: Float32[Tensor, "batch height width 2"] | None = None


def rasterize(
    shapes: Sequence[Shape],
    height: int,
    width: int,
    *,
    background: Color | Float32[Tensor, "batch 3 height width"] = (1.0, 1.0, 1.0),
    labels: bool = False,
    camera: Camera | None = None,
) -> Picture:
    """Paint a batch of scenes.

    Args:
        shapes: what to paint, in any order; nearer ones (smaller depth) cover farther ones.
        height, width: of the picture in pixels.
        background: a colour, one per copy, or a picture in [0, 1] (see `waves`).
        labels: make `ids`, `depth` and `flow` too.
        camera: what part of the scene to show; None for the unit square.

    Raises:
        ConfigError: no shape, or a depth outside [0, 1).
    """
    if not shapes:
        raise ConfigError("rasterize: a scene needs at least one shape.")
    for shape in shapes:
        if not 0 <= shape.depth < 1:
            raise ConfigError(f"rasterize: shape {shape.id} has depth {shape.depth}; expected 0 (near) <= depth < 1.")
    x, y, scale = _grid(height, width, shapes[0].device, camera)
    canvas: Tensor | None = None
    ids = depth = flow = None
    for shape in sorted(shapes, key=lambda s: -s.depth):
        cover = shape.coverage(x, y, scale)
        if canvas is None:
            canvas = _canvas(background, len(cover), height, width, cover.device)
            if labels:
                ids = torch.zeros(cover.shape, dtype=torch.int64, device=cover.device)
                depth, flow = torch.ones_like(cover), torch.zeros(*cover.shape, 2, device=cover.device)
        color = _color(shape.color, cover.device)
        c = cover[:, None]
        # Not lerp_: the rounding of separate operations does not depend on the batch size.
        canvas.mul_(1 - c).add_(c * color)
        if ids is not None and depth is not None and flow is not None:
            inside = cover > 0.5
            ids.masked_fill_(inside, shape.id)
            depth.masked_fill_(inside, shape.depth)
            moved = torch.zeros(1, 2, device=cover.device) if shape.motion is None else shape.motion.T.float()
            pixels = (
                moved
                * torch.tensor([width, -height], device=cover.device)
                / (1.0 if camera is None else 2 * camera.half)
            )
            flow = torch.where(inside[..., None], pixels[:, None, None, :], flow)
    assert canvas is not None
    rgb = canvas.add_(0.5).clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return Picture(rgb, ids, depth, flow)


def waves(
    numbers: Float64[Tensor, "20 batch"],
    height: int,
    width: int,
    phase: Float64[Tensor, " batch"] | None = None,
    camera: Camera | None = None,
) -> Float32[Tensor, "batch height width"]:
    """A smooth random texture per copy with values in [-1, 1]: five plane waves drawn from 20 uniform numbers.

    `phase` shifts the waves (each by its own multiple), so that a texture can move.
    """
    x, y, _ = _grid(height, width, numbers.device, camera)
    fx, fy, offset, speed = numbers.reshape(4, 5, -1).float()
    angle = offset if phase is None else offset + (0.5 + speed) * phase.float()
    total = torch.zeros(numbers.shape[1], height, width, device=numbers.device)
    for k in range(5):
        across = (14 * fx[k] - 7)[:, None] * x
        down = (14 * fy[k] - 7)[:, None] * y
        total += (2 * torch.pi * (across[:, None, :] + down[:, :, None] + angle[k][:, None, None])).sin()
    return total / 5


def _grid(height: int, width: int, device: torch.device, camera: Camera | None) -> tuple[Tensor, Tensor, float]:
    """Pixel centres [1 or batch, width], [1 or batch, height] in the scene, and pixels per unit."""
    x = ((torch.arange(width, device=device) + 0.5) / width)[None]
    y = (1 - (torch.arange(height, device=device) + 0.5) / height)[None]
    scale = float(min(height, width))
    if camera is None:
        return x, y, scale
    cx, cy = camera.center.float()[:, :, None]
    return cx + camera.half * (2 * x - 1), cy + camera.half * (2 * y - 1), scale / (2 * camera.half)


def _color(color: Color, device: torch.device) -> Tensor:
    """[batch or 1, 3, 1, 1] in 0..255."""
    rows = color.T if isinstance(color, Tensor) else torch.tensor([color], device=device)
    return 255 * rows.float()[:, :, None, None]


def _canvas(background: Color | Tensor, batch: int, height: int, width: int, device: torch.device) -> Tensor:
    if isinstance(background, Tensor) and background.ndim == 4:
        return background * 255
    return _color(background, device).expand(batch, 3, height, width).clone()
