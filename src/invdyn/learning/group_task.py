"""Tasks of group arithmetic: all pairs (g1, g2) of a finite group and their product; the irreps its features live on.

Elements are numbers 0 ... M-1. A task is its table; what is learnt from it (cyclic, products, symmetric, dihedral,
any Cayley table, an expression mod M) makes no difference to anything that follows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int64
from torch import Tensor

from invdyn.errors import ConfigError, SignalError

__all__ = ["GroupTask", "critical_share", "cyclic", "dihedral", "expression", "from_table", "product", "symmetric"]


def critical_share(order: int) -> float:
    """The share of pairs below which the published code expects no generalisation: 2.7482 ln(M)/M."""
    return 2.7482 * math.log(order) / order


@dataclass(frozen=True)
class GroupTask:
    """A binary operation on M elements."""

    name: str
    table: Int64[Tensor, "order order"]
    """table[g1, g2]: the answer."""

    @property
    def order(self) -> int:
        """M."""
        return len(self.table)

    @cached_property
    def pairs(self) -> Int64[Tensor, "pair three"]:
        """Every (g1, g2, answer), [M^2, 3]."""
        first = torch.arange(self.order).repeat_interleave(self.order)
        return torch.stack([first, torch.arange(self.order).repeat(self.order), self.table.reshape(-1)], 1)

    def split(
        self, share: float, generator: torch.Generator
    ) -> tuple[Int64[Tensor, "train three"], Int64[Tensor, "test three"]]:
        """A random share of the pairs to learn from, and the rest.

        Raises:
            ConfigError: a share that leaves one of them empty.
        """
        count = round(share * self.order**2)
        if not 0 < count < self.order**2:
            raise ConfigError(f"task {self.name}: share {share:g} gives {count} of {self.order**2} pairs to train on.")
        chosen = torch.randperm(self.order**2, generator=generator)
        return self.pairs[chosen[:count]], self.pairs[chosen[count:]]

    @cached_property
    def components(self) -> tuple[Tensor, ...]:
        """Orthonormal bases [M, dim] of the isotypic components of functions on the group, the constant one first.

        A random function on the classes, the same on g and 1/g, acts by convolution; on each irrep (with its
        conjugate) it is a number, so its eigenspaces are what is wanted. For Z_M: one per frequency.

        Raises:
            SignalError: a table that is no group.
        """
        inverse = _inverses(self.table)
        if inverse is None:
            raise SignalError(f"task {self.name}: its table is no group, so it has no irreps.")
        m = self.order
        element = torch.arange(m)
        labels = self.table[self.table, inverse[:, None].expand(m, m)].amin(0)  # least of h g / h over h
        labels = torch.minimum(labels, labels[inverse])
        values = torch.randn(m, generator=torch.Generator().manual_seed(0), dtype=torch.float64)[labels]
        action = values[self.table[element[:, None], inverse[None, :]]]
        numbers, vectors = torch.linalg.eigh(action)
        gaps = torch.nonzero(numbers.diff() > 1e-8 * numbers.abs().max())[:, 0] + 1
        bases = torch.tensor_split(vectors, gaps.tolist(), dim=1)
        return tuple(sorted(bases, key=lambda b: (-abs(float(b.sum())) > -(m**0.5) + 1e-6, b.shape[1])))

    @cached_property
    def degrees(self) -> tuple[int, ...]:
        """Degree d_k of the irrep of each component: d_k^2 functions, or 2 d_k^2 with its conjugate."""
        found = []
        for basis in self.components:
            dim = basis.shape[1]
            root = math.isqrt(dim)
            found.append(root if root * root == dim else math.isqrt(dim // 2))
        return tuple(found)


def _inverses(table: Tensor) -> Tensor | None:
    """The inverse of every element; None where the table is no group."""
    m = len(table)
    element = torch.arange(m)
    units = torch.nonzero((table == element).all(1) & (table.mT == element).all(1))
    if len(units) != 1 or not bool(
        (table.sort(1).values == element).all() & (table.sort(0).values.mT == element).all()
    ):
        return None
    if not bool((table[table] == table[element[:, None, None], table[None]]).all()):  # (a b) c = a (b c)
        return None
    return (table == units[0, 0]).to(torch.int8).argmax(1)


def from_table(name: str, table: Int64[Tensor, "order order"]) -> GroupTask:
    """A group given by its Cayley table.

    Raises:
        SignalError: no group: not closed, no identity, no inverses, or not associative.
    """
    inside = table.ndim == 2 and table.shape[0] == table.shape[1] and int(table.min()) >= 0
    if not inside or int(table.max()) >= len(table) or _inverses(table) is None:
        raise SignalError(
            f"group {name}: the table of shape {tuple(table.shape)} is no group. Each row and column must hold "
            "0 ... M-1 once, with an identity, and (a b) c = a (b c)."
        )
    return GroupTask(name, table)


def cyclic(order: int) -> GroupTask:
    """Z_M: addition mod M."""
    return product([order])


def product(orders: Sequence[int]) -> GroupTask:
    """Z_a x Z_b x ...: addition in each part.

    Raises:
        ConfigError: no parts, or one of fewer than two elements.
    """
    if not orders or min(orders) < 2:
        raise ConfigError(f"product of cyclic groups {list(orders)}: parts of two elements or more are expected.")
    table = torch.zeros(1, 1, dtype=torch.int64)
    for n in orders:
        part = (torch.arange(n)[:, None] + torch.arange(n)) % n
        size = len(table)
        table = (table[:, None, :, None] * n + part[None, :, None, :]).reshape(size * n, size * n)
    return GroupTask(" x ".join(f"Z_{n}" for n in orders), table)


def dihedral(n: int) -> GroupTask:
    """D_n: rotations and reflections of a polygon with n corners, order 2 n; irreps of degree 1 and 2.

    Raises:
        ConfigError: fewer than three corners.
    """
    if n < 3:
        raise ConfigError(f"dihedral group of {n} corners: at least 3 are expected.")
    turn, flip = torch.arange(2 * n) % n, torch.arange(2 * n) // n
    sign = 1 - 2 * flip
    turned = (turn[:, None] + sign[:, None] * turn) % n
    return GroupTask(f"D_{n}", turned + n * ((flip[:, None] + flip) % 2))


def symmetric(n: int) -> GroupTask:
    """S_n: permutations of n things, (p q)(i) = p(q(i)).

    Raises:
        ConfigError: n outside 2 ... 6.
    """
    if not 2 <= n <= 6:
        raise ConfigError(f"symmetric group of {n} things: 2 to 6 are expected (its order is {n}!).")
    permutations = torch.tensor(list(itertools.permutations(range(n))))
    joined = permutations[:, permutations]  # [p, q, i]: p(q(i))
    weight = n ** torch.arange(n)
    number = {int(code): i for i, code in enumerate((permutations * weight).sum(1))}
    codes = (joined * weight).sum(-1)
    return GroupTask(f"S_{n}", torch.tensor([[number[int(c)] for c in row] for row in codes]))


def expression(name: str, modulus: int, function: Callable[[Tensor, Tensor], Tensor]) -> GroupTask:
    """Any function of two numbers, mod M: a task that need not be a group.

    >>> expression("x^2 + x y + y^2", 5, lambda x, y: x * x + x * y + y * y).table[1].tolist()
    [1, 3, 2, 3, 1]
    """
    x = torch.arange(modulus)
    return GroupTask(f"{name} mod {modulus}", function(x[:, None], x[None, :]) % modulus)
