"""Diffusion policies over chunks: real-time iteration against its closed forms and its degenerate case; bookkeeping."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from invdyn.decisions.chunk_config import ChunkPolicyConfig
from invdyn.decisions.chunk_policy import ChunkPolicy, filled
from invdyn.decisions.chunk_training import CHUNK_TRAINER, fit_chunk_policy
from invdyn.decisions.receding_horizon import Plan, RecedingHorizonRunner
from invdyn.diffusion.oracles import GaussianMixturePrior
from invdyn.diffusion.path import DiscretePath
from invdyn.diffusion.real_time import gaussian_contraction, iteration_pairs, measured_contraction, shifted
from invdyn.diffusion.samplers import Sampler
from invdyn.diffusion.steps import DDIM
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.episodes.windows import WindowBatch
from invdyn.errors import ConfigError, InvdynError
from invdyn.nn.unet1d import ConditionalUnet1D

PATH = DiscretePath.cosine(100)


def gaussian(variance: float, size: int = 3) -> GaussianMixturePrior:
    eye = torch.eye(size, dtype=torch.float64)
    mean = torch.linspace(-1, 1, size, dtype=torch.float64)
    return GaussianMixturePrior(torch.ones(1, dtype=torch.float64), mean[None], variance * eye[None])


@pytest.mark.parametrize("variance", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("first", [2, 9, 24])
def test_an_error_of_the_guess_shrinks_as_the_closed_form_says(variance: float, first: int) -> None:
    """Two guesses, one noise: their distance after the steps over that before is the product of the multipliers."""
    levels = list(range(first, -1, -1))
    prior = gaussian(variance)
    sampler = Sampler(PATH, iteration_pairs(PATH, levels), DDIM(eta=1.0))
    guess = torch.randn(1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    error = torch.ones(1, 3, dtype=torch.float64)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        return prior.denoised(x, t, PATH)

    a, b = (sampler(denoise, x, torch.Generator().manual_seed(1)) for x in (guess, guess + error))
    told = gaussian_contraction(PATH, levels, torch.tensor(variance, dtype=torch.float64)).item()
    np.testing.assert_allclose(((b - a) / error).numpy(), told, rtol=1e-12)
    top = torch.tensor(PATH.level_time(first), dtype=torch.float64)
    alpha, sigma = PATH.alpha(top).item(), PATH.sigma(top).item()
    spread = alpha**2 * variance + sigma**2
    assert told == pytest.approx(alpha * variance / spread, rel=1e-12)
    assert (told < 1) == (variance < 1 + 1 / alpha)
    (measured,) = measured_contraction(denoise, PATH, levels, guess, torch.Generator().manual_seed(2))
    assert measured == pytest.approx(told, rel=1e-9)


def test_the_published_contractions() -> None:
    """Card: s2 = 0.1 gives 0.969 (3 steps), 0.788 (10), 0.387 (25); s2 = 4 expands."""
    s2 = torch.tensor([0.1, 4.0], dtype=torch.float64)
    found = [gaussian_contraction(PATH, range(k - 1, -1, -1), s2) for k in (3, 10, 25)]
    np.testing.assert_allclose([f[0].item() for f in found], [0.969, 0.788, 0.387], atol=5e-4)
    assert all(f[1] > 1 for f in found)


def test_one_chunk_that_is_certain_is_returned_from_any_guess() -> None:
    """s2 -> 0: the last mean map has multiplier 0 and no noise."""
    prior = gaussian(1e-14)
    for levels in ([0], [2, 1, 0], [40, 7, 0]):
        sampler = Sampler(PATH, iteration_pairs(PATH, levels), DDIM(eta=1.0))
        guess = 3 * torch.randn(5, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        out = sampler(lambda x, t: prior.denoised(x, t, PATH), guess, torch.Generator().manual_seed(4))
        assert (out - torch.linspace(-1, 1, 3, dtype=torch.float64)).abs().max() < 1e-6


def policy(**settings: object) -> ChunkPolicy:
    """A small untrained policy: three numbers in, two out."""
    spec = SignalSpec("observation.state", (3,), "float32", "state")
    target = SignalSpec("action", (2,), "float32", "action")
    torch.manual_seed(0)
    config = ChunkPolicyConfig(**{"width": 16, "depth": 2, "levels": 20, **settings})  # type: ignore[arg-type]
    return ChunkPolicy(config, [spec], target)


def seen(batch: int, seed: int = 0) -> dict[str, Tensor]:
    return {"observation.state": torch.randn(batch, 3, generator=torch.Generator().manual_seed(seed))}


def test_all_levels_from_a_gaussian_guess_are_the_full_sampling_bit_for_bit() -> None:
    net = policy()
    whole = RecedingHorizonRunner(net, Plan(execute=1), seed=5)
    whole.reset(4)
    first = whole.act(seen(4))
    again = RecedingHorizonRunner(net, Plan(execute=1, real_time=tuple(range(19, -1, -1))), seed=5)
    again.reset(4)
    again._fresh[:] = False  # as if a tick had been before
    again._seen = {k: v[:, None].expand(-1, 2, -1) for k, v in seen(4).items()}
    guess = again.whole.start(torch.empty(4, 16, 2), again._generator)
    assert again.short is not None
    condition = net.condition(again._seen)
    with torch.no_grad():
        chunk = again.short(net.denoiser(condition), guess, again._generator)
    assert torch.equal(net.decode(chunk)[:, 1], first)


def test_copies_have_their_own_first_tick_and_guess() -> None:
    """A copy that begins anew among old ones is denoised in full; the others go on from their own chunks."""
    net = policy()
    runner = RecedingHorizonRunner(net, Plan(execute=1, real_time=(2, 1, 0)), seed=0)
    runner.reset(3)
    calls: list[int] = []
    net.net.register_forward_hook(lambda module, given, out: calls.append(len(out)))
    runner.act(seen(3))
    assert calls == [3] * 20
    assert runner.chunk is not None
    old = runner.chunk.clone()
    calls.clear()
    runner.act(seen(3, 1))
    assert calls == [3] * 3
    assert (runner.chunk - shifted(old)).abs().max() < 2  # goes on from the guess
    calls.clear()
    runner.restart(torch.tensor([False, True, False]))
    history = runner._seen["observation.state"].clone()
    runner.act(seen(3, 2))
    assert calls == [1] * 20 + [2] * 3
    now = runner._seen["observation.state"]
    assert torch.equal(now[1, 0], now[1, 1])  # the new copy remembers nothing
    assert torch.equal(now[0, 0], history[0, 1])


def test_a_chunk_is_executed_step_by_step_from_the_present_one() -> None:
    net = policy()
    runner = RecedingHorizonRunner(net, Plan(execute=8), seed=0)
    runner.reset(2)
    actions = [runner.act(seen(2, k)) for k in range(9)]
    first = RecedingHorizonRunner(net, Plan(execute=8), seed=0)
    first.reset(2)
    first.act(seen(2, 0))
    assert first.chunk is not None
    planned = net.decode(first.chunk)
    for k in range(8):
        assert torch.equal(actions[k], planned[:, 1 + k])
    assert not torch.equal(actions[8], planned[:, 9])  # planned anew
    runner.reset(2)
    assert torch.equal(runner.act(seen(2, 0)), actions[0])  # own noise begins anew at a reset


def test_shift_repeats_the_last_step() -> None:
    chunk = torch.arange(4.0).reshape(1, 4, 1)
    assert shifted(chunk).flatten().tolist() == [1, 2, 3, 3]
    assert shifted(chunk, 3).flatten().tolist() == [3, 3, 3, 3]
    with pytest.raises(ConfigError, match="cannot be shifted by 5"):
        shifted(chunk, 5)


def test_two_valued_components_come_out_as_signs_and_go_in_divided() -> None:
    net = policy(discrete=(1,), discrete_scale=10.0)
    actions = torch.tensor([[[0.3, -1.0]] * 16])
    assert torch.allclose(net.encode(actions)[..., 1], torch.tensor(-0.1))
    assert torch.equal(net.decode(net.encode(actions)), actions)
    runner = RecedingHorizonRunner(net, Plan(execute=1, real_time=(1, 0), two_valued="clip"))
    guess = runner._guess(torch.tensor([[[0.3, -0.7]] * 16]))
    assert torch.allclose(guess[0, 0], torch.tensor([0.3, -0.1]))


def test_renoised_guesses_have_the_level_s_moments() -> None:
    runner = RecedingHorizonRunner(policy(levels=100), Plan(execute=1, real_time=(30, 0), renoise=True))
    chunk = torch.full((2000, 16, 2), 0.5)
    t = torch.tensor(PATH.level_time(30), dtype=torch.float64)
    found = runner._guess(chunk)
    assert found.mean().item() == pytest.approx(0.5 * PATH.alpha(t).item(), abs=5e-3)
    assert found.std().item() == pytest.approx(PATH.sigma(t).item(), abs=5e-3)


def test_chunks_repeat_the_last_action_after_the_end() -> None:
    mask = torch.tensor([[False, True, True, False, False], [True, True, True, True, True]])
    values = torch.tensor([[1.0, 1.0, 2.0, math.nan, 9.0], [1.0, 2.0, 3.0, 4.0, 5.0]])[..., None]
    whole = torch.ones(2, dtype=torch.bool)
    zero = torch.zeros(2, dtype=torch.int64)
    batch = WindowBatch({"action": values}, mask, {}, whole, torch.ones(2), zero, zero)
    assert filled(batch, "action")[..., 0].tolist() == [[1, 1, 2, 2, 2], [1, 2, 3, 4, 5]]


@pytest.mark.parametrize("widths", [(16,), (16, 32), (16, 32, 64)])
def test_unet_keeps_the_shape_and_sees_time_and_condition(widths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = ConditionalUnet1D(2, 5, widths=widths, time_size=16)
    x, t, condition = torch.randn(3, 16, 2), torch.rand(3), torch.randn(3, 5)
    out = net(x, t, condition)
    assert out.shape == x.shape
    other = condition.clone()
    other[0] += 1
    moved = (net(x, t, other) - out).abs().amax((1, 2))
    assert moved[0] > 1e-4
    assert moved[1:].max() < 1e-5  # samples do not influence one another
    assert (net(x, t + 0.3, condition) - out).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: policy(history=17), "expected 1 <= history <= horizon"),
        (lambda: policy(net="resnet"), "unknown net of a chunk policy 'resnet'"),
        (lambda: policy(discrete=(2,)), "discrete component 2 of 'action', which has components 0 to 1"),
        (lambda: Plan(rule="euler"), "unknown sampling rule of a plan 'euler'"),
        (lambda: Plan(execute=0), "expected at least 1"),
        (lambda: RecedingHorizonRunner(policy(), Plan(execute=16)), "16 actions of a chunk that holds 15"),
        (lambda: iteration_pairs(PATH, [1, 2]), "expected falling levels that end in 0"),
        (lambda: ConditionalUnet1D(2, 0, widths=(12,)), "each must be a multiple of its 8 groups"),
        (
            lambda: ConditionalUnet1D(2, 0, widths=(8, 8))(torch.zeros(1, 5, 2), torch.zeros(1)),
            "cannot be halved 1 times",
        ),
    ],
)
def test_mistakes_are_named(make: object, says: str) -> None:
    with pytest.raises(InvdynError, match=says):
        make()  # type: ignore[operator]


def test_images_steer_a_chunk() -> None:
    """The action is where a bright square stands; the policy sees nothing else."""
    camera = SignalSpec("observation.images.top", (24, 24, 3), "uint8", "image")
    target = SignalSpec("action", (1,), "float32", "action")
    rng = np.random.default_rng(0)

    def film(steps: int) -> Episode:
        column = np.repeat(rng.integers(3, 21, steps // 10), 10)
        picture = np.zeros((steps, 24, 24, 3), np.uint8)
        for t, c in enumerate(column):
            picture[t, 8:16, c - 3 : c + 3] = 255
        action = ((column - 12) / 9)[:, None].astype(np.float32)
        return Episode.from_signals([Signal(camera, picture), Signal(target, action)], fps=10.0)

    data, test = Dataset.from_episodes(film(60) for _ in range(6)), film(60)
    config = ChunkPolicyConfig(
        inputs=(camera.name,), history=1, horizon=4, kind="x0", width=64, depth=2, levels=20, image_features=16
    )
    trainer = dataclasses.replace(CHUNK_TRAINER, steps=250, batch_size=32, lr=3e-3, warmup=20)
    policy, _ = fit_chunk_policy(data, config, trainer=trainer)
    runner = RecedingHorizonRunner(policy, Plan(rule="ddim", steps=4, execute=1))
    runner.reset(60)
    action = runner.act({camera.name: torch.from_numpy(test[camera.name].values)})
    gap = (action - torch.from_numpy(test["action"].values)).square().mean().sqrt()
    assert gap < 0.3  # measured 0.04; the mean action is off by 0.57


def test_text_is_refused() -> None:
    words = SignalSpec("observation.words", (), "string", "text")
    with pytest.raises(ConfigError, match=r"input 'observation.words' is text; expected numbers or images"):
        ChunkPolicy(ChunkPolicyConfig(), [words], SignalSpec("action", (1,), "float32", "action"))
