"""Sphinx settings: MyST pages, furo theme, API pages from docstrings, warnings are errors (see the Makefile)."""

import importlib
import json
import pkgutil
import re
from pathlib import Path

import invdyn

project = "invdyn"
author = "The invdyn authors"
copyright = "2026, The invdyn authors"  # noqa: A001 - Sphinx's name
release = version = invdyn.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "invdyn"
exclude_patterns = ["_build", "reference/_*"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
# Re-exported names appear in their room's page and in their file's: one target is enough.
suppress_warnings = ["ref.python", "autodoc.import_object"]


def plain_text(app, what, name, obj, options, lines):  # type: ignore[no-untyped-def]
    """Docstrings are written for people: bars and stars in them are signs of mathematics, never RST markup.

    Doctest blocks are left alone; Markdown tables, which RST cannot show, are left out (a room's is on its page).
    """
    example = False
    for i, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            table = line.startswith("|")
            lines[i] = "" if table else re.sub(r"(?<!\\)([|*])", r"\\\1", line)


def setup(app):  # type: ignore[no-untyped-def]
    app.connect("autodoc-process-docstring", plain_text, priority=400)  # before napoleon makes RST of it


def write_reference(folder: Path) -> None:
    """One page per room: the table of its docstring, then its files. Generated, so it cannot drift."""
    folder.mkdir(exist_ok=True)
    rooms = sorted(
        m.name for m in pkgutil.iter_modules(invdyn.__path__) if m.ispkg and m.name not in ("cli", "studies")
    )
    for room in rooms:
        package = importlib.import_module(f"invdyn.{room}")
        files = [m.name for m in pkgutil.walk_packages(package.__path__, f"invdyn.{room}.") if not m.ispkg]
        doc = (package.__doc__ or "").strip()
        body = "\n\n".join(
            f"## {name.removeprefix(f'invdyn.{room}.')}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :noindex:\n```"
            for name in files
        )
        page = folder / f"{room}.md"
        text = f"# {room}\n\n{doc}\n\n{body}\n"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)
    write_benchmarks(folder / "benchmarks.md", folder.parents[1] / "results" / "benchmarks")
    index = "# Reference\n\nOne page per room; what each room may import is in the architecture page.\n\n"
    index += "```{toctree}\n:maxdepth: 1\n\n" + "\n".join([*rooms, "benchmarks"]) + "\n```\n"
    (folder / "index.md").write_text(index)


def write_benchmarks(page: Path, results: Path) -> None:
    """Every committed result of `invdyn bench`, with the machine it was measured on. Generated, so it cannot drift."""
    text = "# Benchmarks\n\nMeasured by `invdyn bench NAME --out results/benchmarks`: ours and the peer in one run.\n"
    for file in sorted(results.glob("*.json")):
        found = json.loads(file.read_text())
        host = ", ".join(f"{k} {v}" for k, v in found["host"].items())
        text += f"\n## {file.stem}\n\n{host}; commit {found['commit'][:12]}\n\n"
        text += "| what | ours | peer | unit | ratio | note |\n|---|---|---|---|---|---|\n"
        for row in found["rows"]:
            cells = [row[k] if row[k] is not None else "" for k in ("name", "ours", "peer", "unit", "ratio", "note")]
            text += "| " + " | ".join(str(c).replace("|", "/") for c in cells) + " |\n"
    page.write_text(text)


write_reference(Path(__file__).parent / "reference")
