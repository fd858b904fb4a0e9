"""Pictures in the diffusion studies: the U-Net, the frames, their judge, and the three experiments at toy size."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from invdyn.diffusion.moments import gaussian_of
from invdyn.diffusion.operators import as_matrix
from invdyn.errors import ConfigError
from invdyn.nn.unet2d import ConditionalUnet2D
from invdyn.studies import load_study
from invdyn.studies.red_diff_digits import tasks
from invdyn.studies.red_diff_renders import each_colour
from invdyn.studies.renders import RendersConfig, gaussian, pixels, rendered
from invdyn.studies.renders_judge import Judge
from invdyn.studies.study import Context, Outcome

TOY = RendersConfig(
    side=16, frames=48, held=24, samples=16, widths=(8, 16), steps=6, batch=8, features=8, judge_steps=3
)


def roused(net: ConditionalUnet2D) -> ConditionalUnet2D:
    """The net with noise on every weight: fresh, its last layers are zero."""
    torch.manual_seed(0)
    for weight in net.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))
    return net


def test_unet_keeps_shapes_and_hears_times_and_condition() -> None:
    torch.manual_seed(1)
    x, t, c = torch.randn(3, 3, 8, 12), torch.linspace(0.1, 0.9, 3), torch.randn(3, 2)
    one = ConditionalUnet2D(3, condition=2, widths=(8, 16, 8), time_size=8)
    assert torch.equal(one(x, t, c), torch.zeros_like(x))  # a fresh net puts out zero
    roused(one)
    assert one(x, t, c).shape == x.shape
    assert not torch.equal(one(x, t, c), one(x, t, 2 * c))
    two = roused(ConditionalUnet2D(3, scalars=2, widths=(8,), time_size=8, attention=False))
    assert not torch.equal(two(x, t, t / 2, None), two(x, t, t, None))
    torch.testing.assert_close(two(x[1:2], t[1:2], t[1:2]), two(x, t, t)[1:2])  # samples do not see each other


def test_unet_refuses_what_it_cannot_halve() -> None:
    net = ConditionalUnet2D(3, widths=(8, 8, 8), time_size=8)
    with pytest.raises(ConfigError, match="10 x 12 pixels cannot be halved 2 times; expected multiples of 4"):
        net(torch.zeros(1, 3, 10, 12), torch.zeros(1))
    with pytest.raises(ConfigError, match=r"widths \(8, 12\): each must be a positive multiple of 8"):
        ConditionalUnet2D(3, widths=(8, 12))


def test_unet_has_a_forward_derivative_and_every_weight_a_gradient() -> None:
    """`jvp` as MeanFlow asks for it against central differences in float64, and backward through its value."""
    net = roused(ConditionalUnet2D(3, scalars=2, widths=(8, 16), time_size=8)).double()
    x, t = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.tensor([0.7, 0.4], dtype=torch.float64)
    way, ones, step = torch.randn_like(x), torch.ones_like(t), 1e-6

    def u(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        return net(x, t, t - r, None)

    value, rate = torch.func.jvp(u, (x, t, t / 2), (way, ones, torch.zeros_like(t)))
    between = (u(x + step * way, t + step, t / 2) - u(x - step * way, t - step, t / 2)) / (2 * step)
    torch.testing.assert_close(rate, between, atol=1e-7, rtol=1e-6)
    value.square().sum().backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.abs().max() > 0)]
    assert not silent


def test_frames_are_deterministic_and_what_their_states_say() -> None:
    one, again, later = (rendered(count, 16, 3, first) for count, first in ((6, 0), (6, 0), (3, 3)))
    assert one.frames.shape == (6, 3, 16, 16)
    assert torch.equal(one.frames, again.frames)
    assert torch.equal(one.frames[3:], later.frames)
    assert torch.equal(one.states[3:], later.states)
    assert not torch.equal(one.states, rendered(6, 16, 4).states)
    assert one.frames.min() >= -1
    assert one.frames.max() <= 1
    assert len(one.states.unique(dim=0)) == 6
    # The black pusher is drawn where the state says: the pixel of its centre is dark.
    x, y = one.states[:, 0], one.states[:, 1]
    dark = one.frames[torch.arange(6), :, ((1 - y) * 16).long(), (x * 16).long()]
    assert (dark < 0).all()
    shown = torch.tensor(pixels(one.frames))
    assert shown.shape == (6, 16, 16, 3)
    torch.testing.assert_close(shown.permute(0, 3, 1, 2) / 127.5 - 1, one.frames)


@pytest.mark.parametrize("count", [40, 200])
def test_gaussian_of_frames_has_their_moments(count: int) -> None:
    """By either product (more pixels than frames, or fewer), against the streamed moments."""
    frames = rendered(count, 8, 5).frames[:, :, 2:6, 2:7]
    found, truth = gaussian(frames), gaussian_of(frames.double())
    torch.testing.assert_close(found.mean(), truth.mean(), atol=1e-12, rtol=0)
    torch.testing.assert_close(found.covariance(), truth.covariance(), atol=1e-9, rtol=0)


def test_judge_reads_states_and_tells_frames_from_noise() -> None:
    data, held, fresh = (rendered(count, 16, 3, first) for count, first in ((600, 0), (200, 600), (200, 800)))
    config = RendersConfig(side=16, features=16, judge_steps=100, batch=32)
    judge = Judge.trained(data, held, config, seed=0)
    assert judge.unread() < 0.9  # 1 is the mean state's error
    noise = 2 * torch.rand(200, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 1
    assert judge.distance(fresh.frames) < 0.3 * judge.distance(noise)
    assert judge.distance(held.frames) == pytest.approx(0.0, abs=1e-6)


def test_each_colour_is_measured_alone() -> None:
    """Adjoint, pseudo-inverse and damped inverse of the colour operators against their matrix."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 4, 4, generator=g, dtype=torch.float64)
    for task, grey in tasks(g, 4, 4).items():
        if task not in ("inpaint", "super"):
            continue
        f = each_colour(grey)
        rows = as_matrix(f, x[0])
        y = f.forward(x)
        adjoint, damped = f.linear("test")
        flat = y.flatten(1)
        torch.testing.assert_close(flat, x.flatten(1) @ rows.mT)
        torch.testing.assert_close(adjoint(y).flatten(1), flat @ rows)
        torch.testing.assert_close(f.guess(y).flatten(1), flat @ torch.linalg.pinv(rows).mT)
        eye = torch.eye(len(rows), dtype=torch.float64)
        torch.testing.assert_close(
            damped(y, 0.3).flatten(1), torch.linalg.solve(rows @ rows.mT + 0.3 * eye, flat.mT).mT
        )


def ran(slug: str, **sizes: object) -> tuple[dict[str, float], Outcome]:
    """The experiment on frames of a study's gpu scale, at toy size, with its figure."""
    study = load_study(slug)
    assert study.scales["gpu"].parts == (*study.scales["laptop"].parts, "renders")
    assert study.scales["gpu"].renders.side == (64 if slug == "red-diff" else 32)
    config = dataclasses.replace(study.scales["gpu"], parts=("renders",), renders=TOY, **sizes)
    outcomes = study.run(config, (41,), Context())
    assert len(study.figure(config, outcomes).axes) == 1
    metrics = outcomes[41].metrics
    assert all(name.startswith("renders.") and math.isfinite(value) for name, value in metrics.items())
    return metrics, outcomes[41]


def test_principles_on_frames() -> None:
    metrics, outcome = ran("diffusion-principles")
    for name in ("edm_heun_35", "edm_dpmpp_10", "mean_flow_1", "euler_1", "fresh", "noise"):
        assert metrics[f"renders.frechet_{name}"] >= 0
    assert set(outcome.curves["renders"]["losses"]) == {"flow", "edm", "mean_flow"}


def test_painters_on_frames() -> None:
    metrics, _ = ran("diffusion-painters", reference=3, render_starts=4)
    assert [metrics[f"renders.calls_skip_{k}"] for k in (0, 2, 4, 5, 7, 9)] == [35, 31, 27, 25, 21, 17]
    assert metrics["renders.components"] == 47  # 48 frames


def test_inverse_problems_on_frames() -> None:
    metrics, _ = ran("red-diff", calls=2, render_images=3, render_tuning=2)
    for task in ("inpaint", "super"):
        names = ("red_diff", "red_diff_own_eps", "dps", "pgdm", "projection", "wiener", "pseudo_inverse")
        assert {f"renders.{task}.psnr.{name}" for name in names} <= set(metrics)
    # The Gaussian of 48 frames knows the floor's colour, holes filled with grey do not.
    assert metrics["renders.inpaint.psnr.wiener"] > metrics["renders.inpaint.psnr.pseudo_inverse"] + 3
