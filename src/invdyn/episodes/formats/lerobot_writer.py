"""`LeRobotWriter`: episodes one after the other into a LeRobotDataset that appears when it is complete."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.lerobot_merge import merge_shards
from invdyn.episodes.formats.lerobot_options import LeRobotOptions
from invdyn.episodes.formats.lerobot_shards import check_schema, write_shard
from invdyn.episodes.signal import Schema
from invdyn.errors import FormatError

__all__ = ["LeRobotWriter"]


class LeRobotWriter:
    """Writes each episode as a shard beside `path`, and merges them when closed.

    As a context manager it closes at the end of the block and writes nothing when the block raises.

    Args:
        path: the folder to make.
        schema: of the dataset.
        options: how.
        videos_from: a LeRobotDataset on disk (or a view of one) whose episode i has the videos of the i-th episode
            added: its video files are taken over unchanged, nothing is encoded again.
        overwrite: replace an existing `path`.

    Raises:
        FormatError: `path` exists, or a schema that LeRobot cannot hold.
    """

    def __init__(
        self,
        path: Path | str,
        schema: Schema,
        *,
        options: LeRobotOptions = LeRobotOptions(),  # noqa: B008  (frozen)
        videos_from: Dataset | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path, self.schema, self.options = Path(path).absolute(), schema, options
        self.videos_from, self.overwrite = videos_from, overwrite
        check_schema(schema)
        if self.path.exists() and not overwrite:
            raise FormatError(f"{self.path} exists already. Choose another path, or pass overwrite=True to replace it.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._shards: Path | None = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.shards-", dir=self.path.parent))
        self.episodes = 0

    def add(self, episode: Episode) -> None:
        """Write the next episode."""
        if self._shards is None:
            raise FormatError(f"{self.path}: the writer is closed. Make a new one.")
        write_shard(
            self._shards, self.episodes, episode, self.schema, options=self.options, videos_from=self.videos_from
        )
        self.episodes += 1

    def close(self) -> Path:
        """Make the dataset of what was added."""
        if self._shards is None:
            return self.path
        try:
            return merge_shards(
                self._shards,
                self.path,
                self.schema,
                episodes=self.episodes,
                options=self.options,
                videos_from=self.videos_from,
                overwrite=self.overwrite,
            )
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop what was added; nothing appears at `path`."""
        if self._shards is not None:
            shutil.rmtree(self._shards, ignore_errors=True)
        self._shards = None

    def __enter__(self) -> LeRobotWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()
