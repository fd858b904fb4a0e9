"""`identify`: recordings to parameters with intervals, next to what the given model reaches on the same held-out part.

It joins the files of this folder; each step can be called alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from invdyn.bodies.model import BodyModel
from invdyn.errors import SignalError
from invdyn.forces.identification.body_regressor import moving_regressor
from invdyn.forces.identification.crossvalidation import CrossValidation, cross_validate
from invdyn.forces.identification.equations import Equations, Regressor, equations_of
from invdyn.forces.identification.estimate import Estimate
from invdyn.forces.identification.feasible import fit_feasible
from invdyn.forces.identification.friction import Friction
from invdyn.forces.identification.friction_choice import choose_friction
from invdyn.forces.identification.least_squares import LeastSquares, fit_friction, fit_least_squares
from invdyn.forces.identification.log_cholesky import fit_log_cholesky
from invdyn.forces.identification.pseudo_inertia import consistent
from invdyn.forces.identification.recordings import Recording, without_springs
from invdyn.forces.identification.replay import MotionReplay, replay_motion
from invdyn.forces.identification.settings import IdentifySettings

__all__ = ["Identified", "Prediction", "given_estimate", "identify", "unreal"]

EXACT = 1e-6  # of the torque's RMS: errors below it are round-off
SOLID = 1e-9  # least eigenvalue of a body's pseudo-inertia, kg m^2 and kg


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


def unreal(given: Estimate) -> tuple[str, ...]:
    """Bodies that no mass makes, points and rods included: near a model that has one, nothing can be held."""
    fine = consistent(torch.as_tensor(given.inertial.reshape(-1, 10)), SOLID)
    return tuple(name for name, real in zip(given.bodies, fine) if not real)


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
    friction, scores = choose_friction(model, moving, regressor, train, settings)
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
    if given is not None and settings.prior and not unreal(given):
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
