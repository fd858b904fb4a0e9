"""Recordings and a model for tests of the labelling engine; run as a program it is killed and started again.

    python labelling_case.py FOLDER SEED KILLS

makes one uninterrupted output, then others whose runs are killed (SIGKILL) at random moments, and prints what happened
as JSON. Each run is a forked process, so that imports are paid once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from invdyn.actions.base import InverseModel
from invdyn.actions.labeller import label_dataset
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.lerobot_options import LeRobotOptions
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.episodes.windows import Window, WindowBatch
from invdyn.nn.distributions import CauseDistribution
from invdyn.nn.gaussians import Gaussian

STATE = SignalSpec("observation.state", (2,), "float32", "state", unit="m")
ACTION = SignalSpec("action", (2,), "float32", "action", unit="m", low=(-1.0,), high=(1.0,))
CAMERA = SignalSpec("observation.images.top", (32, 32, 3), "uint8", "image", encoding="video")
OPTIONS = LeRobotOptions(codec="h264")
MERGING = 3
"""Kills that must fall into the last part of a run, where finished episodes become the output."""


class MoveModel(InverseModel):
    """The cause is the move to the next step (before=0, after=1), or from the last one (before=1, after=0)."""

    def __init__(self, gain: float = 1.0, after: int = 1) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor([gain]))
        self.inputs, self.target = ("observation.state",), ACTION
        self.window = Window(0, 1) if after else Window(1, 0)

    def infer(self, batch: WindowBatch) -> CauseDistribution:
        seen = batch.inputs["observation.state"]
        mean = self.gain * (seen[:, 1] - seen[:, 0])
        return Gaussian(mean, torch.full_like(mean, -3.0))


def episode(number: int, *, measured: bool, length: int = 12, camera: bool = False) -> Episode:
    """A walk whose moves are the actions; the last row has none."""
    rng = np.random.default_rng(number)
    moves = rng.uniform(-0.9, 0.9, (length, 2)).astype(np.float32)
    state = np.cumsum(np.r_[np.zeros((1, 2)), moves[:-1]], 0).astype(np.float32)
    signals = [Signal(STATE, state)]
    if measured:
        action = moves.copy()
        action[-1] = np.nan
        signals.append(Signal(ACTION, action, np.arange(length) < length - 1))
    if camera:
        pictures = np.zeros((length, 32, 32, 3), np.uint8)
        for t in range(length):
            pictures[t, :, (3 * t + number) % 28 : (3 * t + number) % 28 + 4] = 255
        signals.append(Signal(CAMERA, pictures))
    specs = (STATE, ACTION, CAMERA) if camera else (STATE, ACTION)
    from invdyn.episodes.signal import Schema

    return Episode.from_signals(
        signals, fps=10.0, task=f"walk {number % 2}", metadata={"seed": number}, schema=Schema(specs, 10.0)
    )


def recordings(count: int = 10, *, labelled: int = 3, camera: bool = False, length: int = 12) -> Dataset:
    """The first `labelled` episodes have their actions."""
    return Dataset.from_episodes(
        [episode(i, measured=i < labelled, camera=camera, length=length + i % 3) for i in range(count)]
    )


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _run(out: Path) -> int:
    """Label in a forked process; returns its id."""
    pid = os.fork()
    if pid == 0:
        try:
            label_dataset(recordings(camera=True), MoveModel(), out, options=OPTIONS)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return pid


def _kill_until_done(out: Path, dice: random.Random, seconds: float, merging: bool) -> dict[str, int]:
    """Start and kill runs until one ends by itself."""
    partial = out.with_name(out.name + ".partial")
    told = {"kills": 0, "kills_while_merging": 0, "runs": 0}
    while True:
        told["runs"] += 1
        pid = _run(out)
        if merging:
            while not list(partial.glob("*dataset*")) and os.waitpid(pid, os.WNOHANG)[0] == 0:
                time.sleep(0.0005)
            time.sleep(dice.uniform(0, 0.3 * seconds))
        else:
            time.sleep(dice.uniform(0, 0.6 * seconds))
        merging_now = bool(list(partial.glob("*dataset*")))
        try:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return told  # it had ended, and was waited for above
        if os.WIFSIGNALED(status):
            told["kills"] += 1
            told["kills_while_merging"] += merging_now
            assert not out.exists() or (out / "meta" / "invdyn_label.json").is_file(), "a half-written output appeared"
            if told["kills"] % 6 == 0:
                merging = not merging
            if told["kills"] >= 12:  # enough for this output: let the next run end
                pid = _run(out)
                _, status = os.waitpid(pid, 0)
                assert os.waitstatus_to_exitcode(status) == 0, "the last run failed"
                return told
        else:
            assert os.waitstatus_to_exitcode(status) == 0, "a resumed run failed"
            return told


def main(folder: Path, seed: int, wanted: int) -> None:
    torch.set_num_threads(1)  # a forked process must not meet a thread pool
    dice = random.Random(seed)
    whole = folder / "whole"
    started = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(_run(whole), 0)[1]) == 0
    seconds = time.monotonic() - started
    total = {"kills": 0, "kills_while_merging": 0, "runs": 0, "outputs": 0, "different": 0, "leftovers": 0}
    # Where a kill falls is up to the machine: go on until enough have fallen into the merge as well.
    while total["kills"] < wanted or total["kills_while_merging"] < MERGING:
        out = folder / f"killed{total['outputs']}"
        told = _kill_until_done(out, dice, seconds, merging=bool(total["outputs"] % 2))
        for key, value in told.items():
            total[key] += value
        total["outputs"] += 1
        total["different"] += files(out) != files(whole)
        total["leftovers"] += out.with_name(out.name + ".partial").exists()
    print(json.dumps({**total, "seconds_uninterrupted": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
