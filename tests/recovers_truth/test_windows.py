"""WindowSampler: every window equals the one cut out of its episode by hand."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.episodes.windows import Window, WindowSampler

STATE = SignalSpec("observation.state", (3,), "float32", "state")
PICTURE = SignalSpec("observation.images.a", (2, 4, 3), "uint8", "image", encoding="png")
ACTION = SignalSpec("action", (2,), "float32", "action")


def recordings(lengths: list[int], seed: int) -> Dataset:
    """Episodes with a missing step here and there; what stands at a missing step is NaN."""
    rng = np.random.default_rng(seed)
    made = []
    for length in lengths:
        there = [rng.random(length) < 0.8 for _ in range(2)]
        state, action = (rng.normal(size=(length, s.size)).astype(np.float32) for s in (STATE, ACTION))
        state[~there[0]], action[~there[1]] = np.nan, np.nan
        pictures = rng.integers(0, 255, (length, *PICTURE.shape)).astype(np.uint8)
        signals = [Signal(STATE, state, there[0]), Signal(ACTION, action, there[1]), Signal(PICTURE, pictures)]
        made.append(Episode.from_signals(signals, fps=10.0))
    return Dataset.from_episodes(made)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    before=st.integers(0, 5),
    after=st.integers(0, 5),
    stride=st.integers(1, 3),
    labelled_only=st.booleans(),
    needs_future=st.booleans(),
    seed=st.integers(0, 100),
)
def test_windows_are_those_cut_by_hand(lengths, before, after, stride, labelled_only, needs_future, seed):
    data = recordings(lengths, seed)
    sampler = WindowSampler(
        data,
        [STATE.name, PICTURE.name],
        Window(before, after),
        [ACTION.name],
        labelled_only=labelled_only,
        stride=stride,
        needs_future=needs_future,
        weight=np.arange(data.frames) / data.frames + 0.1,
    )
    centres = [
        (e, t)
        for e, length in enumerate(lengths)
        for t in range(length - needs_future)
        if not labelled_only or data[e][ACTION.name].mask[t]
    ]
    assert len(sampler) == len(centres)
    order = torch.randperm(len(centres), generator=torch.Generator().manual_seed(seed))
    batch = sampler.batch(order)
    for row, (e, t) in enumerate(centres[i] for i in order):
        episode, steps = data[e], [t + o * stride for o in range(-before, after + 1)]
        inside = [0 <= s < lengths[e] for s in steps]
        held = [min(max(s, 0), lengths[e] - 1) for s in steps]
        assert (int(batch.episode[row]), int(batch.step[row])) == (e, t)
        for name in (STATE.name, PICTURE.name):
            seen = batch.inputs[name][row].numpy()
            assert np.array_equal(seen, episode[name].values[held], equal_nan=name == STATE.name)
        assert batch.mask[row].tolist() == [i and bool(episode[STATE.name].mask[h]) for i, h in zip(inside, held)]
        assert np.array_equal(batch.targets[ACTION.name][row], episode[ACTION.name].values[t], equal_nan=True)
        assert bool(batch.target_mask[row]) == bool(episode[ACTION.name].mask[t])
        assert batch.weight[row] == np.float32((data.starts[e] + t) / data.frames + 0.1)


def test_a_batch_may_be_written_into_without_touching_the_recordings():
    data = recordings([9, 7], 0)
    sampler = WindowSampler(data, [STATE.name], Window(2, 0))
    first = sampler.batch(torch.arange(len(sampler)))
    kept = first.inputs[STATE.name].clone()
    first.inputs[STATE.name].fill_(7.0)
    first.mask.fill_(False)
    again = sampler.batch(torch.arange(len(sampler)))
    assert torch.equal(again.inputs[STATE.name].nan_to_num(-1), kept.nan_to_num(-1))
    assert again.mask.any()
