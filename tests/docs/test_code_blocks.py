"""README and guide: every python block and every `$ invdyn ...` line is executed, page by page, top to bottom.

A page's blocks share one folder and one namespace, as a reader would type them. A block that needs the real
recordings names them as `recordings/<set>`; the page is skipped where they are missing.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
FENCE = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return FENCE.findall(page.read_text())


def commands(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line[2:].strip() for line in joined.splitlines() if line.startswith("$ ")]


SESSION = """
import subprocess
import sys

def _run(job):
    print("$", *job, flush=True)
    done = subprocess.run(job, stdout=sys.stdout, stderr=sys.stderr)
    if done.returncode:
        sys.exit(f"exit code {done.returncode} of {job}")

if __name__ == "__main__":
    for _name, _text in _BLOCKS:
        if isinstance(_text, str):
            exec(compile(_text, _name, "exec"), globals())
        else:
            _run(_text)
"""


def session(page: Path) -> str:
    """The page as one program: python blocks share its namespace, commands run at their place."""
    parts: list[tuple[str, str | list[str]]] = []
    for number, (language, text) in enumerate(blocks(page)):
        name = f"{page.name}, block {number}"
        if language == "python":
            parts.append((name, text))
            continue
        for command in commands(text):
            # Set-up lines are what `make` does; the demo has a test of its own.
            if command.startswith("invdyn") and not command.startswith(("invdyn demo", "invdyn study", "invdyn bench")):
                parts.append((name, shlex.split(command, comments=True)))
    return f"_BLOCKS = {parts!r}\n{SESSION}"


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_page_runs_top_to_bottom(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if "recordings/" in page.read_text():
        (tmp_path / "recordings").symlink_to(request.getfixturevalue("shared_data"))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "160"}
    script = tmp_path / "session.py"
    script.write_text(session(page))
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, f"{page.name}: {done.stdout}\n{done.stderr}"


def test_pages_have_blocks() -> None:
    assert sum(len(blocks(p)) for p in PAGES) >= 10
