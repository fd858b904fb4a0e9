"""The entry point: help is quick and complete, wrong words are answered in one sentence, --json is clean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

import invdyn as package
from invdyn.cli.main import COMMANDS, main
from invdyn.cli.parsing import sentence
from invdyn.errors import ConfigError


def imported(code: str) -> set[str]:
    """Top-level names of the modules that some code imports, in a fresh process, without the standard library's."""
    told = (
        "import sys; before = set(sys.modules)\n"
        f"{code}\n"
        "print('|' + ' '.join({m.partition('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("|")[2].split())


def test_importing_the_package_imports_nothing_else() -> None:
    assert imported("import invdyn") == {"invdyn"}


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["inspekt"], []])
def test_help_and_wrong_words_import_no_library(args: list[str]) -> None:
    assert imported(f"from invdyn.cli.main import main; main({args!r})") == {"invdyn"}


def test_no_command_module_imports_an_optional_package() -> None:
    modules = sorted({module for module, _, _ in COMMANDS.values()})
    optional = {"mujoco", "metaworld", "gymnasium_robotics", "gym_pusht", "pymunk", "matplotlib", "jinja2", "minari"}
    assert not imported("\n".join(f"import {m}" for m in modules)) & optional


def test_usage_lists_every_command(invdyn: Run) -> None:
    ran = invdyn("--help")
    assert ran.code == 0
    for name, (_, _, line) in COMMANDS.items():
        assert f"  {name} " in ran.out
        assert line in ran.out
    bare = invdyn()
    assert (bare.code, bare.out) == (2, ran.out)
    assert invdyn("--version").out == f"invdyn {package.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(invdyn: Run, name: str) -> None:
    ran = invdyn(*name.split(), "--help")
    assert ran.code == 0
    assert ran.err == ""
    assert ran.out.startswith(f"usage: invdyn {name} ")
    assert "--json" in ran.out


def test_a_reader_who_has_gone_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    for words in (["--help"], ["convert", "--help"]):
        done = subprocess.run([sys.executable, "-m", "invdyn", *words], stdout=write, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    os.close(write)


def test_a_second_way_in(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "invdyn", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"invdyn {package.__version__}\n")


def test_unknown_commands(invdyn: Run) -> None:
    invdyn("inspekt", "x").refused("unknown command 'inspekt'. Did you mean 'inspect'?")
    invdyn("zzz").refused("unknown command 'zzz'. Commands: demo, data make, data offline, inspect")
    invdyn("data").refused("'data' needs a second word. Commands: data make, data offline.")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("fit", "x", "--outt", "m"), "unknown option '--outt'. Did you mean '--out'"),
        (("fit", "--episods", "3", "x", "--out", "m"), "unknown option '--episods'. Did you mean '--episodes'"),
        (("fit", "x", "--out", "m", "--trainer.stps=3"), "unknown option '--trainer.stps'. Did you mean '--trainer.st"),
        (("fit",), "DATA, --out PATH are required. See `invdyn fit --help`."),
        (("fit", "x"), "--out PATH is required. See `invdyn fit --help`."),
        (("fit", "x", "y", "--out", "m"), "unrecognized options: y. See"),
        (("fit", "x", "--out"), "missing value for argument '--out'"),
        (("fit", "x", "--out", "m", "--level", "high"), "--level: could not convert string to float: 'high'"),
        (("fit", "x", "--out", "m", "--model.width", "0"), "inverse model: width is 0, expected at least 1"),
        (("fit", "x", "--out", "m", "--trainer.batch_size", "0"), "trainer: batch_size is 0, expected at least 1"),
        (("train", "x", "--out", "m", "--source", "infered"), "invalid choice 'infered' for argument '--source'"),
        (("study", "deep-linear", "--scale", "smal"), "Expected one of ('smoke', 'laptop', 'gpu', 'paper')"),
    ],
)
def test_wrong_options_are_answered_in_one_sentence(invdyn: Run, args: tuple[str, ...], told: str) -> None:
    invdyn(*args).refused(told)


def test_a_terminal_without_box_characters_gets_the_same_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "invdyn", "evaluate", "pol"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 2
    assert done.stderr == "invdyn evaluate: --world STR is required. See `invdyn evaluate --help`.\n"


def test_words_of_another_form_are_kept() -> None:
    assert sentence("tyro says something new", "invdyn fit") == "tyro says something new. See `invdyn fit --help`."
    assert sentence("", "invdyn fit") == "the options could not be read. See `invdyn fit --help`."


@pytest.mark.parametrize(
    "args",
    [
        ("inspect", "{}"),
        ("convert", "{}", "new"),
        ("fit", "{}", "--out", "new"),
        ("label", "{}", "closed-form", "new"),
        ("verify", "{}"),
        ("train", "{}", "--out", "new"),
    ],
)
def test_recordings_that_are_not_there(invdyn: Run, tmp_path: Path, monkeypatch: Any, args: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    invdyn(*(a.format("recordigns") for a in args)).refused("recordigns does not exist. Check the path.")
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Noisy:
    """A command whose libraries print, and whose result is not plain JSON."""

    fail: str = ""
    json: bool = False

    def run(self) -> dict[str, Any]:
        import numpy as np

        print("pybullet build time: yesterday")
        os.write(1, b"printed by C code\n")
        if self.fail == "interrupt":
            raise KeyboardInterrupt
        if self.fail == "permission":
            raise PermissionError(13, "Permission denied", "/root/results")
        if self.fail == "ours":
            raise ZeroDivisionError
        if self.fail:
            raise ConfigError("a sentence")
        return {"array": np.array([1.0, np.nan]), "number": np.float32(2), "path": Path("x"), "inf": float("inf")}

    def show(self, result: dict[str, Any]) -> None:
        print(result["path"])

    def exit_code(self, result: Any) -> int:
        return 0


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "noisy", (__name__, "Noisy", "a test"))


@pytest.mark.usefixtures("noisy")
def test_json_is_one_value_whatever_libraries_print(invdyn: Run) -> None:
    ran = invdyn("noisy", "--json")
    assert ran.value == {"array": [1.0, None], "number": 2.0, "path": "x", "inf": None}
    assert "printed by C code" in ran.err
    assert "yesterday" in ran.err
    assert invdyn("noisy").out.endswith("x\n")


@pytest.mark.usefixtures("noisy")
def test_how_commands_end(invdyn: Run) -> None:
    failed = invdyn("noisy", "--json", "--fail", "yes")
    assert (failed.code, failed.out) == (2, "")
    assert failed.err.endswith("invdyn noisy: a sentence\n")
    denied = invdyn("noisy", "--json", "--fail", "permission")
    assert denied.code == 2
    assert denied.err.endswith("invdyn noisy: /root/results: Permission denied. Check the path.\n")
    stopped = invdyn("noisy", "--json", "--fail", "interrupt")
    assert stopped.code == 130
    assert stopped.err.endswith("invdyn noisy: interrupted.\n")
    with pytest.raises(ZeroDivisionError):  # our own fault keeps its traceback
        main(["noisy", "--fail", "ours"])


def test_a_closed_pipe_is_no_error(world: Path) -> None:
    command = f"{sys.executable} -m invdyn inspect {world / 'recordings'} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.strip() == "0", done.stderr
    assert done.stderr == ""


def test_json_on_stdout_alone_in_a_process_of_its_own(world: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "invdyn", "inspect", str(world / "recordings"), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["episodes"] == 9
    assert done.stderr == ""
