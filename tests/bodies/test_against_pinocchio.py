"""Every algorithm on 24 robots, floating humanoids among them, against Pinocchio: 1e-10 relative in float64."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from pinocchio_oracle import ROBOTS, Pair, pair

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import Placement, Site

pin = pytest.importorskip("pinocchio")
pytest.importorskip("lxml")
TIGHT = 1e-10
N = 20


@cache
def known(name: str) -> Pair:
    return pair(name)


def near(got: torch.Tensor, want: list[np.ndarray], tolerance: float = TIGHT) -> None:
    """Batch last against a list of samples, relative to the largest number."""
    expected = np.stack([np.array(w) for w in want], -1)
    assert got.shape == expected.shape
    assert np.abs(got.numpy() - expected).max() <= tolerance * np.abs(expected).max()


def columns(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.T))


@pytest.mark.parametrize("name", ROBOTS)
def test_inverse_and_forward_dynamics(name: str) -> None:
    p = known(name)
    q, ours, v, a = p.states(N, seed=0)
    tau = [pin.rnea(p.theirs, p.data, q[i], v[i], a[i]).copy() for i in range(N)]
    near(p.dynamics.rnea(ours, columns(v), columns(a)), tau)
    back = [pin.aba(p.theirs, p.data, q[i], v[i], tau[i]).copy() for i in range(N)]
    found = p.dynamics.aba(ours, columns(v), columns(np.stack(tau)))
    # the mass matrix of light fingers on heavy arms is ill conditioned: both answers lie this near to the truth a
    truth = np.stack(back, -1) - a.T
    assert np.abs(found.numpy() - a.T).max() <= max(1e-9, 20 * np.abs(truth).max())


@pytest.mark.parametrize("name", ROBOTS)
def test_mass_matrix_is_theirs_and_positive(name: str) -> None:
    p = known(name)
    q, ours, _, _ = p.states(N, seed=1)
    want = []
    for i in range(N):
        m = pin.crba(p.theirs, p.data, q[i])
        want.append(np.triu(m) + np.triu(m, 1).T)
    found = p.dynamics.crba(ours)
    near(found, want)
    assert np.linalg.eigvalsh(found.numpy().transpose(2, 0, 1)).min() > 0


@pytest.mark.parametrize("name", ROBOTS)
def test_regressor(name: str) -> None:
    p = known(name)
    q, ours, v, a = p.states(N, seed=2)
    y = p.dynamics.regressor(ours, columns(v), columns(a))
    near(y, [pin.computeJointTorqueRegressor(p.theirs, p.data, q[i], v[i], a[i]).copy() for i in range(N)])
    tau = p.dynamics.rnea(ours, columns(v), columns(a))
    again = torch.einsum("vpb,p->vb", y, torch.from_numpy(p.ours.parameters))
    assert (again - tau).abs().max() <= 1e-12 * tau.abs().max()


@pytest.mark.parametrize("name", ROBOTS)
def test_frames_and_jacobians(name: str) -> None:
    p = known(name)
    q, ours, _, _ = p.states(N, seed=3)
    last = p.theirs.names[p.theirs.njoints - 1]
    body = next(b.name for b in reversed(p.ours.bodies) if b.joint.name == last)
    frames = p.dynamics.frames(ours, [body])
    rotations, positions, jacobians = [], [], []
    for i in range(N):
        pin.computeJointJacobians(p.theirs, p.data, q[i])
        where = p.data.oMi[p.theirs.njoints - 1]
        rotations.append(where.rotation.copy())
        positions.append(where.translation.copy())
        jacobians.append(
            pin.getJointJacobian(p.theirs, p.data, p.theirs.njoints - 1, pin.ReferenceFrame.LOCAL_WORLD_ALIGNED).copy()
        )
    near(frames.rotation[0], rotations)
    near(frames.translation[0], positions)
    near(p.dynamics.jacobian(ours, body), jacobians)


@pytest.mark.parametrize("name", ROBOTS)
def test_energy_and_momentum(name: str) -> None:
    p = known(name)
    q, ours, v, _ = p.states(N, seed=4)
    near(
        p.dynamics.kinetic_energy(ours, columns(v)),
        [pin.computeKineticEnergy(p.theirs, p.data, q[i], v[i]) for i in range(N)],
    )
    near(p.dynamics.potential_energy(ours), [pin.computePotentialEnergy(p.theirs, p.data, q[i]) for i in range(N)])
    near(p.dynamics.centre_of_mass(ours), [pin.centerOfMass(p.theirs, p.data, q[i]).copy() for i in range(N)])
    near(
        p.dynamics.centroidal_matrix(ours), [pin.computeCentroidalMap(p.theirs, p.data, q[i]).copy() for i in range(N)]
    )


@pytest.mark.parametrize("name", ["panda", "solo12", "g1"])
def test_derivatives_of_inverse_dynamics(name: str) -> None:
    p = known(name)
    q, ours, v, a = p.states(N, seed=5)
    found = p.dynamics.force_derivatives(ours, columns(v), columns(a))
    dq, dv, da = [], [], []
    for i in range(N):
        x = pin.computeRNEADerivatives(p.theirs, p.data, q[i], v[i], a[i])
        dq.append(x[0].copy())
        dv.append(x[1].copy())
        da.append(np.triu(x[2]) + np.triu(x[2], 1).T)
    near(found.v, dv)
    near(found.a, da)
    joints = slice(0, None) if ROBOTS[name][1] == "fixed" else slice(7, None)
    theirs = slice(0, None) if ROBOTS[name][1] == "fixed" else slice(6, None)
    near(found.q[:, joints], [x[:, theirs] for x in dq])  # a quaternion's columns have no counterpart there


@pytest.mark.parametrize("name", ["ur5", "solo12"])
def test_compiled_is_eager(name: str) -> None:
    p = known(name)
    _, ours, v, a = p.states(N, seed=8)
    eager, native = p.dynamics, Dynamics(p.ours, "compiled")
    state = (ours, columns(v), columns(a))
    for got, want in (
        (native.rnea(*state), eager.rnea(*state)),
        (native.aba(*state), eager.aba(*state)),
        (native.regressor(*state), eager.regressor(*state)),
        (native.force_derivatives(*state).q, eager.force_derivatives(*state).q),
    ):
        assert (got - want).abs().max() <= 1e-12 * want.abs().max()


@pytest.mark.parametrize("name", ["ur5", "g1"])
def test_native_code_in_both_precisions(name: str) -> None:
    p = known(name)
    q, ours, v, a = p.states(N, seed=6)
    native = Dynamics(p.ours, "compiled")
    exact = native.rnea(ours, columns(v), columns(a))
    near(exact, [pin.rnea(p.theirs, p.data, q[i], v[i], a[i]).copy() for i in range(N)])
    single = native.rnea(ours.float(), columns(v).float(), columns(a).float())
    assert single.dtype == torch.float32
    assert (single - exact).abs().max() <= 1e-5 * exact.abs().max()


def test_external_wrenches() -> None:
    p = known("solo12")
    q, ours, v, a = p.states(N, seed=7)
    rng = np.random.default_rng(0)
    force = rng.normal(size=(N, len(p.ours.bodies), 6))
    want = []
    for i in range(N):
        wrenches = pin.StdVec_Force()
        wrenches.append(pin.Force.Zero())
        for w in force[i]:
            wrenches.append(pin.Force(w))
        want.append(pin.rnea(p.theirs, p.data, q[i], v[i], a[i], wrenches).copy())
    given = torch.from_numpy(np.ascontiguousarray(force.reshape(N, -1).T))
    tau = p.dynamics.rnea(ours, columns(v), columns(a), wrenches=given)
    near(tau, want)
    assert (p.dynamics.aba(ours, columns(v), tau, wrenches=given) - columns(a)).abs().max() < 1e-8


def test_frames_of_the_world_stand_still() -> None:
    p = known("solo12")
    _, ours, _, _ = p.states(3, seed=9)
    last = len(p.ours.bodies) - 1
    sites = (Site("mat", -1, Placement.of(translation=(5.0, 0.0, 1.0))), Site("tip", last))
    frames = Dynamics(replace(p.ours, sites=sites), "eager")
    assert frames.frames(ours, ["mat", "tip"]).translation[0, :, 0].tolist() == [5.0, 0.0, 1.0]
    assert torch.equal(frames.frames(ours, ["mat", "tip"]).translation[1], frames.frames(ours, ["tip"]).translation[0])
    assert frames.jacobian(ours, "mat").abs().max() == 0
