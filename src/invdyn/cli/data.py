"""`invdyn data make WORLD OUT`: recordings of a world's expert."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from invdyn.cli.options import Flag, new_path
from invdyn.errors import ConfigError

__all__ = ["Make", "parse_size"]

IN_MEMORY = 1e9
"""Bytes of pictures recorded at a time before they go to disk."""


def parse_size(text: str) -> tuple[int, int] | None:
    """Height and width of pictures.

    >>> parse_size("96x128"), parse_size("")
    ((96, 128), None)

    Raises:
        ConfigError: text of another form.
    """
    if not text:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found or "0" in found.groups():
        raise ConfigError(f"--images {text!r}: expected height x width in pixels, for example 96x96.")
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class Make:
    """Record a world's expert. Episode i depends on seed + i alone, whatever the number of processes."""

    world: tyro.conf.Positional[str]
    """World id: `pendulum`, `point2d`, `push2d`, `metaworld/pick-place-v3`, ..."""
    out: tyro.conf.Positional[Path]
    """Dataset to create, in the native layout (LeRobotDataset v3.0)."""
    episodes: int = 50
    """How many."""
    noise: float = 0.0
    """Standard deviation of noise on the expert's actions, as a share of half their range."""
    images: str = ""
    """Record pictures of this height x width, e.g. `96x96`; none when not given."""
    camera: str = "camera"
    """Name of the pictures: `observation.images.<camera>`."""
    encoding: Literal["video", "png", "array"] = "video"
    """How pictures are kept: `video` is small and lossy, the others keep every bit."""
    task: str = ""
    """What was asked, in words."""
    hold: int = 10
    """Steps recorded after the first success."""
    seed: int = 0
    """Of the first episode; the others follow."""
    workers: int = 1
    """Processes."""
    overwrite: Flag = False
    """Replace an existing dataset."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.episodes.formats.lerobot_writer import LeRobotWriter
        from invdyn.training.progress import progress
        from invdyn.worlds import make_world, record

        if self.episodes < 1:
            raise ConfigError(f"--episodes is {self.episodes}, expected at least 1.")
        new_path(self.out, "path", overwrite=self.overwrite)
        overwrite = self.overwrite or self.out.is_dir()  # an empty folder, or it had been refused above
        size = parse_size(self.images)
        world = make_world(self.world, batch=min(10, self.episodes))
        seeds = range(self.seed, self.seed + self.episodes)
        at_once = self.episodes
        if size is not None:
            at_once = max(world.batch * self.workers, int(IN_MEMORY / (size[0] * size[1] * 3 * world.horizon)))
        writer, frames, solved = None, 0, 0
        try:
            with progress(self.episodes, f"recording {self.world}", unit="episodes") as bar:
                for at in range(0, self.episodes, at_once):
                    recorded = record(
                        world,
                        seeds=seeds[at : at + at_once],
                        images=size,
                        task=self.task,
                        noise=self.noise,
                        hold=self.hold,
                        camera=self.camera,
                        encoding=self.encoding,
                        workers=self.workers,
                        on_episode=bar.advance,
                    )
                    writer = writer or LeRobotWriter(self.out, recorded.schema, overwrite=overwrite)
                    for episode in recorded:
                        writer.add(episode)
                    frames += recorded.frames
                    solved += sum(bool(r.metadata["success"]) for r in recorded.records())
            assert writer is not None
            writer.close()
        finally:
            if writer is not None:
                writer.abort()  # nothing left to do after close
            world.close()
        return {
            "world": self.world,
            "out": str(self.out),
            "episodes": self.episodes,
            "frames": frames,
            "success": solved / self.episodes,
            "seed": self.seed,
        }

    def show(self, result: dict[str, Any]) -> None:
        print(
            f"{result['out']}: {result['episodes']} episodes, {result['frames']} frames of {result['world']}; "
            f"the expert succeeded in {result['success']:.0%}"
        )

    def exit_code(self, result: Any) -> int:
        return 0
