"""`invdyn label DATA MODEL OUT`: infer the missing causes and write a labelled dataset."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from invdyn.cli.options import Flag
from invdyn.cli.verify import recorded_world

__all__ = ["Label"]


@dataclass(frozen=True)
class Label:
    """Infer the causes that were not recorded. Measured values stay bit for bit; killed anywhere, a rerun continues."""

    data: tyro.conf.Positional[Path]
    """Recordings."""
    model: tyro.conf.Positional[Path]
    """Folder of an inverse model (`invdyn fit`)."""
    out: tyro.conf.Positional[Path]
    """Labelled dataset to create, in the native layout."""
    replay: Flag = False
    """Replay each cause one step in the world, and write the residual."""
    world: str | None = None
    """World id for `--replay`; the one the recordings name when not given."""
    refine_above: float | None = None
    """Correct causes whose one-step residual is larger, by replay (implies `--replay`)."""
    level: float | None = None
    """Another coverage of the intervals than the calibration's own (0.05 to 0.95 in steps of 0.05)."""
    workers: int = 2
    """Processes."""
    batch_size: int = 8192
    """Windows per evaluation of the model."""
    device: str = "cpu"
    """Where the model runs."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.actions.calibrated import load_calibrated
        from invdyn.actions.labeller import label_dataset
        from invdyn.episodes import open_dataset
        from invdyn.worlds import make_world

        data = open_dataset(self.data)
        model, calibration = load_calibrated(self.model)
        world = None
        if self.replay or self.refine_above is not None:
            world = functools.partial(make_world, recorded_world(data, self.world))
        report = label_dataset(
            data,
            model,
            self.out,
            calibration=calibration,
            level=self.level,
            world=world,
            refine_above=self.refine_above,
            workers=self.workers,
            batch_size=self.batch_size,
            device=self.device,
            progress=True,
        )
        return {**dataclasses.asdict(report), "out": str(self.out), "words": str(report)}

    def show(self, result: dict[str, Any]) -> None:
        print(result["words"])

    def exit_code(self, result: Any) -> int:
        return 0
