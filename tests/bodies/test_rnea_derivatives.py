"""Closed-form derivatives of inverse dynamics against those traced through the recursion, on random trees."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_trees import states, tree

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import BodyModel
from invdyn.bodies.rnea_derivatives import has_closed_form
from invdyn.kernels.derivative import jacobian
from invdyn.kernels.program import Program

joints = st.lists(st.sampled_from(["revolute", "prismatic"]), min_size=0, max_size=4)


def traced(model: BodyModel) -> tuple[Program, Program]:
    """In closed form, and through the recursion."""
    d = Dynamics(model, "eager")
    return d.function("derivatives").program, jacobian(d.function("rnea").program, "tau", ("q", "v", "a"))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["free", "revolute", "prismatic"]), joints, st.integers(0, 2**31 - 1))
def test_hinges_slides_and_free_roots(root: str, others: list[str], seed: int) -> None:
    """Several trees too; quaternions off the unit sphere, because each of their four numbers has a derivative."""
    model = tree((root, *others), seed)
    assert has_closed_form(model)
    closed, through = traced(model)
    q, v, a = states(model, 4, seed)
    q = q * 1.1
    for found, wanted in zip(closed.evaluate(q, v, a), through.evaluate(q, v, a)):
        assert (found - wanted).abs().max() <= 1e-12 * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("kinds", [("spherical",), ("revolute", "driven"), ("revolute", "free")])
def test_others_go_through_the_recursion(kinds: tuple[str, ...]) -> None:
    seed = next(k for k in range(50) if kinds[-1] != "free" or tree(kinds, k).bodies[-1].parent == 0)
    model = tree(kinds, seed)
    assert not has_closed_form(model)
    closed, through = traced(model)
    assert closed.results == through.results
    q, v, a = states(model, 3, 0)
    d = Dynamics(model, "eager").force_derivatives(q, v, a)
    _, wanted = torch.func.jvp(lambda a: Dynamics(model, "eager").rnea(q, v, a), (a,), (torch.ones_like(a),))
    assert (d.a.sum(1) - wanted).abs().max() <= 1e-12 * max(1.0, float(wanted.abs().max()))


def test_fewer_operations_than_through_the_recursion() -> None:
    """Four hinges in a row: the cost per pair of joints is what counts."""
    closed, through = traced(next(m for k in range(5000) if chain(m := tree(("revolute",) * 4, k))))
    assert closed.operations < through.operations


def chain(model: BodyModel) -> bool:
    return [b.parent for b in model.bodies] == [-1, 0, 1, 2]
