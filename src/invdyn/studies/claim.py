"""`Claim`: one falsifiable statement of a study, its threshold as data, and the verdict on measured values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from invdyn.errors import ConfigError

__all__ = ["Claim", "Threshold", "Verdict", "at_least", "at_most"]

Relation = Literal["<=", ">=", "within"]


@dataclass(frozen=True)
class Threshold:
    """The bound a measured value must keep; equality counts as kept, NaN never does.

    >>> Threshold("<=", 1e-8).holds(2e-9), Threshold("within", (0.1, 10.0)).holds(11.0)
    (True, False)
    """

    relation: Relation
    """`<=` or `>=` with one number, `within` with (low, high)."""
    value: float | tuple[float, float]
    """The bound, in the unit of the measured value."""

    def __post_init__(self) -> None:
        if isinstance(self.value, tuple) != (self.relation == "within"):
            raise ConfigError(
                f"threshold {self.relation!r} with {self.value!r}: `within` takes (low, high), the others one number."
            )

    def excess(self, value: float) -> float:
        """How far beyond the bound a value lies (<= 0 inside); NaN is infinitely far."""
        if math.isnan(value):
            return math.inf
        if isinstance(self.value, tuple):
            return max(self.value[0] - value, value - self.value[1])
        return value - self.value if self.relation == "<=" else self.value - value

    def holds(self, value: float) -> bool:
        """Whether the value keeps the bound."""
        return self.excess(value) <= 0

    @property
    def text(self) -> str:
        """For tables: `<= 1e-08`, `in 0.1 .. 10`."""
        if isinstance(self.value, tuple):
            return f"in {self.value[0]:g} .. {self.value[1]:g}"
        return f"{self.relation} {self.value:g}"

    def to_json(self) -> dict[str, Any]:
        """`{"relation": "<=", "value": 1e-08}`."""
        return {"relation": self.relation, "value": list(self.value) if isinstance(self.value, tuple) else self.value}


@dataclass(frozen=True)
class Verdict:
    """What came out: a failed claim keeps its value and, where one is known, the reason."""

    id: str
    statement: str
    threshold: Threshold
    value: float
    passed: bool
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The row of the results file; a value that is not finite has no JSON number and becomes null."""
        row = {
            "id": self.id,
            "statement": self.statement,
            "value": self.value if math.isfinite(self.value) else None,
            "threshold": self.threshold.to_json(),
            "passed": self.passed,
        }
        return row | ({"reason": self.reason} if self.reason else {})


@dataclass(frozen=True)
class Claim:
    """One statement, judged on whatever seeds a run was given.

    `metric` names the number that every seed measured. `over` says how seeds become one value: `worst` (the one
    nearest to failing or furthest beyond), `mean` or `median`.
    """

    id: str
    """Short and stable: the number in the card, with a letter where one line makes several statements."""
    statement: str
    """One sentence that could turn out false."""
    metric: str
    """Name in the metrics of a seed."""
    threshold: Threshold
    """From the card, never moved to fit a result."""
    over: Literal["worst", "mean", "median"] = "worst"
    """How the seeds become one value."""
    smoke: bool = False
    """Judged at scale smoke too (exactness, and that learning starts)."""
    reason: str = ""
    """Why it fails where we know it does; shown with a failed verdict only."""
    needs: str = ""
    """Folder of real data, inside what `--data` names, without which it is skipped; the results say so."""

    def skipped(self, data: Path | None) -> str:
        """Why it cannot be judged with this data folder; empty when it can."""
        if not self.needs or (data is not None and (data / self.needs).is_dir()):
            return ""
        if data is None:
            return f"needs the recordings {self.needs}: pass the folder that holds them as --data DIR"
        return f"no folder {self.needs} in {data.name}"

    def judge(self, metrics: Mapping[int, Mapping[str, Any]]) -> Verdict:
        """The verdict over seeds -> metrics.

        Raises:
            ConfigError: no seeds, or a seed that did not measure the metric: a fault of the study, never a pass.
        """
        if not metrics:
            raise ConfigError(f"claim {self.id}: no seeds to judge on.")
        for seed, measured in metrics.items():
            if not isinstance(measured.get(self.metric), (int, float)):
                raise ConfigError(f"claim {self.id}: seed {seed} measured no number named {self.metric!r}.")
        value = self._value([float(measured[self.metric]) for measured in metrics.values()])
        passed = self.threshold.holds(value)
        return Verdict(self.id, self.statement, self.threshold, value, passed, "" if passed else self.reason)

    def _value(self, values: Sequence[float]) -> float:
        if self.over == "worst":
            return max(values, key=self.threshold.excess)
        if any(math.isnan(v) for v in values):
            return math.nan
        return statistics.fmean(values) if self.over == "mean" else statistics.median(values)


def at_most(id_: str, statement: str, metric: str, bound: float, **more: Any) -> Claim:
    """A claim that the metric does not exceed a bound; `more` as in `Claim`."""
    return Claim(id_, statement, metric, Threshold("<=", bound), **more)


def at_least(id_: str, statement: str, metric: str, bound: float, **more: Any) -> Claim:
    """A claim that the metric does not fall below a bound; `more` as in `Claim`."""
    return Claim(id_, statement, metric, Threshold(">=", bound), **more)
