"""What a trace keeps: constants folded, equal expressions once, nothing that no result needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import toys
from hypothesis import given, settings
from hypothesis import strategies as st

from invdyn.errors import FormatError, SignalError
from invdyn.kernels import scalar as s
from invdyn.kernels.packing import Packed
from invdyn.kernels.pieces import pieces
from invdyn.kernels.program import Block, Program, trace


def of(function: Callable[[Any], Any], size: int = 3) -> Program:
    return trace("toy", lambda x: {"y": function(x)}, [Block("x", size)])


@pytest.mark.parametrize(
    ("function", "operations"),
    [
        (lambda x: [s.mul(0.0, x[0]), s.add(x[0], 0.0), s.mul(1.0, x[1])], 0),
        (lambda x: [s.mul(-1.0, x[0])], 1),
        (lambda x: [s.neg(s.neg(x[0]))], 0),
        (lambda x: [s.add(s.mul(x[0], x[1]), s.mul(x[1], x[0]))], 2),  # one product, added to itself
        (lambda x: [s.sub(x[0], x[0])], 0),
        (lambda x: [s.mul(2.0, x[0]), s.mul(-2.0, x[0])], 2),  # one product serves both signs
        (lambda x: [s.sub(x[0], x[1]), s.sub(x[1], x[0])], 2),  # the second is minus the first
        (lambda x: [s.add(x[0], s.neg(x[1])), s.sub(x[0], x[1])], 1),
        (lambda x: [s.mul(s.neg(x[0]), s.neg(x[1])), s.mul(x[0], x[1])], 1),
        (lambda x: [s.mul(s.sin(x[0]), s.sin(x[0]))], 2),
        (lambda x: [s.div(x[0], 4.0)], 1),
        (lambda x: [s.div(0.0, x[0])], 0),
        (lambda x: [s.select(x[0], x[1], 2.0, 2.0)], 0),
        (lambda x: [s.add(s.sin(0.3), s.mul(2.0, 3.0))], 0),
        (lambda x: [x[0], [s.exp(x[1]), s.log(x[2])] and x[1]], 0),  # what no result needs is dropped
    ],
)
def test_operations_left(function: Callable[[Any], Any], operations: int) -> None:
    assert of(function).operations == operations


def test_operators_of_symbols_fold_as_the_functions_do() -> None:
    program = of(lambda x: [(2.0 * x[0] + 0.0) / 1.0 - x[1] * 1.0, -(0.0 - x[2]), 1.0 - x[0], 1.0 / x[1], 0.0 + x[2]])
    (found,) = program.evaluate(torch.tensor([[2.0], [4.0], [5.0]]))
    assert found[:, 0].tolist() == [0.0, 5.0, -1.0, 0.25, 5.0]
    assert program.operations == 4


expressions = st.recursive(
    st.one_of(st.integers(0, 2), st.sampled_from([0.0, 1.0, -1.0, 0.5, -2.0])),
    lambda inner: st.tuples(st.sampled_from(["add", "sub", "mul", "neg", "sin"]), inner, inner),
    max_leaves=20,
)


def built(tree: Any, x: Any, ops: Any) -> Any:
    if isinstance(tree, int):
        return x[tree]
    if isinstance(tree, float):
        return tree
    op, a, b = tree
    if op in ("neg", "sin"):
        return ops[op](built(a, x, ops))
    return ops[op](built(a, x, ops), built(b, x, ops))


PLAIN = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "neg": lambda a: -a,
    "sin": lambda a: math.sin(a) if isinstance(a, float) else torch.sin(a),
}  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(expressions)
def test_rewriting_keeps_the_value(tree: Any) -> None:
    """Random expressions folded while they are traced, against the same ones in plain arithmetic."""
    x = torch.tensor([[0.7, -1.3], [1.9, 0.2], [-0.4, 2.2]], dtype=torch.float64)
    fold = {"add": s.add, "sub": s.sub, "mul": s.mul, "neg": s.neg, "sin": s.sin}
    program = of(lambda given: [built(tree, given, fold)])
    (found,) = program.evaluate(x)
    wanted = torch.as_tensor(built(tree, x, PLAIN), dtype=torch.float64).expand(2)
    assert (found[0] - wanted).abs().max() <= 1e-12 * max(1.0, float(wanted.abs().max()))


def test_a_branch_on_a_traced_number_is_refused() -> None:
    with pytest.raises(TypeError, match=r"traced once for all values.*select"):
        of(lambda x: [x[0] if x[0] else x[1]])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([torch.zeros(4, 5), torch.zeros(3, 5)], "everything: 2 inputs given; expected x, y, p"),
        ([torch.zeros(4, 5), torch.zeros(2, 5), torch.zeros(2)], r"y has shape \[2, 5\]; expected \[3, batch\]"),
        ([torch.zeros(4, 5), torch.zeros(3, 6), torch.zeros(2)], "y has a batch of 6, the inputs before it 5"),
        ([torch.zeros(4, 5), torch.zeros(3, 5), torch.zeros(2, 5)], r"p has shape \[2, 5\]; expected \[2\]"),
        (
            [torch.zeros(4, 5), torch.zeros(3, 5).int(), torch.zeros(2)],
            r"y is torch.int32; expected a tensor of floats \[3, batch\]. Convert it",
        ),
        ([torch.zeros(4, 5), torch.zeros(3, 5).double(), torch.zeros(2)], "expected one dtype and device. Convert"),
    ],
)
def test_inputs_that_do_not_fit_are_named(tensors: list[torch.Tensor], message: str) -> None:
    with pytest.raises(SignalError, match=message):
        toys.program().evaluate(*tensors)


def test_text_and_back() -> None:
    program = toys.program()
    again = Program.from_text(program.text())
    assert again == program
    assert again.key == program.key == Program.from_text(again.text()).key
    other = of(lambda x: [x[0]])
    assert other.key != of(lambda x: [x[1]]).key


@pytest.mark.parametrize(
    "change", [lambda t: t[:-9], lambda t: t.replace('"mul"', '"os.system"'), lambda t: "[]", lambda t: '{"name": 1}']
)
def test_a_text_that_is_none_is_refused(change: Callable[[str], str]) -> None:
    with pytest.raises(FormatError, match=r"not the text of a program .*Trace it anew"):
        Program.from_text(change(toys.program().text()))


def test_packed_results_are_written_once_and_come_back_whole() -> None:
    """A symmetric matrix with an empty corner and a constant."""
    program = of(lambda x: [x[0], s.mul(x[1], x[2]), 0.0, s.mul(x[2], x[1]), 2.5, x[0]])
    packed = Packed.of(program)
    x = torch.randn(3, 4, dtype=torch.float64)
    assert packed.program.outputs == (Block("packed", 2),)
    (dense,), (wanted,) = packed.unpack(packed.program.evaluate(x)[0]), program.evaluate(x)
    assert torch.equal(dense, wanted)


def test_packed_results_carry_gradients() -> None:
    packed = Packed.of(of(lambda x: [s.mul(x[0], x[1]), 0.0, s.mul(x[1], x[0])]))
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: packed.unpack(packed.program.evaluate(x)[0])[0], x)


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_pieces_hold_every_operation_once_in_order(most: int) -> None:
    program = toys.program()
    stretches, crossing = pieces(program, most)
    flat = [i for stretch in stretches for i in stretch]
    assert flat == [i for i, op in enumerate(program.ops) if op not in ("input", "const")]
    assert max(map(len, stretches)) <= most
    piece = {i: k for k, stretch in enumerate(stretches) for i in stretch}
    read_later = {a for i in flat for a in program.args[i] if a in piece and piece[a] != piece[i]}
    assert set(crossing) == read_later
    assert sorted(crossing.values()) == list(range(len(crossing)))
