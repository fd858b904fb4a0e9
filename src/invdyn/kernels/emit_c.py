"""A `Program` as C: straight-line code on vectors, over blocks of the batch, on threads.

`vector_math.h` holds the elementary functions, `batches.h` the way through the batch: blocks that fit the cache, turned
into vectors, on threads. Long programs are cut into pieces, because compilers slow down on long functions; what one
piece leaves for the next stands in the workspace. Sines and cosines of inputs are computed before all else, so that no
piece calls a function, which would send every vector register to memory.
"""

from __future__ import annotations

from importlib import resources

from invdyn.kernels.forms import number, written
from invdyn.kernels.pieces import pieces
from invdyn.kernels.program import Program

__all__ = ["PIECE", "emit_c"]

PIECE = 400
"""Operations per C function: near the least compile time of 4,000 and of 30,000 operations, and as fast as 1,500."""
ENOUGH = 2_000_000
"""Operations a thread is begun for, at least; some 50 us of them, which is what starting one takes."""
WORKSPACE = 256 * 1024
"""Bytes of numbers in and out that a block may have; half of a common second-level cache."""

_ARGUMENTS = "(const T*restrict x,T*restrict y,const T*restrict u,V*restrict w,const Ahead*restrict f)"
_SCALAR_FIRST = {"add", "sub", "mul", "div"}  # operators that C broadcasts a constant over a vector for


def emit_c(program: Program, single: bool) -> str:
    """C source of a program with one function `run(in, out, layout, batch, threads)`.

    Args:
        single: float32, else float64.
    """
    body, spills = _pieces(program)
    inside = sum(b.size for b in program.inputs if not b.uniform)
    outside = sum(b.size for b in program.outputs)
    itemsize = 4 if single else 8
    block = max(64, min(1024, WORKSPACE // itemsize // max(inside + outside, 1) // 64 * 64))
    sizes = [b.size for b in (*program.inputs, *program.outputs)]
    uniform = [int(b.uniform) for b in program.inputs]
    constants = {
        "INPUTS": len(program.inputs),
        "OUTPUTS": len(program.outputs),
        "BLOCK": block,
        "ENOUGH": max(1, ENOUGH // max(program.operations, 1)),
        "AHEAD": 1 + 3000 // max(program.operations, 1),
        "ROWS_IN": inside,
        "ROWS_OUT": outside,
        "UNIFORM": sum(b.size for b in program.inputs if b.uniform),
        "SPILL": spills,
    }
    head = [
        "#define SINGLE" if single else "",
        "#define _GNU_SOURCE",
        "#include <stdlib.h>",
        _text("vector_math.h"),
        f"enum {{ {', '.join(f'{k} = {n}' for k, n in constants.items())} }};",
        f"static const int SIZE[] = {{{', '.join(map(str, sizes))}}};",
        f"static const int IS_UNIFORM[] = {{{', '.join(map(str, [*uniform, *(0 for _ in program.outputs)]))}}};",
    ]
    return "\n".join([*head, body, _text("batches.h")])


def _text(file: str) -> str:
    return resources.files("invdyn.kernels").joinpath(file).read_text(encoding="utf-8")


def _pieces(program: Program) -> tuple[str, int]:
    """The functions of the program, and how many numbers they leave for one another."""
    where, row, uniform = {}, 0, 0
    node = 0
    for block in program.inputs:
        for _ in range(block.size):
            if block.uniform:
                where[node], uniform = f"all(u[{uniform}])", uniform + 1
            else:
                where[node], row = f"*(const V*)(x+{row}*LANES)", row + 1
            node += 1
    results: dict[int, list[int]] = {}
    for i, node in enumerate(program.results):
        results.setdefault(node, []).append(i)

    chunks, crossing = pieces(program, PIECE)
    computed = {i for chunk in chunks for i in chunk}
    angles = _angles(program, where)
    fixed = 2 * len(angles)
    crossing = {i: fixed + k for i, k in crossing.items()}
    fetches = _fetches(program, [i for chunk in chunks for i in chunk])
    functions = [_piece(program, k, c, where, crossing, results, angles, fetches) for k, c in enumerate(chunks)]
    ready = {n: found for n, found in results.items() if n not in computed}
    copied = [f"*(V*)(y+{i}*LANES)={where[program.args[n][0]]};" for n, i in _rows(program, ready, "input")]
    lines = [*copied, *(f"piece{k}(x,y,u,w,f);" for k in range(len(chunks)))]
    filled = _rows(program, ready, "const")
    if filled:  # a table and a loop: compilers take minutes for ten thousand statements
        functions.append(f"static const int FILLED[]={{{','.join(str(i) for _, i in filled)}}};")
        functions.append(f"static const T FILL[]={{{','.join(number(program.args[n][0]) for n, _ in filled)}}};")
        lines.insert(0, f"for(size_t i=0;i<{len(filled)};i++)*(V*)(y+FILLED[i]*LANES)=all(FILL[i]);")
    if angles:
        numbers = [where[program.args[a][0]].split("+")[1].split("*")[0] for a in angles]
        functions.append(f"static const int ANGLE[]={{{','.join(numbers)}}};")
        lines.insert(0, f"sincos_rows(x,ANGLE,{len(angles)},w);")
    whole = "\n".join([f"static void program{_ARGUMENTS}{{", *lines, "}"])
    return "\n".join([*functions, whole]), fixed + len(crossing)


def _rows(program: Program, results: dict[int, list[int]], op: str) -> list[tuple[int, int]]:
    """(node, result) of the results that are an input or a constant as it stands."""
    return [(n, i) for n, found in results.items() if program.ops[n] == op for i in found]


def _fetches(program: Program, operations: list[int]) -> dict[int, list[str]]:
    """After which operations a line of the later group is asked for: evenly through the program."""
    lines = [(k, i) for k, b in enumerate(program.inputs) if not b.uniform for i in range(b.size)]
    found: dict[int, list[str]] = {}
    for n, (k, i) in enumerate(lines):
        if operations:
            at = operations[n * len(operations) // len(lines)]
            found.setdefault(at, []).append(f"__builtin_prefetch(f[{k}].base+{i}*f[{k}].step);")
    return found


def _angles(program: Program, where: dict[int, str]) -> dict[int, int]:
    """Inputs whose sine or cosine is taken, and their number: these are computed together, before all else."""
    found: dict[int, int] = {}
    for op, args in zip(program.ops, program.args):
        if op in ("sin", "cos") and program.ops[args[0]] == "input":
            row = program.args[args[0]][0]
            if not where[row].startswith("all"):  # uniform numbers stand elsewhere
                found.setdefault(args[0], len(found))
    return found


def _piece(
    program: Program,
    k: int,
    chunk: list[int],
    where: dict[int, str],
    crossing: dict[int, int],
    results: dict[int, list[int]],
    angles: dict[int, int],
    fetches: dict[int, list[str]],
) -> str:
    """One C function: a stretch of the program."""
    lines = [f"static __attribute__((noinline)) void piece{k}{_ARGUMENTS}{{"]
    known: set[int] = set()
    pairs: set[int] = set()

    def name(a: int) -> str:
        if program.ops[a] == "const":
            return f"(T){number(program.args[a][0])}"
        if a not in known:
            known.add(a)
            stands = where[program.args[a][0]] if program.ops[a] == "input" else f"w[{crossing[a]}]"
            lines.append(f"const V t{a}={stands};")
        return f"t{a}"

    for i in chunk:
        op, args = program.ops[i], program.args[i]
        names = [name(a) for a in args]
        if op not in _SCALAR_FIRST:
            names = [f"all({n})" if program.ops[a] == "const" else n for n, a in zip(names, args)]
        if op in ("sin", "cos") and args[0] in angles:
            lines.append(f"const V t{i}=w[{2 * angles[args[0]] + (op == 'cos')}];")
        elif op in ("sin", "cos"):
            if args[0] not in pairs:
                pairs.add(args[0])
                lines.append(f"V s{args[0]},c{args[0]};vsincos({names[0]},&s{args[0]},&c{args[0]});")
            lines.append(f"const V t{i}={'s' if op == 'sin' else 'c'}{args[0]};")
        else:
            lines.append(f"const V t{i}={written(op, *names)};")
        known.add(i)
        lines += fetches.get(i, ())
        if i in crossing:
            lines.append(f"w[{crossing[i]}]=t{i};")
        lines += [f"*(V*)(y+{r}*LANES)=t{i};" for r in results.get(i, ())]
    return "\n".join([*lines, "}"])
