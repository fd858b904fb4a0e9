"""The labelled dataset: measured values to the bit, labels where there is an answer, the same bytes each time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from labelling_case import ACTION, CAMERA, OPTIONS, STATE, MoveModel, files, recordings
from toy_world import CartWorld, episodes

from invdyn.actions.engine import LocalExecutor
from invdyn.actions.labeller import filter_labels, label_dataset
from invdyn.actions.sliding import infer_episodes, plan_blocks
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.lerobot_options import LeRobotOptions
from invdyn.episodes.formats.lerobot_source import LeRobotSource
from invdyn.episodes.label import Label
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.episodes.windows import Window, WindowSampler
from invdyn.nn.categoricals import FactoredCategorical
from invdyn.nn.gaussians import Gaussian
from invdyn.verify.conformal import calibrate


def opened(path: Path) -> Dataset:
    return Dataset(LeRobotSource(path))


def test_labels_stand_where_there_is_an_answer(tmp_path: Path) -> None:
    source = recordings()
    report = label_dataset(source, MoveModel(), tmp_path / "out")
    labelled = opened(tmp_path / "out")
    assert (report.episodes, report.frames) == (10, source.frames)
    assert report.measured == sum(e.length - 1 for e in source[:3])
    assert report.inferred == sum(e.length - 1 for e in source[3:])
    assert report.unanswered == 10  # the last step of each
    assert report.resumed == 0
    assert not report.already_done
    for number, episode in enumerate(labelled):
        truth = recordings(labelled=10)[number]["action"]
        label = Label.of(episode, "action")
        assert set(label.source[:-1]) == {"measured" if number < 3 else "inferred:MoveModel"}
        assert label.source[-1] == ""
        assert label.weight[-1] == 0
        assert not episode["action"].mask[-1]
        # The model answers with differences of float32 sums, exact to their rounding.
        assert np.allclose(label.value[:-1], truth.values[:-1], atol=1e-6)
        assert episode.task == source[number].task
        assert episode.metadata == source[number].metadata
        assert np.array_equal(episode["observation.state"].values, source[number]["observation.state"].values)
    assert not (tmp_path / "out.partial").exists()


def test_measured_values_are_kept_bit_for_bit_even_where_the_model_disagrees(tmp_path: Path) -> None:
    source = recordings(labelled=5)
    label_dataset(source, MoveModel(gain=-3.0), tmp_path / "out")
    for before, after in zip(source[:5], opened(tmp_path / "out")):
        kept = before["action"].mask
        assert after["action"].values[kept].tobytes() == before["action"].values[kept].tobytes()
        assert set(Label.of(after, "action").weight[kept]) == {1.0}


def test_a_gap_in_the_measured_values_is_filled(tmp_path: Path) -> None:
    (episode,) = recordings(1, labelled=1)
    mask = np.arange(episode.length) % 2 == 0
    values = np.where(mask[:, None], episode["action"].values, np.nan).astype(np.float32)
    mask[-1] = False
    label_dataset(
        Dataset.from_episodes([episode.with_signals([Signal(ACTION, values, mask)])]), MoveModel(), tmp_path / "o"
    )
    label = Label.of(opened(tmp_path / "o")[0], "action")
    assert list(label.source[:4]) == ["measured", "inferred:MoveModel"] * 2


def test_the_last_step_is_labelled_only_by_a_model_that_looks_back(tmp_path: Path) -> None:
    label_dataset(recordings(labelled=0), MoveModel(after=0), tmp_path / "out")
    label = Label.of(opened(tmp_path / "out")[0], "action")
    assert label.source[-1] == "inferred:MoveModel"
    assert label.source[0] == "inferred:MoveModel"  # its past is masked, its present is there


def test_steps_without_an_observation_have_no_label(tmp_path: Path) -> None:
    (episode,) = recordings(1, labelled=0)
    seen = np.arange(episode.length) != 5
    state = np.where(seen[:, None], episode["observation.state"].values, np.nan).astype(np.float32)
    source = Dataset.from_episodes([episode.with_signals([Signal(STATE, state, seen)])])
    report = label_dataset(source, MoveModel(), tmp_path / "out")
    label = Label.of(opened(tmp_path / "out")[0], "action")
    assert [i for i, s in enumerate(label.source) if not s] == [4, 5, episode.length - 1]
    assert report.unanswered == 3


def test_intervals_and_weights(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(400, 2))
    point = truth + 0.1 * rng.normal(size=(400, 2))
    calibration = calibrate(truth, point, np.full((400, 2), 0.1), np.repeat(np.arange(40), 10), level=0.9)
    label_dataset(recordings(), MoveModel(), tmp_path / "out", calibration=calibration)
    label = Label.of(opened(tmp_path / "out")[5], "action")
    spread, half = np.exp(-3.0), calibration.quantile()
    answered = slice(0, -1)
    low = np.clip(label.value[answered] - half * spread, -1, 1)
    high = np.clip(label.value[answered] + half * spread, -1, 1)
    assert np.allclose(label.lower[answered], low, atol=1e-6)
    assert np.allclose(label.upper[answered], high, atol=1e-6)
    assert np.allclose(label.weight[answered], (1 - (high - low) / 2).mean(1), atol=1e-6)
    assert np.isnan(label.lower[-1]).all()
    measured = Label.of(opened(tmp_path / "out")[0], "action")
    assert np.array_equal(measured.lower[:-1], measured.value[:-1])


def test_without_a_calibration_there_are_no_intervals(tmp_path: Path) -> None:
    label_dataset(recordings(), MoveModel(), tmp_path / "out")
    label = Label.of(opened(tmp_path / "out")[5], "action")
    assert np.isnan(label.lower).all()
    assert np.allclose(label.weight[:-1], 1 - 3.2897 * np.exp(-3.0) / 2, atol=1e-6)


def test_classes(tmp_path: Path) -> None:
    keys = SignalSpec("action", (2,), "int64", "action", low=(0.0,), high=(2.0,))

    class Keys(MoveModel):
        def infer(self, batch):  # type: ignore[no-untyped-def]
            seen = batch.inputs["observation.state"]
            chosen = ((seen[:, 1] - seen[:, 0]) > 0).long() + 1
            return FactoredCategorical(torch.log(0.8 * torch.eye(3)[chosen] + 0.2 / 3).flatten(1), (3, 3))

    model = Keys()
    model.target = keys
    episode = recordings(1, labelled=0)[0]
    values = np.array([[0, 2]] * episode.length)
    first = Episode.from_signals(
        [episode["observation.state"], Signal(keys, values, np.arange(episode.length) < 3)], fps=10.0
    )
    label_dataset(Dataset.from_episodes([first]), model, tmp_path / "out")
    labelled = opened(tmp_path / "out")[0]
    assert labelled["action"].values.dtype == np.int64
    assert labelled["action"].values[:3].tolist() == [[0, 2]] * 3
    label = Label.of(labelled, "action")
    move = np.diff(episode["observation.state"].values, axis=0)[3:]
    assert np.array_equal(labelled["action"].values[3:-1], (move > 0) + 1)
    assert not labelled["action"].mask[-1]
    assert np.allclose(label.weight[3:-1], 0.8 + 0.2 / 3, atol=1e-6)  # the probability of the answer


def test_replay_residuals_and_refinement(tmp_path: Path) -> None:
    source = Dataset.from_episodes(episodes())
    hidden = Dataset.from_episodes([e if i < 1 else without_action(e) for i, e in enumerate(source)])
    label_dataset(hidden, Poor(), tmp_path / "raw", world=CartWorld(8))
    label_dataset(hidden, Poor(), tmp_path / "better", world=CartWorld(8), refine_above=1e-3)
    raw, better = opened(tmp_path / "raw"), opened(tmp_path / "better")
    exact = Label.of(raw[0], "action")
    assert np.nanmax(exact.residual) < 1e-5  # measured causes replayed in the world they were recorded in
    assert np.isnan(exact.residual[-1])
    for number in range(1, len(source)):
        before, after = Label.of(raw[number], "action"), Label.of(better[number], "action")
        assert np.nanmean(after.residual) < 0.05 * np.nanmean(before.residual)
        assert (after.weight[:-1] >= before.weight[:-1]).all()
        changed = np.array([s.endswith("+refined") for s in after.source])
        assert changed.any()
        truth = source[number]["action"].values
        # The cart's push is resolvable (the gripper saturates, the third component does nothing). Steps that were not
        # worked on had a residual below 1e-3 as they were.
        error = np.abs(after.value - truth)[:, 0]
        assert (error[changed] < 1e-3).mean() > 0.9  # where the gripper leaves a residual too, the search ends nearby
        assert error[changed].max() < 0.05
        assert (before.residual[:-1][~changed[:-1]] <= 1e-3).all()
    assert not any(s.endswith("+refined") for s in Label.of(better[0], "action").source)


def test_a_function_that_makes_the_world_is_known_by_its_world(tmp_path: Path) -> None:
    """Two lambdas are two objects, and still the same settings."""
    source = Dataset.from_episodes([without_action(e) for e in episodes()])
    label_dataset(source, Poor(), tmp_path / "out", world=lambda: CartWorld(4))
    assert label_dataset(source, Poor(), tmp_path / "out", world=lambda: CartWorld(4)).already_done


def without_action(episode: Episode) -> Episode:
    return episode.with_signals([], drop=["action"])


class Poor(MoveModel):
    """Always zero, in the toy cart world."""

    def __init__(self) -> None:
        super().__init__()
        from toy_world import ACTION as CART

        self.target = CART

    def infer(self, batch):  # type: ignore[no-untyped-def]
        mean = torch.zeros(len(batch), 3)
        return Gaussian(mean, torch.full_like(mean, -1.0))


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    label_dataset(recordings(), MoveModel(), tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    report = label_dataset(recordings(), MoveModel(), tmp_path / "out")
    assert report.already_done
    assert report.inferred == sum(e.length - 1 for e in recordings()[3:])
    assert "nothing was done" in str(report)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}


class Interrupted(RuntimeError):
    pass


class Breaking:
    """An executor that gives up after some items."""

    def __init__(self, items: int) -> None:
        self.items = items

    def map(self, function, items):  # type: ignore[no-untyped-def]
        for number, item in enumerate(items):
            if number == self.items:
                raise Interrupted
            yield function(item)


def test_an_interrupted_run_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invdyn.actions.labeller.BLOCK_FRAMES", 30)
    monkeypatch.setattr("invdyn.actions.labeller.BLOCKS_PER_ITEM", 1)
    with pytest.raises(Interrupted):
        label_dataset(recordings(), MoveModel(), tmp_path / "out", executor=Breaking(2))
    assert not (tmp_path / "out").exists()
    report = label_dataset(recordings(), MoveModel(), tmp_path / "out")
    assert 0 < report.resumed < 10
    label_dataset(recordings(), MoveModel(), tmp_path / "whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invdyn.actions.labeller.BLOCK_FRAMES", 30)
    monkeypatch.setattr("invdyn.actions.labeller.BLOCKS_PER_ITEM", 1)
    label_dataset(recordings(camera=True), MoveModel(), tmp_path / "one", options=OPTIONS)
    label_dataset(recordings(camera=True), MoveModel(), tmp_path / "two", options=OPTIONS, executor=LocalExecutor(2))
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_videos_on_disk_are_taken_over_as_they_are(tmp_path: Path) -> None:
    label_dataset(recordings(4, camera=True), MoveModel(), tmp_path / "first", options=OPTIONS)
    source = opened(tmp_path / "first")
    label_dataset(source, MoveModel(gain=0.5), tmp_path / "second", options=OPTIONS)
    videos = {k: v for k, v in files(tmp_path / "first").items() if k.endswith(".mp4")}
    assert videos
    assert videos == {k: v for k, v in files(tmp_path / "second").items() if k.endswith(".mp4")}
    again = opened(tmp_path / "second")
    assert np.array_equal(again[3][CAMERA.name].values, source[3][CAMERA.name].values)
    # Inferred labels are those of the new model, measured ones are as before.
    assert np.allclose(again[3]["action"].values[:-1], 0.5 * source[3]["action"].values[:-1], atol=1e-6)
    assert again[0]["action"].values[:-1].tobytes() == source[0]["action"].values[:-1].tobytes()


@pytest.mark.parametrize(("frames", "window"), [(7, (0, 1)), (30, (2, 3)), (16_384, (1, 1))])
def test_stretches_and_batches_give_what_the_sampler_gives(frames: int, window: tuple[int, int]) -> None:
    """Cut into stretches or not, every window is the one of `WindowSampler`."""

    class Probe(MoveModel):
        def infer(self, batch):  # type: ignore[no-untyped-def]
            masked = torch.where(batch.mask[..., None], batch.inputs["observation.state"], 100.0)
            weight = torch.arange(1.0, 1.0 + masked.shape[1])
            mean = (masked * weight[:, None]).sum(1)
            return Gaussian(mean, torch.zeros_like(mean))

    model, source = Probe(), recordings()
    model.window = Window(*window)
    blocks = plan_blocks(source.lengths, 8, frames=frames)
    assert sum(s.stop - s.start for b in blocks for s in b) == source.frames
    assert all(sum(s.stop - s.start for s in b) <= max(frames, 1) for b in blocks)
    found = dict(infer_episodes(model, source, blocks, batch_size=5))
    assert list(found) == list(range(10))
    sampler = WindowSampler(source, model.inputs, model.window)
    expected = model.infer(sampler.batch(torch.arange(len(sampler)))).point().double().numpy()
    for number, start in enumerate(source.starts):
        known = found[number].known
        assert np.allclose(found[number].point[known], expected[start : start + len(known)][known], rtol=1e-6)
        assert not known[-1]


def test_filtered_labels(tmp_path: Path) -> None:
    label_dataset(recordings(), MoveModel(), tmp_path / "out")
    data = opened(tmp_path / "out")
    assert all(np.array_equal(a["action"].mask, b["action"].mask) for a, b in zip(data, filter_labels(data)))
    strict = filter_labels(data, min_weight=0.95)  # the model's weights are 0.918
    assert "action" in strict[0]  # measured
    assert strict[0]["action"].mask.sum() == data[0].length - 1
    assert "action" not in strict[5]
    assert len(filter_labels(data, min_weight=0.95, drop_episodes=0.5)) == 3
    assert strict[5]["label.action.weight"].mask.all()


def test_filtering_by_residual() -> None:
    (episode,) = recordings(1, labelled=0)
    n = episode.length
    value = np.zeros((n, 2))
    residual = np.linspace(0, 1, n)
    label = Label(value, value, value, np.full(n, "inferred:m", object), residual, np.ones(n))
    data = Dataset.from_episodes([episode.with_signals(label.signals(ACTION))])
    kept = filter_labels(data, max_residual=0.5)[0]["action"]
    assert np.array_equal(kept.mask, residual.astype(np.float32) <= 0.5)
    assert np.isnan(kept.values[~kept.mask]).all()


def test_the_output_tells_what_made_it(tmp_path: Path) -> None:
    label_dataset(recordings(), MoveModel(), tmp_path / "out", options=LeRobotOptions(robot_type="cart"))
    record = json.loads((tmp_path / "out/meta/invdyn_label.json").read_text())
    assert record["made_by"]["model"]["id"] == "MoveModel"
    assert len(record["made_by"]["model"]["weights"]) == 16
    assert record["counts"]["measured"] == sum(e.length - 1 for e in recordings()[:3])
