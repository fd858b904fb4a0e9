"""Pictures: areas, positions, order, flow, cameras and backgrounds against what geometry says."""

from __future__ import annotations

import math

import pytest
import torch

from invdyn.worlds.rasterizer import Camera, Disc, Rectangle, Segment, rasterize, waves


def column(*xy: float) -> torch.Tensor:
    return torch.tensor([[xy[0]], [xy[1]]], dtype=torch.float64)


BLACK, WHITE, RED = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0)


@pytest.mark.parametrize("size", [32, 96])
def test_painted_areas_are_the_true_ones(size: int) -> None:
    middle = column(0.47, 0.53)
    shapes = {
        math.pi * 0.2**2: Disc(middle, 0.2, color=BLACK, id=1, depth=0.5),
        0.4 * 0.3: Rectangle(middle, (0.2, 0.15), color=BLACK, id=1, depth=0.5),
        0.5 * 0.1 + math.pi * 0.05**2: Segment(column(0.2, 0.3), column(0.6, 0.6), 0.1, color=BLACK, id=1, depth=0.5),
    }
    for area, shape in shapes.items():
        picture = rasterize([shape], size, size, labels=True)
        assert picture.ids is not None
        painted = (1 - picture.rgb.float() / 255).mean(-1).mean()
        # Linear edges are exact for straight ones; a circle's curvature and 8-bit colours cost well under 1 %.
        assert abs(float(painted) / area - 1) < 0.01
        assert abs(float((picture.ids == 1).double().mean()) / area - 1) < 4 / size


def test_edges_are_smooth_in_the_position() -> None:
    """Moving a disc by a tenth of a pixel changes the picture by about a tenth of what a pixel does."""

    def at(x: float) -> torch.Tensor:
        return rasterize([Disc(column(x, 0.5), 0.2, color=BLACK, id=1, depth=0.5)], 32, 32).rgb.double()

    small = (at(0.5 + 0.1 / 32) - at(0.5)).abs().sum()
    whole = (at(0.5 + 1 / 32) - at(0.5)).abs().sum()
    assert 0.08 < small / whole < 0.12


def test_rows_run_down_and_columns_right() -> None:
    picture = rasterize([Disc(column(0.75, 0.9), 0.05, color=BLACK, id=1, depth=0.5)], 40, 80, labels=True)
    assert picture.ids is not None
    rows, columns = (picture.ids[0] == 1).nonzero().double().T
    assert abs(float(rows.mean()) + 0.5 - 4) < 0.6  # (1 - 0.9) 40
    assert abs(float(columns.mean()) + 0.5 - 60) < 0.6


def test_nearer_shapes_cover_farther_ones_whatever_the_order() -> None:
    near = Disc(column(0.5, 0.5), 0.1, color=RED, id=7, depth=0.1, motion=column(0.1, 0.05))
    far = Rectangle(column(0.5, 0.5), (0.3, 0.3), color=BLACK, id=3, depth=0.6)
    for shapes in ([near, far], [far, near]):
        picture = rasterize(shapes, 50, 50, background=WHITE, labels=True)
        assert picture.ids is not None
        assert picture.depth is not None
        assert picture.flow is not None
        assert (int(picture.ids[0, 25, 25]), int(picture.ids[0, 12, 12]), int(picture.ids[0, 0, 0])) == (7, 3, 0)
        torch.testing.assert_close(picture.depth[0, [25, 12, 0], [25, 12, 0]], torch.tensor([0.1, 0.6, 1.0]))
        # Right by 0.1 of 50 columns, up by 0.05 of 50 rows.
        torch.testing.assert_close(picture.flow[0, 25, 25], torch.tensor([5.0, -2.5]))
        assert (picture.flow[0][picture.ids[0] != 7] == 0).all()
        assert picture.rgb[0, 25, 25].tolist() == [255, 0, 0]


def test_flow_carries_the_mask_onto_the_next_frame() -> None:
    start, motion = column(0.4, 0.45), column(6 / 64, -3 / 64)
    before = rasterize([Disc(start, 0.15, color=BLACK, id=1, depth=0.5, motion=motion)], 64, 64, labels=True)
    after = rasterize([Disc(start + motion, 0.15, color=BLACK, id=1, depth=0.5)], 64, 64, labels=True)
    assert before.ids is not None
    assert before.flow is not None
    assert after.ids is not None
    at = (before.ids[0] == 1).nonzero()
    to = at + before.flow[0][before.ids[0] == 1].flip(-1).round().long()
    moved = torch.zeros(64, 64, dtype=torch.int64)
    moved[to[:, 0], to[:, 1]] = 1
    assert torch.equal(moved, after.ids[0])


def test_camera_is_a_window_of_the_scene() -> None:
    scene = [
        Disc(column(0.5, 0.5), 0.1, color=RED, id=1, depth=0.5, motion=column(0.01, 0.0)),
        Segment(column(0.1, 0.1), column(0.9, 0.7), 0.03, color=BLACK, id=2, depth=0.6),
    ]
    whole = rasterize(scene, 64, 64, labels=True)
    part = rasterize(scene, 32, 32, labels=True, camera=Camera(column(0.5, 0.5), 0.25))
    assert whole.ids is not None
    assert part.ids is not None
    assert whole.flow is not None
    assert part.flow is not None
    assert torch.equal(part.ids[0], whole.ids[0, 16:48, 16:48])
    assert (part.rgb[0].int() - whole.rgb[0, 16:48, 16:48].int()).abs().max() <= 1
    torch.testing.assert_close(part.flow[0], whole.flow[0, 16:48, 16:48])


def test_backgrounds_and_colours_differ_per_copy() -> None:
    places = torch.rand(2, 5, generator=torch.Generator().manual_seed(0)).double()
    colors = torch.rand(3, 5, generator=torch.Generator().manual_seed(1))
    texture = waves(torch.rand(20, 5, generator=torch.Generator().manual_seed(2)).double(), 24, 24)
    assert texture.abs().max() <= 1
    assert texture.std((1, 2)).min() > 0.1
    floor = 0.5 + 0.3 * texture[:, None].expand(5, 3, 24, 24)
    picture = rasterize([Disc(places, 0.1, color=colors, id=1, depth=0.5)], 24, 24, background=floor, labels=True)
    assert picture.ids is not None
    for i in range(5):
        inside = picture.ids[i] == 1
        away = torch.nn.functional.max_pool2d(inside[None].float(), 3, 1, 1)[0] == 0
        torch.testing.assert_close(picture.rgb[i][away], (255 * floor[i].permute(1, 2, 0)[away] + 0.5).to(torch.uint8))
        core = torch.nn.functional.max_pool2d(1 - inside[None].float(), 3, 1, 1)[0] == 0
        assert (picture.rgb[i][core].float() - 255 * colors[:, i]).abs().max() <= 0.5001
    moved = waves(torch.rand(20, 5).double(), 24, 24, torch.ones(5).double())
    assert moved.shape == (5, 24, 24)
