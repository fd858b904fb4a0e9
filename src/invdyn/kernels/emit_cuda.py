"""A `Program` as CUDA C: one thread computes one sample, straight through, in registers.

Neighbouring threads read neighbouring samples, so that batch-last arrays (any strides, in fact) are read and written as
they are. Where a sample's numbers lie side by side instead (batch first), a warp's reads would scatter over as many
lines as it has threads; such arrays go through shared memory, which a block of threads fills and empties in order.
Numbers that are uniform over the batch are read where they stand: all threads of a warp ask for the same address, which
the first-level cache answers at once, and nothing has to be copied to constant memory before a launch.
`cuda_math.h` holds the elementary functions. Sines and cosines of inputs are computed before all else, so that one
branch serves them all and the rest of the program is one block of code, in which the compiler may ask for every input
early. What does not fit into 255 registers per thread it spills; `cuda.CudaProgram.resources` tells how much.
Long programs, which must spill anyway, are cut into functions that leave their numbers for one another in local memory:
as one function, 65,000 operations do not get through the assembler in ten minutes (and in pieces not in two).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from invdyn.kernels.forms import number, written
from invdyn.kernels.pieces import pieces
from invdyn.kernels.program import Program

__all__ = ["MOST", "CudaSource", "emit_cuda"]

THREADS = 128
"""Threads of a block: four warps, so that even at 255 registers each two blocks share a multiprocessor."""
WHOLE = 5000
"""Operations a single function may have: a humanoid's RNEA (3,800) still fits the registers in float32."""
PIECE = 1500
"""Operations of each function of a longer program."""
MOST = 20_000
"""Operations of a program worth compiling: a humanoid's packed regressor (17,600) takes half a minute."""
STAGE = 48 * 1024
"""Bytes of shared memory a block takes at most while it has more than one warp; three to four blocks then fit."""
STAGE_OF_A_WARP = 96 * 1024
"""Bytes one warp may take; arrays beyond it are read and written where they stand."""


@dataclass(frozen=True)
class CudaSource:
    """Source of one kernel `run`, and how it wants to be launched.

    Its arguments are the batch size (long long) and per array, inputs first, pointer, step between rows, step between
    samples (long long, in numbers).

    Args:
        text: CUDA C without includes, as NVRTC takes it.
        threads: of a block; blocks = ceil(batch / threads).
        shared: bytes of dynamic shared memory of a block.
    """

    text: str
    threads: int
    shared: int


def emit_cuda(program: Program, single: bool, staged: Sequence[bool] = (), fast_sine: bool = False) -> CudaSource:
    """CUDA source of a program.

    Args:
        single: float32, else float64.
        staged: per array (inputs, then outputs) whether its samples lie one behind the other without gaps, so that it
            goes through shared memory; empty: none.
        fast_sine: in float32 take the processor's own sine (`__sincosf`: absolute error 2^-21.4 on [-pi, pi], growing
            with the angle beyond) instead of one that is right to 2 ulp everywhere.
    """
    arrays = [*program.inputs, *program.outputs]
    wanted = list(staged) or [False] * len(arrays)
    size = 4 if single else 8
    offsets: dict[int, int] = {}
    pitch = 0  # numbers of shared memory per thread; odd for each array, so that no two threads meet in a bank
    for k, block in enumerate(arrays):
        uniform = k < len(program.inputs) and block.uniform
        if wanted[k] and not uniform and block.size and (pitch + (block.size | 1)) * size * 32 <= STAGE_OF_A_WARP:
            offsets[k] = pitch
            pitch += block.size | 1
    threads = THREADS
    while threads > 32 and threads * pitch * size > STAGE:
        threads //= 2
    head = ["#define SINGLE" if single else "", "#define FAST_SINE" if fast_sine else "", _text("cuda_math.h")]
    body = _kernel(program, offsets, threads)
    return CudaSource("\n".join([*head, *body]), threads, threads * pitch * size)


def _text(file: str) -> str:
    return resources.files("invdyn.kernels").joinpath(file).read_text(encoding="utf-8")


@dataclass(frozen=True)
class _Sample:
    """How one sample is computed.

    Args:
        functions: before the kernel.
        lines: in the kernel, where `b` is the sample's number.
    """

    functions: list[str]
    lines: list[str]


def _kernel(program: Program, offsets: dict[int, int], threads: int) -> list[str]:
    inputs, outputs = program.inputs, program.outputs
    first_out = len(inputs)
    arguments = ["const long long batch"]
    for k, _ in enumerate((*inputs, *outputs)):
        kind = "const T *__restrict__" if k < first_out else "T *__restrict__"
        arguments.append(f"{kind} a{k}, const long long r{k}, const long long s{k}")
    one = _sample(program, _places(program, offsets), _pointers(program, offsets, threads), arguments[1:])
    lines = ["extern __shared__ T stage[];"] if offsets else []
    lines += [
        *one.functions,
        f'extern "C" __global__ void __launch_bounds__({threads}) run({", ".join(arguments)}) {{',
        f"const long long first = (long long)blockIdx.x * {threads}, b = first + threadIdx.x;",
    ]
    if offsets:
        lines.append(f"const int count = batch - first < {threads} ? (int)(batch - first) : {threads};")
    lines += [_through_shared(k, inputs[k].size, offsets[k], threads, True) for k in offsets if k < first_out]
    if any(k < first_out for k in offsets):
        lines.append("__syncthreads();")
    lines += ["if (b < batch) {", *one.lines, "}"]
    if any(k >= first_out for k in offsets):
        lines.append("__syncthreads();")
    lines += [
        _through_shared(k, outputs[k - first_out].size, offsets[k], threads, False) for k in offsets if k >= first_out
    ]
    return [*lines, "}"]


def _through_shared(k: int, size: int, offset: int, threads: int, inwards: bool) -> str:
    """A block's samples between memory, where they follow one another, and shared memory, where each has its place."""
    shared = f"stage[{offset * threads} + e / {size} * {size | 1} + e % {size}]"
    memory = f"a{k}[first * {size} + e]"
    move = f"{shared} = {memory};" if inwards else f"{memory} = {shared};"
    return f"for (int e = threadIdx.x; e < count * {size}; e += {threads}) {move}"


def _places(program: Program, offsets: dict[int, int]) -> list[str]:
    """Where each row of the inputs, then of the outputs, is read or written."""
    places = []
    for k, block in enumerate((*program.inputs, *program.outputs)):
        if k in offsets:
            places += [f"p{k}[{i}]" for i in range(block.size)]
        elif k < len(program.inputs) and block.uniform:
            places += [f"a{k}[{i}*r{k}]" for i in range(block.size)]
        else:
            places += [f"a{k}[{i}*r{k}+b*s{k}]" for i in range(block.size)]
    return places


def _pointers(program: Program, offsets: dict[int, int], threads: int) -> list[str]:
    """A thread's own places in shared memory."""
    lines = []
    for k, offset in offsets.items():
        inside = k < len(program.inputs)
        size = (*program.inputs, *program.outputs)[k].size
        start = f"stage + {offset * threads} + threadIdx.x * {size | 1}"
        lines.append(f"{'const T *' if inside else 'T *'}p{k} = {start};")
    return lines


def _sample(program: Program, places: list[str], pointers: list[str], arguments: list[str]) -> _Sample:
    """The whole program in the kernel, or functions for its pieces and the calls of them."""
    rows_in = sum(b.size for b in program.inputs)
    writes: dict[int, list[str]] = {}
    for row, node in enumerate(program.results):
        writes.setdefault(node, []).append(places[rows_in + row])
    angles = sorted({
        args[0]
        for op, args in zip(program.ops, program.args)
        if op in ("sin", "cos") and program.ops[args[0]] == "input"
    })  # fmt: skip
    at_once = [f"Pair w{a}=near_sincos(t{a});" for a in angles]
    if angles:
        far = "||".join(f"is_far(t{a})" for a in angles)
        at_once += [f"if ({far}) {{", *(f"w{a}=far_sincos(t{a});" for a in angles), "}"]
    given = [i for i, op in enumerate(program.ops) if op == "input"]
    known = [i for i, op in enumerate(program.ops) if op in ("input", "const")]
    loads = {i: f"const T t{i}={places[program.args[i][0]]};" for i in given}
    plain = [f"{place}={_name(program, i)};" for i in known for place in writes.get(i, ())]
    if program.operations <= WHOLE:
        whole = [i for i, op in enumerate(program.ops) if op not in ("input", "const")]
        text = _stretch(program, whole, writes, set(angles))
        return _Sample([], [*pointers, *(loads[i] for i in given), *at_once, *plain, *text])
    stretches, crossing = pieces(program, PIECE)
    after = {a: len(crossing) + 2 * k for k, a in enumerate(angles)}  # sines and cosines behind what crosses
    functions = []
    for n, stretch in enumerate(stretches):
        here = set(stretch)
        read = sorted({a for i in stretch for a in program.args[i]} - here)
        turned = {program.args[i][0] for i in stretch if program.ops[i] in ("sin", "cos")}.intersection(angles)
        text = [
            loads[a] if a in loads else f"const T t{a}=w[{crossing[a]}];" for a in read if program.ops[a] != "const"
        ]
        text += [f"Pair w{a};w{a}.sine=w[{after[a]}];w{a}.cosine=w[{after[a] + 1}];" for a in sorted(turned)]
        text += _stretch(program, stretch, writes, turned, crossing)
        head = f"static __device__ __noinline__ void piece{n}(const long long b, {', '.join([*arguments, 'T *w'])}) {{"
        functions += [head, *pointers, *text, "}"]
    names = ", ".join(["b", *(a.split()[-1] for group in arguments for a in group.split(",")), "w"])
    keep = [f"w[{after[a]}]=w{a}.sine;w[{after[a] + 1}]=w{a}.cosine;" for a in angles]
    first = [loads[i] for i in given if i in angles or i in writes]
    lines = [f"T w[{len(crossing) + 2 * len(angles) + 1}];", *pointers, *first, *at_once, *keep, *plain]
    return _Sample(functions, [*lines, *(f"piece{n}({names});" for n in range(len(stretches)))])


def _stretch(
    program: Program,
    nodes: Sequence[int],
    writes: dict[int, list[str]],
    turned: set[int],
    crossing: Mapping[int, int] = {},
) -> list[str]:
    """Operations in order, with what they write; `turned`: nodes whose sine and cosine stand in a pair w already."""
    lines, pairs = [], set(turned)
    for i in nodes:
        op, args = program.ops[i], program.args[i]
        if op in ("sin", "cos"):
            a = args[0]
            if a not in pairs:
                pairs.add(a)
                lines.append(f"const Pair w{a}=sincos_of({_name(program, a)});")
            lines.append(f"const T t{i}=w{a}.{'sine' if op == 'sin' else 'cosine'};")
        else:
            lines.append(f"const T t{i}={written(op, *(_name(program, a) for a in args))};")
        if i in crossing:
            lines.append(f"w[{crossing[i]}]=t{i};")
        lines += [f"{place}=t{i};" for place in writes.get(i, ())]
    return lines


def _name(program: Program, node: int) -> str:
    return f"((T){number(program.args[node][0])})" if program.ops[node] == "const" else f"t{node}"
