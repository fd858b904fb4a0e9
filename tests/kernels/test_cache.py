"""What is compiled and traced is kept by content: found again, made anew when what it depends on changed or broke."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from toys import near, values

from invdyn.bodies import dynamics
from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import Body, BodyModel, Coordinate, Inertia, Joint, Placement, Site
from invdyn.errors import ConfigError
from invdyn.kernels import compiler as c_compiler
from invdyn.kernels.compiled import CompiledProgram
from invdyn.kernels.function import Function
from invdyn.kernels.store import content, fingerprint, kept, whole

needs_compiler = pytest.mark.skipif(c_compiler.compiler() is None, reason="no C compiler")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("INVDYN_CACHE", str(tmp_path))
    return tmp_path / "kernels"


def writing(text: str, calls: list[str]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        calls.append(text)
        path.write_text(text)

    return make


def test_made_once_and_found_by_its_facts(folder: Path) -> None:
    calls: list[str] = []
    first = kept(["a", "b"], ".txt", writing("one", calls))
    assert kept(["a", "b"], ".txt", writing("two", calls)) == first
    assert kept(["a", "c"], ".txt", writing("three", calls)) != first
    assert kept(["ab"], ".txt", writing("four", calls)) != first
    assert calls == ["one", "three", "four"]
    assert content(first) == b"one"
    assert folder.stat().st_mode & 0o077 == 0  # code is run from it


@pytest.mark.parametrize("damage", [b"", b"one", b"x", None], ids=["empty", "no checksum", "other", "a bit"])
def test_damaged_files_are_made_anew(damage: bytes | None) -> None:
    calls: list[str] = []
    path = kept(["a"], ".txt", writing("one", calls))
    text = bytearray(path.read_bytes())
    text[1] ^= 1
    path.write_bytes(bytes(text) if damage is None else damage)
    assert not whole(path)
    assert content(kept(["a"], ".txt", writing("one", calls))) == b"one"
    assert calls == ["one", "one"]


def test_what_fails_leaves_nothing(folder: Path) -> None:
    def make(path: Path) -> None:
        path.write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept(["a"], ".txt", make)
    assert list(folder.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INVDYN_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        ConfigError, match=r"cache of compiled programs .*file/kernels cannot be written .*INVDYN_CACHE"
    ):
        kept(["a"], ".txt", writing("one", []))


def test_a_fingerprint_is_that_of_the_source() -> None:
    assert fingerprint("invdyn.kernels") == fingerprint.__wrapped__("invdyn.kernels")
    assert fingerprint("invdyn.kernels") != fingerprint("invdyn.bodies")


@needs_compiler
def test_compiled_once_until_flags_or_source_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_really = c_compiler._compile
    monkeypatch.setattr(
        c_compiler, "_compile", lambda s, name, path: (compiled.append(name), compile_really(s, name, path))
    )
    wanted = toys.program().evaluate(*values(9))

    def run() -> int:
        for x, y in zip(CompiledProgram(toys.program())(values(9)), wanted):
            near(x, y, 1e-12)
        return len(compiled)

    assert run() == 1
    assert run() == 1  # found
    monkeypatch.setattr(c_compiler, "FLAGS", (*c_compiler.FLAGS, "-O1"))
    assert run() == 2  # another file
    monkeypatch.setattr("invdyn.kernels.compiled.fingerprint", lambda *_: "another emitter")
    assert run() == 3
    assert len([*folder.glob("*.so")]) == 3
    assert [*folder.glob(".*")] == []


SCRIPT = """
import sys; sys.path.insert(0, {here!r})
import torch, toys
from invdyn.kernels.function import Function
function = Function(toys.program(), {backend!r})
Function(toys.program(), {backend!r})(*toys.values(5))
print(repr(torch.cat(function(*toys.values(33))[:2]).double().sum().item()))
"""


def process(backend: str = "compiled", **environment: str) -> subprocess.Popen[str]:
    code = SCRIPT.format(here=str(Path(__file__).parent), backend=backend)
    given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(started: subprocess.Popen[str]) -> tuple[float, str]:
    out, err = started.communicate(timeout=300)
    assert started.returncode == 0, err
    return float(out), err


@needs_compiler
def test_processes_that_compile_at_once_and_a_library_cut_short(folder: Path) -> None:
    """Each finds a whole file; what is damaged afterwards is made anew and not loaded."""
    wanted = float(torch.cat(toys.program().evaluate(*values(33))[:2]).sum())
    started = [process() for _ in range(3)]
    assert [ended(p)[0] for p in started] == pytest.approx([wanted] * 3, rel=1e-12)
    (library,) = folder.glob("*.so")
    assert [*folder.glob(".*")] == []
    library.write_bytes(library.read_bytes()[:3000])
    assert ended(process())[0] == pytest.approx(wanted, rel=1e-12)
    assert whole(library)


def test_no_compiler_is_said_once(tmp_path: Path) -> None:
    """No PATH: nothing is found; two functions, one warning."""
    wanted = float(torch.cat(toys.program().evaluate(*values(33))[:2]).sum())
    environment = {"PATH": str(tmp_path), "INVDYN_CC": "", "CC": ""}
    found, err = ended(process("auto", **environment))
    assert found == pytest.approx(wanted, rel=1e-12)
    assert err.count("no C compiler found; install gcc or clang. Until then programs run operation by operation") == 1
    refused = process("compiled", **environment)
    _, err = refused.communicate(timeout=300)
    assert refused.returncode == 1
    assert "CompileError: everything: no C compiler found; install gcc or clang, or choose backend='eager'." in err


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set INVDYN_CC; what was found before is forgotten, before and after."""

    def ask(name: str) -> None:
        monkeypatch.setenv("INVDYN_CC", name)
        c_compiler.compiler.cache_clear()
        c_compiler._machine.cache_clear()

    yield ask
    monkeypatch.undo()
    c_compiler.compiler.cache_clear()
    c_compiler._machine.cache_clear()


def test_a_named_compiler_that_is_not_there(asked: Callable[[str], None]) -> None:
    asked("/no/such/cc")
    with pytest.raises(ConfigError, match=r"INVDYN_CC='/no/such/cc' is not a program. Name a C compiler, or unset it"):
        Function(toys.program(), "auto")(*values(3))


@pytest.mark.parametrize("text", ["#!/bin/sh\necho 'kernel.c:1: error: no such thing' >&2; exit 1\n", "not a program"])
def test_a_compiler_that_fails(
    text: str, asked: Callable[[str], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Asked for: its own words. Not asked for: the same as one warning, and the program's numbers."""
    broken = tmp_path / "cc"
    broken.write_text(text)
    broken.chmod(0o755)
    asked(str(broken))
    with pytest.raises(
        c_compiler.CompileError, match=r"everything: .*/cc (failed: .*no such thing|cannot be run: ).*INVDYN_CC"
    ):
        Function(toys.program(), "compiled")(*values(3))
    for _ in range(2):
        found = Function(toys.program(), "auto")(*values(3))
        assert torch.equal(found[0], toys.program().evaluate(*values(3))[0])
    assert sum("/cc" in r.message for r in caplog.records) == 1


def pendulum(length: float = 1.0, site: float = 0.5) -> BodyModel:
    """One link on a hinge, with a named frame on it."""
    body = Body(
        "link", -1, Joint("hinge", "revolute", (0.0, 1.0, 0.0), q=0, v=0), Placement(), Inertia(2.0, (length, 0.0, 0.0))
    )
    tip = Site("tip", 0, Placement.of(translation=(site, 0, 0)))
    return BodyModel("pendulum", (body,), (Coordinate("hinge", True),), 1, (0.0, 0.0, -9.81), sites=(tip,))


def test_traced_once_until_the_model_or_the_code_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[str] = []
    trace_really = dynamics._program
    monkeypatch.setattr(dynamics, "_program", lambda m, a, o: (traced.append(a), trace_really(m, a, o))[1])

    def programs(model: BodyModel) -> int:
        for call in (("rnea",), ("rnea", "gravity"), ("jacobian", "tip")):
            found = Dynamics(model, "auto").function(*call).program
            assert found == trace_really(model, call[0], call[1:])
        return len(traced)

    assert programs(pendulum()) == 3
    assert programs(pendulum()) == 3
    assert programs(pendulum(length=2.0)) == 6
    assert programs(pendulum(site=0.7)) == 7  # only the frame's Jacobian depends on it
    monkeypatch.setattr(dynamics, "fingerprint", lambda *_: "other code")
    assert programs(pendulum()) == 10
    Dynamics(pendulum(), "eager").function("rnea")
    assert len(traced) == 11  # eager keeps nothing


def test_damaged_programs_and_folders_that_cannot_be_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Dynamics(pendulum(), "eager").function("rnea").program
    Dynamics(pendulum(), "auto").function("rnea")
    (path,) = folder.glob("*.json")
    path.write_bytes(path.read_bytes()[:-40].replace(b"mul", b"add") + path.read_bytes()[-40:])
    assert Dynamics(pendulum(), "auto").function("rnea").program == wanted
    monkeypatch.setenv("INVDYN_CACHE", str(path))
    assert Dynamics(pendulum(), "auto").function("rnea").program == wanted


def test_names_are_part_of_what_is_kept() -> None:
    other = replace(pendulum(), name="other")
    assert Dynamics(pendulum(), "auto").function("rnea").program.name == "pendulum.rnea"
    assert Dynamics(other, "auto").function("rnea").program.name == "other.rnea"
