"""Between MuJoCo's states and ours: quaternions w x y z against x y z w, free joints in world axes against body axes.

MuJoCo's qvel of a free joint is the linear velocity of the body's origin in world axes and the angular velocity in the
body's axes; ours has both in the body's axes. With R the body's rotation and w its angular velocity
v = R^T v_world, a = R^T a_world - w x v, f = R^T f_world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from invdyn.bodies.model import BodyModel
from invdyn.errors import SignalError

__all__ = ["Motion", "forces_from_mujoco", "forces_to_mujoco", "from_mujoco", "to_mujoco"]

SCALAR_LAST, SCALAR_FIRST = [1, 2, 3, 0], [3, 0, 1, 2]


@dataclass(frozen=True)
class Motion:
    """Positions, velocities and their rates over time, in one convention.

    Args:
        q: [time, nq]. v: [time, nv]; None if not given. a: [time, nv] time derivative of v; None if not given.
    """

    q: Float64[np.ndarray, "time nq"]
    v: Float64[np.ndarray, "time nv"] | None = None
    a: Float64[np.ndarray, "time nv"] | None = None


def from_mujoco(
    model: BodyModel,
    qpos: Float64[np.ndarray, "time nq"],
    qvel: Float64[np.ndarray, "time nv"] | None = None,
    qacc: Float64[np.ndarray, "time nv"] | None = None,
) -> Motion:
    """A motion in our convention.

    Args:
        model: read by `read_mjcf` from the model that moved.
        qpos, qvel, qacc: as MuJoCo has them; qacc needs qvel.

    Raises:
        SignalError: another number of columns than the model's, or qacc without qvel.
    """
    _check(model, qpos, qvel, qacc)
    q = qpos.copy()
    v, a = (None if x is None else x.copy() for x in (qvel, qacc))
    for start in _quaternions(model):
        q[:, start : start + 4] = qpos[:, start : start + 4][:, SCALAR_LAST]
    for iq, iv in _free(model):
        back = _rotations(q[:, iq + 3 : iq + 7]).transpose(0, 2, 1)
        if v is not None:
            v[:, iv : iv + 3] = _turned(back, v[:, iv : iv + 3])
        if v is not None and a is not None:
            whirl = np.cross(v[:, iv + 3 : iv + 6], v[:, iv : iv + 3])
            a[:, iv : iv + 3] = _turned(back, a[:, iv : iv + 3]) - whirl
    return Motion(q, v, a)


def to_mujoco(
    model: BodyModel,
    q: Float64[np.ndarray, "time nq"],
    v: Float64[np.ndarray, "time nv"] | None = None,
    a: Float64[np.ndarray, "time nv"] | None = None,
) -> Motion:
    """The inverse of `from_mujoco`."""
    _check(model, q, v, a)
    qpos = q.copy()
    qvel, qacc = (None if x is None else x.copy() for x in (v, a))
    for start in _quaternions(model):
        qpos[:, start : start + 4] = q[:, start : start + 4][:, SCALAR_FIRST]
    for iq, iv in _free(model):
        turn = _rotations(q[:, iq + 3 : iq + 7])
        if v is not None and qvel is not None:
            qvel[:, iv : iv + 3] = _turned(turn, v[:, iv : iv + 3])
            if a is not None and qacc is not None:
                whirl = np.cross(v[:, iv + 3 : iv + 6], v[:, iv : iv + 3])
                qacc[:, iv : iv + 3] = _turned(turn, a[:, iv : iv + 3] + whirl)
    return Motion(qpos, qvel, qacc)


def forces_from_mujoco(
    model: BodyModel, qpos: Float64[np.ndarray, "time nq"], qfrc: Float64[np.ndarray, "time nv"]
) -> Float64[np.ndarray, "time nv"]:
    """Generalised forces in our convention: those of free joints along the body's axes."""
    _check(model, qpos, qfrc, None)
    tau = qfrc.copy()
    for iq, iv in _free(model):
        back = _rotations(qpos[:, iq + 3 : iq + 7][:, SCALAR_LAST]).transpose(0, 2, 1)
        tau[:, iv : iv + 3] = _turned(back, qfrc[:, iv : iv + 3])
    return tau


def forces_to_mujoco(
    model: BodyModel, q: Float64[np.ndarray, "time nq"], tau: Float64[np.ndarray, "time nv"]
) -> Float64[np.ndarray, "time nv"]:
    """The inverse of `forces_from_mujoco`, q in our convention."""
    _check(model, q, tau, None)
    qfrc = tau.copy()
    for iq, iv in _free(model):
        qfrc[:, iv : iv + 3] = _turned(_rotations(q[:, iq + 3 : iq + 7]), tau[:, iv : iv + 3])
    return qfrc


def _check(model: BodyModel, q: np.ndarray, v: np.ndarray | None, a: np.ndarray | None) -> None:
    columns = (q.shape[1], *(model.nv if x is None else x.shape[1] for x in (v, a)))
    if columns != (model.nq, model.nv, model.nv):
        raise SignalError(
            f"states have {columns[0]} positions, {columns[1]} velocities and {columns[2]} accelerations; expected "
            f"{model.nq}, {model.nv} and {model.nv} as model {model.name!r} has. Pass the model that was recorded."
        )
    if a is not None and v is None:
        raise SignalError("accelerations were given without velocities, which their change of axes needs. Pass both.")


def _quaternions(model: BodyModel) -> list[int]:
    """First position numbers of all quaternions."""
    offset = {"free": 3, "spherical": 0}
    return [b.joint.q + offset[b.joint.kind] for b in model.bodies if b.joint.kind in offset]


def _free(model: BodyModel) -> list[tuple[int, int]]:
    """First position and velocity numbers of all free joints."""
    return [(b.joint.q, b.joint.v) for b in model.bodies if b.joint.kind == "free"]


def _turned(rotations: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.einsum("tij,tj->ti", rotations, x)


def _rotations(quaternions: np.ndarray) -> np.ndarray:
    """[time, 3, 3] of quaternions x y z w."""
    x, y, z, w = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.asarray(rows).transpose(2, 0, 1)
