"""`fit`, `label`, `verify`: a model from a few labelled episodes, labels for the rest, checked by replay and truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import FIT, Run, Updates

import invdyn.actions.labeller as labeller
from invdyn.episodes import open_dataset
from invdyn.episodes.label import MEASURED, Label


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_fit_tells_score_interval_and_guarantee(invdyn: Run, world: Path, model: Path) -> None:
    told = invdyn("fit", world / "given", "--out", model, *FIT, "--json").value  # made already: read from its folds
    assert set(told) == {
        *("model", "episodes", "steps", "names", "unit", "r2", "r2_per_dim", "level", "half_width", "coverage"),
        *("guarantee", "seed"),
    }
    assert (told["episodes"], told["names"], told["unit"], told["level"]) == (3, ["torque"], "N m", 0.7)
    assert told["r2"] > 0.99  # the pendulum's torque is nearly linear in what the model sees
    assert told["half_width"][0] > 0
    out = invdyn("fit", world / "given", "--out", model, *FIT).out
    assert f"{model}: fitted on 3 labelled episodes ({told['steps']} steps)" in out
    assert "torque" in out
    assert told["guarantee"] in out
    assert {"model.safetensors", "config.json", "calibration.json"} <= {p.name for p in model.iterdir()}


def test_an_interrupted_fit_continues_to_the_same_bits(
    invdyn: Run, world: Path, model: Path, tmp_path: Path, updates: Updates
) -> None:
    args = ("fit", world / "given", "--out", tmp_path / "model", *FIT, "--trainer.checkpoint-every", "50")
    updates.stop_at = 225  # in the middle of the second of three folds of 150 updates
    stopped = invdyn(*args)
    assert stopped.code == 130
    assert stopped.err.endswith("invdyn fit: interrupted. The same command continues where it stopped.\n")
    assert not (tmp_path / "model" / "model.safetensors").exists()
    invdyn(*args, "--seed", 1).refused("was made with other settings", "trainer.seed: 0, not 1", "Choose another --out")
    updates.made, updates.stop_at = 0, None
    assert invdyn(*args).code == 0
    assert updates.made == 3 * 150 - 200  # the first fold was done, the second had a checkpoint at 50
    for name in ("model.safetensors", "calibration.json"):
        assert (tmp_path / "model" / name).read_bytes() == (model / name).read_bytes()


def test_fit_refuses(invdyn: Run, world: Path, tmp_path: Path) -> None:
    data, out = world / "given", tmp_path / "model"
    invdyn("fit", data, "--out", out).refused("level 0.9 needs at least 9 labelled episodes for calibration, got 3.")
    invdyn("fit", data, "--out", out, "--model.target", "actoin").refused("unknown signal 'actoin'. Did you mean 'acti")
    invdyn("fit", data, "--out", out, "--model.inputs", "observation.states").refused("Did you mean 'observation.stat")
    invdyn("fit", data, "--out", out, *FIT, "--episodes", "3:").refused(
        "none of its 6 episodes has a value of 'action'"
    )
    invdyn("fit", data, "--out", out, *FIT, "--trainer.seed", "3").refused("would be replaced by --seed. Give --seed")
    invdyn("fit", data, "--out", out, *FIT, "--ema", "2").refused("decay")
    assert not out.exists()  # a run that failed before it had written anything leaves nothing
    invdyn("fit", data, "--out", data, *FIT).refused("given exists already. Choose another --out, or remove it first.")
    (tmp_path / "file").touch()
    invdyn("fit", data, "--out", tmp_path / "file", *FIT).refused("file is a file, expected a folder.")
    out.mkdir()
    (out / "run.json").write_text("{")
    invdyn("fit", data, "--out", out, *FIT).refused("run.json is damaged. Choose another --out")


def test_fit_reads_foreign_recordings_with_options(invdyn: Run, world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    for number, episode in enumerate(open_dataset(world / "recordings")):
        rows = np.c_[episode.timestamp, episode["observation.state"].values, episode["action"].values]
        np.savetxt(folder / f"walk_{number}.csv", rows, delimiter=",", header="time,c,s,w,torque", comments="")
    groups = 'groups={"observation.state": ["c", "s", "w"], "action": ["torque"]}'
    read = ("--read", "nan=mask", groups)
    told = invdyn("fit", folder, "--out", tmp_path / "model", *FIT, *read, "--json").value
    assert told["episodes"] == 9
    out = tmp_path / "labelled"
    told = invdyn("label", folder, tmp_path / "model", out, "--workers", 1, *read, "--json").value
    assert (told["inferred"], told["unanswered"]) == (0, 9)
    assert invdyn("train", folder, "--out", tmp_path / "policy", "--trainer.steps", 2, *read).code == 0
    # The native side of a comparison needs no options; they are for the tables.
    invdyn("verify", out, "--truth", folder, *read).refused("no inferred 'action' whose true value stands in")


def test_label_keeps_what_was_measured(invdyn: Run, world: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "labelled"
    told = invdyn("label", world / "given", model, out, "--workers", 1, "--json").value
    assert set(told) == {
        *("out", "episodes", "frames", "inferred", "refined", "measured", "unanswered", "resumed", "already_done"),
        *("seconds", "rate", "model"),
    }
    assert told["inferred"] + told["measured"] + told["unanswered"] == told["frames"]
    assert told["inferred"] > told["measured"] > 0
    truth, labels = open_dataset(world / "given"), open_dataset(out)
    for one, other in zip(truth[:3], labels[:3], strict=True):
        np.testing.assert_array_equal(one["action"].values, other["action"].values)
        assert set(Label.of(other, "action").source) == {MEASURED, ""}
    again = invdyn("label", world / "given", model, out)
    assert again.out == f"{out}: complete already, nothing was done\n"


def test_an_interrupted_label_continues_to_the_same_bytes(
    invdyn: Run, world: Path, model: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = labeller.write_shard, []

    def until(*args: object, **options: object) -> object:
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(args[1])
        return write(*args, **options)  # type: ignore[arg-type]

    out = tmp_path / "labelled"
    args = ("label", world / "given", model, out, "--workers", 1, "--replay")
    monkeypatch.setattr(labeller, "write_shard", until)
    stopped = invdyn(*args)
    assert stopped.code == 130
    assert stopped.err.endswith("invdyn label: interrupted. The same command continues where it stopped.\n")
    assert not out.exists()
    monkeypatch.undo()
    ran = invdyn(*args)
    assert "4 episodes were done by a former run" in ran.out
    assert files(out) == files(labelled)


def test_label_corrects_by_replay_where_asked(invdyn: Run, world: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "refined"
    args = ("label", world / "given", model, out, "--workers", 1, "--level", "0.6", "--refine-above", "1e-6")
    ran = invdyn(*args)
    assert "corrected by replay)" in ran.out
    sources = set(open_dataset(out).column("label.action.source").values)
    assert any(s.endswith("+refined") for s in sources)
    told = invdyn("verify", out, "--truth", world / "recordings", "--json").value
    raw = invdyn("label", world / "given", model, tmp_path / "raw", "--workers", 1).code
    assert raw == 0
    plain = invdyn("verify", tmp_path / "raw", "--truth", world / "recordings", "--json").value
    assert told["labels"]["mae_per_dim"] < plain["labels"]["mae_per_dim"]


def test_intervals_of_corrected_causes(invdyn: Run, world: Path, model: Path, tmp_path: Path) -> None:
    """They come from the same correction of what was said about episodes left out; other recordings have none of it."""

    def widths(data: Path, out: Path, *options: object) -> tuple[float, str]:
        ran = invdyn("label", data, model, out, "--workers", 1, *options)
        assert ran.code == 0, ran.err
        columns = [open_dataset(out).column(f"label.action.{side}").values for side in ("lower", "upper")]
        return float(np.nanmean(columns[1] - columns[0])), ran.err

    raw, _ = widths(world / "given", tmp_path / "raw")
    corrected, _ = widths(world / "given", tmp_path / "corrected", "--refine-above", "1e-6")
    assert corrected < raw / 2
    other = tmp_path / "other"
    assert invdyn("data", "make", "pendulum", tmp_path / "new", "--episodes", 2, "--seed", 70).code == 0
    assert invdyn("convert", tmp_path / "new", other, "--hide", "action").code == 0
    _, told = widths(other, tmp_path / "elsewhere", "--refine-above", "1e-6")
    assert "fitted on other recordings: corrected causes keep the model's intervals, widened." in told


def test_label_refuses(invdyn: Run, world: Path, model: Path, labelled: Path, tmp_path: Path) -> None:
    given, out = world / "given", tmp_path / "out"
    invdyn("label", given, model, labelled).refused("was made with other settings (world: pendulum, not None)")
    invdyn("label", given, world / "recordings", out).refused("is not a saved model")
    invdyn("label", given, model, world / "recordings").refused("exists already and is no output of labelling")
    invdyn("label", given, model, out, "--world", "pendulum").refused(
        "--world pendulum has nothing to do. Add --replay"
    )
    invdyn("label", given, model, out, "--replay", "--world", "pendlum").refused("Did you mean 'pendulum'?")
    invdyn("label", given, model, out, "--replay", "--world", "point2d").refused("causes of shape")
    invdyn("label", given, model, out, "--level", "0.99").refused("no quantile was kept for level 0.99")
    invdyn("label", given, model, out, "--workers", 0).refused("workers is 0, expected at least 1.")
    invdyn("label", given, "closed-form", out, "--level", "0.8").refused("the closed form has no intervals")
    invdyn("label", given, "closed-form", out, "--world", "metaworld/reach-v3").refused("has no closed-form inverse")
    assert list(tmp_path.iterdir()) == []  # no half-begun output either


def test_label_with_a_model_saved_without_calibration(invdyn: Run, world: Path, model: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("model.safetensors", "config.json"):
        (bare / name).write_bytes((model / name).read_bytes())
    invdyn("label", world / "given", bare, tmp_path / "out", "--level", "0.8").refused("was saved without calibration")
    assert invdyn("label", world / "given", bare, tmp_path / "out", "--workers", 1).code == 0
    score = invdyn("verify", tmp_path / "out", "--truth", world / "recordings", "--json").value["labels"]
    assert score["coverage"] is None


def test_the_closed_form_recovers_the_torque_to_3e_6(invdyn: Run, tmp_path: Path) -> None:
    """The same path as a learned model: label, then score and replay."""
    truth, given, out = tmp_path / "truth", tmp_path / "given", tmp_path / "out"
    assert invdyn("data", "make", "pendulum", truth, "--episodes", 40, "--noise", 0.3, "--seed", 100).code == 0
    assert invdyn("convert", truth, given, "--hide", "action").code == 0
    told = invdyn("label", given, "closed-form", out, "--workers", 1, "--json").value
    assert told["model"] == "closed-form:pendulum"
    errors, rounding = [], []
    for label, episode in zip((Label.of(e, "action") for e in open_dataset(out)), open_dataset(truth), strict=True):
        omega = np.abs(episode["observation.state"].values[:, 2])
        inferred = label.source[:-1] == "inferred:closed-form:pendulum"
        np.testing.assert_array_equal(inferred, omega[1:] < 8)  # unanswered exactly where the speed was clipped
        error = np.abs(label.value - episode["action"].values)[:-1, 0]
        # Observations are float32: each speed is off by half its spacing at most, and u = (omega' - omega) / dt / 3.
        both = (np.spacing(omega[:-1]) + np.spacing(omega[1:])) / 2 / 0.05 / 3
        errors.append(error[inferred])
        rounding.append(both[inferred])
    error, bound = np.concatenate(errors), np.concatenate(rounding)
    assert len(error) > 1500
    # The sine of the angle and the label itself are float32 too: together at most 3e-7 N m.
    assert (error <= bound + 3e-7).all()
    assert np.quantile(error, 0.999) <= 3e-6
    score = invdyn("verify", out, "--truth", truth, "--json").value
    assert score["labels"]["largest_error_per_dim"] == [pytest.approx(error.max(), rel=1e-6)]
    assert score["labels"]["steps"] == told["inferred"] == len(error)
    assert score["replay"]["every 1"]["error_median"]["observation.state"] < 1e-6


def test_verify_scores_replays_and_reports(invdyn: Run, world: Path, labelled: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    args = ("verify", labelled, "--truth", world / "recordings", "--every", "1", "5")
    ran = invdyn(*args, "--report", report, "--json")
    told = ran.value
    assert set(told) == {"data", "episodes", "labels", "replay", "report"}
    assert "replaying the 6 of 9 episodes" in ran.err
    assert set(told["labels"]) == {
        *("steps", "episodes", "names", "unit", "r2", "r2_per_dim", "mae_per_dim", "largest_error_per_dim"),
        *("coverage", "coverage_per_dim"),
    }
    assert (told["labels"]["episodes"], told["labels"]["unit"]) == (6, "N m")
    assert told["labels"]["r2"] > 0.99
    assert 0 < told["labels"]["coverage"] <= 1
    assert list(told["replay"]) == ["open loop", "every 1", "every 5", "recorded causes, open loop"]
    for row in told["replay"].values():
        assert set(row) == {
            *("world", "episodes", "transitions", "replayed", "success", "return_mean", "error_median"),
            *("final_error_median", "units"),
        }
        assert (row["episodes"], row["world"]) == (6, "pendulum")
    error = {k: row["error_median"]["observation.state"] for k, row in told["replay"].items()}
    assert error["recorded causes, open loop"] == 0  # the world it was recorded in, to the bit
    assert 0 < error["every 1"] < error["every 5"] < error["open loop"]
    page = report.read_text()
    assert page.count("<svg") == 2
    assert "Inferred against recorded" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )  # opens offline: nothing is fetched
    shown = invdyn(*args)
    assert "inferred against recorded, " in shown.out
    assert "observation.state [rad, rad/s]" in shown.out
    invdyn(*args, "--report", report).refused("report.html exists already. Choose another --report")


def test_verify_replays_measured_causes_where_nothing_was_inferred(invdyn: Run, world: Path) -> None:
    told = invdyn("verify", world / "given", "--json").value
    assert told["replay"]["open loop"]["episodes"] == 3  # the others have no action


def test_verify_of_recordings_without_a_world(invdyn: Run, world: Path, model: Path, tmp_path: Path) -> None:
    truth, given, out = tmp_path / "truth.npz", tmp_path / "given.npz", tmp_path / "out"
    assert invdyn("convert", world / "recordings", truth, "--to", "npz").code == 0
    assert invdyn("convert", world / "given", given, "--to", "npz").code == 0
    assert invdyn("label", given, model, out, "--workers", 1).code == 0
    ran = invdyn("verify", out, "--truth", truth, "--json")
    assert set(ran.value) == {"data", "episodes", "labels"}
    assert "names no world, so nothing is replayed" in ran.err
    invdyn("verify", out).refused("names no world to replay in. Pass --world ID.")
    assert "replay" in invdyn("verify", out, "--world", "pendulum", "--json").value  # its state is recorded


def test_verify_says_what_cannot_be_replayed(invdyn: Run, world: Path, labelled: Path, tmp_path: Path) -> None:
    lean = tmp_path / "lean"
    assert invdyn("convert", world / "recordings", lean, "--signals", "observation.state", "action").code == 0
    invdyn("verify", lean).refused("has no 'world.state' and pendulum cannot be put into its state")
    invdyn("verify", lean, "--world", "none").refused("--world none without --truth leaves nothing to verify.")
    invdyn("verify", world / "given", "--episodes", "3:").refused("no chosen episode", "has 'action' to replay")
    invdyn("verify", labelled, "--target", "acton").refused("unknown signal 'acton'. Did you mean 'action'?")
    invdyn("verify", labelled, "--every", 0).refused("--every 0: expected 1 or more steps")
    invdyn("verify", labelled, "--world", "pendlum").refused("unknown world 'pendlum'. Did you mean 'pendulum'?")
    invdyn("verify", labelled, "--world", "point2d").refused("causes of shape")
    invdyn("verify", world / "recordings", "--truth", world / "given").refused("has no labels of 'action'. Label it")
    part = tmp_path / "part"
    assert invdyn("convert", world / "recordings", part, "--episodes", ":4").code == 0
    invdyn("verify", labelled, "--truth", part).refused("has 9 episodes", "part 4: not the same recordings.")


def test_verify_by_the_torques_of_every_simulated_step(invdyn: Run, tmp_path: Path) -> None:
    """Recorded in MuJoCo's cheetah with one simulated step per action; replayed by torques, without its actions."""
    pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
    import torch

    from invdyn.episodes import write_dataset
    from invdyn.worlds import make_world, record

    class Still:
        def reset(self, batch: int) -> None:
            self.batch = batch

        def act(self, observation: object) -> torch.Tensor:
            return torch.full((self.batch, 6), 0.3)

    world = make_world("gymnasium/HalfCheetah-v5", frame_skip=1, horizon=60)
    write_dataset(record(world, seeds=[0, 1], policy=Still()), tmp_path / "runs")
    args = ("verify", tmp_path / "runs", "--target", "world.inverse")
    told = invdyn(*args, "--make", "frame_skip=1", "--json").value["replay"]
    assert told["open loop"]["replayed"] == 120
    assert told["every 1"]["error_median"]["observation.state"] < 1e-6
    assert told["open loop"]["error_median"]["observation.state"] < 1e-6
    invdyn(*args).refused("simulates 5 steps of 0.01 s per action", "Record it with frame_skip=1.")
    invdyn(*args, "--make", "skip").refused("--make 'skip': expected name=value, for example frame_skip=1.")
    invdyn(*args, "--make", "skip=1").refused("--make skip=1: gymnasium/HalfCheetah-v5 does not take that")
    invdyn(*args, "--truth", tmp_path / "runs").refused("--target world.inverse is what the world finds, and no label")
