"""Experiments of the irl-misspec study that theory settles: invariance, the step to a distance, adversarial pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from invdyn.decisions.adversarial import adversarial_pair, random_redistribution, random_shaping, step_length
from invdyn.decisions.batched_projection import ShapingProjection
from invdyn.decisions.behaviour import Behaviour, policy_distance
from invdyn.decisions.identified_set import IdentifiedSet, reward_space
from invdyn.decisions.sensitivity import mix_dynamics
from invdyn.decisions.tabular_mdp import TabularMDP, grid_mdp
from invdyn.studies.irl_misspec_config import IrlMisspecConfig, worlds
from invdyn.studies.part import Part, generators
from invdyn.verify.metrics.starc import chord

__all__ = ["invariance", "large", "parameters", "step"]

EPSILON, RATIO = 0.3, 0.29661  # card, claim 2
SIZES = (1.0, 10.0, 100.0, 1000.0)  # card, claim 3
SCALES = (1.0, 0.1, 0.01)  # card, claim 5


def worst(values: list[float]) -> float:
    """The largest; NaN stays NaN."""
    return float(np.max(values))


def invariance(seed: int, config: IrlMisspecConfig) -> Part:
    """Claim 1: what cannot matter does not; the negative reward is the opposite order."""
    g, _ = generators(seed, "invariance")
    same, opposite, moved = [], [], []
    for mdp in worlds(config, g, seed, state_reward=False).values():
        space = reward_space(mdp)
        blind = random_shaping(mdp, g) + random_redistribution(mdp, g)
        same.append(float(space.distance(mdp.reward, 3.7 * mdp.reward + blind)))
        opposite.append(abs(float(space.distance(mdp.reward, -mdp.reward)) - 2))
        model = Behaviour("mce", config.temperature)
        changed = model.policy(mdp.with_reward(mdp.reward + blind))
        moved.append(float((model.policy(mdp) - changed).abs().max()))
    names = ("invariance.distance", "invariance.opposite_error", "invariance.policy")
    return Part({n: worst(v) for n, v in zip(names, (same, opposite, moved))}, {})


def step(seed: int, config: IrlMisspecConfig) -> Part:
    """Claim 2: the least step to distance eps, and that no step of its length leads farther."""
    g, rng = generators(seed, "step")
    errors, beyond, shown = [], [], []
    for mdp in worlds(config, g, seed, state_reward=False).values():
        space = reward_space(mdp)
        near, far = adversarial_pair(mdp, "rotation", EPSILON, g)
        errors.append(abs(float(space.distance(near, far)) - EPSILON))
        c = space.canonical(mdp.reward)
        length = step_length(EPSILON) * np.linalg.norm(c)
        errors.append(float(abs(np.linalg.norm(space.canonical(far) - c) / length - 1)))
        noise = rng.standard_normal((config.steps, len(space.state)))
        steps = space.canonical(noise)  # what lies in W would only waste length
        steps *= length / np.linalg.norm(steps, axis=1, keepdims=True)
        reached = chord(c, c + steps)
        beyond.append(float(reached.max()) - EPSILON)
        shown.append(float(reached.max()))
    return Part(
        {
            "step.tangent_error": worst(errors),
            "step.beyond": worst(beyond),
            "step.largest_random": worst(shown),
            "step.ratio_error": abs(step_length(EPSILON) - RATIO),
        },
        {},
    )


def _separations(
    mdp: TabularMDP, other: TabularMDP, change: Any, config: IrlMisspecConfig, seed: int
) -> dict[str, Any]:
    """Pairs of growing size in one direction: one policy as assumed, distances as measured otherwise."""
    model, measured = Behaviour("mce", config.temperature), reward_space(other)
    policies, apart, either = [], [], []
    for size in SIZES:
        g, _ = generators(seed, f"direction {change}")
        high, low = adversarial_pair(mdp, change, size, g)
        policies.append(
            max(policy_distance(model.policy(mdp.with_reward(r)), model.policy(mdp), mdp) for r in (high, low))
        )
        apart.append(float(measured.distance(high, low)))
        either.append(float(max(measured.distance(mdp.reward, r) for r in (high, low))))
    return {"policies": policies, "apart": apart, "either": either}


def parameters(seed: int, config: IrlMisspecConfig) -> Part:
    """Claims 3 to 6: wrong discount, wrong dynamics, perturbed policies, wrong temperature, wrong kind of model."""
    g, _ = generators(seed, "parameters")
    metrics: dict[str, Any] = {}
    curves: dict[str, Any] = {"sizes": SIZES, "scales": SCALES}
    for world, mdp in worlds(config, g, seed, state_reward=False).items():
        space = reward_space(mdp)
        found = _separations(mdp, replace(mdp, discount=config.other), "discount", config, seed)
        moved = _separations(mdp, mix_dynamics(mdp, 0.5), "dynamics", config, seed)
        model = Behaviour("mce", config.temperature)
        pairs = [adversarial_pair(mdp, "policy", c, g) for c in SCALES]
        meet = [
            policy_distance(model.policy(mdp.with_reward(near)), model.policy(mdp.with_reward(far)), mdp)
            for near, far in pairs
        ]
        flip = [abs(float(space.distance(*pair)) - 2) for pair in pairs]

        def decoded(true: Behaviour, assumed: Behaviour, mdp: TabularMDP = mdp) -> float:
            reward = IdentifiedSet(true.policy(mdp), mdp, assumed).pick("advantage")
            return float(reward_space(mdp).distance(mdp.reward, reward))

        noisy = Behaviour("boltzmann", 1 / config.temperature)
        metrics |= {
            f"{world}.discount.policy": worst(found["policies"]),
            f"{world}.discount.apart": found["apart"],
            f"{world}.discount.last": found["apart"][-1],
            f"{world}.discount.least_rise": float(np.min(np.diff(found["apart"]))),
            f"{world}.discount.either": found["either"][-1],
            f"{world}.dynamics.policy": worst(moved["policies"]),
            f"{world}.dynamics.at_100": moved["apart"][SIZES.index(100.0)],
            f"{world}.policy.distances": meet,
            f"{world}.policy.slope": float(np.log10(meet[1] / meet[2])),
            f"{world}.policy.flip_error": worst(flip),
            f"{world}.temperature": decoded(model, replace(model, parameter=5 * config.temperature)),
            f"{world}.kind.right": decoded(noisy, noisy),
            f"{world}.kind.wrong": decoded(noisy, model),
        }
        curves[world] = {"discount": found["apart"], "dynamics": moved["apart"], "meet": meet}
    for name in ("discount.policy", "dynamics.policy", "policy.flip_error", "temperature", "kind.right"):
        metrics[name] = worst([metrics[f"{world}.{name}"] for world in ("random", "grid")])
    return Part(metrics, curves)


def large(seed: int, config: IrlMisspecConfig, device: str = "cpu") -> Part:
    """A large gridworld, a batch of rewards at once: claim 1 by a matrix-free projection on the device."""
    g, _ = generators(seed, "large")
    n = config.large**2
    mdp = grid_mdp(config.large, config.large, config.discount, torch.randn(n, dtype=torch.float64, generator=g))
    projection = ShapingProjection(mdp, device)
    rewards = torch.randn(config.batch, *mdp.transition.shape[:2], dtype=torch.float64, generator=g)
    potentials = torch.randn(config.batch, n, dtype=torch.float64, generator=g)
    shaped = 3.7 * rewards + projection.shaping(potentials)
    c, d = projection.canonical(rewards), projection.canonical(shaped)
    gap = (c / c.norm(dim=-1, keepdim=True) - d / d.norm(dim=-1, keepdim=True)).norm(dim=-1)
    return Part({"large.states": n, "large.distance": float(gap.max()), "large.iterations": projection.iterations}, {})
