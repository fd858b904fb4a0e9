"""`MixtureSampler`: shares that hold in every batch, and batches that are a pure function of the generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invdyn.episodes import Dataset, Episode, Signal, SignalSpec
from invdyn.episodes.mixture import MixtureSampler
from invdyn.episodes.windows import Window, WindowSampler
from invdyn.errors import ConfigError

STATE = SignalSpec("observation.state", (2,), "float32", "state")
ACTION = SignalSpec("action", (1,), "float32", "action")


def source(
    value: float, episodes: int = 2, labelled: bool = True, window: Window | None = None, dtype: str = "float32"
) -> WindowSampler:
    spec = SignalSpec("observation.state", (2,), dtype, "state")
    schema = None
    made = []
    for _ in range(episodes):
        signals = [Signal(spec, np.full((10, 2), value, dtype))]
        if labelled:
            signals.append(Signal(ACTION, np.full((10, 1), value, np.float32)))
        else:
            signals.append(Signal(ACTION, np.full((10, 1), np.nan, np.float32), np.zeros(10, bool)))
        made.append(Episode.from_signals(signals, fps=10.0, schema=schema))
    return WindowSampler(Dataset.from_episodes(made), ["observation.state"], window or Window(1, 1), ["action"])


def test_shares_hold_in_every_batch() -> None:
    mixture = MixtureSampler([source(1.0), source(2.0, 30), source(3.0)], shares=[1, 2, 1])
    generator = torch.Generator().manual_seed(0)
    for size in (4, 7, 64):
        batch = mixture.draw(generator, size)
        counts = mixture.counts(size)
        assert len(batch) == sum(counts) == size
        assert max(abs(c - size * s / 4) for c, s in zip(counts, (1, 2, 1), strict=True)) < 1
        values = batch.inputs["observation.state"][:, 1, 0]
        assert torch.bincount(mixture.origin, minlength=3).tolist() == counts
        assert torch.equal(values, mixture.origin + 1.0)
        assert torch.equal(batch.targets["action"][:, 0], values)


def test_without_shares_windows_count_equally() -> None:
    mixture = MixtureSampler([source(1.0, 1), source(2.0, 3)])
    assert len(mixture) == 40
    assert mixture.counts(40) == [10, 30]


def test_a_batch_is_a_pure_function_of_the_generator() -> None:
    mixture = MixtureSampler([source(1.0), source(2.0)], shares=[0.3, 0.7])
    first = [mixture.draw(torch.Generator().manual_seed(5), 32) for _ in range(2)]
    assert torch.equal(first[0].step, first[1].step)
    assert torch.equal(first[0].episode, first[1].episode)
    assert not torch.equal(first[0].step, mixture.draw(torch.Generator().manual_seed(6), 32).step)


def test_weights_and_unlabelled_sources() -> None:
    mixture = MixtureSampler([source(1.0), source(2.0, labelled=False)], shares=[1, 1], weights=[1.0, 0.25])
    batch = mixture.draw(torch.Generator().manual_seed(0), 10)
    assert batch.weight.tolist() == [1.0] * 5 + [0.25] * 5
    assert batch.target_mask.tolist() == [True] * 5 + [False] * 5
    assert torch.equal(batch.mask, batch.mask & True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MixtureSampler([]), "no source given"),
        (lambda: MixtureSampler([source(1.0), source(2.0, window=Window(0, 1))]), "source 1 has window"),
        (lambda: MixtureSampler([source(1.0), source(2.0, dtype="float64")]), "source 1 is float64"),
        (lambda: MixtureSampler([source(1.0)], shares=[1, 2]), "2 shares for 1 sources"),
        (lambda: MixtureSampler([source(1.0)], shares=[0.0]), "expected positive numbers"),
        (lambda: MixtureSampler([source(1.0)], weights=[-1.0]), "expected numbers >= 0"),
    ],
)
def test_errors(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        make()


def test_an_empty_source_is_named() -> None:
    empty = source(1.0, labelled=False)
    empty = WindowSampler(empty.dataset, ["observation.state"], Window(1, 1), ["action"], labelled_only=True)
    with pytest.raises(ConfigError, match="source 1 has no window"):
        MixtureSampler([source(1.0), empty])
