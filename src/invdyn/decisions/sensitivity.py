"""`sensitivity`: how far a recovered reward hangs on what was assumed about discount, temperature, dynamics and kind.

For a table of counts and an assumed model, rewards are recovered under a grid of other assumptions, compared by STARC
under the assumed process, with the regret of acting on the other reward beside it. Data enter by a bootstrap over units
(sessions, subjects). What theory says no data can exclude (Skalse and Abate, ICLR 2024, arXiv 2403.06854, theorems 2 to
5) is stated next to what is typical for the selection rule. Any method of inverse reinforcement learning can be passed
as `recover`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from invdyn.decisions.behaviour import Behaviour
from invdyn.decisions.identified_set import IdentifiedSet, reward_space
from invdyn.decisions.tabular_mdp import TabularMDP
from invdyn.errors import SignalError
from invdyn.verify.metrics.regret import regret

__all__ = ["Recover", "Sensitivity", "SensitivityRow", "by_rule", "count_policy", "mix_dynamics", "sensitivity"]

Recover = Callable[[Float64[Tensor, "s a"], TabularMDP, Behaviour], Float64[Tensor, "s a"]]
"""(policy, assumed process, assumed behaviour) -> E[R | s, a]."""

SAME, APART = 0.2, 1.0
"""STARC distances up to SAME (an angle of 11 degrees) read as one reward, from APART (60 degrees) as another: ours."""


@dataclass(frozen=True)
class SensitivityRow:
    """One other assumption.

    Args:
        change: `discount`, `temperature`, `dynamics` or `kind`.
        to: what was assumed instead.
        distance: STARC distance of the two recovered rewards under the assumed process.
        regret: what acting optimally on the other reward loses, as a share of what is at stake in the assumed one.
        worst: largest distance that this change can have over all rewards with the same policy (theory); NaN where no
            theorem says.
    """

    change: str
    to: str
    distance: float
    regret: float
    worst: float


@dataclass(frozen=True)
class Sensitivity:
    """The report.

    Args:
        rows: one per other assumption.
        estimate: quantiles 0.5 and 0.95 of the distance between rewards recovered from resampled units and from all;
            NaN with a single unit.
        units: how many units were resampled.
        smallest_count: fewest visits to a reachable state that has a choice.
        verdict: what may and may not be concluded, in sentences.
    """

    rows: tuple[SensitivityRow, ...]
    estimate: tuple[float, float]
    units: int
    smallest_count: float
    verdict: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{'assumed instead':34s} {'d':>6s} {'regret':>7s} {'worst case d':>13s}"]
        for row in self.rows:
            worst = "unknown" if np.isnan(row.worst) else f"{row.worst:.0f}"
            lines.append(f"{row.change + ' ' + row.to:34s} {row.distance:6.3f} {row.regret:7.3f} {worst:>13s}")
        middle, high = self.estimate
        data = f"policy estimate: d = {middle:.3f} (median), {high:.3f} (95 %) over {self.units} units"
        return "\n".join([*lines, data, *self.verdict])


def by_rule(rule: str) -> Recover:
    """Recover by a selection rule of the identified set."""

    def recover(policy: Tensor, mdp: TabularMDP, behaviour: Behaviour) -> Tensor:
        return IdentifiedSet(policy, mdp, behaviour).pick(rule)

    return recover


def count_policy(counts: Float[Tensor, "s a"], mdp: TabularMDP, smoothing: float = 0.5) -> Float64[Tensor, "s a"]:
    """pi(a|s) from counts, `smoothing` added to every available action (Jeffreys: 0.5); unseen states are uniform."""
    if bool((counts[~mdp.live] > 0).any()):
        s, a = map(int, ((counts > 0) & ~mdp.live).nonzero()[0])
        raise SignalError(f"count_policy: action {a} was counted in state {s}, where it is not available.")
    weight = (counts.double() + smoothing) * mdp.live
    return torch.where(
        mdp.live.any(1, keepdim=True), weight / weight.sum(1, keepdim=True).clamp_min(1e-300), mdp.uniform()
    )


def mix_dynamics(mdp: TabularMDP, share: float) -> TabularMDP:
    """The process with `share` of every transition spread evenly over the states that the state's actions lead to."""
    spread = (mdp.transition * mdp.live[:, :, None]).sum(1, keepdim=True)
    spread = spread / spread.sum(-1, keepdim=True).clamp_min(1e-300)
    mixed = (1 - share) * mdp.transition + share * spread
    return replace(mdp, transition=torch.where(mdp.live[:, :, None], mixed, mdp.transition))


def sensitivity(
    counts: Float[Tensor, "unit s a"],
    mdp: TabularMDP,
    assumed: Behaviour,
    *,
    recover: Recover,
    discounts: Sequence[float] = (0.5, 0.8, 0.9, 0.95, 0.99),
    temperatures: Sequence[float] = (0.2, 5.0),
    mixings: Sequence[float] = (0.05, 0.2),
    kinds: Sequence[Behaviour] = (Behaviour("boltzmann", 1.0),),
    smoothing: float = 0.5,
    resamples: int = 200,
    generator: torch.Generator,
) -> Sensitivity:
    """How the recovered reward moves with the assumptions and with the data.

    Args:
        counts: how often each unit (session, subject) took action a in state s.
        mdp: the assumed process; its reward is not looked at.
        assumed: the assumed behaviour.
        recover: the method, for example `by_rule("state_only")`.
        discounts: gammas to assume instead.
        temperatures: factors on the behaviour's parameter.
        mixings: shares for `mix_dynamics`.
        kinds: behaviours to assume instead.
        smoothing: added to counts.
        resamples: bootstrap draws of units.
        generator: of the bootstrap.
    """
    total = counts.sum(0)
    policy = count_policy(total, mdp, smoothing)
    reward = recover(policy, mdp, assumed)
    space = reward_space(mdp)
    truth = mdp.with_reward(reward)
    stake = (
        float(truth.returns(truth.optimal().policy)),
        float(truth.returns(mdp.with_reward(-reward).optimal().policy)),
    )

    def row(change: str, to: str, other: TabularMDP, behaviour: Behaviour, worst: float) -> SensitivityRow:
        found = recover(policy, other, behaviour)
        chosen = float(truth.returns(mdp.with_reward(found).optimal().policy))
        lost = float(regret(chosen, stake[0], worst=stake[1])) if stake[1] < stake[0] else float("nan")
        return SensitivityRow(change, to, float(space.distance(reward, found)), lost, worst)

    moves = _shaping_matters(mdp)
    scaled = [replace(assumed, parameter=assumed.parameter * f) for f in temperatures]
    rows = [
        *(row("discount", f"{g:g}", replace(mdp, discount=g), assumed, 2.0 if moves else 0.0) for g in discounts),
        *(row("temperature", f"x {f:g}", mdp, b, 0.0) for f, b in zip(temperatures, scaled)),
        *(row("dynamics", f"mixed {m:g}", mix_dynamics(mdp, m), assumed, 2.0 if moves else 0.0) for m in mixings),
        *(row("kind", f"{b.kind} {b.parameter:g}", mdp, b, float("nan")) for b in kinds),
    ]
    units = len(counts)
    gaps = np.full(1, np.nan)
    if units > 1:
        draws = torch.randint(units, (resamples, units), generator=generator)
        drawn = [recover(count_policy(counts[d].sum(0), mdp, smoothing), mdp, assumed) for d in draws]
        gaps = np.array([space.distance(reward, other) for other in drawn])
    estimate = (float(np.quantile(gaps, 0.5)), float(np.quantile(gaps, 0.95)))
    choice = mdp.reachable() & (mdp.live.sum(1) > 1)
    smallest = float(total.sum(1)[choice].min()) if bool(choice.any()) else float("nan")
    return Sensitivity(tuple(rows), estimate, units, smallest, _verdict(rows, estimate))


def _shaping_matters(mdp: TabularMDP) -> bool:
    """Whether actions move the state at all: if not, shaping is a function of the state alone at every discount."""
    live = mdp.live[:, :, None]
    low = torch.where(live, mdp.transition, torch.full_like(mdp.transition, torch.inf)).amin(1)
    high = torch.where(live, mdp.transition, torch.full_like(mdp.transition, -torch.inf)).amax(1)
    return bool(((high - low)[~mdp.ends] > 1e-12).any())


def _verdict(rows: Sequence[SensitivityRow], estimate: tuple[float, float]) -> tuple[str, ...]:
    said = []
    for change in dict.fromkeys(row.change for row in rows):
        mine = [row for row in rows if row.change == change]
        far = max(mine, key=lambda row: row.distance)
        how = "does not change" if far.distance <= SAME else "changes" if far.distance < APART else "overturns"
        bound = (
            f"; in the worst case d = {far.worst:.0f}, which no data exclude" if far.worst > far.distance + SAME else ""
        )
        said.append(f"{change}: assuming otherwise {how} the reward (d up to {far.distance:.3f} at {far.to}){bound}.")
    if np.isnan(estimate[1]):
        said.append("data: a single unit; nothing can be said about how the estimate would vary.")
    else:
        how = "settle" if estimate[1] <= SAME else "do not settle" if estimate[1] < APART else "leave open"
        said.append(f"data: these units {how} the reward (95 % of resamples within d = {estimate[1]:.3f}).")
    return tuple(said)
