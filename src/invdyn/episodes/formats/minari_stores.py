"""Where Minari keeps episodes: one HDF5 file, or one Arrow or Parquet file per episode. Both answer the same questions.

A value is named by its part (`observations`, `actions`, `rewards`, `terminations`, `truncations`, `infos`) and the path
inside it. HDF5 stores T rows of actions and T+1 of observations; Arrow and Parquet pad the former to T+1, and the
padding row is dropped here.
"""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from jaxtyping import UInt8

from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.hdf5 import REMEDY, Hdf5File, Stored, decode, numbered
from invdyn.episodes.signal import SignalSpec

__all__ = ["PADDED", "ArrowStore", "Hdf5Store", "MinariStore"]

Path_ = tuple[str | int, ...]
PADDED = ("actions", "rewards", "terminations", "truncations")


def jpeg(encoded: Sequence[bytes], spec: SignalSpec, fail: Callable[[str], Exception]) -> UInt8[np.ndarray, "time ..."]:
    """The pictures of JPEG byte strings; their size is compared with the space before a pixel is decoded."""
    from PIL import Image

    frames = np.empty((len(encoded), *spec.shape), np.uint8)
    for step, data in enumerate(encoded):
        try:
            picture = Image.open(io.BytesIO(data), formats=["JPEG"])
            if picture.size != spec.shape[1::-1]:
                raise ValueError(f"{picture.size[1]} x {picture.size[0]} px, the space says {spec.shape}")
            frames[step] = np.asarray(picture).reshape(spec.shape)
        except (OSError, ValueError, SyntaxError) as error:
            raise fail(f"the JPEG of row {step} cannot be decoded ({error})") from None
    return frames


class MinariStore(ABC):
    """The values of a Minari data set, read when asked for."""

    lengths: Sequence[int]
    """[episodes] T, the number of actions."""

    @abstractmethod
    def facts(self, index: int) -> Mapping[str, Any]:
        """What stands beside an episode: id, seed, options, ..."""

    @abstractmethod
    def info_keys(self, index: int) -> Mapping[Path_, tuple[tuple[int, ...], str]]:
        """Path -> (shape of a step, dtype) of the infos of one episode."""

    @abstractmethod
    def has(self, index: int, part: str, path: Path_) -> bool: ...

    @abstractmethod
    def rows(self, index: int, part: str, path: Path_, spec: SignalSpec, start: int, stop: int) -> np.ndarray:
        """Rows start..stop (fewer where the part ends earlier)."""

    def file(self, index: int) -> Path:
        raise NotImplementedError


class Hdf5Store(MinariStore):
    """`main_data.hdf5`: a group per episode, groups for Dict and Tuple spaces."""

    def __init__(self, file: Path) -> None:
        self._hdf5 = Hdf5File(file)
        self._last: tuple[str, Stored | None] = ("", None)
        self._names = [name for _, name in numbered(self._hdf5.root, "episode_")]
        if not self._names:
            raise complaint(file, "no group episode_<n>", expected="at least one episode", remedy="Check the file.")
        self.lengths = []
        for number, name in enumerate(self._names):
            steps = self._hdf5.count(name, "total_steps")
            if steps is None or steps < 0:
                raise complaint(file, f"total_steps is {steps}", expected="its steps", remedy=REMEDY, episode=number)
            self.lengths.append(steps)

    def file(self, index: int) -> Path:
        return self._hdf5.path

    def facts(self, index: int) -> Mapping[str, Any]:
        return {k: decode(v) for k, v in self._episode(index).attrs.items()}

    def _episode(self, index: int) -> h5py.Group:
        return self._hdf5.group(self._names[index])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": ("", None)}

    def _key(self, index: int, part: str, path: Path_) -> str:
        return "/".join([self._names[index], part, *(f"_index_{p}" if isinstance(p, int) else p for p in path)])

    def info_keys(self, index: int) -> Mapping[Path_, tuple[tuple[int, ...], str]]:
        episode = self._episode(index)
        found: dict[Path_, tuple[tuple[int, ...], str]] = {}

        def walk(group: h5py.Group, path: Path_) -> None:
            for key in group:
                if isinstance(group.get(key, getlink=True), h5py.ExternalLink):
                    self._hdf5.group(f"{group.name}/{key}".lstrip("/"))  # raises, naming the link
                child = group[key]
                if isinstance(child, h5py.Group):
                    walk(child, (*path, key))
                elif child.ndim >= 1:
                    text = h5py.check_string_dtype(child.dtype) is not None
                    found[(*path, key)] = (child.shape[1:], "string" if text else child.dtype.name)

        if "infos" in episode:
            walk(self._hdf5.group("infos", episode), ())
        return found

    def has(self, index: int, part: str, path: Path_) -> bool:
        key = self._key(index, part, path)
        self._last = (key, self._hdf5.quick(key))  # opened once for the question and for the reading that follows it
        return self._last[1] is not None or self._hdf5.exists(key)

    def rows(self, index: int, part: str, path: Path_, spec: SignalSpec, start: int, stop: int) -> np.ndarray:
        key = self._key(index, part, path)
        data = (self._last[1] if self._last[0] == key else None) or self._hdf5.stored(key)
        expected, shape = self.lengths[index] + (part not in PADDED), data.shape
        if not shape or not expected - 1 <= shape[0] <= expected:
            raise complaint(
                self.file(index),
                f"{part}: shape {shape}",
                expected=f"{expected} rows (total_steps is {self.lengths[index]})",
                remedy=REMEDY,
                episode=index,
                signal=spec.name,
            )
        values = self._hdf5.values(data, start, min(stop, shape[0]))
        if spec.is_text:
            return np.array([v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values], object)
        # JPEG is told by the layout, not by the version: byte strings of unequal length, or a matrix of bytes
        # (strings that happen to be equally long) where pictures would have one dimension more.
        if spec.dtype == "uint8" and len(spec.shape) >= 2 and (data.dtype.hasobject or len(shape) == 2):

            def fail(what: str) -> Exception:
                return complaint(
                    self.file(index), what, expected="JPEG", remedy=REMEDY, episode=index, signal=spec.name
                )

            return jpeg([np.asarray(v, np.uint8).tobytes() for v in values], spec, fail)
        return values


class ArrowStore(MinariStore):
    """`data/<id>/part-*.arrow` or `.parquet`: T+1 rows, structs for Dict and Tuple spaces."""

    def __init__(self, folder: Path, ending: str) -> None:
        self.folder, self.ending = folder, ending
        self._ids = sorted(int(p.name) for p in folder.iterdir() if p.is_dir() and p.name.isdigit())
        if not self._ids:
            raise complaint(folder, "no folder <id>/", expected="a folder per episode", remedy="Check the data set.")
        self._facts: list[Mapping[str, Any]] = []
        self.lengths = []
        for number, identity in enumerate(self._ids):
            file = folder / str(identity) / "metadata.json"
            try:
                facts = json.loads(file.read_text("utf-8"))
                steps = int(facts["total_steps"])
                if steps < 0:
                    raise ValueError(f"total_steps {steps}")
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise complaint(
                    file, f"cannot be used ({error!r})", expected="JSON with total_steps", remedy=REMEDY, episode=number
                ) from None
            self._facts.append(facts)
            self.lengths.append(steps)

    def file(self, index: int) -> Path:
        return self.folder / str(self._ids[index])

    def facts(self, index: int) -> Mapping[str, Any]:
        return self._facts[index]

    def _schema(self, index: int) -> pa.Schema:
        return self._guarded(index, self._read_schema)[0]

    def _files(self, index: int) -> list[Path]:
        files = sorted(self.file(index).glob(f"*.{self.ending}"))
        if not files:
            raise complaint(
                self.file(index), f"no .{self.ending} file", expected="the episode's rows", remedy=REMEDY, episode=index
            )
        return files

    def _guarded(self, index: int, read: Callable[[Path], Any]) -> list[Any]:
        found = []
        for file in self._files(index):
            try:
                found.append(read(file))
            except (OSError, pa.ArrowException, EOFError) as error:
                reason = str(error).splitlines()[0]
                raise complaint(
                    file,
                    f"cannot be read ({reason})",
                    expected=f"a complete {self.ending} file",
                    remedy=REMEDY,
                    episode=index,
                ) from None
        return found

    def _read_schema(self, file: Path) -> pa.Schema:
        if self.ending == "parquet":
            return pq.read_schema(file)
        with pa.memory_map(str(file)) as source:
            return pa.ipc.open_file(source).schema

    def info_keys(self, index: int) -> Mapping[Path_, tuple[tuple[int, ...], str]]:
        schema = self._schema(index)
        found: dict[Path_, tuple[tuple[int, ...], str]] = {}

        def walk(field: pa.Field, path: Path_) -> None:
            kind = field.type
            if pa.types.is_struct(kind):
                for i in range(kind.num_fields):
                    walk(kind.field(i), (*path, kind.field(i).name))
            elif pa.types.is_fixed_size_list(kind):
                text = (field.metadata or {}).get(b"shape", str(kind.list_size).encode()).decode()
                shape = tuple(int(n) for n in text.split(",") if n)
                found[path] = (shape, np.dtype(kind.value_type.to_pandas_dtype()).name)
            elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
                found[path] = ((), "string")
            elif pa.types.is_primitive(kind):
                found[path] = ((), np.dtype(kind.to_pandas_dtype()).name)

        if "infos" in schema.names:
            walk(schema.field("infos"), ())
        return found

    def has(self, index: int, part: str, path: Path_) -> bool:
        schema = self._schema(index)
        if part not in schema.names:
            return False
        kind = schema.field(part).type
        for key in path:
            at = kind.get_field_index(str(key)) if pa.types.is_struct(kind) else -1
            if at < 0:
                return False
            kind = kind.field(at).type
        return True

    def rows(self, index: int, part: str, path: Path_, spec: SignalSpec, start: int, stop: int) -> np.ndarray:
        def read(file: Path) -> pa.ChunkedArray:
            if self.ending == "parquet":
                dotted = ".".join([part, *map(str, path)])
                table = pq.ParquetFile(file, memory_map=True).read(columns=[dotted])
            else:
                with pa.memory_map(str(file)) as source:  # the pages of other columns stay on disk
                    table = pa.ipc.open_file(source).read_all().select([part])
            return table[part]

        column = pa.chunked_array([c for a in self._guarded(index, read) for c in a.chunks])
        steps = self.lengths[index]
        if len(column) != steps + 1:
            raise complaint(
                self.file(index),
                f"{len(column)} rows",
                expected=f"{steps + 1} (total_steps is {steps})",
                remedy=REMEDY,
                episode=index,
                signal=spec.name,
            )
        array = column.slice(start, max(0, min(stop, steps if part in PADDED else steps + 1) - start)).combine_chunks()
        for key in path:
            array = array.field(str(key))
        return self._values(array, spec, index)

    def _values(self, array: pa.Array, spec: SignalSpec, index: int) -> np.ndarray:
        def fail(what: str) -> Exception:
            return complaint(self.file(index), what, expected="JPEG", remedy=REMEDY, episode=index, signal=spec.name)

        if spec.is_text:
            return np.array(array.to_pylist(), object)
        if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
            return jpeg(array.to_pylist(), spec, fail)
        if array.null_count:
            raise complaint(
                self.file(index),
                f"{array.null_count} empty values",
                expected="a number at every step",
                remedy="Repair or leave out this episode.",
                episode=index,
                signal=spec.name,
            )
        flat = array.flatten() if pa.types.is_fixed_size_list(array.type) else array
        values = flat.to_numpy(zero_copy_only=False)
        if len(values) != len(array) * spec.size:
            raise complaint(
                self.file(index),
                f"{len(values)} numbers in {len(array)} rows",
                expected=f"{spec.size} a row, as the space says",
                remedy=REMEDY,
                episode=index,
                signal=spec.name,
            )
        return values.reshape(len(array), *spec.shape)
