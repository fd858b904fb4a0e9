"""What `invdyn torques` refuses: which file, which column, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torques_case import ARM, HOPPER, SLIDER, swing, write_csv, write_robot

from invdyn.bodies.model import BodyModel
from invdyn.bodies.urdf import read_urdf
from invdyn.cli.main import main
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.external_loads import ExternalLoads
from invdyn.episodes.formats.opensim_tables import Table
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.errors import ConfigError, InvdynError, SignalError, UnknownNameError
from invdyn.forces.torques import TorqueSettings, recover_torques
from invdyn.forces.torques_columns import Columns, Positions, episode_columns, match_positions, table_columns
from invdyn.forces.torques_contacts import ContactPoint, contact_model, upwards
from invdyn.forces.torques_loads import table_loads
from invdyn.forces.torques_results import check_target
from invdyn.forces.torques_smoothing import Smoother, smooth_positions

Cli = Callable[..., str]
TIME = np.arange(50) / 50


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> BodyModel:
    return read_urdf(write_robot(tmp_path_factory.mktemp("arm"), ARM))


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command on the arm and a recording; its one sentence. Nothing may have been written."""
    robot = write_robot(tmp_path, ARM)
    time, q, _, _ = swing(1.0)
    motion = write_csv(tmp_path / "swing.csv", time, {"shoulder [rad]": q[:, 0], "elbow [rad]": q[:, 1]})

    def run(*args: object, motion: Path = motion, out: str = "out.csv") -> str:
        before = sorted(p.name for p in tmp_path.iterdir())
        code = main(["torques", str(robot), str(motion), "--out", str(tmp_path / out), *map(str, args)])
        captured = capsys.readouterr()
        assert code == 2, captured
        assert sorted(p.name for p in tmp_path.iterdir()) == before
        return captured.err.strip().splitlines()[-1]

    return run


def columns(names: tuple[str, ...], unit: str = "rad") -> Columns:
    values = np.tile(np.linspace(0, 60, 50)[:, None], (1, len(names)))
    return Columns(names, TIME, values, (unit,) * len(names), (unit,) * len(names), "walk.csv")


@pytest.mark.parametrize(
    ("given", "options", "error", "told"),
    [
        (
            columns(("shoulder", "elbo")),
            {},
            SignalError,
            (
                "walk.csv: no column for 'elbow' of model 'arm'. The nearest is 'elbo'. "
                "Pass --columns elbow=COLUMN, or --hold elbow=VALUE if it did not move."
            ),
        ),
        (
            columns(("a", "b")),
            {},
            SignalError,
            "no column for 'shoulder' of model 'arm' (nor for elbow). It has a, b. Pass --columns shoulder=COLUMN",
        ),
        (
            columns(("q[0]", "q[1]", "tau[0]")),
            {},
            SignalError,
            "Pass --signal q if its numbers are these in the model's order, --columns shoulder=COLUMN, or --hold",
        ),
        (
            columns(("shoulder", "elbow"), ""),
            {},
            SignalError,
            (
                "walk.csv: column 'shoulder' spans 0 ... 60 without a unit; expected rad or deg. "
                "Pass --units rad or deg to settle it."
            ),
        ),
        (
            columns(("shoulder", "elbow"), "furlong"),
            {},
            SignalError,
            "column 'shoulder' is in 'furlong'; expected rad or deg of a joint's angle. Convert it",
        ),
        (
            columns(("shoulder", "elbow"), "deg"),
            {"units": "rad"},
            ConfigError,
            "column 'shoulder' is in deg by the file, --units says rad. Leave --units out.",
        ),
        (columns(("shoulder", "elbow"), ""), {"units": "grad"}, UnknownNameError, "unknown unit (--units) 'grad'"),
        (
            columns(("shoulder", "elbow")),
            {"named": {"elbo": "x"}},
            UnknownNameError,
            "unknown position of model 'arm' 'elbo'. Did you mean 'elbow'?",
        ),
        (
            columns(("shoulder", "elbow")),
            {"named": {"elbow": "elbw"}},
            UnknownNameError,
            "unknown column of walk.csv 'elbw'. Did you mean 'elbow'?",
        ),
        (
            replace(columns(("shoulder", "elbow")), values=np.full((50, 2), np.nan)),
            {},
            SignalError,
            "walk.csv: column of 'shoulder' has no value at all. Give it, or --hold it.",
        ),
    ],
)
def test_columns(arm: BodyModel, given: Columns, options: dict[str, object], error: type, told: str) -> None:
    with pytest.raises(error) as raised:
        match_positions(arm, given, **options)  # type: ignore[arg-type]
    assert told in str(raised.value)
    assert isinstance(raised.value, InvdynError)


def test_columns_of_words_and_of_one_name(arm: BodyModel) -> None:
    """A column with a word in one cell is no number; numbers of two signals with one name are told apart."""
    words = replace(columns(("shoulder",)), words={"elbow": "abc"})
    with pytest.raises(SignalError, match=r"walk.csv: column 'elbow' holds words \('abc'\); expected numbers. Repair"):
        match_positions(arm, words)
    names = ("shoulder", "elbow")
    two = [
        Signal(SignalSpec(name, (2,), "float64", "state", "rad", names), np.full((50, 2), value))
        for name, value in (("observation.state", 0.1), ("observation.target", 0.2))
    ]
    both = Signal(SignalSpec("grip", (), "string", "text"), np.array(["1", "abc"] * 25, dtype=object))
    found = episode_columns(Episode.from_signals([*two, both], fps=50.0, timestamp=TIME), "run")
    assert found.names == ("shoulder", "elbow", "target.shoulder", "target.elbow")
    assert found.words == {"grip": "abc"}
    positions = match_positions(arm, found, named={"elbow": "target.elbow"})
    assert (positions.q == [0.1, 0.2]).all()
    assert positions.unused == ("elbow", "target.shoulder")


def test_lengths(tmp_path: Path) -> None:
    slider = read_urdf(write_robot(tmp_path, SLIDER))
    with pytest.raises(SignalError, match=r"'rail' spans 0 ... 60 without a unit; expected m or mm or cm"):
        match_positions(slider, columns(("rail",), ""))
    assert match_positions(slider, columns(("rail",), "mm")).q.max() == pytest.approx(0.06)


def test_a_table_of_vectors() -> None:
    table = Table(("a",), TIME, np.zeros((50, 3)), False, data_type="Vec3")
    with pytest.raises(SignalError, match=r"x.sto: columns of 3 numbers; expected one coordinate each"):
        table_columns(table, "x.sto")


def test_loads() -> None:
    table = Table(("left_vx", "left_vy", "left_vz"), TIME, np.zeros((50, 3)), False)
    with pytest.raises(SignalError) as raised:
        table_loads(table, "grf.mot", {"foot": "right"})
    assert "no columns right_vx, right_vy, right_vz for the load on 'foot'; it has left." in str(raised.value)


GROUND = tuple(f"ground_force_{what}{axis}" for what in "vp" for axis in "xyz")


def loads_of(names: tuple[str, ...]) -> ExternalLoads:
    return table_loads(Table(names, TIME, np.zeros((50, len(names))), False), "grf.mot", {"foot": "ground_force"})


def test_loads_that_say_less_than_they_might(caplog: pytest.LogCaptureFixture) -> None:
    """OpenSim's tables call the moments of ground_force_vx ground_torque_x: they are not lost in silence."""
    (load,) = loads_of((*GROUND, *(f"ground_torque_{axis}" for axis in "xyz"))).loads
    assert (load.force, load.point, load.torque) == ("ground_force_v", "ground_force_p", "ground_torque_")
    assert not caplog.records
    (load,) = loads_of(GROUND[:3]).loads
    assert (load.point, load.torque) == (None, None)
    assert "grf.mot: no columns ground_force_px ...: the load acts at the origin of 'foot'." in caplog.text
    assert "no columns ground_force_mx nor ground_torque_x: the load on 'foot' has no moment." in caplog.text
    with pytest.raises(SignalError, match=r"column ground_force_px without ground_force_pz; expected x, y and z"):
        loads_of(GROUND[:5])


def test_points_that_are_no_metres_are_reported(arm: BodyModel, caplog: pytest.LogCaptureFixture) -> None:
    still = Positions(TIME, np.zeros((50, 2)), (True, True), (), "still.csv")
    names = tuple(f"f_{what}{axis}" for what in "vpm" for axis in "xyz")
    for point, force, told in ((500.0, 10.0, True), (0.5, 10.0, False), (500.0, 0.0, False)):
        table = Table(names, TIME, np.tile([0, 0, force, point, 0, 0, 0, 0, 0], (50, 1)), False)
        caplog.clear()
        loads = table_loads(table, "grf.mot", {"hand": "f"})
        recover_torques(arm, still, TorqueSettings(smoother="none", sweep=()), (loads, table))
        assert ("load 'hand=f' acts 500 m from 'hand', as its points are taken as m" in caplog.text) is told


def test_smoothing(arm: BodyModel) -> None:
    q = np.zeros((50, 2))
    q[7, 1] = np.nan
    positions = Positions(TIME, q, (True, True), (), "walk.csv")
    with pytest.raises(
        SignalError, match=r"'elbow' is missing at step 7 \(1 in all\); --smooth none cannot bridge gaps"
    ):
        smooth_positions(arm, positions, "none")
    with pytest.raises(ConfigError, match="--cutoff 5 goes with a smoother; --smooth none has none"):
        smooth_positions(arm, positions, "none", 5.0)


@pytest.mark.parametrize(
    ("steps", "method", "told"),
    [
        (5, "none", "walk.csv: 5 steps; --smooth none needs 6 or more. Give a longer recording."),
        (9, "rts", "walk.csv: 9 steps; --smooth rts needs 10 or more."),
        (20, "savgol", "walk.csv: window=31 with degree=4 on 20 samples; .* Pass window=... or cutoff=..."),
    ],
)
def test_short_recordings(arm: BodyModel, steps: int, method: Smoother, told: str) -> None:
    short = Positions(TIME[:steps], np.zeros((steps, 2)), (True, True), (), "walk.csv")
    with pytest.raises((SignalError, ConfigError), match=told):
        smooth_positions(arm, short, method)


def test_recordings_that_cannot_be_smoothed_are_named(arm: BodyModel, tmp_path: Path) -> None:
    gaps = np.zeros((50, 2))
    gaps[8:, 1] = np.nan
    with pytest.raises(SignalError, match=r"walk.csv: 'elbow' has 8 values in 50 steps; expected 10 or more"):
        smooth_positions(arm, Positions(TIME, gaps, (True, True), (), "walk.csv"))
    uneven = TIME + np.where(np.arange(50) > 20, 9, 0)
    with pytest.raises(SignalError, match=r"walk.csv: steps from 0.02 to 9.02 s; method='savgol' needs a regular"):
        smooth_positions(arm, Positions(uneven, np.zeros((50, 2)), (True, True), (), "walk.csv"), "savgol")
    whole = Positions(TIME, np.zeros((50, 2)), (True, True), (), "walk.csv")
    for method in ("rts", "spline", "savgol", "butterworth"):
        with pytest.raises(
            ConfigError, match=r"--cutoff 30 Hz: walk.csv has 50 steps/s; expected less than half of that"
        ):
            smooth_positions(arm, whole, method, 30.0)  # type: ignore[arg-type]
    hopper = read_urdf(write_robot(tmp_path, HOPPER), "free")
    q = np.tile(hopper.neutral, (50, 1))
    q[3:, 6] = 0.5
    with pytest.raises(
        SignalError, match=r"the quaternion of 'root' has length 0.5 at step 3 \(47 in all\); expected 1"
    ):
        smooth_positions(hopper, Positions(TIME, q, (True,) * 8, (), "walk.csv"))
    with pytest.raises(ConfigError, match=r"--sweep 40: walk.csv has 50 steps/s; expected cut-offs below 22.5 Hz"):
        recover_torques(arm, Positions(TIME, gaps, (True, True), (), "walk.csv"), TorqueSettings(sweep=(3.0, 40.0)))


def test_contacts(arm: BodyModel, tmp_path: Path) -> None:
    positions = Positions(TIME, np.zeros((50, 2)), (True, True), (), "walk.csv")
    point = ContactPoint("hand")
    with pytest.raises(ConfigError, match="--contacts: model 'arm' is fixed to the world"):
        recover_torques(arm, positions, TorqueSettings(contacts=(point,)))
    with pytest.raises(ConfigError, match=r"--contacts hand stands twice"):
        contact_model(arm, (point, point))
    with pytest.raises(UnknownNameError, match="Did you mean 'hand'"):
        contact_model(arm, (ContactPoint("hnd"),))
    with pytest.raises(ConfigError, match=r"--contacts base: it is fixed to the world. Name a frame of a moving body"):
        contact_model(arm, (ContactPoint("base"),))
    with pytest.raises(ConfigError, match="expected SITE or SITE@x,y,z in m"):
        ContactPoint.parse("hand@1,2")
    with pytest.raises(ConfigError, match="has no gravity, so nothing says where up is"):
        upwards(arm.with_gravity((0.0, 0.0, 0.0)))
    hopper = read_urdf(write_robot(tmp_path, HOPPER), "free")
    loads = table_loads(Table(("f_vx", "f_vy", "f_vz"), TIME, np.zeros((50, 3)), False), "x", {"shin": "f"})
    table = Table(("f_vx", "f_vy", "f_vz"), TIME, np.zeros((50, 3)), False)
    standing = Positions(TIME, np.tile(hopper.neutral, (50, 1)), (True,) * 8, (), "walk.csv")
    with pytest.raises(ConfigError, match=r"--contacts finds the forces that --grf measured. Give one of them"):
        recover_torques(hopper, standing, TorqueSettings(contacts=(ContactPoint("shin"),)), (loads, table))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"level": 1.0}, "--level 1: expected a share between 0 and 1"),
        ({"horizon": 0.0}, "--horizon 0 s: expected a positive number"),
        ({"sweep": (3.0,)}, "expected two or more positive cut-offs in Hz"),
        ({"span": (2.0, 1.0)}, "--span 2 1: expected the first s before the last."),
        ({"cutoff": -3.0}, "--cutoff -3 Hz: expected a positive number, for example 6."),
        ({"friction": float("nan")}, "--friction nan: expected a positive number"),
        ({"closes": (-1.0, 0.3)}, r"--closes -1 0.3: expected a height \(m\) and a speed \(m/s\) above 0"),
        ({"smoothness": -1.0}, "--smoothness -1: expected 0 or a positive number."),
        ({"ground": float("nan")}, "--ground nan: expected the height of the floor in m."),
    ],
)
def test_settings(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        TorqueSettings(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--grf", "nowhere.xml"), "nowhere.xml does not exist. Check --grf."),
        (("--grf-body", "hand=grip"), "--grf-body without --grf: nothing says the forces. Give their file with --grf."),
        (("--grf-body", "hand"), "--grf-body 'hand': expected NAME=VALUE, for example foot_r=ground_force."),
        (("--hold", "elbow=bent"), "--hold elbow=bent: expected a number in rad or m."),
        (("--hold", "elbow=1", "elbow=2"), "--hold elbow=... stands twice. Leave one out."),
        (
            ("--hold", "elbow=90"),
            "--hold elbow=90: angles are held in rad; expected at most a whole turn. 90 degrees are 1.5708.",
        ),
        (("--signal", "velocity"), "unknown signal of"),
        (("--read", "nan=mask", "--episode", "4"), "--episode 4:"),
        (("--contacts", "hand@0"), "expected SITE or SITE@x,y,z in m"),
        (("--root", "free"), "no column for 'root.tx' of model 'arm' (nor for root.ty"),
        (("--smooth", "kalman"), "--smooth"),
        (("--span", "5", "6"), "swing.csv goes from 0 to 0.99 s, 0 steps of it in the span; expected 2 or more."),
        (("--up", "z"), "--up z turns markers and plates (.trc, .c3d), of which there are none. Leave it out."),
        (("--markers", "a=b"), "--markers goes with .trc and .c3d files. Leave it out, or name columns."),
    ],
)
def test_options(refused: Cli, args: tuple[str, ...], told: str) -> None:
    assert told in refused(*args)


def test_outputs(refused: Cli, tmp_path: Path) -> None:
    assert "out.txt: expected .csv, .sto, .mot, or a folder without an ending. Rename it." in refused(out="out.txt")
    (tmp_path / "old.html").write_text("mine")
    told = refused("--report", tmp_path / "old.html")
    assert "tau.pdf: expected .html, for it is a page of text and pictures" in refused("--report", tmp_path / "tau.pdf")
    assert "old.html exists already. Choose another --report, or pass --overwrite" in told
    told = refused("--out", tmp_path / "a.csv", tmp_path / "a.csv")
    assert "a.csv is named twice by --out. Give each a name of its own." in told


def test_where_recordings_can_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 recordings for one .csv file. Choose one with --episode N"):
        check_target(tmp_path / "a.csv", [TIME, TIME])
    with pytest.raises(ConfigError, match=r"recording 1 has 100 frames/s, the first one 50. Write them one by one"):
        check_target(tmp_path / "a", [TIME, TIME / 2])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("shoulder [rad],elbow [rad]\n0,0\n1,1\n", "Pass --read fps=... or --read time=column (of the seconds)."),
        ("time,shoulder [rad],elbow [rad]\n0,0,0\n1,1,nan\n", "or pass --read nan=mask to read such steps"),
        ("time,shoulder [rad],elbow [rad]\n0,0,0\n", "expected two steps at least. Pass --read fps=..."),
        ("time,shoulder [rad],elbow [rad]\n0,0,0\n0,0,0\n", "Name the right time column (--read time=...)"),
    ],
)
def test_remedies_of_readers_are_options(refused: Cli, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "motion.csv").write_text(text)
    assert told in refused(motion=tmp_path / "motion.csv")


def test_text_that_is_read_as_a_table(refused: Cli, tmp_path: Path) -> None:
    """A format that was asked for is not told by the ending."""
    (tmp_path / "motion.txt").write_text("a,b\n1\n")
    assert "motion.txt: cannot be read as CSV" in refused("--format", "csv", motion=tmp_path / "motion.txt")
    (tmp_path / "more").mkdir()
    for name in ("a.csv", "b.npz"):
        (tmp_path / "more" / name).write_text("")
    assert "(csv, npz). Say which with --format" in refused(motion=tmp_path / "more")


def test_motion_and_loads_files(refused: Cli, tmp_path: Path) -> None:
    assert "gone.csv does not exist. Check the path." in refused(motion=tmp_path / "gone.csv")
    (tmp_path / "grf.csv").write_text("time,a\n0,1\n")
    assert "expected external loads (.xml), a table (.mot, .sto) or a .c3d file" in refused(
        "--grf", tmp_path / "grf.csv"
    )
    (tmp_path / "grf.mot").write_text("grf\ninDegrees=no\nendheader\ntime\tp_vx\tp_vy\tp_vz\n0\t0\t0\t0\n1\t0\t0\t0\n")
    told = refused("--grf", tmp_path / "grf.mot")
    assert "nothing says which bodies its forces push (p). Pass --grf-body BODY=p for each." in told
    told = refused("--grf", tmp_path / "grf.mot", "--grf-body", "hnd=p")
    assert "unknown body of model 'arm' 'hnd'. Did you mean 'hand'?" in told


def test_markers(refused: Cli, tmp_path: Path) -> None:
    rows = "\n".join(f"{k + 1}\t{k / 10}\t0\t0\t0" for k in range(8))
    head = "PathFileType\t4\t(X/Y/Z)\tx.trc\nDataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\n10\t10\t8\t1\tmm\n"
    (tmp_path / "x.trc").write_text(f"{head}Frame#\tTime\tm1\n\t\tX1\tY1\tZ1\n\n{rows}\n")
    assert "1 of 1 are sites of model 'arm'; expected at least 3" in refused(motion=tmp_path / "x.trc")
    told = refused("--up", "w", motion=tmp_path / "x.trc")
    assert "--up 'w': expected one of x, y, z, -x, -y, -z" in told
    told = refused("--hold", "elbow=1", motion=tmp_path / "x.trc")
    assert "--columns, --hold, --signal and --lengths go with tables, not with markers." in told
