"""Recordings whose numbers are named otherwise than the model's positions: whole bodies, and states of simulators.

Motion capture (DeepMimic, dm_control) keeps `observation.root.position` (m), `observation.root.rotation` (quaternion
x y z w) and `observation.state`, whose numbers are named after joints (`knee`, `hip.x ... hip.w`), or not at all and
stand in the model's order. Simulators' states (robosuite) name what MuJoCo has: `<joint>.pos`, and of free joints
`<joint>.x .. .z` and `<joint>.qw ..`, in rad and m.
"""

from __future__ import annotations

import numpy as np

from invdyn.bodies.model import BodyModel
from invdyn.episodes.episode import Episode
from invdyn.errors import SignalError
from invdyn.forces.torques_columns import QUATERNION, Columns, position_kinds, position_names

__all__ = ["body_columns", "simulator_columns"]

POSITION, ROTATION, STATE = "observation.root.position", "observation.root.rotation", "observation.state"
FREE = 7
"""Position numbers of a free joint."""


def body_columns(episode: Episode, origin: str, model: BodyModel) -> Columns | None:
    """Columns named after the model's position numbers; None for recordings of another kind, or a model without root.

    Raises:
        SignalError: joints without names, in another number than the model has.
    """
    if not all(name in episode for name in (POSITION, ROTATION, STATE)):
        return None
    joint = model.bodies[0].joint if model.bodies else None
    if joint is None or joint.kind != "free" or joint.q != 0:
        return None
    names, kinds = position_names(model), position_kinds(model)
    told = episode.schema[STATE]
    if told.names is None:
        if told.size != model.nq - FREE:
            raise SignalError(
                f"{origin}: {told.size} numbers of joints without names; model {model.name!r} has "
                f"{model.nq - FREE} beside its root. Pass the model that goes with the recording."
            )
        joints = list(names[FREE:])
    else:
        joints = [_quaternion(name, names) for name in told.names]
    units = dict(zip(names, ({"angle": "rad", "length": "m", "quaternion": ""}[k] for k in kinds)))
    labels = [*names[:FREE], *joints]
    values = []
    for signal in (POSITION, ROTATION, STATE):
        here = episode[signal]
        numbers = np.asarray(here.values, float).reshape(len(here), -1)
        values.append(np.where(here.mask[:, None], numbers, np.nan))
    told_units = tuple(units.get(name, told.unit) for name in labels)
    return Columns(tuple(labels), episode.timestamp, np.hstack(values), told_units, told_units, origin)


def simulator_columns(episode: Episode, origin: str, model: BodyModel) -> Columns | None:
    """Columns of a simulator's state, named after the model's position numbers; None where it lacks one of them."""
    told = episode.schema[STATE] if STATE in episode else None
    if told is None or told.names is None:
        return None
    units = {u.strip() for u in told.unit.split(",")}
    found = []
    for name, kind in zip(position_names(model), position_kinds(model)):
        joint, _, part = name.rpartition(".")
        others = [f"{name}.pos", f"{joint}.{part.removeprefix('t')}" if kind == "length" else name]
        there = [k for k in others if k in told.names]
        if not there or {"angle": "rad", "length": "m", "quaternion": told.unit}[kind] not in {*units, told.unit}:
            return None
        found.append((name, told.names.index(there[0])))
    here = episode[STATE]
    values = np.where(here.mask[:, None], np.asarray(here.values, float)[:, [k for _, k in found]], np.nan)
    count = len(found)
    return Columns(tuple(n for n, _ in found), episode.timestamp, values, ("rad",) * count, ("m",) * count, origin)


def _quaternion(name: str, known: tuple[str, ...]) -> str:
    """`hip.x` as `hip.qx`, where the model calls it that."""
    joint, _, part = name.rpartition(".")
    other = f"{joint}.q{part}"
    return other if f"q{part}" in QUATERNION and other in known else name
