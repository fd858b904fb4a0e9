"""Laws of mechanics on random trees: energy, passivity, inversion, invariance; and derivatives of the algorithms.

Trees are new in every example, so algorithms run operation by operation; compiled functions are derived further down.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_trees import Parts, rotation, states, tree, trees

from invdyn.bodies.drive import Drive
from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.manifold import position_rates
from invdyn.bodies.model import Body, BodyModel, Inertia, Placement
from invdyn.kernels.compiler import compiler

N = 4
few = settings(deadline=None, max_examples=15)
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")
seeds = st.integers(0, 2**31 - 1)


def eager(model: BodyModel) -> Dynamics:
    return Dynamics(model, "eager")


def near(got: torch.Tensor, want: torch.Tensor, tolerance: float) -> None:
    """Relative to the largest number; both zero is near."""
    assert got.shape == want.shape
    assert (got - want).abs().max() <= tolerance * max(float(want.abs().max()), 1e-3)


@few
@given(trees, seeds)
def test_energy_changes_at_the_rate_of_power(parts: Parts, seed: int) -> None:
    """d(T + U)/dt along (q, v, a) = v . tau with tau = rnea(q, v, a), by the chain rule through T and U."""
    model = tree(*parts)
    d = eager(model)
    q, v, a = states(model, N, seed)

    def energy(q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return d.kinetic_energy(q, v) + d.potential_energy(q)

    _, rate = torch.func.jvp(energy, (q, v), (position_rates(model, q, v), a))
    power = v * d.rnea(q, v, a)
    assert (rate - power.sum(0)).abs().max() <= 1e-6 * max(float(power.abs().sum(0).max()), 1e-3)  # the card's 1e-6
    assert (rate - power.sum(0)).abs().max() <= 1e-10 * max(float(power.abs().sum(0).max()), 1e-3)  # what it is


@few
@given(trees, seeds)
def test_coriolis_forces_do_the_work_of_a_changing_mass_matrix(parts: Parts, seed: int) -> None:
    """Passivity: v' (dM/dt) v = 2 v' C v, with C v = bias - gravity."""
    model = tree(*parts)
    d = eager(model)
    q, v, _ = states(model, N, seed)
    _, mass_rate = torch.func.jvp(d.crba, (q,), (position_rates(model, q, v),))
    coriolis = d.bias(q, v) - d.bias(q, torch.zeros_like(v))
    left, right = torch.einsum("ib,ijb,jb->b", v, mass_rate, v), 2 * (v * coriolis).sum(0)
    assert (left - right).abs().max() <= 1e-10 * max(float((v * coriolis).abs().sum(0).max()), 1e-3)


@few
@given(trees, seeds)
def test_forward_and_inverse_dynamics_undo_each_other(parts: Parts, seed: int) -> None:
    """rnea(aba(tau)) = tau, and rnea(a) = M a + bias."""
    model = tree(*parts)
    d = eager(model)
    q, v, tau = states(model, N, seed)
    m = d.crba(q)
    assume(float(torch.linalg.cond(m.permute(2, 0, 1)).max()) < 1e5)  # rounding grows with it
    near(d.rnea(q, v, d.aba(q, v, tau)), tau, 1e-9)
    whole = torch.einsum("ijb,jb->ib", m, tau) + d.bias(q, v)  # tau stands for an acceleration here
    near(d.rnea(q, v, tau), whole, 1e-11)


@few
@given(trees, seeds)
def test_the_mass_matrix_is_symmetric_and_positive(parts: Parts, seed: int) -> None:
    model = tree(*parts)
    d = eager(model)
    q, v, _ = states(model, N, seed)
    m = d.crba(q)
    near(m, m.transpose(0, 1), 1e-14)
    assert torch.linalg.eigvalsh(m.permute(2, 0, 1)).min() > 0
    near(0.5 * torch.einsum("ib,ijb,jb->b", v, m, v), d.kinetic_energy(q, v), 1e-11)


def other_body_frames(model: BodyModel, seed: int) -> BodyModel:
    """The same mechanism, with the frames of bodies on hinges and slides moved and turned in the body.

    With X the new frame in the old, joint axis and inertia are seen from it and the next placements start from it. The
    joint's own frame moves along, so X must commute with the joint: a hinge's turns about and moves along its axis.
    """
    rng = np.random.default_rng(seed)
    moved: list[Body] = []
    frames: list[Placement] = []
    for body in model.bodies:
        x = Placement()
        if body.joint.kind in ("revolute", "prismatic"):
            axis = np.asarray(body.joint.axis)
            turn = rotation(rng) if body.joint.kind == "prismatic" else turn_about(axis, rng.uniform(-3, 3))
            shift = rng.normal(size=3) if body.joint.kind == "prismatic" else rng.normal() * axis
            x = Placement.of(turn, shift)
        before = frames[body.parent].inverse() if body.parent >= 0 else Placement()
        joint = body.joint
        if joint.kind in ("revolute", "prismatic"):  # joint frame moved by X: J(q) X = X J'(q)
            joint = replace(joint, axis=tuple((np.asarray(x.rotation).T @ np.asarray(joint.axis)).tolist()))
        moved.append(
            replace(
                body,
                joint=joint,
                placement=before.then(body.placement).then(x),
                inertia=body.inertia.moved(x.inverse()),
            )
        )
        frames.append(x)
    return replace(model, bodies=tuple(moved))


def turn_about(axis: np.ndarray, angle: float) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(angle * axis).as_matrix()


@few
@given(trees, seeds)
def test_torques_do_not_depend_on_the_choice_of_body_frames(parts: Parts, seed: int) -> None:
    model = tree(*parts)
    q, v, a = states(model, N, seed)
    near(eager(other_body_frames(model, seed)).rnea(q, v, a), eager(model).rnea(q, v, a), 1e-10)
    near(eager(other_body_frames(model, seed)).crba(q), eager(model).crba(q), 1e-10)


@few
@given(trees, seeds)
def test_torques_do_not_depend_on_the_choice_of_the_world_frame(parts: Parts, seed: int) -> None:
    """Everything that stands in the world, and gravity, turned and moved together."""
    model = tree(*parts)
    rng = np.random.default_rng(seed)
    x = Placement.of(rotation(rng), rng.normal(size=3))
    bodies = tuple(replace(b, placement=x.then(b.placement)) if b.parent < 0 else b for b in model.bodies)
    gravity = tuple((np.asarray(x.rotation) @ np.asarray(model.gravity)).tolist())
    turned = replace(model, bodies=bodies, gravity=gravity)
    q, v, a = states(model, N, seed)
    near(eager(turned).rnea(q, v, a), eager(model).rnea(q, v, a), 1e-10)
    near(eager(turned).aba(q, v, a), eager(model).aba(q, v, a), 1e-7)


@few
@given(trees, seeds)
def test_a_body_cut_in_two_behaves_as_one(parts: Parts, seed: int) -> None:
    """Half of the last body's inertia put on a second body, fixed to it by a joint that is driven by nothing."""
    model = tree(*parts)
    last = len(model.bodies) - 1
    half = Inertia.from_parameters(model.bodies[last].inertia.parameters / 2)
    rng = np.random.default_rng(seed)
    at = Placement.of(rotation(rng), rng.normal(size=3))
    bodies = list(model.bodies)
    bodies[last] = replace(bodies[last], inertia=half)
    weld = replace(model.bodies[last].joint, name="weld", kind="revolute", q=-1, v=-1, drive=Drive.constant(0.0))
    bodies.append(Body("half", last, weld, at, half.moved(at.inverse())))
    q, v, a = states(model, N, seed)
    near(eager(replace(model, bodies=tuple(bodies))).rnea(q, v, a), eager(model).rnea(q, v, a), 1e-10)


@cache
def example(backend: str) -> Dynamics:
    """One tree with every kind of joint."""
    return Dynamics(tree(("free", "spherical", "revolute", "driven", "prismatic"), 7), backend)  # type: ignore[arg-type]


@needs_compiler
@pytest.mark.parametrize("algorithm", ["rnea", "aba", "crba"])
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_derivatives_are_those_of_small_changes(algorithm: str, backend: str) -> None:
    d = example(backend)
    q, v, a = (x.requires_grad_() for x in states(d.model, 2, 0))
    if algorithm == "crba":
        assert torch.autograd.gradcheck(d.crba, q)
    else:
        assert torch.autograd.gradcheck(getattr(d, algorithm), (q, v, a), atol=1e-4)


@needs_compiler
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_the_gradient_of_the_gradient(backend: str) -> None:
    d = example(backend)
    q, v, a = (x.requires_grad_() for x in states(d.model, 1, 1))
    assert torch.autograd.gradgradcheck(lambda q, v, a: d.rnea(q, v, a), (q, v, a), atol=1e-4)


@needs_compiler
@pytest.mark.parametrize("algorithm", ["rnea", "aba"])
def test_function_transforms_agree_through_compiled_code(algorithm: str) -> None:
    """jacrev, jacfwd and vmap of the compiled functions, against each other and against the eager ones."""
    compiled, slow = getattr(example("compiled"), algorithm), getattr(example("eager"), algorithm)
    model = example("eager").model
    q, v, a = states(model, 3, 2)

    def one(q: torch.Tensor, v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return compiled(q[:, None], v[:, None], a[:, None])[:, 0]

    reverse = torch.func.vmap(torch.func.jacrev(one, argnums=(0, 1, 2)), in_dims=1)(q, v, a)
    forward = torch.func.vmap(torch.func.jacfwd(one, argnums=(0, 1, 2)), in_dims=1)(q, v, a)
    direct = torch.func.jacrev(slow, argnums=(0, 1, 2))(q, v, a)
    for by_reverse, by_forward, whole in zip(reverse, forward, direct):
        near(by_reverse, by_forward, 1e-11)
        near(by_reverse, torch.stack([whole[:, i, :, i] for i in range(3)]), 1e-11)
    if algorithm == "rnea":
        matrices = example("eager").force_derivatives(q, v, a)
        for matrix, by_reverse in zip(matrices, reverse):
            near(by_reverse.permute(1, 2, 0), matrix, 1e-11)
        near(reverse[2].permute(1, 2, 0), example("eager").crba(q), 1e-11)  # d tau / d a = M
