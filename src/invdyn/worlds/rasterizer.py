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

Background = Color | Float32[Tensor, "batch 3 height width"] | UInt8[Tensor, "batch height width 3"]
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

    def box(self) -> tuple[Float64[Tensor, "2 batch"], float, float] | None:
        """Centre, half width and half height of a box round the shape; None to paint the whole picture."""
        return None

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

    def box(self) -> tuple[Float64[Tensor, "2 batch"], float, float] | None:
        most = self.radius if isinstance(self.radius, float) else float(self.radius.max())
        return self.center, most, most


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

    def box(self) -> tuple[Float64[Tensor, "2 batch"], float, float] | None:
        return self.center, *self.half


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
    background: Background = (1.0, 1.0, 1.0),
    labels: bool = False,
    camera: Camera | None = None,
) -> Picture:
    """Paint a batch of scenes.

    Args:
        shapes: what to paint, in any order; nearer ones (smaller depth) cover farther ones.
        height, width: of the picture in pixels.
        background: a colour, one per copy, a picture in [0, 1] (see `waves`), or a finished picture to paint on.
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
    grid = _Grid(height, width, shapes[0].device, camera)
    batch = next(v.shape[-1] for v in vars(shapes[0]).values() if isinstance(v, Tensor) and v.ndim == 2)
    canvas = _Canvas(background, batch, grid, labels)
    for shape in sorted(shapes, key=lambda s: -s.depth):
        canvas.paint(shape)
    return canvas.picture()


class _Grid:
    """Pixel centres x [1 or batch, width] and y [1 or batch, height] in the scene, and pixels per unit."""

    def __init__(self, height: int, width: int, device: torch.device, camera: Camera | None) -> None:
        self.height, self.width, self.device = height, width, device
        self.side = 1.0 if camera is None else 2 * camera.half
        self.scale = min(height, width) / self.side
        x = (((torch.arange(width, device=device) + 0.5) / width) - 0.5)[None]
        y = (0.5 - ((torch.arange(height, device=device) + 0.5) / height))[None]
        cx, cy = (0.5, 0.5) if camera is None else camera.center.float()[:, :, None]
        self.x, self.y = cx + self.side * x, cy + self.side * y

    def window(self, shape: Shape, batch: int) -> tuple[Tensor, Tensor] | None:
        """Columns and rows [batch, k] that hold all of a shape; None where that is most of the picture."""
        box = shape.box()
        if box is None:
            return None
        (cx, cy), half_x, half_y = box[0].float(), box[1] + 0.5 / self.scale, box[2] + 0.5 / self.scale
        pitch_x, pitch_y = self.side / self.width, self.side / self.height
        wide, high = int(2 * half_x / pitch_x) + 3, int(2 * half_y / pitch_y) + 3
        if 2 * wide * high > self.width * self.height or wide > self.width or high > self.height:
            return None
        left, top = self.x[:, 0] - pitch_x / 2, self.y[:, 0] + pitch_y / 2
        column = ((cx - half_x - left) / pitch_x).floor().long().clamp(0, self.width - wide)
        row = ((top - cy - half_y) / pitch_y).floor().long().clamp(0, self.height - high)
        steps = torch.arange(max(wide, high), device=self.device)
        return column[:, None] + steps[:wide], row[:, None] + steps[:high]


class _Canvas:
    """The picture being painted, and its labels."""

    def __init__(self, background: Background, batch: int, grid: _Grid, labels: bool) -> None:
        self.grid, self.batch = grid, batch
        size = (batch, grid.height, grid.width)
        if isinstance(background, Tensor) and background.dtype == torch.uint8:
            self.rgb = background.clone(memory_format=torch.contiguous_format)
        elif isinstance(background, Tensor) and background.ndim == 4:
            self.rgb = (255 * background.permute(0, 2, 3, 1) + 0.5).to(torch.uint8).contiguous()
        else:
            self.rgb = (_color(background, grid.device)[:, None] + 0.5).to(torch.uint8).expand(*size, 3).contiguous()
        self.labels = labels
        if labels:
            self.ids = torch.zeros(size, dtype=torch.int64, device=grid.device)
            self.depth = torch.ones(size, device=grid.device)
            self.flow = torch.zeros(*size, 2, device=grid.device)

    def paint(self, shape: Shape) -> None:
        """Paint over what is there: only the pixels of a window round the shape, where it has one."""
        grid, color = self.grid, _color(shape.color, self.grid.device)[:, None]
        window = grid.window(shape, self.batch)
        if window is None:
            every = torch.arange(self.batch * grid.height * grid.width, device=grid.device)
            at = every.reshape(self.batch, grid.height, grid.width)
            cover = shape.coverage(grid.x, grid.y, grid.scale)
        else:
            columns, rows = window
            copies = grid.height * torch.arange(self.batch, device=grid.device)[:, None]
            at = ((copies + rows) * grid.width)[:, :, None] + columns[:, None, :]
            x = grid.x.expand(self.batch, -1).gather(1, columns)
            y = grid.y.expand(self.batch, -1).gather(1, rows)
            cover = shape.coverage(x, y, grid.scale)
        at, share = at.reshape(-1), cover[..., None]
        pixels = self.rgb.view(-1, 3)
        # Not lerp: the rounding of separate operations does not depend on the batch size.
        mixed = pixels[at].reshape(*cover.shape, 3) * (1 - share) + (share * color + 0.5)
        pixels[at] = mixed.to(torch.uint8).reshape(-1, 3)
        if self.labels:
            inside = (cover > 0.5).reshape(-1)
            at = at[inside]
            self.ids.view(-1)[at] = shape.id
            self.depth.view(-1)[at] = shape.depth
            moved = torch.zeros(2, 1, device=grid.device) if shape.motion is None else shape.motion.float()
            per_unit = torch.tensor([grid.width, -grid.height], device=grid.device) / grid.side
            self.flow.view(-1, 2)[at] = (
                (moved.T * per_unit)[:, None, None].expand(*cover.shape, 2).reshape(-1, 2)[inside]
            )

    def picture(self) -> Picture:
        return Picture(self.rgb, self.ids, self.depth, self.flow) if self.labels else Picture(self.rgb)


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
    grid = _Grid(height, width, numbers.device, camera)
    x, y = grid.x, grid.y
    fx, fy, offset, speed = numbers.reshape(4, 5, -1).float()
    angle = offset if phase is None else offset + (0.5 + speed) * phase.float()
    total = torch.zeros(numbers.shape[1], height, width, device=numbers.device)
    for k in range(5):
        across = (14 * fx[k] - 7)[:, None] * x
        down = (14 * fy[k] - 7)[:, None] * y
        total += (2 * torch.pi * (across[:, None, :] + down[:, :, None] + angle[k][:, None, None])).sin()
    return total / 5


def _color(color: Color, device: torch.device) -> Tensor:
    """[batch or 1, 1, 3] in 0..255."""
    rows = color.T if isinstance(color, Tensor) else torch.tensor([color], device=device)
    return 255 * rows.float()[:, None, :]
