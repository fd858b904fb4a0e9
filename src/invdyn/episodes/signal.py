"""`SignalSpec`, `Signal` and `Schema`: what one time series is, its values, and what a recording holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Shaped

from invdyn.errors import SignalError, unknown_name

if TYPE_CHECKING:
    import gymnasium

__all__ = ["Kind", "Schema", "Signal", "SignalSpec", "infer_kind"]

Kind = Literal["state", "image", "action", "force", "reward", "event", "text"]
Encoding = Literal["array", "png", "video"]
KINDS: tuple[str, ...] = get_args(Kind)
RESERVED = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""Columns that every recording has and that are therefore never signals."""


@dataclass(frozen=True)
class SignalSpec:
    """What one signal is, without its values.

    Args:
        name: LeRobot-style key: `observation.state`, `observation.images.<camera>`, `action`, `next.reward`.
        shape: shape of one step; `()` for a scalar. Images are (height, width, channel).
        dtype: numpy name (`float32`, `uint8`, `bool`, ...) or `string`.
        kind: what the numbers are about.
        unit: unit of every component, e.g. `rad`, `N m`, `px`; empty when unknown.
        names: one name per component of the flattened step, or None.
        low, high: bounds per component (flattened) or one for all; None when unbounded.
        encoding: how an image is kept on disk: raw `array`, lossless `png`, or lossy `video`.

    Raises:
        SignalError: a reserved or malformed name, an unknown kind or dtype, names or bounds of the wrong length.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: Kind
    unit: str = ""
    names: tuple[str, ...] | None = None
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    encoding: Encoding = "array"

    def __post_init__(self) -> None:
        where = f"signal {self.name!r}"
        if not self.name or "/" in self.name or "\\" in self.name or self.name in RESERVED:
            raise SignalError(
                f"{where}: a signal name is not empty, has no slash and is none of {', '.join(RESERVED)}. Rename it."
            )
        if self.kind not in KINDS:
            raise SignalError(f"{where}: kind {self.kind!r} is none of {', '.join(KINDS)}.")
        if self.dtype != "string":
            try:
                if np.dtype(self.dtype).kind not in "biuf":
                    raise TypeError
            except TypeError:
                raise SignalError(
                    f"{where}: dtype {self.dtype!r} is neither a numpy number, bool nor 'string'."
                ) from None
        if any(side < 0 for side in self.shape):
            raise SignalError(f"{where}: shape {self.shape} has a negative side.")
        for what in ("names", "low", "high"):
            given = getattr(self, what)
            allowed = {self.size} if what == "names" else {1, self.size}
            if given is not None and len(given) not in allowed:
                raise SignalError(
                    f"{where}: {len(given)} {what} given for {self.size} components of shape {self.shape}."
                )

    @property
    def size(self) -> int:
        """Number of components of one step."""
        return math.prod(self.shape)

    @property
    def is_text(self) -> bool:
        return self.dtype == "string"

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype of the values in memory; text is `object`."""
        return np.dtype(object) if self.is_text else np.dtype(self.dtype)

    @property
    def space(self) -> gymnasium.Space[Any]:
        """The `gymnasium.Space` one step lies in; unknown bounds are infinite (or those of the dtype)."""
        from gymnasium import spaces

        if self.is_text:
            return spaces.Text(max_length=2**20)
        dtype = self.numpy_dtype
        if dtype.kind == "b":
            return spaces.MultiBinary(self.shape or 1)
        floating = dtype.kind == "f"
        info = None if floating else np.iinfo(dtype)
        least, most = (-np.inf, np.inf) if info is None else (info.min, info.max)

        def bound(given: tuple[float, ...] | None, default: float) -> np.ndarray:
            flat = np.full(self.size, default) if given is None else np.broadcast_to(np.asarray(given), (self.size,))
            return flat.reshape(self.shape).astype(dtype)

        return spaces.Box(bound(self.low, least), bound(self.high, most), dtype=dtype.type)


def infer_kind(name: str, dtype: str, shape: tuple[int, ...]) -> Kind:
    """The kind a foreign column most likely has, by LeRobot's naming rules and its dtype.

    >>> infer_kind("action", "float32", (7,)), infer_kind("observation.images.top", "uint8", (96, 96, 3))
    ('action', 'image')
    """
    if dtype == "string":
        return "text"
    if name == "action" or name.startswith("action."):
        return "action"
    if len(shape) == 3 and dtype == "uint8":
        return "image"
    if "reward" in name:
        return "reward"
    if dtype == "bool":
        return "event"
    return "state"


@dataclass(frozen=True)
class Signal:
    """One named time series of an episode.

    Args:
        spec: what it is.
        values: array [time, *spec.shape] of `spec.numpy_dtype`.
        valid: [time] False where the value is missing; None when every step is there. What stands in
            `values` at a missing step means nothing (float signals hold NaN there).

    Raises:
        SignalError: values or mask that do not have the shape and dtype the spec says.
    """

    spec: SignalSpec
    values: Shaped[np.ndarray, "time ..."] = field(repr=False)
    valid: Bool[np.ndarray, " time"] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        where = f"signal {self.spec.name!r}"
        if self.values.shape[1:] != self.spec.shape:
            raise SignalError(f"{where}: one step has shape {self.values.shape[1:]}, expected {self.spec.shape}.")
        if self.values.dtype != self.spec.numpy_dtype:
            raise SignalError(f"{where}: dtype {self.values.dtype}, expected {self.spec.dtype}.")
        if self.valid is not None and self.valid.shape != (len(self.values),):
            raise SignalError(f"{where}: the mask has shape {self.valid.shape} for {len(self.values)} steps.")

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def mask(self) -> Bool[np.ndarray, " time"]:
        """[time] True where there is a value."""
        return np.ones(len(self.values), bool) if self.valid is None else self.valid

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=bool(copy)) if copy else np.asarray(self.values, dtype=dtype)

    def slice(self, start: int, stop: int | None) -> Signal:
        """The steps start..stop (end exclusive), as a view."""
        valid = None if self.valid is None else self.valid[start:stop]
        return Signal(self.spec, self.values[start:stop], valid)


@dataclass(frozen=True)
class Schema(Mapping[str, SignalSpec]):
    """The signals of a recording, by name, in a fixed order, and its frame rate.

    Args:
        signals: the specs.
        fps: frames per second; for irregular clocks the nominal rate.
    """

    signals: tuple[SignalSpec, ...]
    fps: float

    def __post_init__(self) -> None:
        names = [s.name for s in self.signals]
        double = sorted({n for n in names if names.count(n) > 1})
        if double:
            raise SignalError(f"signal {double[0]!r} stands twice in the schema. Give each signal its own name.")
        if not self.fps > 0 or not np.isfinite(self.fps):
            raise SignalError(f"the frame rate is {self.fps}, expected a positive number of frames per second.")

    def __getitem__(self, name: str) -> SignalSpec:
        for spec in self.signals:
            if spec.name == name:
                return spec
        raise unknown_name("signal", name, [s.name for s in self.signals])

    def __contains__(self, name: object) -> bool:
        return any(spec.name == name for spec in self.signals)

    def __iter__(self) -> Iterator[str]:
        return (spec.name for spec in self.signals)

    def __len__(self) -> int:
        return len(self.signals)

    def of_kind(self, *kinds: Kind) -> tuple[SignalSpec, ...]:
        return tuple(s for s in self.signals if s.kind in kinds)

    def select(self, names: Iterable[str]) -> Schema:
        """The schema with these signals only, in this order."""
        return replace(self, signals=tuple(self[n] for n in names))

    def updated(self, specs: Iterable[SignalSpec]) -> Schema:
        """The schema with these specs added, or replaced where the name is already there."""
        new = {s.name: s for s in specs}
        kept = tuple(new.pop(s.name, s) for s in self.signals)
        return replace(self, signals=kept + tuple(new.values()))
