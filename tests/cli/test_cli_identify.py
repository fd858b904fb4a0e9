"""`invdyn identify`: recordings in, parameters with intervals and models out; `identify design`: a motion for it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Run
from identify_case import COULOMB, NOISE, VISCOUS, recorded, write_run
from torques_case import ARM, arm_torque, swing, write_csv, write_robot

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.files import load_model
from invdyn.forces.identification.body_regressor import body_regressor
from invdyn.forces.identification.friction import Friction

QUICK = ("--width", "0", "--cutoff", "15")
"""No choice of the friction's width and of the cut-off: a fifth of the time."""


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    return write_robot(tmp_path, ARM)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run.csv")


def torque(model: Path, q: np.ndarray, v: np.ndarray, a: np.ndarray) -> np.ndarray:
    """[T, 2] of the bodies and rotors of a model file, by RNEA."""
    motion = (torch.from_numpy(np.ascontiguousarray(x.T)) for x in (q, v, a))
    return Dynamics(load_model(model)).rnea(*motion).numpy().T


def check_bodies(model: Path) -> None:
    """The model's torques on another motion of the arm are the true ones to 1 %."""
    _, q, v, a = swing(2.0)
    other = (1.1 * q[::-1] + 0.2, -1.2 * v, 1.3 * a[::-1])
    assert np.abs(torque(model, *other) - arm_torque(*other)).max() < 0.01 * np.abs(arm_torque(*other)).max()


def test_a_recording_to_all_outputs(invdyn: Run, arm: Path, run: Path, tmp_path: Path) -> None:
    outs, report = [tmp_path / "found.xml", tmp_path / "found.json"], tmp_path / "found.html"
    told = invdyn("identify", arm, run, "--out", *outs, "--report", report, "--json").value
    assert (told["joints"], told["units"]) == (["shoulder", "elbow"], ["N m", "N m"])
    assert told["samples"] == {"fitted": 750, "held out": 180}  # 80 %, and 25 or 5 % less at either end of each part
    for e, true in zip(told["errors"], (NOISE, NOISE)):
        assert e["identified: held out, RMS"] == pytest.approx(true, rel=0.3)
        assert e["identified: held out, nMSE"] < 1e-3 < e["given: held out, nMSE"]  # the given model has no friction
        assert e["given, friction fitted: held out, RMS"] == pytest.approx(true, rel=0.3)
    assert told["friction"]["terms"] == ["viscous", "coulomb", "rotor", "offset"]
    assert len(told["friction"]["tried"]) == 5
    assert told["parameters"]["viscous[elbow]"] == pytest.approx(VISCOUS[1], abs=0.02)
    assert told["parameters"]["coulomb[elbow]"] == pytest.approx(COULOMB[1], abs=0.02)
    assert all(told["consistent"].values())
    assert told["replay"]["failed"] == {}
    landing, given, still = (
        told["replay"]["rmse"]["identified"],
        told["replay"]["rmse"]["given"],
        told["replay"]["still"],
    )
    assert max(landing) < 0.05 * min(given)
    assert max(landing) < 0.05 * min(still)
    check_bodies(outs[0])
    found = load_model(outs[0])
    assert [c.damping for c in found.coordinates] == pytest.approx(VISCOUS, abs=0.03)
    assert [c.friction for c in found.coordinates] == pytest.approx(COULOMB, abs=0.03)
    written = json.loads(outs[1].read_text())
    assert written["parameters"] == told["parameters"]
    assert written["settings"]["method"] == "feasible"
    base = told["base_parameters"]
    assert np.array(told["covariance"]).shape == (len(base), len(base))
    assert [r["std"] for r in base] == pytest.approx(np.sqrt(np.diag(told["covariance"])))
    page = report.read_text()
    for heading in (
        "Parameters behind motion and torque",
        "Torque error",
        "Base parameters",
        "Replayed forward",
        "<svg",
    ):
        assert heading in page
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("found.html", "found.json", "found.xml", "robot.urdf", "run.csv")
    ]


def test_intervals_hold_the_truth(invdyn: Run, arm: Path, run: Path) -> None:
    """Base parameters of the true arm lie in the 99 % intervals of the scatter of blocks (one of 13 may not)."""
    told = invdyn("identify", arm, run, *QUICK, "--method", "wls", "--level", "0.99", "--json").value
    model = load_model(arm)
    truth = dict(zip(told["parameters"], model.parameters)) | {
        f"{n}[{j}]": v for n, vs in (("viscous", VISCOUS), ("coulomb", COULOMB)) for j, v in zip(told["joints"], vs)
    }
    inside = 0
    for row in told["base_parameters"]:
        value = sum(number(term, truth) for term in terms(row["parameter"]))
        inside += row["lower"] <= value <= row["upper"]
        assert row["value"] == pytest.approx(row["least_squares"])
    assert inside >= len(told["base_parameters"]) - 1


def terms(text: str) -> list[str]:
    """`a + 0.3 b - c` as `a`, `0.3 b`, `-c`."""
    return text.replace(" - ", " + -").split(" + ")


def number(term: str, truth: dict[str, float]) -> float:
    sign = -1.0 if term.startswith("-") else 1.0
    factor, _, name = term.removeprefix("-").rpartition(" ")
    return sign * float(factor or 1) * truth.get(name, 0.0)


@pytest.mark.parametrize("method", ["feasible", "log-cholesky"])
def test_a_urdf_without_rotors(invdyn: Run, arm: Path, run: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / "found.urdf"
    args = ("identify", arm, run, "--method", method, "--friction", "viscous", "coulomb", "--out", out)
    done = invdyn(*args, *QUICK)
    assert done.code == 0, done.err
    assert f"written: {out}" in done.out
    assert "no place for" not in done.err
    check_bodies(out)
    invdyn(*args).refused("found.urdf exists already. Choose another --out, or pass --overwrite to replace it.")


def test_ordinary_least_squares_needs_no_real_bodies(invdyn: Run, arm: Path, run: Path, tmp_path: Path) -> None:
    """From a model whose masses are nonsense, where the point that least squares chooses is no body's."""
    bad = tmp_path / "bad.urdf"
    bad.write_text(arm.read_text().replace('mass value="1.0"', 'mass value="0.01"'))
    (tmp_path / "found.json").write_text("old")
    args = ("--method", "ols", *QUICK, "--out", tmp_path / "found.json", "--overwrite")
    done = invdyn("identify", bad, run, *args)
    assert done.code == 0, done.err
    assert "No real body has the parameters of" in done.err
    assert "--method feasible finds bodies." in done.err
    assert json.loads((tmp_path / "found.json").read_text())["method"] == "ols"
    assert "torque error, held out" in done.out


def test_signals_of_an_npz_and_units_as_told(invdyn: Run, tmp_path: Path) -> None:
    """Components without names, in the model's order; a third joint that stands still is held."""
    three = ARM.replace('name="wrist" type="fixed"', 'name="wrist" type="revolute"')
    three = three.replace('<origin xyz="0 0 -0.4"/><axis xyz="0 1 0"/>', '<origin xyz="0 0 -0.4"/><axis xyz="0 1 0"/>'
                          '<limit lower="-1" upper="1" effort="1" velocity="1"/>')  # fmt: skip
    arm = write_robot(tmp_path, three)
    time, q, tau = recorded()
    np.savez(tmp_path / "run.npz", t=time, angles=np.degrees(q), motors=1e3 * tau)
    args = (
        "identify",
        arm,
        tmp_path / "run.npz",
        "--read",
        "time=t",
        "--signal",
        "angles",
        "--torque-signal",
        "motors",
    )
    told = invdyn(*args, "--units", "deg", "--torque-units", "mNm", "--hold", "wrist=0", *QUICK, "--json").value
    assert told["joints"] == ["shoulder", "elbow"]
    assert told["parameters"]["viscous[shoulder]"] == pytest.approx(VISCOUS[0], abs=0.03)
    assert max(e["identified: held out, RMS"] for e in told["errors"]) < 1.3 * NOISE


def test_a_given_body_that_cannot_exist_is_remarked(invdyn: Run, arm: Path, run: Path) -> None:
    """Its inertia about z is above the sum of the others: nothing can be held near it."""
    arm.write_text(arm.read_text().replace('izz="0.0025"', 'izz="0.25"'))
    done = invdyn("identify", arm, run, *QUICK)
    assert done.code == 0, done.err
    assert (
        "Nothing is held near the given model (--prior), for no solid body has the inertia it states of lower: what"
        in (done.err)
    )
    assert "--prior" not in invdyn("identify", arm, run, *QUICK, "--prior", "0").err


def test_what_torques_wrote_is_read(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    """Motion to torques to parameters: as a Dataset, and as an OpenSim table beside the motion."""
    time, q, _, _ = swing(6.0)
    motion = write_csv(tmp_path / "swing.csv", time, {"shoulder [rad]": q[:, 0], "elbow [rad]": q[:, 1]})
    made = ("--out", tmp_path / "set", tmp_path / "tau.sto", "--sweep", "3", "6", "--cutoff", "15")
    assert invdyn("torques", arm, motion, *made).code == 0
    for args in ((tmp_path / "set",), (motion, "--torque-file", tmp_path / "tau.sto")):
        told = invdyn("identify", arm, *args, "--friction", "none", "--cutoff", "15", "--json").value
        assert told["friction"]["terms"] == []
        assert max(e["given: held out, nMSE"] for e in told["errors"]) < 1e-6
        assert max(e["identified: held out, nMSE"] for e in told["errors"]) < 1e-6


def test_recordings_that_are_only_compared_with(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a.csv", slice(0, 600)), write_run(tmp_path / "b.csv", slice(600, 1000))
    told = invdyn("identify", arm, first, "--test", second, *QUICK, "--json").value
    assert told["samples"] == {"fitted": 550, "held out": 360}
    both = invdyn("identify", arm, first, second, "--held-out", "0", *QUICK, "--json").value
    assert both["samples"] == {"fitted": 910, "held out": 0}
    assert "identified: fitted, RMS" in both["errors"][0]


def test_torque_that_was_recorded_late(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    time, q, tau = recorded()
    late = np.stack([np.interp(time - 0.03, time, t) for t in tau.T], axis=1)
    file = write_csv(tmp_path / "late.csv", time, {"shoulder [rad]": q[:, 0], "elbow [rad]": q[:, 1],
                     "effort.shoulder [N·m]": late[:, 0], "effort.elbow [Nm]": late[:, 1]})  # fmt: skip
    error: dict[str, list[float]] = {}
    for lag in ("0", "0.03"):
        told = invdyn("identify", arm, file, "--lag", lag, *QUICK, "--json").value
        error[lag] = [e["identified: held out, RMS"] for e in told["errors"]]
    assert max(error["0.03"]) < 0.2 * min(error["0"])


def simulated(design: Path) -> dict[str, Any]:
    with design.open() as file:
        head, *rows = csv.reader(file)
    return dict(zip(head, np.array(rows, float).T))


def test_a_designed_motion_tells_the_parameters(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    out = tmp_path / "design.csv"
    args = ("identify", "design", arm, out, "--velocity", "elbow=3", "--acceleration", "8", "--range", "shoulder=-1:2")
    told = invdyn(*args, "--steps", "20", "--json").value
    assert told["condition"] < told["condition_at_start"]
    motion = simulated(out)
    assert list(motion) == [
        "time",
        *(f"{j}{p} [{u}]" for p, u in (("", "rad"), (".velocity", "rad/s"), (".acceleration", "rad/s^2"))
          for j in ("shoulder", "elbow")),
    ]  # fmt: skip
    assert np.abs(motion["elbow.velocity [rad/s]"]).max() <= 3
    assert -1 < motion["shoulder [rad]"].min() < motion["shoulder [rad]"].max() < 2
    q, v, a = (np.stack([motion[f"{j}{p}"] for j in ("shoulder", "elbow")], 1)
               for p in (" [rad]", ".velocity [rad/s]", ".acceleration [rad/s^2]"))  # fmt: skip
    assert np.abs(a).max() <= 8
    assert told["coordinates"][0]["torque of the model"] == pytest.approx(np.abs(arm_torque(q, v, a)[:, 0]).max())
    tau = arm_torque(q, v, a) + NOISE * np.random.default_rng(0).normal(size=q.shape)
    file = write_csv(tmp_path / "run.csv", motion["time"], {"shoulder [rad]": q[:, 0], "elbow [rad]": q[:, 1],
                     "tau.shoulder [N m]": tau[:, 0], "tau.elbow [N m]": tau[:, 1]})  # fmt: skip
    found = invdyn("identify", arm, file, *QUICK, "--held-out", "0", "--json").value
    assert max(e["identified: fitted, RMS"] for e in found["errors"]) < 1.3 * NOISE
    assert invdyn(*args, "--overwrite").out.startswith("condition ")
    effort = ("identify", "design", arm, tmp_path / "fast.csv", "--acceleration", "2000", "--period", "1")
    assert "effort limit is 100. Lower --acceleration or --velocity." in invdyn(*effort, "--steps", "2").err


def test_the_model_regressor_and_friction_make_the_torque(arm: Path) -> None:
    """The parameters that `found.json` names are those of Y pi + F phi."""
    model = load_model(arm)
    _, q, v, a = swing(1.0)
    assert np.allclose(body_regressor(model)(q, v, a) @ model.parameters, arm_torque(q, v, a), atol=1e-9)
    columns = Friction().columns(v, a)
    assert np.allclose(columns[..., 0], v)


def test_remedies_are_named_as_options(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.mot"
    rows = "\n".join(f"{t / 100}\t{t % 7}\t{t % 5}" for t in range(100))
    file.write_text(f"run\nversion=1\nnRows=100\nnColumns=3\nendheader\ntime\tshoulder\telbow\n{rows}\n")
    invdyn("identify", arm, file).refused("Pass --units deg or --units rad to settle it.")


MESHED = """<mujoco><asset><mesh name="shell" file="gone.stl"/></asset><worldbody>
  <body name="upper"><joint name="shoulder" axis="0 1 0"/><geom type="mesh" mesh="shell"/>
    <inertial pos="0 0 -0.25" mass="2" diaginertia="0.03 0.03 0.0075"/>
    <body name="lower" pos="0 0 -0.5"><joint name="elbow" axis="0 1 0"/><geom type="mesh" mesh="shell"/>
      <inertial pos="0 0 -0.2" mass="1" diaginertia="0.01 0.01 0.0025"/></body></body>
</worldbody></mujoco>"""


def test_a_model_whose_meshes_are_not_at_hand(invdyn: Run, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
    model, out = tmp_path / "arm.xml", tmp_path / "found.xml"
    model.write_text(MESHED)
    invdyn("identify", model, run, "--out", out).refused("pass --no-geometry to leave geometry out")
    told = invdyn("identify", model, run, "--no-geometry", "--out", out, *QUICK, "--json").value
    assert all(told["consistent"].values())
    check_bodies(out)
