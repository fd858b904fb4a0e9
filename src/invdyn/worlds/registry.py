"""The table of worlds by id, and `make_world`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from invdyn.errors import WorldError, unknown_name
from invdyn.worlds.base import World

__all__ = ["WORLDS", "Entry", "make_world", "maker"]


@dataclass(frozen=True)
class Entry:
    """A world that can be made by name.

    Args:
        target: `module:Class`, imported when the world is made.
        summary: what it is, in a line.
        extra: the optional dependencies it needs, as an extra of the package.
    """

    target: str
    summary: str
    extra: str | None = None


WORLDS: dict[str, Entry] = {
    "pendulum": Entry("invdyn.worlds.pendulum:Pendulum", "torque swings up a rod; exact inverse"),
    "point2d": Entry("invdyn.worlds.point2d:Point2D", "a point is pushed to a goal"),
    "push2d": Entry("invdyn.worlds.push2d:Push2D", "a disc pushes blocks to goals; pictures"),
    "metaworld/<task>": Entry("invdyn.worlds.metaworld:MetaWorld", "a robot arm, 50 tasks with experts", "worlds"),
    "adroit/door": Entry("invdyn.worlds.adroit:AdroitDoor", "a hand of 24 joints opens a door", "worlds"),
    "pusht": Entry("invdyn.worlds.pusht:PushT", "a disc pushes a T onto its place", "worlds"),
    "locomotion/<task>": Entry(
        "invdyn.worlds.locomotion:Locomotion", "hopper, halfcheetah, walker2d in large batches, for models", "worlds"
    ),
    "gymnasium/<EnvId>": Entry("invdyn.worlds.gymnasium_world:make", "any vector environment of Gymnasium"),
}
"""Ids with `<...>` stand for families: what replaces the brackets is the first argument of the class."""


def make_world(id: str, *, batch: int = 1, **options: Any) -> World:  # noqa: A002 - the vocabulary's own word
    """A world by its id.

    Args:
        id: e.g. `pendulum`, `metaworld/pick-place-v3`, `gymnasium/HalfCheetah-v5`.
        batch: number of copies.
        options: the world's own settings.

    Raises:
        UnknownNameError: no such world; lists the nearest ids.
        MissingExtraError: it needs packages that are not installed.
    """
    family, slash, member = id.partition("/")
    for known, entry in WORLDS.items():
        prefix, bracket, _ = known.partition("<")
        if (known == id and not bracket) or (bracket and prefix == family + slash and member):
            module, _, name = entry.target.partition(":")
            make = getattr(importlib.import_module(module), name)
            world: World = make(*([member] if bracket else []), batch=batch, **options)
            world.recipe = (id, dict(options))
            return world
    raise unknown_name("world", id, WORLDS)


def maker(world: World) -> Callable[[], World]:
    """A function that makes a world like this one in another process, because a simulator cannot be shared.

    Raises:
        WorldError: a world that did not come from `make_world`.
    """
    if world.recipe is None:
        raise WorldError(
            f"{world.name} was not made by make_world, so other processes cannot make it. "
            "Use one worker, or a world from invdyn.worlds.WORLDS."
        )
    name, options = world.recipe
    return partial(make_world, name, batch=world.batch, **options)
