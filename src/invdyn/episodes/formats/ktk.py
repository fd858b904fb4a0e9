"""Kinetics Toolkit containers (.ktk.zip): a time series with units and events, as JSON in a zip.

Source: the kineticstoolkit package (`save`, file format 1.0): `metadata.json` names the software, `data.json` holds the
object, whose `class__` is `ktk.TimeSeries`.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Span
from invdyn.episodes.formats.foreign import MissingPolicy, complaint
from invdyn.episodes.formats.motion_files import Recording, as_dataset, float_spec, masked, steady_rate
from invdyn.episodes.formats.npz_archive import DAMAGED, DEFLATE
from invdyn.episodes.signal import Kind, Signal
from invdyn.errors import FormatError

__all__ = ["matches", "open"]

LARGEST = 2**26
"""Bytes of the JSON; half an hour of pushrim data has some 30 MB."""
UNITS: dict[str, tuple[Kind, str]] = {"N": ("force", "N"), "Nm": ("force", "N m"), "N.m": ("force", "N m")}
REMEDY = "Save the container again from Kinetics Toolkit."


def matches(path: Path | str) -> bool:
    """Whether this is a zip with `metadata.json` and `data.json`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {"metadata.json", "data.json"} <= set(archive.namelist())
    except DAMAGED:
        return False


def open(  # noqa: A001 - every format module has `open`
    path: Path | str, *, nan: MissingPolicy = "mask", task: str = ""
) -> Dataset:
    """Open a time series: `force.<name>` for what is in N or Nm, `observation.<name>` for the rest, units as stated.

    Series of vectors or of matrices are flattened; events become spans; time may begin below zero.

    Args:
        path: the file.
        nan: `mask` to read steps with NaN as missing, or `refuse`.
        task: what was asked, in words.

    Raises:
        FormatError: a damaged container, another object than a time series, or series that do not fit their time.
    """
    path = Path(path)
    told = _object(path)
    if told.get("class__") != "ktk.TimeSeries":
        raise complaint(
            path,
            f"it holds {str(told.get('class__'))[:40]!r}",
            expected="one ktk.TimeSeries",
            remedy="Save the time series on its own.",
        )
    time = _numbers(told.get("time"), "time", path)
    data, info = told.get("data"), told.get("data_info")
    if time.ndim != 1 or not len(time) or not isinstance(data, dict) or not data:
        raise complaint(path, "no time or no data", expected="both", remedy=REMEDY)
    signals = [_signal(key, values, info, len(time), path, nan) for key, values in data.items()]
    spans = [
        Span(float(e["time"]), float(e["time"]), str(e.get("name", "event")))
        for e in told.get("events") or ()
        if isinstance(e, dict) and isinstance(e.get("time"), (int, float)) and abs(e["time"]) < 1e12
    ]
    return as_dataset(path, [Recording(path, signals, time, {}, spans)], steady_rate(time, path), task)


def _object(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("data.json")
            if info.file_size > min(LARGEST, DEFLATE * (info.compress_size + 1)):
                raise complaint(
                    path, f"data.json claims {info.file_size} bytes", expected=f"at most {LARGEST}", remedy=REMEDY
                )
            found = json.loads(archive.read(info))
    except FormatError:
        raise
    except (*DAMAGED, KeyError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise complaint(path, f"no readable container ({reason})", expected="a .ktk.zip", remedy=REMEDY) from None
    if not isinstance(found, dict):
        raise complaint(path, "data.json is no object", expected="a ktk.TimeSeries", remedy=REMEDY)
    return found


def _numbers(told: Any, name: str, path: Path) -> np.ndarray:
    """A JSON list of numbers or of equal lists of numbers as float64; null is NaN."""
    try:
        values = np.array(told, np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        values = np.array(np.inf)
    if values.ndim == 0 or np.isinf(values).any():
        raise complaint(
            path, f"{name[:60]!r} is no array of finite numbers", expected="lists of equal length", remedy=REMEDY
        )
    return values


def _signal(key: str, told: Any, info: Any, steps: int, path: Path, nan: MissingPolicy) -> Signal:
    values = _numbers(told, key, path)
    if len(values) != steps:
        raise complaint(path, f"{key[:60]!r} has {len(values)} rows", expected=f"{steps}, as time", remedy=REMEDY)
    values = np.ascontiguousarray(values.reshape(steps, -1))
    about = info.get(key) if isinstance(info, dict) else None
    unit = about.get("Unit") if isinstance(about, dict) else None
    kind, unit = UNITS.get(str(unit), ("state", str(unit) if unit is not None else ""))
    name = f"{'force' if kind == 'force' else 'observation'}.{key}"
    return masked(float_spec(path, name, None, kind, unit, values.shape[1]), values, path, nan)
