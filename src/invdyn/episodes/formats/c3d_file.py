"""The C3D file itself: header, parameter groups and frames as numpy, every size checked against the file first.

Source: The C3D File Format, user guide (c3d.org, Motion Lab Systems): blocks of 512 bytes; header words; parameter
records linked by offsets; frames of integer or float numbers for Intel, DEC and MIPS processors. The common C++ reader
ends the process on some damaged files, which recordings of others must not be able to do; it is our test oracle.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Shaped

from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.motion_files import read_bytes

__all__ = ["C3dFile", "Parameter", "read_c3d_file"]

BLOCK = 512
KEY = 0x50
PROCESSORS = {84: "<", 85: "<", 86: ">"}
DEC = 85
REMEDY = "The file is damaged or cut off: copy or export it again."

Parameter = tuple[str, ...] | Float64[np.ndarray, "..."]
"""Texts, or numbers with the first dimension running fastest in the file (as [first, second, ...] here)."""


@dataclass(frozen=True)
class C3dFile:
    """What a C3D file holds, scaled but in the file's own units.

    Args:
        parameters: by (GROUP, NAME) in capitals.
        points: [time, point, 4] x, y, z and residual (negative where the point was not seen).
        analog: [time * samples, channel] scaled by the file's gains and offsets.
        first_frame: number of the first frame, counted from 1.
        rate: frames per second.
        samples: analog samples per frame.
    """

    parameters: Mapping[tuple[str, str], Parameter]
    points: Float64[np.ndarray, "time point 4"]
    analog: Float64[np.ndarray, "samples channel"]
    first_frame: int
    rate: float
    samples: int

    def numbers(self, group: str, name: str) -> Float64[np.ndarray, "..."]:
        """A parameter of numbers; empty where it is absent or holds texts."""
        found = self.parameters.get((group, name))
        return found if isinstance(found, np.ndarray) else np.empty(0)

    def texts(self, group: str, name: str) -> tuple[str, ...]:
        """A parameter of texts, with its continuations LABELS2, LABELS3, ...; empty where absent."""
        found: list[str] = []
        for k in range(1, 256):
            more = self.parameters.get((group, name if k == 1 else f"{name}{k}"))
            if not isinstance(more, tuple):
                break
            found += more
        return tuple(found)


@dataclass(frozen=True)
class _Bytes:
    """The content with the byte order and float format of its processor."""

    path: Path
    content: bytes = field(repr=False)
    processor: int

    @property
    def order(self) -> str:
        return PROCESSORS[self.processor]

    def words(self, at: int, number: int, signed: bool = False) -> tuple[int, ...]:
        kind = "h" if signed else "H"
        return struct.unpack_from(f"{self.order}{number}{kind}", self.content, at)

    def floats(self, raw: bytes) -> Float64[np.ndarray, " numbers"]:
        """32-bit floats; DEC's are swapped words with an exponent two larger."""
        with np.errstate(invalid="ignore"):  # signalling NaN in damaged files
            if self.processor != DEC:
                return np.frombuffer(raw, f"{self.order}f4").astype(np.float64)
            halves = np.frombuffer(raw, "<u2").reshape(-1, 2)[:, ::-1]
            return np.ascontiguousarray(halves).view("<f4")[:, 0].astype(np.float64) / 4

    def broken(self, found: str, expected: str) -> Exception:
        return complaint(self.path, found, expected=expected, remedy=REMEDY)


def read_c3d_file(path: Path | str) -> C3dFile:
    """Read a C3D file; numbers are scaled, units and names stay as they are.

    Raises:
        FormatError: not a C3D file, a parameter that leaves its section, frames that leave the file.
    """
    path = Path(path)
    content = read_bytes(path)
    if len(content) < 2 * BLOCK or content[1] != KEY:
        raise complaint(
            path,
            f"{len(content)} bytes that begin with {content[:2].hex() or 'nothing'}",
            expected="a C3D file (its second byte is 50 hexadecimal)",
            remedy=REMEDY,
        )
    start = (content[0] - 1) * BLOCK
    if not 0 <= start <= len(content) - 4 or content[start + 3] not in PROCESSORS:
        raise complaint(path, "no parameter section where the header points", expected="one", remedy=REMEDY)
    data = _Bytes(path, content, content[start + 3])
    return _frames(data, _parameters(data, start))


def _parameters(data: _Bytes, start: int) -> dict[tuple[str, str], Parameter]:
    """All records from the parameter block on; records of groups may come after those of their parameters."""
    end = min(len(data.content), start + max(1, data.content[start + 2]) * BLOCK)
    groups: dict[int, str] = {}
    found: list[tuple[int, str, Parameter]] = []
    at = start + 4
    while at + 4 <= end:
        length, number = struct.unpack_from("bb", data.content, at)
        if length == 0 or number == 0:
            break
        name_end = at + 2 + abs(length)
        if name_end + 2 > end:
            raise data.broken(f"the parameter at byte {at} leaves its section", "records inside it")
        name = data.content[at + 2 : name_end].decode("latin-1").strip().upper()
        (offset,) = data.words(name_end, 1)
        if number < 0:
            groups[-number] = name
        else:
            found.append((number, name, _value(data, name, name_end + 2, end)))
        if offset == 0:
            break
        if offset < 2:
            raise data.broken(f"parameter {name[:40]!r} points into itself", "the offset of the next record")
        at = name_end + offset
    return {(groups.get(number, str(number)), name): value for number, name, value in found}


def _value(data: _Bytes, name: str, at: int, end: int) -> Parameter:
    if at + 2 > end:
        raise data.broken(f"parameter {name[:40]!r} leaves its section", "records inside it")
    kind, dimensions = struct.unpack_from("bB", data.content, at)
    shape = tuple(data.content[at + 2 : at + 2 + dimensions])
    if kind not in (-1, 1, 2, 4) or dimensions > 7 or len(shape) != dimensions:
        raise data.broken(
            f"parameter {name[:40]!r} has type {kind} and {dimensions} dimensions",
            "text, bytes, integers or floats in at most 7 dimensions",
        )
    first = at + 2 + dimensions
    size = abs(kind) * int(np.prod(shape, dtype=np.int64))
    if first + size > end:
        raise data.broken(f"parameter {name[:40]!r} of {size} bytes leaves its section", "records inside it")
    raw = data.content[first : first + size]
    if kind == -1:
        width = shape[0] if shape else 1
        rows = size // width if width else 0
        return tuple(raw[k * width : (k + 1) * width].decode("latin-1").strip(" \0") for k in range(rows))
    if kind == 4:
        values = data.floats(raw)
    else:
        values = np.frombuffer(raw, "u1" if kind == 1 else f"{data.order}i2").astype(np.float64)
    return values.reshape(shape, order="F")


def _scalar(parameters: Mapping[tuple[str, str], Parameter], group: str, name: str) -> float | None:
    found = parameters.get((group, name))
    return float(found.reshape(-1)[0]) if isinstance(found, np.ndarray) and found.size else None


def _unsigned(value: float) -> int:
    """A frame count: 16 bits that the file declares signed, or a float of some programs."""
    return int(value) + 65536 if value < 0 else int(value)


def _halves(field: Parameter | None) -> int:
    """A number of 32 bits stored as two of 16, the lower one first; 0 where there is none."""
    if not isinstance(field, np.ndarray) or field.size < 2 or not np.isfinite(field).all():
        return 0
    low, high = (int(half) % 65536 for half in field.reshape(-1)[:2].tolist())
    return low + 65536 * high


def _frame_count(data: _Bytes, parameters: Mapping[tuple[str, str], Parameter], first: int, last: int) -> int:
    """Frames: TRIAL's 32-bit fields, else POINT:LONG_FRAMES, else the header (16 bits), else POINT:FRAMES."""
    start, stop = (_halves(parameters.get(("TRIAL", f"ACTUAL_{which}_FIELD"))) for which in ("START", "END"))
    if 0 < start <= stop:
        return stop - start + 1
    for name in ("LONG_FRAMES", "FRAMES"):
        told = _scalar(parameters, "POINT", name)
        if told is not None and np.isfinite(told) and abs(told) < 2**31 and (name == "LONG_FRAMES" or last == 65535):
            return _unsigned(told)
    return last - first + 1


def _frames(data: _Bytes, parameters: dict[tuple[str, str], Parameter]) -> C3dFile:
    _, points, per_frame, first, last, _ = data.words(0, 6)
    block, samples = data.words(16, 2)
    scale, rate = data.floats(data.content[12:16])[0], data.floats(data.content[20:24])[0]
    scale = _or(_scalar(parameters, "POINT", "SCALE"), scale)
    rate = _or(_scalar(parameters, "POINT", "RATE"), rate)
    block = _unsigned(_or(_scalar(parameters, "POINT", "DATA_START"), float(block))) if block == 0 else block
    if not (np.isfinite(rate) and rate > 0 and np.isfinite(scale) and scale != 0):
        raise data.broken(f"{rate} frames per second and scale {scale}", "a positive rate and a scale that is not 0")
    floating = bool(scale < 0)
    samples = max(samples, 1)
    if per_frame % samples:
        raise data.broken(f"{per_frame} analog numbers per frame at {samples} samples", "as many for every sample")
    frames = _frame_count(data, parameters, first, last)
    wide = 4 * points + per_frame
    start, size = (block - 1) * BLOCK, frames * wide * (4 if floating else 2)
    if frames < 1 or wide == 0 or start < 2 * BLOCK or start + size > len(data.content):
        raise data.broken(
            f"{frames} frames of {points} points and {per_frame} analog numbers from byte {start}, {size} bytes",
            f"frames inside its {len(data.content)} bytes",
        )
    raw = data.content[start : start + size]
    numbers = data.floats(raw) if floating else np.frombuffer(raw, f"{data.order}i2").astype(np.float64)
    table = numbers.reshape(frames, wide)
    xyz = table[:, : 4 * points].reshape(frames, points, 4).copy()
    xyz[:, :, 3] = np.where(np.isfinite(xyz[:, :, 3]), xyz[:, :, 3], -1)
    if not floating:
        xyz[:, :, :3] *= scale
    analog = _analog(data, parameters, table[:, 4 * points :].reshape(frames * samples, -1), floating)
    return C3dFile(parameters, xyz, analog, max(1, first), float(rate), samples)


def _or(told: float | None, otherwise: float) -> float:
    return otherwise if told is None or not np.isfinite(told) else told


def _analog(
    data: _Bytes,
    parameters: Mapping[tuple[str, str], Parameter],
    raw: Shaped[np.ndarray, "samples channel"],
    floating: bool,
) -> Float64[np.ndarray, "samples channel"]:
    """(raw - offset) * scale * general scale, by channel."""
    channels = raw.shape[1]
    if not channels:
        return np.empty((len(raw), 0))
    form = parameters.get(("ANALOG", "FORMAT"))
    unsigned = isinstance(form, tuple) and bool(form) and form[0].upper().startswith("UNSIGNED")
    if unsigned and not floating:
        raw = np.where(raw < 0, raw + 65536, raw)

    def per_channel(name: str, default: float) -> Float64[np.ndarray, " channel"]:
        parts = [parameters.get(("ANALOG", name if k == 1 else f"{name}{k}")) for k in range(1, 256)]
        given = [p.reshape(-1) for p in parts if isinstance(p, np.ndarray)]
        values = np.concatenate(given) if given else np.empty(0)
        if values.size and values.size < channels:
            raise data.broken(f"ANALOG:{name} has {values.size} numbers", f"one for each of {channels} channels")
        return values[:channels] if values.size else np.full(channels, default)

    offset = per_channel("OFFSET", 0.0)
    if unsigned:
        offset = np.where(offset < 0, offset + 65536, offset)
    general = _or(_scalar(parameters, "ANALOG", "GEN_SCALE"), 1.0)
    with np.errstate(all="ignore"):  # absurd gains of damaged files: the caller refuses what is not finite
        return (raw - offset) * per_channel("SCALE", 1.0) * general
