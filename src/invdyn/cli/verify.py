"""`invdyn verify DATA`: replay causes forward, compare labels with the recorded causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from invdyn.cli.options import Flag, new_path
from invdyn.cli.output import component_names, number, table
from invdyn.cli.selection import parse_episodes

__all__ = ["Verify", "recorded_world"]


def recorded_world(dataset: Any, asked: str | None) -> str:
    """The world to replay in: the one asked for, else the one the recordings name."""
    from invdyn.errors import ConfigError

    if asked:
        return asked
    named = {str(r.metadata.get("world", {}).get("id", "")) for r in dataset.records()} - {""}
    if len(named) == 1:
        return named.pop()
    told = f"several worlds ({', '.join(sorted(named))})" if named else "no world"
    raise ConfigError(f"{dataset.source.origin} names {told} to replay in. Pass --world ID.")


@dataclass(frozen=True)
class Verify:
    """Replay the causes of recordings in their world, and compare inferred ones with the truth where it is known."""

    data: tyro.conf.Positional[Path]
    """Recordings with causes, measured or inferred."""
    truth: Path | None = None
    """The same recordings with their recorded causes: scores the inferred ones, replays the true ones as ceiling."""
    world: str | None = None
    """World id; the one the recordings name when not given. `none` skips the replay."""
    target: str = "action"
    """The cause."""
    episodes: str = "all"
    """Which episodes to replay."""
    every: tuple[int, ...] = (1, 10)
    """Beside open loop, replay re-anchored to the recording every so many steps."""
    report: Path | None = None
    """Write an HTML report with the curves here."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.actions.scoring import score_labels
        from invdyn.episodes import open_dataset

        if self.report is not None:
            new_path(self.report, "--report")
        data = open_dataset(self.data)
        chosen = parse_episodes(self.episodes, len(data))
        data = data[chosen]
        truth = None if self.truth is None else open_dataset(self.truth)[chosen]
        result: dict[str, Any] = {"data": str(self.data), "episodes": len(data)}
        sections = []
        if truth is not None:
            score = score_labels(data, truth, self.target)
            result["labels"] = {
                "steps": score.steps,
                "names": component_names(data.schema[self.target]),
                "unit": data.schema[self.target].unit,
                "r2": float(score.r2.mean()),
                "r2_per_dim": score.r2,
                "mae_per_dim": score.mae,
                "coverage": None if score.coverage is None else score.coverage.overall,
                "coverage_per_dim": None if score.coverage is None else score.coverage.per_dim,
            }
        if self.world != "none":
            replays, curves = self._replays(data, truth)
            result["replay"] = replays
            if self.report is not None:
                from invdyn.cli.figures import divergence_figure

                unit = next(iter(curves.values()))[1]
                bands = {name: band for name, (band, _) in curves.items()}
                sections.append(("Replay divergence", divergence_figure(bands, unit, 1 / data.fps)))
        if self.report is not None:
            from invdyn.cli.report import Section, write_report

            pages = [Section("Replay", rows=[{"replay": k, **v} for k, v in result.get("replay", {}).items()])]
            pages += [Section(title, figures=[figure]) for title, figure in sections]
            result["report"] = str(
                write_report(self.report, f"Verification of {self.data}", f"{len(data)} episodes", pages)
            )
        return result

    def _replays(self, data: Any, truth: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from invdyn.errors import WorldError
        from invdyn.verify import replay
        from invdyn.worlds import make_world

        world = make_world(recorded_world(data, self.world), batch=min(8, len(data)))
        runs: list[tuple[str, Sequence[Any], int | None]] = [("open loop", data, None)]
        runs += [(f"every {k}", data, k) for k in self.every]
        if truth is not None:
            runs += [("recorded causes, open loop", truth, None)]
        figures: dict[str, Any] = {}
        curves: dict[str, Any] = {}
        try:
            for name, episodes, every in runs:
                try:
                    outcome = replay(world, list(episodes), self.target, every=every)
                except WorldError as error:
                    if every is None:
                        raise
                    # Recordings that tell only the start state cannot be re-anchored: said, not hidden.
                    figures[name] = {"not possible": str(error)}
                    continue
                told = outcome.summary()
                figures[name] = {
                    **{f"error, median [{told['units'][s] or s}] {s}": v for s, v in told["error_median"].items()},
                    **{f"final error [{told['units'][s] or s}] {s}": v for s, v in told["final_error_median"].items()},
                    "success": told["success"],
                    "replayed": told["replayed"],
                    "transitions": told["transitions"],
                }
                curve = outcome.curve()
                curves[name] = ((curve.q25, curve.median, curve.q75), curve.unit)
        finally:
            world.close()
        return figures, curves

    def show(self, result: dict[str, Any]) -> None:
        if "labels" in result:
            labels = result["labels"]
            print(f"inferred against recorded, {labels['steps']} steps: mean R2 {number(labels['r2'])}")
            columns = zip(
                labels["names"],
                labels["r2_per_dim"],
                labels["mae_per_dim"],
                labels["coverage_per_dim"] if labels["coverage"] is not None else [None] * len(labels["names"]),
                strict=True,
            )
            unit = f" [{labels['unit']}]" if labels["unit"] else ""
            table(
                [
                    {"cause": n, "R2": float(r), f"MAE{unit}": float(m), "coverage": c if c is None else float(c)}
                    for n, r, m, c in columns
                ]
            )
        if "replay" in result:
            table([{"replay": name, **figures} for name, figures in result["replay"].items()])
        if "report" in result:
            print(f"report: {result['report']}")

    def exit_code(self, result: Any) -> int:
        return 0
