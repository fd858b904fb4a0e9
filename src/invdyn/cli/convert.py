"""`invdyn convert SRC DST`: recordings from one format to another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from invdyn.cli.options import Flag, new_path, open_recordings
from invdyn.cli.selection import parse_episodes
from invdyn.errors import ConfigError

__all__ = ["Convert"]

MINARI_NAME = re.compile(r"[-_\w]+-v\d+")


@dataclass(frozen=True)
class Convert:
    """Write recordings again, in another format or without some of their parts. The source is never changed."""

    source: tyro.conf.Positional[Path]
    """Recordings in any supported format."""
    target: tyro.conf.Positional[Path]
    """Folder or file to create; nothing is there until all of it is."""
    to: Literal["lerobot", "minari", "robomimic", "npz", "opensim", "trc", "c3d", "bvh"] = "lerobot"
    """Format to write."""
    format: str | None = None
    """Format of the source, where it is not found by itself: `csv`, `parquet`, `npz`, `lerobot`, `minari`, ..."""
    read: tuple[str, ...] = ()
    """Options of the source's reader: `fps=50`, `nan=mask`, `'groups={"observation.state": ["x", "v"]}'`, ..."""
    episodes: str = "all"
    """Which episodes: `all`, `0:20`, `3,7`."""
    signals: tuple[str, ...] = ()
    """Only these signals; none named means all."""
    hide: str = ""
    """Act as if this signal (say `action`) had not been recorded in the episodes `--hide-in`."""
    hide_in: str = "all"
    """The episodes (numbered as written) in which `--hide` applies, e.g. `20:`."""
    min_weight: float = 0.0
    """Mask labels with a smaller confidence weight (for trainers that know no weights)."""
    max_residual: float = float("inf")
    """Mask labels whose replay residual is larger."""
    overwrite: Flag = False
    """Replace an existing target."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.actions.labeller import filter_labels
        from invdyn.episodes import write_dataset
        from invdyn.episodes.views import hide, select_signals

        if self.hide_in != "all" and not self.hide:
            raise ConfigError(f"--hide-in {self.hide_in} without --hide. Name the signal, for example --hide action.")
        if self.to == "minari" and not MINARI_NAME.fullmatch(self.target.name):
            raise ConfigError(f"{self.target}: Minari wants a folder named <name>-v<number>, for example door-v0.")
        new_path(self.target, "target", overwrite=self.overwrite)
        data = open_recordings(self.source, self.format, self.read)
        data = data[parse_episodes(self.episodes, len(data))]
        if self.signals:
            data = select_signals(data, self.signals)
        if self.hide:
            data = hide(data, [self.hide], parse_episodes(self.hide_in, len(data)))
        if self.min_weight > 0 or self.max_residual < float("inf"):
            data = filter_labels(data, min_weight=self.min_weight, max_residual=self.max_residual)
        overwrite = self.overwrite or self.target.is_dir()  # an empty folder, or it had been refused above
        written = write_dataset(data, self.target, format=self.to, overwrite=overwrite)
        return {
            "source": str(self.source),
            "target": str(written),
            "format": self.to,
            "episodes": len(data),
            "frames": data.frames,
            "signals": list(data.schema),
        }

    def show(self, result: dict[str, Any]) -> None:
        print(
            f"{result['target']}: {result['episodes']} episodes, {result['frames']} frames, {result['format']} format"
        )

    def exit_code(self, result: Any) -> int:
        return 0
