"""The nonlinear numbers of friction, chosen by the torque error of blocks left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from invdyn.bodies.model import BodyModel
from invdyn.forces.identification.crossvalidation import choose
from invdyn.forces.identification.equations import Regressor, equations_of
from invdyn.forces.identification.friction import Friction
from invdyn.forces.identification.least_squares import fit_least_squares
from invdyn.forces.identification.recordings import Recording
from invdyn.forces.identification.settings import IdentifySettings

__all__ = ["choose_friction"]

WIDTHS = (0.0, 0.02, 0.05, 0.1, 0.2)  # of the smoothed sign, as parts of the joint's RMS velocity; the best is taken
STRIBECK = (0.05, 0.1, 0.2, 0.5)  # the same for the Stribeck velocity


def choose_friction(
    model: BodyModel,
    moving: Sequence[int],
    regressor: Regressor,
    recordings: Sequence[Recording],
    settings: IdentifySettings,
) -> tuple[Friction, dict[str, float]]:
    """The columns, their nonlinear numbers chosen by blocks left out where nobody gave them."""
    speed = np.sqrt(np.mean(np.concatenate([r.qd for r in recordings]) ** 2, axis=0))
    signed = bool({"coulomb", "stribeck"} & set(settings.friction))
    widths: list[Any] = [settings.width] if settings.width is not None else [0.0]
    if signed and settings.width is None:
        widths = [tuple(float(v) for v in part * speed) for part in WIDTHS]
    rises: list[Any] = [settings.stribeck]
    if "stribeck" in settings.friction and settings.stribeck is None:
        rises = [tuple(float(v) for v in part * speed) for part in STRIBECK]
    candidates = [settings.columns(w, s) for w in widths for s in rises]
    if len(candidates) == 1:
        return candidates[0], {}
    made = {f: (lambda f=f: equations_of(model, moving, regressor, recordings, f, settings)) for f in candidates}
    best, scores = choose(made, lambda e: fit_least_squares(e, "ordinary").estimate)
    told = {
        f"sign smoothed over {w:g}, Stribeck {s:g} of the RMS velocity" if len(rises) > 1 else
        f"sign smoothed over {w:g} of the RMS velocity": 0.0
        for w in (WIDTHS if len(widths) > 1 else (0,))
        for s in (STRIBECK if len(rises) > 1 else (0,))
    }  # fmt: skip
    return best, {name: float(np.mean(scores[f])) for name, f in zip(told, candidates)}
