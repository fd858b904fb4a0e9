"""Encoders, temporal masks and the seed axis: closed-form cases, and leaks of exactly 0."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn

from invdyn.errors import ConfigError, UnknownNameError
from invdyn.nn.encoders import MLP, ConvEncoder, MultiView, SpatialSoftmax
from invdyn.nn.seed_axis import SeedAxis
from invdyn.nn.temporal import MaskedTransformer, attention_mask, visible_offsets


def test_spatial_softmax_finds_a_bright_pixel() -> None:
    """Card idp, test 8: a single bright pixel returns its normalised coordinates to 1e-3."""
    maps = torch.zeros(1, 2, 9, 11)
    maps[0, 0, 2, 5], maps[0, 1, 8, 0] = 50.0, 50.0
    x0, x1, y0, y1 = SpatialSoftmax()(maps)[0].tolist()
    assert (x0, x1, y0, y1) == pytest.approx((0.0, -1.0, -0.5, 1.0), abs=1e-3)


@pytest.mark.parametrize("kind", ["keypoints", "strided", "impala"])
def test_image_encoders_keep_leading_axes_and_tell_images_apart(kind: str) -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder(32, 40, 3, 16, kind=kind).eval()
    images = torch.randint(0, 256, (2, 3, 32, 40, 3), dtype=torch.uint8)
    codes = encoder(images)
    assert codes.shape == (2, 3, 16)
    assert codes.abs().max() <= 1
    torch.testing.assert_close(encoder(images[1, 2]), codes[1, 2], atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder(images.float() / 127.5 - 1), codes, atol=1e-5, rtol=0)
    assert (codes[0, 0] - codes[0, 1]).abs().max() > 1e-3


def test_several_views_are_side_by_side() -> None:
    views = MultiView({"top": (24, 24, 3), "wrist": (32, 24, 1)}, 8)
    images = {"wrist": torch.rand(5, 32, 24, 1), "top": torch.rand(5, 24, 24, 3)}
    codes = views(images)
    assert codes.shape == (5, 16) == (5, views.features)
    torch.testing.assert_close(codes[:, 8:], views.views[1](images["wrist"]))


def test_encoder_errors() -> None:
    with pytest.raises(ConfigError, match=r"images of 8x64 pixels are too small .* 12x12. Use kind='impala'"):
        ConvEncoder(8, 64)
    with pytest.raises(UnknownNameError, match=r"unknown image encoder 'impalla'. Did you mean 'impala'"):
        inspect.unwrap(ConvEncoder.__init__)(nn.Module.__new__(ConvEncoder), 64, 64, kind="impalla")


def test_masks() -> None:
    assert visible_offsets("pair", 2, 2) == [False, False, True, True, False]
    assert visible_offsets("causal", 2, 1) == [True, True, True, False]
    assert visible_offsets("noncausal", 1, 1) == [True, True, True]
    assert attention_mask("causal", 1, 1).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert attention_mask("pair", 1, 1).tolist() == [[True, True, False], [False, True, True], [False, False, True]]
    with pytest.raises(ConfigError, match=r"mask 'pair' needs the step after the centre.*Set after=1"):
        visible_offsets("pair", 1, 0)


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("train", [False, True])
def test_what_is_masked_has_no_influence_at_all(positions: str, train: bool) -> None:
    torch.manual_seed(0)
    net = MaskedTransformer(16, 6, depth=3, heads=2, positions=positions).train(train)
    nn.init.normal_(net.missing)
    tokens = torch.randn(4, 6, 16)
    present = torch.tensor([[True] * 6, [False] + [True] * 5, [True, False, True, True, False, True], [False] * 6])
    attend = attention_mask("noncausal", 2, 3)
    out = net(tokens, present, attend)
    spoiled = torch.where(present[..., None], tokens, torch.full_like(tokens, 1e4))
    assert torch.equal(net(spoiled, present, attend), out)
    spoiled[~present] = torch.nan
    assert torch.equal(net(spoiled, present, attend), out)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_causal_attention_does_not_see_the_future(positions: str) -> None:
    torch.manual_seed(0)
    net = MaskedTransformer(16, 6, depth=3, heads=2, positions=positions)
    tokens, present = torch.randn(3, 6, 16), torch.ones(3, 6, dtype=torch.bool)
    out = net(tokens, present, attention_mask("causal", 5, 0))
    for step in range(5):
        changed = tokens.clone()
        changed[:, step + 1 :] += 100 * torch.randn(3, 5 - step, 16)
        again = net(changed, present, attention_mask("causal", 5, 0))
        assert torch.equal(again[:, : step + 1], out[:, : step + 1])
        assert not torch.equal(again[:, step + 1 :], out[:, step + 1 :])


def test_positions_matter() -> None:
    torch.manual_seed(0)
    present, attend = torch.ones(1, 4, dtype=torch.bool), attention_mask("noncausal", 1, 2)
    tokens = torch.randn(1, 4, 16)
    for positions in ("rotary", "learned"):
        net = MaskedTransformer(16, 4, heads=2, positions=positions)
        moved = net(tokens.flip(1), present, attend).flip(1)
        assert (net(tokens, present, attend) - moved).abs().max() > 1e-4


def test_transformer_errors() -> None:
    with pytest.raises(ConfigError, match=r"width 10 cannot be divided into 4 heads of even size. Use a multiple of 8"):
        MaskedTransformer(10, 4, heads=4)


def copies(seed: int, size: int) -> tuple[SeedAxis, list[nn.Module]]:
    """A stacked net and the nets it is made of."""
    torch.manual_seed(seed)
    stacked = SeedAxis(lambda: MLP(5, 3, width=16), size)
    return stacked, [stacked.member(i, MLP(5, 3, width=16)) for i in range(size)]


def test_the_seed_axis_equals_separate_nets() -> None:
    stacked, nets = copies(0, 4)
    x = torch.randn(7, 5)
    torch.testing.assert_close(stacked(x), torch.stack([net(x) for net in nets]), atol=1e-6, rtol=1e-6)
    own = torch.randn(4, 7, 5)
    expected = torch.stack([net(row) for net, row in zip(nets, own, strict=True)])
    torch.testing.assert_close(stacked(own, shared=False), expected, atol=1e-6, rtol=1e-6)
    assert (stacked(x)[0] - stacked(x)[1]).abs().max() > 1e-2  # each has its own weights


def test_the_seed_axis_trains_like_separate_nets() -> None:
    stacked, nets = copies(1, 3)
    x, y = torch.randn(32, 5), torch.randn(32, 3)

    def step(parameters: list[Tensor], loss: Tensor) -> None:
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.data -= 0.1 * g

    for _ in range(5):
        step(list(stacked.parameters()), (stacked(x) - y).square().mean((1, 2)).sum())
        for net in nets:
            step(list(net.parameters()), (net(x) - y).square().mean())
    torch.testing.assert_close(stacked(x), torch.stack([net(x) for net in nets]), atol=1e-6, rtol=1e-5)


def test_the_seed_axis_drops_units_in_training_only_and_for_each_member_apart() -> None:
    torch.manual_seed(0)
    stacked = SeedAxis(lambda: nn.Sequential(nn.Linear(200, 200), nn.Dropout(0.5)), 2)
    x = torch.ones(1, 200)
    first, second = (member == 0 for member in stacked.train()(x))
    assert not torch.equal(first, second)
    assert 60 < int(first.sum()) < 140  # 200 units, half dropped, +- 5.6 standard deviations
    assert not (stacked.eval()(x) == 0).any()


def test_the_seed_axis_is_saved_by_its_state() -> None:
    stacked, _ = copies(0, 2)
    other, _ = copies(5, 2)
    other.load_state_dict(stacked.state_dict())
    x = torch.randn(3, 5)
    assert torch.equal(other(x), stacked(x))
