"""`InverseConfig`: encoder x temporal mask x typed head, as settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from invdyn.episodes.windows import Window
from invdyn.errors import ConfigError
from invdyn.nn.encoders import ConvKind
from invdyn.nn.heads import HeadKind
from invdyn.nn.temporal import TemporalMask, visible_offsets

__all__ = ["InverseConfig"]


@dataclass(frozen=True)
class InverseConfig:
    """Settings of an `InverseNet`. Defaults are our choice where no source is named."""

    inputs: tuple[str, ...] = ("observation.state",)
    """Signals it looks at: states, images, or both."""
    target: str = "action"
    """Signal it infers."""
    before: int = 2
    """Earlier steps it sees: history tells which behaviour acted (SS-ORL: 1)."""
    after: int = 4
    """Later steps it sees: the effect begins in the next one and, in a lagging arm, goes on for some (measured: 2 and 4
    leave a third less error than 1 and 1 on Meta-World)."""
    stride: int = 1
    """Steps of the recording between two steps of the window."""
    mask: TemporalMask = "noncausal"
    """What it may use of the window: `pair` (centre and next), `causal` (past only, a control), `noncausal` (all)."""
    encoder: ConvKind = "keypoints"
    """Convolutional net for images; keypoints suit motions."""
    image_features: int = 64
    """Numbers an image is reduced to (IDP: 64)."""
    temporal: Literal["flatten", "transformer"] = "flatten"
    """How steps are joined: side by side into an MLP, or by masked attention."""
    head: HeadKind = "auto"
    """Kind of answer; auto: classes -> categorical, bounded numbers -> clipped Gaussian, others -> Gaussian."""
    components: int = 5
    """Of a mixture head."""
    beta: float = 0.5
    """Exponent of the beta-NLL (Seitzer et al. 2022: 0.5): 0 is the plain likelihood; see nn.heads.Head."""
    width: int = 128
    """Units of each hidden layer."""
    depth: int = 2
    """Hidden layers, or transformer blocks."""
    dropout: float = 0.0
    """Share of units dropped in training (SS-ORL: 0.1)."""
    differences: bool = True
    """States enter as the centre's state and the standardised changes from step to step, rather than as they are."""
    linear: bool = True
    """A linear map from the features beside the net, started at the ridge solution (flatten only)."""
    normalize: Literal["standard", "minmax", "identity"] = "standard"
    """Scaling of states and their changes, from all episodes, labelled or not."""
    limit: float = 10.0
    """Largest scaled feature; what lies beyond is clamped (a teleport must not blow up the answer); image codes
    go on as a logarithm."""
    ensemble: int = 1
    """Independent nets whose answers are mixed; the image encoder is shared."""

    def __post_init__(self) -> None:
        for name, least in {
            "stride": 1,
            "width": 1,
            "depth": 0,
            "ensemble": 1,
            "components": 1,
            "image_features": 1,
        }.items():
            if getattr(self, name) < least:
                raise ConfigError(f"inverse model: {name} is {getattr(self, name)}, expected at least {least}.")
        if not self.inputs:
            raise ConfigError("inverse model: no inputs named. Name the signals it should look at.")
        if len(set(self.inputs)) < len(self.inputs):
            raise ConfigError(f"inverse model: inputs {self.inputs} name a signal twice.")
        if self.target in self.inputs:
            raise ConfigError(f"inverse model: {self.target!r} is its target and cannot be among its inputs.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"inverse model: dropout is {self.dropout}, expected a share in [0, 1).")
        if self.mask == "pair" and self.stride != 1 and self.after < 1:
            raise ConfigError("inverse model: mask 'pair' needs after >= 1.")
        _ = self.visible

    @property
    def window(self) -> Window:
        """Steps around the centre."""
        return Window(self.before, self.after)

    @property
    def visible(self) -> list[bool]:
        """Which steps of the window may be used."""
        return visible_offsets(self.mask, self.before, self.after)
