"""Encoders: MLP for vectors, convolutional nets for images, several views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from invdyn.errors import ConfigError, unknown_name

__all__ = ["MLP", "ConvEncoder", "ConvKind", "MultiView", "SpatialSoftmax"]

ConvKind = Literal["strided", "impala"]
STRIDES = (2, 2, 1, 1)  # card idp
CHANNELS = (32, 64, 64, 64)  # card idp has 32-256; ours suits images of 48-96 px on CPU


class MLP(nn.Sequential):
    """Linear layers with an activation (and dropout) between them.

    Args:
        inputs, outputs: features in and out.
        width, depth: units of each hidden layer, and their number (0: one linear map).
        dropout: share of the last hidden layer's units dropped in training (card ssorl drops before the output).
        activation: module class between layers.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 256,
        depth: int = 2,
        dropout: float = 0.0,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        layers: list[nn.Module] = []
        size = inputs
        for _ in range(depth):
            layers += [nn.Linear(size, width), activation()]
            size = width
        if dropout > 0 and depth > 0:
            layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(size, outputs))
        super().__init__(*layers)


class SpatialSoftmax(nn.Module):
    """Where each map is bright: expected (x, y) in [-1, 1] under a softmax over its pixels (Levine et al. 2016)."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(temperature).log())

    def forward(self, maps: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch coordinate"]:
        height, width = maps.shape[-2:]
        weights = torch.softmax(maps.flatten(2) * torch.exp(-self.log_temperature), -1).unflatten(-1, (height, width))
        x = torch.linspace(-1, 1, width, dtype=maps.dtype, device=maps.device)
        y = torch.linspace(-1, 1, height, dtype=maps.dtype, device=maps.device)
        return torch.cat([(weights.sum(-2) * x).sum(-1), (weights.sum(-1) * y).sum(-1)], -1)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.GroupNorm(1, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(1, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        nn.init.zeros_(self.net[-1].weight)  # type: ignore[arg-type]  # a block begins as the identity

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


def _strided(channels: int, widths: Sequence[int], padding: int) -> nn.Module:
    layers: list[nn.Module] = []
    for width, stride in zip(widths, STRIDES):
        layers += [nn.Conv2d(channels, width, 3, stride, padding), nn.GELU()]
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(channels, channels, 1), SpatialSoftmax())


def _impala(channels: int, widths: Sequence[int]) -> nn.Module:
    layers: list[nn.Module] = []
    for width in widths[:3]:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.MaxPool2d(3, 2, 1), _Residual(width), _Residual(width)]
        channels = width
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten())


class ConvEncoder(nn.Module):
    """An image to `features` numbers in [-1, 1]: convolutions, linear, LayerNorm, tanh (card idp's bottleneck).

    `strided`: 3x3 convolutions with strides 2, 2, 1, 1 and GELU, then spatial softmax. `impala`: three stacks of
    convolution, stride-2 max-pool and two residual blocks (Espeholt et al. 2018; card vpt). uint8 images are scaled
    to [-1, 1]; float images are taken as they are.

    Args:
        height, width, channels: of the image.
        features: numbers out.
        kind: `strided` or `impala`.
        widths: channels of the convolutions.

    Raises:
        ConfigError: an image too small for the strides.
        UnknownNameError: no such kind.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int = 3,
        features: int = 64,
        *,
        kind: ConvKind = "strided",
        widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.features = features
        if kind == "strided":
            if min(height, width) < 12:
                raise ConfigError(
                    f"images of {height}x{width} pixels are too small for a strided encoder, which needs 12x12. "
                    "Use kind='impala' or larger images."
                )
            # Without padding (card idp) a small image shrinks to a single position, of which a spatial softmax
            # can say nothing.
            trunk = _strided(channels, widths or CHANNELS, 0 if min(height, width) >= 64 else 1)
        elif kind == "impala":
            trunk = _impala(channels, widths or (16, 32, 32))
        else:
            raise unknown_name("image encoder", kind, ("strided", "impala"))
        self.trunk = trunk
        with torch.no_grad():
            size = trunk(torch.zeros(1, channels, height, width)).shape[-1]
        self.out = nn.Sequential(nn.Linear(size, features), nn.LayerNorm(features), nn.Tanh())

    def forward(self, image: Shaped[Tensor, "*batch height width channel"]) -> Float[Tensor, "*batch feature"]:
        lead = image.shape[:-3]
        flat = image.reshape(-1, *image.shape[-3:]).permute(0, 3, 1, 2)
        flat = flat.float() / 127.5 - 1.0 if image.dtype == torch.uint8 else flat
        return self.out(self.trunk(flat)).reshape(*lead, self.features)


class MultiView(nn.Module):
    """One `ConvEncoder` per camera, their features side by side.

    Args:
        shapes: camera name -> (height, width, channels).
        features: numbers per camera.
        kind, widths: see `ConvEncoder`.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        features: int = 64,
        *,
        kind: ConvKind = "strided",
        widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.names = tuple(shapes)
        self.features = features * len(shapes)
        self.views = nn.ModuleList()
        for height, width, channels in shapes.values():
            self.views.append(ConvEncoder(height, width, channels, features, kind=kind, widths=widths))

    def forward(self, images: Mapping[str, Shaped[Tensor, ...]]) -> Float[Tensor, "*batch feature"]:
        return torch.cat([view(images[name]) for name, view in zip(self.names, self.views)], -1)
