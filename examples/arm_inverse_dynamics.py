"""What torque made the arm move so? Nine ways to tell it, on five real arms, in one table.

    python examples/arm_inverse_dynamics.py --data recordings --out results/arms

SARCOS: the 3,000 shared rows of the official test set; trained on one torque a row, rows that stand in the test set
dropped. The others: fitted on the first two thirds of a recording, scored on the last third; each part is smoothed by
itself, so that no filter looks across. Every setting is chosen on training rows: the processes' by evidence, the
weights of the stack by left-out blocks, the nets' length of training by held-out blocks. nMSE = MSE / variance of the
torque. Whatever draws at random is done once per seed; least squares and Gaussian processes draw nothing.
"""

from __future__ import annotations

import json
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from arm_recordings import ARMS, REFERENCE, Arm
from arm_tables import draw, markdown

from invdyn.cli.output import note, table
from invdyn.cli.script import script
from invdyn.forces.learned.ensemble import EnsembleConfig, default_trainer
from invdyn.forces.learned.gaussian_process import ArmGP, ArmGPConfig, fit_gp
from invdyn.forces.learned.intervals import calibrate_torques, leave_out
from invdyn.forces.learned.lagrangian import LagrangianConfig, fit_lagrangian
from invdyn.forces.learned.network import NetworkConfig, fit_network
from invdyn.forces.learned.ridge import fit_kernel_ridge, fit_linear
from invdyn.forces.learned.rigid_body import fit_rigid_body, fit_semiparametric
from invdyn.forces.learned.rows import LeftOut, TorqueModel, TorqueRows
from invdyn.forces.learned.stacking import Stacked, stack_left_out, stacking_weights
from invdyn.studies.provenance import commit, host, versions
from invdyn.verify.metrics.regression import fvu

LEVEL, FOLDS = 0.9, 5
KERNEL_ROWS = 500  # of a recording, evenly spaced, for kernel methods; SARCOS: all
ROBOTS = Path(sysconfig.get_path("purelib")) / "cmeel.prefix" / "share" / "example-robot-data" / "robots"
FULL_SET = {"linear regression": 0.075, "rigid body (recalled)": 0.104, "LWPR (recalled)": 0.040, "GP": 0.011}
"""SARCOS, joint 1, trained on all 44,484 rows (Rasmussen and Williams 2006, table 2.1): not comparable."""


@dataclass(frozen=True)
class Args:
    data: Path
    """Folder with the folders sarcos, panda_gaz2019, ..."""
    out: Path = Path("results/arms")
    """Folder for comparison.json, .md and .png; arms found there with the same settings are kept."""
    models: Path = ROBOTS
    """Folder with panda.urdf and ur10_robot.urdf somewhere under it; without, no rigid body for these two."""
    arms: tuple[str, ...] = ()
    """Which, computed anew; when empty, all that are not there yet."""
    seeds: int = 3
    """How often whatever draws at random is done."""
    quick: bool = False
    """The double pendulum and little training."""


class Comparison:
    """Every model on one arm; `rows` is what comes out, per model."""

    def __init__(self, arm: Arm, args: Args) -> None:
        self.arm, self.args = arm, args
        self.rows: dict[str, dict[str, Any]] = {}
        self.models: dict[str, TorqueModel] = {}
        self.left: dict[str, tuple[LeftOut, ...]] = {}
        self.kernel_rows = 200 if args.quick else len(arm.train) if arm.independent else KERNEL_ROWS
        self.thin = arm.train.thinned(self.kernel_rows)

    def add(
        self, name: str, fit: Callable[[], TorqueModel], left: Callable[[], tuple[LeftOut, ...]] | None = None
    ) -> None:
        """Fit a model once more (with another seed), score it; its intervals are those of the first time."""
        row = self.rows.setdefault(name, {"nMSE": [], "seconds": []})
        started = time.perf_counter()
        model = self.models[name] = fit()
        row["seconds"].append(round(time.perf_counter() - started, 1))
        told = model.predict(self.arm.test)
        row["nMSE"].append([float(e) for e in fvu(self.arm.test.tau, told.mean)])
        note(f"  {name}: nMSE {np.mean(row['nMSE'][-1]):.4f}, {row['seconds'][-1]:.0f} s")
        if self.arm.moment is not None:
            row["between repeats"] = between_repeats(told.mean, self.arm.test.tau, self.arm.moment)
        if isinstance(model, ArmGP):
            row["evidence"] = [float(e) for e in model.evidence]
        if name not in self.left and (left or isinstance(model, ArmGP)):
            out = self.left[name] = model.left_out() if isinstance(model, ArmGP) else left()  # type: ignore[misc]
            row["coverage"] = [float(c) for c in calibrate_torques(out, level=LEVEL).coverage(self.arm.test, told)]
            row["left-out nMSE"] = [float(fvu(p.truth, p.mean)[0]) for p in out]

    def folds(self, fit: Callable[[TorqueRows], TorqueModel], rows: TorqueRows) -> Callable[[], tuple[LeftOut, ...]]:
        return lambda: leave_out(fit, rows, folds=FOLDS)

    def run(self) -> dict[str, dict[str, Any]]:
        train, thin, physics = self.arm.train, self.thin, self.arm.regressor
        self.add("linear", lambda: fit_linear(train), self.folds(fit_linear, train))
        self.add("kernel ridge", lambda: fit_kernel_ridge(thin))
        rbf, structured = (ArmGPConfig(kernel=kind, rows=self.kernel_rows) for kind in ("rbf", "arm"))
        self.add("GP, plain kernel", lambda: fit_gp(thin, rbf))
        self.add("GP, arm kernel", lambda: fit_gp(thin, structured))
        if physics:
            self.add(
                "rigid body",
                lambda: fit_rigid_body(train, physics),
                self.folds(lambda r: fit_rigid_body(r, physics), train),
            )
        for seed in range(self.args.seeds):
            self.nets(seed)
        return self.rows

    def nets(self, seed: int) -> None:
        train, physics, quick = self.arm.train, self.arm.regressor, self.args.quick
        trainer = replace(default_trainer(4e-3), steps=600, validate_every=100)
        if self.arm.independent:
            trainer = replace(trainer, batch_size=1024)
        if quick:
            trainer = replace(trainer, steps=150, validate_every=50)
        ensemble = EnsembleConfig(members=3, seed=seed, trainer=trainer)
        plain = NetworkConfig(ensemble=ensemble)
        # One member is fitted for blocks left out, not three: it errs more, so intervals are wide rather than narrow.
        single = replace(plain, ensemble=replace(ensemble, members=1))
        self.add("network", lambda: fit_network(train, plain), self.folds(lambda r: fit_network(r, single), train))
        if physics:
            self.add(
                "rigid body + network",
                lambda: fit_semiparametric(train, physics, lambda r: fit_network(r, plain)),
                self.folds(lambda r: fit_semiparametric(r, physics, lambda x: fit_network(x, single)), train),
            )
        trainer = replace(default_trainer(3e-3, 1e-5), steps=150 if quick else 700, validate_every=100)
        delan = LagrangianConfig(ensemble=EnsembleConfig(members=2, seed=seed, trainer=trainer))
        self.add("Lagrangian network", lambda: fit_lagrangian(train, delan))
        # Weighed by the first seed's left-out torques; kernel methods have them for fewer rows.
        names = [n for n in self.left if n not in ("linear", "stack")]
        left = [self.left[n] for n in names]
        if not self.arm.independent:
            left = [tuple(part.thinned(self.kernel_rows) for part in parts) for parts in left]
        weights = stacking_weights(left)
        self.add(
            "stack",
            lambda: Stacked(tuple(self.models[n] for n in names), weights),
            lambda: stack_left_out(left, weights),
        )
        self.rows["stack"]["weights"] = {n: [float(w) for w in row] for n, row in zip(names, weights, strict=True)}


def between_repeats(mean: np.ndarray, tau: np.ndarray, moment: np.ndarray) -> list[float]:
    """Per joint, how far a model's torques differ between repeats of one torque, as variance over that of the torque:
    the part of the nMSE that comes from the motion not repeating."""
    _, group = np.unique(moment, return_inverse=True)
    count = np.bincount(group)
    found = []
    for guess, truth in zip(mean.T, tau.T):
        middle = (np.bincount(group, guess) / count)[group]
        found.append(float(np.mean((guess - middle) ** 2) / truth.var()))
    return found


def kept(file: Path, args: Args) -> dict[str, Any]:
    """What an earlier run with the same settings found; without arms where there is none."""
    settings = {"seeds": args.seeds, "quick": args.quick, "level": LEVEL}
    before = json.loads(file.read_text()) if file.is_file() else {}
    same = all(before.get(k) == v for k, v in settings.items())
    return {**settings, "arms": before["arms"] if same else {}}


def main(args: Args) -> dict[str, Any]:
    names = args.arms or (("double_pendulum_dfki",) if args.quick else tuple(ARMS))
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "comparison.json"
    result = kept(file, args)
    for name in names:
        if name in result["arms"] and not args.arms:
            note(f"{name}: kept from {file}")
            continue
        note(name)
        arm = ARMS[name](args.data, args.models)
        found = {
            "train rows": len(arm.train),
            "test rows": len(arm.test),
            "models": Comparison(arm, args).run(),
            "others": {k: list(v) for k, v in REFERENCE.get(name, {}).items()},
            "commit": commit(),
            "versions": versions(),
            "host": host("cpu"),
        } | ({"full set, joint 1": FULL_SET} if name == "sarcos" else {})
        result = kept(file, args)  # another run may have added an arm meanwhile
        result["arms"] = {k: v for k in ARMS if (v := found if k == name else result["arms"].get(k))}
        file.write_text(json.dumps(result, indent=1))
    for name, found in result["arms"].items():
        table(
            [{"model": k, "nMSE": float(np.mean(v["nMSE"])), "per joint": np.mean(v["nMSE"], 0).round(4).tolist(),
              f"coverage at {LEVEL}": float(np.mean(v["coverage"])) if "coverage" in v else None,
              "s": float(np.mean(v["seconds"]))} for k, v in found["models"].items()],
            title=name,
        )  # fmt: skip
    (args.out / "comparison.md").write_text(markdown(result))
    draw(result["arms"]).savefig(args.out / "comparison.png", dpi=120)
    note(f"everything is in {args.out}")
    return result


if __name__ == "__main__":
    script(main, Args)
