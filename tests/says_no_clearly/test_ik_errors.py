"""What inverse kinematics refuses, and how."""

from __future__ import annotations

import numpy as np
import pytest

from invdyn.bodies.drive import Drive
from invdyn.bodies.ik_tasks import FrameTargets, PointTargets
from invdyn.bodies.inverse_kinematics import solve_markers, solve_poses
from invdyn.bodies.model import Body, BodyModel, Coordinate, Joint, Placement, Site
from invdyn.episodes.formats.markers import Markers
from invdyn.errors import ConfigError, InvdynError, SignalError, UnknownNameError

POINT = PointTargets(("tip",), np.zeros((2, 1, 3)))
FRAME = FrameTargets(("tip",), np.broadcast_to(np.eye(3), (3, 1, 3, 3)).copy(), np.zeros((3, 1, 3)))


def arm(couplings: dict[int, Drive] | None = None) -> BodyModel:
    bodies = tuple(
        Body(f"l{i}", i - 1, Joint(f"j{i}", "revolute", q=i, v=i), Placement(translation=(0.3, 0.0, 0.0)))
        for i in range(2)
    )
    sites = (Site("tip", 1, Placement(translation=(0.3, 0.0, 0.0)), "marker"), Site("mid", 0, kind="marker"))
    return BodyModel("arm", bodies, (Coordinate("j0"), Coordinate("j1")), 2, sites=sites, couplings=couplings or {})


def markers(*names: str) -> Markers:
    return Markers(names, np.arange(2.0), np.zeros((2, len(names), 3)), 1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: solve_poses(arm()), ConfigError, "'arm': neither points nor frames given. Give targets"),
        (lambda: solve_poses(arm(), POINT, held=["j0", "j1"]), ConfigError, "every coordinate is held or coupled"),
        (lambda: solve_poses(arm(), POINT, held=["j2"]), UnknownNameError, "unknown coordinate of model 'arm' 'j2'"),
        (lambda: solve_poses(arm(), POINT, FRAME), SignalError, "2 steps of points, 3 of frames; expected as many"),
        (
            lambda: solve_poses(arm(), PointTargets(("tip",), np.zeros((0, 1, 3)))),
            SignalError,
            "0 steps of points.*at least one. Cut them",
        ),
        (lambda: solve_poses(arm(), POINT, rest_weight=-1.0), ConfigError, "rest_weight=-1, starts=8; expected 0 or"),
        (lambda: solve_poses(arm(), POINT, starts=-1), ConfigError, "rest_weight=0, starts=-1; expected 0 or more"),
        (
            lambda: solve_poses(arm(), POINT, start=np.full((1, 2), np.nan)),
            SignalError,
            r"start of shape \(1, 2\), or not finite; expected 2 finite numbers a row, 1 or 2 rows",
        ),
        (
            lambda: solve_poses(arm(), POINT, rest=np.zeros(3), rest_weight=1.0),
            SignalError,
            r"rest of shape \(1, 3\), or not finite; expected 2 finite numbers a row, 1 rows",
        ),
        (
            lambda: solve_poses(arm(), PointTargets(("top",), np.zeros((2, 1, 3)))),
            UnknownNameError,
            "unknown frame of model 'arm' 'top'. Did you mean 'tip'",
        ),
        (
            lambda: solve_poses(arm({0: Drive.linear(1, 1), 1: Drive.linear(0, 0)}), POINT),
            ConfigError,
            "coordinate 'j0' depends on itself through its couplings. Leave one",
        ),
        (
            lambda: PointTargets(("tip", "mid"), np.zeros((2, 1, 3))),
            SignalError,
            r"points: \(2, 1, 3\) numbers for 2 sites; expected \[T, 2, 3\]",
        ),
        (
            lambda: PointTargets(("tip",), np.full((2, 1, 3), np.inf)),
            SignalError,
            "points: 'tip' is infinite at step 0; expected metres, NaN where not seen",
        ),
        (
            lambda: PointTargets(("tip",), np.zeros((2, 1, 3)), np.array([-1.0])),
            ConfigError,
            "points: weight -1 of 'tip'; expected zero or a positive number",
        ),
        (
            lambda: PointTargets(("tip",), np.zeros((2, 1, 3)), np.array([1.0, 2.0])),
            ConfigError,
            "points: 2 weights for 1 sites; expected one each",
        ),
        (
            lambda: FrameTargets(("tip",), np.full((2, 1, 3, 3), 0.5), np.zeros((2, 1, 3))),
            SignalError,
            "frames: the matrix of 'tip' at step 0 is no rotation.*expected orthonormal columns, right-handed",
        ),
        (
            lambda: FrameTargets(("tip",), np.stack([np.diag([1.0, 1.0, -1.0])])[:, None], np.zeros((1, 1, 3))),
            SignalError,
            r"frames: the matrix of 'tip' at step 0 is no rotation \(off by 2\)",
        ),
        (
            lambda: solve_markers(arm(), markers("tip", "mid", "top", "bottom", "back")),
            SignalError,
            "2 of 5 are sites of model 'arm'; expected at least 3. .* has 'tip', .* ...; the model 'mid', 'tip'. Pass",
        ),
        (
            lambda: solve_markers(arm(), markers("tip", "mid"), {"top": 1.0}),
            UnknownNameError,
            "unknown marker of the recording 'top'. Did you mean 'tip'",
        ),
        (
            lambda: solve_markers(arm(), markers("a", "b", "c"), names={"a": "tip", "b": "mid", "c": "top"}),
            UnknownNameError,
            "unknown frame of model 'arm' 'top'",
        ),
    ],
)
def test_message(call: object, error: type[InvdynError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]


def test_frames_of_which_nothing_is_seen_stay_at_their_neighbours() -> None:
    """A step without targets is no error: its cost is zero, and its markers' error is missing, not zero."""
    model = arm()
    names = ("tip", "mid", "j")
    seen = Markers(names, np.arange(3.0), np.zeros((3, 3, 3)), 1.0)
    seen.positions[1] = np.nan
    fit = solve_markers(model, seen, names={"j": "l1"})
    assert np.isnan(fit.rms[1])
    assert fit.pose.cost[1] == 0
    assert not np.isnan(fit.rms[[0, 2]]).any()
