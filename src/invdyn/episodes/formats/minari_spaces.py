"""Minari's spaces, which are JSON text inside JSON, and the signals that their leaves are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.signal import Kind, SignalSpec, infer_kind
from invdyn.errors import SignalError

__all__ = ["IMAGE_SIDE", "Leaf", "is_image", "leaves", "space_json"]

IMAGE_SIDE = 32
"""A uint8 box of 2 or 3 dimensions is an image when its first two sides are at least this (Minari 0.5.4)."""
LARGEST_STEP = 2**28  # components of one step; a 4K RGB frame has 2.5e7
REMEDY = "Use the metadata.json that was written with the data."


@dataclass(frozen=True)
class Leaf:
    """One signal of a space.

    Args:
        path: keys (Dict) and numbers (Tuple) from the root of the space.
        spec: the signal.
        image: whether Minari may have stored it as JPEG.
    """

    path: tuple[str | int, ...]
    spec: SignalSpec
    image: bool = False


def is_image(spec: SignalSpec) -> bool:
    """Whether Minari takes such a signal for an image."""
    unbounded = spec.low in (None, (0.0,)) and spec.high in (None, (255.0,))
    big = len(spec.shape) in (2, 3) and min(spec.shape[:2]) >= IMAGE_SIDE
    return spec.dtype == "uint8" and big and unbounded


def _bounds(low: Any, high: Any, dtype: np.dtype[Any]) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Bounds as a spec has them: None where they say no more than the dtype, one number where all are equal."""
    least, most = _natural(dtype)

    def one(values: Any, natural: float | int) -> tuple[float, ...] | None:
        flat = np.asarray(values, np.float64).reshape(-1)
        if not flat.size or (flat == natural).all():
            return None
        return (float(flat[0]),) if (flat == flat[0]).all() else tuple(flat.tolist())

    return one(low, least), one(high, most)


def _natural(dtype: np.dtype[Any]) -> tuple[float | int, float | int]:
    """Least and greatest value of a dtype."""
    if dtype.kind == "b":
        return 0, 1
    return (-np.inf, np.inf) if dtype.kind == "f" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def leaves(space: Any, prefix: str, root: str, file: Path, kind: Kind | None = None) -> list[Leaf]:
    """The leaves of a parsed space: a root that is no Dict or Tuple is called `root`, others `prefix.<key>...`.

    Raises:
        FormatError: an unknown space, a size no recording has, bounds that do not fit the shape.
    """
    found: list[Leaf] = []

    def walk(node: Any, path: tuple[str | int, ...]) -> None:
        where = f"space of {prefix} at {'/'.join(map(str, path)) or 'its root'}"
        if not isinstance(node, Mapping) or "type" not in node:
            raise complaint(file, f"{where} is no space", expected="an object with a type", remedy=REMEDY)
        if node["type"] == "Dict":
            for key, child in node["subspaces"].items():
                walk(child, (*path, key))
            return
        if node["type"] == "Tuple":
            for number, child in enumerate(node["subspaces"]):
                walk(child, (*path, number))
            return
        name = f"{prefix}.{'.'.join(map(str, path))}" if path else root
        try:
            found.append(_leaf(node, path, name.replace("/", "."), kind))
        except (KeyError, TypeError, ValueError, SignalError) as error:
            raise complaint(
                file, f"{where} cannot be used ({error})", expected="a space as Minari writes it", remedy=REMEDY
            ) from None

    walk(space, ())
    return found


def _leaf(node: Mapping[str, Any], path: tuple[str | int, ...], name: str, kind: Kind | None) -> Leaf:
    type_ = node["type"]
    if type_ == "Text":
        return Leaf(path, SignalSpec(name, (), "string", "text"))
    if type_ == "Discrete":
        least, n = int(node.get("start", 0)), int(node["n"])
        ends: dict[str, Any] = {"low": (float(least),), "high": (float(least + n - 1),)}
        return Leaf(path, SignalSpec(name, (), "int64", kind or "state", **ends))
    if type_ == "MultiBinary":
        n = node["n"]
        shape = tuple(n) if isinstance(n, list) else (int(n),)
        return Leaf(path, SignalSpec(name, shape, "int8", kind or "state", low=(0.0,), high=(1.0,)))
    if type_ == "MultiDiscrete":
        nvec, start = np.asarray(node["nvec"]), np.asarray(node.get("start", 0))
        low, high = _bounds(np.broadcast_to(start, nvec.shape), start + nvec - 1, np.dtype(node["dtype"]))
        return Leaf(path, SignalSpec(name, nvec.shape, str(node["dtype"]), kind or "state", low=low, high=high))
    if type_ != "Box":
        raise ValueError(f"its type is {type_!r}")
    shape, dtype = tuple(int(s) for s in node["shape"]), np.dtype(node["dtype"])
    if any(s < 0 for s in shape) or int(np.prod(shape, dtype=object)) > LARGEST_STEP:
        raise ValueError(f"shape {list(shape)} is absurd")
    low, high = _bounds(node["low"], node["high"], dtype)
    spec = SignalSpec(name, shape, dtype.name, kind or infer_kind(name, dtype.name, shape), low=low, high=high)
    return Leaf(path, spec, is_image(spec))


def parse(metadata: Mapping[str, Any], key: str, file: Path) -> Any:
    """A space out of metadata.json, where it stands as JSON text."""
    text = metadata.get(key)
    if text is None:
        raise complaint(
            file,
            f"no {key}",
            expected="the space as JSON text",
            remedy="Write the data set again with Minari 0.5 (older ones kept only the environment's name).",
        )
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise complaint(file, f"{key} is no JSON ({error})", expected="JSON text", remedy=REMEDY) from None


def space_json(specs: Iterable[tuple[str | None, SignalSpec]]) -> str:
    """The space of some signals as Minari's JSON text: a key of None makes the signal the root itself."""

    def one(spec: SignalSpec) -> dict[str, Any]:
        if spec.is_text:
            characters = "".join(chr(c) for c in range(32, 127))
            return {"type": "Text", "max_length": 2**20, "min_length": 0, "charset": characters}
        least, most = _natural(spec.numpy_dtype)
        return {"type": "Box", "dtype": spec.dtype, "shape": list(spec.shape), **_limits(spec, least, most)}

    named = dict(specs)
    if None in named:
        return json.dumps(one(named[None]))
    return json.dumps({"type": "Dict", "subspaces": {str(k): one(s) for k, s in named.items()}})


def _limits(spec: SignalSpec, least: float | int, most: float | int) -> dict[str, Any]:
    def full(bound: tuple[float, ...] | None, default: float | int) -> Any:
        if bound is None:  # integers stay integers: the greatest int64 is no float64
            return np.full(spec.shape, default, spec.numpy_dtype).tolist()
        return np.broadcast_to(np.asarray(bound), (spec.size,)).reshape(spec.shape).astype(spec.numpy_dtype).tolist()

    return {"low": full(spec.low, least), "high": full(spec.high, most)}
