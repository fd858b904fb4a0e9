"""A progress bar with rate and time left on stderr; silent in pipes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar", "progress"]


class Bar:
    """What the code under way reports to; does nothing when nobody watches."""

    def __init__(self, display: Progress | None, task: TaskID | None, unit: str) -> None:
        self._display, self._task, self._unit = display, task, unit

    def advance(self, n: int | float = 1, note: str | None = None) -> None:
        """n more units are done; `note` replaces the words at the end of the line."""
        if self._display is None or self._task is None:
            return
        self._display.update(self._task, advance=n, note=note if note is not None else self._note())
        speed = self._display.tasks[self._index()].speed
        self._display.update(self._task, rate=f"{speed:,.1f} {self._unit}/s" if speed else "")

    def expect(self, total: int | float) -> None:
        """The amount of work, where it was not known from the start."""
        if self._display is not None and self._task is not None:
            self._display.update(self._task, total=total)

    def _index(self) -> int:
        assert self._display is not None
        return [t.id for t in self._display.tasks].index(self._task)  # type: ignore[arg-type]

    def _note(self) -> str:
        assert self._display is not None
        return str(self._display.tasks[self._index()].fields.get("note", ""))


@contextmanager
def progress(
    total: int | float | None, what: str, *, enabled: bool = True, unit: str = "steps", done: int = 0
) -> Iterator[Bar]:
    """A bar for `total` units of work, `done` of which are done already (a resumed run).

    Nothing is shown when `enabled` is False or stderr is not a terminal.
    """
    if not (enabled and sys.stderr.isatty()):
        yield Bar(None, None, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(what, total=total, completed=done, rate="", note="")
        yield Bar(display, task, unit)
