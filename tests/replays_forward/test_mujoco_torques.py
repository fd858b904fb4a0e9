"""Recordings of MuJoCo worlds replayed by the torques that the integrator's own inverse finds in their states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from invdyn.actions.closed_form import ClosedFormInverse
from invdyn.bodies.mujoco_inverse import torques_between
from invdyn.episodes import Dataset
from invdyn.errors import InvdynError, WorldError
from invdyn.verify import one_step_residual, replay
from invdyn.worlds import INVERSE, WORLD_STATE, World, make_world, record

mujoco = pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
gymnasium = pytest.importorskip("gymnasium", reason="needs the extra 'worlds'")
STEPS = 250


class Wandering:
    """Controls that wander, as a policy."""

    def __init__(self, size: int) -> None:
        self.size = size

    def reset(self, batch: int) -> None:
        self.rng, self.control = np.random.default_rng(0), np.zeros((batch, self.size))

    def act(self, observation: Any) -> torch.Tensor:
        self.control = 0.95 * self.control + 0.12 * self.rng.normal(size=self.control.shape)
        return torch.from_numpy(self.control)


def humanoid(folder: Path, batch: int = 1) -> World:
    """Gymnasium's humanoid, every simulated step a step of the world, with an integrator that has an inverse."""
    file = Path(gymnasium.__file__).parent / "envs/mujoco/assets/humanoid.xml"
    text = file.read_text().replace('integrator="RK4" iterations="50" solver="PGS"', 'integrator="implicitfast"')
    assert "implicitfast" in text
    model = folder / "humanoid.xml"
    model.write_text(text)
    options: dict[str, Any] = {"xml_file": str(model), "frame_skip": 1, "terminate_when_unhealthy": False}
    # What the motors feel is part of the observation otherwise, and motors that stand still feel nothing.
    options["include_qfrc_actuator_in_observation"] = False
    return make_world("gymnasium/Humanoid-v5", batch=batch, horizon=STEPS, **options)


@pytest.fixture(scope="module")
def fallen(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Dataset]:
    """A humanoid that falls and writhes, twice."""
    world = humanoid(tmp_path_factory.mktemp("model"))
    return world, record(world, seeds=[3, 4], policy=Wandering(world.action.size))


def true_torque(world: World, data: Dataset, k: int) -> np.ndarray:
    """[time, nv] what the motors did: gear times control, by MuJoCo itself."""
    env = world.envs[0]  # type: ignore[attr-defined]
    moment = np.zeros((env.model.nu, env.model.nv))
    world.anchor([data[k]], [0])
    mujoco.mju_sparse2dense(
        moment, env.data.actuator_moment, env.data.moment_rownnz, env.data.moment_rowadr, env.data.moment_colind
    )
    return np.asarray(data[k]["action"].values[:-1], np.float64) @ moment


def test_torques_are_exact_and_land_on_the_recording(fallen: tuple[World, Dataset]) -> None:
    world, data = fallen
    driven = world.invertible()
    assert driven.action.unit.startswith("N, N, N, N m")
    assert driven.action.size == 23
    for k in range(2):
        truth, found = true_torque(world, data, k), driven.torques(data[k])  # type: ignore[attr-defined]
        worst = np.abs(found.torque - truth).max(axis=1)
        assert found.touching.mean() > 0.5
        # Measured: 1.2e-6 N m with, which is 300 N m times the rounding of the recorded control 0.4 to float32.
        assert np.median(worst) < 1e-3
        rows = np.asarray(data[k][WORLD_STATE].values)
        model = world.envs[0].model  # type: ignore[attr-defined]
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION)
        whole = np.ascontiguousarray(rows[:, :size])
        plain = torques_between(model, whole[:-1], whole[1:], discrete=False)
        assert np.median(np.abs(plain.torque - truth).max(axis=1)) > 100 * max(1e-3, np.median(worst))


def test_every_replay_takes_them(fallen: tuple[World, Dataset]) -> None:
    world, data = fallen
    driven = world.invertible()
    episodes = list(data)
    held = replay(driven, episodes, INVERSE, every=1)
    assert held.missing.sum() == 0
    still = replay(driven, episodes, [np.zeros((e.length, driven.action.size)) for e in episodes], every=1)
    assert held.median_error() < 1e-6 < 1e-2 < still.median_error()
    residual = one_step_residual(driven, data[0], INVERSE)
    assert np.nanmax(residual) < 1e-3
    assert np.isnan(residual[-1])
    open_loop = replay(driven, episodes, INVERSE)
    assert open_loop.missing.sum() == 0
    # Measured: 0 to the bit of the recorded float32, open loop as well, 0.75 s through a fall.
    assert open_loop.median_error() < 1e-6


def test_the_same_inverse_labels_windows(fallen: tuple[World, Dataset]) -> None:
    world, _ = fallen
    assert ClosedFormInverse(world.invertible()).inputs == (WORLD_STATE,)


def test_worlds_with_an_inverse_of_their_own_use_it() -> None:
    world = make_world("pendulum", batch=2)
    assert world.invertible() is world
    data = record(world, seeds=[0, 1], policy=Wandering(1))
    assert replay(world, list(data), INVERSE, every=1).median_error() < 1e-4


def test_what_cannot_be_told_is_refused(tmp_path: Path, fallen: tuple[World, Dataset]) -> None:
    def said(call: Any) -> str:
        with pytest.raises(InvdynError) as caught:
            call()
        return str(caught.value)

    kept = make_world("gymnasium/HalfCheetah-v5")
    assert "simulates 5 steps of 0.01 s per action" in said(kept.invertible)
    assert "Record it with frame_skip=1." in said(kept.invertible)
    rk4 = make_world("gymnasium/Hopper-v5", frame_skip=1)
    assert "integrated by RK4, whose step has no inverse" in said(rk4.invertible)
    driven = fallen[0].invertible()
    assert "is not there. Record with it." in said(lambda: driven.inverse(driven.observe(), driven.observe()))
    assert "expected finite numbers of shape (1, 23)" in said(lambda: driven.step(torch.zeros(1, 17)))
    state = {WORLD_STATE: driven.state()}
    assert "expected every simulated state" in said(lambda: driven.inverse(state, state))
    with pytest.raises(WorldError, match="has no closed-form inverse"):
        replay(fallen[0], list(fallen[1]), INVERSE)
