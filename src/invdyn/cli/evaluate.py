"""`invdyn evaluate POLICY --world ID`: a policy in a world."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from invdyn.cli.options import Flag, new_path
from invdyn.cli.output import number, table

__all__ = ["Evaluate"]


@dataclass(frozen=True)
class Evaluate:
    """Run a policy in a world from common seeds; success rate with its Wilson interval."""

    policy: tyro.conf.Positional[str]
    """Folder of a trained policy, or `expert` for the world's own."""
    world: str
    """World id: `pendulum`, `push2d`, `metaworld/pick-place-v3`, `adroit/door`, `pusht`, `gymnasium/<id>`."""
    episodes: int = 50
    """How many."""
    seed: int = 10_000
    """Seed of the first episode; the others follow. Away from the seeds of recordings."""
    max_steps: int | None = None
    """Steps after which an episode ends; the world's own limit when not given."""
    workers: int = 2
    """Processes."""
    videos: Path | None = None
    """Folder for videos of the first episodes."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.decisions import ClonedPolicy
        from invdyn.errors import ConfigError, FormatError
        from invdyn.training import load_model
        from invdyn.verify import evaluate
        from invdyn.worlds import make_world

        if self.episodes < 1:
            raise ConfigError(f"--episodes is {self.episodes}, expected at least 1.")
        if self.videos is not None:
            new_path(self.videos, "--videos")
        policy = None if self.policy == "expert" else load_model(Path(self.policy))
        if policy is not None and not isinstance(policy, ClonedPolicy):
            raise FormatError(
                f"{self.policy} holds a {type(policy).__name__}, expected a policy. Train one with `invdyn train`."
            )
        result = evaluate(
            policy,
            functools.partial(make_world, self.world, batch=min(10, self.episodes)),
            range(self.seed, self.seed + self.episodes),
            max_steps=self.max_steps,
            videos=self.videos,
            workers=self.workers,
        )
        return {"policy": self.policy, **result.summary(), "videos": {str(k): str(v) for k, v in result.videos.items()}}

    def show(self, result: dict[str, Any]) -> None:
        low, high = result["success_interval"]
        print(
            f"{result['policy']} in {result['world']}: success {result['success_rate']:.2f} ({low:.2f} to {high:.2f})"
        )
        table(
            [
                {
                    "episodes": result["episodes"],
                    "return": f"{number(result['return_mean'])} ± {number(result['return_std'])}",
                    "steps": result["length_mean"],
                    "ms per action": result["latency_median_ms"],
                }
            ]
        )
        for seed, path in result["videos"].items():
            print(f"  video of seed {seed}: {path}")

    def exit_code(self, result: Any) -> int:
        return 0
