"""OpenSim's functions of coordinates become exact drives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from invdyn.bodies.drive import Drive
from invdyn.bodies.osim_functions import function_drive, simm_spline
from invdyn.bodies.xml_reading import parse_xml
from invdyn.errors import FormatError

X = np.array([-2.0, -1.1, -0.4, 0.1, 0.9, 2.2])
Y = np.array([0.3, -0.2, 0.5, 0.4, -0.6, 0.1])
POINTS = f"<x>{' '.join(map(str, X))}</x><y>{' '.join(map(str, Y))}</y>"
INSIDE = np.linspace(-2, 2.2, 57)


def drive(text: str, count: int = 1) -> Drive:
    document = parse_xml(text.encode(), Path("f.osim"))
    return function_drive(document, document.root, [(k, k) for k in range(count)])


def values(of: Drive, x: np.ndarray) -> np.ndarray:
    """[3, points] value, slope and curvature."""
    slopes = [of.slopes([float(v)])[0] for v in x]
    return np.array([[of.displacement([float(v)]) for v in x], *zip(*slopes, strict=True)], float)


@pytest.mark.parametrize(("points", "degree"), [(2, 1), (3, 2), (4, 3), (9, 3)])
def test_simm_spline_reproduces_polynomials(points: int, degree: int) -> None:
    """The end conditions are third derivatives by divided differences, exact for what so few points determine."""
    polynomial = np.polynomial.Polynomial([0.3, -1.2, 0.7, 0.4][: degree + 1])
    x = np.sort(np.random.default_rng(points).uniform(-2, 2, points))
    pieces = simm_spline(x, polynomial(x))
    for left, right, piece in zip(x[:-1], x[1:], pieces, strict=True):
        inside = np.linspace(left, right, 5)
        np.testing.assert_allclose(np.polynomial.Polynomial(piece)(inside - left), polynomial(inside), atol=1e-10)


@pytest.mark.parametrize("tag", ["SimmSpline", "NaturalCubicSpline", "natCubicSpline"])
def test_simm_spline_is_smooth_and_straight_beyond_its_ends(tag: str) -> None:
    spline = drive(f"<{tag}>{POINTS}</{tag}>")
    np.testing.assert_allclose(values(spline, X)[0], Y, atol=1e-12)
    just = 1e-9
    inner = X[1:-1]
    np.testing.assert_allclose(values(spline, inner - just), values(spline, inner + just), atol=1e-6)
    third = np.diff(values(spline, np.array([-1.9, -1.8, -1.0, -0.9]))[2])
    assert third[0] != pytest.approx(0.0, abs=1e-3), "not the natural spline"
    before, after = values(spline, np.array([-3.0, -2.0 + just])), values(spline, np.array([2.2 - just, 4.0]))
    assert before[1, 0] == pytest.approx(before[1, 1], abs=1e-6)
    assert before[2, 0] == 0
    assert before[0, 0] == pytest.approx(Y[0] - before[1, 1], abs=1e-6)
    assert after[1, 1] == pytest.approx(after[1, 0], abs=1e-6)
    assert after[2, 1] == 0


def test_gcv_spline_of_half_order_two_is_the_natural_cubic() -> None:
    spline = drive(f"<GCVSpline><half_order>2</half_order>{POINTS}</GCVSpline>")
    expected = CubicSpline(X, Y, bc_type="natural")
    np.testing.assert_allclose(
        values(spline, INSIDE), [expected(INSIDE), expected(INSIDE, 1), expected(INSIDE, 2)], atol=1e-11
    )


@pytest.mark.parametrize(
    "text",
    [
        "<PiecewiseLinearFunction>{}</PiecewiseLinearFunction>",
        "<GCVSpline><half_order>1</half_order><error_variance>0</error_variance>{}</GCVSpline>",
    ],
)
def test_polygons(text: str) -> None:
    np.testing.assert_allclose(values(drive(text.format(POINTS)), INSIDE)[0], np.interp(INSIDE, X, Y), atol=1e-12)


def test_polynomials_and_multipliers() -> None:
    cubic = "<PolynomialFunction><coefficients>2 -1 0.5 3</coefficients></PolynomialFunction>"
    found = values(
        drive(f"<MultiplierFunction><function>{cubic}</function><scale>-1.5</scale></MultiplierFunction>"), X
    )
    np.testing.assert_allclose(found[0], -1.5 * np.polyval([2, -1, 0.5, 3], X))
    np.testing.assert_allclose(found[1], -1.5 * np.polyval([6, -2, 0.5], X))
    np.testing.assert_allclose(found[2], -1.5 * np.polyval([12, -2], X))
    assert drive("<Constant><value>0.25</value></Constant>", 0).displacement([]) == 0.25


def test_linear_function_of_several_coordinates() -> None:
    both = drive("<LinearFunction><coefficients>2 -3 0.5</coefficients></LinearFunction>", 2)
    assert both.displacement([0.7, 0.2]) == pytest.approx(2 * 0.7 - 3 * 0.2 + 0.5)
    assert {v: s[0] for v, s in both.slopes([0.7, 0.2]).items()} == {0: 2.0, 1: -3.0}


@pytest.mark.parametrize(
    ("text", "count", "message"),
    [
        (
            "<LinearFunction><coefficients>1 2 3</coefficients></LinearFunction>",
            1,
            "LinearFunction of 1 coordinates with 3",
        ),
        ("<LinearFunction><coefficients>1</coefficients></LinearFunction>", 0, "LinearFunction of 0 coordinates"),
        (f"<SimmSpline>{POINTS}</SimmSpline>", 2, "SimmSpline of 2 coordinates; expected one"),
        ("<SimmSpline><x>0 1</x></SimmSpline>", 1, "SimmSpline without <y>"),
        ("<SimmSpline><x>0 1</x><y>1</y></SimmSpline>", 1, "of 2 x and 1 y"),
        ("<SimmSpline><x>0 0</x><y>1 2</y></SimmSpline>", 1, "x of SimmSpline does not increase"),
        (f"<GCVSpline><half_order>3</half_order>{POINTS}</GCVSpline>", 1, "half_order 3; expected 1 or 2"),
        (
            f"<GCVSpline><half_order>2</half_order><error_variance>1</error_variance>{POINTS}</GCVSpline>",
            1,
            "smooths (error_variance is not 0)",
        ),
        (
            "<GCVSpline><half_order>2</half_order><x>0 1</x><y>1 2</y></GCVSpline>",
            1,
            "GCVSpline of 2 points; expected 4",
        ),
        ("<MultiplierFunction><scale>2</scale></MultiplierFunction>", 1, "MultiplierFunction without a function"),
        ("<MultiplierFunction><function><Sine/></function></MultiplierFunction>", 1, "line 1: element 'Sine'"),
        ("<Constant><value>1</value><value>2</value></Constant>", 0, "a second value"),
        ("<Constant><value>nan</value></Constant>", 0, "'nan'"),
        ("<MultiplierFunction>" * 12 + "<Constant/>" + "</MultiplierFunction>" * 12, 1, "inside 8 others"),
    ],
)
def test_messages(text: str, count: int, message: str) -> None:
    with pytest.raises(FormatError, match=r"f\.osim: line 1") as caught:
        drive(text, count)
    assert message in str(caught.value)
