"""`Window` and `WindowSampler`: short stretches of episodes as batches of tensors, never across episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from invdyn.episodes.dataset import Dataset
from invdyn.errors import ConfigError

__all__ = ["Window", "WindowBatch", "WindowSampler"]

PADDED_BYTES, FRAME_BYTES = 2**28, 2**12
"""Signals up to this size, of frames up to this size, are kept a second time with their episodes padded."""


@dataclass(frozen=True)
class Window:
    """Which steps around a centre are seen: `before` earlier ones, the centre, `after` later ones.

    `Window(0, 1)` is the pair (s_t, s_t+1) whose cause is a_t; `Window(k, 0)` is causal.
    """

    before: int = 0
    after: int = 1

    def __post_init__(self) -> None:
        if self.before < 0 or self.after < 0:
            raise ConfigError(f"a window has before >= 0 and after >= 0, got ({self.before}, {self.after}).")

    @property
    def size(self) -> int:
        return self.before + 1 + self.after

    @property
    def offsets(self) -> range:
        return range(-self.before, self.after + 1)


@dataclass(frozen=True)
class WindowBatch:
    """Windows of several signals.

    Args:
        inputs: name -> [batch, window, ...]; outside the episode the edge value is repeated.
        mask: [batch, window] False outside the episode or where an input is missing; models must use it.
        targets: name -> [batch, ...] at the centre.
        target_mask: [batch] True where every target has a value.
        weight: [batch] confidence of the targets in [0, 1]; 1 without label columns.
        episode, step: [batch] which episode of the dataset, which step of it the centre is.
        rows: [batch, window] which frame each step is, where known: steps of one number hold the same frame, so that a
            model may look at it once.
    """

    inputs: Mapping[str, Shaped[Tensor, "batch window ..."]]
    mask: Bool[Tensor, "batch window"]
    targets: Mapping[str, Shaped[Tensor, "batch ..."]]
    target_mask: Bool[Tensor, " batch"]
    weight: Float[Tensor, " batch"]
    episode: Int64[Tensor, " batch"]
    step: Int64[Tensor, " batch"]
    rows: Int64[Tensor, "batch window"] | None = None

    def __len__(self) -> int:
        return len(self.step)

    def to(self, device: torch.device | str) -> WindowBatch:
        return WindowBatch(
            {k: v.to(device) for k, v in self.inputs.items()},
            self.mask.to(device),
            {k: v.to(device) for k, v in self.targets.items()},
            self.target_mask.to(device),
            self.weight.to(device),
            self.episode.to(device),
            self.step.to(device),
            None if self.rows is None else self.rows.to(device),
        )


@dataclass
class WindowSampler:
    """All windows of a dataset whose centre qualifies, drawn by number, in order or at random.

    Args:
        dataset: the episodes.
        inputs: signals seen through the window.
        window: which steps.
        targets: signals taken at the centre; with `labelled_only` a centre qualifies only where all have values.
        labelled_only: see above.
        stride: distance between consecutive steps of a window (n-step and k-apart pairs).
        needs_future: centres need at least one later step in the episode (the cause of the last step has no
            observed effect).
        weight: signal that weighs the centres (`label.action.weight`), or one number per frame; None for 1.

    The frames of all inputs are kept in memory once (images as uint8). Small signals are kept a second time with each
    episode padded by repeated edge values, so that every window is one stretch of memory and is copied whole; frames of
    pictures, strided windows and very large signals are gathered row by row.
    """

    dataset: Dataset
    inputs: Sequence[str]
    window: Window
    targets: Sequence[str] = ()
    labelled_only: bool = False
    stride: int = 1
    needs_future: bool = False
    weight: str | Float[np.ndarray, " frames"] | None = None
    centres: Int64[Tensor, " windows"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        data = self.dataset
        columns = {name: data.column(name) for name in (*self.inputs, *self.targets)}
        self._values = {name: torch.from_numpy(np.ascontiguousarray(c.values)) for name, c in columns.items()}
        frames = data.frames
        self._present = torch.from_numpy(
            np.logical_and.reduce([columns[n].valid for n in self.inputs] or [np.ones(frames, bool)])
        )
        self._known = torch.from_numpy(
            np.logical_and.reduce([columns[n].valid for n in self.targets] or [np.ones(frames, bool)])
        )
        lengths = torch.from_numpy(data.lengths)
        starts = torch.from_numpy(data.starts)
        self._episode = torch.repeat_interleave(torch.arange(len(data)), lengths)
        self._first = starts.index_select(0, self._episode)
        self._pad(starts, lengths)
        if self.weight is None:
            self._weight = torch.ones(frames)
        elif not isinstance(self.weight, str):
            if len(self.weight) != frames:
                raise ConfigError(f"{len(self.weight)} weights for the {frames} frames of the dataset; give one each.")
            self._weight = torch.from_numpy(np.asarray(self.weight, np.float32))
        else:
            confidence = data.column(self.weight)
            self._weight = torch.from_numpy(np.where(confidence.valid, confidence.values, 0.0).astype(np.float32))
        keep = torch.ones(frames, dtype=torch.bool)
        if self.labelled_only:
            keep &= self._known & (self._weight > 0)
        if self.needs_future:
            keep[starts[lengths > 0] + lengths[lengths > 0] - 1] = False
        self.centres = torch.nonzero(keep).reshape(-1)

    def _pad(self, starts: Tensor, lengths: Tensor) -> None:
        """Lay the episodes end to end with room for windows that begin before or end after them."""
        before, after = self.window.before * self.stride, self.window.after * self.stride
        padded = lengths + before + after
        ends = torch.cumsum(padded, 0)
        at = torch.arange(int(padded.sum())) - torch.repeat_interleave(ends - padded + before, padded)
        last = torch.repeat_interleave(lengths - 1, padded)
        source = torch.minimum(at.clamp(min=0), last).add_(torch.repeat_interleave(starts, padded))
        self._begin = torch.arange(len(self._episode)) + self._episode * (before + after)
        """[frames] where the window of a centre begins in the padded layout."""
        self._source = source
        """[padded] the frame that stands there: the nearest one of the episode."""
        inside = self._present.index_select(0, source) & (at >= 0) & (at <= last)
        self._steps = torch.arange(self.window.size) * self.stride
        self._inside = _overlapping(inside, before + 1 + after)[:, :: self.stride]
        self._views: dict[str, Tensor] = {}
        for name in self.inputs if self.stride == 1 else ():
            values = self._values[name]
            # Images are gathered by number, which tells models that windows share them.
            if (
                self.dataset.schema[name].kind != "image"
                and values.nbytes <= PADDED_BYTES
                and values[:1].nbytes <= FRAME_BYTES
            ):
                self._views[name] = _overlapping(values.index_select(0, source), self.window.size)

    def __len__(self) -> int:
        return len(self.centres)

    def batch(self, which: Int64[Tensor, " batch"]) -> WindowBatch:
        """The windows of these numbers (0 .. len-1)."""
        centre = self.centres.index_select(0, which)
        begin = self._begin.index_select(0, centre)
        inputs = {name: view.index_select(0, begin) for name, view in self._views.items()}
        rows = None
        if len(inputs) < len(self.inputs):
            # index_select copies whole rows: 2-3 times the speed of indexing by a matrix
            flat = self._source.index_select(0, (begin[:, None] + self._steps).reshape(-1))
            rows = flat.reshape(-1, len(self._steps))
            for name in self.inputs:
                if name not in inputs:
                    values = self._values[name]
                    inputs[name] = values.index_select(0, flat).reshape(*rows.shape, *values.shape[1:])
        return WindowBatch(
            inputs,
            self._inside.index_select(0, begin),
            {name: self._values[name].index_select(0, centre) for name in self.targets},
            self._known.index_select(0, centre),
            self._weight.index_select(0, centre),
            self._episode.index_select(0, centre),
            centre - self._first.index_select(0, centre),
            rows,
        )

    def in_order(self, batch_size: int) -> Iterator[WindowBatch]:
        """Every window once, in order."""
        for chunk in torch.arange(len(self)).split(batch_size):
            yield self.batch(chunk)

    def draw(self, generator: torch.Generator, batch_size: int) -> WindowBatch:
        """A batch of windows drawn uniformly with replacement."""
        return self.batch(torch.randint(len(self), (batch_size,), generator=generator))


def _overlapping(values: Shaped[Tensor, "frames ..."], size: int) -> Shaped[Tensor, "windows window ..."]:
    """Every stretch of `size` frames, as a view."""
    if len(values) < size:
        return values.new_empty((0, size, *values.shape[1:]))
    return values.unfold(0, size, 1).movedim(-1, 1)
