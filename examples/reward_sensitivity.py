"""What did they want? Rewards of mice in a maze and of people choosing, and how far the answers hang on assumptions.

    python examples/reward_sensitivity.py --data recordings --out results/rewards

Mice (Rosenberg et al., eLife 2021): moves between the 127 nodes of a binary tree; water is given at one node, and the
recording says when, so the recovered reward can be checked. People (Frank et al. 2004; Cavanagh et al. 2011): choices
between two options; in the first set the options' true pay is known.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from invdyn.cli.output import note, table
from invdyn.cli.script import script
from invdyn.decisions.behaviour import Behaviour
from invdyn.decisions.identified_set import IdentifiedSet, reward_space
from invdyn.decisions.sensitivity import Sensitivity, by_rule, count_policy, sensitivity
from invdyn.decisions.tabular_mdp import TabularMDP

NODES, LEAVES, OUTSIDE = 127, 63, 127  # nodes 63 ... 126 are dead ends
MODEL = Behaviour("mce", 1.0)
DISCOUNTS = (0.5, 0.8, 0.9, 0.95, 0.99)
TRUE_PAY = {"AB": 0.8 - 0.2, "CD": 0.7 - 0.3, "EF": 0.6 - 0.4}
"""Probability of pay, better less worse option (Frank et al. 2004)."""


@dataclass(frozen=True)
class Args:
    data: Path
    """Folder with the folders labyrinth_mice and human_choices_hddm."""
    out: Path = Path("results/rewards")
    """Folder for result.json and rewards.png."""
    quick: bool = False
    """Fewer bootstrap draws."""


def maze(discount: float) -> TabularMDP:
    """The binary tree: back, left, right; leaving it ends the bout."""
    transition = torch.zeros(NODES + 1, 3, NODES + 1, dtype=torch.float64)
    available = torch.zeros(NODES + 1, 3, dtype=torch.bool)
    for node in range(NODES):
        ways = [(node - 1) // 2 if node else OUTSIDE] + ([2 * node + 1, 2 * node + 2] if node < LEAVES else [])
        for action, to in enumerate(ways):
            transition[node, action, to], available[node, action] = 1.0, True
    start = torch.zeros(NODES + 1, dtype=torch.float64)
    start[0] = 1.0
    terminal = torch.arange(NODES + 1) == OUTSIDE
    return TabularMDP(transition, torch.zeros_like(transition), discount, start, terminal, available)


@dataclass(frozen=True)
class Mouse:
    """Moves of one animal.

    Args:
        bouts: nodes visited, bout by bout.
        water: node at each recorded reward.
    """

    bouts: list[np.ndarray]
    water: np.ndarray


def load_mouse(path: Path) -> Mouse:
    with np.load(path, allow_pickle=False) as z:
        nodes, frames, ends, reward = (z[k] for k in ("node", "frame_in_bout", "bout_offsets", "reward"))
    spans = [slice(a, b) for a, b in itertools.pairwise(ends)]
    at = [nodes[spans[b]][np.searchsorted(frames[spans[b]], start, "right") - 1] for b, start, _ in reward]
    return Mouse([nodes[span].astype(int) for span in spans], np.array(at, int))


def move_counts(bouts: Sequence[np.ndarray]) -> Tensor:
    """[bout, node, action]."""
    counts = torch.zeros(len(bouts), NODES + 1, 3, dtype=torch.float64)
    for bout, nodes in enumerate(bouts):
        for here, there in itertools.pairwise(nodes):
            back = (here - 1) // 2 if here else OUTSIDE
            counts[bout, here, 0 if there == back else int(there - 2 * here)] += 1
    return counts


def memory_matters(bouts: Sequence[np.ndarray]) -> tuple[float, float]:
    """Nats per move at inner nodes, held-out bouts in turn: policy of the node, policy of node and node before."""
    lost = np.zeros(2)
    moves = 0
    for fold in range(5):
        seen: list[dict[Any, np.ndarray]] = [{}, {}]
        for test in (False, True):
            for bout, nodes in enumerate(bouts):
                if (bout % 5 == fold) != test:
                    continue
                for before, here, there in zip(nodes[:-2], nodes[1:-1], nodes[2:]):
                    if here >= LEAVES:
                        continue
                    action = 0 if there == ((here - 1) // 2 if here else OUTSIDE) else int(there - 2 * here)
                    for order, key in enumerate((here, (before, here))):
                        counts = seen[order].setdefault(key, np.full(3, 0.5))
                        if test:
                            lost[order] -= np.log(counts[action] / counts.sum())
                        else:
                            counts[action] += 1
                    moves += test
    return float(lost[0] / moves), float(lost[1] / moves)


def mouse_rows(name: str, mouse: Mouse, resamples: int) -> tuple[dict[str, Any], Sensitivity]:
    counts = move_counts(mouse.bouts)
    mdp = maze(0.9)
    report = sensitivity(
        counts, mdp, MODEL, recover=by_rule("state_only"), discounts=DISCOUNTS, resamples=resamples,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    water = int(mouse.water[0])
    ranks = []
    for discount in DISCOUNTS:
        assumed = maze(discount)
        reward = IdentifiedSet(count_policy(counts.sum(0), assumed), assumed, MODEL).pick("state_only")[:NODES, 0]
        ranks.append(1 + int((reward > reward[water]).sum()))
    node, history = memory_matters(mouse.bouts)
    worst = {c: max(r.distance for r in report.rows if r.change == c) for c in ("discount", "dynamics", "kind")}
    row = {
        "recording": name, "moves": int(counts.sum()), "units": report.units, "d, discount": worst["discount"],
        "d, dynamics": worst["dynamics"], "d, kind": worst["kind"], "d, data 95 %": report.estimate[1],
        "rank of water": f"{min(ranks)}-{max(ranks)} of {NODES}", "nats, node": node, "nats, node before too": history,
    }  # fmt: skip
    return row, report


def choosing(contexts: int, discount: float = 0.9) -> TabularMDP:
    """Contexts drawn at random whatever was chosen; option 1 or 0."""
    transition = torch.full((contexts, 2, contexts), 1 / contexts, dtype=torch.float64)
    start = torch.full((contexts,), 1 / contexts, dtype=torch.float64)
    return TabularMDP(transition, torch.zeros_like(transition), discount, start)


def choice_counts(rows: Sequence[dict[str, str]], column: str, contexts: Sequence[str]) -> Tensor:
    """[subject, context, response]."""
    subjects = sorted({row["subj_idx"] for row in rows})
    counts = torch.zeros(len(subjects), len(contexts), 2, dtype=torch.float64)
    for row in rows:
        counts[subjects.index(row["subj_idx"]), contexts.index(row[column]), int(float(row["response"]))] += 1
    return counts


def learning_rows(path: Path, resamples: int) -> tuple[list[dict[str, Any]], list[Sensitivity]]:
    """Probabilistic selection: first and last third of every subject's trials of each pair, against the true pay."""
    rows = list(csv.DictReader(path.open()))
    contexts = list(TRUE_PAY)
    mdp = choosing(len(contexts))
    truth = torch.tensor([[0.0, pay] for pay in TRUE_PAY.values()], dtype=torch.float64)
    grouped: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in sorted(rows, key=lambda r: float(r["trial"])):
        grouped.setdefault((row["subj_idx"], row["cond"]), []).append(row)
    told, reports = [], []
    for name, part in (("first third", lambda n: slice(0, n // 3)), ("last third", lambda n: slice(n - n // 3, n))):
        kept = [row for trials in grouped.values() for row in trials[part(len(trials))]]
        counts = choice_counts(kept, "cond", contexts)
        report = sensitivity(
            counts, mdp, MODEL, recover=by_rule("advantage"), discounts=DISCOUNTS, mixings=(), resamples=resamples,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        reward = IdentifiedSet(count_policy(counts.sum(0), mdp), mdp, MODEL).pick("advantage")
        gap = (reward[:, 1] - reward[:, 0]).tolist()
        far = replace(mdp, discount=0.5)
        told.append({
            "recording": f"selection task, {name}", "choices": int(counts.sum()), "units": report.units,
            "preference AB CD EF": " ".join(f"{g:.2f}" for g in gap),
            "d to true pay": float(reward_space(mdp).distance(truth, reward)),
            "d to true pay, gamma 0.5": float(reward_space(far).distance(truth, reward)),
            "d, data 95 %": report.estimate[1],
        })  # fmt: skip
        reports.append(report)
    return told, reports


def conflict_row(path: Path, resamples: int) -> dict[str, Any]:
    """Conflict choices with deep brain stimulation on and off: is one reward enough for both?"""
    rows, contexts = list(csv.DictReader(path.open())), ["LL", "WL", "WW"]
    mdp = choosing(len(contexts))
    on, off = (choice_counts([r for r in rows if r["dbs"] == s], "stim", contexts) for s in ("1", "0"))
    space, recover = reward_space(mdp), by_rule("advantage")

    def reward(counts: Tensor) -> Tensor:
        return recover(count_policy(counts.sum(0), mdp), mdp, MODEL)

    both = on + off
    g = torch.Generator().manual_seed(0)
    swapped = []  # which session was "on" is exchanged for a random half of the subjects
    for _ in range(resamples):
        flip = (torch.rand(len(both), 1, 1, generator=g) < 0.5).double()
        swapped.append(
            float(space.distance(reward(flip * off + (1 - flip) * on), reward(flip * on + (1 - flip) * off)))
        )
    apart = float(space.distance(reward(on), reward(off)))
    return {
        "recording": "conflict task, DBS on against off", "choices": int(both.sum()), "units": len(both),
        "d, on to off": apart, "share of exchanges as far": float(np.mean(np.array(swapped) >= apart)),
    }  # fmt: skip


def draw(mice: dict[str, Sensitivity], people: dict[str, Sensitivity]) -> Figure:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, reports, title in ((left, mice, "Mice in a maze, state-only rule"), (right, people, "People choosing")):
        for (name, report), colour in zip(reports.items(), ("#0072B2", "#D55E00")):
            rows = [r for r in report.rows if r.change == "discount"]
            line = [r.distance for r in rows]
            axis.plot([float(r.to) for r in rows], line, "o-", color=colour, label=f"{name}: other discount")
            axis.axhline(report.estimate[1], color=colour, linestyle="--", linewidth=1, label=f"{name}: data, 95 %")
        axis.axhline(2, color="#999999", linewidth=1)
        axis.set(title=title, xlabel="assumed discount (reference 0.9)", ylim=(-0.05, 2.1))
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8, loc="center right")
    left.text(0.5, 1.95, "worst case", color="#999999", fontsize=8, va="top")
    right.text(0.5, 1.95, "opposite order", color="#999999", fontsize=8, va="top")
    left.set_ylabel("distance d of recovered rewards")
    return figure


def main(args: Args) -> None:
    resamples = 40 if args.quick else 400
    args.out.mkdir(parents=True, exist_ok=True)
    told, mice, people = [], {}, {}
    for name in ("A1b", "D9a"):
        row, mice[name] = mouse_rows(name, load_mouse(args.data / "labyrinth_mice" / f"{name}.npz"), resamples)
        told.append(row)
        note(f"{name}:\n{mice[name]}\n")
    rows, reports = learning_rows(args.data / "human_choices_hddm" / "rlddm_data.csv", resamples)
    people = {"first third": reports[0], "last third": reports[1]}
    conflict = conflict_row(args.data / "human_choices_hddm" / "cavanagh_theta_nn.csv", resamples)
    for group in (told, rows, [conflict]):
        table(group)
    (args.out / "result.json").write_text(json.dumps({"rows": [*told, *rows, conflict]}, indent=1))
    draw(mice, people).savefig(args.out / "rewards.png", dpi=120)


if __name__ == "__main__":
    script(main, Args)
