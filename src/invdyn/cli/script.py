"""`script`: a file of examples/ as a command with options and with errors that are one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import tyro

from invdyn.cli.main import told
from invdyn.errors import InvdynError

__all__ = ["script"]

Args = TypeVar("Args")


def script(run: Callable[[Args], Any], kind: type[Args]) -> None:
    """Parse the options and run; what a user can mend is told on stderr, with exit code 2.

    Args:
        run: the script.
        kind: dataclass of its options.
    """
    args = tyro.cli(kind)
    try:
        run(args)
    except (InvdynError, OSError) as error:
        sys.exit(told(error, Path(sys.argv[0]).name))
