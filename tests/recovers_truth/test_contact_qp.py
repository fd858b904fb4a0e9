"""Contact forces: the QP against quadprog, a humanoid that stands, contacts found, centres of pressure, residuals."""

from __future__ import annotations

from pathlib import Path
from sysconfig import get_path

import numpy as np
import pytest
import torch

from invdyn.bodies.contact_cone import ConeProblem
from invdyn.bodies.contact_interior import interior_point
from invdyn.bodies.contact_qp import contact_axes, solve_contact_qp
from invdyn.errors import ConfigError, SignalError
from invdyn.forces.contacts import (
    centre_of_pressure,
    contact_forces,
    detect_contacts,
    loaded_contacts,
    residual_report,
)

GRAVITY = 9.81


def skew(x: np.ndarray) -> np.ndarray:
    return np.cross(np.eye(3), x[..., None, :]).swapaxes(-1, -2)


def problems(frames: int, contacts: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A [T, 6, k, 3], b [T, 6], mu [k]: points and normals anywhere, loads that lift, press, tip and pull."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((frames, contacts, 3))
    normal[..., 2] = np.abs(normal[..., 2]) + 1
    axes = contact_axes(torch.from_numpy(normal)).numpy()
    lever = skew(rng.uniform(-1, 1, (frames, contacts, 3))) @ axes
    load = rng.standard_normal((frames, 6)) * [50, 50, 300, 40, 40, 20]
    load[: frames // 2, 2] = np.abs(load[: frames // 2, 2])
    return np.concatenate([axes, lever], axis=2).transpose(0, 2, 1, 3), load, rng.uniform(0.3, 1.0, contacts)


def reference(
    a: np.ndarray, b: np.ndarray, mu: np.ndarray, closed: np.ndarray, w: np.ndarray, eps: float, rho: float
) -> np.ndarray:
    """All frames as one dense QP, by quadprog."""
    quadprog = pytest.importorskip("quadprog")
    frames, _, contacts, _ = a.shape
    n = frames * contacts * 3
    wide = np.zeros((frames, 6, frames, contacts, 3))
    wide[range(frames), :, range(frames)] = a * closed[:, None, :, None]
    flat = wide.reshape(frames * 6, n)
    weights = np.tile(w, frames)
    hessian = flat.T @ (weights[:, None] * flat) + eps * np.eye(n)
    jump = np.zeros((frames, contacts, 3, frames, contacts, 3))
    for t in range(1, frames):
        for k in np.flatnonzero(closed[t] & closed[t - 1]):
            jump[t, k, range(3), t, k, range(3)] = 1
            jump[t, k, range(3), t - 1, k, range(3)] = -1
    jumps = jump.reshape(n, n)
    hessian += rho * jumps.T @ jumps
    faces = np.zeros((contacts, 4, 3))
    faces[:] = [[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0]]
    faces[:, :, 2] = mu[:, None] / np.sqrt(2)
    cone = np.zeros((frames, contacts, 4, frames, contacts, 3))
    for t in range(frames):
        for k in range(contacts):
            cone[t, k, :, t, k] = faces[k]
    cones = cone.reshape(-1, n)
    found = quadprog.solve_qp(hessian, flat.T @ (weights * b.reshape(-1)), cones.T, np.zeros(len(cones)))[0]
    return found.reshape(frames, contacts, 3)


@pytest.mark.parametrize(("contacts", "seed"), [(1, 0), (2, 1), (4, 2), (8, 3)])
def test_forces_are_those_of_an_exact_solver(contacts: int, seed: int) -> None:
    a, b, mu = problems(200, contacts, seed)
    rng = np.random.default_rng(seed)
    closed, w = rng.random((200, contacts)) < 0.85, rng.uniform(0.5, 2, 6)
    found = solve_contact_qp(
        torch.from_numpy(a),
        torch.from_numpy(b),
        torch.from_numpy(mu),
        contact=torch.from_numpy(closed),
        weight=torch.from_numpy(w),
    )
    force = found.force.numpy()
    exact = np.concatenate([reference(a[[t]], b[[t]], mu, closed[[t]], w, 1e-6, 0.0) for t in range(200)])
    assert np.abs(force - exact).max() <= 1e-5
    half = mu[:, None] / np.sqrt(2)
    assert (np.abs(force[..., :2]) <= half * force[..., 2:] + 1e-6).all()
    assert (force[~closed] == 0).all()
    assert np.allclose(found.residual.numpy(), b - np.einsum("tikc,tkc->ti", a, force), atol=1e-9)


@pytest.mark.parametrize(("rho", "seed"), [(1e-5, 0), (1e-3, 1), (0.1, 2), (1.0, 3)])
def test_coupled_frames_are_one_exact_problem(rho: float, seed: int) -> None:
    a, b, mu = problems(10, 4, seed)
    closed = np.random.default_rng(seed).random((10, 4)) < 0.8
    found = solve_contact_qp(
        torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(mu), contact=torch.from_numpy(closed), smoothness=rho
    )
    assert np.abs(found.force.numpy() - reference(a, b, mu, closed, np.ones(6), 1e-6, rho)).max() <= 1e-5


def test_smoothness_makes_forces_smooth() -> None:
    """A load that trembles, on four feet: the more it costs, the less forces change from frame to frame."""
    a, b, mu = problems(1, 4, 5)
    rng = np.random.default_rng(0)
    load = np.abs(b) * [0, 0, 1, 0, 0, 0] + 5 * rng.standard_normal((100, 6))
    changes = []
    for rho in (0.0, 1e-2, 1.0, 100.0):
        found = solve_contact_qp(
            torch.from_numpy(np.repeat(a, 100, 0)), torch.from_numpy(load), torch.from_numpy(mu), smoothness=rho
        )
        changes.append(float(found.force.diff(dim=0).square().mean()))
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] < changes[0] / 20


@pytest.mark.parametrize("rho", [0.0, 1e-2])
def test_the_interior_point_finds_the_faces_alone(rho: float) -> None:
    """What hard frames fall back on, asked of every frame: the same sliding contacts as at the exact optimum."""
    a, b, mu = problems(30, 3, 7)
    scale = np.abs(b).max(1, keepdims=True) if rho == 0 else np.abs(b).max()
    closed = torch.ones(30, 3, dtype=torch.bool)
    half = torch.from_numpy(mu / np.sqrt(2))
    problem = ConeProblem(torch.from_numpy(a), torch.from_numpy(b / scale), half, closed, 1e-6, rho)
    found = problem.on_faces(*interior_point(problem)).numpy() * np.reshape(scale, (-1, 1, 1))
    exact = solve_contact_qp(torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(mu), smoothness=rho)
    assert np.median(np.abs(found - exact.force.numpy()).max((1, 2))) <= 1e-5


def test_contact_axes_are_rotations_onto_the_normal() -> None:
    normal = torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    normal[0] = torch.tensor([0.0, 0.0, -2.0])
    axes = contact_axes(normal)
    assert torch.allclose(axes.mT @ axes, torch.eye(3, dtype=torch.float64).expand(500, 3, 3))
    assert torch.allclose(torch.linalg.det(axes), torch.ones(500, dtype=torch.float64))
    assert torch.allclose(axes[..., 2], normal / normal.norm(dim=-1, keepdim=True))


def test_a_standing_humanoid_is_carried_by_its_feet() -> None:
    """G1, 33.34 kg, knees bent, four corners a foot: 327.08 N, nothing left at the root."""
    pinocchio = pytest.importorskip("pinocchio")
    robots = Path(get_path("purelib")) / "cmeel.prefix/share/example-robot-data/robots"
    file = robots / "g1_description/urdf/g1_29dof_rev_1_0.urdf"
    if not file.is_file():
        pytest.skip("needs the package example-robot-data")
    model = pinocchio.buildModelFromUrdf(str(file), pinocchio.JointModelFreeFlyer())
    data = model.createData()
    q = pinocchio.neutral(model)
    for side in ("left", "right"):
        for joint, angle in (("hip_pitch", -0.2), ("knee", 0.4), ("ankle_pitch", -0.2)):
            q[model.joints[model.getJointId(f"{side}_{joint}_joint")].idx_q] = angle
    bare = pinocchio.rnea(model, data, q, np.zeros(model.nv), np.zeros(model.nv))
    pinocchio.computeJointJacobians(model, data, q)
    pinocchio.updateFramePlacements(model, data)
    jacobian = []
    for side in ("left", "right"):
        foot = model.getFrameId(f"{side}_ankle_roll_link")
        spatial = pinocchio.getFrameJacobian(model, data, foot, pinocchio.LOCAL_WORLD_ALIGNED)
        for x, y in ((-0.05, -0.03), (-0.05, 0.03), (0.12, -0.03), (0.12, 0.03)):
            lever = data.oMf[foot].rotation @ np.array([x, y, -0.035])
            jacobian.append(spatial[:3] - skew(lever) @ spatial[3:])
    found = contact_forces(bare[None], np.array(jacobian)[None], np.array([0.0, 0.0, 1.0]))
    mass = pinocchio.computeTotalMass(model)
    assert mass == pytest.approx(33.34, abs=0.005)
    assert found.force[0, :, 2].sum() == pytest.approx(mass * GRAVITY, abs=1e-3)
    assert (found.force[0, :, 2] > 1).all()
    assert np.abs(found.residual).max() <= 1e-3
    assert np.allclose(found.torque[0, :6], found.residual[0], atol=1e-9)
    matrix = np.array(jacobian)[None, :, :, :6].transpose(0, 3, 1, 2)
    exact = reference(matrix, bare[None, :6], np.full(8, 0.8), np.ones((1, 8), dtype=bool), np.ones(6), 1e-6, 0.0)
    assert np.abs(found.force - exact).max() <= 1e-5
    again = pinocchio.rnea(model, data, q, np.zeros(model.nv), np.zeros(model.nv)) - sum(
        jacobian[k].T @ found.force[0, k] for k in range(8)
    )
    assert np.allclose(found.torque[0], again, atol=1e-9)


def test_forces_of_a_bouncing_load_are_bounded_by_friction_and_the_rest_is_told() -> None:
    """A body pushed sideways harder than friction allows: the residual is what is missing."""
    eye = np.zeros((1, 4, 3, 6))
    corners = np.array([[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0.0]])
    eye[0, :, :, :3] = np.eye(3)
    eye[0, :, :, 3:] = -skew(corners)
    bare = np.array([[300.0, 0, 400, 0, 0, 0]])
    found = contact_forces(bare, eye, np.array([0.0, 0, 1]), 0.5, regularization=1e-9)
    # in the pyramid: x <= 0.5 / sqrt(2) z; the least squares trade both off along the face
    direction = np.array([0.5 / np.sqrt(2), 1.0])
    best = direction * (direction @ [300, 400]) / (direction @ direction)
    assert np.allclose(found.force.sum(1)[0], [best[0], 0, best[1]], atol=1e-5)
    assert np.allclose(found.residual[0, [0, 2]], [300 - best[0], 400 - best[1]], atol=1e-5)


def test_contacts_from_heights_and_speeds() -> None:
    """A foot that comes down, trembles between the thresholds, and leaves."""
    time = np.arange(100) / 100
    height = np.full((100, 1), 0.2)
    height[30:70] = 0.02
    height[40:60:2] = 0.04  # between closing and opening: no change
    height[80] = 0.01  # a single frame: too short
    speed = np.full((100, 1), 0.1)
    speed[30:33] = 2.0  # still moving when it arrives
    found = detect_contacts(time, height, speed)
    assert np.array_equal(np.flatnonzero(found[:, 0]), np.arange(33, 70))
    assert detect_contacts(time, height, speed, shortest=0.0)[80, 0]


def test_contacts_from_forces() -> None:
    time = np.arange(100) / 100
    force = np.zeros((100, 2))
    force[20:50, 0] = 500
    force[30, 0] = 15  # above the opening threshold
    force[35:37, 0] = 0  # a break too short
    force[:, 1] = 12  # never above the closing threshold
    found = loaded_contacts(time, force)
    assert np.array_equal(np.flatnonzero(found[:, 0]), np.arange(20, 50))
    assert not found[:, 1].any()


def test_centre_of_pressure_and_free_moment() -> None:
    """A known force at a known point with a known twist, on a tilted plane away from the origin."""
    rng = np.random.default_rng(0)
    normal, origin = np.array([0.2, -0.3, 0.9]), np.array([0.4, 0.1, -0.2])
    n = normal / np.linalg.norm(normal)
    tangents = np.linalg.svd(n[None])[2][1:]
    point = origin + rng.uniform(-0.3, 0.3, (50, 2)) @ tangents
    force = rng.uniform(100, 800, (50, 1)) * n + 30 * rng.standard_normal((50, 2)) @ tangents
    twist = rng.uniform(-20, 20, 50)
    wrench = np.concatenate([force, np.cross(point, force) + twist[:, None] * n], axis=1)
    found = centre_of_pressure(wrench, origin=origin, normal=normal)
    assert np.allclose(found.point, point)
    assert np.allclose(found.free_moment, twist)
    wrench[3, :3] = 0.0
    lost = centre_of_pressure(wrench, origin=origin, normal=normal)
    assert np.isnan(lost.point[3]).all()
    assert np.isnan(lost.free_moment[3])


def test_residuals_as_the_field_reports_them() -> None:
    wrench = np.zeros((4, 6))
    wrench[:, 0] = [3, -4, 0, 0]
    wrench[:, 5] = 10
    found = residual_report(wrench, weight=500.0, length=0.8)
    assert found.rms[0] == pytest.approx(2.5)
    assert found.peak[0] == 4
    assert found.rms_percent[0] == pytest.approx(0.5)
    assert found.peak_percent[5] == pytest.approx(100 * 10 / (500 * 0.8))
    assert "Fx        2.500      4.000      0.500      0.800" in str(found)


HERE, JACOBIAN, UP = np.zeros((4, 6)), np.ones((4, 2, 3, 6)), np.array([0.0, 0.0, 1.0])
CLOCK = np.arange(4) / 10


def test_what_cannot_be_answered_is_refused() -> None:
    nothing = np.full((4, 6), np.nan)
    with pytest.raises(SignalError, match=r"wrench of frame 0 is not finite. Leave out frames"):
        contact_forces(nothing, JACOBIAN, UP)
    with pytest.raises(ConfigError, match=r"friction=\[0.0, 0.0\].*expected positive numbers. A contact without"):
        contact_forces(HERE, JACOBIAN, UP, 0.0)
    with pytest.raises(ConfigError, match="smoothness=-1; expected zero or a positive"):
        contact_forces(HERE, JACOBIAN, UP, smoothness=-1.0)
    with pytest.raises(SignalError, match="a normal has length zero"):
        contact_forces(HERE, JACOBIAN, 0 * UP)
    with pytest.raises(SignalError, match=r"inverse dynamics \(4, 5\) beside a Jacobian"):
        contact_forces(HERE[:, :5], JACOBIAN, UP)
    with pytest.raises(ConfigError, match=r"opens=\(0.01, 1.0\) lies below closes"):
        detect_contacts(CLOCK, HERE, HERE, opens=(0.01, 1.0))
    with pytest.raises(SignalError, match=r"height\[0, 0\] is missing. Bridge gaps"):
        detect_contacts(CLOCK, nothing, HERE)
    with pytest.raises(SignalError, match=r"height \(4, 6\), speed \(3, 6\)"):
        detect_contacts(CLOCK, HERE, HERE[:3])
    with pytest.raises(ConfigError, match="opens=30 N lies above closes=20 N"):
        loaded_contacts(CLOCK, HERE, opens=30.0)
    with pytest.raises(SignalError, match="4 forces for 3 times"):
        loaded_contacts(CLOCK[:3], HERE)
    with pytest.raises(SignalError, match="the normal has length zero"):
        centre_of_pressure(HERE, normal=0 * UP)
    with pytest.raises(ConfigError, match="weight=0 N, length=1 m; expected positive"):
        residual_report(HERE, 0.0)
    with pytest.raises(SignalError, match="0 frames, some missing or none"):
        residual_report(HERE[:0], 500.0)
