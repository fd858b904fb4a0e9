"""`invdyn train DATA --out POLICY`: a policy on measured and inferred causes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import tyro

from invdyn.cli.options import Flag, claim_run, open_recordings, run_identity, settle_threads, trainer_of
from invdyn.cli.output import note
from invdyn.cli.selection import parse_episodes
from invdyn.decisions import PolicyConfig
from invdyn.training import TrainerConfig

if TYPE_CHECKING:
    from invdyn.decisions.cloning import FittedPolicy
    from invdyn.episodes import Dataset

__all__ = ["Train"]


@dataclass(frozen=True)
class Train:
    """Clone the behaviour of labelled recordings: measured actions, inferred ones, or both, weighted by confidence."""

    resumes: ClassVar[bool] = True

    data: tyro.conf.Positional[Path]
    """Labelled recordings."""
    out: Path
    """Folder for the policy; an interrupted run with the same settings continues."""
    episodes: str = "all"
    """Use only these episodes."""
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    """The policy."""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    """The training."""
    ema: float | None = None
    """Keep the average of the weights with this decay (say 0.999); None keeps the weights themselves."""
    source: Literal["measured", "inferred", "both"] = "both"
    """Which actions to learn from."""
    weighting: Literal["none", "confidence", "residual"] = "confidence"
    """How inferred steps count."""
    holdout: float = 0.1
    """Share of the episodes that decide when to stop."""
    seed: int = 0
    """Of weights and batches."""
    format: str | None = None
    """Format of the recordings, where it is not found by itself: `csv`, `parquet`, `npz`, `minari`, ..."""
    read: tuple[str, ...] = ()
    """Options of the format's reader, e.g. `fps=50 nan=mask`."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.decisions.cloning import choose_inputs
        from invdyn.episodes import label_specs
        from invdyn.training import save_model
        from invdyn.training.config import to_json

        data = open_recordings(self.data, self.format, self.read)
        data = data[parse_episodes(self.episodes, len(data))]
        trainer = trainer_of(self.trainer, self.ema, self.seed)
        inputs = choose_inputs(data, self.policy)
        settle_threads(data.schema, inputs)
        names = [*inputs, self.policy.target]
        columns = label_specs(data.schema[self.policy.target])
        read = [*names, *(c.name for c in columns.values() if c.name in data.schema)]
        asked = {"command": "train", "source": self.source, "weighting": self.weighting, "holdout": self.holdout}
        asked = {**asked, "policy": to_json(self.policy), **run_identity(data, read, trainer)}
        with claim_run(self.out, asked):
            fitted = self._train(data, trainer)
            save_model(fitted.policy, self.out, overwrite=True)
        return {
            "policy": str(self.out),
            "episodes": len(fitted.episodes),
            "measured_steps": fitted.measured,
            "inferred_steps": fitted.inferred,
            "updates": fitted.training.steps,
            "held_out_loss": fitted.training.best_value,
            "seconds": fitted.training.seconds,
            "seed": self.seed,
        }

    def _train(self, data: Dataset, trainer: TrainerConfig) -> FittedPolicy:
        from invdyn.decisions import fit_policy

        note(f"training on {len(data)} episodes of {self.data}")
        return fit_policy(
            data,
            self.policy,
            trainer=trainer,
            source=self.source,
            weighting=self.weighting,
            holdout=self.holdout,
            folder=self.out,
            progress=True,
        )

    def show(self, result: dict[str, Any]) -> None:
        print(
            f"{result['policy']}: {result['measured_steps']} measured and {result['inferred_steps']} inferred steps of "
            f"{result['episodes']} episodes, {result['updates']} updates in {result['seconds']:.0f} s"
        )

    def exit_code(self, result: Any) -> int:
        return 0
