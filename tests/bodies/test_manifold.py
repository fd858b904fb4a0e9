"""Steps on the manifold of positions: against Pinocchio, and as laws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from invdyn.bodies.drive import Drive
from invdyn.bodies.manifold import difference, integrate, plain_numbers, position_rates, random_positions
from invdyn.bodies.model import Body, BodyModel, Coordinate, Inertia, Joint, Placement
from invdyn.bodies.rotations import (
    inverse_left_jacobian,
    left_jacobian,
    matrix_from_quaternion,
    quaternion_exp,
    quaternion_from_matrix,
    quaternion_log,
)
from invdyn.errors import ConfigError, SignalError

N = 50


def mixed() -> BodyModel:
    """Free base, spherical, revolute and prismatic joints, and one driven."""
    load = Inertia(1.0, (0.1, 0.0, 0.0), ((0.1, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.1)))
    at = Placement(translation=(0.2, 0.1, 0.0))
    joints = [
        Joint("root", "free", q=0, v=0),
        Joint("ball", "spherical", q=7, v=6),
        Joint("hinge", "revolute", q=11, v=9),
        Joint("slide", "prismatic", q=12, v=10),
        Joint("mimic", "revolute", drive=Drive.linear(11, 9, 2.0, 0.1)),
    ]
    bodies = tuple(Body(f"b{i}", i - 1, j, at, load) for i, j in enumerate(joints))
    limits = {9: (-0.5, 1.5), 10: (0.2, math.inf)}
    coordinates = tuple(
        Coordinate(f"c{k}", k not in (0, 1, 2, 10), *limits.get(k, (-math.inf, math.inf))) for k in range(11)
    )
    return BodyModel("mixed", bodies, coordinates, 13)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_step_and_back_are_pinocchios() -> None:
    pin = pytest.importorskip("pinocchio")
    theirs = pin.Model()
    free = theirs.addJoint(0, pin.JointModelFreeFlyer(), pin.SE3.Identity(), "root")
    ball = theirs.addJoint(free, pin.JointModelSpherical(), pin.SE3.Identity(), "ball")
    theirs.addJoint(ball, pin.JointModelRX(), pin.SE3.Identity(), "hinge")
    theirs.addJoint(ball, pin.JointModelPX(), pin.SE3.Identity(), "slide")
    model = mixed()
    start, end = random_positions(model, N, seeded(0)), random_positions(model, N, seeded(1))
    step = torch.randn(model.nv, N, generator=seeded(2), dtype=torch.float64)
    reached, between = integrate(model, start, step), difference(model, start, end)
    for i in range(N):
        want = pin.integrate(theirs, start[:, i].numpy(), step[:, i].numpy())
        for place in (3, 7):  # a quaternion and its negative are one rotation
            want[place : place + 4] *= math.copysign(1, want[place : place + 4] @ reached[place : place + 4, i].numpy())
        assert abs(want - reached[:, i].numpy()).max() < 1e-12
        want = pin.difference(theirs, start[:, i].numpy(), end[:, i].numpy())
        assert abs(want - between[:, i].numpy()).max() < 1e-10


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), size=st.sampled_from([1e-12, 1e-7, 1e-3, 0.02, 1.0]))
def test_a_step_is_undone_by_its_difference(seed: int, size: float) -> None:
    """Of any size below half a turn; 1e-3 rad is where the series ends."""
    model = mixed()
    q = random_positions(model, N, seeded(seed))
    step = size * (2 * torch.rand(model.nv, N, generator=seeded(seed + 1), dtype=torch.float64) - 1)
    back = difference(model, q, integrate(model, q, step))
    assert (back - step).abs().max() < 1e-14 + 1e-13 * size / min(size, 1e-2)  # rounding of q itself: 2e-16


def test_rates_are_the_limit_of_small_steps() -> None:
    model = mixed()
    q = random_positions(model, N, seeded(3))
    v = torch.randn(model.nv, N, generator=seeded(4), dtype=torch.float64)
    h = 1e-5
    central = (integrate(model, q, h * v) - integrate(model, q, -h * v)) / (2 * h)
    assert (position_rates(model, q, v) - central).abs().max() < 1e-8  # h^2 and rounding/h


def test_steps_are_differentiable_at_zero() -> None:
    model = mixed()
    q = random_positions(model, 2, seeded(5))
    zero = torch.zeros(model.nv, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: integrate(model, q, s), zero)
    jacobian = torch.func.jacrev(lambda s: integrate(model, q, s))(torch.zeros(model.nv, 2, dtype=torch.float64))
    v = torch.randn(model.nv, 2, generator=seeded(6), dtype=torch.float64)
    assert (torch.einsum("ibkc,kc->ib", jacobian, v) - position_rates(model, q, v)).abs().max() < 1e-12


def test_random_positions_keep_the_limits_and_fill_them() -> None:
    model = mixed()
    q = random_positions(model, 4000, seeded(7))
    assert -0.5 <= q[11].min() < -0.48
    assert 1.48 < q[11].max() <= 1.5
    assert 0.2 <= q[12].min() < 0.21  # one limit: from there, the whole range upwards
    assert 2.1 < q[12].max() <= 2.2
    assert (q[3:7].norm(dim=0) - 1).abs().max() < 1e-15
    assert q[3:7].mean(1).abs().max() < 0.05  # even: the mean of 4000 has a deviation of 0.008
    assert torch.equal(random_positions(model, 5, seeded(8)), random_positions(model, 5, seeded(8)))


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-3, 1.0, math.pi - 1e-9, math.pi])
def test_rotations_are_scipys(angle: float) -> None:
    axis = torch.tensor([[0.48], [-0.6], [0.64]], dtype=torch.float64)
    vector = angle * axis
    want = Rotation.from_rotvec(vector[:, 0].numpy())
    quaternion = quaternion_exp(vector)
    assert abs(quaternion[:, 0].numpy() - want.as_quat()).max() < 1e-15
    matrix = matrix_from_quaternion(quaternion)
    assert abs(matrix[:, :, 0].numpy() - want.as_matrix()).max() < 1e-15
    again = quaternion_from_matrix(matrix)
    assert min((again - quaternion).abs().max(), (again + quaternion).abs().max()) < 1e-15
    assert (quaternion_log(quaternion) - vector).abs().max() < 1e-14
    product = torch.einsum("ijb,jkb->ikb", left_jacobian(vector), inverse_left_jacobian(vector))
    assert (product[:, :, 0] - torch.eye(3)).abs().max() < 1e-12


def test_numbers_of_another_model_are_refused() -> None:
    model = mixed()
    q, step = torch.zeros(13, 2, dtype=torch.float64), torch.zeros(12, 2, dtype=torch.float64)
    with pytest.raises(SignalError, match=r"'mixed': step of shape \[12, 2\]; expected \[11, batch\]"):
        integrate(model, q, step)
    with pytest.raises(SignalError, match=r"end of shape \[12, 2\]; expected \[13, batch\].*Transpose"):
        difference(model, q, step)


def test_numbers_that_do_not_pair_off_are_refused() -> None:
    hinge = Body("arm", -1, Joint("hinge", "revolute", q=0, v=0))
    odd = BodyModel("odd", (hinge,), (Coordinate("hinge"), Coordinate("ghost")), 1)
    with pytest.raises(ConfigError, match="'odd': 1 position and 2 velocity numbers outside spherical and free"):
        plain_numbers(odd)
