"""What commands on recorded motion share: which positions are read, and how it is said what cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from invdyn.cli.options import open_recordings
from invdyn.errors import ConfigError, InvdynError

if TYPE_CHECKING:
    from invdyn.episodes.episode import Episode

__all__ = ["Reading", "as_options", "held", "pairs"]

OPENSIM = (".sto", ".mot")
MARKERS = (".trc", ".c3d")

SPOKEN = (
    (r"Pass fps=\.\.\. or time=<(\w+) of the seconds>", r"Pass --read fps=... or --read time=\1 (of the seconds)"),
    (r"Pass fps=\.\.\.", "Pass --read fps=..."),
    (r"\btime=\.\.\.", "--read time=..."),
    (r"\bformat=\.\.\.", "--format"),
    (r"pass nan='mask'", "pass --read nan=mask"),
    (r"method='(\w+)'", r"--smooth \1"),
    (r"Pass window=\.\.\. or cutoff=\.\.\.", "Pass --cutoff"),
    (r"\bcutoff=", "--cutoff "),
    (r"\(span=([^,)]+), ([^)]+)\)", r"(--span \1 \2)"),
    (r'units="(\w+)" or units="(\w+)"', r"--units \1 or --units \2"),
    (r'units="(\w+)"', r"--units \1"),
    (r"units=\.\.\.", "--units"),
    (r"names=\{recorded: site\}", "--markers RECORDED=SITE ..."),
    (r"geometry=False", "--no-geometry"),
    (r"ignore=\('(\w+)',\)", r"--ignore \1"),
    (r"ignore=", "--ignore"),
)
"""What stands in a message -> what one types."""


@dataclass(frozen=True)
class Reading:
    """How the positions of recordings are read."""

    units: str | None = None
    """`deg` or `rad` where the file does not say it (of markers: `m`, `cm`, `mm`)."""
    lengths: str | None = None
    """`m`, `cm` or `mm` of displacements where the file does not say it."""
    columns: tuple[str, ...] = ()
    """`COORDINATE=COLUMN` of positions where names differ."""
    hold: tuple[str, ...] = ()
    """`COORDINATE=VALUE` (rad or m) of coordinates that were not recorded or not to be used, and did not move."""
    signal: str | None = None
    """Signal that holds all positions, in the model's order unless its components have names."""
    episode: int | None = None
    """Only this episode; all when not given."""
    format: str | None = None
    """Format of the recordings, where it is not found by itself."""
    read: tuple[str, ...] = ()
    """Options of the format's reader, e.g. `fps=50 nan=mask` or `time=t`."""

    def named(self) -> dict[str, str]:
        """`columns` as a dictionary."""
        return pairs("--columns", self.columns, "elbow=q2")

    def held(self) -> dict[str, float]:
        """`hold` as numbers."""
        return held(self.hold)

    def kind(self, path: Path) -> str:
        """`markers`, `table` (OpenSim's) or `episodes`, by the ending, unless a format is given.

        Raises:
            ConfigError: a path that is not there.
        """
        if not path.exists():
            raise ConfigError(f"{path} does not exist. Check the path.")
        ending = path.suffix.lower() if self.format is None else ""
        return "markers" if ending in MARKERS else "table" if ending in OPENSIM else "episodes"

    def episodes(self, path: Path, more: Sequence[str] = ()) -> list[tuple[Episode, str]]:
        """The chosen episodes, each with what messages call it.

        Args:
            more: options of the reader besides those given.

        Raises:
            ConfigError: an episode that the recording does not have.
        """
        data = open_recordings(path, self.format, (*self.read, *more))
        if self.episode is not None and not 0 <= self.episode < len(data):
            raise ConfigError(f"--episode {self.episode}: {path} has episodes 0 to {len(data) - 1}. Correct it.")
        chosen = range(len(data)) if self.episode is None else [self.episode]
        return [(data[k], str(path) if len(data) == 1 else f"{path}, episode {k}") for k in chosen]


def pairs(option: str, texts: Sequence[str], example: str) -> dict[str, str]:
    """`NAME=VALUE` options as a dictionary.

    Raises:
        ConfigError: a word without `=`, or a name given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"{option} {text!r}: expected NAME=VALUE, for example {example}.")
        if name in found:
            raise ConfigError(f"{option} {name}=... stands twice. Leave one out.")
        found[name] = value
    return found


def held(texts: Sequence[str]) -> dict[str, float]:
    """`--hold NAME=VALUE`, in rad or m.

    Raises:
        ConfigError: as `pairs`, or a value that is no number.
    """
    found: dict[str, float] = {}
    for name, value in pairs("--hold", texts, "elbow=0.5").items():
        try:
            found[name] = float(value)
        except ValueError:
            raise ConfigError(f"--hold {name}={value}: expected a number in rad or m.") from None
    return found


@contextmanager
def as_options() -> Iterator[None]:
    """Remedies that our functions name as their arguments, named as a command's options."""
    try:
        yield
    except InvdynError as error:
        text = str(error)
        for pattern, option in SPOKEN:
            text = re.sub(pattern, option, text)
        error.args = (text,)
        raise
