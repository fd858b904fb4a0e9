"""`Hdf5File`: an HDF5 file whose faults come out as one clear sentence, and that reads nothing outside itself."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from invdyn.episodes.formats.foreign import complaint

__all__ = ["Hdf5File", "Stored", "decode", "numbered"]

log = logging.getLogger(__name__)
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
        self._forget()

    def _forget(self) -> None:
        self._handle: h5py.File | None = None
        self._type: tuple[Any, np.dtype[Any], Any] | None = None
        self._here: set[bytes] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._forget()

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
        self._check(self._look(found.id), found.name)
        return found

    def stored(self, path: str) -> Stored:
        """`dataset` at a path from the root, by h5py's lower level: a third of the time.

        That counts where a file holds a dataset per signal and episode.
        """
        return self.quick(path) or self._look(self.dataset(path).id)  # `dataset` names what is wrong

    def quick(self, path: str) -> Stored | None:
        """`stored`, or None where there is none, or one with anything that a second look is needed for."""
        try:
            if not self._plain(path):
                return None
            found = self._look(h5py.h5d.open(self.root.id, path.encode()))
            self._check(found, path)
            return found
        except (RuntimeError, OSError, KeyError, ValueError):
            return None

    def _look(self, data: h5py.h5d.DatasetID) -> Stored:
        kind = data.get_type()
        if self._type is None or not kind.equal(self._type[0]):  # what follows from a type takes longer than comparing
            dtype = kind.dtype
            self._type = (kind, dtype, h5py.h5t.py_create(dtype) if dtype.kind in "biuf" else None)
        return Stored(data, data.shape or (), *self._type[1:])

    def _plain(self, path: str) -> bool:
        """Whether no link on the way leads elsewhere."""
        links, at = self.root.id.links, b""
        *parents, name = path.encode().split(b"/")
        for part in parents:
            at = at + part + b"/"
            if at not in self._here:
                if links.get_info(at[:-1]).type != h5py.h5l.TYPE_HARD:
                    return False
                self._here.add(at)
        return bool(links.get_info(at + name).type == h5py.h5l.TYPE_HARD)

    def count(self, group: str, name: str) -> int | None:
        """A whole number among the attributes of a group; None without it."""
        try:
            if self._plain(group):
                found = h5py.h5a.open(self.root.id, name.encode(), obj_name=group.encode())
                whole = found.get_type().get_class() == h5py.h5t.INTEGER
                if whole and found.get_space().get_simple_extent_type() == h5py.h5s.SCALAR:
                    value = np.empty((), np.int64)
                    found.read(value, h5py.h5t.NATIVE_INT64)
                    return int(value)
        except (RuntimeError, OSError, KeyError, ValueError):
            log.debug("%s: %s is opened step by step", self.path, group)
        told = self.group(group).attrs.get(name)
        return None if told is None else int(told)

    def exists(self, path: str) -> bool:
        """Whether there is something at a path from the root; links into other files count and are not followed."""
        links, at = self.root.id.links, b""
        try:
            for part in path.encode().split(b"/"):
                at = at + b"/" + part if at else part
                if not links.exists(at):
                    return False
                if links.get_info(at).type == h5py.h5l.TYPE_EXTERNAL:
                    return True
        except (RuntimeError, OSError, KeyError, ValueError):  # something on the way is no group
            return False
        return True

    def _absent(self, name: str, what: str) -> Exception:
        return complaint(
            self.path, f"no {what} {name!r}", expected=f"that {what}", remedy="Check that the file is whole."
        )

    def _get(self, parent: Any, name: str) -> Any:
        # Links are asked at h5py's lower level: a tenth of the time, and a file has one per signal and episode.
        at = parent
        for part in name.split("/"):
            if not isinstance(at, h5py.Group):
                return None
            try:
                links, key = at.id.links, part.encode()
                if not links.exists(key):
                    return None
                if links.get_info(key).type == h5py.h5l.TYPE_EXTERNAL:
                    raise complaint(
                        self.path,
                        f"{at.name.rstrip('/')}/{part} is a link into another file ({links.get_val(key)[0].decode()})",
                        expected="data in the file itself",
                        remedy="Copy the linked data into the file (h5repack).",
                    )
                at = at[part]
            except KeyError:  # a link to nowhere
                return None
            except (RuntimeError, OSError) as error:
                raise complaint(
                    self.path, f"{part!r} cannot be read ({error})", expected="an undamaged file", remedy=REMEDY
                ) from None
        return at

    def _check(self, data: Stored, name: str) -> None:
        """Raises unless the values stand in this file and as many were written as the shape claims."""
        plan = data.id.get_create_plist()
        if plan.get_external_count() or plan.get_layout() == h5py.h5d.VIRTUAL:
            raise complaint(
                self.path,
                f"dataset {name!r} keeps its values in other files",
                expected="data in the file itself",
                remedy="Copy them into the file (h5repack).",
            )
        claimed, stored = data.size, data.id.get_storage_size()
        limit = COMPRESSION_LIMIT if plan.get_nfilters() else 1
        if claimed > stored * limit:
            raise complaint(
                self.path,
                f"dataset {name!r} claims shape {data.shape} of {data.dtype}, {claimed} bytes, but {stored} are stored",
                expected="data that was written (HDF5 would fill the rest with zeros)",
                remedy=REMEDY,
            )

    def values(self, data: h5py.Dataset | Stored, start: int, stop: int) -> np.ndarray:
        """Rows start..stop of a dataset."""
        try:
            if isinstance(data, Stored):
                if data.memory is not None and (start, stop) == (0, data.shape[0]):
                    out = np.empty(data.shape, data.dtype)
                    if out.size:
                        data.id.read(h5py.h5s.ALL, h5py.h5s.ALL, out, data.memory)
                    return out
                data = h5py.Dataset(data.id)
            return np.asarray(data[start:stop])
        except (OSError, RuntimeError) as error:
            name = (data.id if isinstance(data, Stored) else data).name
            raise complaint(
                self.path,
                f"dataset {decode(name)!r} cannot be read ({error})",
                expected="an undamaged file",
                remedy=REMEDY,
            ) from None


class Stored(NamedTuple):
    """A dataset at h5py's lower level, with what every reader asks of it (each question costs microseconds)."""

    id: h5py.h5d.DatasetID
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    memory: h5py.h5t.TypeID | None
    """The type of the values in memory; None where they are not plain numbers."""

    @property
    def size(self) -> int:
        """Bytes of the values; 0 where these are references to elsewhere in the file."""
        return 0 if self.dtype.hasobject else math.prod(self.shape) * self.dtype.itemsize
