"""Inverse models of images alone: the cause is learnt; controls that lack the evidence fail; masks and sharing hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from invdyn.actions.fit import FittedInverse, default_trainer, fit_inverse, labelled_windows
from invdyn.actions.inverse import InverseConfig
from invdyn.actions.inverse_nets import build_inverse
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Signal
from invdyn.nn.encoders import ConvEncoder
from invdyn.worlds.point2d import Point2D
from invdyn.worlds.push2d import Push2D
from invdyn.worlds.record import record

CAMERA, SIDE = "observation.images.camera", 32
CONFIG = InverseConfig(inputs=(CAMERA,), image_features=32, width=64, before=1, after=2)
QUICK = replace(default_trainer(60, images=True), batch_size=32, validate_every=60, warmup=20, tensorboard=False)


@pytest.fixture(scope="module")
def pushes() -> Dataset:
    """A pusher among three discs under a noisy expert; nothing in a picture tells the instruction."""
    return record(Push2D(batch=30), seeds=range(30), images=(SIDE, SIDE), noise=0.6, hold=99, encoding="array")


def fitted(data: Dataset, **changes: object) -> FittedInverse:
    return fit_inverse(data, replace(CONFIG, **changes), trainer=QUICK, holdout=0.2)


def pairs(data: Dataset, shuffled: bool) -> Dataset:
    """Two-step episodes; `shuffled`: the second picture is one of any time of any episode."""
    rng, pool = np.random.default_rng(0), np.concatenate([e[CAMERA].values for e in data])
    made = []
    for episode in data:
        action, frames = episode["action"], episode[CAMERA].values
        for t in range(0, episode.length - 1, 2):
            after = pool[rng.integers(len(pool))] if shuffled else frames[t + 1]
            cause = Signal(action.spec, action.values[t : t + 2], np.array([True, False]))
            made.append(
                Episode.from_signals([Signal(episode[CAMERA].spec, np.stack([frames[t], after])), cause], fps=10.0)
            )
    return Dataset.from_episodes(made)


def test_images_tell_the_cause_and_the_past_alone_does_not(pushes: Dataset) -> None:
    images, past = fitted(pushes), fitted(pushes, mask="causal")
    states = fitted(pushes, inputs=("observation.state",))
    assert images.r2 is not None
    assert past.r2 is not None
    assert states.r2 is not None
    assert images.r2.min() > 0.95, images.r2
    assert states.r2.min() > 0.97, states.r2
    assert past.r2.max() < 0.75, past.r2


def test_the_next_image_of_another_time_tells_nothing(pushes: Dataset) -> None:
    true, shuffled = (fitted(pairs(pushes, s), before=0, after=1) for s in (False, True))
    assert true.r2 is not None
    assert shuffled.r2 is not None
    assert true.r2.min() > 0.9, true.r2
    assert shuffled.r2.max() < 0.2, shuffled.r2


def test_training_betters_the_start() -> None:
    """A force on a point moves it by a twentieth of a pixel more or less."""
    data = record(Point2D(batch=20), seeds=range(20), images=(48, 48), noise=0.6, hold=999, encoding="array")
    start, learnt = (
        fit_inverse(
            data, CONFIG, trainer=replace(QUICK, steps=n, warmup=1, validate_every=n), holdout=0.2
        ).result.best_value
        for n in (1, 150)
    )
    assert start is not None
    assert learnt is not None
    assert learnt < 0.75 * start


@pytest.mark.parametrize("changes", [{}, {"mask": "pair"}, {"temporal": "transformer"}, {"encoder": "strided"}])
def test_what_stands_outside_an_episode_changes_nothing(pushes: Dataset, changes: dict[str, object]) -> None:
    config = replace(CONFIG, **changes)
    windows = labelled_windows(pushes, config)
    torch.manual_seed(0)
    model = build_inverse(config, pushes.schema)
    model.features.fit_codes(windows)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    length = int(pushes.lengths[0]) - 1
    batch = windows.batch(torch.tensor([0, 1, length - 2, length - 1, length, length + 1]))
    ends = ~batch.mask
    assert ends.any(1).tolist() == [True, False, False, True, True, False]
    spoiled = batch.inputs[CAMERA].clone()
    spoiled[ends] = 255 - spoiled[ends]
    other = replace(batch, inputs={CAMERA: spoiled}, rows=None)
    alone = replace(batch, rows=None)
    assert torch.equal(model.raw(alone), model.raw(other))
    assert torch.equal(model.loss(alone), model.loss(other))
    seen = spoiled.clone()
    seen[:, config.before] = 255 - seen[:, config.before]
    assert not torch.equal(model.raw(alone), model.raw(replace(other, inputs={CAMERA: seen})))


def test_a_frame_that_windows_share_is_looked_at_once(pushes: Dataset) -> None:
    windows = labelled_windows(pushes, CONFIG)
    torch.manual_seed(0)
    model = build_inverse(CONFIG, pushes.schema)
    model.features.fit_codes(windows)
    looked: list[int] = []
    model.features.views[0].register_forward_hook(lambda _, seen, __: looked.append(len(seen[0])))
    batch = windows.batch(torch.arange(40))
    shared, apart = model.features.flat(batch), model.features.flat(replace(batch, rows=None))
    assert looked == [40 + CONFIG.before + CONFIG.after - 1, int(batch.mask.sum())]
    torch.testing.assert_close(
        shared, apart, atol=2e-2, rtol=1e-3
    )  # float32 rounding of places, in standard deviations


def test_a_fresh_keypoint_encoder_measures_motions_of_a_hundredth_pixel() -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder(40, 40, 3, 32, kind="keypoints")
    x = 16 + 8 * torch.rand(400, generator=torch.Generator().manual_seed(0))
    grid = torch.arange(40) + 0.5
    inside = (6 - ((grid - x[:, None])[:, None].square() + (grid - 20).square()[:, None]).sqrt() + 0.5).clamp(0, 1)
    images = inside[..., None] * torch.tensor([0.9, -0.6, 0.3]) - 0.5
    with torch.inference_mode():
        codes = torch.cat([encoder(images).double(), torch.ones(400, 1)], 1)
    weights = torch.linalg.lstsq(codes[:300], x[:300, None].double(), driver="gelsd").solution
    assert (codes[300:] @ weights - x[300:, None]).square().mean().sqrt() < 0.01
