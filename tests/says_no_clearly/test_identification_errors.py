"""What identification and `invdyn identify` refuse: which joint, file or option, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from identify_case import recorded, write_run
from torques_case import ARM, HOPPER, LIMIT, SLIDER, write_csv, write_robot

from invdyn.bodies.model import BodyModel
from invdyn.bodies.urdf import read_urdf
from invdyn.cli.main import main
from invdyn.errors import ConfigError, InvdynError, SignalError, UnknownNameError
from invdyn.forces.identification.base_parameters import base_parameters
from invdyn.forces.identification.body_regressor import body_regressor, check_joints
from invdyn.forces.identification.crossvalidation import choose, cross_validate
from invdyn.forces.identification.equations import Equations, collect, join
from invdyn.forces.identification.estimate import Estimate
from invdyn.forces.identification.excitation import Limits, design_excitation
from invdyn.forces.identification.feasible import fit_feasible
from invdyn.forces.identification.friction import Friction
from invdyn.forces.identification.least_squares import fit_friction, fit_least_squares
from invdyn.forces.identification.log_cholesky import fit_log_cholesky
from invdyn.forces.identification.recordings import Measured, match_torques, recordings_of, resample
from invdyn.forces.identification.replay import acceleration, replay_motion, replay_torque
from invdyn.forces.identification.settings import IdentifySettings
from invdyn.forces.torques_columns import Columns, Positions

Cli = Callable[..., str]
RNG = np.random.default_rng(0)
N = 60
MOTION = tuple(RNG.standard_normal((3, N, 2)))
TAU = RNG.standard_normal((N, 2))


def regressor(q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
    """Of one imaginary body that both joints feel."""
    own = np.stack([q, qd, qdd, q**2, qd**2, qdd**2, q * qd, q * qdd, qd * qdd, np.sin(q)], axis=2)
    return own + 0.1 * own[:, ::-1]


def equations(tau: np.ndarray = TAU, **options: Any) -> Equations:
    return collect(regressor, *MOTION, tau, Friction.none(), **{"blocks": 3, **options})


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> BodyModel:
    return read_urdf(write_robot(tmp_path_factory.mktemp("arm"), ARM))


def refused(error: type[Exception], call: Callable[[], object], *told: str) -> None:
    with pytest.raises(error) as raised:
        call()
    assert isinstance(raised.value, InvdynError)
    for words in told:
        assert words in str(raised.value), str(raised.value)


def test_equations() -> None:
    short = MOTION[1][:5]
    refused(
        SignalError,
        lambda: collect(regressor, MOTION[0], short, short, TAU),
        "identification: qd is (5, 2), tau (60, 2); expected the same rows.",
    )
    broken = MOTION[0].copy()
    broken[7, 1] = np.nan
    refused(
        SignalError,
        lambda: collect(regressor, broken, *MOTION[1:], TAU),
        "identification: q[7] is not finite. Smooth or cut the motion.",
    )
    refused(ConfigError, lambda: equations(blocks=0), "blocks=0, gap=0; expected one block or more")
    refused(SignalError, lambda: equations(blocks=40, gap=3), "60 samples do not fill 40 blocks 3 samples apart.")
    refused(ConfigError, lambda: equations(joints=["a"]), "1 joint names for 2 torques.")
    refused(ConfigError, lambda: equations(bodies=["a", "b"]), "2 body names for 1 bodies in the regressor.")
    tau = TAU.copy()
    tau[20:40] = np.nan
    refused(SignalError, lambda: equations(tau), "no torque is known in rows 20 to 40. Take fewer blocks.")
    refused(
        SignalError,
        lambda: collect(lambda *m: np.zeros((60, 2, 7)), *MOTION, TAU, blocks=1),
        "the regressor gave (60, 2, 7); expected [60, 2, 10 a body].",
    )
    refused(ConfigError, lambda: join([]), "no recording was given.")
    refused(
        ConfigError,
        lambda: join([equations(), equations(joints=["a", "b"])]),
        "recording 1 has other bodies, joints or friction than the first.",
    )


def test_friction_and_base_parameters() -> None:
    refused(ConfigError, lambda: Friction(width=-1.0), "friction: width=-1.0; expected zero (the sign itself)")
    refused(ConfigError, lambda: Friction(stribeck=0.0), "friction: stribeck=0.0; expected positive velocities, or")
    refused(
        ConfigError,
        lambda: Friction(width=(0.1, 0.2, 0.3)).columns(*MOTION[1:]),
        "friction: width names 3 joints, the motion has 2. Give one each, or one.",
    )
    refused(SignalError, lambda: base_parameters(np.zeros((5, 3))), "the regressor is zero or not finite. Give motion")
    refused(ConfigError, lambda: fit_friction(equations(), np.zeros(3)), "3 inertial parameters; expected 10")
    refused(SignalError, lambda: base_parameters(np.eye(3), ["a"]), "1 names for 3 columns.")


@pytest.mark.parametrize("fit", [fit_feasible, fit_log_cholesky])
def test_consistent_fits(fit: Any) -> None:
    given = equations(bodies=["link"])
    real = np.array([1.0, 0, 0, 0, 0.02, 0, 0.02, 0, 0, 0.02])
    refused(ConfigError, lambda: fit(given, strength=1.0), "strength=1 without a prior. Give the parameters")
    refused(ConfigError, lambda: fit(given, prior=real, strength=-1.0), "strength=-1; expected zero or a positive")
    refused(ConfigError, lambda: fit(given, prior=real[:9]), "the prior has 9 parameters; expected 10.")
    refused(
        ConfigError,
        lambda: fit(given, prior=0 * real),
        "the prior of body 'link' is no real body's (its pseudo-inertia is not positive definite). Correct the model",
    )
    refused(
        ConfigError,
        lambda: fit(given, sigma=np.array([1.0, 0.0])),
        "sigma=[1.0, 0.0]; expected 2 positive numbers, N m or N.",
    )


def test_least_squares_and_its_intervals() -> None:
    few = [m[:4] for m in (*MOTION, TAU)]
    refused(
        SignalError,
        lambda: fit_least_squares(collect(regressor, *few, Friction.none(), blocks=1), "ordinary"),
        "8 equations for 8 base parameters. Record more.",
    )
    exact = regressor(*MOTION) @ np.ones(10)
    refused(
        SignalError,
        lambda: fit_least_squares(equations(exact)),
        "a joint's torque is explained without any error",
        "Use method='ordinary'.",
    )
    found = fit_least_squares(equations(blocks=2))
    refused(ConfigError, lambda: found.interval(0.9, "blocks"), "2 blocks tell no scatter. Collect the equations with")
    refused(ConfigError, lambda: found.interval(1.5), "coverage=1.5; expected a part between 0 and 1.")
    refused(ConfigError, lambda: fit_feasible(equations(), least=0.0), "least=0; expected a positive number.")


def test_cross_validation_and_replay() -> None:
    refused(
        ConfigError,
        lambda: cross_validate(equations(blocks=1), lambda e: fit_least_squares(e).estimate),
        "the equations are one block. Collect them with blocks=2 or more.",
    )
    refused(ConfigError, lambda: choose({}, lambda e: fit_least_squares(e).estimate), "nothing to choose from.")
    flat = TAU.copy()
    flat[:, 1] = 0.0
    refused(
        SignalError,
        lambda: cross_validate(equations(flat, joints=["a", "b"]), lambda e: fit_least_squares(e, "ordinary").estimate),
        "the torque of 'b' never changes. Leave the joint out.",
    )
    found = fit_least_squares(equations(joints=["a", "b"])).estimate
    refused(
        SignalError,
        lambda: replay_torque(found, regressor, *MOTION, flat),
        "the torque of 'b' never changes, so its error has no scale. Leave it out.",
    )
    estimate = replace(found, inertial=-np.eye(10)[2])
    refused(
        SignalError,
        lambda: acceleration(estimate, regressor, MOTION[0], MOTION[1], TAU),
        "the mass matrix of the weighted fit is not positive definite. Use a physically consistent fit (feasible,",
    )
    time = np.arange(N) / 100
    refused(
        SignalError,
        lambda: replay_motion(estimate, regressor, time, MOTION[0][:, :1], MOTION[1], TAU),
        "q (60, 1) and qd (60, 2); motion is replayed for one-dof joints.",
    )
    refused(
        SignalError,
        lambda: replay_motion(estimate, regressor, time, *MOTION[:2], TAU, horizon=2.0),
        "60 samples are shorter than a piece of 200. Shorten the horizon.",
    )


def test_excitation(arm: BodyModel) -> None:
    two = np.ones(2)
    limits = Limits(-two, two, two, two)

    def design(limits: Limits = limits, **options: Any) -> object:
        return design_excitation(body_regressor(arm), limits, **options)

    refused(
        ConfigError,
        lambda: design(replace(limits, velocity=np.array([1.0, np.inf]))),
        "excitation: the velocity limit of joint 1 is inf; expected a positive, finite number.",
    )
    refused(ConfigError, lambda: design(harmonics=2), "harmonics=2, period=10, steps=60; expected 3 or more harmonics")
    refused(ConfigError, lambda: design(period=0.0), "period=0", "a positive period and at least one step.")


def test_models_that_have_no_torque_per_joint(tmp_path: Path) -> None:
    free = read_urdf(write_robot(tmp_path, HOPPER), "free")
    refused(ConfigError, lambda: check_joints(free), "of model 'hopper' is free; expected joints with one torque each.")


TORQUES = Columns(("tau.shoulder", "tau.elbow"), np.arange(50) / 50, np.ones((50, 2)), ("N m", ""), ("", ""), "run.csv")


@pytest.mark.parametrize(
    ("columns", "options", "error", "told"),
    [
        (
            TORQUES,
            {},
            SignalError,
            (
                "run.csv: torque column 'tau.elbow' spans 1 ... 1 without a unit; expected one of Nm, mNm, kNm, Ncm. "
                "Pass --torque-units Nm to settle it."
            ),
        ),
        (
            TORQUES,
            {"units": ("mNm",)},
            ConfigError,
            "column 'tau.shoulder' is in Nm by the file, --torque-units says mNm. Leave it out.",
        ),
        (TORQUES, {"units": ("lbf",)}, UnknownNameError, "unknown torque unit (--torque-units) 'lbf'"),
        (
            TORQUES,
            {"units": ("Nm", "mNm")},
            ConfigError,
            "--torque-units Nm mNm: two units of one kind. Leave one out.",
        ),
        (
            replace(TORQUES, names=("tau.shoulder", "motor")),
            {},
            SignalError,
            (
                "run.csv: no torque for 'elbow' of model 'arm'; expected a column such as 'tau.elbow', it has "
                "tau.shoulder, motor. Pass --torques elbow=COLUMN, or --torque-signal."
            ),
        ),
        (
            replace(TORQUES, names=("tau.shoulder", "shoulder_moment")),
            {},
            SignalError,
            "torque of 'shoulder' stands in 'tau.shoulder' and 'shoulder_moment'. Pass --torques shoulder=tau.shoulder",
        ),
        (
            replace(TORQUES, angles=("rad", "Nm")),
            {},
            SignalError,
            "column 'tau.shoulder' is in 'rad'; expected Nm, mNm, kNm, Ncm of a torque. Convert it, or name the right",
        ),
        (
            TORQUES,
            {"named": {"elbo": "x"}},
            UnknownNameError,
            "unknown moving coordinate of model 'arm' 'elbo'. Did you",
        ),
        (TORQUES, {"named": {"elbow": "tau.elbo"}}, UnknownNameError, "unknown column of run.csv 'tau.elbo'. Did you"),
    ],
)
def test_torque_columns(
    arm: BodyModel, columns: Columns, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    refused(error, lambda: match_torques(arm, (0, 1), columns, **options), told)


def test_forces_of_sliders(tmp_path: Path) -> None:
    slider = read_urdf(write_robot(tmp_path, SLIDER))
    forces = replace(TORQUES, names=("tau.rail", "x"), angles=("Nm", ""))
    refused(SignalError, lambda: match_torques(slider, (0,), forces), "is in 'Nm'; expected N, mN, kN of a force.")
    assert match_torques(slider, (0,), replace(forces, angles=("", "")), units=("kN", "Nm")).max() == 1000


def test_parts_and_clocks(arm: BodyModel) -> None:
    time, q, tau = recorded(2.0)
    measured = Measured(Positions(time, q, (True, True), (), "run.csv"), tau)
    refused(ConfigError, lambda: recordings_of(arm, (0, 1), measured, 1.0), "--held-out 1: expected a share from 0 to")
    refused(
        SignalError,
        lambda: recordings_of(arm, (0, 1), measured, 0.05),
        "run.csv, steps 190 to 200: 10 samples; expected 20 or more. Record more, or hold less out.",
    )
    none = replace(measured, tau=np.full_like(tau, np.nan))
    refused(SignalError, lambda: recordings_of(arm, (0, 1), none), "no step has the torques of all moving coordinates.")
    late = replace(TORQUES, time=TORQUES.time + 100)
    refused(
        SignalError,
        lambda: resample(time, late, np.ones((50, 2))),
        "its clock runs from 100 to 100.98 s, the motion's from 0 to 1.99 s; expected the same clock. Shift one",
    )


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"method": "lms"}, UnknownNameError, "unknown method (--method) 'lms'"),
        ({"friction": ("viscus",)}, UnknownNameError, "unknown friction term (--friction) 'viscus'. Did you mean"),
        ({"level": 1.0}, ConfigError, "--level 1: expected a share between 0 and 1, for example 0.95."),
        ({"blocks": 2}, ConfigError, "--blocks 2: expected 3 or more, or nothing tells the scatter."),
        ({"prior": -1.0}, ConfigError, "--prior -1: expected zero or a positive strength."),
        ({"horizon": 0.0}, ConfigError, "--horizon 0 s: expected a positive number, for example 0.25."),
        ({"stribeck": 0.1}, ConfigError, "--stribeck 0.1 without that term. Add it: --friction ... stribeck."),
        (
            {"width": 0.1, "friction": ("viscous",)},
            ConfigError,
            "--width 0.1 smooths the sign of Coulomb friction, which --friction lacks.",
        ),
    ],
)
def test_settings(options: dict[str, Any], error: type[Exception], told: str) -> None:
    refused(error, lambda: IdentifySettings(**options), told)


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `invdyn identify` on the arm; its one sentence. Nothing may have been written."""
    robot = write_robot(tmp_path, ARM)
    run = write_run(tmp_path / "run.csv")

    def call(*args: object, motion: tuple[object, ...] = (run,), model: Path = robot) -> str:
        before = sorted(p.name for p in tmp_path.iterdir())
        code = main([str(a) for a in ("identify", model, *motion, *args)])
        captured = capsys.readouterr()
        assert code == 2, captured
        assert sorted(p.name for p in tmp_path.iterdir()) == before
        return captured.err.strip().splitlines()[-1]

    return call


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--out", "x.yaml"), "--out x.yaml: expected .urdf (URDF), .xml (MJCF), .json (parameters). Rename it."),
        (
            ("--out", "x.urdf", "--method", "ols"),
            "what --method ols finds need not be bodies that exist, so no model can be written. Use --method feasible",
        ),
        (
            ("--out", "x.urdf"),
            "no rotor inertia, which is fitted here. Write MJCF (.xml), or fit without: --friction viscous coulomb",
        ),
        (
            ("--out", "x.urdf", "--friction", "rotor"),
            "URDF has no rotor inertia, which is fitted here. Write MJCF (.xml), or fit without: --friction none.",
        ),
        (("--hold", "elbow=x"), "--hold elbow=x: expected a number in rad or m."),
        (("--hold", "elbow=0", "shoulder=0"), "every coordinate is held. Nothing moved that could be identified."),
        (("--episode", "3"), "has episodes 0 to 0. Correct it."),
        (("--torques", "elbow"), "--torques 'elbow': expected NAME=VALUE, for example elbow=motor_2."),
        (("--torque-file", "no.csv"), "no.csv does not exist. Check --torque-file."),
        (("--held-out", "0.999"), "1 samples; expected 20 or more."),
        (("--signal", "shoulder"), "--signal shoulder has 1 components without names, model 'arm' has 2 positions"),
        (
            ("--torque-signal", "tau.elbow"),
            "--torque-signal tau.elbow has 1 components without names, 2 coordinates moved (shoulder, elbow). Name",
        ),
        (("--out", "a.json", "./a.json"), "a.json is named twice by --out. Give each a name of its own."),
        (("--report", "a.pdf"), "--report a.pdf: expected .html, for it is a page of text and pictures. Rename it."),
        (("--width", "-1"), "--width -1: expected a velocity, or 0 for the sign itself, for example 0.05."),
        (("--friction", "stribeck", "--stribeck", "0"), "--stribeck 0: expected a velocity above zero"),
        (("--cutoff", "5", "--lag", "99"), "--lag 99 s: "),
        (("--cutoff", "5", "--width", "0", "--blocks", "5000"), "blocks 0 samples apart. Take fewer (--blocks)."),
        (("--cutoff", "5", "0"), "--cutoff 0: expected Hz above zero, for example 5."),
        (("--cutoff", "60"), "--cutoff: expected Hz below 45, for there are 100 samples/s. Lower it."),
        (("--frictions", "none"), "unknown option '--frictions'. Did you mean '--friction'"),
    ],
)
def test_options(command: Cli, args: tuple[str, ...], told: str) -> None:
    assert told in command(*args)


def test_recordings(command: Cli, tmp_path: Path) -> None:
    assert "no recording was given. Pass its path after the model's." in command(motion=())
    assert f"{tmp_path / 'no.csv'} does not exist. Check the path." in command(motion=(tmp_path / "no.csv",))
    markers = tmp_path / "walk.trc"
    markers.touch()
    assert "walk.trc: markers hold no joint torques. Find positions first" in command(motion=(markers,))
    time, q, tau = recorded(2.0)
    still = write_csv(tmp_path / "one.csv", time, {"shoulder [rad]": q[:, 0], "tau.shoulder [N m]": tau[:, 0]})
    assert "no column for 'elbow' of model 'arm'" in command(motion=(still,))
    flat = {"shoulder [rad]": q[:, 0], "elbow [rad]": q[:, 1]}
    flat |= {"tau.shoulder [N m]": tau[:, 0], "tau.elbow [N m]": 0 * time}
    motion = write_csv(tmp_path / "flat.csv", time, flat)
    assert "the torque of 'elbow' never changes" in command("--width", "0", "--cutoff", "15", motion=(motion,))
    folder = tmp_path / "runs"
    folder.mkdir()
    for k in range(2):
        write_run(folder / f"{k}.csv", slice(200 * k, 200 * k + 200))
    told = command("--torque-file", folder / "0.csv", motion=(folder,))
    assert "2 episodes for one --torque-file. Choose one with --episode N." in told
    told = command("--torque-file", folder, "--cutoff", "15")
    assert "runs: 2 episodes; expected one, that of the motion. Pass one --torque-file." in told


def test_models(command: Cli, tmp_path: Path) -> None:
    ball = tmp_path / "ball.xml"
    ball.write_text(
        "<mujoco><worldbody><body name='b'><joint name='j' type='ball'/><geom size='.1'/></body></worldbody></mujoco>"
    )
    pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
    assert "joint 'j'" in command(model=ball)
    assert "is spherical; expected joints with one torque each." in command(model=ball)
    stand = tmp_path / "stand.urdf"
    stand.write_text('<robot name="stand"><link name="base"/></robot>')
    assert "model 'stand' has no joint that moves. Pass a model of an arm." in command(model=stand)


def test_a_model_that_the_file_has_no_words_for_is_refused_before_the_fit(command: Cli, tmp_path: Path) -> None:
    finger = '<mimic joint="elbow"/>' + LIMIT
    driven = ARM.replace('name="j2" type="fixed"', 'name="j2" type="revolute"')
    driven = driven.replace('<origin xyz="0.05 0.02 -0.1"/><axis xyz="0 1 0"/>', f'<axis xyz="0 1 0"/>{finger}')
    told = command("--out", "x.xml", model=write_robot(tmp_path, driven))
    assert "--out x.xml: model 'arm': joint 'j2' is driven by coordinates, which MuJoCo has not. Write URDF," in told


def test_columns_are_called_as_in_the_recording(command: Cli, tmp_path: Path) -> None:
    time, q, tau = recorded(2.0)
    np.savez(tmp_path / "run.npz", t=time, angles=q, motors=tau)
    args = ("--read", "time=t", "--signal", "angles", "--torque-signal", "motors", "--units", "rad")
    assert "run.npz: torque column 'motors[0]' spans" in command(*args, motion=(tmp_path / "run.npz",))


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("x.txt", "--acceleration", "5"), "x.txt: expected a name that ends in .csv. Rename it."),
        (("x.csv",), "--acceleration"),
        (("x.csv", "--acceleration", "5", "6"), "--acceleration 5 6: one number for all, or COORDINATE=VALUE of each."),
        (("x.csv", "--acceleration", "elbo=5"), "unknown coordinate of model 'arm' 'elbo'. Did you mean 'elbow'?"),
        (
            ("x.csv", "--acceleration", "fast"),
            "--acceleration: 'fast' is no number; expected rad or m and their rates.",
        ),
        (
            ("x.csv", "--acceleration", "elbow=5"),
            "coordinate 'shoulder' has no acceleration limit to stay within. Pass --acceleration shoulder=VALUE,",
        ),
        (
            ("x.csv", "--acceleration", "5", "--range", "elbow=1"),
            "--range elbow=1: expected LOWER:UPPER in rad or m, for example -1:1.",
        ),
        (
            ("x.csv", "--acceleration", "5", "--range", "elbow=-9:1"),
            "--range elbow=-9:1: expected a range within the model's -4 to 4.",
        ),
        (("x.csv", "--acceleration", "5", "--rate", "0"), "--rate 0: expected samples per second, for example 100."),
        (
            ("x.csv", "--acceleration", "5", "--hold", "shoulder=0", "elbow=0"),
            "every coordinate is held. Nothing is left",
        ),
        (("x.csv", "--acceleration", "5", "--harmonics", "2"), "harmonics=2"),
    ],
)
def test_design(command: Cli, tmp_path: Path, args: tuple[str, ...], told: str) -> None:
    name, *rest = args
    assert told in command(tmp_path / "robot.urdf", tmp_path / name, *rest, motion=(), model=Path("design"))


def test_estimates_name_what_they_hold() -> None:
    found = Estimate.of(np.arange(10.0), equations(bodies=["link"]), "by hand")
    assert found.named["mx[link]"] == 1.0
