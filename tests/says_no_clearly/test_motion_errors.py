"""Broken motion files and wrong options: one sentence with file and line, what was expected, and the remedy."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from motion_samples import GROUND, LOADS, bvh, markers, table, write_samples

from invdyn.episodes import Dataset, Episode, Signal, SignalSpec, open_dataset, write_dataset
from invdyn.episodes.formats import motion_files
from invdyn.episodes.formats.bvh_file import Bvh, BvhJoint, read_bvh, write_bvh
from invdyn.episodes.formats.c3d import C3d, read_c3d, write_c3d
from invdyn.episodes.formats.deepmimic import read_character
from invdyn.episodes.formats.external_loads import ExternalLoad, read_external_loads
from invdyn.episodes.formats.force_plates import ForcePlate
from invdyn.episodes.formats.markers import Markers
from invdyn.episodes.formats.opensim_tables import Table, read_table, write_table
from invdyn.episodes.formats.trc import read_trc, write_trc
from invdyn.errors import FormatError, InvdynError, MissingExtraError, SignalError, UnknownNameError


def refused(call: Callable[[], object], *parts: str, kind: type[InvdynError] = FormatError) -> None:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def edited(path: Path, old: str, new: str) -> Path:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


@pytest.fixture
def samples(tmp_path: Path) -> dict[str, Path]:
    pytest.importorskip("ezc3d")
    return write_samples(tmp_path)


# --- OpenSim tables ---------------------------------------------------------------------------------------------------


def test_angle_unit_is_asked_for(samples: dict[str, Path]) -> None:
    path = edited(samples["mot"], "inDegrees=yes\n", "")
    refused(
        lambda: open_dataset(path),
        *("walk.mot", "inDegrees is absent", "'knee_angle_r'", "looks like degrees", 'units="deg" or units="rad"'),
    )
    assert open_dataset(path, units="deg")[0].metadata["angle_unit"] == "deg"
    small = replace(table(), values=table().values / 60)
    write_table(small, path)
    edited(path, "inDegrees=yes\n", "")
    refused(lambda: open_dataset(path), "looks like radians or small degrees")
    refused(lambda: open_dataset(path, units="grad"), "units='grad'", "'deg' or 'rad'", "Correct units=")


def test_angle_units_that_disagree(samples: dict[str, Path]) -> None:
    refused(lambda: open_dataset(samples["mot"], units="rad"), "in deg", "option units says rad", "Leave units=")


def test_unknown_rotation(samples: dict[str, Path]) -> None:
    refused(
        lambda: open_dataset(samples["mot"], rotations=["knee"]), "rotations names 'knee'", "knee_angle_r", "Correct"
    )


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("endheader", "end", ("no line 'endheader'", ".mot or .sto")),
        ("time\tknee", "t\tknee", ("line 7: labels", "`time`", "tabs")),
        ("pelvis_ty", "knee_angle_r", ("line 7: label 'knee_angle_r' twice", "one name per column")),
        ("pelvis_ty", "", ("line 7: label '' (empty)",)),
        ("\t0.9142857142857143\t", "\t", ("line 8: 3 cells", "expected 4")),
        (
            "\t0.9142857142857143\t",
            "\tword\t",
            ("line 8, column 'pelvis_ty': 'word'", "a finite number", "leave it empty"),
        ),
        ("\t0.9142857142857143\t", "\t1e999\t", ("line 8, column 'pelvis_ty': '1e999'", "a finite number")),
        ("\t0.9142857142857143\t", "\t1_0\t", ("line 8, column 'pelvis_ty': '1_0'", "a finite number")),
        ("\n0.1\t", "\n9\t", ("line 9: time 0.11", "after 9.0", "time that increases", "Sort the rows")),
        ("\n0.1\t", "\n\t", ("line 8: time nan",)),
        ("inDegrees=yes", "inDegrees=perhaps", ("inDegrees=perhaps", "yes or no")),
        ("version=1", "DataType=Matrix", ("DataType=Matrix", "Quaternion")),
    ],
)
def test_broken_table(samples: dict[str, Path], old: str, new: str, parts: tuple[str, ...]) -> None:
    refused(lambda: read_table(edited(samples["mot"], old, new)), "walk.mot", *parts)


def test_table_that_ends_early(samples: dict[str, Path]) -> None:
    path = samples["mot"]
    text = path.read_text("utf-8")
    path.write_text(text[: text.index("endheader") + 10], "utf-8")
    refused(lambda: read_table(path), "nothing after 'endheader'", "a line of labels")
    path.write_text(text[: text.index("0.1\t")], "utf-8")
    refused(lambda: read_table(path), "no rows", "at least one")


def test_element_of_the_wrong_width(samples: dict[str, Path]) -> None:
    refused(lambda: read_table(edited(samples["sto3"], "0.5,0.5,", "0.5,")), "line 9: an element of 3 numbers", "4 by")


def test_header_that_counts_wrong_is_reported(samples: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    read_table(edited(samples["mot"], "nRows=10", "nRows=11"))
    assert "tells 11 rows, the table has 10" in caplog.text


def test_unknown_column() -> None:
    refused(lambda: table().columns(["knee_angle"]), "'knee_angle'", "'knee_angle_r'", kind=UnknownNameError)


def test_writing_tables(tmp_path: Path) -> None:
    refused(lambda: write_table(table(in_degrees=None), tmp_path / "a.mot"), "in degrees", "in_degrees=...")
    spec = SignalSpec("observation.state", (2,), "float64", "state", "", ("a", "b"))

    def data(*signals: Signal) -> Dataset:
        return Dataset.from_episodes([Episode.from_signals(signals, fps=10.0)])

    coordinates = Signal(spec, np.zeros((3, 2)))
    refused(
        lambda: write_dataset(data(coordinates), tmp_path / "a.mot", format="opensim"), "nobody tells", 'units="deg"'
    )
    matrix = Signal(SignalSpec("x", (2, 2), "float64", "state"), np.zeros((3, 2, 2)))
    refused(
        lambda: write_dataset(data(matrix), tmp_path / "a.mot", format="opensim", units="rad"),
        *("signal 'x'", "shape (2, 2)", "Leave the signal out"),
    )
    twice = Signal(replace(spec, name="y", unit="m"), np.zeros((3, 2)))
    refused(
        lambda: write_dataset(data(coordinates, twice), tmp_path / "a.mot", format="opensim", units="rad"),
        *("one name", "a name of its own"),
    )


# --- files of any kind ------------------------------------------------------------------------------------------------


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(lambda: read_table(tmp_path / "none.mot"), "none.mot", "cannot be read (No such file", "Check the path")
    refused(lambda: open_dataset(tmp_path, format="trc"), "no .trc file", "one per episode")
    (tmp_path / "a.trc").write_bytes(b"PathFileType\0")
    refused(lambda: read_trc(tmp_path / "a.trc"), "a NUL byte at 12", "a text file")
    monkeypatch.setattr(motion_files, "LARGEST", 10)
    refused(lambda: read_trc(tmp_path / "a.trc"), "0 MiB", "read whole", "Split the recording")


def test_missing_steps_may_be_refused(samples: dict[str, Path]) -> None:
    refused(
        lambda: open_dataset(samples["trc"], nan="refuse"),
        *("walk.trc", "signal 'observation.marker.R.ASIS'", "step 11 (1 steps", "nan='mask'"),
    )
    refused(lambda: open_dataset(samples["trc"], nan="drop"), "nan='drop'", "'refuse' or 'mask'")


def test_files_of_different_kind_in_one_folder(tmp_path: Path) -> None:
    write_trc(markers(rate=100.0), tmp_path / "1.trc")
    (tmp_path / "2.trc").write_text((tmp_path / "1.trc").read_text("utf-8").replace("0.01\t", "0.00\t", 1), "utf-8")
    refused(lambda: open_dataset(tmp_path), "2.trc", "line 8: time 0.0 after 0.0", "time that increases")


# --- TRC --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("PathFileType", "Path", ("no PathFileType", "header of a .trc")),
        ("\tm\t", "\tinch\t", ("Units 'inch'", "m, mm, cm", 'units="mm"')),
        ("\t12\t3\t", "\t12\t4\t", ("line 4: 3 names", "NumMarkers = 4")),
        ("\t12\t3\t", "\t12\tmany\t", ("line 3: NumMarkers is 'many'", "a whole number")),
        ("\t12\t3\t", "\t11\t3\t", ("12 rows", "NumFrames = 11", "Cut off?")),
        ("\n100.0\t", "\n-100.0\t", ("line 3: DataRate -100", "frames per second")),
        ("\n100.0\t", "\ninf\t", ("line 3, DataRate: 'inf'", "a finite number")),
        ("\n1\t0.0\t0.0", "\n1\t0.0", ("line 7: 10 cells", "expected 11", "3 per marker")),
        ("\n1\t0.0\t0.0", "\n1\t0.0\tx", ("line 7, column 'R.ASIS X': 'x'", "a finite number")),
        ("\n1\t0.0\t0.0", "\n1\t5\t0.0", ("line 8: time 0.01 after 5.0", "time that increases")),
        ("L/Knee", "R.ASIS", ("label 'R.ASIS' is empty or stands twice", "a name of its own")),
    ],
)
def test_broken_trc(tmp_path: Path, old: str, new: str, parts: tuple[str, ...]) -> None:
    write_trc(markers(), tmp_path / "a.trc")
    refused(lambda: read_trc(edited(tmp_path / "a.trc", old, new)), "a.trc", *parts)


def test_trc_without_rows_and_writing(tmp_path: Path) -> None:
    write_trc(markers(), tmp_path / "a.trc")
    text = (tmp_path / "a.trc").read_text("utf-8").split("\n")
    (tmp_path / "a.trc").write_text("\n".join(text[:6]), "utf-8")
    refused(lambda: read_trc(tmp_path / "a.trc"), "no rows", "at least one")
    refused(lambda: write_trc(markers(), tmp_path / "b.trc", units="ft"), "units='ft'", "m, mm, cm")
    refused(
        lambda: write_trc(replace(markers(), names=("a\tb", "c", "d")), tmp_path / "b.trc"), r"label 'a\tb'", "Rename"
    )


def test_markers_of_an_episode(tmp_path: Path) -> None:
    spec = SignalSpec("observation.marker.a", (3,), "float64", "state", "mm")
    episode = Episode.from_signals([Signal(spec, np.zeros((2, 3)))], fps=1.0)
    refused(lambda: Markers.from_episode(episode), "shape (3,) in mm", "3 coordinates in m", "Convert")
    other = Episode.from_signals([Signal(replace(spec, name="x"), np.zeros((2, 3)))], fps=1.0)
    refused(lambda: Markers.from_episode(other), "no marker", "observation.marker.<label>")
    refused(lambda: Markers(("a",), np.zeros(2), np.zeros((2, 2, 3)), 1.0), "(2, 2, 3)", "1 labels", kind=SignalError)


# --- C3D and force plates ---------------------------------------------------------------------------------------------


def test_broken_c3d(samples: dict[str, Path]) -> None:
    path = samples["c3d"]
    content = path.read_bytes()

    def check(new: bytes, *parts: str) -> None:
        path.write_bytes(new)
        refused(lambda: read_c3d(path), "walk.c3d", *parts)

    check(b"", "0 bytes that begin with nothing", "a C3D file")
    check(b"PK" + content[2:], "begin with 504b", "second byte is 50")
    check(bytes([200]) + content[1:], "no parameter section where the header points")
    cut = (int.from_bytes(content[16:18], "little") - 1) * 512 + 100
    check(content[:cut], "12 frames of 3 points", f"frames inside its {cut} bytes", "cut off")
    at = content.index(b"UNITS")
    check(content[: at + 5] + b"\1\0" + content[at + 7 :], "points into itself", "the offset of the next record")
    check(content[: at + 7] + b"\5" + content[at + 8 :], "parameter 'UNITS' has type 5", "text, bytes, integers")
    sizes = content.index(b"LABELS") + 6 + 2 + 1 + 1
    wide = content[:sizes] + b"\xff\xff" + content[sizes + 2 :]
    check(wide, "parameter 'LABELS' of 65025 bytes leaves its section", "records inside it")
    check(content[:4] + b"\7\0" + content[6:], "7 analog numbers per frame at 4 samples", "as many for every sample")


def test_c3d_units_and_clock(samples: dict[str, Path]) -> None:
    path, content = samples["c3d"], samples["c3d"].read_bytes()
    at = content.index(b"UNITS") + 5 + 2 + 1 + 1 + 1
    assert content[at : at + 1] == b"m"
    path.write_bytes(content[:at] + b"f" + content[at + 1 :])
    refused(lambda: read_c3d(path), "POINT:UNITS is 'f'", "m, mm, cm", 'units="mm"')
    assert read_c3d(path, units="mm").markers.metadata["unit_in_file"] == "mm"
    refused(lambda: open_dataset(path, clock="both"), "clock='both'", "markers, analog, resampled")


def test_nothing_on_a_clock(tmp_path: Path) -> None:
    pytest.importorskip("ezc3d")
    write_c3d(C3d(markers(), np.empty((0, 0))), tmp_path / "a.c3d")
    refused(lambda: open_dataset(tmp_path / "a.c3d", clock="analog"), "nothing on the clock 'analog'", "clock=...")


def test_c3d_plates(shared_data: Path, tmp_path: Path) -> None:
    content = (shared_data / "c3d_walking" / "walking2.c3d").read_bytes()
    path = tmp_path / "a.c3d"

    def value(name: bytes, dimensions: int) -> int:
        """Where the numbers of a parameter of force plates begin."""
        return content.index(name, content.index(b"FORCE_PLATFORM")) + len(name) + 2 + 2 + dimensions

    def check(at: int, new: bytes, *parts: str) -> None:
        path.write_bytes(content[:at] + new + content[at + len(new) :])
        refused(lambda: read_c3d(path), "a.c3d", *parts, "plates=False")
        assert read_c3d(path, plates=False).markers.names  # the rest is still of use

    check(value(b"TYPE", 1), b"\7\0", "force plate 1: force plate of type 7", "a plate of type 1 to 4")
    check(value(b"TYPE", 1), b"\4\0", "force plate 1 of type 4 with CAL_MATRIX", "6 x 6 numbers per plate")
    check(value(b"CHANNEL", 2), b"\x63\0", "force plate 1 with channels [99.0, 2.0", "6 of the analog ones")
    check(value(b"CORNERS", 3), bytes(48), "force plate with corners", "corners of a rectangle")
    units = content.index(b"UNITS", content.index(b"ANALOG")) + 5 + 2 + 2 + 2
    check(units, b"V  ", "a channel of a force plate of type 2 in 'V'", "N, Nmm or Nm")


def test_plates() -> None:
    corners = np.array([[1.0, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]])
    refused(lambda: ForcePlate(5, corners, np.zeros(3)), "type 5", "1, 2, 3, 4", "Convert", kind=SignalError)
    refused(lambda: ForcePlate(4, corners, np.zeros(3)), "type 4 without CAL_MATRIX", "6 x 6", kind=SignalError)
    refused(lambda: ForcePlate(2, 0 * corners, np.zeros(3)), "corners", "a rectangle", "CORNERS", kind=SignalError)
    plate = ForcePlate(3, corners, np.zeros(3))
    refused(lambda: plate.load(np.zeros((4, 6))), "type 3 with 6 channels", "expected 8", "CHANNEL", kind=SignalError)


def test_writing_c3d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ezc3d")
    uneven = C3d(markers(), np.zeros((13, 1)), ("a",), ("V",), 100.0)
    refused(lambda: write_c3d(uneven, tmp_path / "a.c3d"), "13 analog samples in 12 frames", "Resample")
    words = Signal(SignalSpec("word", (), "string", "text"), np.array(["a"] * 12, object))
    data = Dataset.from_episodes(
        [Episode.from_signals([*markers().signals(tmp_path), words], fps=100.0, timestamp=markers().time)]
    )
    refused(lambda: write_dataset(data, tmp_path / "a.c3d", format="c3d"), "signal 'word'", "float64 vectors", "Leave")
    monkeypatch.setitem(sys.modules, "ezc3d", None)
    refused(
        lambda: write_c3d(C3d(markers(), np.empty((0, 0))), tmp_path / "a.c3d"),
        *("'ezc3d' is not installed", "invdyn[bodies]"),
        kind=MissingExtraError,
    )


# --- BVH --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("HIERARCHY", "TREE", ("line 1: 'TREE'", "'HIERARCHY' first")),
        ("JOINT Spine", "ROOT Spine", ("'ROOT Spine'", "ROOT outside of joints")),
        ("ROOT Hips", "ROOT", ("line 2: 'ROOT'", "each with a name")),
        ("ROOT Hips\n{", "ROOT Hips", ("line 3: 'OFFSET", "ROOT, JOINT, End Site, OFFSET")),
        ("OFFSET 0.0 0.0 0.0", "OFFSET 0.0 0.0", ("line 4", "OFFSET and three numbers")),
        ("OFFSET 0.0 0.0 0.0", "OFFSET 0.0 0.0 x", ("line 4, OFFSET: 'x'", "a finite number")),
        ("\tOFFSET 0.0 0.5 0.0\n", "", ("'}'", "a brace that closes a joint with an OFFSET")),
        ("6 Xposition", "5 Xposition", ("line 5", "CHANNELS, their number, and names")),
        ("6 Xposition", "6 Wposition", ("line 5", "CHANNELS, their number, and names")),
        ("End Site\n\t\t{\n", "End Site\n\t\t{\n\t\tCHANNELS 1 Xrotation\n", ("none of an end site",)),
        ("}\nMOTION", "MOTION", ("'MOTION'", "braces that close")),
        ("MOTION", "", ("Frames: 8", "ROOT, JOINT, End Site")),
        ("Frames: 8", "Frames: 7", ("8 rows of 10 channels", "Frames: 7", "Cut off?")),
        ("Frames: 8", "Frames: 99999999999", ("Frames is '99999999999'", "a whole number from 0 to")),
        ("Frames: 8", "Count: 8", ("'Count: 8'", "'Frames:'")),
        ("Frame Time: 0", "Frame Time: -0", ("Frame Time '-0", "seconds above 0")),
    ],
)
def test_broken_bvh(tmp_path: Path, old: str, new: str, parts: tuple[str, ...]) -> None:
    write_bvh(bvh(), tmp_path / "a.bvh")
    refused(lambda: read_bvh(edited(tmp_path / "a.bvh", old, new)), "a.bvh", *parts)


def test_bvh_rows_and_depth(tmp_path: Path) -> None:
    path = tmp_path / "a.bvh"
    write_bvh(bvh(), path)
    text = path.read_text("utf-8")
    path.write_text(text.rstrip().rpartition(" ")[0] + "\n", "utf-8")
    refused(lambda: read_bvh(path), "9 numbers", "10, one per channel")
    path.write_text(text[: text.index("MOTION")], "utf-8")
    refused(lambda: read_bvh(path), "no MOTION", "a hierarchy and then MOTION")
    path.write_text("HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\n" + "JOINT b\n{\nOFFSET 0 0 0\n" * 300, "utf-8")
    refused(lambda: read_bvh(path), "at most 256 deep")


def test_writing_bvh(tmp_path: Path, samples: dict[str, Path]) -> None:
    gap = bvh()
    gap.values[2, 3] = np.nan
    refused(lambda: write_bvh(gap, tmp_path / "b.bvh"), "missing values", "Fill the gaps")
    named = Bvh((BvhJoint("a{", -1, (0.0, 0.0, 0.0), ("Xrotation",)),), np.zeros((1, 1)), 0.1)
    refused(lambda: write_bvh(named, tmp_path / "b.bvh"), "'a{'", "no braces", "Rename")
    other = open_dataset(samples["trc"])
    refused(lambda: write_dataset(other, tmp_path / "b.bvh", format="bvh"), "no skeleton", "read from BVH")
    part = open_dataset(samples["bvh"])[0].with_signals([], drop=["observation.rotation"])
    refused(
        lambda: write_dataset(Dataset.from_episodes([part]), tmp_path / "b.bvh", format="bvh"),
        *("no channel 'Hips.Zrotation' (7 in all)", "every channel", "Keep both signals"),
    )


# --- AMASS and DeepMimic ----------------------------------------------------------------------------------------------


def test_broken_amass(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    good = {"trans": np.zeros((4, 3)), "poses": np.zeros((4, 156)), "mocap_framerate": np.array(120.0)}

    def check(*parts: str, **other: object) -> None:
        np.savez(path, **{**good, **other})  # type: ignore[arg-type]
        refused(lambda: open_dataset(path, format="amass"), "a.npz", *parts)

    check("poses (4, 72)", "(N, 156) or (N, 165)", poses=np.zeros((4, 72)))
    check("trans (3, 3)", trans=np.zeros((3, 3)))
    check("mocap_framerate is [0.0]", "frames per second", mocap_framerate=0.0)
    check("dmpls (3, 8)", "(4, 8)", dmpls=np.zeros((3, 8)))
    check("array 'poses' is <U1", "numbers", poses=np.full((4, 156), "a"))
    check("an infinite number", "finite", trans=np.full((4, 3), np.inf))
    check("NaN at step 0", "nan='mask'", trans=np.full((4, 3), np.nan))
    check("array 'poses' holds pickled", "unpickling", poses=np.array([{}], object))
    check("marker_data (4, 2, 3)", "(4, 1, 3)", marker_data=np.zeros((4, 2, 3)), marker_labels=["a"])
    np.savez(path, trans=good["trans"])
    refused(lambda: open_dataset(path, format="amass"), "no array 'poses'", "an AMASS archive")
    path.write_bytes(b"PK\3\4")
    refused(lambda: open_dataset(path, format="amass"), "not a complete NPZ archive", "again")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[", ("no JSON (", "a DeepMimic file")),
        ("[" * 100_000, ("no JSON (nested too deeply)",)),
        ("[1]", ("no JSON object",)),
        ('{"Frames": 3}', ("no list of lists named Frames", "at least one frame")),
        ('{"Frames": [[1, 2], [1, 2]]}', ("frame 0 has 2 numbers", "duration, root position")),
        ('{"Frames": [[1,0,0,0,1,0,0,0,0], [1,0]]}', ("frame 1 has 2 numbers", "expected 9")),
        ('{"Frames": [[1,0,0,0,1,0,0,0,"a"]]}', ("frame 0 holds more than numbers", "finite numbers")),
        ('{"Frames": [[1,0,0,0,1,0,0,0,NaN]]}', ("frame 0 holds more than numbers",)),
        ('{"Frames": [[1,0,0,0,1,0,0,0,1e999]]}', ("frame 0 holds more than numbers",)),
        (
            '{"Frames": [[0,0,0,0,1,0,0,0,0], [0,0,0,0,1,0,0,0,0]]}',
            ("frame 0 lasts 0.0 s", "a duration above 0 before the last"),
        ),
    ],
)
def test_broken_clip(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text, "utf-8")
    refused(lambda: open_dataset(path, format="deepmimic"), "a.txt", *parts)


def test_characters(tmp_path: Path, samples: dict[str, Path]) -> None:
    path = tmp_path / "body.txt"
    path.write_text('{"Skeleton": {}}', "utf-8")
    refused(lambda: read_character(path), "no Skeleton with Joints", "a DeepMimic character")
    path.write_text('{"Skeleton": {"Joints": [{"Name": "a", "Type": "rubber"}]}}', "utf-8")
    refused(lambda: read_character(path), "joint 'a' of type 'rubber'", "spherical")
    path.write_text('{"Skeleton": {"Joints": [{"Name": "r", "Type": "none"}, {"Name": "a", "Type": "revolute"}]}}')
    refused(
        lambda: open_dataset(samples["deepmimic"], character=path),
        "36 numbers",
        "1 by the character",
        "Pass the character",
    )


def test_a_quaternion_that_tells_no_rotation(tmp_path: Path) -> None:
    body, clip = tmp_path / "body.txt", tmp_path / "a.txt"
    body.write_text('{"Skeleton": {"Joints": [{"Name": "r", "Type": "none"}, {"Name": "hip", "Type": "spherical"}]}}')
    clip.write_text('{"Frames": [[1,0,0,0,1,0,0,0,1,0,0,0], [1,0,0,0,1,0,0,0,0,0,0,0]]}')
    refused(lambda: open_dataset(clip, character=body), "frame 1: quaternion of hip has length 0; expected 1, or about")


def test_broken_container(tmp_path: Path) -> None:
    path = tmp_path / "a.ktk.zip"
    good = {"class__": "ktk.TimeSeries", "time": [0, 1], "data": {"x": [1, 2]}}

    def check(told: object, *parts: str) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", "{}")
            archive.writestr("data.json", told if isinstance(told, str) else json.dumps(told))
        refused(lambda: open_dataset(path), "a.ktk.zip", *parts)

    check("[" * 100_000, "no readable container (", "a .ktk.zip")
    check("3", "data.json is no object")
    check({**good, "class__": "ktk.Player"}, "it holds 'ktk.Player'", "one ktk.TimeSeries", "on its own")
    check({**good, "data": {}}, "no time or no data")
    check({**good, "time": "now"}, "'time' is no array of finite numbers")
    check({**good, "data": {"x": [1, 2, 3]}}, "'x' has 3 rows", "expected 2, as time")
    check({**good, "data": {"x": [[1], [2, 3]]}}, "'x' is no array of finite numbers", "lists of equal length")
    check({**good, "time": [1, 0]}, "the median time step is -1.0 s")
    path.write_bytes(b"PK\3\4")
    refused(lambda: open_dataset(path, format="ktk"), "no readable container", "a .ktk.zip")


def test_broken_clips_of_dm_control(tmp_path: Path) -> None:
    number = iter(range(100))

    def check(*parts: str, **other: object) -> None:
        path = tmp_path / f"{next(number)}a.h5"  # the one before may still be open
        with h5py.File(path, "w") as file:
            clip = file.create_group("clip_1")
            told = {"dt": 0.1, "num_steps": 4, "joints": np.zeros((5, 4)), "position": np.zeros((3, 4))} | other
            clip.attrs["dt"], clip.attrs["num_steps"] = told.pop("dt"), told.pop("num_steps")
            for key, values in told.items():
                clip[f"walkers/walker_0/{key}"] = values
        refused(lambda: open_dataset(path), "a.h5", *parts)

    check("clip 'clip_1' has no dt", "seconds and steps", dt="fast")
    check("clip_1/walkers/walker_0/joints is float64 of shape (5, 3)", "(5, 4)", joints=np.zeros((5, 3)))
    check("walker_0/position is float64 of shape (2, 4)", "(3, 4)", position=np.zeros((2, 4)))
    check("walker_0/joints is |S1", "numbers", joints=np.zeros((5, 4), "S1"))
    check("walker_0/joints holds infinity", "finite", joints=np.full((5, 4), np.inf))
    check("NaN at step 0", "nan='mask'", joints=np.full((5, 4), np.nan))


# --- external loads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("</objects>", "", ("no XML (", "an external-loads file")),
        ("<ExternalLoads name", "<Loads name", ("no XML (",)),
        ("<groups />", "<group />", ("line 21: element 'group'", "one of objects", "Remove it")),
        (
            '<ExternalForce name="right">',
            '<PointForce name="x"/><ExternalForce name="right">',
            ("element 'PointForce'",),
        ),
        ("<appliesForce>true", "<appliesForce>perhaps", ("line 6: appliesForce is 'perhaps'", "true or false")),
        ("<applied_to_body>calcn_r</applied_to_body>", "", ("line 5: load 'right' without body", "applied_to_body")),
        ("<force_identifier>l_v</force_identifier>", "", ("load 'left' without body, or without force", "torque")),
        ("<force_identifier>l_v", "<force_id>1</force_id><force_identifier>l_v", ("element 'force_id'", "line 17")),
    ],
)
def test_broken_loads(tmp_path: Path, old: str, new: str, parts: tuple[str, ...]) -> None:
    path = tmp_path / "loads.xml"
    path.write_text(LOADS, "utf-8")
    refused(lambda: read_external_loads(edited(path, old, new)), "loads.xml", *parts)


def test_loads_without_document(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<OpenSimDocument/>", "utf-8")
    refused(lambda: read_external_loads(tmp_path / "a.xml"), "no element ExternalLoads")


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("calcn_secret", "utf-8")
    bomb = '<!DOCTYPE x [<!ENTITY e SYSTEM "secret.txt">]>'
    text = LOADS.replace("?>", "?>" + bomb, 1).replace("calcn_r", "&e;", 1)
    (tmp_path / "a.xml").write_text(text, "utf-8")
    refused(lambda: read_external_loads(tmp_path / "a.xml"), "load 'right' without body")


@pytest.mark.parametrize("name", ["/etc/hostname", "../walk_grf.mot", "", "absent.mot"])
def test_the_table_of_loads_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "walk_grf.mot").write_text("", "utf-8")
    (folder / "a.xml").write_text(LOADS.replace("walk_grf.mot", name), "utf-8")
    loads = read_external_loads(folder / "a.xml")
    refused(lambda: loads.table_path, "a.xml", f"datafile is {name!r}", "in the folder of the file", "beside the file")


def test_columns_of_loads() -> None:
    forces = Table(tuple(GROUND), np.arange(2.0), np.zeros((2, 9)), False)
    refused(
        lambda: ExternalLoad("right", "calcn_r", force="ground_").over(forces, "grf.mot"),
        *("grf.mot", "9 columns begin with 'ground_'", "the force of load 'right'", "three (x, y, z)"),
    )
    refused(lambda: ExternalLoad("left", "calcn_l", torque="l_t").over(forces), "0 columns begin with 'l_t'", "torque")
    forces.values[1, 0] = np.nan
    refused(
        lambda: ExternalLoad("right", "calcn_r", force="ground_force_v").over(forces),
        "column 'ground_force_vx' has no number at 1 s (row 2)",
        "Write 0",
    )
