"""Experiments of the irl-misspec study beyond the worst case: selection rules, order of policies, samples, sweeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from invdyn.decisions.adversarial import random_redistribution, random_shaping
from invdyn.decisions.behaviour import Behaviour
from invdyn.decisions.identified_set import IdentifiedSet, reward_space
from invdyn.decisions.sensitivity import count_policy, mix_dynamics
from invdyn.decisions.tabular_mdp import TabularMDP
from invdyn.studies.irl_misspec_config import IrlMisspecConfig, worlds
from invdyn.studies.part import Part, generators
from invdyn.verify.metrics.rank import kendall, spearman
from invdyn.verify.metrics.regret import regret
from invdyn.verify.metrics.starc import RewardSpace, epic

__all__ = ["order", "samples", "selection", "sweeps"]

RULES = ("advantage", "minimal_norm", "state_only")
FACTORS = (0.2, 0.5, 1.0, 2.0, 5.0)
MIXINGS = (0.0, 0.05, 0.1, 0.2, 0.4)


def lost(true: TabularMDP, recovered: torch.Tensor) -> float:
    """Regret of the policy that is optimal for the recovered reward, as a share of best less worst."""
    best = float(true.returns(true.optimal().policy))
    least = float(true.returns(true.with_reward(-true.reward).optimal().policy))
    chosen = float(true.returns(true.with_reward(recovered).optimal().policy))
    return float(regret(chosen, best, worst=least))


def selection(seed: int, config: IrlMisspecConfig) -> Part:
    """Claim 7: what each rule recovers under wrong discounts; truth depends on the state only."""
    g, _ = generators(seed, "selection")
    metrics: dict[str, Any] = {}
    for world, mdp in worlds(config, g, seed, state_reward=True).items():
        model, space = Behaviour("mce", config.temperature), reward_space(mdp)
        policy = model.policy(mdp)
        for rule in RULES:
            found = [
                IdentifiedSet(policy, replace(mdp, discount=gamma), model).pick(rule) for gamma in config.discounts
            ]
            distances = [float(space.distance(mdp.reward, reward)) for reward in found]
            metrics[f"{world}.{rule}.distances"] = distances
            metrics[f"{world}.{rule}.regrets"] = [lost(mdp, reward) for reward in found]
            metrics[f"{world}.{rule}.share_of_worst"] = max(distances) / 2
            for gamma, d in zip(config.discounts, distances):
                metrics[f"{world}.{rule}.at_{gamma:g}"] = d
        expert = mdp.optimal().policy
        margin = [
            IdentifiedSet(expert, replace(mdp, discount=gamma), Behaviour("optimal")).pick("max_margin")
            for gamma in config.discounts
        ]
        metrics[f"{world}.max_margin.distances"] = [float(space.distance(mdp.reward, r)) for r in margin]
        metrics[f"{world}.max_margin.regrets"] = [lost(mdp, r) for r in margin]
    metrics["selection.advantage"] = max(max(metrics[f"{world}.advantage.distances"]) for world in ("random", "grid"))
    return Part(metrics, {})


def order(seed: int, config: IrlMisspecConfig) -> Part:
    """Claim 8: distance against the agreement of how two rewards order random policies, and against regret."""
    g, rng = generators(seed, "order")
    metrics: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for world, mdp in worlds(config, g, seed, state_reward=False).items():
        space, n = reward_space(mdp), len(mdp.start)
        actions = mdp.transition.shape[1]
        raw = torch.randn(config.policies, n, actions, dtype=torch.float64, generator=g)
        visits = torch.stack([mdp.occupancy(pi) for pi in torch.softmax(2 * raw, -1)])
        rows: dict[str, list[float]] = {k: [] for k in ("d", "tau", "regret", "bound", "epic", "cosine")}
        for angle in np.linspace(0, np.pi, config.pairs):
            first, second = (torch.randn(mdp.reward.shape, dtype=torch.float64, generator=g) for _ in range(2))
            other = float(np.cos(angle)) * first + float(np.sin(angle)) * second if angle > 0 else first
            blind = random_shaping(mdp, g) + random_redistribution(mdp, g)
            other = float(rng.uniform(0.2, 5)) * other + float(rng.uniform(0, 3)) * blind
            pair = [mdp.with_reward(first), mdp.with_reward(other)]
            returns = [torch.einsum("psa,sa->p", visits, m.expected_reward).numpy() for m in pair]
            rows["d"].append(float(space.distance(first, other)))
            rows["tau"].append(kendall(returns[0], returns[1]))
            share, bound = _regret_and_bound(pair[0], pair[1], space)
            rows["regret"].append(share)
            rows["bound"].append(bound * rows["d"][-1])
            rows["epic"].append(epic(first, other, mdp.discount))
            rows["cosine"].append(1 - float(torch.nn.functional.cosine_similarity(first.ravel(), other.ravel(), dim=0)))
        a = {name: np.array(values) for name, values in rows.items()}
        metrics |= {
            f"{world}.order.spearman": spearman(a["d"], a["tau"]),
            f"{world}.order.same_tau_gap": 1 - a["tau"][0],
            f"{world}.order.same_d": a["d"][0],
            f"{world}.order.K": float((a["regret"][1:] / a["d"][1:]).max()),
            f"{world}.order.beyond_bound": float((a["regret"] - a["bound"])[1:].max()),
            f"{world}.order.share_of_bound": float((a["regret"] / np.where(a["bound"] > 0, a["bound"], np.inf)).max()),
            f"{world}.order.epic": spearman(a["epic"], a["tau"]),
            f"{world}.order.cosine": spearman(a["cosine"], a["tau"]),
        }
        curves[world] = {name: values for name, values in rows.items() if name != "bound"}
    for name, take in (("spearman", max), ("same_tau_gap", max), ("beyond_bound", max), ("K", max)):
        metrics[f"order.{name}"] = take(metrics[f"{world}.order.{name}"] for world in ("random", "grid"))
    metrics["order.lead"] = min(
        min(metrics[f"{world}.order.epic"], metrics[f"{world}.order.cosine"]) - metrics[f"{world}.order.spearman"]
        for world in ("random", "grid")
    )
    return Part(metrics, curves)


def _regret_and_bound(mdp: TabularMDP, other: TabularMDP, space: RewardSpace) -> tuple[float, float]:
    """Regret as a share of what is at stake, and K with regret <= K d: J(pi) is linear in c(R), then Cauchy-Schwarz.

    pi* is optimal under R1, pi under R2: J1(pi*) - J1(pi) <= <eta* - eta, c1 - c2 |c1|/|c2|> <= |eta* - eta| |c1| d,
    where eta are visits in the coordinates of c.
    """
    best, chosen = mdp.optimal().policy, other.optimal().policy
    least = mdp.with_reward(-mdp.reward).optimal().policy
    high, got, low = (float(j) for j in mdp.returns(torch.stack([best, chosen, least])))
    s, a = space.state[space.first], space.action[space.first]
    apart = (mdp.occupancy(best) - mdp.occupancy(chosen)).numpy()[s, a] * space.scale
    k = float(np.linalg.norm(apart) * np.linalg.norm(space.canonical(mdp.reward))) / (high - low)
    return float(regret(got, high, worst=low)), k


def samples(seed: int, config: IrlMisspecConfig) -> Part:
    """Ours: how the distance falls with the number of observed actions."""
    g, _ = generators(seed, "samples")
    metrics: dict[str, Any] = {}
    for world, mdp in worlds(config, g, seed, state_reward=True).items():
        model, space = Behaviour("mce", config.temperature), reward_space(mdp)
        policy, found = model.policy(mdp), []
        for draws in config.draws:
            distances = []
            for _ in range(config.resamples):
                seen = torch.multinomial(policy, draws, replacement=True, generator=g)
                counts = torch.nn.functional.one_hot(seen, policy.shape[1]).sum(1).double()
                reward = IdentifiedSet(count_policy(counts, mdp), mdp, model).pick("state_only")
                distances.append(float(space.distance(mdp.reward, reward)))
            found.append(float(np.median(distances)))
        metrics[f"{world}.samples.distances"] = found
        metrics[f"{world}.samples.slope"] = float(np.polyfit(np.log(config.draws), np.log(found), 1)[0])
    return Part(metrics, {})


def sweeps(seed: int, config: IrlMisspecConfig) -> Part:
    """Beyond the claims: distance and regret when temperature, dynamics or kind are assumed otherwise."""
    g, _ = generators(seed, "sweeps")
    metrics: dict[str, Any] = {}
    for world, mdp in worlds(config, g, seed, state_reward=True).items():
        model, space = Behaviour("mce", config.temperature), reward_space(mdp)
        policy = model.policy(mdp)
        warm = [IdentifiedSet(policy, mdp, replace(model, parameter=f * config.temperature)) for f in FACTORS]
        mixed = [IdentifiedSet(policy, mix_dynamics(mdp, m), model) for m in MIXINGS]
        for name, sets in (("temperature", warm), ("mixing", mixed)):
            rewards = [one.pick("state_only") for one in sets]
            metrics[f"{world}.{name}.distances"] = [float(space.distance(mdp.reward, r)) for r in rewards]
            metrics[f"{world}.{name}.regrets"] = [lost(mdp, r) for r in rewards]
        kinds = {}
        for beta in (0.5, 1.0, 2.0, 5.0):
            seen = Behaviour("boltzmann", beta / config.temperature).policy(mdp)
            kinds[beta] = float(space.distance(mdp.reward, IdentifiedSet(seen, mdp, model).pick("advantage")))
        metrics[f"{world}.kind.distances"] = list(kinds.values())
    return Part(metrics, {})
