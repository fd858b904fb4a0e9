"""`WindowFeatures`: what a window becomes before the net: scaled states, their changes, image codes, masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from invdyn.actions.inverse import InverseConfig
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.normalizer import Normalizer
from invdyn.episodes.signal import SignalSpec
from invdyn.episodes.windows import WindowBatch, WindowSampler
from invdyn.errors import ConfigError, SignalError
from invdyn.nn.encoders import ConvEncoder

__all__ = ["RUN", "WindowFeatures", "spread_over"]

ROUNDING = 1e-6
"""Float32 keeps about this share of a number."""
FITTED = 1024
"""Windows that the scaling of image codes is taken from."""
RUN = 16
"""Windows in a row, where only some are wanted: neighbours share all frames but one."""
BATCH_BYTES = 32 * 2**20
"""Windows of images are gathered so many bytes at a time."""


class WindowFeatures(nn.Module):
    """Scaled features of windows, with everything that must not be seen set to zero after scaling.

    Args:
        config: see `InverseConfig`.
        inputs: specs of the signals.

    Attributes:
        size: features of a whole window (`flat`).
        absolute: how many of them, at the front, say where things are rather than how they change.
        step_size: features of one step (`tokens`), presence not counted.

    Raises:
        ConfigError: a text input.
    """

    visible: Tensor

    def __init__(self, config: InverseConfig, inputs: Sequence[SignalSpec]) -> None:
        super().__init__()
        self.config = config
        for spec in inputs:
            if spec.is_text:
                raise ConfigError(
                    f"inverse model: input {spec.name!r} is text, expected numbers or images. Choose other inputs."
                )
        self.states = tuple(s for s in inputs if s.kind != "image")
        self.images = tuple(s for s in inputs if s.kind == "image")
        self.state_size = sum(s.size for s in self.states)
        self.levels = Normalizer(self.state_size) if self.states else None
        self.changes = Normalizer(self.state_size) if self.states and config.differences else None
        self.views = nn.ModuleList()
        for spec in self.images:
            height, width, channels = spec.shape
            self.views.append(ConvEncoder(height, width, channels, config.image_features, kind=config.encoder))
        codes = config.image_features * len(self.images)
        self.code_levels = Normalizer(codes) if codes else None
        self.code_changes = Normalizer(codes) if codes and config.differences else None
        self.register_buffer("visible", torch.tensor(config.visible), persistent=False)
        steps, whole = config.window.size, self.state_size + codes
        self.absolute = whole if config.differences else 0
        self.size = steps * (whole + 1)
        self.step_size = (2 if config.differences else 1) * whole
        self.window_bytes = steps * sum(s.size * s.numpy_dtype.itemsize for s in inputs)

    def fit(self, dataset: Dataset) -> None:
        """Take the scaling of states and of their changes from all episodes, labelled or not.

        Raises:
            SignalError: an input that no step of the dataset has.
        """
        if self.levels is None:
            return
        columns = [dataset.column(s.name) for s in self.states]
        valid = np.logical_and.reduce([c.valid for c in columns])
        if not valid.any():
            names = ", ".join(s.name for s in self.states)
            raise SignalError(f"{dataset.source.origin}: no step has all of {names}. Choose other inputs.")
        values = np.concatenate([np.asarray(c.values, np.float64).reshape(dataset.frames, -1) for c in columns], 1)
        self.levels.fit(torch.from_numpy(values[valid]), kind=self.config.normalize)
        if self.changes is None:
            return
        stride = self.config.stride
        episode = np.repeat(np.arange(len(dataset)), dataset.lengths)
        pairs = valid[stride:] & valid[:-stride] & (episode[stride:] == episode[:-stride])
        if pairs.any():
            change = (values[stride:] - values[:-stride])[pairs]
            self.changes.fit(torch.from_numpy(change), kind=self.config.normalize)
            # Changes at the rounding of the recorded numbers are no motion: leave them small.
            rounding = torch.from_numpy(ROUNDING * np.abs(values[valid]).max(0))
            self.changes.scale.copy_(torch.where(self.changes.scale <= rounding, 1.0, self.changes.scale))

    @torch.no_grad()
    def fit_codes(self, windows: WindowSampler) -> None:
        """Take the scaling of image codes and of their changes from windows, with the encoder as it is.

        Codes of two successive images differ by very little; unscaled, no net sees the motion in a few hundred updates.
        """
        if self.code_levels is None:
            return
        levels, changes = [], []
        for chunk in spread_over(len(windows), FITTED).split(self.at_a_time(FITTED)):
            batch = windows.batch(chunk)
            present = self.present(batch)
            codes = self._codes(batch, present)
            levels.append(codes[present])
            changes.append((codes[:, 1:] - codes[:, :-1])[present[:, 1:] & present[:, :-1]])
        _fit_common(self.code_levels, torch.cat(levels))
        if self.code_changes is not None and any(len(c) for c in changes):
            _fit_common(self.code_changes, torch.cat(changes))

    def at_a_time(self, most: int) -> int:
        """Windows to gather at a time, `most` or as many as fit in `BATCH_BYTES`."""
        return max(1, min(most, BATCH_BYTES // self.window_bytes))

    def present(self, batch: WindowBatch) -> Bool[Tensor, "batch window"]:
        """Steps that are there and may be seen."""
        return batch.mask & self.visible

    def _state(self, batch: WindowBatch) -> Float[Tensor, "batch window state"]:
        parts = [batch.inputs[s.name].reshape(*batch.mask.shape, -1) for s in self.states]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        # float64 stays until changes are taken: small steps of large numbers would drown in float32 rounding.
        return whole if whole.dtype in (torch.float32, torch.float64) else whole.float()

    def _codes(self, batch: WindowBatch, present: Bool[Tensor, "batch window"]) -> Float[Tensor, "batch window code"]:
        """Codes of the images of all cameras, 0 where a step is not present. Each frame is encoded once."""
        steps = torch.nonzero(present.flatten()).squeeze(1)
        if batch.rows is None:
            frames, which = steps, torch.arange(len(steps), device=steps.device)
        else:
            numbers, which = batch.rows.flatten()[steps].unique(return_inverse=True)
            frames = torch.empty_like(numbers).scatter_(0, which, steps)
        views = []
        for spec, view in zip(self.images, self.views):
            coded = view(batch.inputs[spec.name].flatten(0, 1).index_select(0, frames))
            blank = coded.new_zeros(present.numel(), coded.shape[-1])
            views.append(blank.index_copy(0, steps, coded.index_select(0, which)))
        return torch.cat(views, -1).unflatten(0, present.shape)

    def _scaled(
        self, normalizer: Normalizer, values: Tensor, there: Tensor, hard: bool
    ) -> Float[Tensor, "*batch feature"]:
        limit = self.config.limit
        scaled = normalizer.normalize(values.float())
        scaled = scaled.clamp(-limit, limit) if hard else limit * torch.asinh(scaled / limit)
        return torch.where(there[..., None], scaled, torch.zeros((), dtype=scaled.dtype, device=scaled.device))

    def _parts(self, batch: WindowBatch, present: Tensor) -> list[tuple[Normalizer, Normalizer | None, Tensor, bool]]:
        """States and image codes, each as (scaling of levels, scaling of changes, values, whether the limit is hard).

        Training may well sharpen a keypoint tenfold: beyond the limit, codes go on as a logarithm.
        """
        parts: list[tuple[Normalizer, Normalizer | None, Tensor, bool]] = []
        if self.levels is not None:
            parts.append((self.levels, self.changes, self._state(batch), True))
        if self.code_levels is not None:
            parts.append((self.code_levels, self.code_changes, self._codes(batch, present), False))
        return parts

    def flat(self, batch: WindowBatch) -> Float[Tensor, "batch feature"]:
        """Features of all steps side by side: the centre's state and image codes and their changes between steps (or
        those of all steps), presence of every step."""
        present, centre = self.present(batch), self.config.before
        both = present[:, 1:] & present[:, :-1]
        places, moves = [], []
        for levels, changes, values, hard in self._parts(batch, present):
            if changes is None:
                places.append(self._scaled(levels, values, present, hard).flatten(1))
            else:
                places.append(self._scaled(levels, values[:, centre], present[:, centre], hard))
                moves.append(self._scaled(changes, values[:, 1:] - values[:, :-1], both, hard).flatten(1))
        return torch.cat([*places, *moves, present.float()], -1)

    def tokens(self, batch: WindowBatch) -> Float[Tensor, "batch window channel"]:
        """Features of every step, with its presence as the last channel. A step carries the change since the step
        before it."""
        present = self.present(batch)
        both = present[:, 1:] & present[:, :-1]
        parts: list[Tensor] = []
        for levels, changes, values, hard in self._parts(batch, present):
            parts.append(self._scaled(levels, values, present, hard))
            if changes is not None:
                change = self._scaled(changes, values[:, 1:] - values[:, :-1], both, hard)
                parts.append(torch.cat([torch.zeros_like(change[:, :1]), change], 1))
        return torch.cat([*parts, present.float()[..., None]], -1)


def _fit_common(normalizer: Normalizer, codes: Float[Tensor, "steps code"]) -> None:
    """One scale for all codes: with its own, a code that hardly moves in a fresh net would explode in training."""
    normalizer.fit(codes)
    spread = float(codes.double().var(0, correction=0).mean().sqrt())
    normalizer.scale.fill_(spread if spread > 0 else 1.0)


def spread_over(count: int, most: int) -> Int64[Tensor, " chosen"]:
    """Numbers of about `most` windows out of `count`: runs of neighbours, which share frames, evenly spread."""
    if count <= most:
        return torch.arange(count)
    runs = most // RUN
    starts = torch.linspace(0, count - RUN, runs).long()
    return (starts[:, None] + torch.arange(RUN)).flatten()
