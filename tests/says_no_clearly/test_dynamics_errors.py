"""What `BodyModel` and `Dynamics` refuse: which argument, what was expected, what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torques_case import ARM, write_robot

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import BodyModel, Inertia
from invdyn.bodies.urdf import read_urdf
from invdyn.errors import ConfigError, InvdynError, SignalError, UnknownNameError

pytest.importorskip("lxml", reason="needs the extra 'bodies'")


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> BodyModel:
    return read_urdf(write_robot(tmp_path_factory.mktemp("arm"), ARM))


def refused(call: Callable[[], object], told: str, kind: type[InvdynError] = ConfigError) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert told in str(caught.value)


@pytest.mark.parametrize("gravity", [(0.0, 0.0), (0.0, 0.0, np.nan)])
def test_gravity_that_is_no_vector(arm: BodyModel, gravity: tuple[float, ...]) -> None:
    refused(lambda: arm.with_gravity(gravity), "expected three numbers, for example (0, 0, -9.81).")


def test_gravity_of_any_sequence(arm: BodyModel) -> None:
    given = np.array([0.0, 1.0, -9.0])
    assert arm.with_gravity(given).gravity == arm.with_gravity(given.tolist()).gravity == (0.0, 1.0, -9.0)


def test_payloads_and_parameters_that_no_body_has(arm: BodyModel) -> None:
    refused(lambda: arm.with_payload("hand", Inertia(-1.0)), "a payload of -1 kg at 'hand'; expected finite numbers")
    refused(lambda: arm.with_payload("base", Inertia(1.0)), "carries no payload. Name a frame that moves.")
    parameters = arm.parameters.copy()
    parameters[0] = 0.0
    refused(lambda: arm.with_parameters(parameters), "the parameters of body 'upper' have first moments without mass")
    parameters[0] = np.nan
    refused(lambda: arm.with_parameters(parameters), "have numbers that are not finite")


def test_a_robot_that_cannot_move_has_no_parameters(tmp_path: Path) -> None:
    path = tmp_path / "stand.urdf"
    path.write_text('<robot name="stand"><link name="base"/></robot>')
    assert read_urdf(path).parameters.shape == (0,)


def test_a_name_is_no_sequence_of_names(arm: BodyModel) -> None:
    q = torch.zeros(2, 1, dtype=torch.float64)
    refused(lambda: Dynamics(arm).frames(q, "hand"), "expected a sequence of names. Pass ['hand'].")


def test_momentum_of_another_dtype(arm: BodyModel) -> None:
    q = torch.zeros(2, 3, dtype=torch.float64)
    refused(lambda: Dynamics(arm).momentum(q, q.float()), "arm.momentum: v is torch.float32", SignalError)


UNTYPED = """
import sys, torch
from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.files import load_model
q = torch.zeros(2, 3, dtype=torch.float64)
dynamics = Dynamics(load_model(sys.argv[1]), "eager")
for call, *given in ((Dynamics, sys.argv[1]), (dynamics.momentum, q, q[:, :2]), (dynamics.momentum, q, q.numpy())):
    try:
        call(*given)
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_what_the_suite_would_find_by_types_is_told_users_without(tmp_path: Path) -> None:
    """In a process of its own: here every annotated call is checked before it runs."""
    path = write_robot(tmp_path, ARM)
    done = subprocess.run([sys.executable, "-c", UNTYPED, str(path)], capture_output=True, text=True, check=True)
    first, second, third = done.stdout.splitlines()
    assert first == f"ConfigError Dynamics({str(path)!r}): expected a BodyModel. Read it first: load_model(path)."
    assert second.startswith("SignalError arm.momentum: v has a batch of 2, the inputs before it 3")
    assert third.startswith("SignalError arm.momentum: v is ndarray; expected a tensor of floats")


def test_batch_first_states(arm: BodyModel) -> None:
    q = torch.zeros(arm.nq, 5, dtype=torch.float64)
    told = f"q has shape [5, {arm.nq}]; expected [{arm.nq}, batch]. The batch is the last axis: pass q.T."
    refused(lambda: Dynamics(arm).rnea(q.T, q.T, q.T), told, SignalError)


def test_an_algorithm_that_is_not_there(arm: BodyModel) -> None:
    refused(lambda: Dynamics(arm).function("rne"), "unknown algorithm 'rne'. Did you mean 'rnea'", UnknownNameError)
