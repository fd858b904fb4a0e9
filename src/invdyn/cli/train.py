"""`invdyn train DATA --out POLICY`: a policy on measured and inferred causes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from invdyn.cli.output import note
from invdyn.cli.selection import parse_episodes
from invdyn.decisions import PolicyConfig
from invdyn.training import TrainerConfig

__all__ = ["Train"]


@dataclass(frozen=True)
class Train:
    """Clone the behaviour of labelled recordings: measured actions, inferred ones, or both, weighted by confidence."""

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
    source: Literal["measured", "inferred", "both"] = "both"
    """Which actions to learn from."""
    weighting: Literal["none", "confidence", "residual"] = "confidence"
    """How inferred steps count."""
    holdout: float = 0.1
    """Share of the episodes that decide when to stop."""
    seed: int = 0
    """Of weights and batches."""
    json: bool = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.decisions import fit_policy
        from invdyn.episodes import open_dataset
        from invdyn.training import save_model

        data = open_dataset(self.data)
        data = data[parse_episodes(self.episodes, len(data))]
        note(f"training on {len(data)} episodes of {self.data}")
        fitted = fit_policy(
            data,
            self.policy,
            trainer=self.trainer,
            source=self.source,
            weighting=self.weighting,
            holdout=self.holdout,
            folder=self.out,
            progress=True,
            seed=self.seed,
        )
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

    def show(self, result: dict[str, Any]) -> None:
        print(
            f"{result['policy']}: {result['measured_steps']} measured and {result['inferred_steps']} inferred steps of "
            f"{result['episodes']} episodes, {result['updates']} updates in {result['seconds']:.0f} s"
        )

    def exit_code(self, result: Any) -> int:
        return 0
