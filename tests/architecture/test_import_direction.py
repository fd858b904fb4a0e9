"""The tree cannot drift into a knot: core rooms import upward only, method rooms never each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "invdyn"
CORE = ["episodes", "kernels", "bodies", "worlds", "nn", "training", "diffusion", "verify"]
METHODS = ["actions", "forces", "foresight", "series", "fields", "decisions", "learning"]
TOP = ["studies", "cli", "web"]
ANYWHERE = {"errors", "shapes", "__version__"}  # modules beside the rooms


def rooms() -> list[str]:
    return sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__")


def allowed(room: str) -> set[str]:
    """The rooms this one may import."""
    if room in CORE:
        return set(CORE[: CORE.index(room)]) | {room}
    if room in METHODS:
        return {*CORE, room}
    return {*CORE, *METHODS, *TOP[: TOP.index(room)], room}


def imported(file: Path) -> set[str]:
    """Every `invdyn.<room>` a file imports, inside functions too, and in lazy "module:Class" strings it does not."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import; name the room"
            found |= {node.module or ""} if node.module != "invdyn" else {f"invdyn.{a.name}" for a in node.names}
    return {name.split(".")[1] for name in found if name.startswith("invdyn.")}


def test_every_room_is_placed() -> None:
    assert set(rooms()) <= {*CORE, *METHODS, *TOP}


@pytest.mark.parametrize("room", rooms())
def test_room_imports_only_what_it_may_know(room: str) -> None:
    wrong = {
        str(file.relative_to(PACKAGE)): sorted(bad)
        for file in (PACKAGE / room).rglob("*.py")
        if (bad := imported(file) - allowed(room) - ANYWHERE)
    }
    assert not wrong


def test_the_rule_would_catch_a_breach(tmp_path: Path) -> None:
    breach = tmp_path / "breach.py"
    breach.write_text("def f():\n    from invdyn.decisions import ClonedPolicy\n")
    assert imported(breach) - allowed("actions") == {"decisions"}
    assert imported(breach) - allowed("cli") == set()


@pytest.mark.parametrize("room", rooms())
def test_each_room_introduces_itself_with_a_table(room: str) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    assert "|---" in text, f"{room}/__init__.py needs a docstring table of its files"
