"""`WindowFeatures`: what a window becomes before the net: scaled states, their changes, image codes, masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from invdyn.actions.inverse import InverseConfig
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.normalizer import Normalizer
from invdyn.episodes.signal import SignalSpec
from invdyn.episodes.windows import WindowBatch
from invdyn.errors import ConfigError, SignalError
from invdyn.nn.encoders import ConvEncoder

__all__ = ["WindowFeatures"]

ROUNDING = 1e-6
"""Float32 keeps about this share of a number."""


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
        self.register_buffer("visible", torch.tensor(config.visible), persistent=False)
        steps, codes = config.window.size, config.image_features * len(self.images)
        self.absolute = self.state_size if self.changes is not None else 0
        self.size = steps * (self.state_size + codes + 1)
        self.step_size = (2 if self.changes is not None else 1) * self.state_size + codes

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

    def present(self, batch: WindowBatch) -> Bool[Tensor, "batch window"]:
        """Steps that are there and may be seen."""
        return batch.mask & self.visible

    def _state(self, batch: WindowBatch) -> Float[Tensor, "batch window state"]:
        parts = [batch.inputs[s.name].reshape(*batch.mask.shape, -1) for s in self.states]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        # float64 stays until changes are taken: small steps of large numbers would drown in float32 rounding.
        return whole if whole.dtype in (torch.float32, torch.float64) else whole.float()

    def _scaled(self, normalizer: Normalizer, values: Tensor, there: Tensor) -> Tensor:
        limit = self.config.limit
        scaled = normalizer.normalize(values.float()).clamp(-limit, limit)
        return torch.where(there[..., None], scaled, torch.zeros((), dtype=scaled.dtype, device=scaled.device))

    def _codes(self, batch: WindowBatch, present: Tensor) -> list[Tensor]:
        zero = torch.zeros((), device=present.device)
        views = zip(self.images, self.views)
        return [torch.where(present[..., None], view(batch.inputs[spec.name]), zero) for spec, view in views]

    def flat(self, batch: WindowBatch) -> Float[Tensor, "batch feature"]:
        """Features of all steps side by side: the centre's state and the changes between steps (or all states), image
        codes, presence of every step."""
        present = self.present(batch)
        parts: list[Tensor] = []
        if self.levels is not None:
            state, centre = self._state(batch), self.config.before
            if self.changes is None:
                parts.append(self._scaled(self.levels, state, present).flatten(1))
            else:
                parts.append(self._scaled(self.levels, state[:, centre], present[:, centre]))
                both = present[:, 1:] & present[:, :-1]
                parts.append(self._scaled(self.changes, state[:, 1:] - state[:, :-1], both).flatten(1))
        parts += [code.flatten(1) for code in self._codes(batch, present)]
        return torch.cat([*parts, present.float()], -1)

    def tokens(self, batch: WindowBatch) -> Float[Tensor, "batch window channel"]:
        """Features of every step, with its presence as the last channel. A step carries the change since the step
        before it."""
        present = self.present(batch)
        parts: list[Tensor] = []
        if self.levels is not None:
            state = self._state(batch)
            parts.append(self._scaled(self.levels, state, present))
            if self.changes is not None:
                both = present[:, 1:] & present[:, :-1]
                change = self._scaled(self.changes, state[:, 1:] - state[:, :-1], both)
                parts.append(torch.cat([torch.zeros_like(change[:, :1]), change], 1))
        parts += self._codes(batch, present)
        return torch.cat([*parts, present.float()[..., None]], -1)
