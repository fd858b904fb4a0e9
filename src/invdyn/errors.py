"""The exception family: every error a user can cause says what, where, what was expected and the remedy.

The command line turns an `InvdynError` into one sentence on stderr and exit code 2; anything else is
our bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

__all__ = [
    "ConfigError",
    "FormatError",
    "InvdynError",
    "MissingExtraError",
    "SignalError",
    "UnknownNameError",
    "WorldError",
    "require",
    "unknown_name",
]


class InvdynError(Exception):
    """Base of every error caused by what the user gave us."""


class FormatError(InvdynError, ValueError):
    """A file or folder that is not what its format says; names the file, the episode, the signal."""


class SignalError(InvdynError, ValueError):
    """Values with a wrong shape, dtype, unit, clock, or with NaN where a number is needed."""


class ConfigError(InvdynError, ValueError):
    """A setting that cannot be used, or a saved configuration with unknown or missing fields."""


class UnknownNameError(InvdynError, KeyError):
    """A name that is not in a table; the message lists the nearest ones."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class WorldError(InvdynError, RuntimeError):
    """A world that cannot do what was asked (no exact inverse, no expert, state of another world)."""


class MissingExtraError(InvdynError, ImportError):
    """An optional dependency that is not installed; names the extra that brings it."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not among `known`: nearest matches first, else all of them.

    >>> str(unknown_name("task", "pick-plase", ["pick-place", "reach"]))
    "unknown task 'pick-plase'. Did you mean 'pick-place'?"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        hint = "Did you mean " + " or ".join(repr(n) for n in near) + "?"
    else:
        hint = "Known: " + ", ".join(known) + "."
    return UnknownNameError(f"unknown {what} {name!r}. {hint}")


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module, or raise `MissingExtraError` naming the extra that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module missing *inside* an installed package is a different fault: do not mislabel it.
        missing = (error.name or "").partition(".")[0]
        if missing != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f'{module!r} is not installed. Install it with: pip install "invdyn[{extra}]"'
        ) from error
