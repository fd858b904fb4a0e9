"""`invdyn inspect PATH`: what is in these recordings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from invdyn.cli.options import Flag, open_recordings
from invdyn.cli.output import number, table

__all__ = ["Inspect"]


@dataclass(frozen=True)
class Inspect:
    """What is in these recordings: signals, units, lengths, tasks, labels. Reads only what it tells."""

    path: tyro.conf.Positional[Path]
    """Recordings in any supported format."""
    format: str | None = None
    """Format, where it is not found by itself: `csv`, `parquet`, `npz`, `lerobot`, `minari`, ..."""
    read: tuple[str, ...] = ()
    """Options of the format's reader, e.g. `fps=50 nan=mask`."""
    no_stats: Flag = False
    """Leave out mean, spread and range of the numeric signals, for which all data but the pictures are read."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.episodes import statistics
        from invdyn.episodes.formats import detect_format

        data = open_recordings(self.path, self.format, self.read)
        numeric = [s.name for s in data.schema.signals if s.kind != "image" and not s.is_text]
        found = {} if self.no_stats else statistics(data, numeric)
        signals = []
        for spec in data.schema.signals:
            row: dict[str, Any] = {
                "signal": spec.name,
                "kind": spec.kind,
                "shape": list(spec.shape),
                "dtype": spec.dtype,
                "unit": spec.unit or None,
                "encoding": spec.encoding,
            }
            if spec.name in found:
                s = found[spec.name]
                row |= {
                    "present": s.count / max(data.frames, 1),
                    "mean": s.mean,
                    "std": s.std,
                    "min": s.min,
                    "max": s.max,
                }
            signals.append(row)
        records = data.records()
        sources: Counter[str] = Counter()
        for spec in data.schema.signals:
            if spec.name.startswith("label.") and spec.name.endswith(".source"):
                column = data.column(spec.name)
                sources.update(str(v) or "none" for v in column.values)
        return {
            "path": str(self.path),
            "format": self.format or detect_format(self.path),
            "episodes": len(data),
            "frames": data.frames,
            "fps": data.fps,
            "seconds": data.frames / data.fps,
            "shortest": int(data.lengths.min()),
            "longest": int(data.lengths.max()),
            "tasks": dict(Counter(r.task for r in records).most_common(20)),
            "labels": dict(sources),
            "signals": signals,
        }

    def show(self, result: dict[str, Any]) -> None:
        print(
            f"{result['path']} ({result['format']}): {result['episodes']} episodes, {result['frames']} frames, "
            f"{result['fps']:g} fps, {result['seconds']:.0f} s; {result['shortest']} to {result['longest']} steps"
        )
        for task, count in result["tasks"].items():
            if task:
                print(f"  task {task!r}: {count} episodes")
        for source, count in result["labels"].items():
            print(f"  labels {source}: {count} steps")
        columns = ["signal", "kind", "shape", "dtype", "unit", "present", "mean", "std", "min", "max"]

        def short(row: dict[str, Any]) -> dict[str, Any]:
            def first(value: Any) -> Any:
                flat = value.ravel().tolist() if hasattr(value, "ravel") else value
                if not isinstance(flat, list):
                    return flat
                return number(flat[:3], 3) + (", …" if len(flat) > 3 else "")

            shown = {
                k: first(row[k]) if k in ("mean", "std", "min", "max") else row.get(k) for k in columns if k in row
            }
            return shown | {"shape": "x".join(map(str, row["shape"])) or "1"}

        table([short(r) for r in result["signals"]], [c for c in columns if any(c in r for r in result["signals"])])

    def exit_code(self, result: Any) -> int:
        return 0
