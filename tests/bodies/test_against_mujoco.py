"""`Dynamics` of MJCF models against MuJoCo's own: its inverse, mass matrix, forward dynamics, energies, Jacobians."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.mjcf import IGNORABLE, model_of_mujoco
from invdyn.bodies.mjcf_compile import compile_mjcf
from invdyn.bodies.model import BodyModel
from invdyn.bodies.mujoco_convention import forces_from_mujoco, from_mujoco

mujoco = pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
pytest.importorskip("lxml", reason="needs the extra 'bodies'")

MODELS = {
    "humanoid": ("gymnasium", "envs/mujoco/assets/humanoid.xml"),
    "ant": ("gymnasium", "envs/mujoco/assets/ant.xml"),
    "walker": ("gymnasium", "envs/mujoco/assets/walker2d_v5.xml"),
    "adroit hand and door": ("gymnasium_robotics", "envs/assets/adroit_hand/adroit_door.xml"),
    "adroit hand and pen": ("gymnasium_robotics", "envs/assets/adroit_hand/adroit_pen.xml"),
    "shadow hand": ("gymnasium_robotics", "envs/assets/hand/reach.xml"),
    "shadow hand and egg": ("gymnasium_robotics", "envs/assets/hand/manipulate_egg.xml"),
    "fetch": ("gymnasium_robotics", "envs/assets/fetch/pick_and_place.xml"),
    "panda in a kitchen": ("gymnasium_robotics", "envs/assets/kitchen_franka/kitchen_assets/kitchen_env_model.xml"),
    "sawyer": ("metaworld", "assets/sawyer_xyz/sawyer_pick_place_v3.xml"),
    "panda and cube": ("robosuite_human", "v1.0_lift_panda/models/model_1.xml"),
    "panda and cubes": ("robosuite_human", "v1.0_stack_panda/models/model_1.xml"),
    "sawyer stacks": ("robosuite_human", "v0.3_SawyerStack/models/model_1.xml"),
    "baxter": ("robosuite_human", "v0.3_BaxterPegInHole/models/model_1.xml"),
}
STATES = 20


@dataclass
class Case:
    """A model in both, and random states: MuJoCo's rows, and ours [rows, state]."""

    mj: Any
    model: BodyModel
    dynamics: Dynamics
    qpos: np.ndarray
    qvel: np.ndarray
    qacc: np.ndarray
    q: torch.Tensor
    v: torch.Tensor
    a: torch.Tensor


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest) -> Case:
    package, file = MODELS[request.param]
    if package == "robosuite_human":
        path = request.getfixturevalue("shared_data") / package / file
    else:
        found = find_spec(package)  # not imported: only its files are read
        if found is None or found.origin is None:
            pytest.skip(f"needs the package {package} for its models")
        path = Path(found.origin).parent / file
    mj, document = compile_mjcf(path, geometry=package != "robosuite_human")
    for name in ("CONSTRAINT", "PASSIVE", "SPRING", "DAMPER"):  # not rigid-body dynamics; PASSIVE until 3.3
        mj.opt.disableflags |= int(getattr(mujoco.mjtDisableBit, f"mjDSBL_{name}", 0))
    mj.opt.density = mj.opt.viscosity = 0.0
    model = model_of_mujoco(mj, IGNORABLE, document)
    rng = np.random.default_rng(0)
    qpos = np.repeat(mj.qpos0[None], STATES, 0)
    for row in qpos:
        mujoco.mj_integratePos(mj, row, rng.normal(size=mj.nv), 0.5)
    qvel, qacc = rng.normal(size=(2, STATES, mj.nv))
    motion = from_mujoco(model, qpos, qvel, qacc)
    assert motion.v is not None
    assert motion.a is not None
    columns = [torch.from_numpy(np.ascontiguousarray(x.T)) for x in (motion.q, motion.v, motion.a)]
    return Case(mj, model, Dynamics(model, "eager"), qpos, qvel, qacc, *columns)


def each(case: Case) -> Any:
    """MuJoCo's data in every state, after its inverse."""
    data = mujoco.MjData(case.mj)
    for row in zip(case.qpos, case.qvel, case.qacc):
        data.qpos[:], data.qvel[:], data.qacc[:] = row
        mujoco.mj_inverse(case.mj, data)
        yield data


def close(ours: Any, theirs: Any) -> None:
    """To 1e-10 of the largest number; measured at most 7e-14 (energies), 3e-15 for torques and mass matrices."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-10 * max(1e-3, np.abs(theirs).max())


def axes(case: Case, state: int) -> np.ndarray:
    """T [nv, nv] of a state: forces in our axes = T MuJoCo's, and so velocities."""
    rows = np.repeat(case.qpos[state : state + 1], case.mj.nv, 0)
    return forces_from_mujoco(case.model, rows, np.eye(case.mj.nv)).T


def test_inverse_dynamics(case: Case) -> None:
    theirs = np.array([d.qfrc_inverse.copy() for d in each(case)])
    close(case.dynamics.rnea(case.q, case.v, case.a).T, forces_from_mujoco(case.model, case.qpos, theirs))


def test_bias(case: Case) -> None:
    """At zero rates of *our* velocities: those of free joints turn with the body (`mujoco_convention`)."""
    theirs = np.array([d.qfrc_bias.copy() for d in each(case)])
    still = from_mujoco(case.model, case.qpos, case.qvel, 0 * case.qacc)
    assert still.a is not None
    rates = torch.from_numpy(np.ascontiguousarray(still.a.T))
    close(case.dynamics.rnea(case.q, case.v, rates).T, forces_from_mujoco(case.model, case.qpos, theirs))


def test_mass_matrix(case: Case) -> None:
    ours = case.dynamics.crba(case.q)
    for k, data in enumerate(each(case)):
        full, columns, t = np.zeros((case.mj.nv,) * 2), np.eye(case.mj.nv), axes(case, k)
        for i in range(case.mj.nv):
            mujoco.mj_mulM(case.mj, data, full[i], columns[i])
        close(ours[..., k], t @ full @ t.T)


def test_forward_dynamics(case: Case) -> None:
    rng = np.random.default_rng(1)
    tau = rng.normal(size=(STATES, case.mj.nv))
    data, theirs = mujoco.MjData(case.mj), np.zeros_like(tau)
    for k in range(STATES):
        data.qpos[:], data.qvel[:], data.qfrc_applied[:] = case.qpos[k], case.qvel[k], tau[k]
        mujoco.mj_fwdPosition(case.mj, data)
        mujoco.mj_fwdVelocity(case.mj, data)
        data.qfrc_actuator[:] = 0.0
        mujoco.mj_fwdAcceleration(case.mj, data)
        theirs[k] = data.qacc_smooth
    forces = torch.from_numpy(np.ascontiguousarray(forces_from_mujoco(case.model, case.qpos, tau).T))
    ours = case.dynamics.aba(case.q, case.v, forces)
    motion = from_mujoco(case.model, case.qpos, case.qvel, theirs)
    assert motion.a is not None
    close(ours.T, motion.a)


def test_energies_and_mass(case: Case) -> None:
    """MuJoCo's sums have the bodies that are fixed to the world, whose energy of position is constant."""
    case.mj.opt.enableflags |= int(mujoco.mjtEnableBit.mjENBL_ENERGY)
    data, theirs = mujoco.MjData(case.mj), np.zeros((STATES, 2))
    for k in range(STATES):
        data.qpos[:], data.qvel[:] = case.qpos[k], case.qvel[k]
        mujoco.mj_forward(case.mj, data)
        theirs[k] = data.energy
    height = case.dynamics.potential_energy(case.q).numpy()
    close(height - height[0], theirs[:, 0] - theirs[0, 0])
    close(case.dynamics.kinetic_energy(case.q, case.v), theirs[:, 1])
    loose = [i for i in range(case.mj.nbody) if case.mj.body_jntnum[case.mj.body_weldid[i]]]
    assert case.model.mass == pytest.approx(case.mj.body_mass[loose].sum(), rel=1e-12)


def test_frame_jacobians(case: Case) -> None:
    """Of the last body's frame, and of the last site on a moving body."""
    names = [b.name for b in case.model.bodies[-1:]] + [s.name for s in case.model.sites if s.body >= 0][-1:]
    found = 0
    for name in names:
        kind, site = "BODY", mujoco.mj_name2id(case.mj, mujoco.mjtObj.mjOBJ_BODY, name)
        if site < 0:
            kind, site = "SITE", mujoco.mj_name2id(case.mj, mujoco.mjtObj.mjOBJ_SITE, name)
        if site < 0:
            continue  # a body set back from its joint has a name of our own
        found += 1
        ours = case.dynamics.jacobian(case.q, name)
        place = case.dynamics.frames(case.q, [name])
        for k, data in enumerate(each(case)):
            linear, angular = np.zeros((3, case.mj.nv)), np.zeros((3, case.mj.nv))
            getattr(mujoco, f"mj_jac{kind.title()}")(case.mj, data, linear, angular, site)
            close(ours[..., k], np.vstack([linear, angular]) @ axes(case, k).T)
            close(place.translation[0, :, k], (data.xpos if kind == "BODY" else data.site_xpos)[site])
    assert found
