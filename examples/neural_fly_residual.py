"""What pushed a quadrotor in the wind? The force its thrust does not explain, learned from other flights.

    python examples/neural_fly_residual.py --data recordings/neural_fly --out results/neural_fly

Ten figures of eight in a wind tunnel (O'Connell et al., Science Robotics 2022). The residual force is
f = m a - thrust + m g e3, and the recordings hold it: first it is made again from velocity, attitude and thrust, mass
and weight unknown. Then each flight is left out in turn and its force predicted from velocity, attitude and motors

- with the wind speed told: a constant per wind, a linear model, ridge on products, a network;
- with the wind not told but the first 10 s of the flight given: their mean, a linear model fitted to them, and a basis
  learned from the other flights with coefficients fitted to them (the idea of the paper, without its adversary).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arm_tables import grid
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from neural_fly_flights import PERIOD, Flight, flights
from torch import Tensor, nn

from invdyn.cli.output import note, table
from invdyn.cli.script import script
from invdyn.nn.encoders import MLP
from invdyn.nn.seed_axis import SeedAxis
from invdyn.studies.provenance import commit, host, versions
from invdyn.training.seeding import seeded
from invdyn.training.trainer import Trainer, TrainerConfig
from invdyn.verify.conformal import calibrate
from invdyn.verify.metrics.regression import fvu, rmse

SHADE = {"nowind": "#9ecae1", "35wind": "#4292c6", "70wind": "#08519c", "100wind": "#d62728"}
FIRST, LEVEL = 500, 0.9  # rows given of a flight whose wind is not told (10 s)
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of ridge, per row, on standardised features


@dataclass(frozen=True)
class Args:
    data: Path
    """Folder with flights.npz."""
    out: Path = Path("results/neural_fly")
    """Folder for result.json and residual.png."""
    seeds: int = 3
    """Networks, each with its own initial weights."""
    quick: bool = False
    """Little training."""


def products(state: np.ndarray, wind: np.ndarray) -> np.ndarray:
    """(1, wind, wind^2) times (1, state), and squares of the velocity with signs."""
    x = np.concatenate([np.ones((len(state), 1)), state, state[:, :3] * np.abs(state[:, :3])], 1)
    return np.concatenate([x * wind[:, None] ** k for k in range(3)], 1)


class Ridge:
    """Ridge regression on standardised features; its strength is the one best at flights left out."""

    def __init__(self, x: list[np.ndarray], y: list[np.ndarray], strengths: tuple[float, ...] = STRENGTHS) -> None:
        every, force = np.concatenate(x), np.concatenate(y)
        self.mean, self.std, self.offset = every.mean(0), np.maximum(every.std(0), 1e-9), force.mean(0)
        if len(strengths) > 1:
            strengths = (min(strengths, key=lambda s: self.left_out(x, y, s)),)
        z = (every - self.mean) / self.std
        self.weights = np.linalg.solve(
            z.T @ z + strengths[0] * len(z) * np.eye(z.shape[1]), z.T @ (force - self.offset)
        )

    @staticmethod
    def left_out(x: list[np.ndarray], y: list[np.ndarray], strength: float) -> float:
        off = 0.0
        for k in range(len(x)):
            fitted = Ridge(x[:k] + x[k + 1 :], y[:k] + y[k + 1 :], (strength,))
            off += float(((fitted(x[k]) - y[k]) ** 2).sum())
        return off

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) / self.std @ self.weights + self.offset


class Basis(nn.Module):
    """phi(state) [N, 12]; each flight of the training has coefficients of its own: force = phi C_flight."""

    def __init__(self, inputs: int, count: int) -> None:
        super().__init__()
        self.phi = MLP(inputs, 12, width=64, depth=2, activation=nn.SiLU)
        self.coefficients = nn.Parameter(0.1 * torch.randn(count, 13, 3))

    def features(self, x: Tensor) -> Tensor:
        made: Tensor = self.phi(x)
        return torch.cat([made, torch.ones_like(made[..., :1])], -1)

    def forward(self, x: Tensor) -> Tensor:
        """The last input is the flight's number."""
        own = self.coefficients[x[..., -1].long()]
        return (self.features(x[..., :-1])[..., None, :] @ own)[..., 0, :]


def train(build: Any, x: np.ndarray, y: np.ndarray, args: Args) -> SeedAxis:
    """One net per seed, trained side by side on the same batches."""
    with seeded(0, 3):
        net = SeedAxis(build, args.seeds)
    inputs, force = torch.from_numpy(x).float(), torch.from_numpy(y).float()

    def draw(generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        which = torch.randint(len(inputs), (count,), generator=generator)
        return inputs[which], force[which]

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor], _: torch.Generator) -> Mapping[str, Tensor]:
        return {"loss": ((model(batch[0]) - batch[1]) ** 2).mean((-1, -2)).sum()}  # a sum: each learns as if alone

    steps = 60 if args.quick else 500
    config = TrainerConfig(steps=steps, batch_size=512, lr=4e-3, weight_decay=1e-3, warmup=20, tensorboard=False)
    Trainer(config).fit(net, loss, draw)
    return net


def told_wind(rest: list[Flight], new: Flight, args: Args) -> dict[str, np.ndarray]:
    """[seeds, T, 3] N per model, from flights with their winds."""
    winds = [np.full(len(f.state), f.wind) for f in rest]
    wind, force = np.full(len(new.state), new.wind), [f.force for f in rest]
    with_wind = [np.concatenate([f.state, w[:, None]], 1) for f, w in zip(rest, winds)]
    x, y = np.concatenate(with_wind), np.concatenate(force)
    fit, here = np.polynomial.Polynomial.fit, np.concatenate([new.state, wind[:, None]], 1)
    constant = np.stack([fit(x[:, -1], y[:, j], 2)(wind) for j in range(3)], 1)
    linear, bent = Ridge(with_wind, force), Ridge([products(f.state, w) for f, w in zip(rest, winds)], force)
    m, s, fm, fs = x.mean(0), x.std(0), y.mean(0), y.std(0)
    net = train(lambda: MLP(x.shape[1], 3, width=64, depth=2, activation=nn.SiLU), (x - m) / s, (y - fm) / fs, args)
    with torch.no_grad():
        deep = net(torch.from_numpy((here - m) / s).float()).double().numpy() * fs + fm
    flat = {"constant": constant, "linear": linear(here), "ridge on products": bent(products(new.state, wind))}
    return {name: guess[None] for name, guess in flat.items()} | {"network": deep}


def first_seconds(rest: list[Flight], new: Flight, args: Args) -> dict[str, np.ndarray]:
    """[seeds, T, 3] N per model, from flights without their winds and the first rows of the new one."""
    x = np.concatenate([f.state for f in rest])
    m, s, fs = x.mean(0), x.std(0), np.concatenate([f.force for f in rest]).std(0)
    number = np.concatenate([np.full((len(f.state), 1), float(k)) for k, f in enumerate(rest)])
    y = np.concatenate([f.force for f in rest]) / fs
    net = train(lambda: Basis(x.shape[1], len(rest)), np.concatenate([(x - m) / s, number], 1), y, args)
    here = torch.from_numpy((new.state - m) / s).float()
    deep = []
    for seed in range(args.seeds):
        own = net.member(seed, Basis(x.shape[1], len(rest)))
        with torch.no_grad():
            z, prior = own.features(here).double().numpy(), own.coefficients.mean(0).double().numpy()
        # Ridge towards the mean coefficients of the other flights.
        left = new.force[:FIRST] / fs - z[:FIRST] @ prior
        gram = z[:FIRST].T @ z[:FIRST] + 1e-2 * FIRST * np.eye(z.shape[1])
        deep.append(z @ (prior + np.linalg.solve(gram, z[:FIRST].T @ left)) * fs)
    linear = Ridge([new.state[:FIRST]], [new.force[:FIRST]], (1e-2,))(new.state)
    constant = np.broadcast_to(new.force[:FIRST].mean(0), new.force.shape)
    return {"constant": constant[None], "linear": linear[None], "learned basis": np.stack(deep)}


def main(args: Args) -> dict[str, Any]:
    every = flights(args.data / "flights.npz")
    told, force = (np.concatenate([getattr(f, n) for f in every]) for n in ("told", "force"))
    (mass, weight), *_ = np.linalg.lstsq(told.reshape(-1, 2), force.reshape(-1), rcond=None)
    left = force - told @ np.array([mass, weight])
    note(f"m = {mass:.4f} kg, g = {weight / mass:.4f} m/s^2; the recorded force is m a - thrust to {left.std():.1g} N")
    found: dict[str, dict[str, list[np.ndarray]]] = {"wind told": {}, "first 10 s given": {}}
    for k, new in enumerate(every):
        rest = every[:k] + every[k + 1 :]
        for name, models in (("wind told", told_wind), ("first 10 s given", first_seconds)):
            for model, guess in models(rest, new, args).items():
                found[name].setdefault(model, []).append(guess)
        note(f"{new.name}: left out")
    rows, unseen = [], [f.name for f in every if sum(g.wind == f.wind for g in every) == 1]
    for name, models in found.items():
        start = FIRST if name == "first 10 s given" else 0
        for model, guesses in models.items():
            rows.append({"given": name, "model": model} | score(every, guesses, start, unseen))
    table([{k: v for k, v in row.items() if k != "flights"} for row in rows])
    result = {
        "mass": float(mass), "g": float(weight / mass), "force made again, RMS difference": float(left.std()),
        "level": LEVEL, "seeds": args.seeds, "quick": args.quick, "unseen wind": unseen, "rows": rows,
        "commit": commit(), "versions": versions(), "host": host("cpu"),
    }  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "result.json").write_text(json.dumps(result, indent=1))
    (args.out / "result.md").write_text(markdown(result))
    draw(every, found, rows).savefig(args.out / "residual.png", dpi=120)
    note(f"everything is in {args.out}")
    return result


def markdown(result: dict[str, Any]) -> str:
    """The table of all models."""
    head = ["given", "model", "RMS error [N]", "nMSE x, y, z", f"inside {LEVEL}", "unseen wind [N]", f"inside {LEVEL}"]
    lines = []
    for row in result["rows"]:
        over = row["sd over seeds"]
        error = f"{row['RMS error [N]']:.2f}" + (f" ± {over:.2f}" if over is not None else "")
        axes = ", ".join(f"{e:.3f}" for e in row["nMSE x, y, z"])
        covered = [f"{row[k]:.3f}" for k in ("coverage", "unseen wind, coverage")]
        lines.append([row["given"], row["model"], error, axes, covered[0], f"{row['unseen wind [N]']:.2f}", covered[1]])
    return grid(head, lines)


def score(every: list[Flight], guesses: list[np.ndarray], start: int, unseen: list[str]) -> dict[str, Any]:
    """RMS error of the force vector over flights with a wind that others had, and for the one without; intervals from
    the errors at the other flights left out."""
    per = np.array(
        [[np.sqrt((rmse(f.force[start:], g[start:]) ** 2).sum()) for g in gs] for f, gs in zip(every, guesses)]
    )
    seen = np.array([f.name not in unseen for f in every])
    whole = [
        fvu(
            np.concatenate([f.force[start:] for f, s in zip(every, seen) if s]),
            np.concatenate([g[k][start:] for g, s in zip(guesses, seen) if s]),
        )
        for k in range(per.shape[1])
    ]
    inside = []
    for k, f in enumerate(every):
        others = [i for i in range(len(every)) if i != k]
        truth, mean = (
            np.concatenate([x[i] for i in others])
            for x in ([g.force[start:] for g in every], [g[0][start:] for g in guesses])
        )
        episode = np.concatenate([np.full(len(every[i].force) - start, i) for i in others])
        found = calibrate(truth, mean, np.ones_like(mean), episode, level=LEVEL, score="absolute")
        low, high = found.interval(guesses[k][0][start:], np.ones_like(f.force[start:]))
        inside.append(float(((f.force[start:] >= low) & (f.force[start:] <= high)).mean()))
    over = per[seen].mean(0)
    return {
        "RMS error [N]": float(over.mean()),
        "sd over seeds": float(over.std(ddof=1)) if len(over) > 1 else None,
        "unseen wind [N]": float(per[~seen].mean()),
        "nMSE x, y, z": [float(e) for e in np.mean(whole, 0)],
        "coverage": float(np.mean([i for i, s in zip(inside, seen) if s])),
        "unseen wind, coverage": float(np.mean([i for i, s in zip(inside, seen) if not s])),
        "flights": {f.name: [float(e) for e in p] for f, p in zip(every, per)},
    }


def draw(every: list[Flight], found: dict[str, dict[str, list[np.ndarray]]], rows: list[dict[str, Any]]) -> Figure:
    """Left: a flight's force and what two models say of it. Right: errors of all, flight by flight."""
    made = Figure(figsize=(12, 4.6), layout="constrained")
    FigureCanvasAgg(made)
    left, right = made.subplots(1, 2, width_ratios=[1.3, 1])
    k = next(i for i, f in enumerate(every) if f.name == "NF_70wind")
    t = PERIOD * np.arange(len(every[k].force))
    shown = slice(1000, 1500)
    left.plot(t[shown], every[k].force[shown], color="#bbbbbb", linewidth=0.8)
    for name, model, colour in (("wind told", "network", "#D55E00"), ("first 10 s given", "learned basis", "#0072B2")):
        lines = left.plot(t[shown], found[name][model][k][0][shown], color=colour, linewidth=1)
        lines[0].set_label(f"{model}, {name}")
    left.set(xlabel="time [s]", ylabel="residual force x, y, z [N]; grey: recorded")
    left.set_title(every[k].name, fontsize=9)
    left.set_ylim(top=9)
    left.legend(frameon=False, fontsize=8, loc="upper right")
    for place, row in enumerate(rows):
        for flight, errors in row["flights"].items():
            right.plot(np.mean(errors), place, "o", markersize=4, alpha=0.7, color=SHADE[flight.split("_")[1]])
    right.set_yticks(range(len(rows)), [f"{r['model']}, {r['given']}" for r in rows], fontsize=8)
    right.invert_yaxis()
    right.set_xlabel("RMS error of the force [N]")
    right.set_title("a dot per flight; darker: more wind; red: wind unseen", fontsize=9)
    right.set_xlim(left=0)
    right.grid(axis="x", color="#eeeeee")
    return made


if __name__ == "__main__":
    script(main, Args)
