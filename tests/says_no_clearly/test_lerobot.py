"""Broken LeRobot folders give one clear error: file, episode, signal, and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_samples import NOTE, NUMERIC, PNG, REWARD, STATE, TOP, sample

from invdyn.episodes import Dataset, Episode, Schema, Signal, SignalSpec, detect_format, open_dataset, write_dataset
from invdyn.errors import ConfigError, FormatError, UnknownNameError

SMALL = Schema((STATE, REWARD, NOTE, PNG, TOP), 10.0)
INFO, OWN = "meta/info.json", "meta/invdyn.json"
EPISODES, DATA = "meta/episodes/chunk-000/file-000.parquet", "data/chunk-000/file-000.parquet"
VIDEO = f"videos/{TOP.name}/chunk-000/file-000.mp4"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(sample((12, 1, 30), SMALL), tmp_path_factory.mktemp("good") / "data")


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "data"))


def read_all(path: Path, **options: Any) -> None:
    for episode in open_dataset(path, **options):
        for name in episode:
            episode[name]
        episode.timestamp  # noqa: B018


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_table(
    path: Path, name: str, change: Callable[[list[Any]], list[Any]], kind: pa.DataType | None = None
) -> None:
    table = pq.read_table(path)
    at = table.column_names.index(name)
    column = pa.array(change(table[name].to_pylist()), kind or table.schema.field(name).type)
    pq.write_table(table.set_column(at, pa.field(name, column.type), column), path, row_group_size=1000)


def cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def refused(path: Path, *told: str, **options: Any) -> None:
    """Reading everything gives one FormatError with all these words, on one line."""
    with pytest.raises(FormatError) as caught:
        read_all(path, **options)
    message = str(caught.value)
    for words in told:
        assert words in message, message
    assert len(message) < 700
    assert type(caught.value) is FormatError


def test_the_sample_is_good(good: Path) -> None:
    read_all(good)


class TestInfo:
    def test_missing(self, folder: Path) -> None:
        (folder / INFO).unlink()
        with pytest.raises(FormatError, match=r"no format recognised\. Expected a LeRobot folder"):
            open_dataset(folder)
        refused(folder, "meta/info.json is missing", "pass the folder that holds", format="lerobot")

    def test_cut_off(self, folder: Path) -> None:
        cut(folder / INFO, 0.5)
        refused(folder, "meta/info.json is not valid JSON", "Copy it again")

    def test_not_lerobot(self, folder: Path) -> None:
        (folder / INFO).write_text("[]")
        refused(folder, "not the info.json of a LeRobotDataset")

    @pytest.mark.parametrize("version", ["v1.6", "v4.0", 3, None])
    def test_wrong_version(self, folder: Path, version: Any) -> None:
        edit(folder / INFO, codebase_version=version)
        refused(
            folder, f"codebase_version {version!r} cannot be read, only v3.0, v2.1, v2.0", "convert_dataset_v21_to_v30"
        )

    @pytest.mark.parametrize("template", ["../secret-{file_index}.parquet", "/etc/passwd", "data/../../x{chunk_index}"])
    def test_data_path_that_leaves_the_folder(self, folder: Path, template: str) -> None:
        edit(folder / INFO, data_path=template)
        refused(folder, "path template", "outside the folder", "must stay inside")

    def test_data_path_through_a_link(self, folder: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        shutil.move(folder / "data", outside)
        (folder / "data").symlink_to(outside)
        refused(folder, "outside the folder")

    @pytest.mark.parametrize(
        "template",
        ["data/{user}.parquet", "data/{chunk_index.__class__}", "data/{0}", "data/{file_index:999999999d}", "data/{"],
    )
    def test_placeholders_that_are_not_allowed(self, folder: Path, template: str) -> None:
        edit(folder / INFO, data_path=template)
        refused(folder, "path template", "cannot be used", "chunk_index")

    def test_video_path_that_leaves_the_folder(self, folder: Path) -> None:
        edit(folder / INFO, video_path="../{video_key}.mp4")
        refused(folder, "outside the folder")

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("total_frames", -1),
            ("total_frames", 2**60),
            ("total_episodes", "3"),
            ("chunks_size", 0),
            ("total_frames", True),
        ],
    )
    def test_absurd_totals(self, folder: Path, key: str, value: Any) -> None:
        edit(folder / INFO, **{key: value})
        refused(folder, f"{key} is {value!r}, expected a whole number from")

    @pytest.mark.parametrize("fps", [0, -30, "fast", None, True])
    def test_frame_rate(self, folder: Path, fps: Any) -> None:
        (folder / OWN).unlink()
        edit(folder / INFO, fps=fps)
        refused(folder, f"fps is {fps!r}, expected a positive number")

    def test_absurd_shape(self, folder: Path) -> None:
        edit_feature(folder, "observation.state", shape=[10**9, 10**9])
        refused(folder, "feature 'observation.state'", "would take more than 2147483648 bytes", "Correct the shape")

    @pytest.mark.parametrize("shape", [None, "4", [4.5], [-4]])
    def test_shape_that_is_none(self, folder: Path, shape: Any) -> None:
        edit_feature(folder, "observation.state", shape=shape)
        refused(folder, "feature 'observation.state' has shape", "expected a list of whole numbers")

    def test_unknown_dtype(self, folder: Path) -> None:
        (folder / OWN).unlink()
        edit_feature(folder, "observation.state", dtype="complex64")
        refused(folder, "feature 'observation.state' cannot be read", "complex64")

    def test_the_two_descriptions_disagree(self, folder: Path) -> None:
        edit_feature(folder, "observation.state", shape=[5])
        refused(folder, "has shape [5]", "invdyn.json says [4]", "Delete invdyn.json")
        edit_feature(folder, "observation.state", shape=[4], dtype="float64")
        refused(folder, "has dtype 'float64'", "'float32'")

    def test_own_file_broken(self, folder: Path) -> None:
        (folder / OWN).write_text('{"fps": 10, "signals": [1]}')
        refused(folder, "invdyn.json has no list of signals with names", "Delete it")
        (folder / OWN).write_text("7")
        refused(folder, "invdyn.json is not a JSON object")

    def test_picture_with_a_shape_of_two(self, folder: Path) -> None:
        (folder / OWN).unlink()
        edit_feature(folder, PNG.name, shape=[8, 9])
        refused(folder, PNG.name, "a shape of three numbers")

    def test_video_with_seven_channels(self, folder: Path) -> None:
        (folder / OWN).unlink()
        edit_feature(folder, TOP.name, shape=[32, 48, 7])
        refused(folder, TOP.name, "video holds (height, width, 1 or 3) pictures")

    def test_data_path_missing(self, folder: Path) -> None:
        edit(folder / INFO, data_path=None)
        refused(folder, "data_path is None, expected a path template")


def edit_feature(folder: Path, name: str, **changes: Any) -> None:
    content = json.loads((folder / INFO).read_text())
    content["features"][name].update(changes)
    (folder / INFO).write_text(json.dumps(content))


class TestEpisodeTable:
    def test_missing(self, folder: Path) -> None:
        shutil.rmtree(folder / "meta/episodes")
        refused(folder, "meta/episodes holds no chunk-*/file-*.parquet", "Copy the folder again")

    def test_cut_off(self, folder: Path) -> None:
        cut(folder / EPISODES, 0.7)
        refused(folder, "file-000.parquet is not a readable Parquet file", "Copy it again")

    def test_a_part_is_missing(self, folder: Path) -> None:
        edit(folder / INFO, total_episodes=5)
        refused(folder, "lists 3 episodes with 43 frames", "says 5 with 43", "copy the folder again")

    def test_lengths_that_contradict_the_rows(self, folder: Path) -> None:
        edit_table(folder / EPISODES, "length", lambda v: [11, 2, 30])
        refused(folder, "episode 0: rows 0 to 12 do not fit its length 11")

    @pytest.mark.parametrize("value", [-5, 2**62])
    def test_absurd_numbers(self, folder: Path, value: int) -> None:
        edit_table(folder / EPISODES, "dataset_from_index", lambda v: [value, *v[1:]])
        refused(folder, f"column 'dataset_from_index' has {value} in row 0")

    def test_text_for_numbers(self, folder: Path) -> None:
        edit_table(folder / EPISODES, "length", lambda v: ["a", "b", "c"], pa.string())
        refused(folder, "column 'length' is string", "expected numbers")

    def test_missing_column(self, folder: Path) -> None:
        table = pq.read_table(folder / EPISODES)
        pq.write_table(table.drop_columns([f"videos/{TOP.name}/from_timestamp"]), folder / EPISODES)
        refused(folder, f"column 'videos/{TOP.name}/from_timestamp' is missing")

    def test_wrong_order(self, folder: Path) -> None:
        edit_table(folder / EPISODES, "episode_index", lambda v: v[::-1])
        refused(folder, "row 0 is episode 2", "expected episode 0")

    def test_our_json_columns_broken(self, folder: Path) -> None:
        edit_table(folder / EPISODES, "invdyn/metadata", lambda v: ["{", *v[1:]])
        refused(folder, "episode 0: column invdyn/metadata is not JSON")
        edit_table(folder / EPISODES, "invdyn/metadata", lambda v: ["[]", *v[1:]])
        refused(folder, "episode 0: column invdyn/metadata is no JSON dict")
        edit_table(folder / EPISODES, "invdyn/metadata", lambda v: ["{}", *v[1:]])
        edit_table(folder / EPISODES, "invdyn/spans", lambda v: ['[{"start": 2, "stop": 1, "name": "key"}]', *v[1:]])
        refused(folder, "episode 0: column invdyn/spans does not hold events", "expected start <= stop")

    def test_tasks_missing_or_broken(self, folder: Path) -> None:
        cut(folder / "meta/tasks.parquet", 0.6)
        refused(folder, "meta/tasks.parquet is not a readable Parquet file")
        pq.write_table(pa.table({"task_index": [0, 2], "task": ["a", "b"]}), folder / "meta/tasks.parquet")
        refused(folder, "task_index is [0, 2]...", "expected 0, 1, 2")
        pq.write_table(pa.table({"number": [0]}), folder / "meta/tasks.parquet")
        refused(folder, "expected columns task_index and task, found number")
        (folder / "meta/tasks.parquet").unlink()
        refused(folder, "meta/tasks.parquet is missing")


class TestData:
    def test_missing(self, folder: Path) -> None:
        (folder / DATA).unlink()
        refused(folder, "file-000.parquet is missing, the episode table names it")

    @pytest.mark.parametrize("keep", [0.0, 0.3, 0.95])
    def test_cut_off(self, folder: Path, keep: float) -> None:
        cut(folder / DATA, keep)
        refused(folder, "data/chunk-000/file-000.parquet is not a readable Parquet file", "Copy it again")

    def test_damaged_inside(self, folder: Path) -> None:
        content = bytearray((folder / DATA).read_bytes())
        content[4:3000] = bytes(2996)
        (folder / DATA).write_bytes(bytes(content))
        refused(folder, "file-000.parquet, episode 0, signal 'observation.state'", "the file is damaged")

    def test_row_counts_disagree(self, folder: Path) -> None:
        table = pq.read_table(folder / DATA)
        pq.write_table(table.slice(0, 40), folder / DATA)
        refused(folder, "has 40 rows, the episode table says 43", "copy both again")

    def test_missing_column(self, folder: Path) -> None:
        table = pq.read_table(folder / DATA)
        pq.write_table(table.drop_columns(["observation.state"]), folder / DATA)
        refused(folder, "signal 'observation.state' has no column", "meta/info.json")

    def test_wrong_shape(self, folder: Path) -> None:
        edit_table(folder / DATA, "observation.state", lambda v: [row[:3] for row in v], pa.list_(pa.float32(), 3))
        refused(folder, "signal 'observation.state' is fixed_size_list", "float32 of shape (4,) in the metadata")

    def test_rows_of_unequal_shape(self, folder: Path) -> None:
        edit_table(folder / DATA, "observation.state", lambda v: [v[0][:3], *v[1:]], pa.list_(pa.float32()))
        refused(
            folder, "episode 0, signal 'observation.state'", "rows do not all have shape (4,)", "47 numbers in 12 rows"
        )

    def test_rows_that_are_unequal_and_add_up(self, folder: Path) -> None:
        edit_table(
            folder / DATA,
            "observation.state",
            lambda v: [v[0][:3], [*v[1], 0.0], *v[2:]],
            pa.list_(pa.float32()),
        )
        refused(folder, "episode 0, signal 'observation.state'", "rows do not all have shape (4,)")

    @pytest.mark.parametrize(
        "kind", [pa.list_(pa.float64(), 4), pa.list_(pa.int32(), 4), pa.list_(pa.string(), 4), pa.float32()]
    )
    def test_wrong_dtype(self, folder: Path, kind: pa.DataType) -> None:
        def change(rows: list[Any]) -> list[Any]:
            if kind == pa.float32():
                return [r[0] for r in rows]
            cast: Any = (
                str if pa.types.is_string(kind.value_type) else int if pa.types.is_integer(kind.value_type) else float
            )
            return [[cast(x) for x in r] for r in rows]

        edit_table(folder / DATA, "observation.state", change, kind)
        refused(folder, "signal 'observation.state' is", "float32 of shape (4,)")

    def test_nan(self, folder: Path) -> None:
        edit_table(folder / DATA, "next.reward", lambda v: [*v[:15], float("nan"), *v[16:]])
        refused(
            folder,
            "file-000.parquet, episode 2, signal 'next.reward', step 2: not a finite number",
            'nan="mask"',
            "mask.next.reward",
        )
        read_all(folder, nan="mask")

    def test_infinity(self, folder: Path) -> None:
        edit_table(folder / DATA, "next.reward", lambda v: [float("inf"), *v[1:]])
        refused(folder, "episode 0, signal 'next.reward', step 0: not a finite number")

    def test_empty_rows(self, folder: Path) -> None:
        for name, first in (
            ("next.reward", "next.reward"),
            ("note", "note"),
            ("observation.state", "observation.state"),
        ):
            edit_table(folder / DATA, name, lambda v: [None, *v[1:]])
            with pytest.raises(FormatError, match=f"episode 0, signal '{first}', step 0: not a finite number"):
                open_dataset(folder)[0][name]
        assert open_dataset(folder, nan="mask")[0]["note"].mask.tolist() == [False] + [True] * 11

    def test_empty_components(self, folder: Path) -> None:
        edit_table(folder / DATA, "observation.state", lambda v: [[None, *v[0][1:]], *v[1:]])
        refused(folder, "episode 0, signal 'observation.state': 1 empty components", "Write them as NaN")

    def test_time_that_does_not_fit_the_frame_rate(self, tmp_path: Path) -> None:
        folder = write_dataset(sample((12, 30), SMALL), tmp_path / "data")
        edit_table(folder / DATA, "timestamp", lambda v: [*v[:20], 99.0, *v[21:]])
        refused(
            folder, "episode 1, signal 'timestamp', step 8: time 99 s, but frame 8 at 10 fps is 0.8 s", 'clock="column"'
        )
        read_all(folder, clock="ignore")
        refused(folder, "step 9: time 0.8", "does not come after the step before it", clock="column")

    def test_own_clock_that_does_not_increase(self, tmp_path: Path) -> None:
        folder = write_dataset(sample((4, 4, 5), NUMERIC), tmp_path / "data")
        edit_table(folder / DATA, "clock.timestamp", lambda v: [*v[:10], v[9], *v[11:]])
        refused(folder, "episode 2, signal 'clock.timestamp', step 2", "Sort the rows by time")

    def test_mask_of_another_type(self, tmp_path: Path) -> None:
        folder = write_dataset(sample((4, 4), NUMERIC), tmp_path / "data")
        edit_table(folder / DATA, "mask.action", lambda v: [int(x) for x in v], pa.int64())
        refused(folder, "column 'mask.action' is int64, expected bool")

    def test_picture_of_another_size(self, folder: Path) -> None:
        other = sample((3,), Schema((SignalSpec(PNG.name, (9, 8, 3), "uint8", "image", encoding="png"),), 10.0))
        picture = pq.read_table(write_dataset(other, folder.parent / "other") / DATA)[PNG.name].to_pylist()[0]
        edit_table(folder / DATA, PNG.name, lambda v: [picture, *v[1:]])
        refused(folder, f"episode 0, signal '{PNG.name}', step 0: the picture is 9 x 8, expected 8 x 9")

    def test_picture_that_is_none(self, folder: Path) -> None:
        edit_table(folder / DATA, PNG.name, lambda v: [{"bytes": b"no picture", "path": None}, *v[1:]])
        refused(folder, f"episode 0, signal '{PNG.name}', step 0: the picture cannot be decoded")
        edit_table(folder / DATA, PNG.name, lambda v: [{"bytes": None, "path": "../a.png"}, *v[1:]])
        refused(folder, "the picture is only named ('../a.png'), not stored")


class TestVideo:
    def test_missing(self, folder: Path) -> None:
        (folder / VIDEO).unlink()
        refused(folder, "file-000.mp4", "episode 0", TOP.name, "the video file is missing")

    @pytest.mark.parametrize("keep", [0.0, 0.05, 0.4, 0.9])
    def test_cut_off(self, folder: Path, keep: float) -> None:
        cut(folder / VIDEO, keep)
        refused(folder, "file-000.mp4", "episode ", TOP.name, "opy")

    def test_other_size(self, folder: Path) -> None:
        edit_feature(folder, TOP.name, shape=[48, 48, 3])
        (folder / OWN).unlink()
        refused(folder, TOP.name, "frames are 32 x 48, the metadata says 48 x 48")

    def test_no_video_at_all(self, folder: Path) -> None:
        (folder / VIDEO).write_text("this is text\n" * 100)
        refused(folder, "not a readable video")

    def test_frames_elsewhere(self, folder: Path) -> None:
        edit_table(folder / EPISODES, f"videos/{TOP.name}/from_timestamp", lambda v: [v[0] + 0.05, *v[1:]])
        refused(folder, "episode 0", TOP.name, "no frame at 0.0500 s", "the nearest is 0.05 s away, allowed 0.0001 s")

    def test_fewer_frames_than_steps(self, folder: Path) -> None:
        edit_table(folder / EPISODES, f"videos/{TOP.name}/from_timestamp", lambda v: [v[0], v[1], v[2] + 2.0])
        refused(folder, "episode 2", TOP.name, "no frame at 4.3000 s (the nearest is 0.1 s away", "The file is cut off")


class TestVersion2:
    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        folder = tmp_path / "old"
        (folder / "meta").mkdir(parents=True)
        info = {
            "codebase_version": "v2.1",
            "total_episodes": 1,
            "total_frames": 3,
            "fps": 10,
            "chunks_size": 1000,
            "data_path": "data/{episode_index}.parquet",
            "features": {"next.reward": {"dtype": "float64", "shape": [1], "names": None}},
        }
        (folder / INFO).write_text(json.dumps(info))
        (folder / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "go"}\n')
        (folder / "meta/episodes.jsonl").write_text('{"episode_index": 0, "tasks": ["go"], "length": 3}\n')
        (folder / "data").mkdir()
        pq.write_table(pa.table({"next.reward": [0.0, 1.0, 2.0]}), folder / "data/0.parquet")
        return folder

    def test_good(self, old: Path) -> None:
        assert open_dataset(old)[0]["next.reward"].values.tolist() == [0.0, 1.0, 2.0]
        assert open_dataset(old)[0].task == "go"

    def test_cut_off(self, old: Path) -> None:
        cut(old / "meta/episodes.jsonl", 0.5)
        refused(old, "episodes.jsonl, line 1: not JSON")

    def test_wrong_lines(self, old: Path) -> None:
        (old / "meta/episodes.jsonl").write_text('{"episode": 0}\n')
        refused(old, "episodes.jsonl, line 1: expected an object with a whole number episode_index")
        (old / "meta/episodes.jsonl").write_text('{"episode_index": 0, "tasks": [], "length": -3}\n')
        refused(old, "episode 0 has length -3")
        (old / "meta/episodes.jsonl").write_bytes(b"\xff\xfe\x00")
        refused(old, "episodes.jsonl is not UTF-8 text")

    def test_missing(self, old: Path) -> None:
        (old / "meta/tasks.jsonl").write_text('{"task_index": 4, "task": "go"}\n')
        refused(old, "tasks.jsonl: task_index does not run 0, 1, 2")
        (old / "meta/tasks.jsonl").unlink()
        refused(old, "tasks.jsonl is missing")

    def test_row_counts_disagree(self, old: Path) -> None:
        pq.write_table(pa.table({"next.reward": [0.0, 1.0]}), old / "data/0.parquet")
        refused(old, "data/0.parquet has 2 rows, the episode table says 3")

    def test_task_index_out_of_range(self, old: Path) -> None:
        (old / "meta/episodes.jsonl").write_text('{"episode_index": 0, "length": 3}\n')
        pq.write_table(pa.table({"next.reward": [0.0, 1.0, 2.0], "task_index": [5, 5, 5]}), old / "data/0.parquet")
        refused(old, "episode 0: task_index 5 of 1 tasks")


class TestWriting:
    def write(self, tmp_path: Path, *signals: Signal, **options: Any) -> None:
        data = Dataset.from_episodes([Episode.from_signals(signals, fps=10.0)])
        write_dataset(data, tmp_path / "new", **options)

    def test_not_finite(self, tmp_path: Path) -> None:
        with pytest.raises(
            FormatError, match=r"episode 0, signal 'next\.reward', step 1: \[inf\] is not finite\. Mark the step"
        ):
            self.write(tmp_path, Signal(REWARD, np.array([0.0, np.inf])))

    def test_no_steps(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match=r"episode 0 has no steps.*Leave it out"):
            self.write(tmp_path, Signal(REWARD, np.zeros(0)))

    def test_no_text(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match=r"episode 0, signal 'note': 7 is no text"):
            self.write(tmp_path, Signal(NOTE, np.array(["a", 7], object)))

    def test_dtype_that_parquet_lacks(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match=r"signal 'x': dtype longdouble cannot be stored in Parquet\. Convert"):
            self.write(tmp_path, Signal(SignalSpec("x", (), "longdouble", "state"), np.zeros(2, np.longdouble)))

    @pytest.mark.parametrize("name", ["mask.next.reward", "clock.timestamp"])
    def test_names_the_format_needs(self, tmp_path: Path, name: str) -> None:
        spec = SignalSpec(name, (), "float64", "state")
        with pytest.raises(FormatError, match=f"signal '{name}': this name is taken"):
            self.write(tmp_path, Signal(REWARD, np.zeros(2)), Signal(spec, np.zeros(2)))

    def test_pictures_that_png_or_video_cannot_hold(self, tmp_path: Path) -> None:
        spec = SignalSpec("a", (4, 4, 2), "uint8", "image", encoding="png")
        with pytest.raises(FormatError, match=r"signal 'a': PNG holds .* not uint8 \(4, 4, 2\)"):
            self.write(tmp_path, Signal(spec, np.zeros((2, 4, 4, 2), np.uint8)))
        spec = SignalSpec("a", (4, 4, 3), "float32", "image", encoding="video")
        with pytest.raises(FormatError, match=r"signal 'a': video holds .* not float32"):
            self.write(tmp_path, Signal(spec, np.zeros((2, 4, 4, 3), np.float32)))

    def test_pictures_too_small_for_the_codec(self, tmp_path: Path) -> None:
        spec = SignalSpec("a", (2, 3, 3), "uint8", "image", encoding="video")
        signal = Signal(spec, np.zeros((2, 2, 3, 3), np.uint8))
        with pytest.raises(
            FormatError, match=r"cannot encode pictures of 2 x 3 .* Use lossless=True, or encoding=\"png\""
        ):
            self.write(tmp_path, signal)
        self.write(tmp_path, signal, lossless=True)

    def test_metadata_that_is_not_json(self, tmp_path: Path) -> None:
        episode = Episode.from_signals([Signal(REWARD, np.zeros(2))], fps=10.0, metadata={"f": object()})
        with pytest.raises(FormatError, match="episode 0: metadata cannot be stored as JSON"):
            write_dataset(Dataset.from_episodes([episode]), tmp_path / "new")

    def test_unknown_options_and_formats(self, tmp_path: Path) -> None:
        with pytest.raises(
            UnknownNameError, match=r"unknown option of the lerobot writer 'codek'\. Did you mean 'codec'"
        ):
            self.write(tmp_path, Signal(REWARD, np.zeros(2)), codek="av1")
        with pytest.raises(ConfigError, match="codec 'mpeg1' is none of auto, av1, h264"):
            self.write(tmp_path, Signal(REWARD, np.zeros(2)), codec="mpeg1")
        with pytest.raises(ConfigError, match=r"data_mb is 0\.0, expected a positive number"):
            self.write(tmp_path, Signal(REWARD, np.zeros(2)), data_mb=0.0)
        with pytest.raises(UnknownNameError, match=r"unknown format 'lerobo'\. Did you mean 'lerobot'"):
            self.write(tmp_path, Signal(REWARD, np.zeros(2)), format="lerobo")
        with pytest.raises(ConfigError, match=r"expected nan refuse\|mask"):
            open_dataset(self.made(tmp_path), nan="drop")

    def made(self, tmp_path: Path) -> Path:
        self.write(tmp_path, Signal(REWARD, np.zeros(2)))
        return tmp_path / "new"

    def test_a_path_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match=r"nowhere does not exist\. Check the path"):
            open_dataset(tmp_path / "nowhere")
        with pytest.raises(FormatError, match="nowhere does not exist"):
            detect_format(tmp_path / "nowhere")
