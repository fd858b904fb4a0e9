"""A `Program` as C: straight-line code on vectors, over blocks of the batch, on threads.

The batch is worked through in blocks whose numbers fit the cache: rows of a large batch lie far apart in memory, often
at distances the cache maps onto itself. Each block is copied (and, for batch-first arrays, turned) into a compact
workspace, computed there, and copied out. Long programs are cut into pieces, because compilers slow down on long
functions; what one piece leaves for the next stands in the workspace.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from invdyn.kernels.program import Program

__all__ = ["PIECE", "emit_c"]

PIECE = 1500
"""Operations per C function: near the least compile time a program of 4,000 operations needs (measured)."""
WORKSPACE = 256 * 1024
"""Bytes of numbers in and out that a block may have; half of a common second-level cache."""

_FORMS: dict[str, Callable[..., str]] = {
    "add": lambda a, b: f"{a}+{b}",
    "sub": lambda a, b: f"{a}-{b}",
    "mul": lambda a, b: f"{a}*{b}",
    "div": lambda a, b: f"{a}/{b}",
    "neg": lambda a: f"-{a}",
    "sqrt": lambda a: f"vsqrt({a})",
    "exp": lambda a: f"vexp({a})",
    "log": lambda a: f"vlog({a})",
    "tanh": lambda a: f"vtanh({a})",
    "atan2": lambda a, b: f"vatan2({a},{b})",
    "abs": lambda a: f"vabs({a})",
    "sign": lambda a: f"vsign({a})",
    "min": lambda a, b: f"vmin({a},{b})",
    "max": lambda a, b: f"vmax({a},{b})",
    "select": lambda a, b, x, y: f"pick({a}<{b},{x},{y})",
}
_ARGUMENTS = "(const T*restrict x,T*restrict y,const T*restrict u,V*restrict w)"
_SCALAR_FIRST = {"add", "sub", "mul", "div"}  # operators that C broadcasts a constant over a vector for

_RUN = r"""
typedef struct {
    const T *const *in;
    T *const *out;
    const ptrdiff_t *layout; /* per block: step between rows, step between samples */
    size_t start, stop;
} Job;

static void gather(T *to, const T *from, ptrdiff_t row, ptrdiff_t sample, size_t rows, size_t n) {
    if (sample == 1)
        for (size_t i = 0; i < rows; i++) memcpy(to + i * WIDTH, from + (ptrdiff_t)i * row, n * sizeof(T));
    else
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < n; j++) to[i * WIDTH + j] = from[(ptrdiff_t)i * row + (ptrdiff_t)j * sample];
    if (n % LANES) /* the last vector repeats the last sample: no lane computes on rubbish */
        for (size_t i = 0; i < rows; i++)
            for (size_t j = n; j % LANES; j++) to[i * WIDTH + j] = to[i * WIDTH + n - 1];
}

static void scatter(T *to, const T *from, ptrdiff_t row, ptrdiff_t sample, size_t rows, size_t n) {
    if (sample == 1)
        for (size_t i = 0; i < rows; i++) memcpy(to + (ptrdiff_t)i * row, from + i * WIDTH, n * sizeof(T));
    else
        for (size_t j = 0; j < n; j++)
            for (size_t i = 0; i < rows; i++) to[(ptrdiff_t)i * row + (ptrdiff_t)j * sample] = from[i * WIDTH + j];
}

static void *work(void *given) {
    const Job *job = given;
    T *space;
    if (posix_memalign((void **)&space, 64, (ROWS * WIDTH + UNIFORM + SPILL * LANES + LANES) * sizeof(T))) return given;
    T *uniform = space + ROWS * WIDTH;
    V *spill = (V *)(uniform + (UNIFORM + LANES - 1) / LANES * LANES);
    for (int k = 0, u = 0; k < INPUTS; k++)
        if (IS_UNIFORM[k])
            for (int i = 0; i < SIZE[k]; i++) uniform[u++] = job->in[k][(ptrdiff_t)i * job->layout[2 * k]];
    for (size_t b = job->start; b < job->stop; b += BLOCK) {
        const size_t n = job->stop - b < BLOCK ? job->stop - b : BLOCK;
        T *row = space;
        for (int k = 0; k < INPUTS; k++)
            if (!IS_UNIFORM[k]) {
                const ptrdiff_t r = job->layout[2 * k], s = job->layout[2 * k + 1];
                gather(row, job->in[k] + (ptrdiff_t)b * s, r, s, SIZE[k], n);
                row += SIZE[k] * WIDTH;
            }
        for (size_t j = 0; j < n; j += LANES) program(space + j, row + j, uniform, spill);
        for (int k = INPUTS; k < INPUTS + OUTPUTS; k++) {
            const ptrdiff_t r = job->layout[2 * k], s = job->layout[2 * k + 1];
            scatter(job->out[k - INPUTS] + (ptrdiff_t)b * s, row, r, s, SIZE[k], n);
            row += SIZE[k] * WIDTH;
        }
    }
    free(space);
    return NULL;
}

/* 0 if all went well; 1 where memory ran out. */
int run(const T *const *in, T *const *out, const ptrdiff_t *layout, size_t batch, int threads) {
    enum { MOST = 256 };
    pthread_t thread[MOST];
    Job job[MOST];
    int begun[MOST], failed = 0;
    const size_t blocks = (batch + BLOCK - 1) / BLOCK;
    if (threads > MOST) threads = MOST;
    if ((size_t)threads > blocks) threads = (int)blocks;
    for (int t = 0; t < threads; t++) {
        job[t] = (Job){in, out, layout, blocks * t / threads * BLOCK, blocks * (t + 1) / threads * BLOCK};
        if (job[t].stop > batch) job[t].stop = batch;
        begun[t] = t + 1 < threads && !pthread_create(&thread[t], NULL, work, &job[t]);
        if (!begun[t]) failed |= work(&job[t]) != NULL;
    }
    for (int t = 0; t < threads; t++)
        if (begun[t]) {
            void *told;
            pthread_join(thread[t], &told);
            failed |= told != NULL;
        }
    return failed;
}
"""


def emit_c(program: Program, single: bool) -> str:
    """C source of a program with one function `run(in, out, layout, batch, threads)`.

    Args:
        single: float32, else float64.
    """
    body, spills = _pieces(program)
    rows = sum(b.size for b in (*program.inputs, *program.outputs) if not b.uniform)
    itemsize = 4 if single else 8
    block = max(64, min(1024, WORKSPACE // itemsize // max(rows, 1) // 64 * 64))
    sizes = [b.size for b in (*program.inputs, *program.outputs)]
    uniform = [int(b.uniform) for b in program.inputs]
    constants = {
        "INPUTS": len(program.inputs),
        "OUTPUTS": len(program.outputs),
        "BLOCK": block,
        "WIDTH": block + 64 // itemsize,  # rows a cache line apart from a power of two
        "ROWS": rows,
        "UNIFORM": sum(b.size for b in program.inputs if b.uniform),
        "SPILL": spills,
    }
    head = [
        "#define SINGLE" if single else "",
        "#define _GNU_SOURCE",
        "#include <stdlib.h>",
        resources.files("invdyn.kernels").joinpath("vector_math.h").read_text(encoding="utf-8"),
        f"enum {{ {', '.join(f'{k} = {n}' for k, n in constants.items())} }};",
        f"static const int SIZE[] = {{{', '.join(map(str, sizes))}}};",
        f"static const int IS_UNIFORM[] = {{{', '.join(map(str, [*uniform, 0]))}}};",
    ]
    return "\n".join([*head, body, _RUN])


def _pieces(program: Program) -> tuple[str, int]:
    """The functions of the program, and how many numbers they leave for one another."""
    where, row, uniform = {}, 0, 0
    number = 0
    for block in program.inputs:
        for _ in range(block.size):
            if block.uniform:
                where[number], uniform = f"all(u[{uniform}])", uniform + 1
            else:
                where[number], row = f"*(const V*)(x+{row}*WIDTH)", row + 1
            number += 1
    results: dict[int, list[int]] = {}
    for i, node in enumerate(program.results):
        results.setdefault(node, []).append(i)

    chunks: list[list[int]] = [[]]
    for i, op in enumerate(program.ops):
        if op not in ("input", "const"):
            if len(chunks[-1]) >= PIECE:
                chunks.append([])
            chunks[-1].append(i)
    piece_of = {i: k for k, chunk in enumerate(chunks) for i in chunk}
    crossing: dict[int, int] = {}
    for i, op in enumerate(program.ops):
        if op not in ("input", "const"):
            for a in program.args[i]:
                if a in piece_of and piece_of[a] != piece_of[i]:
                    crossing.setdefault(a, len(crossing))

    functions = [_piece(program, k, chunk, where, crossing, results) for k, chunk in enumerate(chunks)]
    rest = [
        f"*(V*)(y+{i}*WIDTH)={_load(program, n, where)};"
        for n, rows in results.items()
        if n not in piece_of
        for i in rows
    ]
    calls = [f"piece{k}(x,y,u,w);" for k in range(len(chunks))]
    last = "\n".join([f"static void program{_ARGUMENTS}{{", *rest, *calls, "}"])
    return "\n".join([*functions, last]), len(crossing)


def _piece(
    program: Program,
    k: int,
    chunk: list[int],
    where: dict[int, str],
    crossing: dict[int, int],
    results: dict[int, list[int]],
) -> str:
    """One C function: a stretch of the program."""
    lines = [f"static __attribute__((noinline)) void piece{k}{_ARGUMENTS}{{"]
    known: set[int] = set()
    pairs: set[int] = set()

    def name(a: int) -> str:
        if program.ops[a] == "const":
            return f"(T){program.args[a][0]!r}"
        if a not in known:
            known.add(a)
            lines.append(
                f"const V t{a}={_load(program, a, where) if program.ops[a] == 'input' else f'w[{crossing[a]}]'};"
            )
        return f"t{a}"

    for i in chunk:
        op, args = program.ops[i], program.args[i]
        names = [name(a) for a in args]
        if op not in _SCALAR_FIRST:
            names = [f"all({n})" if program.ops[a] == "const" else n for n, a in zip(names, args)]
        if op in ("sin", "cos"):
            if args[0] not in pairs:
                pairs.add(args[0])
                lines.append(f"V s{args[0]},c{args[0]};vsincos({names[0]},&s{args[0]},&c{args[0]});")
            lines.append(f"const V t{i}={'s' if op == 'sin' else 'c'}{args[0]};")
        else:
            lines.append(f"const V t{i}={_FORMS[op](*names)};")
        known.add(i)
        if i in crossing:
            lines.append(f"w[{crossing[i]}]=t{i};")
        lines += [f"*(V*)(y+{r}*WIDTH)=t{i};" for r in results.get(i, ())]
    return "\n".join([*lines, "}"])


def _load(program: Program, node: int, where: dict[int, str]) -> str:
    """C expression of an input or constant as a vector."""
    if program.ops[node] == "const":
        return f"all((T){program.args[node][0]!r})"
    return where[program.args[node][0]]
