"""`BellmanInconsistency`: how far a model's members disagree about the value of what comes next; MOBILE's penalty.

Sun, Zhang, Jia, Lin, Ye, Yu, "Model-Bellman inconsistency for model-based offline reinforcement learning", ICML 2023:
U(s, a) = std_i E_{s' ~ P_i, a' ~ pi} [min_n Q_n(s', a')] over the members P_i of the ensemble, with target critics.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.decisions.sac import SAC
from invdyn.errors import ConfigError
from invdyn.worlds.forward_model import ModelStep

__all__ = ["BellmanInconsistency"]


class BellmanInconsistency:
    """U of candidates, for the hook `uncertainty` of `RolloutLoop`.

    Args:
        agent: whose values; its median action stands for a' (ours: one draw would add its own noise to U).
        elites: members behind the candidates, which come as samples x elites.

    Raises:
        ConfigError: fewer than two members, which cannot disagree.
    """

    def __init__(self, agent: SAC, elites: int) -> None:
        if elites < 2:
            raise ConfigError(f"Bellman inconsistency: {elites} members; it needs two at least to disagree.")
        self.agent, self.elites = agent, elites

    @torch.no_grad()
    def __call__(self, candidates: ModelStep) -> Float[Tensor, "run batch"]:
        runs, count, batch = candidates.reward.shape
        after = candidates.state.flatten(1, 2)
        value = self.agent.target(after, self.agent.act(after)).amin(1)
        alive = torch.where(candidates.terminated.flatten(1, 2), 0.0, value)
        return alive.reshape(runs, count // self.elites, self.elites, batch).mean(1).std(1)
