"""One CSV or Parquet file as columns: what it holds, and rows of a column as numpy, with faults in one sentence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from invdyn.episodes.formats.foreign import complaint

__all__ = ["ColumnKind", "CsvFile", "ParquetFile", "TableFile", "open_file", "promoted"]

REMEDY = "Copy or export the file again."
LONGEST = 2**16
"""Characters of a header that are looked at."""


@dataclass(frozen=True)
class ColumnKind:
    """What a column holds per row: a shape, a numpy dtype name, `string`, or `time` (dates and durations)."""

    shape: tuple[int, ...]
    dtype: str


def promoted(a: ColumnKind, b: ColumnKind) -> ColumnKind | None:
    """The kind that holds both: CSV writes 1.0 as 1, so a column may be whole in one file and not in the next."""
    if a == b:
        return a
    numbers = all(k.dtype != "time" and k.dtype != "string" for k in (a, b))
    if a.shape == b.shape and numbers:
        return ColumnKind(a.shape, np.promote_types(a.dtype, b.dtype).name)
    return None


class TableFile(ABC):
    """One file. Columns are read in blocks, and the last few blocks are kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._block = lru_cache(maxsize=32)(self._decode)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    @property
    @abstractmethod
    def rows(self) -> int: ...

    @property
    @abstractmethod
    def arrow(self) -> pa.Schema: ...

    @property
    @abstractmethod
    def blocks(self) -> np.ndarray:
        """[blocks + 1] first row of each block, and the number of rows."""

    @abstractmethod
    def _read(self, column: str, block: int) -> pa.ChunkedArray: ...

    @cached_property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """The columns that can be signals or a clock, by name."""
        found: dict[str, ColumnKind] = {}
        for field in self.arrow:
            kind: pa.DataType = field.type
            shape: tuple[int, ...] = ()
            if pa.types.is_fixed_size_list(kind):
                kind, shape = kind.value_type, (kind.list_size,)
            elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
                kind, shape = kind.value_type, (self._first_length(field.name),)
            if pa.types.is_temporal(kind):
                found[field.name] = ColumnKind(shape, "time")
            elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
                found[field.name] = ColumnKind(shape, "string")
            elif pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
                found[field.name] = ColumnKind(shape, np.dtype(kind.to_pandas_dtype()).name)
        return found

    def _first_length(self, column: str) -> int:
        first = self._read(column, 0).slice(0, 1).to_pylist() if self.rows else []
        return len(first[0]) if first and first[0] is not None else 0

    def _decode(self, column: str, block: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Values of a block and which rows are there (None for all)."""
        array = self._read(column, block).combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
        kind = self.kinds[column]
        valid = None if not array.null_count else np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False), bool)
        if kind.dtype == "string":
            return np.array(["" if v is None else v for v in array.to_pylist()], object), valid
        if kind.dtype == "time":
            return self._seconds(array), valid
        if kind.shape:
            flat = array.flatten()
            if valid is not None or len(flat) != len(array) * kind.shape[0]:
                raise complaint(
                    self.path,
                    f"column {column!r} has lists of different lengths",
                    expected=f"{kind.shape[0]} numbers in every row",
                    remedy="Write fixed-size lists, or one column per component.",
                )
            if flat.null_count:
                raise complaint(
                    self.path,
                    f"column {column!r} has {flat.null_count} empty components",
                    expected="a number in every component",
                    remedy="Write them as NaN.",
                )
            return flat.to_numpy(zero_copy_only=False).astype(kind.dtype).reshape(len(array), *kind.shape), None
        filled = array if valid is None else pc.fill_null(array, self._blank(array.type))
        return filled.to_numpy(zero_copy_only=False).astype(kind.dtype), valid

    @staticmethod
    def _blank(kind: pa.DataType) -> Any:
        return pa.scalar(float("nan") if pa.types.is_floating(kind) else 0).cast(kind)

    @staticmethod
    def _seconds(array: pa.Array) -> np.ndarray:
        """Seconds since 1970 (or midnight) as float64, good to the microsecond."""
        if pa.types.is_date(array.type):
            array = array.cast(pa.timestamp("us"))
        unit = getattr(array.type, "unit", "us")
        ticks = np.asarray(array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), np.int64)
        return ticks / {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit]

    def column(self, name: str, start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows start..stop of a column, and which of them are there (None for all)."""
        first = int(np.searchsorted(self.blocks, start, "right")) - 1
        last = int(np.searchsorted(self.blocks, stop, "left")) - 1
        parts, masks = [], []
        for block in range(first, max(first, last) + 1):
            at = int(self.blocks[block])
            values, valid = self._block(name, block)
            rows = slice(max(0, start - at), max(0, stop - at))
            parts.append(values[rows])
            masks.append(np.ones(len(values), bool)[rows] if valid is None else valid[rows])
        mask = np.concatenate(masks)
        return (np.concatenate(parts) if len(parts) > 1 else parts[0]), None if mask.all() else mask


class ParquetFile(TableFile):
    """Blocks are row groups; opening reads the footer."""

    @cached_property
    def _file(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path, memory_map=True)
        except (OSError, pa.ArrowException) as error:
            raise self._broken(error) from None

    def _broken(self, error: Exception) -> Exception:
        reason = str(error).splitlines()[0]
        return complaint(
            self.path, f"cannot be read as Parquet ({reason})", expected="a complete Parquet file", remedy=REMEDY
        )

    @property
    def rows(self) -> int:
        return int(self._file.metadata.num_rows)

    @property
    def arrow(self) -> pa.Schema:
        return self._file.schema_arrow

    @cached_property
    def blocks(self) -> np.ndarray:
        about = self._file.metadata
        counts = [about.row_group(i).num_rows for i in range(about.num_row_groups)]
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def _read(self, column: str, block: int) -> pa.ChunkedArray:
        try:
            return self._file.read_row_group(block, columns=[column])[column]
        except (OSError, pa.ArrowException, KeyError) as error:
            raise self._broken(error) from None


class CsvFile(TableFile):
    """The whole file is parsed at opening: text has no index that would tell the number of rows."""

    @cached_property
    def _table(self) -> pa.Table:
        try:
            # only an empty cell is missing: "NA" may be a word, and "nan" is a number that is refused or masked
            options = pa.csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
            table = pa.csv.read_csv(self.path, convert_options=options)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            raise complaint(
                self.path,
                f"cannot be read as CSV ({reason})",
                expected="a header line and rows of as many cells, in UTF-8",
                remedy=REMEDY if (other := self._other_separator()) is None else other,
            ) from None
        names = table.column_names
        twice = next((n for k, n in enumerate(names) if n in names[:k]), None)
        if twice is not None:
            raise complaint(
                self.path,
                f"{names.count(twice)} columns are named {twice!r}",
                expected="a name of its own for every column",
                remedy="Rename or remove one of them.",
            )
        if len(names) == 1 and (other := self._other_separator()) is not None:
            raise complaint(
                self.path, f"one column, {names[0][:60]!r}", expected="columns separated by commas", remedy=other
            )
        return table

    def _other_separator(self) -> str | None:
        """What to do about a header that is divided by something else than commas; None where it is not."""
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                head = next((line for line in file.read(LONGEST).splitlines() if line.strip()), "")
        except OSError:
            return None
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if mark in head and "," not in head:
                return (
                    f"Its header is divided by {name}: export it with commas between the cells and points in numbers."
                )
        return None

    @property
    def rows(self) -> int:
        return int(self._table.num_rows)

    @property
    def arrow(self) -> pa.Schema:
        return self._table.schema

    @property
    def blocks(self) -> np.ndarray:
        return np.array([0, self.rows], np.int64)

    def _read(self, column: str, block: int) -> pa.ChunkedArray:
        return self._table[column]


def open_file(path: Path) -> TableFile:
    """The reader for a file by its ending; of other endings by its first bytes, text unless they are Parquet's."""
    ending = path.suffix.lower()
    if ending in (".csv", ".parquet"):
        return CsvFile(path) if ending == ".csv" else ParquetFile(path)
    try:
        with path.open("rb") as file:
            return ParquetFile(path) if file.read(4) == b"PAR1" else CsvFile(path)
    except OSError:
        return CsvFile(path)  # which says why it cannot be read
