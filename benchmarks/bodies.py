"""Rigid-body algorithms, batched: ours compiled and eager beside Pinocchio and MuJoCo on the same states.

A 7-joint arm (xArm7) and a 38-dof humanoid on a free base (Talos), both read from URDF by each library (MuJoCo: from
the MJCF we write). All times are of whole calls: positions, velocities and accelerations in, results out, sines,
cosines and turning of layouts included. `first` is memory sample by sample, which is what Pinocchio's parallel calls
take; `last` is number by number, what our kernels prefer. Equal threads on both sides; ours and the peer take turns,
and the fastest call of each counts. Where Pinocchio has no parallel call, its peer is a loop over its Python binding
(some 1 us a call of it).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import BodyModel
from invdyn.bodies.urdf import read_urdf
from invdyn.kernels.compiled import CompiledProgram
from invdyn.kernels.function import Function
from invdyn.kernels.packing import Packed
from invdyn.kernels.program import Program

__all__ = ["run"]

ROBOTS = {
    "arm7": ("xarm_description/urdf/xarm7.urdf", "fixed"),
    "humanoid38": ("talos_data/robots/talos_reduced.urdf", "free"),
}
Call = Callable[[], Any]
TURN = 0.05
"""Seconds of one side before the other's turn: OpenMP's threads spin for milliseconds after a parallel call, on the
core that the other side's second thread would take."""

GRADIENT, MATRICES = "gradient (weights times derivatives)", "derivatives (matrices)"
ALGORITHMS: dict[str, Callable[[Dynamics, BodyModel], Function]] = {
    "rnea": lambda d, m: d.function("rnea"),
    "aba": lambda d, m: d.function("aba"),
    "crba": lambda d, m: d.function("crba"),
    "jacobian": lambda d, m: d.function("jacobian", m.bodies[-1].name),
    "regressor": lambda d, m: d.function("regressor"),
    GRADIENT: lambda d, m: d.function("rnea").vjp,
    MATRICES: lambda d, m: d.function("derivatives"),
}


def packed(function: Function) -> Program:
    """Each number of the results once, structural zeros left out."""
    return Packed.of(function.program).program


def alternating(ours: Call, peer: Call, seconds: float) -> tuple[float, float]:
    """Fastest time of each, s; both have turns of `TURN` until the time is spent, three turns at least."""
    best = [np.inf, np.inf]
    end, rounds = time.perf_counter() + seconds, 0
    ours()
    while rounds < 3 or time.perf_counter() < end:
        for k, call in enumerate((ours, peer)):
            over, calls = time.perf_counter() + TURN, 0
            while calls < 2 or time.perf_counter() < over:
                start = time.perf_counter()
                call()
                best[k] = min(best[k], time.perf_counter() - start)
                calls += 1
        rounds += 1
    return best[0], best[1]


class Robot:
    """One robot in all libraries, with states for them."""

    def __init__(self, name: str) -> None:
        import pinocchio as pin

        file, root = ROBOTS[name]
        self.name, self.path = name, Path(pin.__file__).parents[4] / "share/example-robot-data/robots" / file
        self.model: BodyModel = read_urdf(self.path, root=root)
        joint = [pin.JointModelFreeFlyer()] if root == "free" else []
        self.theirs = pin.buildModelFromUrdf(str(self.path), *joint)
        self.data = self.theirs.createData()

    def states(self, n: int) -> list[np.ndarray]:
        """q [nq, n], v and a [nv, n] in Fortran order: sample by sample in memory."""
        rng = np.random.default_rng(0)
        q = rng.uniform(-2, 2, (self.theirs.nq, n))
        if self.theirs.nq != self.theirs.nv:
            q[3:7] /= np.linalg.norm(q[3:7], axis=0)
        return [np.asfortranarray(x) for x in (q, *rng.normal(size=(2, self.theirs.nv, n)))]


def rows_of_rnea(robot: Robot, sizes: list[int], seconds: float) -> list[dict[str, Any]]:
    """Inverse dynamics by batch size, layout, precision and threads."""
    import pinocchio as pin

    rows = []
    function = Dynamics(robot.model, "compiled").function("rnea")
    pools = {k: pin.ModelPool(robot.theirs, k) for k in (1, 2)}
    for n, dtype, layout, threads in product(sizes, (torch.float64, torch.float32), ("last", "first"), (1, 2)):
        if n == 1 and threads > 1:
            continue
        x = robot.states(n)
        given = [torch.from_numpy(c).to(dtype) for c in x]
        # a batch-first tensor seen as [numbers, batch] is the transpose of [batch, numbers]
        given = [g.T.contiguous().T if layout == "first" else g.contiguous() for g in given]
        result = torch.empty(n, robot.model.nv, dtype=dtype).T
        result = result if layout == "first" else result.contiguous()
        if n == 1:
            theirs: Call = partial(pin.rnea, robot.theirs, robot.data, *(c[:, 0].copy() for c in x))
        else:
            theirs = partial(pin.rneaInParallel, threads, pools[threads], *x, np.zeros((robot.theirs.nv, n), order="F"))
        mine, peer = alternating(partial(function.native, given, threads=threads, out=[result]), theirs, seconds)
        name = f"rnea {robot.name} {_precision(dtype)} batch {n} {layout} x{threads}"
        note = "pin.rnea, one call" if n == 1 else f"pin.rneaInParallel({threads}), float64"
        rows.append(row(name, n / mine, n / peer, note))
    return rows


def rows_of_others(robot: Robot, n: int, seconds: float) -> list[dict[str, Any]]:
    """The other algorithms, one thread, float64, batch last."""
    import pinocchio as pin

    x = robot.states(n)
    m, d = robot.theirs, robot.data
    given = [torch.from_numpy(c).contiguous() for c in x]
    dynamics = Dynamics(robot.model, "compiled")
    aba = dynamics.function("aba")
    parallel = partial(pin.abaInParallel, 1, pin.ModelPool(m, 1), *x, np.zeros((m.nv, n), order="F"))
    mine, peer = alternating(partial(aba.native, given, threads=1), parallel, seconds)
    rows = [row(f"aba {robot.name} float64 batch {n} last x1", n / mine, n / peer, "pin.abaInParallel(1)")]

    weights = torch.ones(m.nv, n, dtype=torch.float64)
    rates = "pin.computeRNEADerivatives"
    peers: dict[str, tuple[list[torch.Tensor], Callable[..., Any], str]] = {
        "crba": (given[:1], lambda q, v, a: pin.crba(m, d, q), "pin.crba"),
        "jacobian": (
            given[:1],
            lambda q, v, a: pin.computeJointJacobian(m, d, q, m.njoints - 1),
            "pin.computeJointJacobian",
        ),
        "regressor": (
            given,
            lambda q, v, a: pin.computeJointTorqueRegressor(m, d, q, v, a),
            "pin.computeJointTorqueRegressor",
        ),
        GRADIENT: (
            [*given, weights],
            lambda q, v, a: pin.computeRNEADerivatives(m, d, q, v, a),
            f"{rates}, the product left out",
        ),
        MATRICES: (given, lambda q, v, a: pin.computeRNEADerivatives(m, d, q, v, a), rates),
    }
    few = min(n, 512)  # the binding takes the same time for each sample
    samples = [tuple(np.ascontiguousarray(c[:, i]) for c in x) for i in range(few)]
    for (name, (inputs, theirs, what)), size in product(peers.items(), sorted({min(n, 128), n})):
        function = ALGORITHMS[name](dynamics, robot.model)
        program = packed(function)
        numbers, all_numbers = program.outputs[0].size, sum(b.size for b in function.program.outputs)
        fit = max(64, min(size, 400_000_000 // (8 * numbers)))  # results of half a gigabyte at most
        part = [g[:, :fit].contiguous() for g in inputs]
        result = [torch.empty(numbers, fit, dtype=torch.float64)]
        call = partial(CompiledProgram(program), part, threads=1, out=result)
        mine, peer = alternating(call, partial(_loop, theirs, samples), seconds)
        label = f"{name} {robot.name} float64 batch {fit} last x1"
        note = f"loop of {what}; {numbers} of {all_numbers} numbers are not structural zeros or copies"
        rows.append(row(label, fit / mine, few / peer, note))
    return rows


def rows_of_ways(robot: Robot, n: int, seconds: float) -> list[dict[str, Any]]:
    """RNEA operation by operation, and compiled beside MuJoCo."""
    import pinocchio as pin

    x = robot.states(n)
    given = [torch.from_numpy(c).contiguous() for c in x]
    program = Dynamics(robot.model, "eager").function("rnea").program
    pool, out = pin.ModelPool(robot.theirs, 1), np.zeros((robot.theirs.nv, n), order="F")
    mine, peer = alternating(partial(program.evaluate, *given), partial(pin.rneaInParallel, 1, pool, *x, out), seconds)
    name = f"rnea {robot.name} eager float64 batch {n}"
    rows = [row(name, n / mine, n / peer, "pin.rneaInParallel(1)")]
    function = Dynamics(robot.model, "compiled").function("rnea")
    few = min(n, 512)
    samples = [tuple(c[:, i].copy() for c in x) for i in range(few)]
    mine, peer = alternating(
        partial(function.native, given, threads=1), partial(_loop, _mujoco(robot.model), samples), seconds
    )
    rows.append(row(f"rnea {robot.name} float64 batch {n} last x1", n / mine, few / peer, "loop of mujoco.mj_rne"))
    return rows


def _loop(call: Callable[..., Any], samples: list[tuple[np.ndarray, ...]]) -> None:
    for s in samples:
        call(*s)


def _mujoco(model: BodyModel) -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """Inverse dynamics of the same tree in MuJoCo (kinematics, centres of mass, velocities, then RNE)."""
    import mujoco

    from invdyn.bodies.mjcf_write import mjcf_text

    theirs = mujoco.MjModel.from_xml_string(mjcf_text(model))
    data, result = mujoco.MjData(theirs), np.zeros(theirs.nv)

    def call(q: np.ndarray, v: np.ndarray, a: np.ndarray) -> None:
        data.qpos[:], data.qvel[:], data.qacc[:] = q, v, a
        mujoco.mj_kinematics(theirs, data)
        mujoco.mj_comPos(theirs, data)
        mujoco.mj_comVel(theirs, data)
        mujoco.mj_rne(theirs, data, 1, result)

    return call


def rows_of_compiling(robot: Robot) -> list[dict[str, Any]]:
    """Seconds from a model to its native function, with an empty and a filled cache."""
    rows = []
    before = os.environ.get("INVDYN_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INVDYN_CACHE"] = folder
        for algorithm, make in ALGORITHMS.items():
            spent = []
            for _ in range(2):
                start = time.perf_counter()
                program = packed(make(Dynamics(robot.model, "compiled"), robot.model))
                CompiledProgram(program).function(torch.float64)
                spent.append(time.perf_counter() - start)
            operations = program.operations
            rows.append({
                "name": f"compile {algorithm} {robot.name}", "ours": round(spent[0], 3), "peer": round(spent[1], 3),
                "unit": "s cold | s warm", "ratio": None, "note": f"{operations} operations; tracing included",
            })  # fmt: skip
    if before is None:
        del os.environ["INVDYN_CACHE"]
    else:
        os.environ["INVDYN_CACHE"] = before
    return rows


def rows_of_roofline(robot: Robot, n: int, seconds: float) -> list[dict[str, Any]]:
    """What an evaluation moves and computes, and how near the bandwidth of a copy it comes."""
    rows = []
    function = Dynamics(robot.model, "compiled").function("rnea")
    for dtype in (torch.float64, torch.float32):
        given = [torch.from_numpy(c).to(dtype).contiguous() for c in robot.states(n)]
        moved = function.program.bytes_moved(dtype.itemsize)
        plain = torch.empty(moved * n // 2 // dtype.itemsize, dtype=dtype)
        target = torch.empty_like(plain)
        mine, copy = alternating(
            lambda g=given: function.native(g, threads=1), lambda a=target, b=plain: a.copy_(b), seconds
        )  # type: ignore[misc]
        rows.append({
            "name": f"roofline rnea {robot.name} {_precision(dtype)} batch {n} x1",
            "ours": round(moved * n / mine / 1e9, 2), "peer": round(moved * n / copy / 1e9, 2), "unit": "GB/s",
            "ratio": round(copy / mine, 3),
            "note": f"{function.program.flops} flops and {moved} bytes an evaluation, "
            f"{function.program.flops * n / mine / 1e9:.1f} Gflop/s; peer: a copy of as many bytes",
        })  # fmt: skip
    return rows


def row(name: str, ours: float, peer: float, note: str) -> dict[str, Any]:
    """A line of the table from two rates."""
    rates = {"ours": _rate(ours), "peer": _rate(peer), "unit": "evaluations/s", "ratio": round(ours / peer, 2)}
    return {"name": name, **rates, "note": note}


def _rate(x: float) -> float:
    return float(f"{x:.4g}")


def _precision(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def run(quick: bool = False) -> list[dict[str, Any]]:
    """All rows; `quick` takes small batches and the arm alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = 0.02 if quick else 1.5
    rows: list[dict[str, Any]] = []
    try:
        for name in list(ROBOTS)[: 1 if quick else None]:
            robot = Robot(name)
            rows += rows_of_compiling(robot)
            rows += rows_of_rnea(robot, [1, 256] if quick else [1, 64, 4096, 65_536, 1_048_576], seconds)
            rows += rows_of_others(robot, 256 if quick else 65_536, seconds)
            rows += rows_of_ways(robot, 256 if quick else 65_536, seconds)
            rows += rows_of_roofline(robot, 256 if quick else 65_536, seconds)
            print(f"bodies: {name} done", file=sys.stderr)
    finally:
        torch.set_num_threads(before)
    return rows
