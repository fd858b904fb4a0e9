"""Every refusal of the labelling engine says what, where, what was expected, and the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from labelling_case import ACTION, STATE, MoveModel, files, recordings
from toy_world import CartWorld

from invdyn.actions.confidence import cause_range
from invdyn.actions.engine import EngineError, LocalExecutor, Staging
from invdyn.actions.labeller import filter_labels, label_dataset
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.errors import ConfigError, FormatError, SignalError, UnknownNameError, WorldError
from invdyn.nn.gaussians import Gaussian
from invdyn.verify.conformal import calibrate


def test_another_model_on_a_finished_output(tmp_path: Path) -> None:
    label_dataset(recordings(), MoveModel(), tmp_path / "out")
    before = files(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"out was made with other settings \(model.weights: .*Choose another path"):
        label_dataset(recordings(), MoveModel(gain=2.0), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"out was made with other settings \(source.episodes: 10, not 9"):
        label_dataset(recordings()[:9], MoveModel(), tmp_path / "out")
    assert files(tmp_path / "out") == before


def test_another_model_on_an_output_under_way(tmp_path: Path) -> None:
    class Stop(RuntimeError):
        pass

    class Stopping:
        def map(self, function, items):  # type: ignore[no-untyped-def]
            for item in items:
                yield function(item)
                raise Stop

    with pytest.raises(Stop):
        label_dataset(recordings(), MoveModel(), tmp_path / "out", executor=Stopping())
    with pytest.raises(ConfigError, match=r"out.partial is under way and was made with other settings \(model.weights"):
        label_dataset(recordings(), MoveModel(gain=2.0), tmp_path / "out")
    with pytest.raises(
        ConfigError, match=r"Finish it with the former settings, delete .*out.partial, or choose another"
    ):
        label_dataset(recordings(), MoveModel(), tmp_path / "out", batch_size=7)


def test_something_else_stands_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(FormatError, match="out exists already and is no output of labelling"):
        label_dataset(recordings(), MoveModel(), tmp_path / "out")
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "thesis.txt").write_text("mine")
    with pytest.raises(FormatError, match=r"new.partial holds 'thesis.txt' and no fingerprint, .*Move it away"):
        label_dataset(recordings(), MoveModel(), tmp_path / "new")
    assert (tmp_path / "new.partial" / "thesis.txt").read_text() == "mine"


def test_a_damaged_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "fingerprint.json").write_text("{")
    with pytest.raises(FormatError, match=r"fingerprint.json is not readable JSON .*Delete it and label again"):
        label_dataset(recordings(), MoveModel(), tmp_path / "out")
    (tmp_path / "out.partial" / "fingerprint.json").write_text("[]")
    with pytest.raises(FormatError, match=r"fingerprint.json holds no JSON object"):
        label_dataset(recordings(), MoveModel(), tmp_path / "out")


def test_two_at_a_time(tmp_path: Path) -> None:
    class Rival:
        def map(self, function, items):  # type: ignore[no-untyped-def]
            label_dataset(recordings(), MoveModel(), tmp_path / "out")
            yield from map(function, items)

    with pytest.raises(
        ConfigError, match=r"another process is labelling into .*out. Wait for it, or choose another path"
    ):
        label_dataset(recordings(), MoveModel(), tmp_path / "out", executor=Rival())


SMALL_DISK = """
import resource, sys; sys.path.insert(0, {tests!r})
from pathlib import Path
from labelling_case import MoveModel, label_dataset, recordings
from invdyn.errors import InvdynError
# No file may grow beyond {limit} bytes: the kernel refuses the write, as a full disk does.
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    label_dataset(recordings(4, length={length}), MoveModel(), Path({out!r}))
except InvdynError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("limit", "length", "done"), [(3_000, 40, 0), (40_000, 300, 4)])
def test_a_disk_that_takes_no_more(tmp_path: Path, limit: int, length: int, done: int) -> None:
    """While an episode is written, and while the finished ones are merged."""
    out = tmp_path / "out"
    script = SMALL_DISK.format(tests=str(Path(__file__).parents[1]), limit=limit, length=length, out=str(out))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert told.returncode == 0, told.stderr
    assert "EngineError cannot write" in told.stdout
    assert "File too large. Free space or choose another path, and run the same command again." in told.stdout
    assert f"{done} of 4 episodes are done and kept." in told.stdout
    assert not out.exists()
    report = label_dataset(recordings(4, length=length), MoveModel(), out)  # with space again
    assert report.resumed == done
    label_dataset(recordings(4, length=length), MoveModel(), tmp_path / "whole")
    assert files(out) == files(tmp_path / "whole")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"cannot write .*file.*: Not a directory. Free space or choose another path"):
        label_dataset(recordings(), MoveModel(), tmp_path / "file" / "out")


def test_faults_that_are_not_the_disks_are_not_dressed_up(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError), Staging(tmp_path / "out", {}).writing():
        raise InterruptedError(4, "signal")


class Dying:
    """Kills the process that runs it."""

    def __call__(self, item: int) -> int:
        os._exit(9)


def test_a_worker_that_dies() -> None:
    with pytest.raises(
        EngineError, match=r"a worker process died .*Finished episodes are kept: run the same command again"
    ):
        list(LocalExecutor(2).map(Dying(), [1, 2]))


def test_settings() -> None:
    with pytest.raises(ConfigError, match="workers is 0, expected at least 1"):
        label_dataset(recordings(), MoveModel(), "out", workers=0)
    with pytest.raises(ConfigError, match="batch_size is 0, expected at least 1 window"):
        label_dataset(recordings(), MoveModel(), "out", batch_size=0)
    with pytest.raises(
        ConfigError, match=r"refine_above=0.1 needs a world to replay in. Give the world, or leave it out"
    ):
        label_dataset(recordings(), MoveModel(), "out", refine_above=0.1)
    with pytest.raises(WorldError, match=r"was not made by make_world, so other processes cannot make it"):
        label_dataset(recordings(), MoveModel(), "out", world=CartWorld(), workers=2)


def test_recordings_of_another_kind() -> None:
    model = MoveModel()
    model.inputs = ("observation.stat",)
    with pytest.raises(UnknownNameError, match=r"unknown signal 'observation.stat'. Did you mean 'observation.state'"):
        label_dataset(recordings(), model, "out")
    model = MoveModel()
    model.input_specs = (SignalSpec("observation.state", (3,), "float32", "state", unit="m"),)
    with pytest.raises(
        SignalError, match=r"'observation.state' has shape \(2,\) and unit 'm', the model was trained on \(3,"
    ):
        label_dataset(recordings(), model, "out")
    model.input_specs = (SignalSpec("observation.state", (2,), "float32", "state", unit="mm"),)
    with pytest.raises(SignalError, match=r"and 'mm'. Use recordings of the same kind, or fit a model on these"):
        label_dataset(recordings(), model, "out")
    model = MoveModel()
    model.target = SignalSpec("action", (3,), "float32", "action", unit="m", low=(-1.0,), high=(1.0,))
    with pytest.raises(SignalError, match=r"'action' has shape \(2,\) and unit 'm', the model infers \(3,\) in 'm'"):
        label_dataset(recordings(), model, "out")
    rng = np.random.default_rng(0)
    one = calibrate(rng.normal(size=(40, 1)), np.zeros((40, 1)), np.ones((40, 1)), np.arange(40))
    with pytest.raises(SignalError, match=r"the calibration is of 1 dimensions, 'action' has 2. Use the calibration"):
        label_dataset(recordings(), MoveModel(), "out", calibration=one)


def test_a_model_that_answers_in_another_shape(tmp_path: Path) -> None:
    class Wide(MoveModel):
        def infer(self, batch):  # type: ignore[no-untyped-def]
            return Gaussian(torch.zeros(len(batch), 5), torch.zeros(len(batch), 5))

    with pytest.raises(
        SignalError, match=r"Wide answers with \(\d+, 5\) .* expected \(\d+, 2\). Correct its point\(\)"
    ):
        label_dataset(recordings(), Wide(), tmp_path / "out")


def test_a_range_that_is_not_known() -> None:
    free = SignalSpec("action", (2,), "float32", "action")
    state = Signal(STATE, np.zeros((5, 2), np.float32))
    bare = Dataset.from_episodes([Episode.from_signals([state], fps=10.0)])
    with pytest.raises(
        ConfigError, match=r"'action' has no finite bounds and too few measured values .*Give the signal its"
    ):
        cause_range(bare, free)
    values = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    known = Dataset.from_episodes([Episode.from_signals([state, Signal(free, values)], fps=10.0)])
    assert np.allclose(cause_range(known, free), 3.2897 * values.std(0))
    assert np.allclose(cause_range(bare, ACTION), 2)


def test_filtering(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match=r"has no 'label.action.source', so 'action' carries no labels to filter by"):
        filter_labels(recordings(), min_weight=0.5)
    label_dataset(recordings(labelled=0), MoveModel(), tmp_path / "out")
    from invdyn.episodes.formats.lerobot_source import LeRobotSource

    data = Dataset(LeRobotSource(tmp_path / "out"))
    with pytest.raises(ConfigError, match=r"min_weight=1.5 and drop_episodes=None lie in \[0, 1\]"):
        filter_labels(data, min_weight=1.5)
    with pytest.raises(
        ConfigError, match=r"in every episode more than 0% of the labels fail. Lower min_weight or raise"
    ):
        filter_labels(data, min_weight=0.99, drop_episodes=0.0)
