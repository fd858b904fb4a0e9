"""`identify`: recordings to parameters with intervals, next to what the given model reaches on the same held-out part.

It joins the files of this folder; each step can be called alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float

from invdyn.bodies.model import BodyModel
from invdyn.errors import ConfigError, SignalError, unknown_name
from invdyn.forces.identification.body_regressor import moving_regressor
from invdyn.forces.identification.crossvalidation import CrossValidation, choose, cross_validate
from invdyn.forces.identification.equations import Equations, Regressor, collect, join
from invdyn.forces.identification.estimate import Estimate
from invdyn.forces.identification.feasible import fit_feasible
from invdyn.forces.identification.friction import Friction
from invdyn.forces.identification.least_squares import LeastSquares, fit_friction, fit_least_squares
from invdyn.forces.identification.log_cholesky import fit_log_cholesky
from invdyn.forces.identification.pseudo_inertia import consistent
from invdyn.forces.identification.recordings import Recording
from invdyn.forces.identification.replay import MotionReplay, replay_motion

__all__ = [
    "TERMS",
    "Identified",
    "IdentifySettings",
    "Method",
    "Prediction",
    "equations_of",
    "given_estimate",
    "identify",
    "without_springs",
]

Method = Literal["ols", "wls", "feasible", "log-cholesky"]
TERMS = ("viscous", "coulomb", "stribeck", "rotor", "offset")
WIDTHS = (0.0, 0.02, 0.05, 0.1, 0.2)  # of the smoothed sign, as parts of the joint's RMS velocity; the best is taken
EXACT = 1e-6  # of the torque's RMS: errors below it are round-off
STRIBECK = (0.05, 0.1, 0.2, 0.5)  # the same for the Stribeck velocity


@dataclass(frozen=True)
class IdentifySettings:
    """How parameters are fitted.

    Args:
        method: `ols`, `wls` (base parameters alone), `feasible` (semidefinite program), `log-cholesky`.
        friction: columns of every joint, see `Friction`.
        width: of the smoothed sign, rad/s or m/s, of all joints; None: chosen by blocks left out.
        stribeck: the Stribeck velocity, likewise.
        prior: strength that holds physically consistent fits near the given model, see `fit_feasible`. 0: none.
        blocks: of time, in all recordings together, for cross-validation and intervals. gap: s between two of them.
        level: coverage of the intervals.
        horizon: s of the replay forward.
    """

    method: str = "feasible"
    friction: tuple[str, ...] = ("viscous", "coulomb", "rotor", "offset")
    width: float | None = None
    stribeck: float | None = None
    prior: float = 1.0
    blocks: int = 10
    gap: float = 0.1
    level: float = 0.95
    horizon: float = 0.25

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise unknown_name("method (--method)", self.method, get_args(Method))
        for term in self.friction:
            if term not in TERMS:
                raise unknown_name("friction term (--friction)", term, TERMS)
        if not 0 < self.level < 1:
            raise ConfigError(f"--level {self.level:g}: expected a share between 0 and 1, for example 0.95.")
        if self.blocks < 3:
            raise ConfigError(f"--blocks {self.blocks}: expected 3 or more, or nothing tells the scatter.")
        if self.prior < 0:
            raise ConfigError(f"--prior {self.prior:g}: expected zero or a positive strength.")
        if self.horizon <= 0:
            raise ConfigError(f"--horizon {self.horizon:g} s: expected a positive number, for example 0.25.")
        if self.stribeck is not None and "stribeck" not in self.friction:
            raise ConfigError(f"--stribeck {self.stribeck:g} without that term. Add it: --friction ... stribeck.")
        if self.width is not None and not {"coulomb", "stribeck"} & set(self.friction):
            raise ConfigError(f"--width {self.width:g} smooths the sign of Coulomb friction, which --friction lacks.")

    def columns(self, width: tuple[float, ...] | float, stribeck: tuple[float, ...] | float | None) -> Friction:
        """The friction columns with these nonlinear numbers."""
        there = {name: name in self.friction for name in ("viscous", "coulomb", "rotor", "offset")}
        return Friction(**there, width=width, stribeck=stribeck if "stribeck" in self.friction else None)


@dataclass(frozen=True)
class Prediction:
    """Torque of one set of parameters on one part of the recordings.

    Attributes:
        torque: [T, k] per recording, N m or N.
        rmse: [k] N m or N. nmse: [k] mean squared error over the variance of the measured torque.
    """

    torque: tuple[np.ndarray, ...]
    rmse: Float[np.ndarray, " k"]
    nmse: Float[np.ndarray, " k"]


@dataclass(frozen=True)
class Identified:
    """What was found.

    Attributes:
        model: as given. moving: velocity numbers of the coordinates that moved, k of them.
        regressor, equations: of these, and of the recordings that were fitted.
        estimate: parameters by the method asked for. base: the base parameters, their values by (weighted) least
            squares, and their covariance.
        given: the given model as an estimate; None where it weighs nothing.
        tuned: the given bodies with friction fitted on the same recordings; None likewise.
        cross: torque error of the blocks left out, of the least-squares fit.
        fitted, held: predictions by name (`identified`, `given`, `given, friction fitted`) on the recordings that were
            fitted and on those held out.
        test: recordings held out (empty: none).
        replays: forward, by name; absent where the mass matrix is not positive definite.
        failed: why a replay is absent, by name.
        scores: nMSE of the blocks left out per friction setting tried, mean over joints.
        settings: as asked.
    """

    model: BodyModel
    moving: tuple[int, ...]
    regressor: Regressor
    equations: Equations
    estimate: Estimate
    base: LeastSquares
    given: Estimate | None
    tuned: Estimate | None
    cross: CrossValidation
    train: tuple[Recording, ...]
    test: tuple[Recording, ...]
    fitted: dict[str, Prediction]
    held: dict[str, Prediction]
    replays: dict[str, MotionReplay]
    failed: dict[str, str]
    scores: dict[str, float]
    settings: IdentifySettings

    @property
    def units(self) -> tuple[str, ...]:
        """N m or N per moving coordinate."""
        return tuple("N m" if self.model.coordinates[k].rotational else "N" for k in self.moving)

    @property
    def real(self) -> np.ndarray:
        """[nbody] whether the bodies found can exist."""
        return consistent(torch.as_tensor(self.estimate.inertial.reshape(-1, 10))).numpy()


def given_estimate(model: BodyModel, moving: Sequence[int]) -> Estimate | None:
    """The model's own parameters, its armature, damping and friction as coefficients; None where it weighs nothing."""
    if not model.mass:
        return None
    own = [model.coordinates[k] for k in moving]
    friction = Friction(offset=False, width=0.01)  # the sign smoothed as `passive_forces` does
    coefficients = np.array([[c.damping, c.friction, c.armature] for c in own]).reshape(len(own), 3)
    bodies, joints = tuple(b.name for b in model.bodies), tuple(c.name for c in own)
    sigma = np.full(len(own), np.nan)
    return Estimate(model.parameters.copy(), coefficients, sigma, "given", bodies, joints, friction)


def identify(
    model: BodyModel,
    moving: Sequence[int],
    still: Float[np.ndarray, " nq"],
    train: Sequence[Recording],
    test: Sequence[Recording] = (),
    settings: IdentifySettings | None = None,
    *,
    tell: Callable[[str], None] = lambda stage: None,
) -> Identified:
    """Fit the parameters of a model.

    Args:
        model: of one-dof joints; springs are taken as they are, masses, armature, damping and friction are found.
        moving: velocity numbers of the coordinates whose motion and torque was recorded.
        still: positions of the others.
        train, test: recordings to fit, and to compare on.
        settings: how.
        tell: called with the name of each stage.

    Raises:
        ConfigError, SignalError: as the steps.
    """
    settings = settings or IdentifySettings()
    regressor = moving_regressor(model, moving, still)
    train, test = ([without_springs(model, moving, r) for r in part] for part in (train, test))
    tell("friction")
    friction, scores = _choose_friction(model, moving, regressor, train, settings)
    equations = equations_of(model, moving, regressor, train, friction, settings)
    tell("base parameters")
    given = given_estimate(model, moving)
    prior = None
    if given is not None:
        prior = np.concatenate([given.inertial, np.zeros(len(equations.names) - equations.inertial)])
    # A recording that was computed, not measured, may be explained exactly: there are no errors to weigh by.
    size = np.sqrt(np.square(equations.factors[..., -1]).sum((0, 2)) / equations.count.sum())
    kind: Literal["ordinary", "weighted"] = "ordinary"
    base = fit_least_squares(equations, kind, prior=prior)
    left = np.sqrt(equations.squares(base.estimate.unknowns).sum(0) / equations.count.sum())
    if settings.method != "ols" and (left > EXACT * size).all():
        kind = "weighted"
        base = fit_least_squares(equations, kind, prior=prior)
    tell(f"{settings.method} fit")
    estimate = _fit(equations, base, np.maximum(base.estimate.sigma, EXACT * size), given, settings)
    tell("comparison")
    cross = cross_validate(equations, lambda e: fit_least_squares(e, kind, prior=prior).estimate)
    tuned = None if given is None else fit_friction(equations, given.inertial)
    named = {"identified": estimate}
    if given is not None and tuned is not None:
        named |= {"given": given, "given, friction fitted": tuned}
    fitted = {name: _predict(e, regressor, train) for name, e in named.items()}
    held = {name: _predict(e, regressor, test) for name, e in named.items()} if test else {}
    tell("replay")
    replays, failed = _replays(named, regressor, test or train, settings.horizon)
    return Identified(
        *(model, tuple(moving), regressor, equations, estimate, base, given, tuned, cross, tuple(train), tuple(test)),
        *(fitted, held, replays, failed, scores, settings),
    )


def without_springs(model: BodyModel, moving: Sequence[int], recording: Recording) -> Recording:
    """Torque less what the model's springs need: they are known and stay."""
    k, rest = (np.array([getattr(model.coordinates[i], n) for i in moving]) for n in ("stiffness", "rest"))
    return replace(recording, tau=recording.tau - k * (recording.q - rest)) if k.any() else recording


def equations_of(
    model: BodyModel,
    moving: Sequence[int],
    regressor: Regressor,
    recordings: Sequence[Recording],
    friction: Friction,
    settings: IdentifySettings,
) -> Equations:
    """Recordings reduced to blocks that are a gap apart."""
    each = max(1, -(-settings.blocks // len(recordings)))
    bodies = [b.name for b in model.bodies]
    joints = [model.coordinates[k].name for k in moving]
    made = []
    for r in recordings:
        step = float(np.median(np.diff(r.time)))
        gap = min(round(settings.gap / step), len(r.time) // (4 * each)) if each > 1 else 0
        made.append(
            collect(regressor, r.q, r.qd, r.qdd, r.tau, friction, blocks=each, gap=gap, bodies=bodies, joints=joints)
        )
    return join(made)


def _choose_friction(
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


def _fit(
    equations: Equations,
    base: LeastSquares,
    sigma: Float[np.ndarray, " k"],
    given: Estimate | None,
    settings: IdentifySettings,
) -> Estimate:
    if settings.method in ("ols", "wls"):
        return dataclasses.replace(base.estimate, method=settings.method)
    prior, strength = None, 0.0
    if given is not None and settings.prior:
        fine = bool(consistent(torch.as_tensor(given.inertial.reshape(-1, 10)), 1e-9).all())
        if fine:
            prior, strength = given.inertial, settings.prior
    fit = fit_feasible if settings.method == "feasible" else fit_log_cholesky
    return fit(equations, sigma=sigma, prior=prior, strength=strength)


def _predict(estimate: Estimate, regressor: Regressor, recordings: Sequence[Recording]) -> Prediction:
    torques = tuple(estimate.torque(regressor, r.q, r.qd, r.qdd) for r in recordings)
    truth, told = np.concatenate([r.tau for r in recordings]), np.concatenate(torques)
    known = np.isfinite(truth).all(1)
    square = np.square(told - truth)[known].mean(0)
    variance = truth[known].var(0)
    if not (variance > 0).all():
        name = estimate.joints[int((variance <= 0).argmax())]
        raise SignalError(
            f"identification: the torque of {name!r} never changes. Hold the joint, or record its motion."
        )
    return Prediction(torques, np.sqrt(square), square / variance)


def _replays(
    named: dict[str, Estimate], regressor: Regressor, recordings: Sequence[Recording], horizon: float
) -> tuple[dict[str, MotionReplay], dict[str, str]]:
    """Forward replays on the longest recording."""
    r = max(recordings, key=lambda r: len(r.time))
    found: dict[str, MotionReplay] = {}
    failed: dict[str, str] = {}
    for name, estimate in named.items():
        try:
            found[name] = replay_motion(estimate, regressor, r.time, r.q, r.qd, r.tau, horizon=horizon)
        except SignalError as error:
            failed[name] = str(error)
    return found, failed
