"""Marker files and force plates: exact round trips, the common C++ reader as oracle, loads known in closed form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from motion_samples import markers

from invdyn.episodes import Dataset, detect_format, open_dataset, write_dataset
from invdyn.episodes.formats.c3d import C3d, read_c3d, write_c3d
from invdyn.episodes.formats.force_plates import ForcePlate
from invdyn.episodes.formats.markers import Markers
from invdyn.episodes.formats.trc import read_trc, write_trc

WALK = "c3d_walking/walking2.c3d"


def test_trc_round_trip_is_exact(tmp_path: Path) -> None:
    truth = markers()
    write_trc(truth, tmp_path / "a.trc")
    back = read_trc(tmp_path / "a.trc")
    assert back.names == truth.names
    assert np.array_equal(back.positions, truth.positions, equal_nan=True)
    assert np.array_equal(back.time, truth.time)
    assert back.rate == truth.rate
    assert np.array_equal(back.valid, truth.valid)
    write_trc(truth, tmp_path / "b.trc", units="mm")
    np.testing.assert_allclose(read_trc(tmp_path / "b.trc").positions, truth.positions, rtol=4e-16)


def test_trc_layout_is_the_one_opensim_reads(tmp_path: Path) -> None:
    write_trc(markers(), tmp_path / "a.trc", units="mm")
    lines = (tmp_path / "a.trc").read_text("utf-8").split("\n")
    assert lines[0] == "PathFileType\t4\t(X/Y/Z)\ta.trc"
    assert lines[1].split("\t")[2:5] == ["NumFrames", "NumMarkers", "Units"]
    assert lines[2].split("\t")[2:5] == ["12", "3", "mm"]
    assert lines[3] == "Frame#\tTime\tR.ASIS\t\t\tL/Knee\t\t\tToe tip\t\t"
    assert lines[5] == ""
    assert all(len(line.split("\t")) == 2 + 9 for line in lines[6:-1])  # a missing last marker keeps its tabs
    assert lines[8].endswith("\t\t\t")


def test_trc_as_dataset(tmp_path: Path) -> None:
    write_trc(markers(), tmp_path / "A.TRC")
    assert detect_format(tmp_path / "A.TRC") == "trc"
    data = open_dataset(tmp_path / "A.TRC")
    assert list(data.schema) == [f"observation.marker.{n}" for n in ("R.ASIS", "L.Knee", "Toe tip")]
    assert (~data[0]["observation.marker.Toe tip"].mask).nonzero()[0].tolist() == [2, 3, 4]
    back = Markers.from_episode(open_dataset(write_dataset(data, tmp_path / "b.trc", format="trc"))[0])
    assert back.names == markers().names  # the slash is kept
    assert np.array_equal(back.positions, markers().positions, equal_nan=True)
    folder = write_dataset(Dataset.from_episodes([data[0], data[0]]), tmp_path / "many", format="trc")
    assert len(open_dataset(folder)) == 2


def test_real_trc(shared_data: Path) -> None:
    found = read_trc(shared_data / "opensim_inverse_dynamics" / "rajagopal_walk" / "markers_walk.trc")
    assert found.positions.shape == (238, 41, 3)
    assert found.rate == 100
    assert found.valid.all()
    np.testing.assert_allclose(found.positions[0, 0], [-0.65263, 1.529542, -0.09452], rtol=1e-15)


@pytest.mark.parametrize("name", [WALK, "wheelchair_kinetics/kinematics_racing_propulsion.c3d"])
def test_c3d_reads_what_the_common_reader_reads(shared_data: Path, name: str) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    ours, theirs = read_c3d(shared_data / name), ezc3d.c3d(str(shared_data / name))
    per_metre = {"mm": 1e3, "m": 1.0}[theirs["parameters"]["POINT"]["UNITS"]["value"][0]]
    points = np.moveaxis(theirs["data"]["points"][:3], [0, 1, 2], [2, 1, 0]) / per_metre
    assert np.array_equal(ours.markers.positions, points, equal_nan=True)
    assert ours.markers.names == tuple(theirs["parameters"]["POINT"]["LABELS"]["value"])
    assert ours.markers.rate == theirs["header"]["points"]["frame_rate"]
    assert len(ours.analog_names) == theirs["header"]["analogs"]["size"]
    assert np.array_equal(ours.analog.T.ravel(), theirs["data"]["analogs"][0].ravel())


def test_c3d_round_trip_is_exact_to_float32(tmp_path: Path) -> None:
    pytest.importorskip("ezc3d")
    seen = markers()
    analog = np.random.default_rng(0).normal(size=(8 * len(seen.time), 3)) * [1e-4, 1, 1e6]
    write_c3d(C3d(seen, analog, ("Fx", "EMG", "Mz"), ("N", "V", "Nmm"), 8 * seen.rate), tmp_path / "a.c3d")
    back = read_c3d(tmp_path / "a.c3d")
    assert np.array_equal(back.markers.positions, seen.positions.astype(np.float32), equal_nan=True)
    assert np.array_equal(back.analog, analog.astype(np.float32))
    assert (back.markers.names, back.analog_names, back.analog_units) == (
        seen.names,
        ("Fx", "EMG", "Mz"),
        ("N", "V", "Nmm"),
    )
    assert (back.markers.rate, back.analog_rate) == (100, 800)
    assert np.array_equal(back.markers.time, seen.time)


def test_c3d_dataset_round_trip(tmp_path: Path) -> None:
    pytest.importorskip("ezc3d")
    write_c3d(C3d(markers(), np.ones((12, 1)), ("EMG",), ("V",), 100.0), tmp_path / "a.c3d")
    data = open_dataset(tmp_path / "a.c3d", clock="resampled")
    assert data[0]["observation.analog"].values.tolist() == [[1.0]] * 12
    back = open_dataset(write_dataset(data, tmp_path / "b.c3d", format="c3d"), clock="resampled")
    assert np.array_equal(
        back[0]["observation.marker.R.ASIS"].values, data[0]["observation.marker.R.ASIS"].values, equal_nan=True
    )
    assert back.schema["observation.analog"] == data.schema["observation.analog"]


def big_endian(content: bytes, dec: bool) -> bytes:
    """A little-endian C3D file of floats as a MIPS or a DEC machine would have written it."""
    from invdyn.episodes.formats import c3d_file

    out = bytearray(content)

    def words(at: int, number: int) -> None:
        if not dec:
            for k in range(at, at + 2 * number, 2):
                out[k : k + 2] = content[k : k + 2][::-1]

    def floats(at: int, number: int) -> None:
        raw = np.frombuffer(content, "<f4", number, at)
        if dec:
            halves = (raw * np.float32(4)).view("<u2").reshape(-1, 2)[:, ::-1]
            out[at : at + 4 * number] = halves.tobytes()
        else:
            out[at : at + 4 * number] = raw.astype(">f4").tobytes()

    start = (content[0] - 1) * 512
    out[start + 3] = 85 if dec else 86
    words(2, 5)
    floats(12, 1)
    words(16, 2)
    floats(20, 1)
    at = start + 4
    while content[at] != 0:
        length, number = (int(v) for v in np.frombuffer(content, "i1", 2, at))
        end = at + 2 + abs(length)
        offset = int.from_bytes(content[end : end + 2], "little")
        words(end, 1)
        if number > 0:
            kind, dimensions = (int(v) for v in np.frombuffer(content, "i1", 2, end + 2))
            size = int(np.prod([*content[end + 4 : end + 4 + dimensions]], dtype=int))
            if kind == 2:
                words(end + 4 + dimensions, size)
            if kind == 4:
                floats(end + 4 + dimensions, size)
        if offset == 0:
            break
        at = end + offset
    first = (int.from_bytes(content[16:18], "little") - 1) * c3d_file.BLOCK
    floats(first, (len(content) - first) // 4)
    return bytes(out)


@pytest.mark.parametrize("dec", [False, True])
def test_c3d_of_other_processors(tmp_path: Path, dec: bool) -> None:
    pytest.importorskip("ezc3d")
    analog = np.random.default_rng(0).normal(size=(24, 2))
    write_c3d(C3d(markers(), analog, ("a", "b"), ("V", "V"), 200.0), tmp_path / "intel.c3d")
    (tmp_path / "other.c3d").write_bytes(big_endian((tmp_path / "intel.c3d").read_bytes(), dec))
    one, other = read_c3d(tmp_path / "intel.c3d"), read_c3d(tmp_path / "other.c3d")
    assert np.array_equal(one.markers.positions, other.markers.positions, equal_nan=True)
    assert np.array_equal(one.analog, other.analog)
    assert one.markers.names == other.markers.names


def plate(kind: int, **more: object) -> ForcePlate:
    """0.4 m x 0.6 m, turned 90 degrees, 1 m from the origin; z of the plate points down."""
    corners = np.array([[1.3, 2.2, 0.0], [1.3, 1.8, 0.0], [0.7, 1.8, 0.0], [0.7, 2.2, 0.0]])
    return ForcePlate(kind, corners, np.array(more.pop("origin", [0.002, -0.003, -0.04])), **more)  # type: ignore[arg-type]


def known_load(frames: int = 9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Force (lab), centre of pressure (lab) and free moment about the vertical of a made-up step."""
    rng = np.random.default_rng(5)
    force = np.stack([rng.normal(size=frames) * 40, rng.normal(size=frames) * 30, rng.uniform(300, 900, frames)], 1)
    cop = np.stack([rng.uniform(0.75, 1.25, frames), rng.uniform(1.85, 2.15, frames), np.zeros(frames)], axis=1)
    return force, cop, rng.normal(size=frames) * 5


def channels_of(made: ForcePlate, force: np.ndarray, cop: np.ndarray, free: np.ndarray) -> np.ndarray:
    """What the transducer of a plate of type 2 reads, from mechanics: moments about its origin in its own frame."""
    to_plate = made.axes.T
    f = force @ to_plate.T
    transducer = made.centre - made.axes @ made.origin  # the surface's centre is `origin` away from it
    moment = np.cross(cop - transducer, force) + np.stack([0 * free, 0 * free, free], axis=1)
    return np.concatenate([f, moment @ to_plate.T], axis=1)


def check(made: ForcePlate, channels: np.ndarray) -> None:
    force, cop, free = known_load()
    load = made.load(channels)
    np.testing.assert_allclose(load.force, force, atol=1e-9)
    np.testing.assert_allclose(load.cop, cop, atol=1e-12)
    np.testing.assert_allclose(load.free_moment, np.stack([0 * free, 0 * free, free], axis=1), atol=1e-9)
    np.testing.assert_allclose(load.moment, np.cross(cop, force) + load.free_moment, atol=1e-9)


def test_plate_axes_point_into_the_floor() -> None:
    axes = plate(2).axes
    assert axes[:, 2].tolist() == [0, 0, -1]
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-15)
    assert np.linalg.det(axes) == pytest.approx(1)


def test_plate_of_type_2() -> None:
    check(plate(2), channels_of(plate(2), *known_load()))


def test_plate_with_the_opposite_origin_is_turned_round() -> None:
    opposite = plate(2, origin=[-0.002, 0.003, 0.04])
    check(opposite, channels_of(plate(2), *known_load()))


def test_plate_of_type_4() -> None:
    matrix = np.random.default_rng(0).normal(size=(6, 6)) + 5 * np.eye(6)
    made = plate(4, calibration=matrix)
    volts = np.linalg.solve(matrix, channels_of(made, *known_load()).T).T
    check(made, volts)


def test_plate_of_type_1() -> None:
    force, cop, free = known_load()
    made = plate(1, origin=[0.0, 0.0, 0.0])
    local = (cop - made.centre) @ made.axes
    tz = -free  # about the plate's z, which points down
    check(made, np.concatenate([force @ made.axes, local[:, :2], tz[:, None]], axis=1))


def test_plate_of_type_3() -> None:
    """Four sensors at (+-a, +-b), numbered as the quadrants; each force is shared so that the moments are right."""
    force, cop, free = known_load()
    a, b, down = 0.15, 0.25, 0.04
    made = plate(3, origin=[a, b, -down])
    local = (cop - made.centre) @ made.axes + [0, 0, -down]  # from the plane of the sensors
    f = force @ made.axes
    moment = np.cross(local, f) + np.stack([0 * free, 0 * free, -free], axis=1)
    # verticals: sum, moment about x and about y; the fourth condition (no twist) is free
    rows = np.array([[1, 1, 1, 1], [b, b, -b, -b], [-a, a, a, -a], [1, -1, 1, -1]])
    z = np.linalg.solve(rows, np.stack([f[:, 2], moment[:, 0], moment[:, 1], 0 * free]))
    # horizontals: x12 at y = +b, x34 at y = -b; y14 at x = +a, y23 at x = -a
    split = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [-b, b, a, -a], [1, -1, 1, -1]])
    h = np.linalg.solve(split, np.stack([f[:, 0], f[:, 1], moment[:, 2], 0 * free]))
    check(made, np.concatenate([h, z]).T)


def test_no_centre_of_pressure_without_load() -> None:
    channels = channels_of(plate(2), *known_load())
    channels[3] = 0
    load = plate(2).load(channels, threshold=50.0)
    assert np.isnan(load.cop[3]).all()
    assert np.isfinite(load.cop[[0, 1, 2, 4, 5, 6, 7, 8]]).all()
    assert load.force[3].tolist() == [0, 0, 0]


def test_real_walk_over_two_plates(shared_data: Path) -> None:
    walk = read_c3d(shared_data / WALK)
    assert [p.kind for p in walk.plates] == [2, 2]
    assert walk.markers.positions.shape == (1249, 44, 3)
    assert (walk.markers.rate, walk.analog_rate) == (250, 2000)
    assert walk.markers.metadata["y_screen"] == "+Z"
    names = list(walk.markers.names)
    for plate_, load in zip(walk.plates, walk.loads(), strict=True):
        carried = load.force[:, 2] > 200
        assert 700 < load.force[:, 2].max() < 1100  # N upwards: an adult of 75 to 90 kg on one foot
        low, high = plate_.corners[:, :2].min(0), plate_.corners[:, :2].max(0)
        inside = ((load.cop[:, :2] >= low - 0.02) & (load.cop[:, :2] <= high + 0.02)).all(axis=1)
        assert inside[carried].all()
        assert np.abs(load.free_moment[carried]).max() < 30  # N m, ten at most in walking
    stance = np.flatnonzero(walk.loads()[0].force[::8, 2] > 200)
    heel, toe = (walk.markers.positions[stance, names.index(n)] for n in ("RCAL", "RMT2"))
    middle = walk.loads()[0].cop[::8][stance]
    early, late = len(stance) // 5, 3 * len(stance) // 5
    assert np.linalg.norm(middle[early, :2] - heel[early, :2]) < 0.2
    assert middle[late, 0] - middle[early, 0] > 0.03  # it travels from heel to toes
    assert heel[late, 0] < middle[late, 0] < toe[late, 0] + 0.1


def test_two_clocks_are_never_mixed_unasked(shared_data: Path) -> None:
    points = open_dataset(shared_data / WALK)
    assert points.fps == 250
    assert all(n.startswith("observation.marker.") for n in points.schema)
    fast = open_dataset(shared_data / WALK, clock="analog")
    assert (fast.fps, fast.frames) == (2000, 9992)
    assert list(fast.schema)[:2] == ["observation.analog", "force.plate1"]
    both = open_dataset(shared_data / WALK, clock="resampled")
    assert (both.fps, both.frames) == (250, 1249)
    whole, kept = fast[0]["force.plate1"].values[::8], both[0]["force.plate1"].values
    assert np.abs(whole - kept).max() < 0.15 * np.abs(whole).max()  # the heel strike is filtered, nothing shifted
    assert np.corrcoef(whole[:, 2], kept[:, 2])[0, 1] > 0.999


def test_resampling_filters_what_the_slow_clock_cannot_hold(tmp_path: Path) -> None:
    pytest.importorskip("ezc3d")
    seen = replace(markers(200), positions=np.zeros((200, 3, 3)))
    t = np.arange(1600) / 800
    slow, fast = np.sin(2 * np.pi * 5 * t), np.sin(2 * np.pi * 301 * t)  # 301 Hz would alias to 1 Hz at 100
    write_c3d(C3d(seen, np.stack([slow, fast], axis=1), ("slow", "fast"), ("V", "V"), 800.0), tmp_path / "a.c3d")
    kept = open_dataset(tmp_path / "a.c3d", clock="resampled")[0]["observation.analog"].values[20:-20]
    assert np.abs(kept[:, 0] - slow[::8][20:-20]).max() < 0.01
    assert np.abs(kept[:, 1]).max() < 0.01


def test_what_is_read_by_convention_is_reported(
    shared_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read_c3d(shared_data / WALK)
    assert "ORIGIN of force plate 1 has z above 0" in caplog.text
    assert "pulls its load down" not in caplog.text
    content = bytearray((shared_data / WALK).read_bytes())
    at = content.index(b"SCALE", content.index(b"ANALOG")) + 5 + 2 + 2 + 1
    while np.frombuffer(content, "<f4", 12, at).tolist() != [1.0] * 12:
        at = content.index(b"SCALE", at) + 5 + 2 + 2 + 1
    content[at : at + 48] = np.full(12, -1, "<f4").tobytes()
    (tmp_path / "turned.c3d").write_bytes(content)
    turned = read_c3d(tmp_path / "turned.c3d")
    assert "force plate 1 pulls its load down by up to 951 N" in caplog.text
    assert turned.loads()[0].force[:, 2].min() < -900  # no sign was changed
