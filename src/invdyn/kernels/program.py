"""`Program`: a traced function of named blocks of numbers; `trace` makes it, `evaluate` runs it on tensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from invdyn.errors import FormatError, SignalError
from invdyn.kernels.graph import Graph, Symbol
from invdyn.kernels.scalar import TABLE, Scalar

__all__ = ["Block", "Program", "trace"]


@dataclass(frozen=True)
class Block:
    """A named group of numbers that goes in or comes out.

    Args:
        name: what it is.
        size: numbers per sample.
        uniform: the same for the whole batch (parameters, gravity); a vector [size] instead of [size, batch].
    """

    name: str
    size: int
    uniform: bool = False


@dataclass(frozen=True)
class Program:
    """Straight-line code: operations in order of evaluation, without those no output needs.

    Args:
        name: of the function.
        inputs, outputs: their blocks; rows are numbered through all blocks.
        ops, args: see `Graph`.
        results: per output row the node that holds it.
    """

    name: str
    inputs: tuple[Block, ...]
    outputs: tuple[Block, ...]
    ops: tuple[str, ...]
    args: tuple[tuple[Any, ...], ...]
    results: tuple[int, ...]

    @cached_property
    def operations(self) -> int:
        """How many operations, inputs and constants not counted."""
        return sum(op not in ("input", "const") for op in self.ops)

    @cached_property
    def flops(self) -> int:
        """Floating-point operations of one evaluation; a sine counts as `scalar.TABLE` says."""
        return sum(TABLE[op].flops for op in self.ops if op in TABLE)

    def bytes_moved(self, itemsize: int) -> int:
        """Bytes in and out per evaluation."""
        return itemsize * sum(b.size for b in (*self.inputs, *self.outputs) if not b.uniform)

    @cached_property
    def key(self) -> str:
        """A hash of the content."""
        return _hash(self.text())

    def text(self) -> str:
        """JSON: operations as numbers in a table of names, arguments end to end, constants in full precision."""
        names = sorted(set(self.ops))
        number = {name: k for k, name in enumerate(names)}
        record = {
            "name": self.name,
            "inputs": [[b.name, b.size, b.uniform] for b in self.inputs],
            "outputs": [[b.name, b.size, b.uniform] for b in self.outputs],
            "names": names,
            "arity": [len(self.args[self.ops.index(name)]) for name in names],
            "ops": [number[op] for op in self.ops],
            "args": [a for args in self.args for a in args],
            "results": self.results,
        }
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Program:
        """The program that wrote a text.

        Raises:
            FormatError: not such a text.
        """
        try:
            record = json.loads(text)
            names, arity, flat = record["names"], record["arity"], record["args"]
            if not set(names) <= {*TABLE, "input", "const"}:
                raise ValueError(f"operations {sorted(set(names) - set(TABLE))}")
            args, at = [], 0
            for k in record["ops"]:
                args.append(tuple(flat[at : at + arity[k]]))
                at += arity[k]
            inputs, outputs = (tuple(Block(*b) for b in record[side]) for side in ("inputs", "outputs"))
            ops = tuple(names[k] for k in record["ops"])
            program = cls(record["name"], inputs, outputs, ops, tuple(args), tuple(record["results"]))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise FormatError(f"not the text of a program ({error!r}). Trace it anew from its function.") from error
        program.__dict__["key"] = _hash(text)  # what the property would find, without writing the text again
        return program

    def graph(self) -> tuple[Graph, list[Symbol]]:
        """The program as a graph that can grow (to be differentiated), and the symbol of each node."""
        graph = Graph()
        symbols = [
            graph.input(*args)
            if op == "input"
            else graph.constant(*args)
            if op == "const"
            else graph._intern((op, *args))
            for op, args in zip(self.ops, self.args)
        ]
        return graph, symbols

    def check(self, tensors: Sequence[torch.Tensor]) -> int:
        """The batch size of inputs [size, batch] (uniform ones [size]).

        Raises:
            SignalError: a wrong number of inputs, no tensor of floats, a wrong shape, mixed batch sizes, dtypes or
                devices.
        """
        if len(tensors) != len(self.inputs):
            names = ", ".join(b.name for b in self.inputs)
            raise SignalError(f"{self.name}: {len(tensors)} inputs given; expected {names}.")
        batch, first = -1, tensors[0] if tensors else None
        for block, x in zip(self.inputs, tensors):
            wanted = f"[{block.size}]" if block.uniform else f"[{block.size}, batch]"
            if not isinstance(x, torch.Tensor) or not x.is_floating_point():
                kind = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
                raise SignalError(
                    f"{self.name}: {block.name} is {kind}; expected a tensor of floats {wanted}. Convert it: "
                    "torch.as_tensor(x, dtype=torch.float64)."
                )
            if x.ndim != 2 - block.uniform or x.shape[0] != block.size:
                turned = x.ndim == 2 and not block.uniform and x.shape[1] == block.size
                remedy = f" The batch is the last axis: pass {block.name}.T." if turned else ""
                raise SignalError(f"{self.name}: {block.name} has shape {list(x.shape)}; expected {wanted}.{remedy}")
            if first is not None and (x.dtype != first.dtype or x.device != first.device):
                raise SignalError(
                    f"{self.name}: {block.name} is {x.dtype} on {x.device}, {self.inputs[0].name} is {first.dtype} on "
                    f"{first.device}; expected one dtype and device. Convert one of them."
                )
            if not block.uniform:
                if batch not in (-1, x.shape[1]):
                    raise SignalError(
                        f"{self.name}: {block.name} has a batch of {x.shape[1]}, the inputs before it {batch}; "
                        "expected the same."
                    )
                batch = int(x.shape[1])
        return max(batch, 1) if batch == -1 else batch

    def results_for(
        self, like: torch.Tensor, batch: int, batch_first: bool, out: Sequence[torch.Tensor] | None
    ) -> tuple[torch.Tensor, ...]:
        """Tensors [size, batch] for the results, of the dtype and device of an input.

        Args:
            batch_first: new ones lie sample by sample in memory.
            out: given ones, which are checked; None makes new ones.

        Raises:
            SignalError: `out` of another number, shape, dtype or device.
        """
        if out is None:
            if batch_first:
                return tuple(like.new_empty(batch, b.size).T for b in self.outputs)
            return tuple(like.new_empty(b.size, batch) for b in self.outputs)
        wanted, given = [(b.size, batch) for b in self.outputs], [tuple(y.shape) for y in out]
        if given != wanted or any(y.dtype != like.dtype or y.device != like.device for y in out):
            raise SignalError(
                f"{self.name}: `out` has shapes {given}; expected {wanted}, {like.dtype} on {like.device}. "
                "Leave it out to have new tensors made."
            )
        return tuple(out)

    def evaluate(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run on torch tensors operation by operation: any device, any float dtype, autograd, torch.func.

        Args:
            tensors: per input block [size, batch], or [size] if uniform.

        Returns:
            Per output block [size, batch].
        """
        batch = self.check(tensors)
        rows: list[torch.Tensor] = []
        for x in tensors:
            rows += list(x.unbind(0))
        like = next((x for b, x in zip(self.inputs, tensors) if not b.uniform), tensors[0])
        values: list[Any] = []
        last = self._last_use
        for i, (op, args) in enumerate(zip(self.ops, self.args)):
            if op == "input":
                values.append(rows[args[0]])
            elif op == "const":
                values.append(args[0])
            else:
                read = [values[a] for a in args]
                if not any(isinstance(x, torch.Tensor) for x in read):
                    values.append(TABLE[op].number(*read))
                else:
                    values.append(TABLE[op].tensor(*read))
                for a in args:
                    if last[a] == i:
                        values[a] = None  # frees memory where autograd does not hold it

        def row(node: int) -> torch.Tensor:
            value = values[node]
            if not isinstance(value, torch.Tensor):
                return torch.full((batch,), value, dtype=like.dtype, device=like.device)
            return value.expand(batch)

        found, start = [], 0
        for block in self.outputs:
            nodes = self.results[start : start + block.size]
            empty = torch.empty(0, batch, dtype=like.dtype, device=like.device)
            found.append(torch.stack([row(n) for n in nodes]) if nodes else empty)
            start += block.size
        return tuple(found)

    @cached_property
    def _last_use(self) -> list[int]:
        last = [-1] * len(self.ops)
        for i, (op, args) in enumerate(zip(self.ops, self.args)):
            if op not in ("input", "const"):
                for a in args:
                    last[a] = i
        for r in self.results:
            last[r] = len(self.ops)
        return last


def trace(
    name: str,
    function: Callable[..., Mapping[str, Sequence[Scalar]]],
    inputs: Sequence[Block],
) -> Program:
    """Run a function once over symbols and keep what it did.

    Args:
        name: of the program.
        function: takes one list of scalars per input block, returns lists of scalars by output name.
        inputs: what it takes.
    """
    graph, lists, row = Graph(), [], 0
    for block in inputs:
        lists.append([graph.input(row + i) for i in range(block.size)])
        row += block.size
    found = function(*lists)
    outputs = tuple(Block(key, len(values)) for key, values in found.items())
    return finish(name, graph, tuple(inputs), outputs, [x for values in found.values() for x in values])


def finish(
    name: str, graph: Graph, inputs: tuple[Block, ...], outputs: tuple[Block, ...], results: Sequence[Scalar]
) -> Program:
    """Drop what no result needs and number the rest anew, in the same order."""
    nodes = [r.id if type(r) is Symbol else graph.constant(float(r)).id for r in results]
    needed = bytearray(len(graph))
    stack = list(nodes)
    while stack:
        i = stack.pop()
        if not needed[i]:
            needed[i] = 1
            if graph.ops[i] not in ("input", "const"):
                stack += graph.args[i]
    number = [-1] * len(graph)
    ops: list[str] = []
    args: list[tuple[Any, ...]] = []
    for i, op in enumerate(graph.ops):
        if needed[i]:
            number[i] = len(ops)
            ops.append(op)
            args.append(graph.args[i] if op in ("input", "const") else tuple(number[a] for a in graph.args[i]))
    return Program(name, inputs, outputs, tuple(ops), tuple(args), tuple(number[n] for n in nodes))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
