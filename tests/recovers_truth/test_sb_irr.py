"""Study sb-irr: baselines with known answers, recordings as populations, the method beside its baselines."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from invdyn.diffusion.bridges_families import vortex
from invdyn.studies.sb_irr import SCALES, STUDY
from invdyn.studies.sb_irr_baselines import flow_matching, middle_of_bridges, pairs, transport_line
from invdyn.studies.sb_irr_config import SYSTEMS, Problem, SbIrrConfig, fresh_snapshots, simulated
from invdyn.studies.sb_irr_field import gradient_field
from invdyn.studies.sb_irr_recordings import FOLDERS, recorded
from invdyn.studies.sb_irr_snapshots import compare
from invdyn.studies.study import Context

QUICK = SbIrrConfig(grid=8, coarse=8, iterations=4, rounds=3, features=20, net_steps=60, cells=25)

MANY = {"pendulum": 8}
"""Populations that hold fewer particles than asked for."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drifting(sizes: tuple[int, ...] = (30, 30, 30, 30, 30)) -> Problem:
    """A population that is carried along, the middle of neighbours known exactly."""
    g = generator()
    base = torch.randn(max(sizes), 2, dtype=torch.float64, generator=g)
    sets = [base[:n] + k * torch.tensor([2.0, -1.0], dtype=torch.float64) for k, n in enumerate(sizes)]
    return Problem(sets, [0.5 * k for k in range(len(sizes))], vortex(), 0.1)


def test_baselines_find_the_middle_of_what_is_carried_along() -> None:
    problem = drifting()
    for k, made in zip((1, 3), transport_line(problem)):
        assert float(torch.cdist(made, problem.snapshots[k]).amin(1).max()) < 1e-6  # rounding of cdist
    for k, made in zip((1, 3), middle_of_bridges(problem, generator())):
        away = torch.cdist(made, problem.snapshots[k]).amin(1)
        assert float(away.mean()) < 0.1  # noise alone: 0.063; some neighbours are nearer to each other than that
    for k, made in zip((1, 3), flow_matching(problem, 400, 0)):
        assert float((made - problem.snapshots[k]).mean(0).abs().max()) < 0.2  # neighbours are 2.2 apart


def test_couplings_of_unequal_sets_move_all_mass() -> None:
    a, b = torch.randn(7, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    left, right = pairs(a, b)
    assert {tuple(r) for r in left.tolist()} == {tuple(r) for r in a.tolist()}
    assert {tuple(r) for r in right.tolist()} == {tuple(r) for r in b.tolist()}


def test_every_snapshot_is_a_fresh_draw_and_follows_the_law() -> None:
    sets = fresh_snapshots("repressilator", 40, generator())
    assert [x.shape for x in sets] == [torch.Size([40, 3])] * 11
    # Halving the step of the generator changes the populations' means by less than their sampling error.
    finer = fresh_snapshots("repressilator", 40, generator(), step=0.005)
    for x, y in itertools.islice(zip(sets, finer), 1, None):
        assert float(((x.mean(0) - y.mean(0)).abs() / (x.std(0) + y.std(0))).max()) < 0.8


def test_law_and_held_out_snapshots_are_found_where_transport_fails() -> None:
    problem = simulated("lotka_volterra", 30, generator(3))
    problem = dataclasses.replace(problem, snapshots=problem.snapshots[:5], times=problem.times[:5])
    found = compare("lv", problem, QUICK, 3).metrics
    assert found["lv.over.transport"] < 0.7
    assert found["lv.over.sinkhorn"] < 0.6
    assert found["lv.kl"][-1] < found["lv.kl"][0]
    assert found["lv.error"] < max(found["lv.error.first"])
    assert len(found["lv.replay.w2"]) == 4


@pytest.mark.parametrize("name", FOLDERS)
def test_recordings_become_populations(name: str, shared_data: Path) -> None:
    problem = recorded(name, shared_data / FOLDERS[name], QUICK, 0)
    assert len(problem.snapshots) == len(problem.times)
    assert len(problem.times) % 2 == 1
    assert all(bool(torch.isfinite(x).all()) and len(x) == MANY.get(name, QUICK.cells) for x in problem.snapshots)
    again, other = (recorded(name, shared_data / FOLDERS[name], QUICK, seed) for seed in (0, 1))
    assert torch.equal(problem.snapshots[1], again.snapshots[1])
    assert not torch.equal(problem.snapshots[1], other.snapshots[1])


def test_a_gait_closes(shared_data: Path) -> None:
    problem = recorded("walk", shared_data / FOLDERS["walk"], QUICK, 0)

    def centre(x: Tensor) -> Tensor:
        return x.mean(0)

    first, half, last = (centre(problem.snapshots[k]) for k in (0, 6, 12))
    assert float((last - first).norm()) < 0.2 * float((half - first).norm())


def test_a_double_pendulum_swings_the_way_its_rates_say(shared_data: Path) -> None:
    problem = recorded("pendulum", shared_data / FOLDERS["pendulum"], QUICK, 0)
    places = torch.stack([x.mean(0) for x in problem.snapshots])
    rise = (places[2:, :2] - places[:-2, :2]).flatten()
    assert float(torch.corrcoef(torch.stack([rise, places[1:-1, 2:].flatten()]))[0, 1]) > 0.9
    spread = [float(x[:, 0].std()) for x in problem.snapshots]
    assert sum(spread) / len(spread) < 0.6  # passages are alike: the population moves as one


def test_law_of_the_sea_beats_straight_lines(shared_data: Path) -> None:
    found = compare("gulf", recorded("gulf", shared_data / FOLDERS["gulf"], QUICK, 0), QUICK, 0).metrics
    assert found["gulf.over.transport"] < 0.8


TINY = dataclasses.replace(
    SCALES["gpu"], recordings=("gulf",), particles=8, points=40, paths=40, copies=1, grid=4, coarse=3,
    iterations=2, rounds=2, net_steps=5, cells=8, field_dimension=5, field_particles=12,
)  # fmt: skip


def test_scale_gpu_runs_whole_at_toy_size(shared_data: Path) -> None:
    """Exact processes, the gradient field of a net, a recording: all parts put out finite numbers."""
    outcome = STUDY.run(TINY, [0], Context(data=shared_data))[0]
    for name in (*SYSTEMS, "field", "gulf"):
        assert outcome.metrics[f"{name}.emd.irr"] > 0
        assert all(math.isfinite(x) for x in outcome.metrics[f"{name}.kl"])
    assert "field.over.oracle" in outcome.metrics
    assert "field.parameters" not in outcome.metrics  # a net's weights are not told one by one


def test_gradient_field_splits_and_has_no_special_coordinate() -> None:
    config = dataclasses.replace(TINY, field_dimension=8, field_particles=200)
    problem = gradient_field(config, generator(1))
    assert problem.law is not None
    first, last = problem.snapshots[0], problem.snapshots[-1]
    assert float(first.std()) < 0.1
    along = torch.linalg.svd(last - last.mean(0), full_matrices=False).Vh[0]  # the direction in which it splits
    place = (last - last.mean(0)) @ along
    assert float((place / place.std()).pow(4).mean()) < 2  # two heaps; one normal heap has 3
    assert 0.3 < float((place > 0).double().mean()) < 0.7
    assert float(along.abs().max()) < 0.95
    slope = torch.autograd.functional.jacobian(lambda x: problem.law(x[None], 0.0)[0], last[0])
    assert torch.allclose(slope, slope.T, atol=1e-12)  # a gradient has no curl
