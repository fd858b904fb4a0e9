"""`invdyn bench NAME`: our speed against a peer, measured in the same run on the same data."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from invdyn.cli.options import Flag
from invdyn.cli.output import note, table
from invdyn.errors import ConfigError, unknown_name

__all__ = ["Bench"]


def _folder() -> Path:
    """`benchmarks/` of the checkout: benchmarks need peers installed and are not part of the package."""
    for root in (Path.cwd(), *Path.cwd().parents, *Path(__file__).parents):
        if (root / "benchmarks" / "data.py").is_file():
            return root / "benchmarks"
    raise ConfigError("the benchmarks stand in a checkout of invdyn, in benchmarks/; run this command inside one.")


def _about(file: Path) -> str:
    """First sentence of a benchmark's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=\.)\s", " ".join(text.split()), maxsplit=1)[0]


def _keep(path: Path, name: str, quick: bool, rows: list[dict[str, Any]]) -> None:
    """Write the rows of one benchmark with where they come from."""
    from invdyn.episodes.formats.atomic import appearing
    from invdyn.studies.provenance import commit, host, versions

    record = {
        "bench": name,
        "quick": quick,
        "commit": commit(),
        "versions": versions(),
        "host": host("cpu"),
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path, overwrite=True) as staged:
        staged.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Bench:
    """Our speed next to a peer's. A ratio above 1 means ours is faster."""

    name: tyro.conf.Positional[str]
    """Which benchmark (a file of benchmarks/), `all`, or `list` to see them."""
    quick: Flag = False
    """Small sizes: checks that it runs, the figures mean little."""
    out: Path | None = None
    """Folder for one `<name>.json` a benchmark: its rows, versions, host and commit."""
    json: Flag = False
    """One JSON array of rows {name, ours, peer, unit, ratio, note} on stdout (for `list`: {name, measures})."""

    def run(self) -> list[dict[str, Any]]:
        folder = _folder()
        known = sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
        if self.name == "list":
            return [{"name": name, "measures": _about(folder / f"{name}.py")} for name in known]
        if self.name != "all" and self.name not in known:
            raise unknown_name("benchmark", self.name, [*known, "all", "list"])
        rows: list[dict[str, Any]] = []
        for name in known if self.name == "all" else [self.name]:
            note(f"bench {name} ...")
            spec = importlib.util.spec_from_file_location(f"invdyn_bench_{name}", folder / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            try:
                found = module.run(quick=self.quick)
            except ConfigError as error:  # what this machine lacks is no reason to leave out the rest
                if self.name != "all":
                    raise
                note(f"left out: {error}")
                continue
            if self.out is not None:
                _keep(self.out / f"{name}.json", name, self.quick, found)
            rows += found
        return rows

    def show(self, result: list[dict[str, Any]]) -> None:
        table(
            result, ["name", "measures"] if self.name == "list" else ["name", "ours", "peer", "unit", "ratio", "note"]
        )

    def exit_code(self, result: Any) -> int:
        return 0
