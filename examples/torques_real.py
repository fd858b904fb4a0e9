"""What pushed? `invdyn torques` as a user runs it, on every real recording of motion that has a model of the bodies.

    python examples/torques_real.py --data recordings --out results/torques

Each row is one command in a process of its own: wall time and peak memory are those of the whole command, start and
compilation included. Where torques were measured or computed by others they stand beside, per coordinate and as
fraction of variance unexplained over the rows away from both ends (0 is perfect, 1 as wrong as their mean). Nothing is
fitted to them here: bodies are as their makers describe them, without the friction of gears, unless a row says so.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from invdyn.cli.output import note, table
from invdyn.cli.script import script
from invdyn.episodes import open_dataset
from invdyn.episodes.formats.atomic import appearing
from invdyn.episodes.formats.opensim_tables import read_table
from invdyn.studies.provenance import commit, host, versions
from invdyn.verify.metrics.regression import fvu

ROBOTS = Path(sysconfig.get_path("purelib")) / "cmeel.prefix" / "share" / "example-robot-data" / "robots"
ENDS = 0.25  # s at both ends that are not compared: every smoother is worst there
NOT_RUN = {
    "c3d_walking": "no model of that person is published; the marker names are those of no model at hand",
    "wheelchair_kinetics": "forces and markers are of different trials, and no model of the person is published",
    "schunk_lwa6dof": "no model of the arm is published (identified models: examples/arm_inverse_dynamics.py)",
    "multiarm_pendulum": "the authors' parameters were not published with it",
    "mocap_cmu_dm_control": "its model is part of dm_control and has no root joint in the file",
}
"""Recordings of motion without a row, and why."""
POINT = """<robot name="rod"><link name="base"/><link name="bob"><inertial><origin xyz="0 0 -{com}"/>
  <mass value="{mass}"/><inertia ixx="{i}" ixy="0" ixz="0" iyy="{i}" iyz="0" izz="1e-5"/></inertial></link>{more}
  <joint name="q1" type="revolute"><parent link="base"/><child link="bob"/><axis xyz="0 1 0"/>
  <limit lower="-99" upper="99" effort="99" velocity="99"/></joint></robot>"""
SECOND = """<link name="tip"><inertial><origin xyz="0 0 -{com}"/><mass value="{mass}"/>
  <inertia ixx="{i}" ixy="0" ixz="0" iyy="{i}" iyz="0" izz="1e-5"/></inertial></link>
  <joint name="q2" type="revolute"><parent link="bob"/><child link="tip"/><origin xyz="0 0 -{at}"/><axis xyz="0 1 0"/>
  <limit lower="-99" upper="99" effort="99" velocity="99"/></joint>"""


@dataclass(frozen=True)
class Args:
    data: Path
    """Folder with the folders opensim_inverse_dynamics, ..."""
    out: Path = Path("results/torques")
    """Folder for result.json and torques.png; the torques themselves are not kept."""
    robots: Path = ROBOTS
    """Folder with panda.urdf and ur10_robot.urdf somewhere under it."""
    only: str = ""
    """Rows whose name contains this."""
    quick: bool = False
    """The three smallest."""


@dataclass(frozen=True)
class Case:
    """One command: its name, model, motion and options; a reference [T, coordinates] with its own clock."""

    name: str
    model: Path
    motion: Path
    options: tuple[str, ...] = ()
    reference: tuple[tuple[str, ...], np.ndarray, np.ndarray] | None = None
    by: str = ""
    quick: bool = field(default=False, compare=False)


def cases(args: Args, folder: Path) -> Iterator[Case]:
    gait = args.data / "opensim_inverse_dynamics"
    small, big = gait / "subject01_and_arm26", gait / "rajagopal_walk"
    arm = (small / "arm26.osim", small / "arm26_InverseKinematics.mot", ("--units", "deg"))
    yield Case("arm26", *arm, opensim(small / "std_arm26_InverseDynamics.sto"), "OpenSim, its own filter", True)
    walk = (small / "subject01.osim", small / "subject01_walk1_ik.mot")
    loads = ("--grf", str(small / "subject01_walk1_grf.xml"))
    yield Case("gait of subject01", *walk, loads, opensim(small / "std_subject01_InverseDynamics.sto"), "OpenSim, 6 Hz")
    same = (*loads, "--smooth", "opensim", "--cutoff", "6")
    told = opensim(small / "std_subject01_InverseDynamics.sto")
    yield Case("gait of subject01, OpenSim's filter", *walk, same, told, "OpenSim, 6 Hz")
    toes = ("--hold", "mtp_angle_r=0", "mtp_angle_l=0", "--grf", str(big / "grf_walk.xml"))
    yield Case("gait, Rajagopal: angles", big / "subject_walk_scaled.osim", big / "coordinates.sto", toes,
               opensim(big / "id_walk.sto"), "OpenSim, 6 Hz")  # fmt: skip
    yield Case("gait, Rajagopal: markers", big / "subject_walk_scaled.osim", big / "markers_walk.trc", toes[3:],
               opensim(big / "id_walk.sto"), "OpenSim, 6 Hz, of other angles")  # fmt: skip
    clips = args.data / "mocap_deepmimic"
    soles = [f"{side}_ankle.sole{k}" for side in ("left", "right") for k in range(4)]
    ground = ("--contacts", *soles, "--closes", "0.08", "1.5")
    for clip in ("walk", "run"):
        yield Case(f"DeepMimic {clip}, contacts found", clips / "humanoid3d.txt", clips / f"humanoid3d_{clip}.txt",
                   ground, quick=clip == "walk")  # fmt: skip
    for task in ("lift", "stack"):
        lift = args.data / f"robosuite_human/v1.0_{task}_panda"
        yield Case(f"robosuite Panda {task}", lift / "models/model_1.xml", lift, ("--no-geometry",),
                   robosuite(lift), "robosuite's controller")  # fmt: skip
    for name, file, model in (("Panda", "panda_gaz2019/panda_excitation_first80.npz", "panda.urdf"),
                              ("UR10", "ur10_unisa/ur10_exciting.npz", "ur10_robot.urdf")):  # fmt: skip
        found = sorted(args.robots.rglob(model))
        if not found:
            note(f"{name}: no {model} under {args.robots}; left out")
            continue
        runs = np.load(args.data / file)
        joints = PANDA if name == "Panda" else tuple(str(n) for n in runs["names"])
        columns = [f"{joint}=q[{k}]" for k, joint in enumerate(joints)]
        named = ("--columns", *columns, "--hold", "panda_finger_joint1=0") if name == "Panda" else ("--signal", "q")
        options = ("--read", "time=t", "--units", "rad", *named)
        yield Case(name, found[0], args.data / file, options, (joints, runs["t"], runs["tau"]), "measured torque")
    rod = np.load(args.data / "simple_pendulum_dfki/runs.npz")["ddp"]
    bob = POINT.format(com=0.5 * (0.546 + 0.13 / 2) / 0.676, mass=0.676, i=0.003, more="")
    yield pendulum(folder, "single pendulum", bob, rod[:, 0], rod[:, 1:2], rod[:, 3:4], "0.35", True)
    runs = np.load(args.data / "double_pendulum_dfki/runs.npz")
    both = runs[next(k for k in runs if "061157" in k)]
    # identified_design_A.0_model_2.0.yml: inertias about the joints
    second = SECOND.format(com=0.18377686, mass=0.60434595, i=0.02392375 - 0.60434595 * 0.18377686**2, at=0.3)
    first = POINT.format(com=0.3, mass=0.55938062, i=0.05347081 - 0.55938062 * 0.3**2, more=second)
    yield pendulum(folder, "double pendulum", first, both[:, 0], both[:, 1:3], both[:, 5:7], "0.001", False)


PANDA = tuple(f"panda_joint{k}" for k in range(1, 8))


def pendulum(
    folder: Path, name: str, text: str, clock: np.ndarray, q: np.ndarray, tau: np.ndarray, damping: str, quick: bool
) -> Case:
    """A model file and a table, as a user would write them; friction as the authors give it."""
    dry = {"0.35": "0", "0.001": "0.093"}[damping]
    text = text.replace("</joint>", f'<dynamics damping="{damping}" friction="{dry}"/></joint>')
    model, motion = folder / f"{name.split()[0]}.urdf", folder / f"{name.split()[0]}.csv"
    model.write_text(text)
    joints = tuple(f"q{k + 1}" for k in range(q.shape[1]))
    rows = [",".join(["time", *(f"{j} [rad]" for j in joints)])]
    keep = np.concatenate([[True], np.diff(clock) > 0])
    rows += [",".join(repr(float(x)) for x in row) for row in np.column_stack([clock, q])[keep]]
    motion.write_text("\n".join(rows) + "\n")
    return Case(name, model, motion, (), (joints, clock[keep], tau[keep]), "measured torque", quick)


def opensim(path: Path) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    found = read_table(path)
    return tuple(n.rpartition("_")[0] for n in found.names), found.time, found.values


def robosuite(folder: Path) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    episode = open_dataset(folder)[0]
    names = tuple(episode.schema["joint_torque"].names or ())
    return names, episode.timestamp, np.asarray(episode["joint_torque"].values, float)


def main(args: Args) -> dict[str, Any]:
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "result.json"
    rows = {r["recording"]: r for r in json.loads(file.read_text())["rows"]} if file.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(args, Path(folder)):
            wanted = args.only in case.name if args.only else case.name not in rows
            if not wanted or (args.quick and not case.quick):
                continue
            note(case.name)
            out = Path(folder) / "torques.csv"
            told, used = run(case, out)
            rows[case.name] = {"recording": case.name, **figures(case, told, out), **used}
            result = {"rows": list(rows.values()), "not run": NOT_RUN, "commit": commit(), "host": host("cpu")}
            with appearing(file, overwrite=True) as staged:
                staged.write_text(json.dumps(result | {"versions": versions()}, indent=1) + "\n")
    table([{k: v for k, v in r.items() if not isinstance(v, dict)} for r in rows.values()])
    draw(rows).savefig(args.out / "torques.png", dpi=120)
    return {"rows": list(rows.values())}


def run(case: Case, out: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """What the command tells of its first recording, and what it took: s, MB."""
    words = [sys.executable, "-m", "invdyn", "torques", case.model, case.motion, "--out", out, "--json", *case.options]
    words.append("--overwrite")
    began = time.perf_counter()
    with out.with_suffix(".json").open("w+") as told, out.with_suffix(".log").open("w+") as said:
        child = subprocess.Popen([str(w) for w in words], stdout=told, stderr=said)
        _, status, used = os.wait4(child.pid, 0)  # the memory of this child alone
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        told.seek(0)
        said.seek(0)
        if child.returncode:
            raise SystemExit(f"{case.name}: {said.read()}")
        found = json.load(told)
    took = {"wall [s]": seconds, "CPU [s]": used.ru_utime + used.ru_stime, "memory [MB]": used.ru_maxrss / 1024}
    return found["recordings"][0], {k: round(v, 1) for k, v in took.items()}


def figures(case: Case, told: dict[str, Any], out: Path) -> dict[str, Any]:
    """Summary of one command, and what others say of the same motion."""
    parts = told["coordinates"]
    turns = [r for r in parts if r["unit"] == "N m"]
    row: dict[str, Any] = {
        "frames": told["frames"],
        "seconds": told["seconds"],
        "coordinates": len(parts),
        "largest RMS [N m]": max(r["rms"] for r in turns),
        "largest peak [N m]": max(r["peak"] for r in turns),
        "median std [N m]": float(np.median([r["std"] for r in turns])) if turns[0]["std"] is not None else None,
        "residual force, RMS [% BW]": None,
        "residual force, peak [% BW]": None,
        "FVU, median": None,
        "by": case.by,
    }
    if told["residual"]:
        force = told["residual"][:3]
        row["residual force, RMS [% BW]"] = max(r["rms_percent_bw"] for r in force)
        row["residual force, peak [% BW]"] = max(r["peak_percent_bw"] for r in force)
    if case.reference is not None:
        names, clock, truth = case.reference
        with out.open() as file:
            head, *lines = csv.reader(file)
        values = np.array(lines, float)
        own = {h.split(" [")[0].removeprefix("tau."): k for k, h in enumerate(head)}
        inside = (clock > max(clock[0], values[0, 0]) + ENDS) & (clock < min(clock[-1], values[-1, 0]) - ENDS)
        unexplained, off = {}, {}
        for k, name in enumerate(names):
            if name in own and truth[inside, k].std() > 0:
                here = np.interp(clock[inside], values[:, 0], values[:, own[name]])
                unexplained[name] = float(fvu(truth[inside, k : k + 1], here[:, None])[0])
                off[name] = float(np.sqrt(((here - truth[inside, k]) ** 2).mean()))
        row["FVU, median"] = float(np.median(list(unexplained.values())))
        row |= {"FVU": unexplained, "RMS difference": off}
    row["turns"] = {r["coordinate"]: r["unit"] for r in turns}
    row["RMS"] = {r["coordinate"]: r["rms"] for r in parts}
    row["peak"] = {r["coordinate"]: r["peak"] for r in parts}
    row["landing"] = {r["coordinate"]: r["landing"] for r in parts}
    row["cut-offs"] = {str(c["cutoff"]): c["rms"] for c in told["cutoffs"] or ()}
    return row


def draw(rows: dict[str, dict[str, Any]]) -> Figure:
    """RMS of the largest torques over the cut-off, one panel a recording."""
    shown = [(name, r) for name, r in rows.items() if r["cut-offs"]]
    wide = min(4, max(1, len(shown)))
    figure = Figure(figsize=(3.0 * wide, 2.5 * max(1, -(-len(shown) // wide))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(max(1, -(-len(shown) // wide)), wide, squeeze=False).ravel()
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    for axis, (name, row) in zip(axes, shown):
        for joint in sorted(row["turns"], key=lambda joint: -row["RMS"][joint])[:5]:
            line = [(float(c), rms[joint] / row["RMS"][joint]) for c, rms in row["cut-offs"].items()]
            axis.plot(*zip(*line), marker=".", label=joint)
        axis.axhline(1, color="#999999", linewidth=0.8, linestyle=":")
        axis.set_title(name, fontsize=8)
        axis.legend(frameon=False, fontsize=6)
        axis.tick_params(labelsize=7)
    figure.supxlabel("cut-off [Hz]", fontsize=8)
    figure.supylabel("RMS torque / reported", fontsize=8)
    return figure


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    script(main, Args)
