"""`invdyn data offline WORLD OUT`: random, medium, medium-replay, medium-expert and expert sets of a world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from invdyn.cli.options import Flag, new_path
from invdyn.errors import ConfigError

__all__ = ["Offline"]


@dataclass(frozen=True)
class Offline:
    """Train an agent in a world and record with its checkpoints, as D4RL's sets were made."""

    world: tyro.conf.Positional[str]
    """World id: `pendulum`, `point2d`, `gymnasium/HalfCheetah-v5`, ..."""
    out: tyro.conf.Positional[Path]
    """Dataset to create."""
    kind: Literal["random", "medium", "medium-replay", "medium-expert", "expert"] = "medium-replay"
    """Which set."""
    episodes: int = 100
    """How many."""
    epochs: int = 40
    """Rounds of the agent's training; each leaves a checkpoint."""
    updates: int = 250
    """Updates per round."""
    gather: int = 5
    """Episodes per round."""
    to: Literal["lerobot", "minari"] = "lerobot"
    """Layout: the native one, or Minari."""
    seed: int = 0
    """Of the agent and of the first episode."""
    overwrite: Flag = False
    """Replace an existing dataset."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.decisions.offline_sets import SetConfig, record_set, train_checkpoints
        from invdyn.episodes import write_dataset
        from invdyn.worlds import make_world
        from invdyn.worlds.mixtures import episode_returns

        for name in ("episodes", "epochs", "updates", "gather"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} is {getattr(self, name)}, expected at least 1.")
        new_path(self.out, "path", overwrite=self.overwrite)
        world = make_world(self.world, batch=min(20, max(self.episodes, self.gather)))
        try:
            found: dict[str, Any] = {}
            checkpoints = None
            if self.kind != "random":
                config = SetConfig(epochs=self.epochs, episodes=self.gather, updates=self.updates)
                checkpoints = train_checkpoints(world, config, self.seed)
                found = {
                    "random_return": checkpoints.random,
                    "medium_return": checkpoints.returns[checkpoints.medium],
                    "expert_return": checkpoints.returns[checkpoints.expert],
                    "medium_epoch": checkpoints.medium + 1,
                    "expert_epoch": checkpoints.expert + 1,
                }
            dataset = record_set(self.kind, world, self.episodes, checkpoints=checkpoints, seed=self.seed)
        finally:
            world.close()
        write_dataset(dataset, self.out, format=self.to, overwrite=self.overwrite or self.out.is_dir())
        returns = episode_returns(dataset)
        return {
            "world": self.world,
            "out": str(self.out),
            "kind": self.kind,
            "episodes": self.episodes,
            "frames": dataset.frames,
            "return_mean": float(returns.mean()),
            "seed": self.seed,
            **found,
        }

    def show(self, result: dict[str, Any]) -> None:
        print(
            f"{result['out']}: {result['kind']} of {result['world']}, {result['episodes']} episodes, "
            f"{result['frames']} frames, mean return {result['return_mean']:.4g}"
        )
        if "expert_return" in result:
            parts = [
                f"{name} {result[f'{name}_return']:.4g} (epoch {result[f'{name}_epoch']})"
                for name in ("medium", "expert")
            ]
            print(f"agent: random {result['random_return']:.4g}, {', '.join(parts)}")

    def exit_code(self, result: Any) -> int:
        return 0
