"""OpenSim's functions of coordinates, converted exactly to the terms of a `Drive`.

| element | term |
|---|---|
| Constant, LinearFunction (of one or several coordinates), PolynomialFunction | polynomial |
| SimmSpline, NaturalCubicSpline, natCubicSpline | SIMM's cubic spline, straight beyond its ends |
| GCVSpline of half order 1 or 2 without smoothing | polygon, natural cubic spline |
| PiecewiseLinearFunction | polygon |
| MultiplierFunction | any of them, scaled |

Source: SimmSpline.cpp, GCVSpline.cpp, PiecewiseLinearFunction.cpp, LinearFunction.cpp of OpenSim 4. SIMM's spline is
not the natural one in spite of its older name: at both ends the third derivative is that of the cubic through the
four outermost points (Forsythe, Malcolm & Moler, "Computer Methods for Mathematical Computations", 1977, SPLINE).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.interpolate import CubicSpline

from invdyn.bodies.drive import Drive, Term
from invdyn.bodies.xml_reading import XmlDocument, named, quoted

__all__ = ["FUNCTIONS", "function_drive", "function_element", "is_constant", "simm_spline"]

SPLINES = ("SimmSpline", "NaturalCubicSpline", "natCubicSpline")
FUNCTIONS = (
    *("Constant", "LinearFunction", "PolynomialFunction", *SPLINES),
    *("GCVSpline", "PiecewiseLinearFunction", "MultiplierFunction"),
)
DEEPEST = 8
"""Multipliers inside multipliers."""
MOST_POINTS = 1000


def function_element(document: XmlDocument, holder: Any) -> Any | None:
    """The one function inside an element (in `<function>` or plain); None if there is none.

    Raises:
        FormatError: several, or one that we do not know.
    """
    known = (*FUNCTIONS, "function")
    inside = [e for e in document.children(holder) if e.tag in FUNCTIONS or e.tag == "function"]
    element = document.at_most_one(holder, inside)
    if element is not None and element.tag == "function":
        inside = list(document.children(element))
        for child in inside:
            if child.tag not in FUNCTIONS:
                raise document.unknown(child, FUNCTIONS)
        element = document.at_most_one(element, inside)
    for child in document.children(holder):
        if child.tag.endswith(("Function", "Spline")) and child.tag not in known:
            raise document.unknown(child, FUNCTIONS)
    return element


def is_constant(document: XmlDocument, element: Any | None) -> bool:
    """Whether a function reads no coordinate: a Constant, perhaps multiplied."""
    for _ in range(DEEPEST):
        if element is None or element.tag != "MultiplierFunction":
            break
        element = function_element(document, element)
    return element is not None and bool(element.tag == "Constant")


def function_drive(document: XmlDocument, element: Any, numbers: Sequence[tuple[int, int]]) -> Drive:
    """The drive of a function.

    Args:
        document: it stands in.
        element: the function.
        numbers: position and velocity number of each coordinate it reads, in order.

    Raises:
        FormatError: a function of more coordinates than it can read, broken numbers, a spline that is no piecewise
            cubic.
    """
    return _drive(document, element, numbers, 0)


def _drive(document: XmlDocument, element: Any, numbers: Sequence[tuple[int, int]], depth: int) -> Drive:
    kind = element.tag
    if kind == "MultiplierFunction":
        return _multiplied(document, element, numbers, depth)
    if kind == "Constant":
        parts = _parts(document, element, ("value",))
        return Drive.constant(_number(document, parts["value"], 0.0))
    if kind == "LinearFunction":
        return _linear(document, element, numbers)
    if len(numbers) != 1:
        raise document.error(
            element, f"{named(element)} of {len(numbers)} coordinates", "one coordinate", "Name one coordinate."
        )
    q, v = numbers[0]
    if kind == "PolynomialFunction":
        holder = _parts(document, element, ("coefficients",))["coefficients"]
        highest_first = () if holder is None else document.numbers(holder, document.text(holder), None, "coefficients")
        return Drive((Term(q, v, "polynomial", highest_first[::-1] or (0.0,)),))
    x, y = _points(document, element)
    if kind in SPLINES:
        pieces = simm_spline(x, y)
    elif kind == "GCVSpline" and _half_order(document, element, len(x)) == 2:
        pieces = np.ascontiguousarray(CubicSpline(x, y, bc_type="natural").c[::-1].T)
    else:
        pieces = np.stack([y[:-1], np.diff(y) / np.diff(x), 0 * y[:-1], 0 * y[:-1]], axis=1)
    return Drive((Term(q, v, "spline", tuple(pieces.reshape(-1).tolist()), tuple(x[:-1].tolist()), end=float(x[-1])),))


def _multiplied(document: XmlDocument, element: Any, numbers: Sequence[tuple[int, int]], depth: int) -> Drive:
    parts = _parts(document, element, ("scale",), ("function", *FUNCTIONS))
    scale = _number(document, parts["scale"], 1.0)
    inner = function_element(document, element)
    if inner is None or depth >= DEEPEST:
        what = "without a function" if inner is None else f"inside {DEEPEST} others"
        raise document.error(element, f"MultiplierFunction {what}", "a function to multiply")
    return _drive(document, inner, numbers, depth + 1).scaled(scale)


def _linear(document: XmlDocument, element: Any, numbers: Sequence[tuple[int, int]]) -> Drive:
    """Slopes of the coordinates in order, then the intercept."""
    holder = _parts(document, element, ("coefficients",))["coefficients"]
    told = (1.0, 0.0) if holder is None else document.numbers(holder, document.text(holder), None, "coefficients")
    if len(told) != len(numbers) + 1 or not numbers:
        raise document.error(
            element,
            f"LinearFunction of {len(numbers)} coordinates with {len(told)} coefficients",
            "a slope per coordinate, and the intercept",
        )
    terms = [Term(q, v, "polynomial", (0.0, slope)) for (q, v), slope in zip(numbers, told)]
    terms[0] = replace(terms[0], coefficients=(told[-1], told[0]))
    return Drive(tuple(terms))


def simm_spline(x: Float64[np.ndarray, " point"], y: Float64[np.ndarray, " point"]) -> Float64[np.ndarray, "piece 4"]:
    """Coefficients of SIMM's interpolating cubic spline, lowest power of (x - x_i) first.

    With two points the straight line; with three both ends have a third derivative of zero; with more that of the
    cubic through the four points nearest the end.
    """
    n, h = len(x), np.diff(x)
    slope = np.diff(y) / h
    if n == 2:
        return np.array([[y[0], slope[0], 0.0, 0.0]])
    system, right = np.zeros((n, n)), np.zeros(n)  # for s_i = second derivative / 6
    for i in range(1, n - 1):
        system[i, i - 1 : i + 2] = h[i - 1], 2 * (h[i - 1] + h[i]), h[i]
        right[i] = slope[i] - slope[i - 1]
    system[0, :2] = -h[0], h[0]
    system[-1, -2:] = h[-1], -h[-1]
    if n > 3:
        second = np.diff(slope) / (x[2:] - x[:-2])  # second divided differences, then third ones at both ends
        right[0] = h[0] ** 2 * (second[1] - second[0]) / (x[3] - x[0])
        right[-1] = -(h[-1] ** 2) * (second[-1] - second[-2]) / (x[-1] - x[-4])
    s = np.linalg.solve(system, right)
    return np.stack([y[:-1], slope - h * (s[1:] + 2 * s[:-1]), 3 * s[:-1], np.diff(s) / h], axis=1)


def _half_order(document: XmlDocument, element: Any, points: int) -> int:
    """1 (polygon) or 2 (natural cubic) of a GCVSpline that passes through its points."""
    parts = _parts(document, element, ("half_order", "error_variance", "weights"), ("x", "y", "coefficients"))
    order = _number(document, parts["half_order"], 0.0)
    if order not in (1.0, 2.0):
        raise document.error(
            element, f"GCVSpline of half_order {order:g}", "1 or 2", "Fit a spline of half_order 2 or a SimmSpline."
        )
    if _number(document, parts["error_variance"], 0.0) != 0:
        raise document.error(
            element, "GCVSpline that smooths (error_variance is not 0)", "0", "Store the smoothed points."
        )
    if points < 2 * order:
        raise document.error(element, f"GCVSpline of {points} points", f"{2 * int(order)} or more")
    return int(order)


def _points(document: XmlDocument, element: Any) -> tuple[Float64[np.ndarray, " point"], Float64[np.ndarray, " point"]]:
    parts = _parts(document, element, ("x", "y"), ("half_order", "error_variance", "weights", "coefficients"))
    told = []
    for axis in ("x", "y"):
        if parts[axis] is None:
            raise document.error(element, f"{named(element)} without <{axis}>", "<x> and <y>")
        told.append(np.array(document.numbers(parts[axis], document.text(parts[axis]), None, axis), float))
    x, y = told
    if len(x) != len(y) or len(x) < 2 or len(x) > MOST_POINTS:
        raise document.error(element, f"{named(element)} of {len(x)} x and {len(y)} y", f"2 to {MOST_POINTS} points")
    if not (np.diff(x) > 1e-9).all():
        raise document.error(element, f"x of {named(element)} does not increase", "ascending x", "Sort the points.")
    return x, y


def _parts(document: XmlDocument, element: Any, known: Sequence[str], ignored: Sequence[str] = ()) -> dict[str, Any]:
    found = document.sort(element, known, ignored)
    return {tag: document.at_most_one(element, e) for tag, e in found.items()}


def _number(document: XmlDocument, element: Any | None, default: float) -> float:
    if element is None or not document.text(element):
        return default
    return document.number(element, document.text(element), quoted(element.tag))
