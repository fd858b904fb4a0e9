"""`invdyn label DATA MODEL OUT`: infer the missing causes and write a labelled dataset."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import tyro

from invdyn.cli.options import Flag, open_recordings
from invdyn.cli.output import note
from invdyn.cli.verify import recorded_world
from invdyn.errors import ConfigError
from invdyn.verify.correction import RefineConfig

if TYPE_CHECKING:
    from invdyn.actions import InverseModel
    from invdyn.episodes import Dataset
    from invdyn.verify import Calibration

__all__ = ["Label"]

CLOSED_FORM = "closed-form"
"""In place of a model: the exact inverse of the world."""


@dataclass(frozen=True)
class Label:
    """Infer the causes that were not recorded. Measured values stay bit for bit; killed anywhere, a rerun continues."""

    resumes: ClassVar[bool] = True

    data: tyro.conf.Positional[Path]
    """Recordings."""
    model: tyro.conf.Positional[Path]
    """Folder of an inverse model (`invdyn fit`), or `closed-form` for the exact inverse of a world that has one."""
    out: tyro.conf.Positional[Path]
    """Labelled dataset to create, in the native layout."""
    replay: Flag = False
    """Replay each cause one step in the world, and write the residual."""
    world: str | None = None
    """World id for `--replay` and `closed-form`; the one the recordings name when not given."""
    refine_above: float | None = None
    """Correct causes whose one-step residual is larger, by replay (implies `--replay`). In one-step scales: 1 is as far
    as the state usually moves in a step."""
    refinement: RefineConfig = field(default_factory=RefineConfig)
    """How they are corrected."""
    level: float | None = None
    """Another coverage of the intervals than the calibration's own (0.05 to 0.95 in steps of 0.05)."""
    workers: int = 2
    """Processes."""
    batch_size: int = 8192
    """Windows per evaluation of the model."""
    device: str = "cpu"
    """Where the model runs."""
    format: str | None = None
    """Format of the recordings, where it is not found by itself: `csv`, `parquet`, `npz`, `minari`, ..."""
    read: tuple[str, ...] = ()
    """Options of the format's reader, e.g. `fps=50 nan=mask`."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.actions.labeller import label_dataset
        from invdyn.worlds import make_world

        exact = str(self.model) == CLOSED_FORM
        replayed = self.replay or self.refine_above is not None
        if self.world is not None and not (replayed or exact):
            raise ConfigError(f"--world {self.world} has nothing to do. Add --replay or --refine-above LEVEL.")
        data = open_recordings(self.data, self.format, self.read)
        world = recorded_world(data, self.world) if replayed or exact else ""
        model, calibration = self._exact(world) if exact else self._fitted()
        report = label_dataset(
            data,
            model,
            self.out,
            calibration=calibration,
            refined_calibration=self._refined(data, world, model, calibration),
            level=self.level,
            world=functools.partial(make_world, world) if replayed else None,
            refine_above=self.refine_above,
            refinement=self.refinement,
            workers=self.workers,
            batch_size=self.batch_size,
            device=self.device,
            progress=True,
        )
        return {**dataclasses.asdict(report), "out": str(self.out)}

    def _exact(self, world: str) -> tuple[InverseModel, None]:
        from invdyn.actions import ClosedFormInverse
        from invdyn.worlds import World, make_world

        if self.level is not None:
            raise ConfigError(f"--level {self.level:g}: the closed form has no intervals. Leave it out.")
        made = make_world(world)
        if type(made).inverse is World.inverse:
            raise ConfigError(f"{world} has no closed-form inverse. Give the folder of a model that `invdyn fit` made.")
        return ClosedFormInverse(made), None

    def _fitted(self) -> tuple[InverseModel, Calibration | None]:
        from invdyn.actions.calibrated import load_calibrated

        model, calibration = load_calibrated(self.model)
        if self.level is not None:
            if calibration is None:
                raise ConfigError(f"--level {self.level:g}: {self.model} was saved without calibration. Leave it out.")
            calibration.quantile(self.level)  # raises for one it has not, before anything is written
        return model, calibration

    def _refined(
        self, data: Dataset, world: str, model: InverseModel, calibration: Calibration | None
    ) -> Calibration | None:
        """Intervals of corrected causes, from the same correction of what the fold models said on episodes left out."""
        from invdyn.actions.calibrated import load_left_out
        from invdyn.verify import OneStep, calibrate_refined
        from invdyn.worlds import make_world

        if self.refine_above is None or calibration is None:
            return None
        crossed = load_left_out(self.model, model, data)
        if crossed is None:
            note(f"{self.model} was fitted on other recordings: corrected causes keep the model's intervals, widened.")
            return None
        made = make_world(world)
        try:
            tool = OneStep.over(made, data)
            return calibrate_refined(
                crossed, data, tool, threshold=self.refine_above, config=self.refinement, level=calibration.level
            )
        finally:
            made.close()

    def show(self, result: dict[str, Any]) -> None:
        if result["already_done"]:
            print(f"{result['out']}: complete already, nothing was done")
            return
        refined = f" ({result['refined']} of them corrected by replay)" if self.refine_above is not None else ""
        resumed = f"; {result['resumed']} episodes were done by a former run" if result["resumed"] else ""
        print(
            f"{result['out']}: {result['episodes']} episodes, {result['inferred']} steps inferred{refined}, "
            f"{result['measured']} measured ones kept, {result['unanswered']} without an answer, "
            f"{result['seconds']:.1f} s{resumed}"
        )

    def exit_code(self, result: Any) -> int:
        return 0
