"""Config dataclasses to and from JSON: strict, without pickle, refusing what they do not know."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from invdyn.errors import ConfigError

__all__ = ["from_json", "to_json"]

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """A dataclass (nested ones too) as plain JSON values; infinite and NaN floats become strings.

    Raises:
        ConfigError: a value that has no JSON form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ConfigError(
        f"a {type(value).__name__} cannot be saved in a config; use numbers, text, tuples and dataclasses."
    )


def from_json(cls: type[T], data: Any, *, where: str = "config", complete: bool = False) -> T:
    """The dataclass that `to_json` wrote.

    Args:
        cls: the dataclass.
        data: parsed JSON.
        where: file or place, for messages.
        complete: every field must be there (saved models); else missing fields take their defaults.

    Raises:
        ConfigError: an unknown field (names the nearest), a missing one, a value of another type.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: got {data!r}, expected the fields of {cls.__name__}.")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for name in data:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.0)
            raise ConfigError(f"{where}: {cls.__name__} has no field {name!r}. Did you mean {near[0]!r}?")
    required = [
        n
        for n, f in fields.items()
        if complete or (f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING)
    ]
    missing = [n for n in required if n not in data]
    if missing:
        raise ConfigError(
            f"{where}: {cls.__name__} lacks {', '.join(map(repr, missing))}. Save it again with this version."
        )
    hints = typing.get_type_hints(cls)
    return cls(**{n: _read(hints[n], v, f"{where}.{n}", complete) for n, v in data.items()})


def _read(kind: Any, value: Any, where: str, complete: bool) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        problems = []
        for option in (a for a in args if a is not type(None)):
            try:
                return _read(option, value, where, complete)
            except ConfigError as error:
                problems.append(str(error))
        raise ConfigError(problems[0])
    if origin is Literal:
        if value in args:
            return value
        raise ConfigError(f"{where}: {value!r} is none of {', '.join(map(repr, args))}.")
    if dataclasses.is_dataclass(kind):
        return from_json(typing.cast(type, kind), value, where=where, complete=complete)
    if kind is tuple or origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: got {value!r}, expected a list.")
        if args and args[-1] is not Ellipsis and len(args) != len(value):
            raise ConfigError(f"{where}: {len(value)} values, expected {len(args)}.")
        kinds = (
            [args[0] if args[-1] is Ellipsis else args[i] for i in range(len(value))] if args else [Any] * len(value)
        )
        return tuple(_read(k, v, f"{where}[{i}]", complete) for i, (k, v) in enumerate(zip(kinds, value)))
    if kind is dict or origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: got {value!r}, expected a table.")
        inner = args[1] if len(args) == 2 else Any
        return {str(k): _read(inner, v, f"{where}.{k}", complete) for k, v in value.items()}
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and (
        (isinstance(value, (int, float)) and not isinstance(value, bool)) or value in ("inf", "-inf", "nan")
    ):
        return float(value)
    if kind in (int, bool, str) and type(value) is kind:
        return value
    named = getattr(kind, "__name__", str(kind))
    raise ConfigError(f"{where}: got {value!r}, expected {'a list' if kind is list else named}.")
