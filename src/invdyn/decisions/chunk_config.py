"""`ChunkPolicyConfig`: what a diffusion policy over action chunks sees, how long its chunks are, and its net."""

from __future__ import annotations

from dataclasses import dataclass

from invdyn.diffusion.parameterize import Kind
from invdyn.errors import ConfigError, unknown_name

__all__ = ["ChunkPolicyConfig"]

NETS = ("mlp", "unet")


@dataclass(frozen=True)
class ChunkPolicyConfig:
    """Settings of a diffusion policy (defaults: Chi et al. 2023, arXiv 2303.04137, but for the net).

    Args:
        inputs: signals it acts on, numbers or images; empty for all `observation.*` that are numbers.
        target: the action.
        history: observations seen, the latest included.
        horizon: steps of a chunk; its step `history - 1` is the action now.
        net: `mlp` over the whole chunk, or `unet` over its time.
        width: units of the MLP; channels of the U-Net's first level, doubled at each further one.
        depth: hidden layers of the MLP, levels of the U-Net.
        levels: noise levels (cosine schedule).
        kind: what the net puts out.
        clip: bound on the denoised chunk, in normalised units; None for none.
        image_features: numbers that an image is encoded to.
        discrete: components of the action that take two values of opposite sign (a gripper).
        discrete_scale: what these are divided by for the net. 10 keeps a chunk continuous enough to start the next from
            (RTI-DP's `scale`, arXiv 2508.05396); it must be chosen before training.
    """

    inputs: tuple[str, ...] = ()
    target: str = "action"
    history: int = 2
    horizon: int = 16
    net: str = "mlp"
    width: int = 512
    depth: int = 3
    levels: int = 100
    kind: Kind = "eps"
    clip: float | None = 1.0
    image_features: int = 64
    discrete: tuple[int, ...] = ()
    discrete_scale: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.history <= self.horizon:
            raise ConfigError(
                f"chunk policy: history {self.history} and horizon {self.horizon}; expected 1 <= history <= horizon, "
                "because the chunk begins with the first observation seen."
            )
        if self.net not in NETS:
            raise unknown_name("net of a chunk policy", self.net, NETS)
        if self.levels < 2 or min(self.width, self.depth, self.image_features) < 1 or not self.discrete_scale > 0:
            raise ConfigError(
                f"chunk policy: levels {self.levels}, width {self.width}, depth {self.depth}, image_features "
                f"{self.image_features}, discrete_scale {self.discrete_scale}; expected at least 2 levels "
                "and positive sizes."
            )
