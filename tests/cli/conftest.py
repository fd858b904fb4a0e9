"""The command line as a user has it, in this process; small recordings, model and policy, made by the commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from invdyn.cli.main import main
from invdyn.episodes.windows import WindowSampler

FIT = ("--trainer.steps", "150", "--trainer.warmup", "10", "--model.width", "32", "--folds", "3", "--level", "0.7")
"""A quick fit on few labelled episodes (three support a level of 0.75 at most)."""


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON value on stdout; a second one, or a word beside it, is a failure."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    def refused(self, *told: str) -> None:
        """Exit code 2, nothing on stdout, and on stderr one line (after notes on progress) that says all of this."""
        assert self.code == 2, (self.code, self.err)
        assert self.out == ""
        *_, line = self.err.strip().splitlines()
        assert line.startswith("invdyn")
        assert "Traceback" not in self.err
        for words in told:
            assert words in line, line


Run = Callable[..., Ran]


@pytest.fixture
def invdyn(capfd: pytest.CaptureFixture[str]) -> Run:
    """`invdyn("inspect", path, "--json")`."""

    def run(*args: object) -> Ran:
        capfd.readouterr()
        code = main([str(a) for a in args])
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run


@dataclass
class Updates:
    """Training updates made so far; the one after `stop_at` of them is interrupted as by Ctrl-C."""

    made: int = 0
    stop_at: int | None = None


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> Updates:
    """Counts, and stops where told."""
    draw, updates = WindowSampler.draw, Updates()

    def counted(self: WindowSampler, *args: object, **options: object) -> object:
        if updates.made == updates.stop_at:
            raise KeyboardInterrupt
        updates.made += 1
        return draw(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(WindowSampler, "draw", counted)
    return updates


def made(*args: object) -> None:
    assert main([str(a) for a in args]) == 0, args


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Bits that are compared come from one thread."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `recordings` (9 episodes of the pendulum's expert) and `given` (3 of them keep their actions)."""
    folder = tmp_path_factory.mktemp("cli")
    made("data", "make", "pendulum", folder / "recordings", "--episodes", 9, "--seed", 3, "--task", "swing up")
    made("convert", folder / "recordings", folder / "given", "--hide", "action", "--hide-in", "3:")
    return folder


@pytest.fixture(scope="session")
def model(world: Path) -> Path:
    made("fit", world / "given", "--out", world / "model", *FIT)
    return world / "model"


@pytest.fixture(scope="session")
def labelled(world: Path, model: Path) -> Path:
    made("label", world / "given", model, world / "labelled", "--workers", 1, "--replay")
    return world / "labelled"
