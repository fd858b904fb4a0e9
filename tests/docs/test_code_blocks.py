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


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_page_runs_top_to_bottom(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if "recordings/" in page.read_text():
        (tmp_path / "recordings").symlink_to(request.getfixturevalue("shared_data"))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "160"}
    for number, (language, text) in enumerate(blocks(page)):
        if language == "python":
            script = tmp_path / f"block_{number}.py"
            # Earlier python blocks of the page are visible, as in one interactive session.
            earlier = [t for kind, t in blocks(page)[:number] if kind == "python"]
            script.write_text("\n".join([*earlier, text]))
            jobs = [[sys.executable, str(script)]]
        else:
            jobs = [
                shlex.split(c, comments=True)
                for c in commands(text)
                # Set-up lines are what `make` does; the demo has a test of its own.
                if c.startswith("invdyn") and not c.startswith(("invdyn demo", "invdyn study", "invdyn bench"))
            ]
        for job in jobs:
            done = subprocess.run(job, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, f"{page.name}, block {number}: {shlex.join(job)}\n{done.stdout}\n{done.stderr}"


def test_pages_have_blocks() -> None:
    assert sum(len(blocks(p)) for p in PAGES) >= 10
