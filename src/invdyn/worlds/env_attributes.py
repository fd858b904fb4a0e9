"""Copies of what changes in a Python environment object: its attributes and random generators, never its renderer.

A Gymnasium environment keeps part of its state in Python: counters, the previous observation, targets, generators.
Two kinds of attribute are told apart:

- *values* (numbers, text, arrays, lists of these, generators): copied;
- *views* into memory of the simulator (Meta-World's `init_left_pad` is one): kept as the view they are, because the
  environment reads through them; a copy would freeze what must follow the simulation.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from invdyn.errors import WorldError

__all__ = ["is_number", "numbers", "restore", "snapshot"]

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
IGNORED_NAMES = frozenset({"model", "data", "spec", "env", "metadata", "window", "screen", "clock", "viewer", "surf"})
"""The simulator itself (restored by its own means) and the handles of a display."""
IGNORED_MODULES = ("mujoco", "pygame", "gymnasium.spaces", "gymnasium.envs", "gymnasium_robotics.utils", "functools")
"""Where the types of objects live that hold no state of an episode."""


def is_view(value: Any) -> bool:
    """Whether an array lies in memory that numpy does not own (the simulator's)."""
    while isinstance(value, np.ndarray):
        if value.base is None:
            return False
        value = value.base
    return value is not None


def is_number(value: Any) -> bool:
    """A real number, or an array of them that is not a view into the simulator."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf" and not is_view(value)
    return isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating))


def numbers(env: Any, leave_out: Iterable[str] = ()) -> dict[str, Any]:
    """The attributes that are numbers or arrays of numbers."""
    out = frozenset(leave_out) | IGNORED_NAMES | {"_np_random_seed"}
    return {k: v for k, v in vars(env).items() if k not in out and is_number(v)}


def ignored(name: str, value: Any, leave_out: Collection[str] = ()) -> bool:
    if name in IGNORED_NAMES or name in leave_out or callable(value):
        return True
    return type(value).__module__.startswith(IGNORED_MODULES)


def snapshot(env: Any, world: str, leave_out: Collection[str] = ()) -> dict[str, tuple[str, Any]]:
    """Attribute name -> (kind, content) of one environment object, without those in `leave_out`.

    Raises:
        WorldError: an attribute that cannot be copied; names it and its type.
    """
    taken: dict[str, tuple[str, Any]] = {}
    for name, value in vars(env).items():
        if name in leave_out:
            continue
        if isinstance(value, PLAIN):
            taken[name] = ("value", value)
        elif isinstance(value, np.random.Generator):
            taken[name] = ("generator", (type(value.bit_generator), copy.deepcopy(value.bit_generator.state)))
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            taken[name] = ("view", value) if is_view(value) else ("array", value.copy())
        elif not ignored(name, value):
            try:
                taken[name] = ("object", copy.deepcopy(value))
            except Exception as error:
                raise WorldError(
                    f"{world} has no exact snapshot: its attribute {name!r} ({type(value).__name__}) cannot be copied."
                ) from error
    return taken


def restore(env: Any, taken: Mapping[str, tuple[str, Any]], leave_out: Collection[str] = ()) -> None:
    """Give the attributes their recorded content; attributes that came later are removed."""
    for name in [n for n, v in vars(env).items() if n not in taken and not ignored(n, v, leave_out)]:
        delattr(env, name)
    for name, (kind, content) in taken.items():
        if kind == "generator":
            bits, state = content
            generator = np.random.Generator(bits())
            generator.bit_generator.state = state
            setattr(env, name, generator)
        elif kind == "array":
            setattr(env, name, content.copy())
        elif kind == "object":
            setattr(env, name, copy.deepcopy(content))
        else:
            setattr(env, name, content)
