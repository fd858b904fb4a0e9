"""How results are shown to people: tables on stdout, notes on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invdyn.episodes.signal import SignalSpec

__all__ = ["component_names", "note", "number", "table"]


def number(value: Any, digits: int = 4) -> str:
    """A figure in few digits; `-` where there is none."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "-" if value != value else f"{value:.{digits}g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {number(v, digits)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(number(v, digits) for v in value)
    return str(value)


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None, title: str = "") -> None:
    """Print rows as a table on stdout."""
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    columns = columns or list(dict.fromkeys(key for row in rows for key in row))
    out = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        numeric = all(isinstance(r.get(column), (int, float, type(None))) for r in rows)
        out.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        out.add_row(*(number(row.get(c)) for c in columns))
    # A pipe has no width of its own; rich would cut the table at 80 columns.
    console = Console(highlight=False, markup=False)  # `[rad]` is a unit
    if not console.is_terminal:
        console.width = 200
    console.print(out)


def note(message: str) -> None:
    """One line for people on stderr."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(message, markup=False, soft_wrap=True)


def component_names(spec: SignalSpec) -> list[str]:
    """Names of a signal's components, numbered where the recordings give none."""
    return list(spec.names or (f"{spec.name}[{i}]" for i in range(spec.size)))
