"""From recorded motion to torques: smoothed, differentiated, through the dynamics, with intervals and checks.

`recover_torques` joins the steps; each has a file of its own (`torques_*.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import BodyModel
from invdyn.episodes.formats.external_loads import ExternalLoads
from invdyn.episodes.formats.opensim_tables import Table
from invdyn.errors import ConfigError
from invdyn.forces.contacts import ResidualReport, residual_report
from invdyn.forces.torques_columns import Positions
from invdyn.forces.torques_contacts import ContactPoint, FoundContacts, contact_model, find_contact_forces
from invdyn.forces.torques_evaluation import Evaluation, forces_std, passive_forces
from invdyn.forces.torques_loads import WorldLoads, world_loads
from invdyn.forces.torques_replay import ForwardReplay, replay_forward
from invdyn.forces.torques_root import Root, find_root, root_wrench
from invdyn.forces.torques_smoothing import Smoother, SmoothMotion, smooth_positions
from invdyn.forces.torques_sweep import CutoffEffect, sweep_cutoffs, swept
from invdyn.kernels.function import Backend

__all__ = ["CutoffEffect", "TorqueSettings", "Torques", "recover_torques"]

STAGES = {"smoothing": 0.25, "dynamics": 0.28, "intervals": 0.77, "replay": 0.8}
"""Share of the work done at the end of each stage, about, for time left; the rest is the effect of the cut-off."""


@dataclass(frozen=True)
class TorqueSettings:
    """How torques are recovered from motion.

    Args:
        smoother, cutoff: see `smooth_positions`; cutoff in Hz.
        level: coverage of the intervals.
        contacts: points whose ground forces are found; empty for none. ground: m. friction: mu.
        closes: height (m) and speed (m/s) below which a contact closes.
        smoothness: pulls contact forces of neighbouring steps together.
        horizon: s of the forward replay.
        sweep: cut-offs (Hz) whose effect is shown; None takes five about the one used; empty for none.
        span: first and last s wanted; None for the whole recording, all of which is smoothed in any case.
    """

    smoother: Smoother = "rts"
    cutoff: float | None = None
    level: float = 0.9
    contacts: tuple[ContactPoint, ...] = ()
    ground: float = 0.0
    friction: float = 0.8
    closes: tuple[float, float] = (0.03, 0.3)
    smoothness: float = 0.0
    horizon: float = 0.1
    sweep: tuple[float, ...] | None = None
    span: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(f"--level {self.level:g}: expected a share between 0 and 1, for example 0.9.")
        if not self.horizon > 0:
            raise ConfigError(f"--horizon {self.horizon:g} s: expected a positive number, for example 0.1.")
        if self.cutoff is not None and not 0 < self.cutoff < np.inf:
            raise ConfigError(f"--cutoff {self.cutoff:g} Hz: expected a positive number, for example 6.")
        if self.span is not None and not self.span[0] < self.span[1]:
            raise ConfigError(f"--span {self.span[0]:g} {self.span[1]:g}: expected the first s before the last.")
        if not 0 < self.friction < np.inf:
            raise ConfigError(f"--friction {self.friction:g}: expected a positive number, for example 0.8.")
        if not all(0 < bound < np.inf for bound in self.closes):
            raise ConfigError(
                f"--closes {self.closes[0]:g} {self.closes[1]:g}: expected a height (m) and a speed (m/s) above 0."
            )
        if not 0 <= self.smoothness < np.inf:
            raise ConfigError(f"--smoothness {self.smoothness:g}: expected 0 or a positive number.")
        if not np.isfinite(self.ground):
            raise ConfigError(f"--ground {self.ground:g}: expected the height of the floor in m.")
        if self.sweep is not None and (len(self.sweep) == 1 or any(not c > 0 for c in self.sweep)):
            raise ConfigError(f"--sweep {list(self.sweep)}: expected two or more positive cut-offs in Hz, or none.")


@dataclass(frozen=True)
class Torques:
    """Generalised forces of a recorded motion.

    Attributes:
        model: with a frame per contact point. motion: as smoothed.
        torque: [T, nv] N m or N, what motors or muscles give: the motion's, less what loads, contacts and the joints'
            own springs, dampers and friction do. The root's six rows are its residual, in generalised coordinates.
        std: [T, nv] from the noise of the positions; None where the smoother knows no noise, or contacts were found.
        lower, upper: [T, nv] torque -+ z std at `level`; NaN without std.
        loads: measured loads; None without. contacts: found ones; None without.
        residual: force and moment at the root, world axes [T, 6]; None for a model that stands on the ground.
        residual_report: the same as the field reports it.
        replay: the check forward.
        sweep: effect of the cut-off; None where not asked.
        level: of the intervals.
    """

    model: BodyModel
    motion: SmoothMotion
    torque: Float[np.ndarray, "time nv"]
    std: Float[np.ndarray, "time nv"] | None
    lower: Float[np.ndarray, "time nv"]
    upper: Float[np.ndarray, "time nv"]
    loads: WorldLoads | None
    contacts: FoundContacts | None
    residual: Float[np.ndarray, "time 6"] | None
    residual_report: ResidualReport | None
    replay: ForwardReplay
    sweep: CutoffEffect | None
    level: float

    @property
    def names(self) -> tuple[str, ...]:
        """One per coordinate."""
        return tuple(c.name for c in self.model.coordinates)

    @property
    def units(self) -> tuple[str, ...]:
        """N m or N per coordinate."""
        return tuple("N m" if c.rotational else "N" for c in self.model.coordinates)

    def overloaded(self) -> Float[np.ndarray, " steps"]:
        """Times (s) at which the residual force exceeds half the body weight; none for a model without free root."""
        if self.residual is None:
            return np.zeros(0)
        weight = self.model.mass * float(np.linalg.norm(self.model.gravity))
        return np.asarray(self.motion.time[np.linalg.norm(self.residual[:, :3], axis=1) > weight / 2])


def recover_torques(
    model: BodyModel,
    positions: Positions,
    settings: TorqueSettings | None = None,
    loads: tuple[ExternalLoads, Table] | None = None,
    *,
    dynamics: Dynamics | None = None,
    backend: Backend = "auto",
    tell: Callable[[str, float], None] = lambda stage, share: None,
) -> Torques:
    """Torques behind a recorded motion.

    Args:
        model: of the bodies.
        positions: recorded; see `match_positions`.
        settings: how.
        loads: measured external loads and their table.
        dynamics: of the model, where several recordings share it (only without contacts).
        tell: called with the name of what comes next and the share of the work that is done.

    Raises:
        ConfigError: contacts beside measured loads, or for a model without a free root.
        SignalError, UnknownNameError: as the stages.
    """
    settings = settings or TorqueSettings()
    root = find_root(model)
    cutoffs = swept(positions, settings.smoother, settings.cutoff, settings.sweep)
    rows = _wanted(positions, settings.span)
    if settings.contacts:
        if loads is not None:
            raise ConfigError("--contacts finds the forces that --grf measured. Give one of them.")
        if root is None:
            raise ConfigError(
                f"--contacts: model {model.name!r} is fixed to the world, so every contact force is possible. "
                "Pass --root free, or measured forces with --grf."
            )
        model, dynamics = contact_model(model, settings.contacts), None
    dynamics = dynamics or Dynamics(model, backend)
    tell("smoothing", 0.0)
    end = STAGES["smoothing"]
    motion = smooth_positions(
        model, positions, settings.smoother, settings.cutoff, tell=lambda share: tell("smoothing", share * end)
    ).part(rows)
    tell("dynamics", STAGES["smoothing"])
    measured = None if loads is None else world_loads(model, dynamics, motion.time, motion.q, *loads)
    evaluation = Evaluation(model, dynamics, measured)
    contacts = None
    if settings.contacts and root is not None:
        contacts = _contacts(evaluation, motion, settings, root)
        evaluation = Evaluation(model, dynamics, contacts.loads)
    bare = evaluation.forces(motion.q, motion.v, motion.a)
    torque = bare - passive_forces(model, motion)
    std = None
    if motion.covariance is not None and contacts is None:
        first, last = STAGES["dynamics"], STAGES["intervals"]
        tell("intervals", first)
        std = forces_std(evaluation, motion, lambda share: tell("intervals", first + share * (last - first)))
    half = np.full(torque.shape, np.nan) if std is None else NormalDist().inv_cdf((1 + settings.level) / 2) * std
    residual = report = None
    if root is not None:
        residual = root_wrench(model, dynamics, root, motion.q, bare)
        weight = model.mass * float(np.linalg.norm(model.gravity))
        report = residual_report(residual, weight) if weight > 0 else None
    tell("replay", STAGES["intervals"])
    replay = replay_forward(evaluation, motion, bare, settings.horizon)
    sweep = None
    if cutoffs:
        done = STAGES["replay"]
        sweep = sweep_cutoffs(
            evaluation,
            positions,
            settings.smoother,
            cutoffs,
            rows,
            motion,
            torque,
            lambda share: tell("cut-offs", done + (1 - done) * share),
        )
    return Torques(
        model,
        motion,
        torque,
        std,
        torque - half,
        torque + half,
        measured,
        contacts,
        residual,
        report,
        replay,
        sweep,
        settings.level,
    )


def _contacts(evaluation: Evaluation, motion: SmoothMotion, settings: TorqueSettings, root: Root) -> FoundContacts:
    return find_contact_forces(
        evaluation,
        motion,
        settings.contacts,
        root,
        ground=settings.ground,
        friction=settings.friction,
        thresholds=settings.closes,
        smoothness=settings.smoothness,
    )


def _wanted(positions: Positions, span: tuple[float, float] | None) -> slice:
    """Steps within the span; ConfigError where there are none."""
    if span is None:
        return slice(0, len(positions.time))
    first = int(np.searchsorted(positions.time, span[0], "left"))
    last = int(np.searchsorted(positions.time, span[1], "right"))
    if last - first < 2:
        raise ConfigError(
            f"--span {span[0]:g} {span[1]:g}: {positions.origin} goes from {positions.time[0]:g} to "
            f"{positions.time[-1]:g} s, {last - first} steps of it in the span; expected 2 or more. Correct it."
        )
    return slice(first, last)
