"""What do the links weigh, and is that better than what was published? Four real arms, one table.

    python examples/identify_arms.py --data recordings --models robots --out results/identification

Fitted on the first two thirds of a recording, scored on the last third; each part is smoothed by itself. Cut-off, lag
and friction's width are chosen on left-out blocks of the first part. nMSE = MSE / variance of the torque. Published
models: Panda, Gaz et al. 2019 (bodies as in the usual URDF, sigmoid friction); UR10, the manufacturer's URDF, and
Petrone et al. 2025 (`ur10_published.json`); pendulums, their authors' numbers. The two papers' authors published these
recordings as those they identified on: to their models the last third is not new.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from invdyn.bodies.files import load_model
from invdyn.bodies.model import BodyModel
from invdyn.cli.output import note, table
from invdyn.cli.script import script
from invdyn.forces.identification.body_regressor import moving_regressor
from invdyn.forces.identification.equations import collect
from invdyn.forces.identification.estimate import Estimate
from invdyn.forces.identification.feasible import fit_feasible
from invdyn.forces.identification.friction import Friction
from invdyn.forces.identification.identify import Identified, identify
from invdyn.forces.identification.least_squares import fit_least_squares
from invdyn.forces.identification.log_cholesky import fit_log_cholesky
from invdyn.forces.identification.pseudo_inertia import consistent
from invdyn.forces.identification.recordings import Measured, Recording, recordings_of
from invdyn.forces.identification.smoothing import choose_smoothing
from invdyn.forces.torques_columns import Positions

LINK = """<link name="{}"><inertial><origin xyz="0 0 {:.9g}"/><mass value="{:.9g}"/>
  <inertia ixx="{i:.9g}" ixy="0" ixz="0" iyy="{i:.9g}" iyz="0" izz="{i:.9g}"/></inertial></link>"""
JOINT = """<joint name="{}" type="continuous"><parent link="{}"/><child link="{}"/><origin xyz="0 0 {}"/>
  <axis xyz="0 1 0"/><dynamics damping="{}" friction="{}"/></joint>"""
GAZ = (
    (0.54615, 0.87224, 0.64068, 1.2794, 0.83904, 0.30301, 0.56489),
    (5.1181, 9.0657, 10.136, 5.5903, 8.3469, 17.133, 10.336),
    (0.039533, 0.025882, -0.04607, 0.036194, 0.026226, -0.021047, 0.0035526),
)
"""Friction of the Panda, a / (1 + exp(-b (v + c))) less its value at rest (Gaz et al. 2019, released parameters)."""

HAND = ("panda_hand", "panda_hand_tcp", "panda_leftfinger", "panda_rightfinger")
IDENTIFIED = "identified, feasible"

Predict = Callable[[Recording], np.ndarray]


@dataclass(frozen=True)
class Args:
    data: Path
    """Folder with the folders panda_gaz2019, ur10_unisa, ..."""
    models: Path | None = None
    """Folder of URDF files, panda.urdf and ur10_robot.urdf somewhere under it; without, the pendulums alone."""
    out: Path = Path("results/identification")
    """Folder for comparison.json and comparison.png."""
    arms: tuple[str, ...] = ()
    """Which; all when empty. What other arms reached stays in the file."""
    quick: bool = False
    """The simple pendulum alone."""


@dataclass(frozen=True)
class Arm:
    model: BodyModel
    measured: tuple[Measured, ...]
    given: str
    """What the model's own numbers are."""
    published: dict[str, Predict] = field(default_factory=dict)
    """Further published models."""
    lags: tuple[float, ...] = (0.0,)
    """s, how late the torque may have been recorded; the best on blocks left out is taken."""


def measured(model: BodyModel, time: np.ndarray, q: np.ndarray, tau: np.ndarray, origin: str) -> Measured:
    return Measured(Positions(time.astype(float), q.astype(float), (True,) * model.nq, (), origin), tau.astype(float))


def text_model(text: str) -> BodyModel:
    with TemporaryDirectory() as folder:
        (Path(folder) / "model.urdf").write_text(text)
        return load_model(Path(folder) / "model.urdf")


def urdf(models: Path, name: str, without: tuple[str, ...] = ()) -> BodyModel:
    """A URDF found under a folder, without the links of these names and their joints."""
    root = ET.parse(sorted(models.rglob(name))[0]).getroot()
    for element in list(root):
        child = element.find("child")
        links = {element.get("name")} if element.tag == "link" else {child.get("link")} if child is not None else set()
        if links & set(without):
            root.remove(element)
    return text_model(ET.tostring(root, encoding="unicode"))


def panda(args: Args) -> Arm:
    """The arm alone: the recording was made without a hand."""
    assert args.models is not None
    run = np.load(args.data / "panda_gaz2019/panda_excitation_first80.npz")
    model = urdf(args.models, "panda.urdf", HAND)
    regressor = moving_regressor(model, range(7), model.neutral)
    a, b, c = (np.array(x) for x in GAZ)

    def published(r: Recording) -> np.ndarray:
        friction = a / (1 + np.exp(-b * (r.qd + c))) - a / (1 + np.exp(-b * c))
        return regressor(r.q, r.qd, r.qdd) @ model.parameters + friction

    whole = measured(model, run["t"], run["q"], run["tau"], "panda_gaz2019")
    return Arm(model, (whole,), "bodies of Gaz et al. 2019", {"Gaz et al. 2019, friction included": published})


def ur10(args: Args) -> Arm:
    assert args.models is not None
    run = np.load(args.data / "ur10_unisa/ur10_exciting.npz")
    model = urdf(args.models, "ur10_robot.urdf")
    regressor = moving_regressor(model, range(6), model.neutral)
    known = json.loads((Path(__file__).parent / "ur10_published.json").read_text())
    gain = np.array(known["gains_Nm_per_A"])
    f = {k: np.array(v) for k, v in known["friction_A"].items() if k != "form"}

    def published(r: Recording) -> np.ndarray:
        y = regressor(r.q, r.qd, r.qdd)
        bodies = [y[:, j, own["columns"]] @ np.array(own["values"]) for j, own in enumerate(known["joints"])]
        amperes = f["fv"] * r.qd + f["fo"] + f["fc"] / (1 + np.exp(-f["alpha"] * (r.qd + f["ni"])))
        return np.stack(bodies, axis=1) + gain * amperes

    whole = measured(model, run["t"], run["q"], run["tau"], "ur10_unisa")
    return Arm(model, (whole,), "manufacturer's URDF", {"Petrone et al. 2025": published})


def double_pendulum(args: Args) -> Arm:
    """Design A.0; the authors' file names inertias about the joints, and a rotor behind a gear."""
    folder = args.data / "double_pendulum_dfki"
    told = (line.split(":") for line in (folder / "identified_design_A.0_model_2.0.yml").read_text().splitlines())
    p = {k: float(v) for k, v in told}
    parts = '<link name="base"/>'
    for k, parent, at in ((1, "base", 0.0), (2, "link1", -p["l1"])):
        mass, arm = p[f"m{k}"], p[f"r{k}"]
        parts += LINK.format(f"link{k}", -arm, mass, i=p[f"I{k}"] - mass * arm**2)
        parts += JOINT.format(f"joint{k}", parent, f"link{k}", at, p[f"b{k}"], p[f"cf{k}"])
    model = text_model(f'<robot name="double">{parts}</robot>')
    rotor = p["Ir"] * p["gr"] ** 2
    model = replace(model, coordinates=tuple(replace(c, armature=rotor) for c in model.coordinates))
    run = np.load(folder / "runs.npz")["design_A.0__20220812__20220812-061157-PM_measured"].astype(float)
    whole = measured(model, run[:, 0], run[:, 1:3], run[:, 5:7], "double_pendulum_dfki")
    return Arm(model, (whole,), "authors' parameters", lags=(0.0, 0.005, 0.01, 0.015))


def pendulum(args: Args) -> Arm:
    """As weighed on the bench: a point of 0.546 kg at 0.5 m on a rod of 0.13 kg."""
    mass, moment, inertia = 0.676, 0.546 * 0.5 + 0.13 * 0.25, 0.546 * 0.25 + 0.13 * 0.25 / 3
    parts = LINK.format("rod", -moment / mass, mass, i=inertia - moment**2 / mass)
    parts += JOINT.format("hinge", "base", "rod", 0, 0, 0)
    model = text_model(f'<robot name="pendulum"><link name="base"/>{parts}</robot>')
    runs = np.load(args.data / "simple_pendulum_dfki/runs.npz")
    # The two recordings that nobody's hand touched and in which the rod swung (data's README).
    both = [measured(model, r[:, 0], r[:, 1:2], r[:, 3:4], n) for n in ("ddp", "direct_collocation") for r in [runs[n]]]
    return Arm(model, tuple(both), "weighed on the bench", lags=(0.0, 0.01, 0.02, 0.03))


ARMS: dict[str, Callable[[Args], Arm]] = {
    "panda_gaz2019": panda,
    "ur10_unisa": ur10,
    "double_pendulum_dfki": double_pendulum,
    "simple_pendulum_dfki": pendulum,
}
SIMULATED = "simulated_panda"
NEED_URDF = ("panda_gaz2019", "ur10_unisa", SIMULATED)


def scores(predict: Predict, recordings: tuple[Recording, ...]) -> dict[str, Any]:
    truth = np.concatenate([r.tau for r in recordings])
    error = np.concatenate([predict(r) for r in recordings]) - truth
    nmse = np.square(error).mean(0) / truth.var(0)
    return {"RMS": np.sqrt(np.square(error).mean(0)).tolist(), "nMSE": nmse.tolist(), "mean": float(nmse.mean())}


def compare(arm: Arm) -> dict[str, Any]:
    """Every model of one arm on its held-out part."""
    moving = tuple(range(arm.model.nv))
    still = arm.model.neutral
    chosen = choose_smoothing(arm.model, moving, still, arm.measured, 1 / 3, lags=arm.lags, tell=note)
    parts = [recordings_of(arm.model, moving, m, 1 / 3, cutoff=chosen.cutoff, lag=chosen.lag) for m in arm.measured]
    best = identify(arm.model, moving, still, [a for a, _ in parts], [b for _, b in parts if b is not None])
    assert best.given is not None
    assert best.tuned is not None
    e, sigma, given = best.equations, best.base.estimate.sigma, best.given
    estimates = {
        IDENTIFIED: best.estimate,
        "identified, log-Cholesky": fit_log_cholesky(e, sigma=sigma, prior=given.inertial, strength=1.0),
        "identified, weighted": fit_least_squares(e, "weighted").estimate,
        "identified, ordinary": fit_least_squares(e, "ordinary").estimate,
        arm.given: given,
        f"{arm.given}, friction fitted": best.tuned,
    }
    predictions = {name: torque_of(x, best) for name, x in estimates.items()} | arm.published
    lower, upper = best.base.interval(0.95, "blocks")
    told = best.base.base.of(np.array([given.named.get(name, 0.0) for name in e.names]))
    replays = {
        name: [float(x) if np.isfinite(x) else None for x in r.rmse] for name, r in best.replays.items()
    }  # fmt: skip
    return {
        "fitted": sum(len(r.time) for r in best.train),
        "held out": sum(len(r.time) for r in best.test),
        "joints": list(best.estimate.joints),
        "smoothing": asdict(chosen),
        "every body can exist": bool(best.real.all()),
        "rank": best.base.base.rank,
        "models": {name: scores(predict, best.test) for name, predict in predictions.items()},
        "replay, 0.25 s": {"the recording moves": still_moves(best), **replays, "failed": best.failed},
        "parameters, 95 %": {
            text: {"value": float(v), arm.given: float(g), "lower": float(low), "upper": float(high)}
            for text, v, g, low, high in zip(best.base.base.expressions(), best.base.value, told, lower, upper)
        },
    }


def still_moves(found: Identified) -> list[float] | None:
    return next((r.still.tolist() for r in found.replays.values()), None)


def torque_of(estimate: Estimate, found: Identified) -> Predict:
    return lambda r: estimate.torque(found.regressor, r.q, r.qd, r.qdd)


def simulated(model: BodyModel, samples: int, seed: int) -> dict[str, Any]:
    """Random states of an arm whose torques have 5 % of noise: error on other states, bodies that can exist."""
    own = moving_regressor(model, range(model.nv), model.neutral)
    lower, upper = (np.array([getattr(c, n) for c in model.coordinates]) for n in ("lower", "upper"))
    fastest = np.array([c.velocity for c in model.coordinates])

    def states(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        q = rng.uniform(lower, upper, (count, model.nv))
        return q, rng.uniform(-0.5, 0.5, q.shape) * fastest, rng.uniform(-5, 5, q.shape)

    motion, unseen = states(samples, seed), states(300, 99)
    truth, expected = own(*motion) @ model.parameters, own(*unseen) @ model.parameters
    noise = np.random.default_rng(seed + 50).standard_normal(truth.shape)
    e = collect(own, *motion, truth + 0.05 * truth.std(0) * noise, Friction.none(), blocks=1)
    sigma = fit_least_squares(e).estimate.sigma
    made = {
        "ordinary": fit_least_squares(e, "ordinary").estimate,
        "feasible": fit_feasible(e, sigma=sigma),
        "log-Cholesky": fit_log_cholesky(e, sigma=sigma),
    }
    error = {n: x.torque(own, *unseen) - expected for n, x in made.items()}
    return {
        "nRMSE": {n: float(np.sqrt(np.mean(d**2) / np.mean(expected**2))) for n, d in error.items()},
        "bodies that can exist": {
            n: int(consistent(torch.as_tensor(x.inertial.reshape(-1, 10))).sum()) for n, x in made.items()
        },
    }


def main(args: Args) -> dict[str, Any]:
    names = list(args.arms) or (["simple_pendulum_dfki"] if args.quick else [*ARMS, SIMULATED])
    if args.models is None:
        names = [n for n in names if n not in NEED_URDF]
        note("without --models: the pendulums alone")
    file = args.out / "comparison.json"
    result: dict[str, Any] = json.loads(file.read_text()) if args.arms and file.is_file() else {"arms": {}}
    for name in names:
        note(name)
        if name != SIMULATED:
            result["arms"][name] = compare(ARMS[name](args))
            continue
        assert args.models is not None
        model = urdf(args.models, "panda.urdf", HAND)
        result[SIMULATED] = {n: [simulated(model, n, seed) for seed in range(3)] for n in (20, 60, 500)}
    result["arms"] = {name: result["arms"][name] for name in ARMS if name in result["arms"]}
    args.out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    figure(result["arms"]).savefig(args.out / "comparison.png", dpi=120)
    rows = []
    for name, found in result["arms"].items():
        for model, row in found["models"].items():
            joints = ", ".join(f"{e:.3g}" for e in row["nMSE"])
            rows.append({"arm": name, "model": model, "nMSE, mean": row["mean"], "nMSE per joint, held out": joints})
    table(rows)
    for samples, runs in result.get(SIMULATED, {}).items():
        for kind in ("ordinary", "feasible", "log-Cholesky"):
            error = [r["nRMSE"][kind] for r in runs]
            real = [r["bodies that can exist"][kind] for r in runs]
            print(f"simulated, {samples} samples, {kind}: nRMSE {np.mean(error):.4f}, bodies that can exist {real}")
    note(f"everything is in {args.out}")
    return result


def figure(arms: dict[str, Any]) -> Figure:
    """nMSE per joint on the part held out, a panel per arm."""
    made = Figure(figsize=(3.0 * len(arms) + 1, 4.4), layout="constrained")
    FigureCanvasAgg(made)
    marks = (("o", "#D55E00"), ("s", "#999999"), ("^", "#0072B2"), ("D", "#009E73"))
    for axis, (name, found) in zip(made.subplots(1, len(arms), squeeze=False)[0], arms.items(), strict=True):
        shown = {n: r["nMSE"] for n, r in found["models"].items() if n == IDENTIFIED or not n.startswith("identified")}
        for (mark, colour), (model, nmse) in zip(marks, shown.items()):
            axis.semilogy(np.arange(1, len(nmse) + 1), nmse, mark, color=colour, markersize=5, label=model)
        every = np.concatenate(list(shown.values()))
        axis.set(title=name, xlabel="joint", xticks=range(1, len(found["joints"]) + 1))
        axis.set(xlim=(0.3, len(found["joints"]) + 0.7), ylim=(every.min() / 3, every.max() * 3))
        axis.title.set_fontsize(9)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    made.supylabel("MSE / variance of torque, held out", fontsize=8)
    return made


if __name__ == "__main__":
    script(main, Args)
