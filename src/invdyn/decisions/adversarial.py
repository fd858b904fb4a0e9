"""`adversarial_pair`: two rewards that one behaviour model cannot tell apart and another view holds far apart.

The constructions of Skalse and Abate, ICLR 2024, arXiv 2403.06854: theorem 4 (discount), 5 (dynamics), 2 and 3
(perturbed policies), and the step of the proposition before theorem 1 (a rotation by a chosen distance).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from invdyn.decisions.identified_set import reward_space
from invdyn.decisions.tabular_mdp import TabularMDP
from invdyn.errors import ConfigError, SignalError, unknown_name

__all__ = ["CHANGES", "adversarial_pair", "random_redistribution", "random_shaping", "step_length"]

CHANGES = ("discount", "dynamics", "policy", "rotation")

Reward = Float64[Tensor, "s a s"]


def random_shaping(mdp: TabularMDP, generator: torch.Generator) -> Reward:
    """gamma Phi(s') - Phi(s) with normal potentials, zero at terminal states."""
    potential = torch.randn(len(mdp.start), dtype=torch.float64, generator=generator) * ~mdp.ends
    return (mdp.discount * potential[None, None, :] - potential[:, None, None]).expand_as(mdp.transition)


def random_redistribution(mdp: TabularMDP, generator: torch.Generator) -> Reward:
    """Normal values over next states with E[Delta | s, a] = 0 under the process's own transitions."""
    raw = torch.randn(mdp.transition.shape, dtype=torch.float64, generator=generator)
    return raw - (mdp.transition * raw).sum(-1, keepdim=True)


def step_length(distance: float) -> float:
    """Length of the shortest step that leads to this STARC distance, as a share of |c(R)|: sin(2 arcsin(d/2)).

    >>> round(step_length(0.3), 5)
    0.29661

    Raises:
        ConfigError: beyond sqrt(2), where the shortest step is |c(R)| itself: through the reward that is zero.
    """
    if not 0 <= distance <= math.sqrt(2):
        raise ConfigError(f"step_length: distance {distance}; the formula holds from 0 to sqrt(2).")
    return math.sin(2 * math.asin(distance / 2))


def adversarial_pair(mdp: TabularMDP, change: str, size: float, generator: torch.Generator) -> tuple[Reward, Reward]:
    """Two rewards around the one of the process.

    Args:
        mdp: assumed dynamics, discount and reward R.
        change: what is not as assumed.
            `discount`: R +- size x shaping: one policy at the assumed gamma; for large size opposite orders at another.
            `dynamics`: R +- size x redistribution: the same for other transition probabilities.
            `policy`: size x R and -size x R: opposite orders whose policies meet as size falls to 0.
            `rotation`: R and R turned by a step of least length to distance `size` (0 to sqrt 2).
        size: see `change`.
        generator: picks the direction.
    """
    if change not in CHANGES:
        raise unknown_name("change", change, CHANGES)
    if change == "policy":
        return size * mdp.reward, -size * mdp.reward
    if change == "rotation":
        return mdp.reward, mdp.reward + _tangent_step(mdp, size, generator)
    if change == "discount":
        direction = random_shaping(mdp, generator)
    else:
        direction = random_redistribution(mdp, generator)
        if float(direction[mdp.transition > 0].abs().max()) < 1e-12:
            raise SignalError(
                "adversarial_pair: every action leads to one certain state, so no reward can be redistributed; "
                "change the discount or the policy instead."
            )
    return mdp.reward + size * direction, mdp.reward - size * direction


def _tangent_step(mdp: TabularMDP, distance: float, generator: torch.Generator) -> Reward:
    """The step from R that touches the cone of distance d: perpendicular to where it arrives."""
    space = reward_space(mdp)
    c = space.canonical(mdp.reward.numpy())
    noise = torch.randn(mdp.reward.shape, dtype=torch.float64, generator=generator)
    across = space.canonical(noise.numpy())
    across = across - (across @ c) / (c @ c) * c
    angle = 2 * math.asin(distance / 2)
    step_length(distance)  # refuses distances the construction does not reach
    arrive = math.cos(angle) * (
        math.cos(angle) * c + math.sin(angle) * np.linalg.norm(c) * across / np.linalg.norm(across)
    )
    step = torch.zeros_like(mdp.reward)
    step[space.state, space.action, space.next_state] = torch.from_numpy(space.lift(arrive - c))
    return step
