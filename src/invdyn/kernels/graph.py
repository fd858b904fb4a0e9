"""`Graph` and `Symbol`: a straight-line program as it grows; equal expressions become one node, constants fold."""

from __future__ import annotations

from typing import Any

__all__ = ["COMMUTATIVE", "Graph", "Symbol"]

COMMUTATIVE = {"add", "mul", "min", "max"}


class Symbol:
    """A number that is known only when the program runs: node `id` of a `Graph`.

    Arithmetic with floats and other symbols goes through `invdyn.kernels.scalar`, which folds constants.
    """

    __slots__ = ("graph", "id")
    __array_ufunc__ = None  # numpy leaves mixed arithmetic to us

    def __init__(self, graph: Graph, id: int) -> None:  # noqa: A002
        self.graph, self.id = graph, id

    def __repr__(self) -> str:
        return f"t{self.id}"

    def __bool__(self) -> bool:
        raise TypeError(
            "a branch on the value of a traced number: the program is traced once for all values. "
            "Use invdyn.kernels.scalar.select."
        )

    def __add__(self, other: Any) -> Any:
        return _scalar().add(self, other)

    def __radd__(self, other: Any) -> Any:
        return _scalar().add(other, self)

    def __sub__(self, other: Any) -> Any:
        return _scalar().sub(self, other)

    def __rsub__(self, other: Any) -> Any:
        return _scalar().sub(other, self)

    def __mul__(self, other: Any) -> Any:
        return _scalar().mul(self, other)

    def __rmul__(self, other: Any) -> Any:
        return _scalar().mul(other, self)

    def __truediv__(self, other: Any) -> Any:
        return _scalar().div(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _scalar().div(other, self)

    def __neg__(self) -> Any:
        return _scalar().neg(self)


def _scalar() -> Any:
    from invdyn.kernels import scalar

    return scalar


class Graph:
    """Nodes in the order of their making, which is an order of evaluation.

    Attributes:
        ops: operation of each node: `input`, `const` or a name of `invdyn.kernels.scalar.TABLE`.
        args: node ids each operation reads; of `input` and `const` its (row,) and (value,).
    """

    def __init__(self) -> None:
        self.ops: list[str] = []
        self.args: list[tuple[Any, ...]] = []
        self._symbols: dict[tuple[Any, ...], Symbol] = {}

    def __len__(self) -> int:
        return len(self.ops)

    def node(self, op: str, *args: Any) -> Symbol:
        """The symbol of an operation on symbols or floats; made only if it is not there yet."""
        ids = [a.id if type(a) is Symbol else self.constant(a).id for a in args]
        if op in COMMUTATIVE and ids[0] > ids[1]:
            ids.reverse()
        return self._intern((op, *ids))

    def input(self, row: int) -> Symbol:
        return self._intern(("input", row))

    def constant(self, value: float) -> Symbol:
        return self._intern(("const", float(value)))

    def find(self, op: str, *ids: int) -> Symbol | None:
        """The symbol of an operation if it is there."""
        return self._symbols.get((op, *ids))

    def symbol(self, id: int) -> Symbol:  # noqa: A002
        """The symbol of an existing node."""
        return self._symbols[(self.ops[id], *self.args[id])]

    def value(self, symbol: Symbol) -> float | None:
        """The number of a constant node, else None."""
        return self.args[symbol.id][0] if self.ops[symbol.id] == "const" else None

    def _intern(self, key: tuple[Any, ...]) -> Symbol:
        found = self._symbols.get(key)
        if found is None:
            found = self._symbols[key] = Symbol(self, len(self.ops))
            self.ops.append(key[0])
            self.args.append(key[1:])
        return found
