"""`Judge`: the Fréchet distance of frames in the features of a net that was trained here to read a frame's state.

In the place of a pretrained Inception (Heusel et al. 2017, arXiv 1706.08500), whose weights are not assumed. Distances
are comparable within one judge only.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invdyn.nn import ConvEncoder
from invdyn.studies.nets import fit_net
from invdyn.studies.renders import Renders, RendersConfig
from invdyn.verify.metrics import frechet_distance

__all__ = ["Judge", "StateNet"]

BLOCK = 512
"""Frames looked at together."""


class StateNet(nn.Module):
    """A frame to its state, by way of `features` numbers.

    Args:
        side: pixels a side.
        places: numbers of a state.
        features: numbers before the last, linear layer.
    """

    def __init__(self, side: int, places: int, features: int) -> None:
        super().__init__()
        self.encoder = ConvEncoder(side, side, 3, features, kind="impala")
        self.out = nn.Linear(features, places)

    def seen(self, frames: Float[Tensor, "frame 3 side side2"]) -> Float[Tensor, "frame feature"]:
        """The features."""
        return self.encoder(frames.permute(0, 2, 3, 1))

    def forward(self, frames: Float[Tensor, "frame 3 side side2"]) -> Float[Tensor, "frame place"]:
        return self.out(self.seen(frames))


def _loss(net: StateNet, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
    frames, states = batch
    return {"loss": (net(frames) - states).square().mean()}


class Judge:
    """Squared distances of frames to held-out ones.

    Args:
        net: trained.
        held: frames it has not seen.
    """

    def __init__(self, net: StateNet, held: Renders) -> None:
        self.net, self.held = net, held
        self.reference = self.features(held.frames)

    @classmethod
    def trained(cls, data: Renders, held: Renders, config: RendersConfig, seed: int, device: str = "cpu") -> Judge:
        """A net trained on frames and states of `data`, both on the device."""

        def draw(g: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
            chosen = torch.randint(len(data.frames), (size,), generator=g).to(device)
            return data.frames[chosen], data.states[chosen]

        net, _ = fit_net(
            lambda: StateNet(config.side, data.states.shape[1], config.features),
            _loss,
            draw,
            steps=config.judge_steps,
            batch=config.batch,
            lr=config.judge_lr,
            seed=seed,
            device=device,
        )
        return cls(net.requires_grad_(False), held)

    def features(self, frames: Float[Tensor, "frame 3 side side2"]) -> Float[Tensor, "frame feature"]:
        """Of frames brought into [-1, 1]."""
        return torch.cat([self.net.seen(block) for block in frames.float().clamp(-1, 1).split(BLOCK)])

    def distance(self, frames: Float[Tensor, "frame 3 side side2"]) -> float:
        """Fréchet distance to the held-out frames, squared, as it is reported."""
        return frechet_distance(self.reference.cpu(), self.features(frames).cpu())

    def unread(self) -> float:
        """The share of the held-out states' variance that the net does not tell: 1 is the mean state's."""
        told = self.net.out(self.reference)
        states = self.held.states
        return float((told - states).square().mean() / (states - states.mean(0)).square().mean())
