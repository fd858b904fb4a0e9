"""`PolicyConfig`: what a cloned policy sees, how large it is, which distribution it answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from invdyn.errors import ConfigError
from invdyn.nn.heads import HeadKind

__all__ = ["PolicyConfig"]


@dataclass(frozen=True)
class PolicyConfig:
    """Settings of a `ClonedPolicy`. Defaults are our choice where no source is named."""

    inputs: tuple[str, ...] = ()
    """Signals it looks at; none named: every `observation.*` state, or the images when there is no state."""
    target: str = "action"
    """Signal it imitates."""
    history: int = 0
    """Earlier steps it sees beside the present one (more than 0 where one observation hides something)."""
    head: HeadKind = "regression"
    """Answer: `regression` is deterministic (squared error), `squashed` a tanh Gaussian within bounds; see nn.heads."""
    width: int = 256
    """Units of each hidden layer (IDP: 256)."""
    depth: int = 2
    """Hidden layers (IDP: 2)."""
    dropout: float = 0.0
    """Share of hidden units dropped in training (IDP: 0.1)."""
    image_features: int = 64
    """Numbers an image is reduced to by its convolutional encoder (IDP: 64)."""
    normalize: Literal["standard", "minmax", "identity"] = "standard"
    """Scaling of inputs that are not images, from the training episodes."""
    null_below: float | None = None
    """Leave out steps whose every action component is at most this large (VPT drops null actions); None keeps all."""

    def __post_init__(self) -> None:
        for name, least in {"history": 0, "width": 1, "depth": 0, "image_features": 1}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"policy: {name} is {getattr(self, name)}, expected at least {least}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"policy: dropout is {self.dropout}, expected a share in [0, 1).")
        if self.null_below is not None and self.null_below < 0:
            raise ConfigError(f"policy: null_below is {self.null_below}, expected None or a magnitude of at least 0.")
        if self.target in self.inputs:
            raise ConfigError(f"policy: {self.target!r} is its target and cannot be among its inputs.")
