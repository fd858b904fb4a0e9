"""Values of a signal as an Arrow column of a LeRobot data file, and back (formats.md 1.4)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped
from PIL import Image

from invdyn.episodes.signal import SignalSpec
from invdyn.errors import FormatError

__all__ = ["IMAGE_TYPE", "check_storable", "column_type", "decode_column", "encode_column", "is_png"]

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NUMBERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
STORABLE = ["bool", *NUMBERS, "float16", "float32", "float64", "string"]
PICTURES = {("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint16", 1)}
"""(dtype, channels) that PNG keeps without loss and Pillow reads back."""


def is_png(spec: SignalSpec) -> bool:
    """Whether the signal stands in the data files as PNG pictures."""
    return spec.encoding == "png"


def check_storable(spec: SignalSpec, where: str | None = None) -> None:
    """Raises `FormatError` for a spec that no column or video can hold."""
    where = where or f"signal {spec.name!r}"
    if spec.dtype not in STORABLE:
        raise FormatError(
            f"{where}: dtype {spec.dtype} cannot be stored in Parquet. Convert it to one of {', '.join(STORABLE)}."
        )
    if spec.encoding == "array":
        return
    channels = spec.shape[2] if len(spec.shape) == 3 else 0
    if spec.encoding == "png" and (spec.dtype, channels) not in PICTURES:
        allowed = ", ".join(f"{d} x {c}" for d, c in sorted(PICTURES))
        raise FormatError(
            f"{where}: PNG holds (height, width, channel) pictures of {allowed}, not {spec.dtype} {spec.shape}. "
            'Use encoding="array".'
        )
    if spec.encoding == "video" and (spec.dtype != "uint8" or channels not in (1, 3)):
        raise FormatError(
            f"{where}: video holds (height, width, 1 or 3) pictures of uint8, not {spec.dtype} {spec.shape}. "
            'Use encoding="png" or "array".'
        )


def column_type(spec: SignalSpec, *, nested: bool) -> pa.DataType:
    """The Arrow type of the signal's column: scalar, fixed_size_list, nested lists, or a picture."""
    if is_png(spec):
        return IMAGE_TYPE
    kind = pa.string() if spec.is_text else pa.from_numpy_dtype(spec.numpy_dtype)
    if spec.size == 1 and len(spec.shape) <= 1:
        return kind
    if nested and 2 <= len(spec.shape) <= 5:
        for _ in spec.shape:
            kind = pa.list_(kind)
        return kind
    return pa.list_(kind, spec.size) if spec.size else pa.list_(kind)


def encode_column(spec: SignalSpec, values: Shaped[np.ndarray, "time ..."], *, nested: bool) -> pa.Array:
    """[time, *shape] as an Arrow array of `column_type`."""
    kind = column_type(spec, nested=nested)
    length = len(values)
    if is_png(spec):
        return pa.array([{"bytes": _png(frame), "path": None} for frame in values], kind)
    flat = np.ascontiguousarray(values).reshape(-1)
    array = pa.array(flat.tolist(), pa.string()) if spec.is_text else pa.array(flat)
    if kind == array.type:
        return array
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(array, spec.size)
    axes = range(len(spec.shape)) if nested else range(1)  # flattened rows of no components need the outer list only
    for axis in reversed(axes):
        side = spec.shape[axis] if nested else spec.size
        rows = length * int(np.prod(spec.shape[:axis], dtype=np.int64))
        array = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * side), array)
    return array


def decode_column(spec: SignalSpec, column: pa.Array, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """An Arrow array as ([time, *shape] values, [time] False at nulls; None when there are none).

    Raises:
        FormatError: rows that do not have the shape the schema says, or pictures that cannot be decoded.
    """
    length = len(column)
    if is_png(spec):
        return _pictures(spec, column, where)
    valid = None
    if column.null_count:
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        column = pa.concat_arrays([_without_nulls(spec, column)])
    even = True
    while isinstance(column, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)):
        if not isinstance(column, pa.FixedSizeListArray):  # a row too short and one too long would add up
            sides = column.value_lengths().to_numpy(zero_copy_only=False)
            even = even and bool((sides == sides[:1]).all())
        column = column.flatten()
    if not even or len(column) != length * spec.size:
        raise FormatError(
            f"{where}: the rows do not all have shape {spec.shape} ({len(column)} numbers in {length} rows). "
            "Correct the shape in meta/info.json or write the file again."
        )
    if column.null_count:
        raise FormatError(
            f"{where}: {column.null_count} empty components inside rows. Write them as NaN, or leave the row out."
        )
    if spec.is_text:
        values = np.empty(len(column), object)
        values[:] = column.to_pylist()
    else:
        values = np.array(
            column.to_numpy(zero_copy_only=False), spec.numpy_dtype
        )  # a copy: the caller may write into it
    return values.reshape(length, *spec.shape), valid


def _without_nulls(spec: SignalSpec, column: pa.Array) -> pa.Array:
    """Nulls replaced by NaN, zero or an empty text; the mask tells that there is no value."""
    kind = column.type
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    blank: Any = (
        "" if spec.is_text else (float("nan") if pa.types.is_floating(kind) else pa.scalar(0).cast(kind).as_py())
    )
    for side in reversed(spec.shape if kind != column.type else ()):
        blank = [blank] * side
    if pa.types.is_fixed_size_list(column.type) and len(spec.shape) > 1:
        blank = np.ravel(blank).tolist()
    return pa.array([blank if row is None else row for row in column.to_pylist()], column.type)


def _png(frame: np.ndarray) -> bytes:
    """One picture as PNG bytes; fast compression, the pixels are exact at any level."""
    stream = io.BytesIO()
    picture = Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame)
    picture.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _pictures(spec: SignalSpec, column: pa.Array, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    height, width, channels = spec.shape
    values = np.zeros((len(column), *spec.shape), spec.numpy_dtype)
    valid = np.ones(len(column), bool)
    modes = {1: ("L",) if spec.dtype == "uint8" else ("I;16", "I;16B", "I"), 3: ("RGB",), 4: ("RGBA",)}[channels]
    for step, row in enumerate(column):
        if not row.is_valid:
            valid[step] = False
            continue
        data = row["bytes"].as_py()
        if data is None:
            raise FormatError(
                f"{where}, step {step}: the picture is only named ({row['path'].as_py()!r}), not stored. Embed "
                "the picture bytes."
            )
        try:
            with Image.open(io.BytesIO(data)) as picture:
                # The size stands in the header: compared before a single pixel is allocated.
                if picture.size != (width, height):
                    raise FormatError(
                        f"{where}, step {step}: the picture is {picture.size[1]} x {picture.size[0]}, expected "
                        f"{height} x {width}. Correct the shape in meta/info.json or resize the pictures."
                    )
                if picture.mode not in modes and spec.dtype == "uint16":
                    raise FormatError(
                        f"{where}, step {step}: the picture has mode {picture.mode}, expected 16-bit grey."
                    )
                pixels = picture if picture.mode in modes else picture.convert(modes[0])
                values[step] = np.asarray(pixels).reshape(spec.shape)
        except FormatError:
            raise
        except Exception as error:  # Pillow raises many kinds for broken bytes
            raise FormatError(
                f"{where}, step {step}: the picture cannot be decoded ({error}). Write it again."
            ) from error
    return values, None if valid.all() else valid
