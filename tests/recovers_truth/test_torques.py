"""Torques of motion: closed forms, Monte Carlo of the intervals, loads, contacts, the replay, OpenSim's own filter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torques_case import ARM, HOPPER, arm_torque, swing, write_robot

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.files import load_model
from invdyn.bodies.manifold import position_rates
from invdyn.bodies.model import BodyModel
from invdyn.bodies.urdf import read_urdf
from invdyn.episodes.formats.opensim_tables import Table, read_table
from invdyn.errors import SignalError
from invdyn.forces.torques import Torques, TorqueSettings, recover_torques
from invdyn.forces.torques_columns import Columns, Positions, match_positions, table_columns
from invdyn.forces.torques_contacts import ContactPoint
from invdyn.forces.torques_evaluation import Evaluation, force_slopes, forces_std, passive_forces
from invdyn.forces.torques_loads import table_loads, xml_loads
from invdyn.forces.torques_root import Root, find_root
from invdyn.forces.torques_smoothing import SmoothMotion, smooth_positions

QUICK = TorqueSettings(sweep=())


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> BodyModel:
    return read_urdf(write_robot(tmp_path_factory.mktemp("arm"), ARM))


@pytest.fixture(scope="module")
def hopper(tmp_path_factory: pytest.TempPathFactory) -> BodyModel:
    return read_urdf(write_robot(tmp_path_factory.mktemp("hopper"), HOPPER), "free")


def recorded(time: np.ndarray, q: np.ndarray) -> Positions:
    return Positions(time, q, (True,) * q.shape[1], (), "test")


def standing(hopper: BodyModel, steps: int = 200, noise: float = 0.0, height: float = 0.6) -> Positions:
    """The hopper at rest with its trunk at a height, leg straight down."""
    q = np.tile(hopper.neutral, (steps, 1))
    q[:, 2] = height
    q[:, :3] += noise * np.random.default_rng(0).normal(size=(steps, 3))
    return recorded(np.arange(steps) / 100, q)


def test_the_torques_of_two_links_are_lagranges(arm: BodyModel) -> None:
    time, q, v, a = swing()
    truth = arm_torque(q, v, a)
    found = recover_torques(arm, recorded(time, q), QUICK)
    # Exact positions: what is left is the smoother's, largest at the ends where half of the neighbours are missing.
    assert np.abs(found.torque - truth)[20:-20].max() < 1e-3 * np.abs(truth).max()


def test_noisy_motion_intervals_hold_and_central_differences_are_far_worse(arm: BodyModel) -> None:
    time, q, v, a = swing(6.0)
    truth = arm_torque(q, v, a)
    inside, errors, naive = [], [], []
    for seed in range(5):
        noisy = q + 1e-3 * np.random.default_rng(seed).normal(size=q.shape)
        found = recover_torques(arm, recorded(time, noisy), replace(QUICK, level=0.9))
        assert found.motion.noise_std == pytest.approx([1e-3, 1e-3], rel=0.15)
        inside.append(((truth >= found.lower) & (truth <= found.upper)).mean())
        errors.append(((found.torque - truth) ** 2).mean())
        speed = np.gradient(noisy, time, axis=0)
        naive.append(((arm_torque(noisy, speed, np.gradient(speed, time, axis=0)) - truth) ** 2).mean())
    # Errors of neighbouring steps go together: five recordings tell coverage to about 0.05.
    assert 0.8 < np.mean(inside) < 0.99
    assert np.sqrt(np.mean(errors)) < np.sqrt(np.mean(naive)) / 10


def test_the_delta_method_agrees_with_monte_carlo(arm: BodyModel, hopper: BodyModel) -> None:
    time, q, _, _ = swing(1.5)
    noisy = q + 2e-3 * np.random.default_rng(1).normal(size=q.shape)
    motion = replace(smooth_positions(arm, recorded(time, noisy)), correlation=None)
    evaluation = Evaluation(arm, Dynamics(arm))
    told = forces_std(evaluation, motion)
    assert motion.covariance is not None
    rng, draws = np.random.default_rng(2), []
    roots = np.linalg.cholesky(motion.covariance + 1e-18 * np.eye(3))
    for _ in range(2000):
        moved = np.einsum("tkab,tkb->tka", roots, rng.normal(size=(*motion.v.shape, 3)))
        draws.append(evaluation.forces(motion.q + moved[..., 0], motion.v + moved[..., 1], motion.a + moved[..., 2]))
    # 2000 draws tell a standard deviation to 1.6 % (one sigma); the median over steps to far less.
    ratio = told / np.std(draws, axis=0)
    assert np.abs(np.median(ratio, axis=0) - 1).max() < 0.02
    assert np.abs(ratio - 1).max() < 0.1


def test_the_delta_method_counts_springs_dampers_and_friction(arm: BodyModel) -> None:
    """What they give is taken off the torque, and errs with the displacement and the velocity."""
    time, q, _, _ = swing(1.5)
    stiff = replace(
        arm, coordinates=tuple(replace(c, damping=4.0, stiffness=30.0, friction=0.01) for c in arm.coordinates)
    )
    noisy = q + 1e-4 * np.random.default_rng(1).normal(size=q.shape)
    motion = replace(smooth_positions(stiff, recorded(time, noisy)), correlation=None)
    evaluation = Evaluation(stiff, Dynamics(stiff))
    told = forces_std(evaluation, motion)
    assert motion.covariance is not None
    rng, draws = np.random.default_rng(2), []
    roots = np.linalg.cholesky(motion.covariance + 1e-20 * np.eye(3))
    for _ in range(2000):
        moved = np.einsum("tkab,tkb->tka", roots, rng.normal(size=(*motion.v.shape, 3)))
        drawn = replace(motion, q=motion.q + moved[..., 0], v=motion.v + moved[..., 1], a=motion.a + moved[..., 2])
        draws.append(evaluation.forces(drawn.q, drawn.v, drawn.a) - passive_forces(stiff, drawn))
    ratio = told / np.std(draws, axis=0)
    assert np.abs(np.median(ratio, axis=0) - 1).max() < 0.02
    assert np.abs(ratio - 1).max() < 0.1
    bare = forces_std(Evaluation(arm, Dynamics(arm)), motion)
    assert np.median(told[:, 1] / bare[:, 1]) > 1.3  # 1.5 at the elbow: it matters


def test_numbers_smoothed_a_few_at_a_time_are_the_same(arm: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    time, q, _, _ = swing(1.5)
    noisy = q + 1e-3 * np.random.default_rng(1).normal(size=q.shape)
    whole = smooth_positions(arm, recorded(time, noisy))
    monkeypatch.setattr("invdyn.forces.torques_smoothing.AT_A_TIME", 1)
    apart = smooth_positions(arm, recorded(time, noisy))
    np.testing.assert_allclose(apart.a, whole.a, rtol=1e-9, atol=1e-9)
    assert whole.covariance is not None
    assert apart.covariance is not None
    # Cross terms that pass through zero lose digits: variances tell.
    variances = np.einsum("tkaa->tka", whole.covariance)
    np.testing.assert_allclose(np.einsum("tkaa->tka", apart.covariance), variances, rtol=1e-6)


def test_noise_that_goes_together_is_propagated_together(arm: BodyModel) -> None:
    """Angles that err against each other, as inverse kinematics makes them: the hand stays where its marker is."""
    time, q, v, a = swing(4.0)
    truth, errors, told, apart, seen = arm_torque(q, v, a), [], [], [], []
    for seed in range(40):
        first, second = 1e-3 * np.random.default_rng(seed).normal(size=(2, len(time)))
        noise = np.stack([first, -0.98 * first + 0.2 * second], axis=1)
        motion = smooth_positions(arm, recorded(time, q + noise))
        evaluation = Evaluation(arm, Dynamics(arm))
        errors.append(evaluation.forces(motion.q, motion.v, motion.a) - truth)
        if seed < 4:
            assert motion.correlation is not None
            seen.append(motion.correlation[0, 1])
            told.append(forces_std(evaluation, motion))
            apart.append(forces_std(evaluation, replace(motion, correlation=None)))
    assert np.mean(seen) == pytest.approx(-0.98, abs=0.02)
    spread = np.sqrt(np.mean(np.square(errors), axis=0))[20:-20]
    ratio, wrong = (np.median(np.mean(x, axis=0)[20:-20] / spread, axis=0) for x in (told, apart))
    # Measured: 1.34 and 1.25; taken for independent 1.84 and 2.41. What smoothing keeps of the motion itself is
    # not as correlated as the noise, so that some excess stays.
    assert (ratio > 0.85).all()
    assert (ratio < 1.45).all()
    assert (wrong > 1.3 * ratio).all()


def test_slopes_of_a_free_body_are_those_of_the_dynamics(hopper: BodyModel) -> None:
    rng = np.random.default_rng(3)
    q = np.tile(hopper.neutral, (5, 1)) + 0.1 * rng.normal(size=(5, hopper.nq))
    q[:, 3:7] /= np.linalg.norm(q[:, 3:7], axis=1, keepdims=True)
    v, a = rng.normal(size=(2, 5, hopper.nv))
    nothing = np.full(hopper.nv, np.nan)
    motion = SmoothMotion(np.arange(5.0), q, v, a, None, nothing, nothing, "test", np.zeros(hopper.nv, int))
    dynamics = Dynamics(hopper)
    rows = [torch.from_numpy(np.ascontiguousarray(x.T)) for x in (q, v, a)]
    exact = dynamics.force_derivatives(*rows)
    for k, slope in enumerate(force_slopes(Evaluation(hopper, dynamics), motion, range(hopper.nv))):
        unit = torch.zeros(hopper.nv, 5, dtype=torch.float64)
        unit[k] = 1.0
        along = torch.einsum("ijb,jb->bi", exact.q, position_rates(hopper, rows[0], unit)).numpy()
        # central differences of 1e-5: truncation 1e-10, rounding 1e-11 of forces near 100
        np.testing.assert_allclose(slope[..., 0], along, atol=1e-5)
        np.testing.assert_allclose(slope[..., 1], exact.v[:, k].numpy().T, atol=1e-9)
        np.testing.assert_allclose(slope[..., 2], exact.a[:, k].numpy().T, atol=1e-9)


def test_other_cutoffs_keep_the_order_that_was_found(arm: BodyModel) -> None:
    time, q, _, _ = swing()
    positions = recorded(time, q + 1e-3 * np.random.default_rng(0).normal(size=q.shape))
    shares: list[float] = []
    found = smooth_positions(arm, positions, tell=shares.append)
    other = smooth_positions(arm, positions, cutoff=4.0, order=found.order)
    assert (found.order >= 3).all()
    assert (other.order == found.order).all()
    assert np.allclose(other.cutoff, 4.0)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_replay_lands_and_without_torques_it_does_not(arm: BodyModel) -> None:
    time, q, _, _ = swing()
    replay = recover_torques(arm, recorded(time, q), QUICK).replay
    assert replay.acceleration_error.max() < 1e-10
    assert replay.horizon == 0.1
    assert (replay.landing < 0.01 * replay.travelled).all()
    assert (replay.passive > 10 * replay.landing).all()


def test_a_wrong_torque_does_not_land(arm: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replay is a check: torques of half the gravity miss it by orders of magnitude."""
    time, q, _, _ = swing()
    right = recover_torques(arm, recorded(time, q), QUICK).replay
    honest = Dynamics.rnea

    def wrong(self: Dynamics, *args: object, **options: object) -> torch.Tensor:
        return 0.5 * honest(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Dynamics, "rnea", wrong)
    replay = recover_torques(arm, recorded(time, q), QUICK).replay
    assert replay.acceleration_error.max() > 0.1
    assert (replay.landing > 100 * right.landing).all()


def test_a_known_load_at_the_hand_enters_by_the_jacobian(arm: BodyModel) -> None:
    time, q, _, _ = swing()
    push = np.array([3.0, 0.0, -5.0])
    place = np.zeros((len(time), 3))
    dynamics = Dynamics(arm)
    rows = torch.from_numpy(np.ascontiguousarray(q.T))
    place = dynamics.frames(rows, ["hand"]).translation[0].numpy().T
    names = tuple(f"grip_{part}{axis}" for part in "vp" for axis in "xyz")
    table = Table(names, time, np.hstack([np.tile(push, (len(time), 1)), place]))
    loads = table_loads(table, "test", {"hand": "grip"})
    bare = recover_torques(arm, recorded(time, q), QUICK)
    pushed = recover_torques(arm, recorded(time, q), QUICK, (loads, table))
    jacobian = dynamics.jacobian(rows, "hand")[:3].numpy()
    expected = bare.torque - np.einsum("ikt,i->tk", jacobian, push)
    np.testing.assert_allclose(pushed.torque, expected, atol=1e-3)  # J at the smoothed pose
    assert (pushed.replay.landing < 0.01 * pushed.replay.travelled).all()
    assert pushed.loads is not None
    np.testing.assert_allclose(pushed.loads.total[:, :3], np.tile(push, (len(time), 1)), atol=1e-9)


def test_a_thrown_body_needs_nothing_at_its_root(hopper: BodyModel) -> None:
    time = np.arange(60) / 100
    q = np.tile(hopper.neutral, (60, 1))
    q[:, 0] = 1.5 * time
    q[:, 2] = 1 + 3 * time - 0.5 * 9.81 * time**2
    found = recover_torques(hopper, recorded(time, q), QUICK)
    weight = 10 * 9.81
    assert found.residual is not None
    assert np.abs(found.residual[10:-10]).max() < 0.01 * weight


def test_standing_its_root_needs_its_weight(hopper: BodyModel) -> None:
    found = recover_torques(hopper, standing(hopper, noise=1e-5), QUICK)
    assert found.residual_report is not None
    assert found.residual_report.rms_percent[2] == pytest.approx(100, abs=1)
    assert np.abs(found.residual_report.rms_percent[:2]).max() < 1


def test_contact_forces_carry_the_weight(hopper: BodyModel) -> None:
    # the shin ends 0.3 below the knee, the knee 0.3 below the trunk: four corners about z = 0
    corners = [(0.1, 0.1, -0.3), (0.1, -0.1, -0.3), (-0.1, 0.1, -0.3), (-0.1, -0.1, -0.3)]
    points = tuple(ContactPoint("shin", c) for c in corners)
    settings = replace(QUICK, contacts=points)
    found = recover_torques(hopper, standing(hopper, noise=1e-6), settings)
    assert found.contacts is not None
    assert found.contacts.closed.all()
    total = found.contacts.force.sum(1)
    np.testing.assert_allclose(total[20:-20], np.tile([0, 0, 10 * 9.81], (160, 1)), atol=0.5)
    np.testing.assert_allclose(found.contacts.pressure.point[20:-20], 0.0, atol=2e-3)
    assert found.residual_report is not None
    assert found.residual_report.rms_percent.max() < 0.1
    assert (found.std, found.loads) == (None, None)
    high = recover_torques(hopper, standing(hopper, noise=1e-6, height=0.9), settings)
    assert high.contacts is not None
    assert not high.contacts.closed.any()
    assert high.residual_report is not None
    assert high.residual_report.rms_percent[2] == pytest.approx(100, abs=1)


def test_the_cut_off_sweep_shows_noise_growing(arm: BodyModel) -> None:
    time, q, _, _ = swing()
    noisy = q + 1e-3 * np.random.default_rng(4).normal(size=q.shape)
    settings = TorqueSettings(smoother="butterworth", cutoff=6.0, sweep=(3.0, 6.0, 12.0, 24.0))
    found = recover_torques(arm, recorded(time, noisy), settings)
    assert found.sweep is not None
    assert found.sweep.cutoffs.tolist() == [3.0, 6.0, 12.0, 24.0]
    assert found.sweep.change[1] == pytest.approx([0, 0], abs=1e-9)
    assert (found.sweep.change[3] > found.sweep.change[2]).all()
    assert (found.sweep.change[3] > 3 * found.sweep.change[2]).any()


def test_a_span_is_the_same_steps_of_the_whole(arm: BodyModel) -> None:
    """All of it is smoothed, so nothing ends where the span does; loads need to cover the span only."""
    time, q, _, _ = swing()
    noisy = q + 1e-3 * np.random.default_rng(0).normal(size=q.shape)
    whole = recover_torques(arm, recorded(time, noisy), TorqueSettings(sweep=(4.0, 8.0)))
    part = recover_torques(arm, recorded(time, noisy), TorqueSettings(sweep=(4.0, 8.0), span=(1.0, 1.495)))
    assert np.array_equal(part.motion.time, time[100:150])
    np.testing.assert_allclose(part.torque, whole.torque[100:150], rtol=1e-12)
    assert part.std is not None
    assert whole.std is not None
    np.testing.assert_allclose(part.std, whole.std[100:150], rtol=1e-9)
    assert part.sweep is not None
    assert part.sweep.rms.shape == (2, 2)
    table = Table(tuple(f"f_v{a}" for a in "xyz"), time[90:160], np.tile([0.0, 0.0, 5.0], (70, 1)), False)
    loads = (table_loads(table, "grf.mot", {"hand": "f"}), table)
    told = r"loads from 0.9 to 1.59 s, motion from 0 to 2.99 s; .* Cut the motion \(span=0.9, 1.59\)"
    with pytest.raises(SignalError, match=told):
        recover_torques(arm, recorded(time, noisy), QUICK, loads)
    pushed = recover_torques(arm, recorded(time, noisy), replace(QUICK, span=(1.0, 1.495)), loads)
    assert pushed.loads is not None
    assert pushed.loads.wrench.shape == (50, 1, 6)
    late = replace(table, time=time[90:160] + 100)
    with pytest.raises(SignalError, match=r"expected loads at every step. Are the clocks the same\?"):
        recover_torques(arm, recorded(time, noisy), QUICK, (loads[0], late))


def test_held_and_missing_positions(arm: BodyModel) -> None:
    time, q, _, _ = swing()
    gaps = q[:, :1].copy()
    gaps[100:110] = np.nan
    columns = Columns(("shoulder",), time, np.degrees(gaps), ("deg",), ("deg",), "test")
    positions = match_positions(arm, columns, hold={"elbow": 0.4})
    assert positions.recorded == (True, False)
    found = recover_torques(arm, positions, QUICK)
    assert (found.motion.q[:, 1] == 0.4).all()
    assert found.std is not None
    assert np.abs(found.motion.q[100:110, 0] - q[100:110, 0]).max() < 1e-3  # bridged


def test_a_held_position_is_held_whatever_was_recorded_of_it(arm: BodyModel) -> None:
    time, q, _, _ = swing()
    columns = Columns(("shoulder", "elbow"), time, q, ("rad", "rad"), ("rad", "rad"), "test")
    positions = match_positions(arm, columns, hold={"elbow": 0.4})
    assert positions.recorded == (True, False)
    assert positions.unused == ("elbow",)
    assert (positions.q[:, 1] == 0.4).all()
    assert np.array_equal(positions.q[:, 0], q[:, 0])


def test_a_six_joint_arm_has_no_root_and_a_free_body_has(arm: BodyModel, hopper: BodyModel) -> None:
    assert find_root(arm) is None
    root = find_root(hopper)
    assert root is not None
    assert (root.body, root.rows) == (0, (0, 1, 2, 3, 4, 5))


BALL = """<mujoco><worldbody>
  <body name="ball"><freejoint name="ball"/><geom size="0.1" mass="50"/></body>
  <body name="{name}" pos="1 0 1">{joint}<geom size="0.1" mass="2"/>
    <body pos="0.3 0 0"><joint name="j1" axis="0 1 0"/><geom size="0.1" mass="1"/></body></body>
</worldbody></mujoco>"""


@pytest.mark.parametrize(
    ("joint", "rows"), [('<joint name="j0" axis="0 0 1"/>', None), ('<freejoint name="base"/>', range(6, 12))]
)
def test_a_loose_object_is_nobodys_root(joint: str, rows: range | None, tmp_path: Path) -> None:
    """A heavy ball, first in the file, beside an arm that is bolted down, and beside one that floats."""
    file = tmp_path / "ball.xml"
    file.write_text(BALL.format(name="trunk", joint=joint))
    root = find_root(load_model(file))
    assert root == (None if rows is None else Root(1, tuple(rows)))


GANTRY = """<mujoco><worldbody><body>
  <joint name="x" type="slide" axis="1 0 0"/><joint name="y" type="slide" axis="0 1 0"/>
  <joint name="z" type="slide" axis="0 0 1"/>{between}
  <joint name="a" axis="1 0 0"/><joint name="b" axis="0 1 0"/><joint name="c" axis="0 0 1"/>
  <geom size="0.1" mass="1"/>{end}</body></worldbody></mujoco>"""


def test_six_single_joints_are_a_root_where_nothing_lies_between_them(tmp_path: Path) -> None:
    file = tmp_path / "six.xml"
    file.write_text(GANTRY.format(between="", end=""))
    root = find_root(load_model(file))
    assert root is not None
    assert root.rows == (0, 1, 2, 3, 4, 5)
    file.write_text(GANTRY.format(between='<geom size="0.1" mass="4"/><body>', end="</body>"))
    assert find_root(load_model(file)) is None


def test_gait_as_opensims_tool_does_it(shared_data: Path) -> None:
    from invdyn.forces.opensim_problem import opensim_problem

    folder = shared_data / "opensim_inverse_dynamics" / "subject01_and_arm26"
    model, motion, loads = (folder / f"subject01{n}" for n in (".osim", "_walk1_ik.mot", "_walk1_grf.xml"))
    tree = load_model(model)
    positions = match_positions(tree, table_columns(read_table(motion), motion))
    found: Torques = recover_torques(tree, positions, replace(QUICK, smoother="opensim", cutoff=6.0), xml_loads(loads))
    expected = opensim_problem(model, motion, loads).forces()
    np.testing.assert_allclose(found.torque, expected, atol=1e-8)
    assert found.replay.acceleration_error.max() < 1e-9
    root = find_root(tree)
    assert root is not None
    assert [tree.coordinates[k].name for k in root.rows] == [
        *("pelvis_tilt", "pelvis_list", "pelvis_rotation", "pelvis_tx", "pelvis_ty", "pelvis_tz")
    ]
    # pelvis_tx, ty, tz push along the ground's axes: there the generalised forces are the wrench itself
    assert found.residual is not None
    np.testing.assert_allclose(found.residual[:, :3], found.torque[:, 3:6], atol=1e-6)
