"""The answer replayed forward: do the torques drive the model along the recording?

Two checks. At every step, forward dynamics (the articulated-body algorithm, another derivation than the one that gave
the torques) must return the accelerations. Over a short horizon the model is integrated from recorded states under the
torques, and must land where the recording does; without them it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.manifold import difference, integrate
from invdyn.bodies.model import BodyModel
from invdyn.forces.torques_evaluation import Evaluation, last
from invdyn.forces.torques_smoothing import SmoothMotion

__all__ = ["ForwardReplay", "replay_forward"]

SUBSTEPS = 4
STARTS = 64
LOST = 1e3
"""rad or m: motions that went further than that are taken to be there."""


@dataclass(frozen=True)
class ForwardReplay:
    """How well torques bring the motion back.

    Attributes:
        acceleration_error: [T] greatest |a_forward - a| over the numbers, divided by the greatest |a| of the recording,
            or by gravity (m/s^2) where that is greater: a body at rest has no accelerations to compare with.
        horizon: s. starts: how many states were integrated from.
        landing: [nv] RMS distance from the smoothed motion at the end of the horizon, rad or m (body axes of roots).
        passive: [nv] the same without torques: what they are worth.
        travelled: [nv] RMS way of the motion itself over the horizon, rad or m.
    """

    acceleration_error: Float[np.ndarray, " time"]
    horizon: float
    starts: int
    landing: Float[np.ndarray, " nv"]
    passive: Float[np.ndarray, " nv"]
    travelled: Float[np.ndarray, " nv"]


def replay_forward(
    evaluation: Evaluation, motion: SmoothMotion, tau: Float[np.ndarray, "time nv"], horizon: float = 0.1
) -> ForwardReplay:
    """Replay generalised forces from the smoothed states.

    Args:
        tau: [T, nv] as `Evaluation.forces` gave them (what joints' own springs and dampers do included).
        horizon: s, at most the length of the recording; interpolated forces and loads act open loop.
    """
    model, dynamics, time = evaluation.model, evaluation.dynamics, motion.time
    wrenches = evaluation.wrenches(motion.q)
    pushed = None if wrenches is None else last(wrenches)
    back = dynamics.aba(last(motion.q), last(motion.v), last(tau), wrenches=pushed).numpy().T
    scale = max(float(np.abs(motion.a).max()), float(np.linalg.norm(model.gravity))) or 1.0
    error = np.abs(back - motion.a).max(1) / scale
    span = min(horizon, float(time[-1] - time[0]))
    ends = np.searchsorted(time, time + span * (1 - 1e-9))
    able = np.flatnonzero(ends < len(time))
    starts = able[np.unique(np.linspace(0, len(able) - 1, min(STARTS, len(able))).astype(int))]
    stops = ends[starts]
    landing, passive = (
        _rms(_landed(model, dynamics, motion, torque, pushed, starts, stops)) for torque in (last(tau), last(0 * tau))
    )
    travelled = difference(model, last(motion.q[starts]), last(motion.q[stops])).numpy()
    return ForwardReplay(error, span, len(starts), landing, passive, _rms(travelled))


def _rms(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt((np.clip(np.nan_to_num(x, nan=LOST), -LOST, LOST) ** 2).mean(1)))


def _landed(
    model: BodyModel,
    dynamics: Dynamics,
    motion: SmoothMotion,
    tau: Tensor,
    wrenches: Tensor | None,
    starts: np.ndarray,
    stops: np.ndarray,
) -> np.ndarray:
    """[nv, starts] where open-loop integration ends, seen from the recording: midpoint rule, four steps a sample."""
    time = motion.time
    q, v = last(motion.q[starts]), last(motion.v[starts])
    steps = SUBSTEPS * int((stops - starts).max())
    h = torch.from_numpy((time[stops] - time[starts]) / steps)
    for n in range(steps):
        begin = time[starts] + n * h.numpy()
        first = _accelerated(dynamics, motion, tau, wrenches, q, v, begin)
        q_mid, v_mid = integrate(model, q, h / 2 * v), v + h / 2 * first
        middle = _accelerated(dynamics, motion, tau, wrenches, q_mid, v_mid, begin + h.numpy() / 2)
        q, v = integrate(model, q, h * v_mid), v + h * middle
    return np.asarray(difference(model, last(motion.q[stops]), q).numpy())


def _accelerated(
    dynamics: Dynamics,
    motion: SmoothMotion,
    tau: Tensor,
    wrenches: Tensor | None,
    q: Tensor,
    v: Tensor,
    at: np.ndarray,
) -> Tensor:
    """Forward dynamics under forces and loads interpolated in time."""
    left = np.clip(np.searchsorted(motion.time, at, side="right") - 1, 0, len(motion.time) - 2)
    share = torch.from_numpy((at - motion.time[left]) / (motion.time[left + 1] - motion.time[left]))
    here = tau[:, left] * (1 - share) + tau[:, left + 1] * share
    if wrenches is None:
        return dynamics.aba(q, v, here)
    return dynamics.aba(q, v, here, wrenches=wrenches[:, left] * (1 - share) + wrenches[:, left + 1] * share)
