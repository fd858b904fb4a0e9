"""Programs as native code: every size of batch, layout, dtype and number of threads gives the program's numbers."""

from __future__ import annotations

import pytest
import torch
import toys
from toys import near, values

from invdyn.errors import SignalError
from invdyn.kernels import emit_c as emitter
from invdyn.kernels.compiled import CompiledProgram
from invdyn.kernels.compiler import compiler
from invdyn.kernels.program import Block, trace

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
DTYPES = list(TOLERANCE)
SIZES = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 2049]
"""Around the widths of vectors (4 to 16 numbers) and blocks (64 to 1024 samples)."""
RUN = CompiledProgram(toys.program())


def given_of(n: int, dtype: torch.dtype) -> list[torch.Tensor]:
    given = values(n, dtype)
    if dtype == torch.float32:
        given[1][1] *= 1e-5  # one ulp of 1e7 is a whole radian in float32
    return given


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", SIZES)
def test_sizes_in_both_layouts(n: int, dtype: torch.dtype) -> None:
    given = given_of(n, dtype)
    wanted = RUN.program.evaluate(*given)
    turned = [x.T.contiguous().T if x.ndim == 2 else x for x in given]
    for found in (RUN(given), RUN(turned), RUN(turned, batch_first=True), RUN([given[0], turned[1], given[2]])):
        for y, z in zip(found, wanted):
            near(y, z, TOLERANCE[dtype])


def test_no_samples() -> None:
    assert [tuple(y.shape) for y in RUN(values(0))] == [(8, 0), (8, 0), (0, 0)]


@pytest.mark.parametrize("n", [1, 9, 200])
def test_strides_of_any_kind(n: int) -> None:
    """Every third sample, every second row, one sample for all, rows that overlap; nothing else is written."""
    given = values(n)
    wanted = RUN.program.evaluate(*given)
    sparse = [x.repeat_interleave(3, -1)[..., ::3] for x in given]
    rows = [x.repeat_interleave(2, 0)[::2] for x in given]
    for found in (RUN(sparse), RUN(rows)):
        for y, z in zip(found, wanted):
            near(y, z, 1e-12)
    same = [given[0][:, :1].expand(-1, n), given[1], given[2]]
    for y, z in zip(RUN(same), RUN.program.evaluate(*same)):
        near(y, z, 1e-12)
    long = torch.randn(n + 3, dtype=torch.float64)
    sliding = [long.unfold(0, 4, 1).T[:, :n], given[1], given[2]]
    for y, z in zip(RUN(sliding), RUN.program.evaluate(*sliding)):
        near(y, z, 1e-12)
    out = [torch.full((8, 2 * n), 7.0, dtype=torch.float64), torch.full((16, n), 7.0, dtype=torch.float64)]
    RUN(given, out=[out[0][:, ::2], out[1][::2], torch.empty(0, n, dtype=torch.float64)])
    near(out[0][:, ::2], wanted[0], 1e-12)
    near(out[1][::2], wanted[1], 1e-12)
    assert (out[0][:, 1::2] == 7).all()
    assert (out[1][1::2] == 7).all()


@pytest.mark.parametrize("batch_first", [False, True])
def test_threads_change_no_bit(batch_first: bool) -> None:
    given = values(300_000)  # enough work that five threads are begun
    if batch_first:
        given = [x.T.contiguous().T if x.ndim == 2 else x for x in given]
    one = RUN(given, batch_first, threads=1)
    for threads in (2, 3, 7, 400):
        for x, y in zip(one, RUN(given, batch_first, threads=threads)):
            assert torch.equal(x, y)


def test_a_samples_numbers_do_not_depend_on_its_neighbours() -> None:
    given = values(100)
    whole = RUN(given)
    for part in (slice(0, 1), slice(3, 12), slice(99, 100)):
        for x, y in zip(whole, RUN([given[0][:, part], given[1][:, part], given[2]])):
            assert torch.equal(x[:, part], y)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_infinite_missing_and_huge_numbers(dtype: torch.dtype) -> None:
    given = values(20, dtype)
    given[0][:, 1], given[1][:, 2], given[0][1, 3], given[0][3, 4] = torch.nan, torch.inf, 1e30, -1e30
    for found, wanted in zip(RUN(given), RUN.program.evaluate(*given)):
        assert torch.equal(found.isnan(), wanted.isnan())
        assert torch.equal(found.isinf(), wanted.isinf())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_infinite_and_missing_constants(dtype: torch.dtype) -> None:
    program = toys.unbounded_program()
    x = values(20, dtype)[0][:2]
    assert torch.equal(CompiledProgram(program)([x])[0].nan_to_num(7.0), program.evaluate(x)[0].nan_to_num(7.0))


@pytest.mark.parametrize(("dtype", "ulps"), [(torch.float64, 4), (torch.float32, 4)])
def test_sine_and_cosine_to_the_last_digits(dtype: torch.dtype, ulps: int) -> None:
    """Against the C library in higher precision, also near multiples of pi/2 and at the ends of the reduction."""
    program = trace("sincos", lambda x: {"y": [toys.s.sin(x[0]), toys.s.cos(x[0])]}, [Block("x", 1)])
    turns = torch.arange(-300, 301, dtype=torch.float64) * (torch.pi / 2)
    x = torch.cat([turns, torch.linspace(-8, 8, 4001), torch.tensor([8191.5, 8193, 1e4, -1e6, 0.0])])
    x = x.to(dtype)[None]
    (found,) = CompiledProgram(program)([x])
    exact = torch.stack([x[0].double().sin(), x[0].double().cos()])
    error = (found.double() - exact).abs()
    assert (error <= ulps * torch.finfo(dtype).eps * exact.abs().clamp_min(1e-3)).all()


def test_pieces_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = RUN(values(70))
    monkeypatch.setattr(emitter, "PIECE", 4)
    monkeypatch.setattr("invdyn.kernels.compiled.fingerprint", lambda *_: "cut into pieces of four")
    again = CompiledProgram(toys.program())(values(70))
    for x, y in zip(whole, again):
        near(x, y, 1e-15)  # across a piece no product is fused with a sum


@pytest.mark.parametrize("wrong", ["shape", "dtype", "number"])
def test_results_that_do_not_fit_are_refused(wrong: str) -> None:
    out = [torch.zeros(8, 5, dtype=torch.float64), torch.zeros(8, 5, dtype=torch.float64), torch.zeros(0, 5).double()]
    if wrong == "shape":
        out[1] = out[1][:, :4]
    elif wrong == "dtype":
        out[0] = out[0].float()
    else:
        out.pop()
    with pytest.raises(SignalError, match=r"everything: `out` has shapes .*; expected .*Leave it out to have new"):
        RUN(values(5), out=out)
