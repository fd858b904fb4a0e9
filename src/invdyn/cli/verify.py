"""`invdyn verify DATA`: replay causes forward, compare labels with the recorded causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from invdyn.cli.options import Flag, named_values, new_path, open_foreign
from invdyn.cli.output import component_names, note, number, table
from invdyn.cli.selection import parse_episodes
from invdyn.errors import ConfigError

if TYPE_CHECKING:
    from invdyn.actions.scoring import LabelScore
    from invdyn.cli.report import Section
    from invdyn.episodes import Dataset
    from invdyn.verify import ReplayResult

__all__ = ["Verify", "recorded_world"]


def named_worlds(dataset: Dataset) -> list[str]:
    """Ids of the worlds the recordings name."""
    return sorted({str(r.metadata.get("world", {}).get("id", "")) for r in dataset.records()} - {""})


def recorded_world(dataset: Dataset, asked: str | None) -> str:
    """The world to replay in: the one asked for, else the one the recordings name.

    Raises:
        ConfigError: none asked for, and none or several named.
    """
    named = named_worlds(dataset)
    if asked:
        return asked
    if len(named) == 1:
        return named[0]
    told = f"several worlds ({', '.join(named)})" if named else "no world"
    raise ConfigError(f"{dataset.source.origin} names {told} to replay in. Pass --world ID.")


@dataclass(frozen=True)
class Verify:
    """Replay the causes of recordings in their world, and compare inferred ones with the truth where it is known.

    Of labelled recordings, the episodes with inferred causes are replayed. Recordings that name no world are compared
    with `--truth` only.
    """

    data: tyro.conf.Positional[Path]
    """Recordings with causes, measured or inferred."""
    truth: Path | None = None
    """The same recordings with their recorded causes: scores the inferred ones, replays the true ones as ceiling."""
    world: str | None = None
    """World id; the one the recordings name when not given. `none` skips the replay."""
    make: tuple[str, ...] = ()
    """Options of the world, where the recordings were made in one with options: `frame_skip=1`."""
    target: str = "action"
    """The cause; `world.inverse` for what the world's own exact inverse finds in the recorded states (of MuJoCo's: the
    torques of every simulated step), whatever was recorded as cause."""
    episodes: str = "all"
    """Which episodes."""
    every: tuple[int, ...] = (1, 10)
    """Beside open loop, replay re-anchored to the recording every so many steps."""
    report: Path | None = None
    """Write an HTML report with the curves here."""
    format: str | None = None
    """Format of recordings that are not in the native layout, where it is not found by itself: `csv`, `npz`, ..."""
    read: tuple[str, ...] = ()
    """Options of their reader, e.g. `fps=50 nan=mask`."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.actions.scoring import score_labels

        if self.report is not None:
            new_path(self.report, "--report")
        if any(k < 1 for k in self.every):
            raise ConfigError(f"--every {number(self.every)}: expected 1 or more steps between two anchors.")
        from invdyn.worlds.base import INVERSE

        data = open_foreign(self.data, self.format, self.read)
        if self.target == INVERSE and self.truth is not None:
            raise ConfigError(f"--target {INVERSE} is what the world finds, and no label: leave --truth out.")
        if self.target != INVERSE:
            _ = data.schema[self.target]  # raises for an unknown one
        truth = None if self.truth is None else open_foreign(self.truth, self.format, self.read)
        if truth is not None and len(truth) != len(data):
            raise ConfigError(
                f"{self.data} has {len(data)} episodes and {self.truth} {len(truth)}: not the same recordings. "
                "Compare with those that were labelled."
            )
        chosen = parse_episodes(self.episodes, len(data))
        data, truth = data[chosen], None if truth is None else truth[chosen]
        world = self._world(data)
        score = None if truth is None else score_labels(data, truth, self.target)
        replays = {} if world is None else self._replays(world, data, truth)
        result: dict[str, Any] = {"data": str(self.data), "episodes": len(data)}
        if score is not None:
            result["labels"] = self._told(score, data)
        if replays:
            result["replay"] = {
                name: r if isinstance(r, str) else {k: v for k, v in r.summary().items() if k != "every"}
                for name, r in replays.items()
            }
        if self.report is not None:
            from invdyn.cli.report import write_report

            pages = self._pages(result, data, score, {k: r for k, r in replays.items() if not isinstance(r, str)})
            lead = f"{len(data)} episodes" + (f", compared with {self.truth}." if self.truth else ".")
            result["report"] = str(write_report(self.report, f"Verification of {self.data}", lead, pages))
        return result

    def _world(self, data: Dataset) -> str | None:
        """The world to replay in; None to compare with the truth alone."""
        if self.world == "none" and self.truth is None:
            raise ConfigError("--world none without --truth leaves nothing to verify. Give one of them.")
        if self.world == "none":
            return None
        if self.world is None and self.truth is not None and not named_worlds(data):
            note(f"{self.data} names no world, so nothing is replayed (--world ID replays in one).")
            return None
        return recorded_world(data, self.world)

    def _told(self, score: LabelScore, data: Dataset) -> dict[str, Any]:
        return {
            "steps": score.steps,
            "episodes": score.episodes,
            "names": component_names(data.schema[self.target]),
            "unit": data.schema[self.target].unit,
            "r2": float(score.r2.mean()),
            "r2_per_dim": score.r2,
            "mae_per_dim": score.mae,
            "largest_error_per_dim": np.abs(score.value - score.truth).max(0),
            "coverage": None if score.coverage is None else score.coverage.overall,
            "coverage_per_dim": None if score.coverage is None else score.coverage.per_dim,
        }

    def _inferred(self, data: Dataset) -> list[int]:
        """Numbers of the episodes to replay: those with inferred causes; of unlabelled recordings, those with causes.

        Raises:
            ConfigError: none.
        """
        from invdyn.episodes import label_specs
        from invdyn.episodes.label import MEASURED

        source = label_specs(data.schema[self.target])["source"].name
        present = [i for i, e in enumerate(data) if self.target in e]
        if source in data.schema:
            inferred = [i for i in present if set(data[i][source].values) - {MEASURED, ""}]
            present = inferred or present
        if not present:
            raise ConfigError(f"no chosen episode of {self.data} has {self.target!r} to replay. Label them first.")
        if len(present) < len(data):
            note(f"replaying the {len(present)} of {len(data)} episodes with causes to check")
        return present

    def _replays(self, id_: str, data: Dataset, truth: Dataset | None) -> dict[str, ReplayResult | str]:
        """Kind of replay -> its outcome, or why it is not possible."""
        from invdyn.errors import WorldError
        from invdyn.verify import replay
        from invdyn.worlds import INVERSE, make_world

        exact = self.target == INVERSE
        rows = list(range(len(data))) if exact else self._inferred(data)
        data, truth = data[rows], None if truth is None else truth[rows]
        options = named_values("--make", self.make, "frame_skip=1")
        try:
            world = make_world(id_, batch=min(8, len(data)), **options)
        except TypeError as error:
            if not options:
                raise
            raise ConfigError(f"--make {' '.join(self.make)}: {id_} does not take that ({error}).") from None
        world = world.invertible() if exact else world
        runs: list[tuple[str, Dataset, int | None]] = [("open loop", data, None)]
        runs += [(f"every {k}", data, k) for k in self.every]
        if truth is not None:
            runs += [("recorded causes, open loop", truth, None)]
        found: dict[str, ReplayResult | str] = {}
        try:
            for name, episodes, every in runs:
                try:
                    found[name] = replay(world, list(episodes), self.target, every=every)
                except WorldError as error:
                    if every is None:
                        raise
                    # Recordings that tell only the start state cannot be re-anchored: said, not hidden.
                    found[name] = f"not possible: {error}"
        finally:
            world.close()
        return found

    def _pages(
        self, result: dict[str, Any], data: Dataset, score: LabelScore | None, replays: dict[str, ReplayResult]
    ) -> Sequence[Section]:
        from invdyn.cli.figures import causes_figure, divergence_figure
        from invdyn.cli.report import Section

        pages = []
        if score is not None:
            first = score.episode == score.episode[0]
            seconds = np.arange(first.sum()) / data.fps
            told = result["labels"]
            shown = (score.truth[first], score.value[first], score.lower[first], score.upper[first])
            text = [
                f"{told['steps']} inferred steps of {told['episodes']} episodes; the figure shows the first of them."
            ]
            figure = causes_figure(seconds, *shown, names=told["names"], unit=told["unit"])
            pages += [Section("Inferred against recorded", text, rows=_score_rows(told), figures=[figure])]
        if replays:
            curves = {name: r.curve() for name, r in replays.items()}
            bands = {name: (c.q25, c.median, c.q75) for name, c in curves.items()}
            figure = divergence_figure(bands, next(iter(curves.values())).unit, 1 / data.fps)
            pages += [Section("Replay divergence", rows=_replay_rows(result["replay"]), figures=[figure])]
        return pages

    def show(self, result: dict[str, Any]) -> None:
        if "labels" in result:
            labels = result["labels"]
            print(f"inferred against recorded, {labels['steps']} steps: mean R2 {labels['r2']:.4f}")
            table(_score_rows(labels))
        if "replay" in result:
            table(_replay_rows(result["replay"]))
        if "report" in result:
            print(f"report: {result['report']}")

    def exit_code(self, result: Any) -> int:
        return 0


def _score_rows(labels: dict[str, Any]) -> list[dict[str, Any]]:
    unit = f" [{labels['unit']}]" if labels["unit"] else ""
    count = len(labels["names"])
    covered = [None] * count if labels["coverage"] is None else [float(c) for c in labels["coverage_per_dim"]]
    return [
        {
            "cause": labels["names"][i],
            "R2": f"{float(labels['r2_per_dim'][i]):.4f}",
            f"mean error{unit}": float(labels["mae_per_dim"][i]),
            f"largest error{unit}": float(labels["largest_error_per_dim"][i]),
            "coverage": covered[i],
        }
        for i in range(count)
    ]


def _replay_rows(replays: dict[str, Any]) -> list[dict[str, Any]]:
    """A row per kind of replay and signal."""
    rows = []
    for name, told in replays.items():
        if isinstance(told, str):
            rows.append({"replay": name, "signal": told})
            continue
        for signal, unit in told["units"].items():
            rows.append(
                {
                    "replay": name,
                    "signal": f"{signal} [{unit}]" if unit else signal,
                    "median error": told["error_median"][signal],
                    "final error": told["final_error_median"][signal],
                    "success": told["success"],
                    "steps replayed": f"{told['replayed']} of {told['transitions']}",
                }
            )
    return rows
