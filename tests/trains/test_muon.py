"""Muon: the polar factor, the step it makes, and that the trainer knows it."""

from __future__ import annotations

import torch
from torch import nn

from invdyn.training.muon import Muon, polar_factor
from invdyn.training.optim import ParameterGroup
from invdyn.training.trainer import Trainer, TrainerConfig


def test_polar_factor_keeps_directions_and_evens_sizes() -> None:
    g = torch.Generator().manual_seed(0)
    matrix = torch.randn(2, 30, 12, generator=g, dtype=torch.float64) * torch.logspace(0, -1.5, 12, dtype=torch.float64)
    found = polar_factor(matrix)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    sizes = (u.mT @ found @ vh.mT).diagonal(dim1=-2, dim2=-1)
    assert float(s.amax() / s.amin()) > 10
    assert float(sizes.min()) > 0.6
    assert float(sizes.max()) < 1.4
    torch.testing.assert_close(found, (u * sizes[:, None]) @ vh, atol=1e-9, rtol=0)  # the same singular vectors
    torch.testing.assert_close(polar_factor(matrix.mT), found.mT)


def test_plain_groups_take_the_step_of_torch_adam() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4)) for _ in range(2))
    muon = Muon([{"params": [ours], "plain": True}], lr=0.01, weight_decay=0.1)
    adam = torch.optim.Adam([theirs], lr=0.01, weight_decay=0.1)
    for _ in range(20):
        for parameter, optimizer in ((ours, muon), (theirs, adam)):
            optimizer.zero_grad()
            (parameter**3).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_first_step_is_the_polar_factor_of_the_gradient() -> None:
    g = torch.Generator().manual_seed(1)
    start, pull = torch.randn(4, 9, generator=g), torch.randn(4, 9, generator=g)
    weight = nn.Parameter(start.clone())
    weight.grad = pull.clone()
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.detach(), start * 0.95 - 0.1 * 1.5 * polar_factor(0.01 * pull))


def test_the_trainer_trains_with_it_and_is_observed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8, bias=False), nn.Linear(8, 1, bias=False))
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(2))
    y = x.sum(1, keepdim=True)
    seen: list[tuple[int, float]] = []

    def loss(net: nn.Module, batch: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {"loss": (net(batch) - y).square().mean()}

    config = TrainerConfig(
        steps=60, optimizer="muon", lr=0.02, weight_decay=0.0, groups=(ParameterGroup("1.", plain=True),)
    )
    Trainer(config).fit(
        model,
        loss,
        lambda generator, size: x,
        observe=lambda step, net: seen.append((step, float((net(x) - y).square().mean()))),
    )
    assert [step for step, _ in seen] == list(range(61))
    assert seen[-1][1] < 0.05 * seen[0][1]
