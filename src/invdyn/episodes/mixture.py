"""`MixtureSampler`: several sources of windows in one batch, each with its share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from invdyn.episodes.windows import WindowBatch, WindowSampler
from invdyn.errors import ConfigError

__all__ = ["MixtureSampler", "joined"]


def joined(batches: Sequence[WindowBatch]) -> WindowBatch:
    """Batches of the same signals one after another."""

    def together(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([p[name] for p in parts]) for name in parts[0]}

    return WindowBatch(
        together([b.inputs for b in batches]),
        torch.cat([b.mask for b in batches]),
        together([b.targets for b in batches]),
        torch.cat([b.target_mask for b in batches]),
        torch.cat([b.weight for b in batches]),
        torch.cat([b.episode for b in batches]),
        torch.cat([b.step for b in batches]),
    )


@dataclass
class MixtureSampler:
    """Draws batches from several samplers by share: labelled and unlabelled, recorded and rolled out, by task.

    The number of windows of each source in a batch is share x batch size, rounded so that they add up (largest
    remainder); it does not vary between batches. A batch is a pure function of the generator's state.

    Args:
        sources: samplers with the same inputs, targets and window.
        shares: one positive number per source, any scale; None takes the numbers of windows.
        weights: factor on the weight of each source's samples; None for 1.

    Attributes:
        origin: after `draw`, which source each sample of the last batch is of ([batch], in order of sources).

    Raises:
        ConfigError: sources that do not fit together, an empty source, shares that are not positive.
    """

    sources: Sequence[WindowSampler]
    shares: Sequence[float | int] | None = None
    weights: Sequence[float | int] | None = None
    origin: Int64[Tensor, " batch"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.sources:
            raise ConfigError("mixture: no source given. Give at least one WindowSampler.")
        first = self.sources[0]
        for number, source in enumerate(self.sources):
            if not len(source):
                raise ConfigError(f"mixture: source {number} has no window. Leave it out, or relax its conditions.")
            for what in ("inputs", "targets", "window", "stride"):
                own, other = getattr(first, what), getattr(source, what)
                own, other = (tuple(v) if isinstance(v, list) else v for v in (own, other))
                if own != other:
                    raise ConfigError(
                        f"mixture: source {number} has {what} {other}, source 0 has {own}. Make them equal."
                    )
            for name in (*first.inputs, *first.targets):
                own, other = (s.dataset.schema[name] for s in (first, source))
                if (own.shape, own.dtype) != (other.shape, other.dtype):
                    raise ConfigError(
                        f"mixture: signal {name!r} of source {number} is {other.dtype} {other.shape}, "
                        f"source 0 has {own.dtype} {own.shape}. Convert one of them."
                    )
        for what in ("shares", "weights"):
            given = getattr(self, what)
            if given is not None and len(given) != len(self.sources):
                raise ConfigError(f"mixture: {len(given)} {what} for {len(self.sources)} sources. Give one each.")
        if self.shares is not None and any(not s > 0 for s in self.shares):
            raise ConfigError(
                f"mixture: shares {list(self.shares)}; expected positive numbers. Leave out a source instead."
            )
        if self.weights is not None and any(not w >= 0 for w in self.weights):
            raise ConfigError(f"mixture: weights {list(self.weights)}; expected numbers >= 0.")
        self.origin = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        """Windows of all sources."""
        return sum(len(s) for s in self.sources)

    def counts(self, batch_size: int) -> list[int]:
        """Windows of each source in a batch; they add up to `batch_size`."""
        shares = torch.tensor(self.shares if self.shares is not None else [len(s) for s in self.sources]).double()
        exact = shares / shares.sum() * batch_size
        counts = exact.floor().long()
        for index in torch.argsort(exact - counts, descending=True, stable=True)[: batch_size - int(counts.sum())]:
            counts[index] += 1
        return [int(c) for c in counts]

    def draw(self, generator: torch.Generator, batch_size: int) -> WindowBatch:
        """A batch with every source's share, source after source; `WindowBatch.episode` counts within each source."""
        counts = self.counts(batch_size)
        factors: Sequence[float | int] = self.weights if self.weights is not None else [1.0] * len(self.sources)
        batches = []
        for source, count, factor in zip(self.sources, counts, factors, strict=True):
            if count:
                batch = source.draw(generator, count)
                batches.append(batch if factor == 1 else _weighted(batch, batch.weight * factor))
        self.origin = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        return joined(batches)


def _weighted(batch: WindowBatch, weight: Float[Tensor, " batch"]) -> WindowBatch:
    return WindowBatch(batch.inputs, batch.mask, batch.targets, batch.target_mask, weight, batch.episode, batch.step)
