"""`invdyn label --refinement.*` reaches the correction and the intervals of what was corrected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from invdyn.cli.label import Label
from invdyn.cli.parsing import parse
from invdyn.verify import Calibration, RefineConfig

OPTIONS = ["--refinement.along", "--refinement.method", "gauss-newton", "--refinement.noise", "0.1"]


def test_options_become_the_settings() -> None:
    command = parse(Label, ["data", "model", "out", "--refine-above", "0.01", *OPTIONS], "invdyn label")
    assert command.refinement == RefineConfig(along=True, method="gauss-newton", noise=0.1)
    assert parse(Label, ["data", "model", "out"], "invdyn label").refinement == RefineConfig()


def test_intervals_are_of_causes_corrected_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    import invdyn.actions.calibrated as calibrated
    import invdyn.verify as verify
    import invdyn.worlds as worlds

    asked: dict[str, Any] = {}

    class Closed:
        def close(self) -> None:
            asked["closed"] = True

    def calibrate(*_: Any, **settings: Any) -> None:
        asked.update(settings)

    monkeypatch.setattr(calibrated, "load_left_out", lambda *_: "predictions")
    monkeypatch.setattr(worlds, "make_world", lambda _: Closed())
    monkeypatch.setattr(verify.OneStep, "over", classmethod(lambda *_: "tool"))
    monkeypatch.setattr(verify, "calibrate_refined", calibrate)
    command = parse(Label, ["data", "model", "out", "--refine-above", "0.01", *OPTIONS], "invdyn label")
    made = object.__new__(Calibration)
    object.__setattr__(made, "level", 0.8)
    command._refined(None, "pusht", None, made)
    assert asked == {"threshold": 0.01, "config": command.refinement, "level": 0.8, "closed": True}
    assert Path(command.out) == Path("out")
