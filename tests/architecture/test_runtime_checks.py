"""The tests check shapes and types in every call of every module, but for three that tracing lives in."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOO_OFTEN = {"invdyn.kernels.scalar", "invdyn.kernels.graph", "invdyn.kernels.algebra"}


def test_every_module_is_checked_at_run_time() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    (listed,) = (o.partition("=")[2] for o in options if o.startswith("--jaxtyping-packages="))
    *checked, checker = listed.split(",")
    assert checker == "beartype.beartype"
    files = (p.relative_to(ROOT / "src").with_suffix("") for p in (ROOT / "src" / "invdyn").rglob("*.py"))
    modules = {".".join(f.parts) for f in files if not f.name.startswith("__")}
    covered = {m for m in modules if any(m == c or m.startswith(f"{c}.") for c in checked)}
    assert modules - covered == TOO_OFTEN
