"""Recordings on disk: one module per format, found by looking at what is there.

| file | format |
|---|---|
| `lerobot.py` and `lerobot_*.py` | LeRobotDataset v3.0, the native layout (v2.1 and v2.0 read) |
| `minari.py` | Minari data sets (hdf5, arrow, parquet) |
| `robomimic.py` | robomimic HDF5 |
| `d4rl.py` | D4RL HDF5: flat tables of offline reinforcement learning |
| `robosuite.py` | raw robosuite recordings, named from their MuJoCo models |
| `known.py` | public recordings recognised by their keys (Adroit door, Push-T), opened without options |
| `npz.py` | NPZ files or folders: `observations_00`, flat arrays with `episode_ends`, or a file per episode |
| `tables.py` | CSV and Parquet files or folders |
| `opensim.py`, `opensim_tables.py` | OpenSim .mot and .sto: coordinates, forces, ground reactions |
| `trc.py`, `markers.py` | TRC marker files; `Markers`, labelled points with gaps |
| `c3d.py`, `c3d_file.py`, `c3d_plates.py`, `force_plates.py` | C3D: markers, analog channels, plates' forces |
| `bvh.py`, `bvh_file.py` | BVH: a skeleton and its motion |
| `amass.py` | AMASS NPZ: SMPL+H and SMPL-X poses |
| `deepmimic.py` | DeepMimic motion clips |
| `dm_control.py` | clips of dm_control's CMU humanoid |
| `ktk.py` | Kinetics Toolkit containers |
| `external_loads.py` | OpenSim external-loads XML: which columns push which body |
| `motion_files.py` | what readers of motion files share: text, numbers, gaps |
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
    "d4rl": f"{_HERE}.d4rl:open",
    "robosuite": f"{_HERE}.robosuite:open",
    "known": f"{_HERE}.known:open",
    "csv": f"{_HERE}.tables:open",
    "parquet": f"{_HERE}.tables:open",
    "npz": f"{_HERE}.npz:open",
    "opensim": f"{_HERE}.opensim:open",
    "trc": f"{_HERE}.trc:open",
    "c3d": f"{_HERE}.c3d:open",
    "bvh": f"{_HERE}.bvh:open",
    "amass": f"{_HERE}.amass:open",
    "deepmimic": f"{_HERE}.deepmimic:open",
    "dm_control": f"{_HERE}.dm_control:open",
    "ktk": f"{_HERE}.ktk:open",
}
WRITERS = {
    "lerobot": f"{_HERE}.lerobot:write",
    "minari": f"{_HERE}.minari:write",
    "robomimic": f"{_HERE}.robomimic:write",
    "npz": f"{_HERE}.npz:write",
    "opensim": f"{_HERE}.opensim:write",
    "trc": f"{_HERE}.trc:write",
    "c3d": f"{_HERE}.c3d:write",
    "bvh": f"{_HERE}.bvh:write",
}
_SUFFIXES = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".npz": "npz",
    ".mot": "opensim",
    ".sto": "opensim",
    ".trc": "trc",
    ".c3d": "c3d",
    ".bvh": "bvh",
}


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
        files = [f for f in path.iterdir() if f.is_file() and _suffix(f) in _SUFFIXES]
        inside = sorted({_SUFFIXES[_suffix(f)] for f in files})
        if len(inside) == 1:
            return "amass" if inside == ["npz"] and all(_matches("amass", f) for f in files) else inside[0]
        if inside:
            raise FormatError(f"{path} holds files of several formats ({', '.join(inside)}). Say which with format=...")
    elif _suffix(path) in _SUFFIXES:
        for name in ("known", "amass"):
            if _suffix(path) == ".npz" and _matches(name, path):
                return name
        return _SUFFIXES[_suffix(path)]
    elif path.suffix in (".txt", ".json") and _matches("deepmimic", path):
        return "deepmimic"
    elif path.suffix == ".zip" and _matches("ktk", path):
        return "ktk"
    elif path.suffix in (".hdf5", ".h5"):
        for name in ("dm_control", "d4rl"):
            if _matches(name, path):
                return name
        import h5py

        try:
            with h5py.File(path, "r") as file:
                if "data" not in file:
                    raise FormatError(
                        f"{path} is an HDF5 file without the group `data`, so it is neither robomimic nor robosuite. "
                        "For Minari, give the folder that holds data/metadata.json."
                    )
                return "robosuite" if "repository_version" in file["data"].attrs else "robomimic"
        except (OSError, RuntimeError, KeyError) as error:  # damaged at any depth
            reason = " ".join(str(error).split())
            raise FormatError(
                f"{path} is not a readable HDF5 file ({reason}); cut off? Copy it again from the source."
            ) from error
    elif not path.exists():
        raise FormatError(f"{path} does not exist. Check the path.")
    raise FormatError(
        f"{path}: no format recognised. Expected a LeRobot folder (meta/info.json), a Minari folder "
        "(data/metadata.json), a robomimic or robosuite .hdf5 file, or .csv, .parquet, .npz files, or motion: .mot, "
        ".sto, .trc, .c3d, .bvh, .ktk.zip, a DeepMimic or dm_control clip."
    )


def _suffix(path: Path) -> str:
    """The ending, in small letters: `TRIAL.CSV` is one."""
    return path.suffix.lower()


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
