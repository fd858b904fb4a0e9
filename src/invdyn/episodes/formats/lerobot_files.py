"""Open files of a LeRobotDataset: rows of one column out of Parquet row groups, and frames out of videos."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from invdyn.episodes.formats.lerobot_columns import is_png
from invdyn.episodes.formats.lerobot_info import CLOCK, LeRobotInfo, mask_name
from invdyn.episodes.signal import SignalSpec
from invdyn.errors import FormatError

__all__ = ["DataFile", "Recent"]

Item = TypeVar("Item")
CACHED_BYTES, AHEAD_BYTES = 2**25, 2**20
"""What was read of a column is kept for the next read up to this size; that much is read ahead."""


class Recent(Generic[Item]):
    """The few things used last, made when asked for; what falls out is closed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._items: OrderedDict[object, Item] = OrderedDict()

    def get(self, key: object, make: Callable[[], Item]) -> Item:
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key]
        item = self._items[key] = make()
        while len(self._items) > self.most:
            _, old = self._items.popitem(last=False)
            close = getattr(old, "close", None)
            if close is not None:
                close()
        return item


class DataFile:
    """One `data/**/*.parquet`, checked against the metadata before any value is read.

    Args:
        path: the file.
        info: what it must hold.
        rows: how many rows the episode table gives it.

    Raises:
        FormatError: a missing or broken file, missing columns, wrong types, another number of rows.
    """

    def __init__(self, path: Path, info: LeRobotInfo, rows: int) -> None:
        self.path = path
        if not path.is_file():
            raise FormatError(f"{path} is missing, the episode table names it. Copy it again from the source.")
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
            footer = self._file.metadata
            schema = self._file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise FormatError(
                f"{path} is not a readable Parquet file ({error}); cut off? Copy it again from the source."
            ) from error
        if footer.num_rows != rows:
            raise FormatError(
                f"{path} has {footer.num_rows} rows, the episode table says {rows}. One of them is from another "
                "version: copy both again."
            )
        counts = [footer.row_group(g).num_rows for g in range(footer.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._leaves: dict[str, list[int]] = {}
        self._types: dict[str, pa.DataType] = {}
        at = 0
        for field in schema:
            count = _leaf_count(field.type)
            self._leaves[field.name] = list(range(at, at + count))
            self._types[field.name] = field.type
            at += count
        self._check(info)
        self._blocks: dict[str, _Block] = {}

    def close(self) -> None:
        self._file.close()

    def _check(self, info: LeRobotInfo) -> None:
        for spec in info.schema.signals:
            if spec.encoding == "video":
                continue
            kind = self._types.get(spec.name)
            if kind is None:
                raise FormatError(
                    f"{self.path}: signal {spec.name!r} has no column. Remove it from meta/info.json or write the "
                    "file again."
                )
            if not _fits(kind, spec):
                raise FormatError(
                    f"{self.path}: signal {spec.name!r} is {kind} in the file, {spec.dtype} of shape {spec.shape} "
                    "in the metadata. "
                    "Correct meta/info.json or write the file again."
                )
        for name in [mask_name(n) for n in info.masked] + [CLOCK] * info.clock:
            kind, wanted = self._types.get(name), pa.float64() if name == CLOCK else pa.bool_()
            if kind != wanted:
                raise FormatError(f"{self.path}: column {name!r} is {kind}, expected {wanted}. Write the file again.")

    def __contains__(self, name: str) -> bool:
        return name in self._leaves

    def read(self, name: str, start: int, stop: int, where: str) -> pa.Array:
        """Rows start..stop of one column; only the row groups that hold them are read, of this column alone.

        Reading episode after episode reads ahead, so that small episodes do not cost a call each.
        """
        if start == stop:
            return pa.array([], self._types[name])
        first = int(np.searchsorted(self._starts, start, "right")) - 1
        last = int(np.searchsorted(self._starts, stop, "left"))
        block = self._blocks.get(name)
        if block is None or not block.first <= first <= last <= block.last:
            ahead = self._ahead(name, first, last) if block is not None and first == block.last else last
            block = _Block(first, ahead, self._load(name, first, ahead, where))
            small = self._size(first, ahead, name) <= CACHED_BYTES
            self._blocks[name] = block if small else _Block(first, first, None)
        begin = start - int(self._starts[block.first])
        piece = block.column.slice(begin, stop - start)
        return piece.chunk(0) if piece.num_chunks == 1 else pa.concat_arrays(piece.chunks)

    def _load(self, name: str, first: int, last: int, where: str) -> pa.ChunkedArray:
        try:
            # By leaf number: names with dots would be taken for paths and match other columns.
            table = self._file.reader.read_row_groups(
                list(range(first, last)), column_indices=self._leaves[name], use_threads=False
            )
        except (pa.ArrowException, OSError) as error:
            raise FormatError(
                f"{where}: the rows cannot be read ({error}); the file is damaged. Copy it again from the source."
            ) from error
        if table.num_rows != self._starts[last] - self._starts[first]:
            raise FormatError(
                f"{where}: {table.num_rows} rows read, the footer says more; the file is damaged. Copy it again."
            )
        return table.column(0)

    def _ahead(self, name: str, first: int, last: int) -> int:
        """How far to read when the reader goes on from where it was: up to `AHEAD_BYTES`."""
        size = self._size(first, last, name)
        while last < len(self._starts) - 1 and (size := size + self._size(last, last + 1, name)) <= AHEAD_BYTES:
            last += 1
        return last

    def _size(self, first: int, last: int, name: str) -> int:
        footer = self._file.metadata
        leaves = self._leaves[name]
        return sum(
            footer.row_group(g).column(leaf).total_uncompressed_size for g in range(first, last) for leaf in leaves
        )


@dataclass(frozen=True)
class _Block:
    """Consecutive row groups first..last of one column as they were read last."""

    first: int
    last: int
    column: Any


def _leaf_count(kind: pa.DataType) -> int:
    if pa.types.is_struct(kind):
        return sum(_leaf_count(kind.field(i).type) for i in range(kind.num_fields))
    if pa.types.is_map(kind):
        return _leaf_count(kind.key_type) + _leaf_count(kind.item_type)
    if pa.types.is_nested(kind):
        return _leaf_count(kind.value_type)
    return 1


def _fits(kind: pa.DataType, spec: SignalSpec) -> bool:
    """Whether a column of this type can hold the signal; numbers may stand narrower than told, never wider."""
    if is_png(spec):
        return pa.types.is_struct(kind) and {kind.field(i).name for i in range(kind.num_fields)} >= {"bytes", "path"}
    depth, size = 0, None
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        size = kind.list_size if pa.types.is_fixed_size_list(kind) and size is None else size
        kind, depth = kind.value_type, depth + 1
    if depth not in {0 if spec.size == 1 else 1, len(spec.shape), min(1, len(spec.shape))} or (
        depth == 1 and size not in (None, spec.size)
    ):
        return False
    if spec.is_text:
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
    try:
        stored = np.dtype(kind.to_pandas_dtype())
    except (NotImplementedError, TypeError):
        return False
    return (
        stored.kind in "biuf"
        and bool(np.can_cast(stored, spec.numpy_dtype, "safe"))
        and (stored.kind == "b") == (spec.dtype == "bool")
    )
