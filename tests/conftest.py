"""Shared fixtures. The suite runs with jaxtyping + beartype on every annotated function of the package."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

collect_ignore_glob = [
    "conftest.py",
    "*/conftest.py",
]  # --doctest-modules would import them a second time, under one name

ROOT = Path(__file__).parents[1]
LONG = ("tests/docs", "tests/examples", "tests/fuzzing", "tests/cli")  # minutes a file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the files that take minutes: at the end one worker would run them alone."""
    items.sort(key=lambda item: not item.path.relative_to(ROOT).as_posix().startswith(LONG))


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """What a test draws from the global generators does not depend on the tests before it."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (the generator that is global)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings; skips where it is missing, except in CI, where it must be there."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI runs need the real recordings in {folder}")
        pytest.skip(f"real recordings not found in {folder}")
    return folder
