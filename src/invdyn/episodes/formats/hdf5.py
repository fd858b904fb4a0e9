"""`Hdf5File`: an HDF5 file whose faults come out as one clear sentence, and that reads nothing outside itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from invdyn.episodes.formats.foreign import complaint

__all__ = ["Hdf5File", "decode", "numbered"]

COMPRESSION_LIMIT = 2000  # gzip reaches about 1030:1; a dataset claiming more was never written
REMEDY = "Copy or download the file again."


def numbered(names: Iterable[str], prefix: str) -> list[tuple[int, str]]:
    """The names `<prefix><number>`, sorted by number (`demo_10` after `demo_9`)."""
    pattern = re.compile(rf"^{re.escape(prefix)}(\d+)$")
    return sorted((int(m[1]), name) for name in names if (m := pattern.match(name)))


def decode(value: Any) -> Any:
    """An attribute or scalar as a JSON-able Python value."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [decode(v) for v in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value


class Hdf5File:
    """An HDF5 file, opened for reading when first used; can be pickled (the handle is opened anew).

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: h5py.File | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_handle": None}

    @staticmethod
    def looks_like(path: Path, test: Callable[[Any], bool]) -> bool:
        """Whether `path` is an HDF5 file that passes `test`; False for anything that cannot be opened."""
        try:
            if not h5py.is_hdf5(path):
                return False
            with h5py.File(path, "r") as root:
                return test(root)
        except (OSError, KeyError, RuntimeError):
            return False

    @property
    def root(self) -> h5py.File:
        if self._handle is None:
            try:
                self._handle = h5py.File(self.path, "r")
            except OSError as error:
                raise complaint(
                    self.path,
                    f"cannot be opened as HDF5 ({error})",
                    expected="a complete HDF5 file",
                    remedy=REMEDY,
                ) from None
        return self._handle

    def group(self, name: str, parent: Any = None) -> h5py.Group:
        """A group. Raises `FormatError` where it is missing, is no group, or is a link into another file."""
        found = self._get(self.root if parent is None else parent, name)
        if not isinstance(found, h5py.Group):
            raise self._absent(name, "group")
        return found

    def dataset(self, name: str, parent: Any = None) -> h5py.Dataset:
        """A dataset whose values stand in this file and were written."""
        found = self._get(self.root if parent is None else parent, name)
        if not isinstance(found, h5py.Dataset):
            raise self._absent(name, "dataset")
        return self.checked(found)

    def _absent(self, name: str, what: str) -> Exception:
        return complaint(
            self.path, f"no {what} {name!r}", expected=f"that {what}", remedy="Check that the file is whole."
        )

    def _get(self, parent: Any, name: str) -> Any:
        at = parent
        for part in name.split("/"):
            try:
                link = at.get(part, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    raise complaint(
                        self.path,
                        f"{at.name.rstrip('/')}/{part} is a link into another file ({link.filename})",
                        expected="data in the file itself",
                        remedy="Copy the linked data into the file (h5repack).",
                    )
                at = at.get(part)
            except (RuntimeError, OSError, KeyError) as error:
                raise complaint(
                    self.path, f"{part!r} cannot be read ({error})", expected="an undamaged file", remedy=REMEDY
                ) from None
            if at is None:
                return None
        return at

    def checked(self, data: h5py.Dataset) -> h5py.Dataset:
        """The dataset, if its values stand in this file and as many were written as its shape claims."""
        where = f"dataset {data.name!r}"
        if data.external or data.is_virtual:
            raise complaint(
                self.path,
                f"{where} keeps its values in other files",
                expected="data in the file itself",
                remedy="Copy them into the file (h5repack).",
            )
        if data.dtype.hasobject or data.shape is None:
            return data
        claimed, stored = int(np.prod(data.shape, dtype=object)) * data.dtype.itemsize, data.id.get_storage_size()
        limit = COMPRESSION_LIMIT if data.id.get_create_plist().get_nfilters() else 1
        if claimed > stored * limit:
            raise complaint(
                self.path,
                f"{where} claims shape {data.shape} of {data.dtype}, {claimed} bytes, but {stored} are stored",
                expected="data that was written (HDF5 would fill the rest with zeros)",
                remedy=REMEDY,
            )
        return data

    def values(self, data: h5py.Dataset, start: int, stop: int) -> np.ndarray:
        """Rows start..stop of a dataset."""
        try:
            return np.asarray(data[start:stop])
        except (OSError, RuntimeError) as error:
            raise complaint(
                self.path,
                f"dataset {data.name!r} cannot be read ({error})",
                expected="an undamaged file",
                remedy=REMEDY,
            ) from None
