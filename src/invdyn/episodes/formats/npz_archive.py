"""`NpzArchive`: the arrays of one NPZ file by name, with shapes known from headers and nothing ever unpickled."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from invdyn.episodes.formats.foreign import complaint
from invdyn.errors import FormatError

__all__ = ["ArrayHeader", "NpzArchive"]

BAD_HEADER = (ValueError, SyntaxError, TypeError, RecursionError, tokenize.TokenError, struct.error)
"""What NumPy raises on headers that are no Python literals."""
DEFLATE = 1032
"""Deflate packs at most this many bytes into one (zlib's technical notes)."""
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
"""What zipfile and NumPy raise on damaged, encrypted or oddly packed archives."""


@dataclass(frozen=True)
class ArrayHeader:
    """What an array is, without its values."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _told(error: BaseException) -> str:
    """The beginning of a library's message, in one line."""
    return " ".join(str(error).split())[:160]


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


@dataclass
class NpzArchive:
    """One NPZ file, opened by its table of contents and array headers only.

    Args:
        path: the file.

        only: the arrays wanted; None for all. Among those not wanted, object arrays are no reason to refuse.

    Attributes:
        left_out: names of arrays that are there and not wanted.

    Raises:
        FormatError: not an NPZ, cut off, packed in a way NumPy does not write, object arrays (their content is
            pickled code), or a header that claims another size than is stored or can be stored.
    """

    path: Path
    only: Collection[str] | None = None
    left_out: tuple[str, ...] = field(init=False, default=())
    headers: Mapping[str, ArrayHeader] = field(init=False)
    _kept: dict[str, np.ndarray] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        headers: dict[str, ArrayHeader] = {}
        try:
            with zipfile.ZipFile(self.path) as archive:
                for info in archive.infolist():
                    name = info.filename.removesuffix(".npy")
                    if info.filename.endswith(".npy") and (self.only is None or name in self.only):
                        headers[name] = self._header(archive, info)
                    elif info.filename.endswith(".npy"):
                        self.left_out += (name,)
        except FormatError:
            raise
        except DAMAGED as error:
            raise complaint(
                self.path,
                f"not a complete NPZ archive ({_told(error)})",
                expected="a file written by numpy.savez",
                remedy="Copy or download it again.",
            ) from None
        self.headers = headers

    def _header(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayHeader:
        name = info.filename.removesuffix(".npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or (
            info.file_size > DEFLATE * (info.compress_size + 1)
        ):
            raise zipfile.BadZipFile(f"{info.file_size} bytes of {name!r} claimed in {info.compress_size}")
        with archive.open(info) as stream:
            try:
                shape, _, dtype = _read_header(stream)
            except BAD_HEADER as error:
                raise complaint(
                    self.path,
                    f"array {name!r} has no readable header ({_told(error)})",
                    expected="an array in NPY format",
                    remedy="Write the file again.",
                ) from None
            start = stream.tell()
        if dtype.hasobject:
            raise complaint(
                self.path,
                f"array {name!r} holds pickled Python objects",
                expected="plain numbers or text (unpickling foreign data runs its code)",
                remedy="Save it as numeric arrays, e.g. one array per episode with numpy.savez.",
            )
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize  # Python integers: an absurd shape must not wrap
        if start + size != info.file_size:
            raise complaint(
                self.path,
                f"array {name!r} claims shape {shape} of {dtype}, {size} bytes, but {info.file_size - start} follow",
                expected="a header that agrees with the data",
                remedy="Write the file again.",
            )
        return ArrayHeader(tuple(int(n) for n in shape), dtype)

    def __contains__(self, name: str) -> bool:
        return name in self.headers

    def array(self, name: str, *, keep: bool = False) -> np.ndarray:
        """One array, read whole (a compressed member cannot be read in part); `keep` holds it for later calls."""
        if name in self._kept:
            return self._kept[name]
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as stream:
                values = np.lib.format.read_array(stream, allow_pickle=False)
        except DAMAGED as error:
            raise complaint(
                self.path,
                f"array {name!r} cannot be read ({_told(error)})",
                expected="an undamaged archive",
                remedy="Copy or download it again.",
            ) from None
        if keep:
            values.flags.writeable = False
            self._kept[name] = values
        return values
