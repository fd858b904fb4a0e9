"""Pure network: torque from motion, nothing known of mechanics."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invdyn.forces.learned.ensemble import EnsembleConfig, Scales, TorqueEnsemble, fit_ensemble
from invdyn.forces.learned.rows import TorqueRows
from invdyn.nn.encoders import MLP

__all__ = ["NetworkConfig", "TorqueNet", "fit_network"]


@dataclass(frozen=True)
class NetworkConfig:
    """Args: width, depth of the hidden layers; ensemble: how it is trained."""

    width: int = 128
    depth: int = 2
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)


class TorqueNet(nn.Module):
    """MLP from (q, sin q, cos q, qd, qdd), standardised, to torque.

    Args:
        scales: sizes of the training rows.
        width, depth: of the hidden layers.
    """

    q_mean: Tensor
    q_std: Tensor
    qd_std: Tensor
    qdd_std: Tensor
    tau_mean: Tensor
    tau_std: Tensor

    def __init__(self, scales: Scales, width: int, depth: int) -> None:
        super().__init__()
        n = len(scales.q_mean)
        for name in ("q_mean", "q_std", "qd_std", "qdd_std", "tau_mean", "tau_std"):
            self.register_buffer(name, torch.tensor(getattr(scales, name)))
        self.net = MLP(5 * n, n, width=width, depth=depth, activation=nn.SiLU)

    def forward(self, motion: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows joint"]:
        """[N, n] N m from [N, 3n] (q, qd, qdd)."""
        q, v, a = motion.chunk(3, -1)
        seen = [(q - self.q_mean) / self.q_std, q.sin(), q.cos(), v / self.qd_std, a / self.qdd_std]
        told: Tensor = self.net(torch.cat(seen, -1))
        return told * self.tau_std + self.tau_mean


def fit_network(rows: TorqueRows, config: NetworkConfig | None = None) -> TorqueEnsemble:
    """An ensemble of `TorqueNet`; arguments and errors as `fit_ensemble`."""
    config = config or NetworkConfig()
    return fit_ensemble(rows, lambda scales: TorqueNet(scales, config.width, config.depth), config.ensemble)
