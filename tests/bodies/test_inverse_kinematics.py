"""Motion recovered from markers and frames: from known positions, beside scipy's optimum, and of a recorded walk."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from invdyn.bodies.drive import Drive
from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.ik_levenberg import minimise
from invdyn.bodies.ik_program import Independent
from invdyn.bodies.ik_tasks import FrameTargets, Objective, PointTargets
from invdyn.bodies.inverse_kinematics import MarkerFit, solve_markers, solve_poses
from invdyn.bodies.manifold import difference, random_positions
from invdyn.bodies.model import Body, BodyModel, Coordinate, Joint, Placement, Site
from invdyn.bodies.osim import read_osim
from invdyn.episodes.formats.markers import Markers
from invdyn.episodes.formats.trc import read_trc


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def creature() -> BodyModel:
    """A free trunk with a ball joint, two hinges (the second coupled to the first) and a slide; four markers a body."""
    rng = np.random.default_rng(0)
    joints = [
        (-1, Joint("root", "free", q=0, v=0)),
        (0, Joint("ball", "spherical", q=7, v=6)),
        (1, Joint("hinge", "revolute", (0.0, 0.6, 0.8), q=11, v=9)),
        (2, Joint("follower", "revolute", (1.0, 0.0, 0.0), q=12, v=10)),
        (0, Joint("slide", "prismatic", (0.0, 1.0, 0.0), q=13, v=11)),
    ]
    at = [Placement.of(Rotation.random(random_state=i).as_matrix(), rng.normal(size=3) / 3) for i in range(5)]
    bodies = tuple(Body(f"b{i}", parent, j, at[i]) for i, (parent, j) in enumerate(joints))
    sites = tuple(
        Site(f"m{i}{k}", i, Placement.of(translation=rng.normal(size=3) / 5), "marker")
        for i in range(5)
        for k in range(4)
    )
    limits = {9: (-1.2, 1.2), 11: (-0.3, 0.3)}
    names = [
        *(f"root.{a}" for a in ("tx", "ty", "tz", "rx", "ry", "rz")),
        "bx",
        "by",
        "bz",
        "hinge",
        "follower",
        "slide",
    ]
    coordinates = tuple(
        Coordinate(n, n not in [*names[:3], "slide"], *limits.get(k, (-math.inf, math.inf)))
        for k, n in enumerate(names)
    )
    return BodyModel("creature", bodies, coordinates, 14, sites=sites, couplings={12: Drive.linear(11, 9, 0.5, 0.2)})


def followed(model: BodyModel, q: torch.Tensor) -> torch.Tensor:
    return Independent(model).kept(q)


def recorded(model: BodyModel, q: torch.Tensor) -> Markers:
    """What cameras see of the model's markers at q [nq, T], 100 Hz."""
    names = tuple(s.name for s in model.sites if s.kind == "marker")
    where = Dynamics(model, "eager").frames(q, names).translation
    time = np.arange(q.shape[1]) / 100
    return Markers(names, time, np.ascontiguousarray(where.permute(2, 0, 1).numpy()), 100.0)


def moving_truth(model: BodyModel, steps: int) -> torch.Tensor:
    """A smooth motion with the couplings kept, [nq, steps]."""
    s = torch.linspace(0, 1, steps, dtype=torch.float64)
    waves = torch.stack([torch.sin(3 * s + i) for i in range(model.nq)])
    q = 0.25 * waves
    for place in (3, 7):
        turn = Rotation.from_rotvec((2.5 * waves[place : place + 3]).T.numpy())
        q[place : place + 4] = torch.from_numpy(turn.as_quat().T.copy())
    return followed(model, q)


def test_motion_is_recovered_from_markers_with_gaps() -> None:
    model = creature()
    truth = moving_truth(model, 40)
    markers = recorded(model, truth)
    gone = np.random.default_rng(1).random(markers.positions.shape[:2]) < 0.2
    markers.positions[gone] = np.nan
    fit = solve_markers(model, markers)
    assert fit.pose.converged.all()
    away = difference(model, truth, torch.from_numpy(fit.q.T.copy()))
    assert away.abs().max() < 1e-8
    assert fit.q[:, 12] == pytest.approx(0.5 * fit.q[:, 11] + 0.2, abs=1e-15)
    assert np.array_equal(np.isnan(fit.error), gone)
    assert fit.rms.max() < 1e-9
    assert fit.marker_rms.shape == (20,)
    assert fit.unused == ()


def test_weights_names_and_the_laboratory_are_used() -> None:
    """A marker that slipped spoils the fit, unless it weighs nothing; other names, another frame."""
    model = creature()
    truth = moving_truth(model, 5)
    seen = recorded(model, truth)
    turn, shift = Rotation.random(random_state=3).as_matrix(), np.array([1.0, 2.0, 3.0])
    theirs = (seen.positions - shift) @ turn  # inverse of x -> turn x + shift
    theirs[:, 3] += 0.1
    renamed = tuple("m03_slipped" if n == "m03" else n for n in seen.names)
    markers = Markers((*renamed, "extra"), seen.time, np.concatenate([theirs, theirs[:, :1]], 1), 100.0)
    options = {"names": {"m03_slipped": "m03"}, "laboratory": Placement.of(turn, shift)}
    spoilt = solve_markers(model, markers, **options)
    fit = solve_markers(model, markers, {"m03_slipped": 0.0}, **options)
    away = [difference(model, truth, torch.from_numpy(f.q.T.copy())).abs().max() for f in (spoilt, fit)]
    assert away[0] > 1e-2
    assert away[1] < 1e-8
    assert fit.marker_rms[fit.names.index("m03_slipped")] == pytest.approx(0.1 * math.sqrt(3), rel=1e-6)
    assert fit.unused == ("extra",)


def test_the_optimum_under_noise_and_limits_is_scipys() -> None:
    """Same cost and position as a bounded trust region on a chain of plain joints, some at their limits."""
    axes = [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)]
    at = Placement(translation=(0.3, 0.0, 0.05))
    bodies = tuple(Body(f"l{i}", i - 1, Joint(f"j{i}", "revolute", a, q=i, v=i), at) for i, a in enumerate(axes))
    coordinates = tuple(Coordinate(f"j{i}", True, -0.6, 0.6) for i in range(4))
    sites = tuple(Site(f"m{i}", i, Placement(translation=(0.1, 0.1 * i, 0.2)), "marker") for i in range(4))
    model = BodyModel("arm", bodies, coordinates, 4, sites=sites)
    q = 0.9 * (2 * torch.rand(4, 12, generator=seeded(4), dtype=torch.float64) - 1)
    markers = recorded(model, q)
    markers.positions[:] += np.random.default_rng(5).normal(scale=0.01, size=markers.positions.shape)
    fit = solve_markers(model, markers)
    eager = Dynamics(model, "eager")
    names = [s.name for s in sites]
    for t in range(12):
        want = markers.positions[t]

        def residual(x: np.ndarray, want: np.ndarray = want) -> np.ndarray:
            return (eager.frames(torch.from_numpy(x)[:, None], names).translation[..., 0].numpy() - want).ravel()

        oracle = least_squares(residual, np.zeros(4), bounds=(-0.6, 0.6), xtol=1e-14, ftol=1e-14, gtol=1e-12)
        assert fit.pose.cost[t] <= 2 * oracle.cost * (1 + 1e-9)
        assert np.abs(fit.q[t] - oracle.x).max() < 1e-4  # the oracle stays strictly inside its bounds
    assert fit.pose.at_limit.any(1).sum() >= 6
    assert np.abs(fit.q).max() <= 0.6
    loose = solve_markers(model, markers, limits=False)
    assert np.abs(loose.q).max() > 0.7
    assert not loose.pose.at_limit.any()
    assert (loose.pose.cost <= fit.pose.cost * (1 + 1e-9)).all()


def test_frames_are_reached_and_the_rest_keeps_a_posture() -> None:
    model = creature()
    truth = moving_truth(model, 10)
    frames = Dynamics(model, "eager").frames(truth, ["b3", "m00"])
    targets = FrameTargets(
        ("b3", "m00"),
        frames.rotation.permute(3, 0, 1, 2).numpy().copy(),
        frames.translation.permute(2, 0, 1).numpy().copy(),
    )
    rest = model.neutral.copy()
    rest[13] = 0.17
    fit = solve_poses(model, None, targets, rest=rest, rest_weight=1e-9)
    got = Dynamics(model, "eager").frames(torch.from_numpy(fit.q.T.copy()), ["b3", "m00"])
    assert (got.translation - frames.translation).abs().max() < 1e-6
    assert (got.rotation - frames.rotation).abs().max() < 1e-5
    assert fit.q[:, 13] == pytest.approx(0.17, abs=1e-8)  # nothing asks for the slide
    bare = solve_poses(model, None, targets)
    assert bare.free == ("slide",)
    assert (bare.q[:, 13] == 0.0).all()
    got = Dynamics(model, "eager").frames(torch.from_numpy(bare.q.T.copy()), ["b3", "m00"])
    assert (got.translation - frames.translation).abs().max() < 1e-9
    assert (got.rotation - frames.rotation).abs().max() < 1e-8


def test_held_coordinates_stay_where_they_start() -> None:
    model = creature()
    truth = moving_truth(model, 6)
    start = np.ascontiguousarray(truth.T.numpy())
    start[:, 11] = 0.4  # hinge; its follower with it
    fit = solve_markers(model, recorded(model, truth), start=start, held=["hinge"])
    assert (fit.q[:, 11] == 0.4).all()
    assert fit.q[:, 12] == pytest.approx(0.4, abs=1e-15)
    assert "hinge" not in fit.pose.moving
    assert "follower" not in fit.pose.moving


def test_jacobians_of_residuals_are_their_derivatives() -> None:
    """Points, frames up to nearly half a turn away, posture; central differences along every moving number."""
    model = creature()
    moving = Independent(model, backend="eager")
    n = 30
    q = followed(model, random_positions(model, n, seeded(6)))
    other = Dynamics(model, "eager").frames(random_positions(model, n, seeded(7)), ["b3", "m12"])
    objective = Objective(
        moving,
        PointTargets(("m20", "m41"), np.random.default_rng(8).normal(size=(n, 2, 3)), np.array([1.0, 4.0])),
        FrameTargets(
            ("b3", "m12"),
            other.rotation.permute(3, 0, 1, 2).numpy().copy(),
            other.translation.permute(2, 0, 1).numpy().copy(),
        ),
        torch.from_numpy(model.neutral)[:, None],
        0.5,
    )
    steps = torch.arange(n)
    value, jacobian = objective.at(q, steps)
    assert value.shape == (6 + 12 + 2, n)
    h = 1e-6
    for i in range(len(moving.v)):
        step = torch.zeros(len(moving.v), n, dtype=torch.float64)
        step[i] = h
        change = (
            objective.at(moving.moved(q, step), steps).value - objective.at(moving.moved(q, -step), steps).value
        ) / (2 * h)
        assert (jacobian[:, :, i].T - change).abs().max() < 1e-6 * max(1.0, float(change.abs().max()))


def test_steps_stuck_in_a_worse_minimum_are_freed_by_their_neighbours() -> None:
    """A hinge that cannot go all round, begun on the wrong side of its gap in most steps."""
    sites = tuple(Site(f"m{i}", 0, Placement(translation=(1.0, 0.1 * i, 0.0)), "marker") for i in range(3))
    hinge = Body("lid", -1, Joint("hinge", "revolute", q=0, v=0))
    model = BodyModel("lid", (hinge,), (Coordinate("hinge", True, -3.0, 3.0),), 1, sites=sites)
    truth = torch.linspace(-2.9, -2.0, 20, dtype=torch.float64)[None]
    markers = recorded(model, truth)
    start = torch.full((1, 20), 2.8, dtype=torch.float64)
    start[0, 12:15] = -1.0
    objective = Objective(Independent(model), PointTargets(markers.names, markers.positions), None, start[:, :1])
    alone = minimise(objective, start, torch.arange(20))
    assert alone.converged.all()
    assert (alone.cost > 0.1).sum() == 17
    fit = solve_markers(model, markers, start=np.ascontiguousarray(start.T.numpy()))
    assert np.abs(fit.q - truth.T.numpy()).max() < 1e-8


def test_angles_turned_once_more_join_the_others() -> None:
    """Three crossing hinges: half of the steps begin a turn further and in the other of the two branches."""
    axes = [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)]
    bodies = tuple(Body(f"l{i}", i - 1, Joint(f"j{i}", "revolute", a, q=i, v=i)) for i, a in enumerate(axes))
    sites = tuple(Site(f"m{i}", 2, Placement(translation=tuple(np.eye(3)[i].tolist())), "marker") for i in range(3))
    model = BodyModel("wrist", bodies, tuple(Coordinate(f"j{i}") for i in range(3)), 3, sites=sites)
    s = torch.linspace(0, 1, 30, dtype=torch.float64)
    truth = torch.stack([0.5 + s, 0.3 * torch.sin(6 * s), -0.4 * s])
    start = truth.clone()
    start[:, 10:20] = torch.stack([truth[0] + math.pi, math.pi - truth[1], truth[2] + math.pi])[:, 10:20]
    start[0, 25:] += 2 * math.pi
    fit = solve_markers(model, recorded(model, truth), start=np.ascontiguousarray(start.T.numpy()))
    assert np.abs(fit.q - truth.T.numpy()).max() < 1e-8


FOLDER = "opensim_inverse_dynamics/rajagopal_walk"


@pytest.fixture(scope="module")
def walk(shared_data: Path) -> tuple[BodyModel, Markers, MarkerFit]:
    model = read_osim(shared_data / FOLDER / "subject_walk_scaled.osim")
    markers = read_trc(shared_data / FOLDER / "markers_walk.trc")
    return model, markers, solve_markers(model, markers)


def opensim_angles(folder: Path, model: BodyModel, at: np.ndarray) -> np.ndarray:
    """The published coordinates at given times, [T, nq]; NaN where the file lacks one. The knees' beta follow."""
    lines = (folder / "coordinates.sto").read_text().splitlines()
    start = lines.index("endheader") + 1
    names = [c.split("/")[-2] if "/" in c else c for c in lines[start].split("\t")]
    table = np.array([[float(x) for x in line.split("\t")] for line in lines[start + 1 :]])
    q = np.full((len(at), model.nq), np.nan)
    for i, c in enumerate(model.coordinates):
        if c.name in names:
            q[:, i] = np.interp(at, table[:, 0], table[:, names.index(c.name)], left=np.nan, right=np.nan)
    return q


def test_a_recorded_walk(walk: tuple[BodyModel, Markers, MarkerFit], shared_data: Path) -> None:
    """Every step is a minimum; better than the published coordinates in the same model; near them.

    Those were fitted with another scaling of the model and then changed by residual reduction (the data's README), so
    they agree to some degrees, not to OpenSim's accuracy. Measured: trunk and legs 1.1 to 4.4 degrees RMS.
    """
    model, markers, fit = walk
    assert fit.pose.converged.all()
    assert len(fit.names) == 41
    assert 1e3 * np.sqrt((fit.error**2).mean()) < 13.2  # mm; measured 13.08
    assert fit.q[:, 10] == pytest.approx(fit.q[:, 9], abs=1e-14)
    theirs = opensim_angles(shared_data / FOLDER, model, markers.time)
    inside = ~np.isnan(theirs[:, 0])
    assert inside.sum() == 135
    own = theirs[inside].copy()
    own[:, [10, 16]] = own[:, [9, 15]]
    own[np.isnan(own)] = 0.0  # toes, which the published model has not
    where = Dynamics(model).frames(torch.from_numpy(own.T.copy()), list(fit.names)).translation.permute(2, 0, 1).numpy()
    published = np.linalg.norm(where - markers.positions[inside], axis=2)
    assert ((published**2).sum(1) > fit.pose.cost[inside]).all()
    degrees = {
        c.name: math.degrees(np.sqrt(((fit.q[inside, i] - theirs[inside, i]) ** 2).mean()))
        for i, c in enumerate(model.coordinates)
        if c.rotational and "beta" not in c.name and not np.isnan(theirs[inside, i]).any()
    }
    body = {n: d for n, d in degrees.items() if n.startswith(("pelvis", "hip", "knee", "ankle", "lumbar"))}
    assert len(body) == 16
    assert max(body.values()) < 5
    arms = [d for n, d in degrees.items() if n.startswith("arm")]
    assert max(arms) < 10  # no angle turned once more round
    assert np.abs(np.diff(fit.q, axis=0)).max() < 0.3  # rad or m in 10 ms: no jumps


def test_the_walk_is_found_again_from_its_own_markers(walk: tuple[BodyModel, Markers, MarkerFit]) -> None:
    """The recovered motion, seen by the model's own markers, gives itself back."""
    model, markers, fit = walk
    some = fit.q[::20]
    where = Dynamics(model).frames(torch.from_numpy(some.T.copy()), list(fit.names)).translation
    again = solve_markers(model, Markers(fit.names, markers.time[::20], where.permute(2, 0, 1).numpy().copy(), 5.0))
    assert again.pose.converged.all()
    assert again.rms.max() < 1e-8
    known = [i for i, n in enumerate(c.name for c in model.coordinates) if not n.startswith("mtp")]
    assert np.abs(again.q[:, known] - some[:, known]).max() < 1e-6


def test_the_report_names_what_matters(walk: tuple[BodyModel, Markers, MarkerFit]) -> None:
    text = str(walk[2])
    assert "238 steps, 41 markers: RMS 13.08 mm" in text
    assert "238 of 238 steps converged" in text
    assert "worst markers: S2 31." in text
    assert "at a limit: knee_angle_r" in text
