"""What was identified, written down: the model with its new numbers, and all parameters with their covariance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from invdyn.bodies.mjcf_write import mjcf_text
from invdyn.bodies.model import BodyModel, Inertia
from invdyn.bodies.urdf_write import urdf_text
from invdyn.episodes.formats.atomic import appearing
from invdyn.errors import ConfigError
from invdyn.forces.identification.identify import Identified
from invdyn.forces.identification.settings import IdentifySettings

__all__ = ["ENDINGS", "check_model", "check_outputs", "identified_model", "parameters_of", "write_identified"]

ENDINGS = {".urdf": "URDF", ".xml": "MJCF", ".json": "parameters"}
PHYSICAL = ("feasible", "log-cholesky")


def check_outputs(outs: Sequence[Path], settings: IdentifySettings) -> None:
    """Refuse, before anything is computed, outputs that could not be written.

    Raises:
        ConfigError: an ending that is none of `ENDINGS`; a model file of a fit that need not be bodies; rotors in URDF.
    """
    for out in outs:
        kind = ENDINGS.get(out.suffix.lower())
        if kind is None:
            told = ", ".join(f"{e} ({k})" for e, k in ENDINGS.items())
            raise ConfigError(f"--out {out}: expected {told}. Rename it.")
        if kind != "parameters" and settings.method not in PHYSICAL:
            raise ConfigError(
                f"--out {out}: what --method {settings.method} finds need not be bodies that exist, so no model can be "
                f"written. Use --method {' or '.join(PHYSICAL)}, or write the parameters (.json)."
            )
        if kind == "URDF" and "rotor" in settings.friction:
            rest = " ".join(t for t in settings.friction if t != "rotor") or "none"
            raise ConfigError(
                f"--out {out}: URDF has no rotor inertia, which is fitted here. Write MJCF (.xml), or fit without: "
                f"--friction {rest}."
            )


def check_model(model: BodyModel, moving: Sequence[int], outs: Sequence[Path]) -> None:
    """Refuse likewise a model whose joints the file to be written has no words for.

    Args:
        model: as given; every body will have a mass.
        moving: velocity numbers of the coordinates whose losses and rotors are found.
        outs: of `check_outputs`.

    Raises:
        ConfigError: see `urdf_text`, `mjcf_text`.
    """
    solid = Inertia.of(1.0, np.zeros(3), np.eye(3)).parameters
    plain = [
        replace(c, armature=0.0, damping=0.0, friction=0.0) if k in moving else c
        for k, c in enumerate(model.coordinates)
    ]
    likely = replace(model.with_parameters(np.tile(solid, len(model.bodies))), coordinates=tuple(plain))
    for out in outs:
        try:
            _text(likely, out)
        except ConfigError as error:
            raise ConfigError(f"--out {out}: {error}") from None


def _text(model: BodyModel, out: Path) -> str:
    """The model file, empty for parameters."""
    kind = ENDINGS[out.suffix.lower()]
    return "" if kind == "parameters" else urdf_text(model) if kind == "URDF" else mjcf_text(model)


def identified_model(found: Identified) -> BodyModel:
    """The model with the masses, inertias, armature, damping and friction found.

    Coordinates that stood still keep theirs. An offset or a Stribeck rise has no place in a model file.
    """
    estimate = found.estimate
    names = estimate.friction.names
    coordinates = list(found.model.coordinates)
    for k, row in zip(found.moving, estimate.coefficients):
        told = dict(zip(names, (float(v) for v in row)))
        coordinates[k] = replace(
            coordinates[k],
            armature=told.get("rotor", 0.0),
            damping=told.get("viscous", 0.0),
            friction=told.get("coulomb", 0.0),
        )
    return replace(found.model.with_parameters(estimate.inertial), coordinates=tuple(coordinates))


def parameters_of(found: Identified) -> dict[str, Any]:
    """Everything that was found, JSON-able: parameters, base parameters with intervals and covariance, errors."""
    base, estimate, settings = found.base, found.estimate, found.settings
    lower, upper = base.interval(settings.level, "blocks")
    std, scatter = base.std(), base.std("blocks")
    assert base.covariance_blocks is not None  # three blocks or more
    value = base.base.of(estimate.unknowns)
    rows = [
        {
            "parameter": text,
            "value": float(value[i]),
            "least_squares": float(base.value[i]),
            "std": float(scatter[i]),
            "lower": float(lower[i]),
            "upper": float(upper[i]),
            "relative_std": float(scatter[i] / abs(base.value[i])) if base.value[i] else None,
            "std_if_errors_were_independent": float(std[i]),
        }
        for i, text in enumerate(base.base.expressions())
    ]
    return {
        "method": settings.method,
        "level": settings.level,
        "joints": list(estimate.joints),
        "units": list(found.units),
        "bodies": list(estimate.bodies),
        "parameters": estimate.named,
        "consistent": {name: bool(fine) for name, fine in zip(estimate.bodies, found.real)},
        "friction": {
            "terms": list(estimate.friction.names),
            "width": np.broadcast_to(estimate.friction.width, len(estimate.joints)).tolist(),
            "stribeck": None
            if estimate.friction.stribeck is None
            else np.broadcast_to(estimate.friction.stribeck, len(estimate.joints)).tolist(),
            "tried": found.scores,
        },
        "torque_error_std": estimate.sigma.tolist(),
        "rank": base.base.rank,
        "condition": base.base.condition,
        "told_alone": list(base.base.identifiable()),
        "not_told": list(base.base.invisible()),
        "base_parameters": rows,
        "covariance": _rows(base.covariance_blocks),
        "covariance_if_errors_were_independent": _rows(base.covariance),
        "errors": errors_of(found),
        "replay": {
            "horizon": settings.horizon,
            "still": next((_known(r.still) for r in found.replays.values()), None),
            "rmse": {name: _known(r.rmse) for name, r in found.replays.items()},
            "failed": found.failed,
        },
    }


def errors_of(found: Identified) -> list[dict[str, Any]]:
    """Torque error per joint: of blocks left out, of the fitted part and of the part held out, every model beside."""
    rows = []
    for j, (name, unit) in enumerate(zip(found.estimate.joints, found.units)):
        row: dict[str, Any] = {"joint": name, "unit": unit, "blocks left out, nMSE": float(found.cross.mean[j])}
        for part, predictions in (("fitted", found.fitted), ("held out", found.held)):
            for model, p in predictions.items():
                row[f"{model}: {part}, RMS"] = float(p.rmse[j])
                row[f"{model}: {part}, nMSE"] = float(p.nmse[j])
        rows.append(row)
    return rows


def _known(values: Float[np.ndarray, " k"]) -> list[float | None]:
    """None where a replay flew off."""
    return [float(v) if np.isfinite(v) else None for v in values]


def _rows(matrix: Float[np.ndarray, "rank rank"]) -> list[list[float]]:
    return [[float(v) for v in row] for row in matrix]


def write_identified(
    found: Identified, outs: Sequence[Path], metadata: dict[str, Any], *, overwrite: bool = False
) -> None:
    """Write all outputs; what cannot be written is refused before the first one appears.

    Raises:
        ConfigError: see `check_outputs`, `urdf_text`, `mjcf_text`.
        FormatError: an existing path.
    """
    check_outputs(outs, found.settings)
    texts = []
    for out in outs:
        if ENDINGS[out.suffix.lower()] == "parameters":
            texts.append(
                json.dumps({**metadata, **parameters_of(found)}, indent=1, allow_nan=False, default=str) + "\n"
            )
        else:
            texts.append(_text(identified_model(found), out))
    for out, text in zip(outs, texts):
        with appearing(out, overwrite=overwrite) as staged:
            staged.write_text(text, encoding="utf-8")
