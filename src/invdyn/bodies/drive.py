"""`Drive`: the displacement of a joint as a function of coordinates: mimic joints and the custom joints of OpenSim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from invdyn.kernels.scalar import Scalar, add, mul, select

__all__ = ["Drive", "Term"]


@dataclass(frozen=True)
class Term:
    """One summand: a function of one position number.

    Args:
        q: position number it reads; -1 for a constant.
        v: velocity number that goes with it; -1 for a constant.
        kind: polynomial (highest power last) or a piecewise cubic.
        coefficients: of the polynomial, lowest power first; or four per piece, lowest power first, in (x - knot).
        knots: left ends of the pieces, ascending; before the first and after the last piece the neighbouring
            polynomial's tangent at the end goes on (`extend` says where the last piece ends).
        end: right end of the last piece.
    """

    q: int
    v: int
    kind: Literal["polynomial", "spline"]
    coefficients: tuple[float, ...]
    knots: tuple[float, ...] = ()
    end: float = 0.0

    def evaluate(self, x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """Value, first and second derivative at x."""
        if self.kind == "polynomial":
            return _polynomial(self.coefficients, x)
        pieces = [self.coefficients[4 * i : 4 * i + 4] for i in range(len(self.knots))]
        ends = [*self.knots[1:], self.end]
        first = _tangent(pieces[0], self.knots[0], self.knots[0], x)
        last = _tangent(pieces[-1], self.knots[-1], self.end, x)
        found = last
        for piece, knot, end in reversed(list(zip(pieces, self.knots, ends))):
            here = _polynomial(piece, add(x, -knot))
            found = tuple(select(x, end, a, b) for a, b in zip(here, found))
        return tuple(select(x, self.knots[0], a, b) for a, b in zip(first, found))


@dataclass(frozen=True)
class Drive:
    """displacement(q) = sum of terms."""

    terms: tuple[Term, ...]

    @classmethod
    def linear(cls, q: int, v: int, slope: float = 1.0, offset: float = 0.0) -> Drive:
        """slope * q + offset."""
        return cls((Term(q, v, "polynomial", (float(offset), float(slope))),))

    @classmethod
    def constant(cls, value: float) -> Drive:
        return cls((Term(-1, -1, "polynomial", (float(value),)),))

    def scaled(self, scale: float) -> Drive:
        """scale * displacement."""
        return Drive(tuple(replace(t, coefficients=tuple(scale * c for c in t.coefficients)) for t in self.terms))

    def displacement(self, q: Sequence[Scalar]) -> Scalar:
        """x(q)."""
        total: Scalar = 0.0
        for term in self.terms:
            total = add(total, term.evaluate(q[term.q] if term.q >= 0 else 0.0)[0])
        return total

    def slopes(self, q: Sequence[Scalar]) -> dict[int, tuple[Scalar, Scalar]]:
        """dx/dq and d2x/dq2 by velocity number."""
        found: dict[int, tuple[Scalar, Scalar]] = {}
        for term in self.terms:
            if term.v >= 0:
                _, first, second = term.evaluate(q[term.q])
                a, b = found.get(term.v, (0.0, 0.0))
                found[term.v] = add(a, first), add(b, second)
        return found


def _polynomial(coefficients: Sequence[float], x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """Horner's rule for the value and two derivatives."""
    value: Scalar = 0.0
    first: Scalar = 0.0
    second: Scalar = 0.0
    for c in reversed(coefficients):
        second = add(mul(second, x), mul(2.0, first))
        first = add(mul(first, x), value)
        value = add(mul(value, x), float(c))
    return value, first, second


def _tangent(piece: Sequence[float], knot: float, at: float, x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """The straight line that touches a piece at one point."""
    value, slope, _ = _polynomial(piece, float(at - knot))
    return add(value, mul(slope, add(x, -at))), slope, 0.0
