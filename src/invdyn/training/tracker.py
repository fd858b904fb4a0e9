"""Scalars of a run to TensorBoard; nothing when there is no folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from invdyn.errors import require

__all__ = ["Tracker"]


class Tracker:
    """Writes every number of a history entry as one scalar."""

    def __init__(self, writer: Any | None) -> None:
        self._writer = writer

    @classmethod
    def open(cls, folder: Path | None, step: int) -> Tracker:
        """Logs go to folder/logs; entries after `step`, left by an interrupted run, are superseded."""
        if folder is None:
            return cls(None)
        require("tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        return cls(SummaryWriter(str(folder / "logs"), purge_step=step + 1 if step else None))

    def write(self, record: Mapping[str, int | float]) -> None:
        if self._writer is not None:
            for name, value in record.items():
                if name != "step":
                    self._writer.add_scalar(name, value, int(record["step"]))

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
