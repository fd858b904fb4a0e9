"""Options of a command from its dataclass, by tyro; what tyro refuses is said in one sentence instead of a box."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any

from invdyn.errors import ConfigError, unknown_name

__all__ = ["parse", "sentence"]


def parse(kind: type, args: Sequence[str], prog: str) -> Any:
    """A command with its options.

    Raises:
        UnknownNameError: an option the command does not have; names the nearest.
        ConfigError: a value that does not fit, or one that is missing.
        SystemExit: with 0, after `--help` was printed.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return _tyro(kind, args, prog)
    except SystemExit as stop:
        if not stop.code:
            raise
    given = [a.partition("=")[0].replace("_", "-") for a in args if re.match(r"--\w", a)]
    known = _options(_drawn(kind, ["--help"], prog))
    for name in given:
        if name not in known:
            raise unknown_name("option", name, known)
    raise ConfigError(sentence(_drawn(kind, args, prog), prog))


def _tyro(kind: type, args: Sequence[str], prog: str) -> Any:
    import tyro

    return tyro.cli(
        kind,
        args=list(args),
        prog=prog,
        config=(
            tyro.conf.PositionalMetavarFromFieldName,
            tyro.conf.AvoidSubcommands,  # optional groups of settings are not a second command
            tyro.conf.SuppressFixed,
            tyro.conf.HelptextFromCommentsOff,
        ),
    )


def _drawn(kind: type, args: Sequence[str], prog: str) -> str:
    """What tyro prints; into a stream that takes its box characters, whatever the terminal's encoding."""
    paper = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(paper), contextlib.redirect_stderr(paper), contextlib.suppress(SystemExit):
        _tyro(kind, args, prog)
    paper.seek(0)
    return paper.read()


def _options(text: str) -> list[str]:
    """Names of all options of a help text."""
    rows = re.findall(r"^│ (-.*)$", text, re.MULTILINE)
    return sorted({name for row in rows for name in re.findall(r"(?:^|, )(--[\w.-]+)", row)})


def sentence(box: str, prog: str) -> str:
    """What one of tyro's error boxes says, without the box; text of another form is kept.

    >>> box = "╭─ Required options ─╮\\n│ Missing from invdyn fit: │\\n│     --out PATH │\\n│         Folder. │\\n╰───╯"
    >>> sentence(box, "invdyn fit")
    '--out PATH is required. See `invdyn fit --help`.'
    """
    parts: list[list[str]] = [[]]
    for line in box.splitlines():
        row = line.strip().removeprefix("│").removesuffix("│").rstrip()
        if line.lstrip().startswith(("╭", "╰")) or (row.strip() and not row.strip(" ─")):
            parts.append([])
        else:
            parts[-1].append(row)
    first = next((part for part in parts if any(part)), ["the options could not be read"])
    if first[0].strip().startswith("Missing from"):
        # Options stand four spaces in, their help deeper.
        missing = [row.strip() for row in first if re.match(r" {4,5}\S", row)]
        what = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} required"
    else:
        what = " ".join(" ".join(first).split()).rstrip(". ")
    what = re.sub(r"^Error parsing (?=-)", "", what)  # `--level: could not convert ...`
    what = re.sub(r"^Error parsing [\w.-]+: ", "", what)  # our own words about a group of settings
    if re.match("[A-Z][a-z]", what):
        what = what[0].lower() + what[1:]
    return f"{what}. See `{prog} --help`."
