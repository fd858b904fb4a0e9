"""Derivatives of a `Program` as programs: forward (`jvp`), reverse (`vjp`) and the whole matrix (`jacobian`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from invdyn.kernels.graph import Graph, Symbol
from invdyn.kernels.program import Block, Program, finish
from invdyn.kernels.scalar import TABLE, Scalar, add, mul

__all__ = ["jacobian", "jvp", "vjp"]


def vjp(program: Program) -> Program:
    """The reverse derivative: what a change of the outputs, weighted, asks of each input.

    Returns:
        A program with the inputs of the old one and one `ct.<output>` per output; per input block one output
        `grad.<input>`: sum over outputs of ct * d output / d input, per sample (for uniform inputs too).
    """
    graph, symbols = program.graph()
    inputs = (*program.inputs, *(Block(f"ct.{b.name}", b.size) for b in program.outputs))
    first = sum(b.size for b in program.inputs)
    adjoint: dict[int, Scalar] = {}
    for i, node in enumerate(program.results):
        adjoint[node] = add(adjoint.get(node, 0.0), graph.input(first + i))
    rows: dict[int, Scalar] = {}
    for i in reversed(range(len(program.ops))):
        weight = adjoint.pop(i, 0.0)
        if program.ops[i] == "input":
            rows[program.args[i][0]] = weight
        elif program.ops[i] != "const" and weight != 0.0:
            for a, partial in zip(program.args[i], _partials(program, graph, symbols, i)):
                if partial is not None and program.ops[a] != "const":
                    adjoint[a] = add(adjoint.get(a, 0.0), mul(weight, partial))
    outputs = tuple(Block(f"grad.{b.name}", b.size) for b in program.inputs)
    return finish(f"{program.name}.vjp", graph, inputs, outputs, [rows.get(r, 0.0) for r in range(first)])


def jvp(program: Program) -> Program:
    """The forward derivative along a direction.

    Returns:
        A program with the inputs of the old one and `dot.<input>` per input; outputs `dot.<output>`.
    """
    inputs = (*program.inputs, *(Block(f"dot.{b.name}", b.size, b.uniform) for b in program.inputs))
    count = sum(b.size for b in program.inputs)
    graph = Graph()
    tangents: list[dict[int, Scalar]] = []
    for i, here in _replay(program, graph):
        if program.ops[i] == "input":
            tangents.append({0: graph.input(count + program.args[i][0])})
        else:
            tangents.append(_forward(program, graph, here, tangents, i))
    outputs = tuple(Block(f"dot.{b.name}", b.size) for b in program.outputs)
    results = [tangents[n].get(0, 0.0) for n in program.results]
    return finish(f"{program.name}.jvp", graph, inputs, outputs, results)


def jacobian(program: Program, output: str, by: Sequence[str]) -> Program:
    """The matrix of derivatives of one output block in several input blocks; structural zeros cost nothing.

    Returns:
        A program with the same inputs; per name in `by` one output `d<output>/d<name>`, [size of output, size of
        input] row by row.
    """
    column: dict[int, tuple[str, int]] = {}
    row = 0
    for block in program.inputs:
        if block.name in by:
            column |= {row + i: (block.name, i) for i in range(block.size)}
        row += block.size
    graph = Graph()
    tangents: list[dict[int, Scalar]] = []
    for i, here in _replay(program, graph):
        if program.ops[i] == "input":
            r = program.args[i][0]
            tangents.append({r: 1.0} if r in column else {})
        else:
            tangents.append(_forward(program, graph, here, tangents, i))
    start = sum(b.size for b in program.outputs[: [b.name for b in program.outputs].index(output)])
    size = next(b.size for b in program.outputs if b.name == output)
    outputs, results = [], []
    for name in by:
        rows = [r for r, (block, _) in column.items() if block == name]
        outputs.append(Block(f"d{output}/d{name}", size * len(rows)))
        results += [tangents[n].get(r, 0.0) for n in program.results[start : start + size] for r in rows]
    return finish(f"{program.name}.jacobian", graph, program.inputs, tuple(outputs), results)


def _replay(program: Program, graph: Graph) -> Iterator[tuple[int, list[Symbol]]]:
    """Make the nodes anew one by one, so that what is derived from each stands right behind it."""
    here: list[Symbol] = []
    for i, (op, args) in enumerate(zip(program.ops, program.args)):
        if op == "input":
            here.append(graph.input(*args))
        elif op == "const":
            here.append(graph.constant(*args))
        else:
            here.append(graph.node(op, *(here[a] for a in args)))
        yield i, here


def _forward(
    program: Program, graph: Graph, here: list[Symbol], tangents: list[dict[int, Scalar]], i: int
) -> dict[int, Scalar]:
    """Tangent of one operation: partial derivatives times the tangents of what it reads."""
    found: dict[int, Scalar] = {}
    if program.ops[i] == "const" or not any(tangents[a] for a in program.args[i]):
        return found
    for a, partial in zip(program.args[i], _partials(program, graph, here, i)):
        if partial is not None:
            for k, tangent in tangents[a].items():
                found[k] = add(found.get(k, 0.0), mul(partial, tangent))
    return {k: t for k, t in found.items() if not (type(t) is float and t == 0.0)}


def _partials(program: Program, graph: Graph, here: Sequence[Symbol], i: int) -> Sequence[Scalar | None]:
    arguments = [graph.args[here[a].id][0] if program.ops[a] == "const" else here[a] for a in program.args[i]]
    return TABLE[program.ops[i]].partials(arguments, here[i])
