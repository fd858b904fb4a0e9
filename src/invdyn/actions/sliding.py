"""A model slid over whole episodes: windows of many short episodes in one batch, long ones a stretch at a time.

Every window gives one answer, the one at its centre, where past and future are both in sight (VPT keeps the central
predictions of its windows for the same reason).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from invdyn.actions.base import InverseModel
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.windows import WindowBatch
from invdyn.errors import SignalError

__all__ = ["Answers", "Stretch", "infer_episodes", "plan_blocks"]

BLOCK_FRAMES, BLOCK_BYTES = 16_384, 32 * 2**20
"""A block of stretches is read and computed at a time; it holds at most this much."""
BATCH_BYTES = 8 * 2**20
"""Windows of pictures are evaluated at most so much at a time: larger batches only cost memory traffic."""
PICTURE_BYTES = 4096
"""Frames larger than this are not worth copying to join short episodes into one block."""


@dataclass(frozen=True)
class Stretch:
    """Centres start..stop (end exclusive) of one episode."""

    episode: int
    start: int
    stop: int


@dataclass(frozen=True)
class Answers:
    """What a model said about one episode.

    Args:
        point, spread: [time, cause] flattened per step; NaN where it was not asked or has no answer.
        known: [time] there is an answer.
    """

    point: Float[np.ndarray, "time cause"]
    spread: Float[np.ndarray, "time cause"]
    known: Bool[np.ndarray, " time"]


def stride_of(model: InverseModel) -> int:
    """Steps of the recording between two steps of the model's window."""
    return int(getattr(getattr(model, "config", None), "stride", 1))


def plan_blocks(
    lengths: Sequence[int] | np.ndarray, frame_bytes: int, *, frames: int = BLOCK_FRAMES, size: int = BLOCK_BYTES
) -> list[list[Stretch]]:
    """Episodes, in order, as blocks of at most so many frames and bytes; only an episode larger than that is cut.

    A function of the recordings alone, so that a resumed run computes the very batches of an uninterrupted one.
    """
    most = max(1, min(frames, size // max(1, frame_bytes)))
    blocks: list[list[Stretch]] = []
    room = 0
    for episode, length in enumerate(int(n) for n in lengths):
        if length <= room:
            blocks[-1].append(Stretch(episode, 0, length))
            room -= length
            continue
        blocks += [[Stretch(episode, at, min(at + most, length))] for at in range(0, length, most)]
        # What is left of an episode that was cut stays alone: blocks then begin and end with whole episodes.
        room = most - length if length <= most and frame_bytes <= PICTURE_BYTES else 0
    return blocks


def infer_episodes(
    model: InverseModel,
    dataset: Dataset,
    blocks: Sequence[Sequence[Stretch]],
    *,
    batch_size: int,
    device: str = "cpu",
    threads: int = 1,
) -> Iterator[tuple[int, Answers]]:
    """The answers for every episode of these blocks, in order; one thread reads ahead while others compute.

    Args:
        threads: blocks computed at a time. More than 1 helps small nets, whose single operations are too short to share
            (then let PyTorch use one thread per operation).

    Raises:
        SignalError: an answer of another shape than the target's.
    """
    size = model.target.size
    parts: dict[int, list[Answers]] = {}
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(threads) as pool:

        def compute(reading: Future[_Frames]) -> list[Answers]:
            return reading.result().infer(model, size, batch_size, device)

        def submit(block: Sequence[Stretch]) -> Future[list[Answers]]:
            # Only one thread reads: sources keep files open. Decoding and large operations leave Python's lock.
            return pool.submit(compute, reader.submit(_Frames.read, model, dataset, block))

        waiting: deque[tuple[Sequence[Stretch], Future[list[Answers]]]] = deque()
        following = iter(blocks)
        while True:
            while len(waiting) <= threads and (block := next(following, None)) is not None:
                waiting.append((block, submit(block)))
            if not waiting:
                return
            block, computing = waiting.popleft()
            for stretch, answers in zip(block, computing.result()):
                parts.setdefault(stretch.episode, []).append(answers)
                if stretch.stop == dataset.lengths[stretch.episode]:
                    yield stretch.episode, _joined(parts.pop(stretch.episode))


def _joined(parts: Sequence[Answers]) -> Answers:
    """The stretches of one episode, end to end."""
    if len(parts) == 1:
        return parts[0]
    return Answers(
        np.concatenate([p.point for p in parts]),
        np.concatenate([p.spread for p in parts]),
        np.concatenate([p.known for p in parts]),
    )


@dataclass(frozen=True)
class _Frames:
    """The frames a block needs, end to end.

    Args:
        values: name -> [frames, ...].
        present: [frames] every input has a value.
        rows: [centre, window] which frame each step of a window is.
        inside: [centre, window] whether it lies in the episode.
        episode, step: [centre].
        counts: centres of each stretch.
    """

    values: dict[str, Shaped[Tensor, "frames ..."]]
    present: Bool[Tensor, " frames"]
    rows: Tensor
    inside: Bool[Tensor, "batch window"]
    episode: Tensor
    step: Tensor
    counts: list[int]

    @classmethod
    def read(cls, model: InverseModel, dataset: Dataset, block: Sequence[Stretch]) -> _Frames:
        offsets = np.array([o * stride_of(model) for o in model.window.offsets])
        values: dict[str, list[np.ndarray]] = {name: [] for name in model.inputs}
        present, rows, inside, first = [], [], [], 0
        for stretch in block:
            episode = dataset[stretch.episode]
            low = max(0, stretch.start + int(offsets[0]))
            high = min(episode.length, stretch.stop + int(offsets[-1]))
            there = np.ones(high - low, bool)
            for name in model.inputs:
                spec = dataset.schema[name]
                if name in episode:
                    signal = episode.read(name, low, high)
                    values[name].append(signal.values)
                    there &= signal.mask
                else:
                    values[name].append(np.zeros((high - low, *spec.shape), spec.numpy_dtype))
                    there[:] = False
            wanted = np.arange(stretch.start, stretch.stop)[:, None] + offsets
            inside.append((wanted >= 0) & (wanted < episode.length))
            rows.append(np.clip(wanted, 0, episode.length - 1).clip(low, high - 1) - low + first)
            present.append(there)
            first += high - low
        counts = [s.stop - s.start for s in block]
        steps = np.concatenate([np.arange(s.start, s.stop) for s in block])
        return cls(
            {
                name: torch.from_numpy(np.concatenate(v) if len(v) > 1 else np.ascontiguousarray(v[0]))
                for name, v in values.items()
            },
            torch.from_numpy(np.concatenate(present)),
            torch.from_numpy(np.concatenate(rows)),
            torch.from_numpy(np.concatenate(inside)),
            torch.from_numpy(np.repeat([s.episode for s in block], counts)),
            torch.from_numpy(steps),
            counts,
        )

    def infer(self, model: InverseModel, size: int, batch_size: int, device: str) -> list[Answers]:
        """The answers of each stretch."""
        points, spreads, answered = [], [], []
        window = sum(v[0].nbytes for v in self.values.values()) * self.rows.shape[1]
        batch_size = min(batch_size, max(16, BATCH_BYTES // max(1, window)))
        for chunk in torch.arange(len(self.step)).split(batch_size):
            batch = self.batch(slice(int(chunk[0]), int(chunk[-1]) + 1))
            with torch.inference_mode():
                answer = model.infer(batch.to(device))
                point = answer.point().cpu().double().reshape(len(batch), -1)
                spread = answer.spread().cpu().double().reshape(len(batch), -1)
            if point.shape[1] != size or spread.shape != point.shape:
                raise SignalError(
                    f"{type(model).__name__} answers with {tuple(point.shape)} and spread {tuple(spread.shape)} for "
                    f"{len(batch)} windows, expected ({len(batch)}, {size}). Correct its point() and spread()."
                )
            # Answerable: the centre is there, and so is the step after it for models that look ahead (the effect of a
            # cause at the last step was not observed).
            centre = model.window.before
            known = batch.mask[:, centre]
            if model.window.after > 0:
                known = known & batch.mask[:, centre + 1]
            known = known & torch.isfinite(point).all(1)
            points.append(torch.where(known[:, None], point, torch.nan).numpy())
            spreads.append(torch.where(known[:, None], spread, torch.nan).numpy())
            answered.append(known.numpy())
        ends = np.cumsum(self.counts)[:-1]
        whole = (np.split(np.concatenate(part), ends) for part in (points, spreads, answered))
        return [Answers(*parts) for parts in zip(*whole)]

    def batch(self, at: slice) -> WindowBatch:
        """The windows of these centres."""
        rows = self.rows[at]
        flat = rows.reshape(-1)
        count = len(rows)
        inputs = {n: v.index_select(0, flat).reshape(*rows.shape, *v.shape[1:]) for n, v in self.values.items()}
        mask = self.inside[at] & self.present[rows]
        unknown = torch.zeros(count, dtype=torch.bool)
        return WindowBatch(inputs, mask, {}, unknown, torch.ones(count), self.episode[at], self.step[at], rows)
