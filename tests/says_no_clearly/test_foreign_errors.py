"""Broken foreign recordings: one sentence with file, episode, signal, what was expected, and the remedy."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign_samples import SCHEMA, foreign

from invdyn.episodes import Dataset, Schema, open_dataset, write_dataset
from invdyn.errors import FormatError


def refused(call: Callable[[], object], *parts: str) -> None:
    with pytest.raises(FormatError) as caught:
        call()
    message = str(caught.value)
    del caught
    gc.collect()  # closes the file that the error's traceback held open
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def everything(data: Dataset) -> None:
    for episode in data:
        _ = episode.timestamp
        for name in episode:
            _ = episode[name]


# --- NPZ ------------------------------------------------------------------------------------------------------------


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_npz_truncated(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", obs=np.zeros((50, 3)))
    path.write_bytes(path.read_bytes()[:-200])
    refused(lambda: open_dataset(path, fps=1.0), "a.npz", "not a complete NPZ archive", "numpy.savez", "again")


def test_npz_damaged_member(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", obs=np.arange(3000.0))
    content = bytearray(path.read_bytes())
    content[5000] ^= 0xFF
    path.write_bytes(content)
    data = open_dataset(path, fps=1.0)
    refused(lambda: everything(data), "a.npz", "array 'obs' cannot be read", "undamaged archive")


def test_npz_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", obs=np.array([{"a": 1}, None], object))
    refused(
        lambda: open_dataset(path, fps=1.0), "a.npz", "'obs' holds pickled Python objects", "runs its code", "numeric"
    )


def test_npz_absurd_size(tmp_path: Path) -> None:
    import io
    import zipfile

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 100)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("obs.npy", header.getvalue() + bytes(80))
    refused(lambda: open_dataset(tmp_path / "a.npz", fps=1.0), "'obs' claims shape (1000000000000, 100)", "80 follow")


def test_npz_without_header(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("obs.npy", b"not an array at all")
    refused(lambda: open_dataset(tmp_path / "a.npz", fps=1.0), "array 'obs' has no readable header", "NPY format")


def test_npz_no_rate_wrong_keys_and_lengths(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", obs=np.zeros((5, 2)))
    refused(lambda: open_dataset(path), "no frame rate", "Pass fps=... or time=")
    refused(lambda: open_dataset(path, time="t"), "no array 't' for the time", "['obs']")
    refused(lambda: open_dataset(path, fps=1.0, names={"ops": "x"}), "option names names 'ops'", "one of obs")
    refused(lambda: open_dataset(path, fps=1.0, units={"y": "m"}), "option units names 'y'", "observation.state")
    refused(lambda: open_dataset(path, fps=-1.0), "the frame rate is -1.0")
    refused(lambda: open_dataset(path, fps=1.0, names={"obs": "index"}), "key 'obs'", "'index'", "Rename")
    refused(lambda: open_dataset(path, fps=1.0, nan="zero"), "nan='zero'", "'refuse' or 'mask'")
    uneven = npz(tmp_path / "b.npz", x_0=np.zeros(5), x_1=np.zeros(7), y_0=np.zeros(2), y_1=np.zeros(3))
    refused(lambda: open_dataset(uneven, fps=1.0), "array 'y' has neither one row per step", "drop=['y']")
    refused(
        lambda: open_dataset(uneven, fps=1.0, constants=[]),
        "episode 0, signal 'y'",
        "2 rows where others have 5",
        "drop",
    )
    scalar = npz(tmp_path / "c.npz", x=1.0)
    refused(lambda: open_dataset(scalar, fps=1.0), "no array runs along the steps")
    (tmp_path / "empty").mkdir()
    refused(lambda: open_dataset(tmp_path / "empty", format="npz", fps=1.0), "no .npz file found")


def test_npz_bad_ends(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", episode_ends=[3, 3], x=np.zeros(3))
    refused(lambda: open_dataset(path, fps=1.0), "episode_ends does not increase", "cumulative")
    path = npz(tmp_path / "b.npz", episode_ends=[3, 6], x=np.zeros(5))
    refused(lambda: open_dataset(path, fps=1.0), "array 'x' has 5 rows, episode_ends ends at 6")


def test_nan_clock_and_shape(tmp_path: Path) -> None:
    x = np.zeros((4, 2))
    x[2, 1] = np.nan
    data = open_dataset(npz(tmp_path / "a.npz", x_0=np.zeros((3, 2)), x_1=x), fps=1.0)
    refused(lambda: everything(data), "a.npz, episode 1, signal 'x'", "NaN or infinity at step 2", "nan='mask'")
    late = open_dataset(npz(tmp_path / "b.npz", x=np.zeros(4), t=[0.0, 1.0, 1.0, 2.0]), time="t")
    refused(lambda: everything(late), "episode 0, signal 'timestamp'", "time 1.0 s at step 2 after 1.0 s", "increasing")
    other = open_dataset(npz(tmp_path / "c.npz", x_0=np.zeros((3, 2)), x_1=np.zeros((3, 4))), fps=1.0)
    refused(lambda: everything(other), "episode 1, signal 'x'", "shape (3, 4)", "(3, 2) as in the other episodes")
    still = npz(tmp_path / "d.npz", x=np.zeros(3), t=np.zeros(3))
    refused(lambda: open_dataset(still, time="t"), "the median time step is 0.0 s", "time=...")
    single = npz(tmp_path / "e.npz", x=np.zeros(1), t=np.zeros(1))
    refused(lambda: open_dataset(single, time="t"), "a single time stamp tells no frame rate", "Pass fps")


def test_a_clock_with_unknown_times(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=np.zeros(4), t=np.array([0.0, 1.0, np.nan, 3.0]))
    told = ("a.npz, episode 0: time nan at step 2 (1 in all)", "seconds at every step", "(time=...), or drop such rows")
    refused(lambda: open_dataset(path, time="t"), *told)


# --- CSV and Parquet ------------------------------------------------------------------------------------------------


def test_csv_cut_off_and_options(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,x,y\n0,1,2\n1,3\n")
    refused(lambda: open_dataset(path), "a.csv: cannot be read as CSV", "Expected 3 columns, got 2", "header line")
    path.write_text("time,x\n0,1\n2,2\n1,3\n")
    refused(lambda: everything(open_dataset(path)), "episode 0, signal 'timestamp'", "time 1.0 s at step 2 after 2.0 s")
    path.write_text("x,y\n1,\n2,3\n")
    refused(lambda: open_dataset(path), "no frame rate", "time=<column")
    refused(lambda: open_dataset(path, time="t"), "no column 't' (time)", "x, y")
    refused(
        lambda: everything(open_dataset(path, fps=1.0)), "episode 0, signal 'y'", "empty cell at step 0", "nan='mask'"
    )
    refused(lambda: open_dataset(path, fps=1.0, groups={"s": ["x", "z"]}), "groups names column 'z'", "x, y")
    path.write_text("q[0],q[2]\n1,2\n")
    refused(lambda: open_dataset(path, fps=1.0), "components [0, 2] of 'q'", "0 to 1 without a gap")
    path.write_text("a,b\n1,word\n")
    refused(lambda: open_dataset(path, fps=1.0, groups={"s": ["a", "b"]}), "signal 's'", "int64, string", "one dtype")
    path.write_text("time,x\nmonday,1\ntuesday,2\n")
    refused(lambda: open_dataset(path), "time column 'time' has words", "time=...")
    path.write_text("episode,x\n1,0\n2,0\n1,0\n")
    refused(lambda: open_dataset(path, fps=1.0), "the rows of episode 1 are scattered", "Sort the file by episode")
    path.write_text("x\n")
    refused(lambda: open_dataset(path, fps=1.0), "no rows", "at least one episode")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1.csv").write_text("x\n1\n")
    (tmp_path / "d" / "2.csv").write_text("x\nword\n")
    refused(lambda: open_dataset(tmp_path / "d", fps=1.0), "2.csv: column 'x' holds string", "as in the other files")
    (tmp_path / "none").mkdir()
    refused(lambda: open_dataset(tmp_path / "none", format="csv", fps=1.0), "no .csv or .parquet file found")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("t,x [m],x [m]\n0,1,2\n", ("2 columns are named 'x [m]'", "a name of its own", "Rename or remove one")),
        ("t;x\n0;1\n", ("one column, 't;x'", "separated by commas", "divided by semicolons: export it with commas")),
        ("\n0;1\n0,5;1,5\n", ("cannot be read as CSV", "divided by semicolons", "points in numbers")),
        ("t\tx\n0\t1\n", ("one column, 't\\tx'", "divided by tabs: export it with commas")),
    ],
)
def test_headers_of_csv(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    (tmp_path / "a.csv").write_text(text)
    refused(lambda: open_dataset(tmp_path / "a.csv"), "a.csv: ", *parts)


def test_parquet_truncated_and_ragged(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": np.arange(1000.0)}), path)
    path.write_bytes(path.read_bytes()[:-100])
    refused(lambda: open_dataset(path, fps=1.0), "a.parquet: cannot be read as Parquet", "complete Parquet file")
    ragged = tmp_path / "b.parquet"
    pq.write_table(pa.table({"x": pa.array([[1.0, 2.0], [1.0]])}), ragged)
    refused(lambda: everything(open_dataset(ragged, fps=1.0)), "column 'x' has lists of different lengths", "2 numbers")
    holed = tmp_path / "c.parquet"
    pq.write_table(pa.table({"x": pa.array([[1.0, None], [1.0, 2.0]])}), holed)
    refused(lambda: everything(open_dataset(holed, fps=1.0)), "1 empty components", "Write them as NaN")


# --- HDF5: robomimic, robosuite ---------------------------------------------------------------------------------------


@pytest.fixture
def mimic(tmp_path: Path) -> Path:
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w") as file:
        file["data/demo_0/actions"] = np.zeros((5, 2))
        file["data/demo_0/obs/pos"] = np.zeros((5, 3))
        file["data/demo_0"].attrs["num_samples"] = 5
        file["data"].attrs["env_args"] = "{}"
    return path


def test_hdf5_truncated(mimic: Path) -> None:
    mimic.write_bytes(mimic.read_bytes()[:900])
    refused(lambda: open_dataset(mimic, format="robomimic"), "demo.hdf5", "cannot be opened as HDF5", "again")
    refused(lambda: open_dataset(mimic), "demo.hdf5", "again")


def test_hdf5_of_another_kind(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["other"] = 1
    refused(lambda: open_dataset(tmp_path / "x.hdf5"), "without the group `data`")


def test_hdf5_links_and_claims(mimic: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.zeros((5, 2))
    with h5py.File(mimic, "a") as file:
        del file["data/demo_0/actions"]
        file["data/demo_0/actions"] = h5py.ExternalLink("secret.h5", "/x")
    refused(lambda: everything(open_dataset(mimic)), "actions is a link into another file (secret.h5)", "h5repack")
    with h5py.File(tmp_path / "huge.hdf5", "w") as file:
        file.create_dataset("data/demo_0/actions", (10**9, 100), "f8", chunks=(1024, 100))
        file["data/demo_0"].attrs["num_samples"] = 10**9
    data = open_dataset(tmp_path / "huge.hdf5")
    refused(lambda: data[0].read("action", 0, 5), "claims shape (1000000000, 100)", "but 0 are stored", "zeros")
    with h5py.File(tmp_path / "virtual.hdf5", "w") as file:
        layout = h5py.VirtualLayout((5, 2), "f8")
        layout[:] = h5py.VirtualSource("secret.h5", "x", (5, 2))
        file.create_virtual_dataset("data/demo_0/actions", layout)
    refused(lambda: everything(open_dataset(tmp_path / "virtual.hdf5")), "keeps its values in other files")


def test_robomimic_rows_and_metadata(mimic: Path) -> None:
    with h5py.File(mimic, "a") as file:
        del file["data/demo_0/obs/pos"]
        file["data/demo_0/obs/pos"] = np.zeros((4, 3))
    data = open_dataset(mimic)
    refused(lambda: everything(data), "episode 0, signal 'observation.pos'", "shape (4, 3)", "5 rows (num_samples)")
    refused(lambda: open_dataset(mimic, units={"x": "m"}), "option units names 'x'", "action")


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (lambda f: f["data"].attrs.__setitem__("env_args", "{"), ["env_args is no JSON", "Repair"]),
        (lambda f: f["data"].__delitem__("demo_0"), ["no group data/demo_<k>"]),
        (
            lambda f: (f["data/demo_0"].attrs.__delitem__("num_samples"), f["data/demo_0"].__delitem__("actions")),
            ["has neither num_samples nor actions", "episode 0"],
        ),
        (
            lambda f: (f["data/demo_0"].__delitem__("obs"), f["data/demo_0"].__delitem__("actions")),
            ["holds no dataset", "at least actions"],
        ),
    ],
)
def test_robomimic_structure(mimic: Path, damage: Callable[[h5py.File], object], parts: list[str]) -> None:
    with h5py.File(mimic, "a") as file:
        damage(file)
    refused(lambda: open_dataset(mimic, format="robomimic"), *parts)


def test_writers_refuse_what_they_cannot_hold(tmp_path: Path) -> None:
    data = foreign((4, 3))
    refused(lambda: write_dataset(data, tmp_path / "toy", format="minari"), "'toy' is no Minari id", "door-v0")
    blind = Schema((SCHEMA["action"], SCHEMA["next.reward"]), 10.0)
    no_state = foreign((4,), blind)
    refused(lambda: write_dataset(no_state, tmp_path / "a-v0", format="minari"), "no signal observation.*", "needs it")
    refused(
        lambda: write_dataset(no_state, tmp_path / "a.hdf5", format="robomimic"), "expected action and at least one"
    )
    single = foreign((1,))
    refused(
        lambda: write_dataset(single, tmp_path / "b-v0", format="minari", data_format="arrow"),
        "a single row has no action",
    )
    refused(lambda: write_dataset(single, tmp_path / "b.hdf5", format="robomimic"), "a single row without an action")
    from invdyn.episodes.views import hide

    hidden = hide(data, ["observation.count"], [1])
    for name, layout in (("c-v0", "minari"), ("c.hdf5", "robomimic")):
        if layout == "minari":
            refused(
                lambda name=name, layout=layout: write_dataset(hidden, tmp_path / name, format=layout),
                "episode 1, signal 'observation.count'",
                "int64 value is missing at step 0",
                "LeRobot",
            )


def robosuite_copy(shared_data: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    shutil.copytree(shared_data / "robosuite_human" / "v1.0_lift_panda", folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def test_robosuite(shared_data: Path, tmp_path: Path) -> None:
    folder = robosuite_copy(shared_data, tmp_path)
    model = folder / "models" / "model_1.xml"
    text = model.read_text()
    model.write_text(text.replace('name="robot0_joint7"', 'name="robot0_joint7" type="spring"'))
    refused(lambda: open_dataset(folder), "model_1.xml", "joint type 'spring'", "hinge, slide, ball, free")
    model.write_text(text[:5000])
    refused(lambda: open_dataset(folder), "model_1.xml", "the model cannot be read")
    model.write_text('<!DOCTYPE x [<!ENTITY a "aaaa">]><mujoco><worldbody/></mujoco>')
    refused(lambda: open_dataset(folder), "it declares XML entities")
    model.write_text("<robot/>")
    refused(lambda: open_dataset(folder), "root element <robot>", "one complete <mujoco> model")
    model.write_text("<mujoco><worldbody><body name='b'><joint name='j'/></body></worldbody></mujoco>")
    refused(lambda: open_dataset(folder), "states of shape (412, 32)", "expected 3 columns", "models/ folder")
    model.unlink()
    refused(lambda: open_dataset(folder), "episode 0", "model file 'model_1.xml' not found", "beside the recording")
    with h5py.File(folder / "demo.hdf5", "a") as file:
        file["data/demo_1"].attrs["model_file"] = "../../../etc/passwd"
    refused(lambda: open_dataset(folder), "'../../../etc/passwd' not found")
    with h5py.File(folder / "demo.hdf5", "a") as file:
        del file["data/demo_1/states"]
    refused(lambda: open_dataset(folder), "no dataset 'states'", "[time, qpos, qvel]")
    with h5py.File(folder / "demo.hdf5", "a") as file:
        del file["data/demo_1"]
    refused(lambda: open_dataset(folder), "no group data/demo_<k>")


def test_robosuite_rows(shared_data: Path, tmp_path: Path) -> None:
    folder = robosuite_copy(shared_data, tmp_path)
    with h5py.File(folder / "demo.hdf5", "a") as file:
        short = file["data/demo_1/actions"][:400]
        del file["data/demo_1/actions"]
        file["data/demo_1/actions"] = short
        file["data/demo_1/states"][7, 0] = 0.1
    refused(lambda: everything(open_dataset(folder)), "signal 'timestamp'", "time 0.1 s at step 7")
    data = open_dataset(folder)
    refused(lambda: data[0]["action"], "episode 0, signal 'action'", "one row per state")


# --- Push-T pictures --------------------------------------------------------------------------------------------------


def test_push_t_pictures(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pusht"
    folder.mkdir()
    for name in ("pusht_lowdim_ep000_179.npz", "pusht_images_ep000_059.npz"):
        shutil.copy(shared_data / "pusht_human" / name, folder / name)
    file = folder / "pusht_images_ep000_059.npz"
    file.chmod(0o644)
    raw = dict(np.load(file))
    damaged = raw["png"].copy()
    damaged[raw["offsets"][1] + 100 : raw["offsets"][1] + 4000] = 0
    np.savez(file, **{**raw, "png": damaged})
    data = open_dataset(folder)
    refused(lambda: data[0]["observation.images.top"], "strip 1 cannot be decoded", "96 x 3072 px")
    np.savez(file, **{**raw, "offsets": raw["offsets"] + 10**9})
    refused(lambda: open_dataset(folder), "offsets for 7425 frames", "inside the bytes")
    np.savez(file, **{**raw, "n_frames": 7426})
    refused(lambda: open_dataset(folder), "7426 frames for episodes of 7425 steps", "one release")
    np.savez(file, **{k: v for k, v in raw.items() if k != "episodes"})
    refused(lambda: open_dataset(folder), "no array 'episodes'")
    refused(lambda: open_dataset(tmp_path, format="known"), "no known data set", "adroit_door_human, pusht_human")


# --- Minari -----------------------------------------------------------------------------------------------------------


def edit(path: Path, **changes: object) -> None:
    file = path / "data" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata |= changes
    file.write_text(json.dumps({k: v for k, v in metadata.items() if v is not None}))


@pytest.fixture
def minari(tmp_path: Path) -> Path:
    return write_dataset(foreign((4, 3)), tmp_path / "toy-v0", format="minari")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"total_episodes": 5}, ["total_episodes is 5, 2 episodes are there", "equal numbers"]),
        ({"data_format": "zarr"}, ["data_format is 'zarr'", "hdf5, arrow or parquet"]),
        ({"observation_space": None}, ["no observation_space", "Minari 0.5"]),
        ({"observation_space": "{"}, ["observation_space is no JSON"]),
        ({"observation_space": '{"type": "Graph"}'}, ["cannot be used", "its type is 'Graph'"]),
        ({"observation_space": "3"}, ["is no space", "an object with a type"]),
        (
            {"action_space": '{"type":"Box","dtype":"float64","shape":[1000000,1000000],"low":0,"high":1}'},
            ["shape [1000000, 1000000] is absurd"],
        ),
        (
            {"action_space": '{"type":"Box","dtype":"float64","shape":[2],"low":[0,1,2],"high":[3,4,5]}'},
            ["space of action", "3 low given for 2 components"],
        ),
        ({"invdyn": "{}"}, ["the entry 'invdyn' cannot be used", "Delete the entry"]),
    ],
)
def test_minari_metadata(minari: Path, changes: dict[str, object], parts: list[str]) -> None:
    edit(minari, **changes)
    refused(lambda: open_dataset(minari), "metadata.json", *parts)


def test_minari_unreadable_metadata(minari: Path) -> None:
    (minari / "data" / "metadata.json").write_text("{")
    refused(lambda: open_dataset(minari, format="minari"), "metadata.json: cannot be read", "Check the path")


def test_minari_hdf5_data(minari: Path) -> None:
    edit(minari, invdyn=None)
    file = minari / "data" / "main_data.hdf5"
    with h5py.File(file, "a") as root:
        short = root["episode_1/observations/state"][:1]
        del root["episode_1/observations/state"]
        root["episode_1/observations/state"] = short
    data = open_dataset(minari, fps=1.0)
    refused(lambda: data[1]["observation.state"], "episode 1, signal 'observation.state'", "3 rows (total_steps is 2)")
    refused(lambda: open_dataset(minari, fps=1.0, units={"x": "m"}), "option units names 'x'")


def test_minari_hdf5_structure(minari: Path) -> None:
    with h5py.File(minari / "data" / "main_data.hdf5", "a") as root:
        del root["episode_0"].attrs["total_steps"]
    refused(lambda: open_dataset(minari), "episode 0", "total_steps is None")
    with h5py.File(minari / "data" / "main_data.hdf5", "a") as root:
        del root["episode_0"], root["episode_1"]
    refused(lambda: open_dataset(minari), "no group episode_<n>")


def test_minari_jpeg(tmp_path: Path) -> None:
    path = write_dataset(foreign((4,)), tmp_path / "j-v0", format="minari", jpeg_encoding=True)
    with h5py.File(path / "data" / "main_data.hdf5", "a") as root:
        root["episode_0/observations/images.top"][2] = np.frombuffer(b"no picture", np.uint8)
    data = open_dataset(path)
    refused(lambda: data[0]["observation.images.top"], "episode 0", "JPEG of row 2 cannot be decoded")


@pytest.mark.parametrize("data_format", ["arrow", "parquet"])
def test_minari_tables(tmp_path: Path, data_format: str) -> None:
    path = write_dataset(foreign((40, 30)), tmp_path / "t-v0", format="minari", data_format=data_format)
    part = path / "data" / "1" / f"part-0.{data_format}"
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    data = open_dataset(path)
    refused(lambda: everything(data), f"part-0.{data_format}", "episode 1", "cannot be read", f"complete {data_format}")
    part.unlink()
    refused(lambda: everything(data), "episode 1", f"no .{data_format} file")
    (path / "data" / "1" / "metadata.json").write_text('{"id": 1}')
    refused(lambda: open_dataset(path), "episode 1", "cannot be used", "JSON with total_steps")
    (path / "data" / "0" / "metadata.json").write_text('{"id": 0, "total_steps": 3}')
    (path / "data" / "1" / "metadata.json").write_text('{"id": 1, "total_steps": 3}')
    refused(lambda: everything(open_dataset(path)), "episode 0", "40 rows", "expected 4 (total_steps is 3)")
    shutil.rmtree(path / "data" / "0")
    shutil.rmtree(path / "data" / "1")
    refused(lambda: open_dataset(path), "no folder <id>/")
