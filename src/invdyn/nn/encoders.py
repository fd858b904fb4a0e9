"""Encoders: MLP for vectors, convolutional nets for images, several views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

from invdyn.errors import ConfigError, unknown_name

__all__ = ["MLP", "ConvEncoder", "ConvKind", "Keypoints", "MultiView", "SpatialSoftmax"]

ConvKind = Literal["keypoints", "strided", "impala"]
STRIDES = (2, 2, 1, 1)  # card idp
CHANNELS = (32, 64, 64, 64)  # card idp has 32-256; ours suits images of 48-96 px on CPU
SHARPEST, COARSEST = 64, 32
"""Pixels a side, at most, of the maps of colours and of neighbourhoods that keypoints are read from."""
TEMPERATURES = (0.3, 0.1)
"""Of the softmax over either kind of map at first, about how much the maps of a fresh net vary."""


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
        weights = torch.softmax(maps.flatten(2) * torch.exp(-self.log_temperature), -1)
        x = torch.linspace(-1, 1, width, dtype=maps.dtype, device=maps.device)
        y = torch.linspace(-1, 1, height, dtype=maps.dtype, device=maps.device)
        places = weights @ torch.stack([x.repeat(height), y.repeat_interleave(width)], 1)
        return torch.cat([places[..., 0], places[..., 1]], -1)


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


class _Blur(nn.Module):
    """Each channel smoothed by the binomial filter 1 4 6 4 1, so that halving the size does not alias (Zhang 2019)."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        channels, taps = x.shape[1], x.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        kernel = torch.outer(taps, taps).expand(channels, 1, 5, 5)
        padded = functional.pad(x, (2, 2, 2, 2), "replicate")
        return functional.conv2d(padded, kernel, stride=self.stride, groups=channels)


class Keypoints(nn.Module):
    """An image to places (spatial softmax of maps) that move along with what is seen, by far less than a pixel too.

    Half of the maps are functions of a pixel's colour alone, at full resolution up to `SHARPEST`: a fresh net already
    finds coloured bodies by them (measured: moving discs to a hundredth of a pixel). The other half look at
    neighbourhoods, on maps of at most `COARSEST` pixels. The image is smoothed before every halving; otherwise where
    an edge falls between two pixels moves the answer as much as a slow motion does.

    Args:
        height, width, channels: of the image.
        features: numbers out.
        widths: channels of the convolutions over neighbourhoods.
    """

    def __init__(self, height: int, width: int, channels: int, features: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.features = features
        maps = -(-features // 2)
        side = min(height, width)
        colours: list[nn.Module] = []
        while side > SHARPEST:
            colours, side = [*colours, _Blur(2)], (side + 1) // 2
        self.colours = nn.Sequential(*colours, nn.Conv2d(channels, -(-maps // 2), 1), nn.GELU())
        shapes: list[nn.Module] = []
        side, inputs = min(height, width), channels
        for number, out in enumerate(widths[:-1]):
            if number == 0 or side > COARSEST:
                shapes += [_Blur(), nn.Conv2d(inputs, out, 3, 2, 1), nn.GELU()]
                inputs, side = out, (side + 1) // 2
        shapes += [nn.Conv2d(inputs, widths[-1], 3, 1, 1), nn.GELU(), nn.Conv2d(widths[-1], max(1, maps // 2), 1)]
        self.shapes = nn.Sequential(*shapes)
        self.places = nn.ModuleList([SpatialSoftmax(t) for t in TEMPERATURES])

    def forward(self, image: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch feature"]:
        colours, shapes = self.places
        return torch.cat([colours(self.colours(image)), shapes(self.shapes(image))], -1)[:, : self.features]


class ConvEncoder(nn.Module):
    """An image to `features` numbers.

    `keypoints`: see `Keypoints`; made for motions, and cheap. `strided`: 3x3 convolutions with strides 2, 2, 1, 1 and
    GELU, then spatial softmax. `impala`: three stacks of convolution, stride-2 max-pool and two residual blocks
    (Espeholt et al. 2018; card vpt). The last two end in card idp's bottleneck: linear, LayerNorm, tanh. uint8 images
    are scaled to [-1, 1]; float images are taken as they are.

    Args:
        height, width, channels: of the image.
        features: numbers out.
        kind: `keypoints`, `strided` or `impala`.
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
        if kind == "keypoints":
            self.trunk: nn.Module = Keypoints(height, width, channels, features, widths or (16, 24, 24))
            self.out: nn.Module = nn.Identity()
            return
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
            raise unknown_name("image encoder", kind, get_args(ConvKind))
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
