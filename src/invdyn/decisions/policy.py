"""`ClonedPolicy`: observations so far in, a distribution over the next action out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from invdyn.decisions.config import PolicyConfig
from invdyn.episodes.normalizer import Normalizer
from invdyn.episodes.signal import SignalSpec
from invdyn.episodes.windows import Window
from invdyn.errors import ConfigError, SignalError
from invdyn.nn.distributions import CauseDistribution
from invdyn.nn.encoders import MLP, ConvEncoder
from invdyn.nn.heads import make_head

__all__ = ["ClonedPolicy"]


class ClonedPolicy(nn.Module):
    """Behaviour cloned from recordings: encoders per input, a masked history, an MLP, a typed head.

    Steps before the episode began, or whose input is missing, are left out by a mask: what stands in them
    never enters, and one indicator per step tells the net which steps are there.

    Args:
        config: its settings.
        inputs: specs of the signals it looks at.
        target: spec of the action.

    Raises:
        ConfigError: an input that is text.
    """

    def __init__(self, config: PolicyConfig, inputs: Sequence[SignalSpec], target: SignalSpec) -> None:
        super().__init__()
        self.config, self.inputs, self.target = config, tuple(inputs), target
        self.window = Window(config.history, 0)
        self.normalizers = nn.ModuleDict()
        self.encoders = nn.ModuleDict()
        size = 0
        for number, spec in enumerate(self.inputs):
            if spec.is_text:
                raise ConfigError(
                    f"policy: input {spec.name!r} is text, expected numbers or images. Choose other inputs."
                )
            if spec.kind == "image":
                height, width, channels = spec.shape
                self.encoders[str(number)] = ConvEncoder(height, width, channels, config.image_features)
                size += config.image_features
            else:
                self.normalizers[str(number)] = Normalizer((spec.size,))
                size += spec.size
        self.head = make_head(config.head, target)
        steps = self.window.size
        indicators = steps if steps > 1 else 0  # a single present step needs none: it is always there
        self.net = MLP(
            steps * size + indicators, self.head.size, width=config.width, depth=config.depth, dropout=config.dropout
        )
        self._history: dict[str, Tensor] | None = None

    # ---- learning ------------------------------------------------------------------------------------------------

    def raw(
        self, inputs: Mapping[str, Shaped[Tensor, "batch window ..."]], mask: Bool[Tensor, "batch window"]
    ) -> Float[Tensor, "batch size"]:
        """Raw outputs of the head for windows that end at the present step."""
        batch, steps = mask.shape
        parts = []
        for number, spec in enumerate(self.inputs):
            values = inputs[spec.name]
            if spec.kind == "image":
                flat = self.encoders[str(number)](values.reshape(batch * steps, *spec.shape))
            else:
                flat = self.normalizer(number).normalize(values.reshape(batch * steps, -1).float())
            parts.append(flat.reshape(batch, steps, -1))
        features = torch.cat(parts, -1)
        features = torch.where(mask[..., None], features, torch.zeros((), dtype=features.dtype, device=features.device))
        features = features.reshape(batch, -1)
        return self.net(torch.cat([features, mask.to(features.dtype)], -1) if steps > 1 else features)

    def normalizer(self, number: int) -> Normalizer:
        """The scaling of input `number`, which is not an image."""
        found = self.normalizers[str(number)]
        assert isinstance(found, Normalizer)
        return found

    def distribution(
        self, inputs: Mapping[str, Shaped[Tensor, "batch window ..."]], mask: Bool[Tensor, "batch window"]
    ) -> CauseDistribution:
        """The action at the last step of each window, as a distribution over [batch, cause] in the action's unit."""
        return self.head.distribution(self.raw(inputs, mask))

    # ---- acting --------------------------------------------------------------------------------------------------

    def reset(self, batch: int, which: Bool[Tensor, " batch"] | None = None) -> None:
        """Begin episodes in all copies, or in those of `which` (the others keep their history).

        Raises:
            ConfigError: `which` before the first full reset, or a different number of copies.
        """
        device = next(self.parameters()).device
        if which is not None:
            if self._history is None or len(self._history["mask"]) != batch:
                raise ConfigError("policy: reset(which=...) needs a reset of all copies first, with the same batch.")
            self._history["mask"] = self._history["mask"] & ~which.to(device)[:, None]
            return
        steps = self.window.size
        self._history = {"mask": torch.zeros(batch, steps, dtype=torch.bool, device=device)}

    @torch.no_grad()
    def act(
        self, observation: Mapping[str, Shaped[Tensor, "batch ..."]], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch cause"]:
        """The next action of every copy: the distribution's point, or a draw when a generator is given.

        Raises:
            ConfigError: no `reset` before the first step, or another number of copies.
            SignalError: an observation that is missing, has another shape, or holds NaN.
        """
        if self._history is None:
            raise ConfigError("policy: act was called before reset(batch). Reset at the start of every episode.")
        copies = len(self._history["mask"])
        self._remember(observation, copies)
        training = self.training
        self.eval()
        try:
            inputs = {spec.name: self._history[spec.name] for spec in self.inputs}
            answer = self.distribution(inputs, self._history["mask"])
            action = answer.point() if generator is None else answer.sample(generator)
        finally:
            self.train(training)
        source = observation[self.inputs[0].name].device
        return action.to(torch.float32).reshape(copies, -1).to(source)

    def _remember(self, observation: Mapping[str, Tensor], copies: int) -> None:
        assert self._history is not None
        mask = self._history["mask"]
        for spec in self.inputs:
            if spec.name not in observation:
                told = ", ".join(map(repr, observation))
                raise SignalError(
                    f"policy: the observation lacks {spec.name!r}; it has {told}. Evaluate in its own world."
                )
            now = observation[spec.name].to(mask.device)
            if len(now) != copies:
                raise ConfigError(
                    f"policy: {len(now)} copies observed after reset({copies}). Reset with the right batch."
                )
            if tuple(now.shape[1:]) != spec.shape:
                raise SignalError(f"policy: {spec.name!r} has shape {tuple(now.shape[1:])}, trained on {spec.shape}.")
            if now.is_floating_point() and not bool(torch.isfinite(now).all()):
                raise SignalError(f"policy: {spec.name!r} holds NaN or infinity. Check the world or the sensor.")
            now = now if spec.kind == "image" else now.float()
            before = self._history.get(spec.name)
            if before is None:
                before = now[:, None].expand(-1, self.window.size, *now.shape[1:])
            self._history[spec.name] = torch.cat([before[:, 1:], now[:, None]], 1)
        here = torch.ones(copies, 1, dtype=torch.bool, device=mask.device)
        self._history["mask"] = torch.cat([mask[:, 1:], here], 1)
