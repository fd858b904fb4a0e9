"""The RED-diff study: smoke claims hold on a seed of its own; every experiment runs at a tiny size; picture metrics."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from invdyn.errors import SignalError
from invdyn.studies import load_study
from invdyn.studies.study import Context
from invdyn.verify.cost import peak_tensor_mb
from invdyn.verify.metrics import psnr, ssim


def test_every_claim_is_measured_and_smoke_claims_hold() -> None:
    study = load_study("red-diff")
    tiny = dataclasses.replace(
        study.scales["laptop"],
        problems=1,
        averaged_steps=4,
        field_draws=10,
        mixture_runs=3,
        mixture_steps=5,
        calls=4,
        net_steps=2,
        force_net_steps=2,
        force_calls=4,
        width=16,
        cost_width=16,
        cost_depth=2,
        tuning=2,
        images=3,
        phase_images=2,
        phase_starts=2,
        phase_calls=3,
        forces=3,
    )
    outcomes = study.run(tiny, (41,), Context())
    for claim in study.claims:
        verdict = claim.judge({41: outcomes[41].metrics})  # refuses a metric nobody measured
        assert verdict.passed or not claim.smoke, (claim.id, verdict.value)
    assert len(study.figure(tiny, outcomes).axes) >= 6


def test_picture_metrics() -> None:
    """Closed forms: a shift of a tenth of the range is 20 dB; ssim of a constant shift keeps the mean's factor only."""
    x = torch.linspace(-1, 1, 64).reshape(1, 8, 8)
    assert float(psnr(x + 0.2, x, 2.0)) == pytest.approx(20.0, abs=1e-4)
    far = x.clone()
    far[0, 0] += 5
    assert float(psnr(far, x, 2.0, torch.arange(64).reshape(8, 8) >= 8)) == math.inf
    assert float(ssim(x, x, 2.0)) == pytest.approx(1.0)
    flat, c1 = torch.full((1, 7, 7), 0.5), (0.01 * 2) ** 2
    assert float(ssim(flat + 0.5, flat, 2.0)) == pytest.approx((2 * 0.5 + c1) / (0.25 + 1 + c1))
    with pytest.raises(SignalError, match="4 x 4, smaller than a window of 7"):
        ssim(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4), 1.0)


def test_peak_memory_counts_what_a_graph_keeps() -> None:
    x = torch.zeros(256, 1024)  # 1 MiB

    def chain(grad: bool) -> None:
        with torch.set_grad_enabled(grad):
            y = x.clone().requires_grad_(grad)
            for _ in range(8):
                y = torch.tanh(y)

    assert peak_tensor_mb(lambda: chain(False)) == pytest.approx(2.0)
    assert peak_tensor_mb(lambda: chain(True)) == pytest.approx(9.0)
