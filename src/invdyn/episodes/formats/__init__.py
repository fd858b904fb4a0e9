"""Recordings on disk: one module per format, found by looking at what is there.

| file | format |
|---|---|
| `lerobot.py` and `lerobot_*.py` | LeRobotDataset v3.0, the native layout (v2.1 and v2.0 read) |
| `minari.py` | Minari data sets (hdf5, arrow, parquet) |
| `robomimic.py` | robomimic HDF5 |
| `robosuite.py` | raw robosuite recordings, named from their MuJoCo models |
| `known.py` | public recordings recognised by their keys (Adroit door, Push-T), opened without options |
| `npz.py` | NPZ files or folders: `observations_00`, flat arrays with `episode_ends`, or a file per episode |
| `tables.py` | CSV and Parquet files or folders |
| `foreign.py` | what readers of foreign formats share: checks, their words, naming |
| `atomic.py` | files and folders that appear whole or not at all |

A format module has `open(path, **options) -> Dataset` and, where it can be written, `write(dataset, path, **options)`,
which makes `path` (a file or a folder) in a fresh folder.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.atomic import appearing
from invdyn.errors import FormatError, unknown_name

__all__ = ["READERS", "WRITERS", "detect_format", "open_dataset", "write_dataset"]

_HERE = "invdyn.episodes.formats"
READERS = {
    "lerobot": f"{_HERE}.lerobot:open",
    "minari": f"{_HERE}.minari:open",
    "robomimic": f"{_HERE}.robomimic:open",
    "robosuite": f"{_HERE}.robosuite:open",
    "known": f"{_HERE}.known:open",
    "csv": f"{_HERE}.tables:open",
    "parquet": f"{_HERE}.tables:open",
    "npz": f"{_HERE}.npz:open",
}
WRITERS = {
    "lerobot": f"{_HERE}.lerobot:write",
    "minari": f"{_HERE}.minari:write",
    "robomimic": f"{_HERE}.robomimic:write",
    "npz": f"{_HERE}.npz:write",
}
_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".npz": "npz"}


def open_dataset(path: Path | str, *, format: str | None = None, **options: Any) -> Dataset:  # noqa: A002
    """Open recordings of any supported format; reads metadata only.

    Args:
        path: file or folder.
        format: a name of `READERS`; None looks at what is there.
        options: of the format's own `open`.

    Raises:
        FormatError: nothing there, an unknown format, or something that is not what its format says.
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(f"{path} does not exist. Check the path.")
    return _load(READERS, format or detect_format(path))(path, **options)


def write_dataset(
    dataset: Dataset,
    path: Path | str,
    *,
    format: str = "lerobot",  # noqa: A002
    overwrite: bool = False,
    **options: Any,
) -> Path:
    """Write recordings; `path` appears complete or not at all.

    Args:
        dataset: what to write.
        path: file or folder to make.
        format: a name of `WRITERS`.
        overwrite: replace an existing `path`; without it that is refused.
        options: of the format's own `write`; for LeRobot see `LeRobotOptions`.

    Raises:
        FormatError: an existing path, or values the format cannot hold.
    """
    write = _load(WRITERS, format)
    with appearing(Path(path), overwrite=overwrite) as staged:
        write(dataset, staged, **options)
    return Path(path)


def detect_format(path: Path | str) -> str:
    """Which format stands at a path, by its characteristic files; nothing is read but the keys of an HDF5 or JSON file.

    Raises:
        FormatError: none that we know.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "meta" / "info.json").is_file():
            return "lerobot"
        if _is_minari(path) or _is_minari(path / "data"):
            return "minari"
        for name in ("robosuite", "known"):
            if _matches(name, path):
                return name
        inside = sorted({_SUFFIXES[f.suffix] for f in path.iterdir() if f.is_file() and f.suffix in _SUFFIXES})
        if len(inside) == 1:
            return inside[0]
        if inside:
            raise FormatError(f"{path} holds files of several formats ({', '.join(inside)}). Say which with format=...")
    elif path.suffix in _SUFFIXES:
        return "known" if path.suffix == ".npz" and _matches("known", path) else _SUFFIXES[path.suffix]
    elif path.suffix in (".hdf5", ".h5"):
        import h5py

        try:
            with h5py.File(path, "r") as file:
                if "data" not in file:
                    raise FormatError(
                        f"{path} is an HDF5 file without the group `data`, so it is neither robomimic nor robosuite. "
                        "For Minari, give the folder that holds data/metadata.json."
                    )
                return "robosuite" if "repository_version" in file["data"].attrs else "robomimic"
        except OSError as error:
            raise FormatError(
                f"{path} is not a readable HDF5 file ({error}); cut off? Copy it again from the source."
            ) from error
    elif not path.exists():
        raise FormatError(f"{path} does not exist. Check the path.")
    raise FormatError(
        f"{path}: no format recognised. Expected a LeRobot folder (meta/info.json), a Minari folder "
        "(data/metadata.json), a robomimic or robosuite .hdf5 file, or .csv, .parquet, .npz files."
    )


def _matches(name: str, path: Path) -> bool:
    """Whether the format's own `matches` recognises the path."""
    module = importlib.import_module(READERS[name].partition(":")[0])
    return bool(module.matches(path))


def _is_minari(folder: Path) -> bool:
    try:
        return "total_steps" in json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _load(table: dict[str, str], name: str) -> Callable[..., Any]:
    if name not in table:
        raise unknown_name("format", name, table)
    module, _, function = table[name].partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found
