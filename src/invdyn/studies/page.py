"""Writes docs/studies/index.md anew from SYSTEMS and results/: `python -m invdyn.studies.page [CHECKOUT]`."""

from __future__ import annotations

import sys
from pathlib import Path

from invdyn.studies.table import studies_page

__all__ = ["write_page"]


def write_page(checkout: Path) -> Path:
    """Write the generated page of a checkout; returns its path."""
    path = checkout / "docs" / "studies" / "index.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(studies_page(checkout / "results"))
    return path


if __name__ == "__main__":
    write_page(Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd())
