"""What torque made the arm move so? Seven ways to learn it, on six real arms, in one table.

    python examples/arm_inverse_dynamics.py --data recordings --out results/arms

SARCOS: the 3,000 shared rows of the official test set; trained on one torque a row, rows that stand in the test set
dropped. The others: fitted on the first two thirds of a recording, scored on the last third; each part is smoothed by
itself, so that no filter looks across. Every setting is chosen on training rows: the processes' by evidence, the
weights of the stack by left-out blocks, the nets' length of training by held-out blocks. nMSE = MSE / variance of the
torque.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from invdyn.bodies.files import load_model
from invdyn.cli.output import note, table
from invdyn.episodes.smooth import smooth
from invdyn.forces.identification.body_regressor import body_regressor
from invdyn.forces.learned.ensemble import EnsembleConfig
from invdyn.forces.learned.gaussian_process import ArmGPConfig, fit_gp
from invdyn.forces.learned.intervals import calibrate_torques, leave_out
from invdyn.forces.learned.lagrangian import LagrangianConfig, fit_lagrangian
from invdyn.forces.learned.network import NetworkConfig, fit_network
from invdyn.forces.learned.ridge import fit_kernel_ridge, fit_linear
from invdyn.forces.learned.rigid_body import Regressor, fit_rigid_body, fit_semiparametric
from invdyn.forces.learned.rows import LeftOut, TorqueModel, TorqueRows, time_blocks
from invdyn.forces.learned.stacking import stack, stack_left_out
from invdyn.verify.metrics.regression import fvu

LEVEL, BLOCKS, FOLDS, EDGE = 0.9, 20, 5, 25  # EDGE: smoothed samples dropped at either end of a part
KERNEL_ROWS = 2200  # kernel methods take at most so many rows, evenly spaced

PUBLISHED = (
    ("kernel ridge, same rows (data's README)", (0.028, 0.026, 0.020, 0.010, 0.032, 0.036, 0.013)),
    ("linear, same rows (data's README)", (0.071, 0.119, 0.106, 0.059, 0.131, 0.276, 0.069)),
)
FULL_SET = {"linear regression": 0.075, "rigid body (recalled)": 0.104, "LWPR (recalled)": 0.040, "GP": 0.011}
"""SMSE of joint 1 by models trained on all 44,484 rows (Rasmussen and Williams 2006, table 2.1): not comparable."""


@dataclass(frozen=True)
class Args:
    data: Path
    """Folder with the folders sarcos, panda_gaz2019, ..."""
    out: Path = Path("results/arms")
    """Folder for comparison.json and comparison.png."""
    models: Path | None = None
    """Folder of URDF files, panda.urdf and ur10_robot.urdf somewhere under it; without, no rigid body for these two."""
    arms: tuple[str, ...] = ()
    """Which; all when empty."""
    seed: int = 0
    """Of nets, folds and draws."""
    quick: bool = False
    """Two pendulums and little training."""


@dataclass(frozen=True)
class Arm:
    train: TorqueRows
    test: TorqueRows
    regressor: Regressor | None = None
    independent: bool = False
    """Rows are shuffled, so each is a block of its own."""


def sarcos(folder: Path) -> Arm:
    given, test = (np.load(folder / f"sarcos_{n}.npz") for n in ("train_single_torque", "test_rows_0000_2999"))
    keep = ~given["also_in_test"]
    tau = np.full((int(keep.sum()), 7), np.nan)
    tau[np.arange(len(tau)), given["joint"][keep]] = given["torque"][keep]
    motion = (given[name][keep].astype(float) for name in ("q", "qd", "qdd"))
    whole = (test[name].astype(float) for name in ("q", "qd", "qdd", "tau"))
    rows = TorqueRows(*motion, tau, np.arange(len(tau)))
    return Arm(rows, TorqueRows(*whole, np.arange(len(test["q"]))), independent=True)


def cut(clock: np.ndarray, q: np.ndarray, tau: np.ndarray, first: int = 0) -> tuple[TorqueRows, TorqueRows]:
    """First two thirds and last third, each smoothed by itself; block numbers from `first`."""
    made = []
    for part in (slice(0, 2 * len(q) // 3), slice(2 * len(q) // 3, len(q))):
        found = smooth(clock[part], q[part].astype(float))
        inner = slice(EDGE, len(found.position) - EDGE)
        motion = (x[inner] for x in (found.position, found.velocity, found.acceleration))
        torque = tau[part][inner].astype(float)
        made.append(TorqueRows(*motion, torque, first + time_blocks(len(torque), min(BLOCKS, len(torque)))))
    return made[0], made[1]


def urdf(models: Path | None, name: str, joints: int) -> Regressor | None:
    """Of the first joints of a model; other joints (fingers) stand still."""
    found = sorted(models.rglob(name)) if models else []
    if not found:
        note(f"no {name} under --models: no rigid body for it")
        return None
    model = load_model(found[0])
    whole, more = body_regressor(model), model.nv - joints

    def regressor(*motion: np.ndarray) -> np.ndarray:
        padded = [np.concatenate([x, np.zeros((len(x), more))], 1) for x in motion]
        return whole(*padded)[:, :joints]

    return regressor


def panda(folder: Path, models: Path | None) -> Arm:
    given = np.load(folder / "panda_excitation_first80.npz")
    return Arm(*cut(given["t"], given["q"], given["tau"]), urdf(models, "panda.urdf", 7))


def ur10(folder: Path, models: Path | None) -> Arm:
    given = np.load(folder / "ur10_exciting.npz")
    return Arm(*cut(given["t"], given["q"], given["tau"]), urdf(models, "ur10_robot.urdf", 6))


def two_links(q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
    """[N, 2, 5]: I1 + m2 l1^2, I2, m2 l1 r2, (m1 r1 + m2 l1) g, m2 r2 g; angles from hanging down, relative."""
    (q1, q2), (v1, v2), (a1, a2) = q.T, qd.T, qdd.T
    c, s, zero = np.cos(q2), np.sin(q2), np.zeros_like(q1)
    first = [a1, a1 + a2, c * (2 * a1 + a2) - s * (2 * v1 * v2 + v2**2), np.sin(q1), np.sin(q1 + q2)]
    second = [zero, a1 + a2, c * a1 + s * v1**2, zero, np.sin(q1 + q2)]
    return np.stack([np.stack(first, -1), np.stack(second, -1)], 1)


def double_pendulum(folder: Path) -> Arm:
    run = np.load(folder / "runs.npz")["design_A.0__20220812__20220812-061157-PM_measured"].astype(float)
    return Arm(*cut(run[:, 0], run[:, 1:3], run[:, 5:7]), two_links)


def pendulum(folder: Path) -> Arm:
    run = np.load(folder / "runs.npz")["ddp"].astype(float)
    return Arm(*cut(run[:, 0], run[:, 1:2], run[:, 3:4]), lambda q, qd, qdd: np.stack([qdd, np.sin(q)], -1))


def schunk(folder: Path) -> Arm:
    """Each input sequence has up to 20 repeats; the last third of every repeat is held out."""
    given = np.load(folder / "schunk_train.npz")
    parts = []
    for name in sorted(k[2:] for k in given.files if k.startswith("u_")):
        for x in given[f"x_{name}"]:
            tau = given[f"u_{name}"]
            parts.append(cut(given[f"t_{name}"][: len(tau)], x[: len(tau), :6], tau, first=BLOCKS * len(parts)))
    names = ("q", "qd", "qdd", "tau", "block")
    train, test = (TorqueRows(*(np.concatenate([getattr(p[i], n) for p in parts]) for n in names)) for i in (0, 1))
    # A repeat is the unit: its blocks, and those of the others at the same time, are alike.
    return Arm(replace(train, block=train.block // BLOCKS), replace(test, block=test.block // BLOCKS))


ARMS: dict[str, Callable[[Args], Arm]] = {
    "sarcos": lambda a: sarcos(a.data / "sarcos"),
    "panda_gaz2019": lambda a: panda(a.data / "panda_gaz2019", a.models),
    "ur10_unisa": lambda a: ur10(a.data / "ur10_unisa", a.models),
    "double_pendulum_dfki": lambda a: double_pendulum(a.data / "double_pendulum_dfki"),
    "schunk_lwa6dof": lambda a: schunk(a.data / "schunk_lwa6dof"),
    "simple_pendulum_dfki": lambda a: pendulum(a.data / "simple_pendulum_dfki"),
}


def compare(arm: Arm, args: Args) -> dict[str, dict[str, Any]]:
    """Every model on one arm."""
    train, test, rows = arm.train, arm.test, {}
    thin = train if arm.independent else train.thinned(KERNEL_ROWS)
    ensemble, delan = EnsembleConfig(seed=args.seed), LagrangianConfig()
    gp = {kind: ArmGPConfig(kernel=kind, rows=KERNEL_ROWS, seed=args.seed) for kind in ("rbf", "arm")}
    if args.quick:
        thin = thin.thinned(200)
        ensemble = replace(ensemble, members=2, trainer=replace(ensemble.trainer, steps=200))
        delan = replace(delan, width=32, ensemble=replace(ensemble, trainer=replace(ensemble.trainer, lr=3e-3)))
    else:
        delan = replace(delan, ensemble=replace(delan.ensemble, seed=args.seed))

    def add(
        name: str, fit: Callable[[], TorqueModel], left: Callable[[TorqueModel], tuple[LeftOut, ...]] | None = None
    ) -> tuple[TorqueModel, tuple[LeftOut, ...] | None]:
        started = time.perf_counter()
        model = fit()
        seconds, told = time.perf_counter() - started, model.predict(test)
        error = fvu(test.tau, told.mean)
        rows[name] = {"nMSE": [float(e) for e in error], "mean": float(error.mean()), "seconds": seconds}
        out = left(model) if left else None
        if out:
            intervals = calibrate_torques(out, level=LEVEL)
            rows[name]["coverage"] = [float(c) for c in intervals.coverage(test, told)]
            rows[name]["left-out nMSE"] = [float(fvu(p.truth, p.mean)[0]) for p in out]
        if hasattr(model, "evidence"):
            rows[name]["evidence"] = [float(e) for e in model.evidence]
        note(f"  {name}: nMSE {error.mean():.4f}, {seconds:.0f} s")
        return model, out

    def folded(fit: Callable[[TorqueRows], TorqueModel], given: TorqueRows) -> Any:
        return lambda _: leave_out(fit, given, folds=FOLDS, seed=args.seed)

    add("linear", lambda: fit_linear(train), folded(fit_linear, train))
    add("kernel ridge", lambda: fit_kernel_ridge(thin), folded(fit_kernel_ridge, thin))
    if arm.regressor:
        physics = arm.regressor
        add("rigid body", lambda: fit_rigid_body(train, physics), folded(lambda r: fit_rigid_body(r, physics), train))
        # The structure is in the rigid body: its residual is left to the plain kernel.
        add("rigid body + GP", lambda: fit_semiparametric(thin, physics, lambda r: fit_gp(r, gp["rbf"])))
    network = NetworkConfig(ensemble=ensemble)
    again = folded(lambda r: fit_network(r, network), train) if arm.independent else None  # five more fits
    net, net_left = add("network", lambda: fit_network(train, network), again)
    add("Lagrangian network", lambda: fit_lagrangian(train, delan))
    processes = [
        add(f"GP, {kind}", lambda kind=kind: fit_gp(thin, gp[kind]), lambda model: model.left_out())
        for kind in ("rbf", "arm")
    ]
    if net_left:
        processes.append((net, net_left))
    models, left = [m for m, _ in processes], [out for _, out in processes if out]
    stacked, _ = add("stack", lambda: stack(models, left), lambda m: stack_left_out(left, m.weights))
    rows["stack"]["weights"] = stacked.weights.tolist()
    return rows


def main(args: Args) -> dict[str, Any]:
    names = args.arms or (("simple_pendulum_dfki", "double_pendulum_dfki") if args.quick else tuple(ARMS))
    args.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"seed": args.seed, "quick": args.quick, "level": LEVEL, "arms": {}}
    for name in names:
        note(name)
        arm = ARMS[name](args)
        result["arms"][name] = {
            "train rows": len(arm.train), "test rows": len(arm.test), "models": compare(arm, args)
        }  # fmt: skip
        (args.out / "comparison.json").write_text(json.dumps(result, indent=1))
    if "sarcos" in result["arms"]:
        ours = result["arms"]["sarcos"]["models"]
        per_joint = [(f"{k}, ours", v["nMSE"]) for k, v in ours.items()] + list(PUBLISHED)
        table(
            [{"SARCOS, nMSE": k} | {f"joint {j + 1}": e for j, e in enumerate(v)} | {"mean": float(np.mean(v))}
             for k, v in per_joint]
        )  # fmt: skip
        told = ", ".join(f"{k} {v}" for k, v in FULL_SET.items())
        print(f"Trained on the full set of 44,484 rows, joint 1, not comparable: {told}.")
        result["arms"]["sarcos"]["published"] = {"same rows": dict(PUBLISHED), "full set, joint 1": FULL_SET}
    rows = []
    for name, found in result["arms"].items():
        for model, row in found["models"].items():
            covered = row.get("coverage")
            rows.append(
                {
                    "arm": name,
                    "model": model,
                    "nMSE, mean": row["mean"],
                    "nMSE per joint": [round(e, 4) for e in row["nMSE"]],
                    f"coverage at {LEVEL}": None if covered is None else float(np.mean(covered)),
                    "s": round(row["seconds"]),
                }
            )
    table(rows)
    (args.out / "comparison.json").write_text(json.dumps(result, indent=1))
    figure(result["arms"]).savefig(args.out / "comparison.png", dpi=120)
    note(f"everything is in {args.out}")
    return result


def figure(arms: dict[str, Any]) -> Figure:
    """nMSE per joint, a panel per arm."""
    made = Figure(figsize=(2.6 * len(arms), 3.2), layout="constrained")
    FigureCanvasAgg(made)
    for axis, (name, found) in zip(made.subplots(1, len(arms), squeeze=False)[0], arms.items(), strict=True):
        for k, row in enumerate(found["models"].values()):
            axis.semilogy([k] * len(row["nMSE"]), row["nMSE"], "_", color="#999999")
            axis.semilogy(k, row["mean"], "o", color="#204080", markersize=4)
        axis.set_xticks(range(len(found["models"])), list(found["models"]), rotation=90, fontsize=7)
        axis.set_title(name, fontsize=8)
        axis.set_ylabel("nMSE; dashes: joints", fontsize=7)
    return made


if __name__ == "__main__":
    main(tyro.cli(Args))
