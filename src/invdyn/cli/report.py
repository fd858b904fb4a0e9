"""A self-contained HTML report: sections of text, tables and figures, all embedded; opens offline."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invdyn import __version__
from invdyn.cli.output import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Section", "write_report"]

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2.4rem }
.lead { font-size: 1.1rem } .foot { margin-top: 3rem; font-size: .85rem; opacity: .7 }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem; text-align: left }
th { background: var(--soft) } figure { margin: 1rem 0 } figure svg { max-width: 100%; height: auto; background: #fff }
</style></head><body>
<h1>{{ title }}</h1><p class="lead">{{ lead }}</p>
{% for s in sections %}<section><h2>{{ s.title }}</h2>
{% for p in s.text %}<p>{{ p }}</p>{% endfor %}
{% if s.rows %}<table><tr>{% for c in s.columns %}<th>{{ c }}</th>{% endfor %}</tr>
{% for r in s.rows %}<tr>{% for c in s.columns %}<td>{{ number(r.get(c)) }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
{% for f in s.figures %}<figure>{{ svg(f) | safe }}</figure>{% endfor %}
</section>{% endfor %}
<p class="foot">invdyn {{ version }}. {{ foot }}</p></body></html>
"""


@dataclass(frozen=True)
class Section:
    """One heading of the report with what stands under it."""

    title: str
    text: Sequence[str] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    figures: Sequence[Figure] = ()
    columns: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if not self.columns:
            object.__setattr__(self, "columns", tuple(dict.fromkeys(k for r in self.rows for k in r)))


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return (
        buffer.getvalue().split("?>", 1)[-1].split(">", 1)[-1]
        if buffer.getvalue().startswith("<?xml")
        else buffer.getvalue()
    )


def write_report(path: Path, title: str, lead: str, sections: Sequence[Section], foot: str = "") -> Path:
    """Write the report at `path` (atomically); returns the path."""
    from jinja2 import Environment

    page = Environment(autoescape=True).from_string(TEMPLATE)
    text = page.render(
        title=title, lead=lead, sections=sections, foot=foot, version=__version__, number=number, svg=_svg
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path
