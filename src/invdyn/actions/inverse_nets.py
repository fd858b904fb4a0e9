"""`InverseNet`: the trainable inverse dynamics model for states, images, or both."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from invdyn.actions.base import InverseModel
from invdyn.actions.features import WindowFeatures
from invdyn.actions.inverse import InverseConfig
from invdyn.episodes.signal import Schema, SignalSpec
from invdyn.episodes.windows import WindowBatch
from invdyn.nn.distributions import CauseDistribution
from invdyn.nn.encoders import MLP
from invdyn.nn.heads import make_head
from invdyn.nn.mixing import Reshaped, mix_members
from invdyn.nn.seed_axis import SeedAxis
from invdyn.nn.temporal import MaskedTransformer, TemporalMask, attention_mask
from invdyn.training.saving import weights_hash

__all__ = ["InverseNet", "build_inverse"]

BLOCK = 1024
"""Windows computed at a time without gradients: their activations stay in the core's cache."""


class InverseNet(InverseModel):
    """Window features -> trunk (MLP with a linear path, or masked transformer) -> typed head.

    Steps that are outside the episode, missing or hidden by the temporal mask are set to zero after scaling (or
    replaced by a learned token), and one indicator per step says which are there, so nothing that stands in them
    has any influence.

    Args:
        config: its settings.
        inputs: specs of the signals it looks at.
        target: spec of the cause.

    Raises:
        ConfigError: a text input, a target that is not numeric, a head that does not fit it.
    """

    def __init__(self, config: InverseConfig, inputs: Sequence[SignalSpec], target: SignalSpec) -> None:
        super().__init__()
        self.config, self.input_specs, self.target = config, tuple(inputs), target
        self.inputs = tuple(spec.name for spec in self.input_specs)
        self.window = config.window
        self.features = WindowFeatures(config, self.input_specs)
        self.head = make_head(config.head, target, components=config.components, beta=config.beta)

        def trunk() -> nn.Module:
            if config.temporal == "transformer":
                return TransformerTrunk(config, self.features.step_size, self.head.size)
            return FlatTrunk(config, self.features.size, self.features.absolute, self.head.size)

        self.trunk: nn.Module = trunk() if config.ensemble == 1 else SeedAxis(trunk, config.ensemble)

    def raw(self, batch: WindowBatch) -> Float[Tensor, "*member batch size"]:
        """Raw outputs of the head; with a leading axis of members for ensembles."""
        if self.config.temporal == "transformer":
            return self.trunk(self.features.tokens(batch))
        return self.trunk(self.features.flat(batch))

    def infer(self, batch: WindowBatch) -> CauseDistribution:
        """The cause at the centre of each window, in the target's own unit."""
        if torch.is_grad_enabled() or len(batch) <= BLOCK:
            raw = self.raw(batch)
        else:
            raw = torch.cat([self.raw(part) for part in _blocks(batch)], -2)
        distribution = self.head.distribution(raw)
        if self.config.ensemble > 1:
            distribution = mix_members(distribution)
        return distribution if len(self.target.shape) == 1 else Reshaped(distribution, self.target.shape)

    def loss(self, batch: WindowBatch) -> Float[Tensor, ""]:
        """Negative log-likelihood of the targets, weighted by `batch.weight`; mean over the members of an ensemble."""
        raw = self.raw(batch)
        value = batch.targets[self.target.name].reshape(len(batch), -1)
        weight = batch.weight
        if self.config.ensemble > 1:
            value = value.expand(self.config.ensemble, *value.shape)
            weight = weight.expand(self.config.ensemble, len(batch))
        return self.head.loss(raw, self.as_head_takes(value), weight)

    def as_head_takes(self, value: Shaped[Tensor, "*batch cause"]) -> Shaped[Tensor, "*batch cause"]:
        """Causes as the head's dtype: classes stay whole numbers, numbers become float32."""
        whole = hasattr(self.head, "sizes")
        return value.long() if whole else value.float()

    @property
    def model_id(self) -> str:
        """`idm-` and a hash of the weights: two models share it only if they are the same."""
        return f"idm-{weights_hash(self)[:8]}"


class FlatTrunk(nn.Module):
    """MLP over the features of all steps side by side, plus a linear path.

    The path begins at the changes from step to step: a law of motion is local, and a linear map of places learnt from
    few episodes tells them apart instead. Where things are enters it only for the outputs that `placed` marks, which
    `ridge.py` decides: causes that are themselves places (the target of a position controller) need it.
    """

    placed: Tensor

    def __init__(self, config: InverseConfig, features: int, absolute: int, outputs: int) -> None:
        super().__init__()
        self.absolute = absolute
        self.net = MLP(features, outputs, width=config.width, depth=config.depth, dropout=config.dropout)
        self.linear = nn.Linear(features - absolute, outputs) if config.linear else None
        self.places = nn.Linear(absolute, outputs, bias=False) if config.linear and absolute else None
        if self.places is not None:
            self.register_buffer("placed", torch.zeros(outputs))
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():  # begin near the linear path, or near the mean
            last.weight.mul_(0.1)
            last.bias.zero_()
            if self.linear is not None:
                self.linear.weight.zero_()
                self.linear.bias.zero_()
            if self.places is not None:
                self.places.weight.zero_()

    def forward(self, x: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch size"]:
        out = self.net(x)
        if self.linear is not None:
            out = out + self.linear(x[..., self.absolute :])
        if self.places is not None:
            out = out + self.placed * self.places(x[..., : self.absolute])
        return out


class TransformerTrunk(nn.Module):
    """Masked attention over the steps, read at the centre. The last channel of a token is its presence."""

    attend: Tensor

    def __init__(self, config: InverseConfig, features: int, outputs: int) -> None:
        super().__init__()
        heads = 4 if config.width % 8 == 0 else 1
        self.centre = config.before
        self.embed = nn.Linear(features, config.width)
        self.mixer = MaskedTransformer(
            config.width, config.window.size, depth=config.depth, heads=heads, dropout=config.dropout
        )
        self.out = nn.Linear(config.width, outputs)
        kind: TemporalMask = "causal" if config.mask == "causal" else "noncausal"
        self.register_buffer("attend", attention_mask(kind, config.before, config.after), persistent=False)

    def forward(self, tokens: Float[Tensor, "batch window channel"]) -> Float[Tensor, "batch size"]:
        present: Bool[Tensor, "batch window"] = tokens[..., -1] > 0.5
        mixed = self.mixer(self.embed(tokens[..., :-1]), present, self.attend)
        return self.out(mixed[:, self.centre])


def _blocks(batch: WindowBatch) -> list[WindowBatch]:
    def cut(at: slice) -> WindowBatch:
        return WindowBatch(
            {k: v[at] for k, v in batch.inputs.items()},
            batch.mask[at],
            {k: v[at] for k, v in batch.targets.items()},
            batch.target_mask[at],
            batch.weight[at],
            batch.episode[at],
            batch.step[at],
            None if batch.rows is None else batch.rows[at],
        )

    return [cut(slice(i, i + BLOCK)) for i in range(0, len(batch), BLOCK)]


def build_inverse(config: InverseConfig, schema: Schema) -> InverseNet:
    """The untrained model for recordings of this schema.

    Raises:
        UnknownNameError: an input or target that the recordings do not have.
        ConfigError: a text input, a target that is not numeric, a head that does not fit it.
    """
    return InverseNet(config, tuple(schema[name] for name in config.inputs), schema[config.target])
