"""`ChunkPolicy`: a diffusion policy; recent observations in, a distribution over the next actions as one chunk.

Chi et al., Diffusion Policy, RSS 2023, arXiv 2303.04137: observations and actions scaled to [-1, 1], a net that removes
noise from the whole chunk, 100 levels of a cosine schedule. How chunks are sampled and executed: receding_horizon.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from invdyn.decisions.chunk_config import ChunkPolicyConfig
from invdyn.diffusion.losses import DenoisingLoss
from invdyn.diffusion.parameterize import Denoiser
from invdyn.diffusion.path import DiscretePath
from invdyn.episodes.normalizer import Normalizer
from invdyn.episodes.signal import SignalSpec
from invdyn.episodes.windows import Window, WindowBatch, WindowSampler
from invdyn.errors import ConfigError
from invdyn.nn.encoders import ConvEncoder
from invdyn.nn.gaussians import standard_normal
from invdyn.nn.time_mlp import TimeMLP
from invdyn.nn.unet1d import ConditionalUnet1D

__all__ = ["ChunkPolicy", "chunk_loss", "filled"]


class ChunkPolicy(nn.Module):
    """The net of a diffusion policy with the scales of what goes in and out.

    Args:
        config: its settings.
        inputs: specs of the signals it acts on.
        target: spec of the action.

    Raises:
        ConfigError: an input that is text, or a discrete component the action does not have.
    """

    def __init__(self, config: ChunkPolicyConfig, inputs: Sequence[SignalSpec], target: SignalSpec) -> None:
        super().__init__()
        for spec in inputs:
            if spec.is_text:
                raise ConfigError(
                    f"chunk policy: input {spec.name!r} is text; expected numbers or images. Name other inputs."
                )
        wrong = [c for c in config.discrete if not 0 <= c < target.size]
        if wrong:
            raise ConfigError(
                f"chunk policy: discrete component {wrong[0]} of {target.name!r}, which has components 0 to "
                f"{target.size - 1}."
            )
        self.config, self.inputs, self.target = config, tuple(inputs), target
        self.window = Window(config.history - 1, config.horizon - config.history)
        self.path = DiscretePath.cosine(config.levels)
        self.normalizers, self.encoders, size = nn.ModuleDict(), nn.ModuleDict(), 0
        for number, spec in enumerate(self.inputs):
            if spec.kind == "image":
                height, width, channels = spec.shape
                self.encoders[str(number)] = ConvEncoder(height, width, channels, config.image_features)
                size += config.history * config.image_features
            else:
                self.normalizers[str(number)] = Normalizer((spec.size,))
                size += config.history * spec.size
        self.action_scale = Normalizer((target.size,))
        if config.net == "mlp":
            self.net: nn.Module = _Flat(
                TimeMLP(config.horizon * target.size, condition=size, width=config.width, depth=config.depth, octaves=7)
            )
        else:
            widths = [config.width * 2**level for level in range(config.depth)]
            self.net = ConditionalUnet1D(target.size, size, widths=widths)
        self.loss = DenoisingLoss(self.path, config.kind, config.kind)

    def fit_scales(self, sampler: WindowSampler) -> None:
        """Scales from all windows of the training episodes: [-1, 1], the discrete components divided as configured.

        The windows need not hold the images, which are not scaled.
        """
        whole = sampler.batch(torch.arange(len(sampler)))
        for number, spec in enumerate(self.inputs):
            if spec.kind == "image":
                continue
            now = whole.inputs[spec.name][:, self.config.history - 1].reshape(len(whole), -1)
            self._scale(number).fit(now, kind="minmax")
        actions = filled(whole, self.config.target)[:, self.config.history - 1].reshape(len(whole), -1)
        kinds = ["identity" if c in self.config.discrete else "minmax" for c in range(self.target.size)]
        self.action_scale.fit(self._divided(actions), kind=kinds)  # type: ignore[arg-type]

    def condition(self, seen: Mapping[str, Shaped[Tensor, "batch history ..."]]) -> Float[Tensor, "batch size"]:
        """Scaled and encoded observations of the last `history` steps, oldest first, as the net takes them."""
        parts = []
        for number, spec in enumerate(self.inputs):
            x = seen[spec.name]
            if spec.kind == "image":
                parts.append(self.encoders[str(number)](x).flatten(1))
                continue
            parts.append(self._scale(number)(x.reshape(*x.shape[:2], spec.size).float()).flatten(1))
        return torch.cat(parts, -1)

    def encode(self, actions: Shaped[Tensor, "batch horizon ..."]) -> Float[Tensor, "batch horizon action"]:
        """Actions as the net sees them."""
        flat = actions.reshape(*actions.shape[:2], self.target.size).float()
        return self.action_scale(self._divided(flat))

    def decode(self, chunk: Float[Tensor, "batch horizon action"]) -> Float[Tensor, "batch horizon action"]:
        """Actions of a denoised chunk; discrete components are their sign."""
        actions = self.action_scale.denormalize(chunk).clone()
        for component in self.config.discrete:
            actions[..., component] = torch.where(actions[..., component] < 0, -1.0, 1.0)
        return actions

    def denoiser(self, condition: Float[Tensor, "batch size"]) -> Denoiser:
        """E[chunk | noisy chunk] under the observations, for any `Sampler` over `path`."""
        return Denoiser(self.net, self.path, self.config.kind, condition=condition)

    def _scale(self, number: int) -> Normalizer:
        scale = self.normalizers[str(number)]
        assert isinstance(scale, Normalizer)
        return scale

    def _divided(self, actions: Tensor) -> Tensor:
        divisor = torch.ones(self.target.size, dtype=actions.dtype, device=actions.device)
        divisor[list(self.config.discrete)] = self.config.discrete_scale
        return actions / divisor


class _Flat(nn.Module):
    """A net over vectors as a net over chunks."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        x: Float[Tensor, "batch horizon action"],
        t: Float[Tensor, " batch"],
        condition: Float[Tensor, "batch size"],
    ) -> Float[Tensor, "batch horizon action"]:
        out: Tensor = self.net(x.flatten(1), t, condition)
        return out.reshape(x.shape)


def chunk_loss(model: nn.Module, batch: WindowBatch, generator: torch.Generator) -> Mapping[str, Tensor]:
    """Denoising loss of a batch of windows, weighted by their confidence: the form the Trainer calls."""
    assert isinstance(model, ChunkPolicy)
    history = model.config.history
    chunk = model.encode(filled(batch, model.config.target))
    condition = model.condition({s.name: batch.inputs[s.name][:, :history] for s in model.inputs})
    t = model.loss.times.draw(len(chunk), model.path, generator, chunk)
    losses = model.loss.per_sample(model.net, chunk, standard_normal(chunk, generator), t, condition)
    return {"loss": (batch.weight * losses).sum() / batch.weight.sum()}


def filled(batch: WindowBatch, name: str) -> Shaped[Tensor, "batch window ..."]:
    """A signal's windows with steps past the last value repeating it, as chunks do at the end of an episode."""
    values, here = batch.inputs[name], batch.mask
    index = torch.arange(here.shape[1], device=here.device).expand_as(here)
    latest = torch.where(here, index, -1).cummax(1).values
    source = torch.where(latest < 0, index, latest)  # before the episode the edge value stands there already
    return values.gather(1, source.reshape(*source.shape, *(1,) * (values.ndim - 2)).expand_as(values))
