"""`Normalizer`: a common scale and exactly back, saved with the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from invdyn.episodes.normalizer import Normalizer
from invdyn.errors import ConfigError, SignalError


def data(frames: int = 200) -> torch.Tensor:
    x = torch.randn(frames, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x * torch.tensor([1.0, 100.0, 1e-3, 1.0]) + torch.tensor([0.0, 300.0, 5.0, -2.0])


def test_standard_minmax_and_identity_per_component() -> None:
    x = data()
    n = Normalizer(4).fit(x, kind=["standard", "minmax", "identity", "standard"])
    y = n.normalize(x)
    torch.testing.assert_close(y[:, 0].mean(), torch.tensor(0.0, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(y[:, 3].std(unbiased=False), torch.tensor(1.0, dtype=torch.float64))
    assert y[:, 1].min() == pytest.approx(-1.0)
    assert y[:, 1].max() == pytest.approx(1.0)
    assert torch.equal(y[:, 2], x[:, 2])
    torch.testing.assert_close(n(x), y)
    torch.testing.assert_close(n.scale_back(y) + n.shift, x)


def test_missing_steps_do_not_count() -> None:
    x = data()
    holed = x.clone()
    holed[::3] = float("nan")
    mask = torch.arange(len(x)) % 3 != 0
    a, b = Normalizer(4).fit(holed, mask), Normalizer(4).fit(x[mask])
    assert torch.equal(a.shift, b.shift)
    assert torch.equal(a.scale, b.scale)


def test_a_component_that_stands_still_is_not_blown_up() -> None:
    x = torch.full((50, 2), 0.3)
    x[:, 1] = torch.linspace(0, 1e-4, 50)  # small motion is motion
    n = Normalizer(2).fit(x)
    assert n.scale[0] == 1
    assert n.normalize(x + 1e-7)[:, 0].abs().max() < 1e-6
    assert n.normalize(x)[:, 1].std() == pytest.approx(1.0, rel=0.02)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.sampled_from(["standard", "minmax", "identity"]), st.integers(0, 9)
)
def test_inverse_is_exact(centre: float, spread: float, kind: str, seed: int) -> None:
    x = torch.from_numpy(np.random.default_rng(seed).normal(centre, spread, (64, 3)))
    for dtype in (torch.float32, torch.float64):
        n = Normalizer(3).fit(x, kind=kind)
        values = x.to(dtype)
        back = n.denormalize(n.normalize(values))
        assert back.dtype == dtype
        # a few roundings of numbers as large as the values and the shift
        tolerance = 8 * torch.finfo(dtype).eps * float(x.abs().max())
        assert (back - values).abs().max() <= tolerance


def test_state_is_saved_and_moves_with_a_model(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = torch.nn.Sequential(Normalizer(4).fit(data()), torch.nn.Linear(4, 2).double())
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = torch.nn.Sequential(Normalizer(4), torch.nn.Linear(4, 2).double())
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert bool(other[0].fitted)
    assert torch.equal(model(data()), other(data()))
    assert not list(model[0].parameters())  # not trained


def test_scalars_and_unfitted() -> None:
    n = Normalizer(())
    x = torch.tensor([1.0, 3.0])
    assert torch.equal(n.normalize(x), x)
    n.fit(x, kind="minmax")
    assert n.normalize(x).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n: n.fit(torch.zeros(5, 3)), r"values of shape \(3,\) a step, expected \(4,\)"),
        (lambda n: n.fit(torch.zeros(5, 4), torch.ones(4, dtype=torch.bool)), "a mask of 4 steps for 5 values"),
        (lambda n: n.fit(torch.zeros(5, 4), torch.zeros(5, dtype=torch.bool)), "no value to fit to"),
        (lambda n: n.fit(torch.tensor([[0, 0, float("nan"), 0]])), "component 2 is not finite"),
        (lambda n: n.normalize(torch.zeros(7, 3)), r"do not end in \(4,\)"),
    ],
)
def test_errors(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SignalError, match=message):
        call(Normalizer(4))


def test_kind_errors() -> None:
    with pytest.raises(ConfigError, match="expected one of standard, minmax, identity, or 4 of them"):
        Normalizer(4).fit(torch.zeros(5, 4), kind=["standard"])
