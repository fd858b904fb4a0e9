"""Every format in the tables can be loaded, and is found by looking at what it writes."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from lerobot_samples import NUMERIC, sample

from invdyn.episodes import detect_format, write_dataset
from invdyn.episodes.formats import READERS, WRITERS, _load


@pytest.mark.parametrize("name", READERS)
def test_reader_can_be_loaded(name: str) -> None:
    reader = _load(READERS, name)
    assert inspect.getdoc(reader)
    assert next(iter(inspect.signature(reader).parameters)) == "path"


@pytest.mark.parametrize("name", WRITERS)
def test_writer_can_be_loaded(name: str) -> None:
    writer = _load(WRITERS, name)
    assert inspect.getdoc(writer)
    assert list(inspect.signature(writer).parameters)[:2] == ["dataset", "path"]
    assert name in READERS


def test_the_native_layout_is_found(tmp_path: Path) -> None:
    assert detect_format(write_dataset(sample((3,), NUMERIC), tmp_path / "data")) == "lerobot"


def test_importing_episodes_loads_no_format_and_no_torch() -> None:
    """Formats and their packages are imported when one is opened; the table stays cheap."""
    code = (
        "import sys, invdyn.episodes; "
        "heavy = ('torch', 'av', 'h5py', 'minari', 'pandas', 'invdyn.episodes.formats.lerobot'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
