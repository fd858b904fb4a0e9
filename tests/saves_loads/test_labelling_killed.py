"""kill -9 at any point: a rerun continues, nothing is lost or doubled, the bytes are those of an uninterrupted run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

CASE = Path(__file__).parents[1] / "labelling_case.py"


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_many_times_at_random_points(tmp_path: Path, seed: int) -> None:
    run = [sys.executable, str(CASE), str(tmp_path), str(seed), "24"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kills"] >= 24
    assert told["kills_while_merging"] >= 3
    assert told["different"] == 0
    assert told["leftovers"] == 0


WORKERS = """
import sys; sys.path.insert(0, {tests!r})
from pathlib import Path
from labelling_case import MoveModel, label_dataset, recordings
import invdyn.actions.labeller as labeller
if __name__ == "__main__":
    labeller.BLOCK_FRAMES, labeller.BLOCKS_PER_ITEM = 200, 1
    label_dataset(recordings(400, length=60), MoveModel(), Path({out!r}), workers=2)
"""


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = tmp_path / "run.py"
    script.write_text(WORKERS.format(tests=str(CASE.parent), out=str(out)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    parent = subprocess.Popen([sys.executable, str(script)], env=environment)
    shards = out.with_name("out.partial") / "shards"
    until = time.monotonic() + 120
    while len(list(shards.glob("episode-*.parquet"))) < 5:
        assert time.monotonic() < until, "no episode was labelled"
        assert parent.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert not out.exists()
    subprocess.run([sys.executable, str(script)], env=environment, check=True, timeout=300)
    assert (out / "meta" / "invdyn_label.json").is_file()
    assert not out.with_name("out.partial").exists()
