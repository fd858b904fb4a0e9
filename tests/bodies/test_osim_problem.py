"""OpenSim's inverse dynamics problems: its filter has the gain its formula says, loads, springs and couplings enter as
mechanics has it, what cannot be solved is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from osim_text import BODY, coordinate, joint_4, model_4, write

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import BodyModel
from invdyn.episodes.formats.opensim_tables import Table, write_table
from invdyn.episodes.smooth_opensim import opensim_lowpass, opensim_motion
from invdyn.errors import InvdynError, SignalError
from invdyn.forces.opensim_problem import opensim_problem

TIME = np.arange(400) / 100
PIN = joint_4("PinJoint", f"<coordinates>{coordinate('knee', '<default_value>0.3</default_value>')}</coordinates>")
SPRING = (
    '<ForceSet><objects><SpringGeneralizedForce name="s"><coordinate>knee</coordinate><stiffness>4</stiffness>'
    "<rest_length>0.2</rest_length><viscosity>0.5</viscosity></SpringGeneralizedForce></objects></ForceSet>"
)
SLIDE = joint_4(
    "SliderJoint", f"<coordinates>{coordinate('cap')}</coordinates>", "/bodyset/link", "/bodyset/top", "slide"
)
TWO = joint_4("PinJoint", f"<coordinates>{coordinate('knee')}</coordinates>") + SLIDE
COUPLED = """<ConstraintSet><objects><CoordinateCouplerConstraint name="c"><isEnforced>true</isEnforced>
<coupled_coordinates_function><PolynomialFunction><coefficients>0.5 0.2 0.1</coefficients></PolynomialFunction>
</coupled_coordinates_function><independent_coordinate_names>knee</independent_coordinate_names>
<dependent_coordinate_name>cap</dependent_coordinate_name></CoordinateCouplerConstraint></objects></ConstraintSet>"""
BODIES = f'<Body name="link">{BODY}</Body><Body name="top">{BODY}</Body>'


def swing(f: float, time: np.ndarray = TIME) -> np.ndarray:
    return np.sin(2 * np.pi * f * time)[:, None]


@pytest.mark.parametrize("f", [1, 3, 6, 9, 20])
def test_gain_of_two_passes(f: float) -> None:
    """1 / (1 + (w / wc)^6) with both frequencies warped by the bilinear transform: a half at the nominal cut-off."""
    time, found = opensim_lowpass(TIME, swing(f), 6.0)
    np.testing.assert_array_equal(time, TIME)
    gain = 1 / (1 + (np.tan(np.pi * f / 100) / np.tan(np.pi * 6 / 100)) ** 6)
    np.testing.assert_allclose(found[100:-100], gain * swing(f)[100:-100], atol=1e-6)


def test_uneven_steps_are_sampled_at_the_smallest() -> None:
    time = np.concatenate([TIME[:200:2], TIME[200:]])
    even, found = opensim_lowpass(time, swing(1, time), 6.0)
    np.testing.assert_allclose(even, TIME[: len(even)], atol=1e-12)
    expected = opensim_lowpass(TIME, swing(1), 6.0)[1]
    np.testing.assert_allclose(found[100:-100], expected[100 : len(even) - 100], atol=1e-5)


def test_cut_off_above_half_the_rate(caplog: pytest.LogCaptureFixture) -> None:
    found = opensim_lowpass(TIME, swing(3), 60.0)[1]
    np.testing.assert_allclose(found, opensim_lowpass(TIME, swing(3), 49.0)[1], atol=1e-12)
    assert "a cut-off of 60 Hz is not below half of 100 Hz; 0.49 of it is taken, as OpenSim does" in caplog.text


@pytest.mark.parametrize("cutoff", [None, 6.0])
def test_rates_of_a_motion(cutoff: float | None) -> None:
    w = 2 * np.pi
    at = TIME[100:-100:7] + 0.003
    found = opensim_motion(TIME, swing(1), at, cutoff)
    gain = 1.0 if cutoff is None else 1 / (1 + (np.tan(np.pi / 100) / np.tan(np.pi * 0.06)) ** 6)
    for got, expected in (
        (found.q[:, 0], np.sin(w * at)),
        (found.v[:, 0], w * np.cos(w * at)),
        (found.a[:, 0], -w * w * np.sin(w * at)),
    ):
        np.testing.assert_allclose(got, gain * expected, atol=2e-4)
    np.testing.assert_array_equal(found.time, at)


@pytest.mark.parametrize(
    ("time", "values", "cutoff", "message"),
    [
        (TIME[:5], swing(1)[:5], 6.0, "5 steps of motion; expected 6 or more. Record longer"),
        (TIME, np.full((400, 1), np.nan), 6.0, "missing values; expected a number at every step. Fill the gaps"),
        (TIME[::-1], swing(1), 6.0, "time does not increase at every step; expected it to. Sort"),
        (TIME, swing(1), 0.0, "cutoff is 0.0 Hz; expected a positive number. Pass None"),
    ],
)
def test_messages_of_the_filter(time: np.ndarray, values: np.ndarray, cutoff: float, message: str) -> None:
    with pytest.raises(SignalError, match=message):
        opensim_motion(np.ascontiguousarray(time), values, cutoff=cutoff)


def coordinates(folder: Path, degrees: bool = False, **columns: np.ndarray) -> Path:
    values = np.stack(list(columns.values()), 1)
    write_table(Table(tuple(columns), TIME, values, in_degrees=degrees), folder / "motion.sto")
    return folder / "motion.sto"


def pushed(
    folder: Path, time: np.ndarray = TIME, body: str = "link", force: str = "ground", point: str = "ground"
) -> Path:
    """An external load that changes with time; force (N), point (m), torque (N m)."""
    rows = np.stack([np.sin(time + k) for k in range(9)], 1)
    names = [f"f_{what}{axis}" for what in "vpm" for axis in "xyz"]
    write_table(Table(tuple(names), time, rows, in_degrees=False), folder / "forces.sto")
    (folder / "loads.xml").write_text(
        f"""<OpenSimDocument Version="40000"><ExternalLoads name="l"><objects><ExternalForce name="push">
<applied_to_body>{body}</applied_to_body><force_expressed_in_body>{force}</force_expressed_in_body>
<point_expressed_in_body>{point}</point_expressed_in_body><force_identifier>f_v</force_identifier>
<point_identifier>f_p</point_identifier><torque_identifier>f_m</torque_identifier></ExternalForce></objects>
<datafile>forces.sto</datafile></ExternalLoads></OpenSimDocument>"""
    )
    return folder / "loads.xml"


def pose(model: BodyModel, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [time, 3, 3] and origin [time, 3] of the link."""
    frames = Dynamics(model, "eager").frames(torch.from_numpy(np.ascontiguousarray(q.T)), ["link"])
    return np.moveaxis(frames.rotation[0].numpy(), -1, 0), frames.translation[0].numpy().T


@pytest.mark.parametrize("force", ["ground", "link"])
@pytest.mark.parametrize("point", ["ground", "link"])
def test_loads_do_the_work_of_their_point(force: str, point: str, tmp_path: Path) -> None:
    """(tau without - tau with) qd = f . (velocity of the pushed point of the body) + torque . (angular velocity)."""
    model, motion = write(tmp_path, model_4(PIN)), coordinates(tmp_path, knee=0.4 * np.sin(2 * TIME))
    free = opensim_problem(model, motion)
    loaded = opensim_problem(model, motion, pushed(tmp_path, force=force, point=point))
    power = ((free.forces("eager") - loaded.forces("eager")) * free.motion.v)[:, 0]
    f, p, m = (np.stack([np.sin(TIME + k + n) for k in range(3)], 1) for n in (0, 3, 6))
    rotation, origin = pose(free.model.bodies, free.motion.q)
    h = 1e-6
    ahead, behind = (pose(free.model.bodies, free.motion.q + s * h * free.motion.v) for s in (1, -1))
    rate, drift = (ahead[0] - behind[0]) / (2 * h), (ahead[1] - behind[1]) / (2 * h)
    arm = p if point == "link" else np.einsum("tji,tj->ti", rotation, p - origin)
    if force == "link":
        f, m = (np.einsum("tij,tj->ti", rotation, x) for x in (f, m))
    spin = np.einsum("tij,tkj->tik", rate, rotation)
    omega = np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], 1)
    velocity = drift + np.einsum("tij,tj->ti", rate, arm)
    np.testing.assert_allclose(power, (f * velocity).sum(1) + (m * omega).sum(1), atol=1e-8)


def test_springs_take_their_share(tmp_path: Path) -> None:
    """stiffness (q - rest) + damping qd more than without the spring."""
    motion = coordinates(tmp_path, knee=0.4 * np.sin(2 * TIME))
    (tmp_path / "free").mkdir()
    free = opensim_problem(write(tmp_path / "free", model_4(PIN)), motion)
    held = opensim_problem(write(tmp_path, model_4(PIN, rest=SPRING)), motion)
    share = 4 * (held.motion.q - 0.2) + 0.5 * held.motion.v
    np.testing.assert_allclose(held.forces("eager") - free.forces("eager"), share, atol=1e-12)


def test_coupled_coordinates_follow(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """q2 = 0.5 q^2 + 0.2 q + 0.1 and its rates by the chain rule; or the table's own column."""
    model = write(tmp_path, model_4(TWO, BODIES, COUPLED))
    motion = coordinates(tmp_path, knee=0.4 * np.sin(2 * TIME), cap=0.3 * np.cos(TIME))
    problem = opensim_problem(model, motion)
    q, v, a = problem.motion.q[:, 0], problem.motion.v[:, 0], problem.motion.a[:, 0]
    np.testing.assert_allclose(problem.motion.q[:, 1], 0.5 * q**2 + 0.2 * q + 0.1, atol=1e-12)
    np.testing.assert_allclose(problem.motion.v[:, 1], (q + 0.2) * v, atol=1e-12)
    np.testing.assert_allclose(problem.motion.a[:, 1], (q + 0.2) * a + v**2, atol=1e-12)
    assert "cap is up to" in caplog.text
    assert "off its coupling, which is taken instead" in caplog.text
    told = opensim_problem(model, motion, couplings="table").motion.q[100:-100, 1]
    np.testing.assert_allclose(told, 0.3 * np.cos(TIME)[100:-100], atol=1e-4)
    assert problem.table("eager").names == ("knee_moment", "cap_force")


def test_units_defaults_and_other_columns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Degrees turn rotations only; a coordinate without a column keeps its default, which is reported."""
    model = write(tmp_path, model_4(TWO, BODIES))
    slow = 0.2 * np.sin(TIME)
    found = opensim_problem(model, coordinates(tmp_path, True, knee=np.rad2deg(slow), cap=slow, other=slow)).motion
    np.testing.assert_allclose(found.q[:, 0], found.q[:, 1], atol=1e-12)
    assert "no column" not in caplog.text
    with caplog.at_level(logging.WARNING):
        found = opensim_problem(write(tmp_path, model_4(PIN + SLIDE, BODIES)), coordinates(tmp_path, cap=slow)).motion
    assert "no column for knee; they keep the model's default" in caplog.text
    np.testing.assert_array_equal(found.q[:, 0], 0.3)
    np.testing.assert_array_equal(found.v[:, 0], 0.0)


def test_messages(tmp_path: Path) -> None:
    model = write(tmp_path, model_4(PIN))
    motion = coordinates(tmp_path, ankle=np.sin(TIME))
    with pytest.raises(
        SignalError, match="none of its 1 columns is a coordinate of model 'test'; expected columns such"
    ):
        opensim_problem(model, motion)
    motion = coordinates(tmp_path, knee=np.sin(TIME))
    with pytest.raises(
        SignalError, match=r"loads from 0 to 1\.99 s, motion from 0 to 3\.99 s; expected loads at every"
    ):
        opensim_problem(model, motion, pushed(tmp_path, TIME[:200]))
    with pytest.raises(InvdynError, match="foot"):
        opensim_problem(model, motion, pushed(tmp_path, body="foot"))
