"""A study of two claims, one of which fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from invdyn.studies import Claim, Context, Outcome, Study, Threshold
from invdyn.studies.drawing import panels


@dataclass(frozen=True)
class ToyConfig:
    factor: float = 2.0


class Toy(Study[ToyConfig]):
    """Measures twice the seed."""

    slug = "vpt"
    scales = {"smoke": ToyConfig()}  # noqa: RUF012
    claims = (
        Claim("1", "twice the seed is at most 20", "x", Threshold("<=", 20.0), smoke=True),
        Claim("2", "twice the seed is at most 0", "x", Threshold("<=", 0.0), smoke=True, reason="seeds are positive"),
    )

    def run(self, config: ToyConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        return {s: Outcome(context.once(str(s), lambda s=s: {"x": config.factor * s})) for s in seeds}

    def figure(self, config: ToyConfig, outcomes: Mapping[int, Outcome]) -> Any:
        return panels(2.0, 2.0)[0]


STUDY = Toy()
