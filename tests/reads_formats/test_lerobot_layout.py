"""The native layout holds what was written: round trips, the traps of the format, foreign files, laziness."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_samples import (
    ACTION,
    MATRIX,
    NUMERIC,
    PNG,
    REWARD,
    SCHEMA,
    SIDE,
    STATE,
    TASKS,
    TOP,
    assert_equal,
    files_of,
    number_of,
    sample,
)

from invdyn.episodes import (
    Dataset,
    Episode,
    Schema,
    Signal,
    SignalSpec,
    detect_format,
    open_dataset,
    statistics,
    write_dataset,
)
from invdyn.episodes.formats import lerobot_source
from invdyn.episodes.formats.lerobot_episodes import read_tasks
from invdyn.episodes.formats.lerobot_files import DataFile
from invdyn.errors import FormatError

FORMAT = ["timestamp", "frame_index", "episode_index", "index", "task_index"]


def rewrite(path: Path, change) -> None:  # type: ignore[no-untyped-def]
    """Replace a JSON or Parquet file by what `change` makes of its content."""
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        path.write_text(json.dumps(change(content) or content))
    else:
        pq.write_table(change(pq.read_table(path)), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(sample(), tmp_path_factory.mktemp("lerobot") / "data")


@pytest.mark.parametrize(
    "options", [{}, {"matrices": "nested"}, {"codec": "h264"}, {"data_mb": 0.01, "video_mb": 0.004, "chunk_files": 2}]
)
def test_round_trip(tmp_path: Path, options: dict) -> None:
    data = sample()
    path = write_dataset(data, tmp_path / "data", **options)
    assert detect_format(path) == "lerobot"
    assert_equal(data, open_dataset(path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]  # nothing is left beside


def test_lossless_video_is_bit_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = {s.name: rng.integers(0, 256, (9, *s.shape), np.uint8) for s in (TOP, SIDE)}
    data = Dataset.from_episodes([Episode.from_signals([Signal(s, values[s.name]) for s in (TOP, SIDE)], fps=10.0)] * 2)
    found = open_dataset(write_dataset(data, tmp_path / "data", lossless=True))
    for episode in found:
        for spec in (TOP, SIDE):
            assert np.array_equal(episode[spec.name].values, values[spec.name])


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first = files_of(write_dataset(sample(), tmp_path / "a"))
    assert first == files_of(write_dataset(sample(), tmp_path / "b"))
    assert first != files_of(write_dataset(sample(seed=1), tmp_path / "c"))


def test_files_on_disk_are_as_the_format_says(folder: Path) -> None:
    info = json.loads((folder / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"], info["fps"]) == (4, 50, 3, 10)
    assert info["splits"] == {"train": "0:4"}
    features = info["features"]
    assert list(features)[-5:] == FORMAT
    assert features["observation.state"] == {"dtype": "float32", "shape": [4], "names": ["a", "b", "c", "d"]}
    assert features["next.reward"] == {"dtype": "float64", "shape": [1], "names": None}
    assert features["mask.action"] == {"dtype": "bool", "shape": [1], "names": None}
    assert features["world.inertia"]["shape"] == [6]
    assert features["world.inertia"]["names"][4] == "[1, 1]"
    top = features["observation.images.top"]
    assert (top["dtype"], top["shape"], top["names"]) == ("video", [32, 48, 3], ["height", "width", "channels"])
    assert (top["info"]["video.height"], top["info"]["video.width"], top["info"]["video.fps"]) == (32, 48, 10)
    file = pq.ParquetFile(folder / "data/chunk-000/file-000.parquet")
    assert [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)] == [12, 1, 30, 7]
    assert [file.metadata.row_group(0).column(k).compression for k in range(2)] == ["SNAPPY", "SNAPPY"]
    schema = file.schema_arrow
    assert schema.field("observation.state").type == pa.list_(pa.float32(), 4)
    assert schema.field("next.reward").type == pa.float64()
    assert schema.field("note").type == pa.string()
    assert {f.name for f in schema.field(PNG.name).type} == {"bytes", "path"}
    assert "observation.images.top" not in schema.names
    table = file.read()
    assert table["index"].to_pylist() == list(range(50))
    assert table["frame_index"].to_pylist()[11:14] == [11, 0, 0]
    assert table["task_index"].to_pylist()[12] == 1
    assert table["timestamp"].type == pa.float32()
    assert np.isnan(table["action"].to_pylist()[11]).all()
    assert table["mask.action"].to_pylist()[10:13] == [True, False, False]
    episodes = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet")
    assert episodes["dataset_from_index"].to_pylist() == [0, 12, 13, 43]
    assert episodes["videos/observation.images.top/from_timestamp"].to_pylist() == [0.0, 1.2, 1.3, 4.3]
    assert episodes["videos/observation.images.top/to_timestamp"].to_pylist() == [1.2, 1.3, 4.3, 5.0]
    assert episodes.schema.field("stats/observation.images.top/mean").type == pa.list_(pa.list_(pa.list_(pa.float64())))
    assert episodes.schema.field("stats/next.success/min").type == pa.list_(pa.bool_())
    assert episodes["stats/action/mean"].to_pylist()[1] is None  # the episode has no action
    for name in ("min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"):
        assert f"stats/observation.state/{name}" in episodes.column_names
    stats = json.loads((folder / "meta/stats.json").read_text())
    assert set(stats) == set(features) - {"note"}
    assert stats["action"]["count"] == [11 + 29]
    assert np.shape(stats["observation.images.top"]["mean"]) == (3, 1, 1)


def test_tasks_are_indexed_by_their_text(folder: Path) -> None:
    """As pandas reads it, which is how LeRobot reads it: the text is the index."""
    import pandas as pd

    frame = pd.read_parquet(folder / "meta/tasks.parquet")
    assert list(frame.index) == list(TASKS)
    assert frame["task_index"].tolist() == [0, 1, 2]
    assert read_tasks(folder) == TASKS


@pytest.mark.parametrize("column", ["task", "__index_level_0__"])
def test_tasks_without_pandas_metadata_are_found(tmp_path: Path, column: str) -> None:
    (tmp_path / "meta").mkdir()
    pq.write_table(pa.table({"task_index": [1, 0], column: ["b", "a"]}), tmp_path / "meta/tasks.parquet")
    assert read_tasks(tmp_path) == ("a", "b")


def test_statistics_on_disk_are_those_of_the_values(folder: Path) -> None:
    told = json.loads((folder / "meta/stats.json").read_text())
    found = statistics(open_dataset(folder), ["observation.state", "action", "next.reward", "next.success", PNG.name])
    for name, s in found.items():
        for part in ("min", "max", "mean", "std"):
            # Summed per episode and put together there, all at once here: rounding differs.
            np.testing.assert_allclose(
                np.array(told[name][part]).ravel(), getattr(s, part).ravel().astype(float), rtol=1e-9, atol=1e-12
            )
        assert told[name]["count"] == [s.count]


def test_foreign_statistics_are_not_needed_and_not_believed(tmp_path: Path) -> None:
    path = write_dataset(sample(schema=NUMERIC), tmp_path / "data")
    truth = statistics(open_dataset(path))["observation.state"]
    rewrite(
        path / "meta/stats.json", lambda s: {k: {"mean": [99.0], "std": [0.0]} for k in s}
    )  # no quantiles, all wrong
    episodes = path / "meta/episodes/chunk-000/file-000.parquet"
    rewrite(episodes, lambda t: t.select([n for n in t.column_names if not n.startswith("stats/")]))
    assert np.array_equal(statistics(open_dataset(path))["observation.state"].mean, truth.mean)
    (path / "meta/stats.json").unlink()
    assert_equal(sample(schema=NUMERIC), open_dataset(path))


def test_a_window_is_a_piece_of_the_episode(folder: Path) -> None:
    data = open_dataset(folder)
    whole = data[2]
    for name in whole:
        piece = data[2].read(name, 3, 9)
        assert np.array_equal(
            piece.values, whole[name].values[3:9], equal_nan=not piece.spec.is_text and piece.values.dtype.kind == "f"
        )
        assert np.array_equal(piece.mask, whole[name].mask[3:9])


def test_fractional_frame_rate(tmp_path: Path) -> None:
    fps = 1 / 0.033
    schema = Schema((STATE, TOP), fps)
    data = sample((5, 40, 3), schema)
    path = write_dataset(data, tmp_path / "data")
    assert json.loads((path / "meta/info.json").read_text())["fps"] == 30  # LeRobot needs a whole number
    found = open_dataset(path)
    assert found.fps == fps
    assert_equal(data, found)


def test_an_episode_longer_than_2048_seconds(tmp_path: Path) -> None:
    """float32 seconds are too coarse there; time must come from the frame number (formats.md 1.4)."""
    schema = Schema((REWARD, TOP), 0.5)
    data = sample((3, 1100, 4), schema)
    found = open_dataset(write_dataset(data, tmp_path / "data", codec="h264"))
    assert found[1].timestamp[-1] == 2198.0
    assert_equal(data, found)
    fast = Schema((REWARD,), 30.0)
    data = sample((61_500,), fast)  # 2,050 s at 30 fps: k/30 is not a float32 number
    found = open_dataset(write_dataset(data, tmp_path / "fast"))
    assert np.array_equal(found[0].timestamp, np.arange(61_500) / 30)


def test_cameras_roll_over_at_different_episodes(tmp_path: Path) -> None:
    data = sample((20, 25, 1, 18, 30), Schema((REWARD, TOP, SIDE), 10.0))
    path = write_dataset(data, tmp_path / "data", video_mb=0.006, data_mb=0.004, chunk_files=2)
    table = pq.read_table(path / "meta/episodes/chunk-000/file-000.parquet")

    def files(prefix: str) -> list[tuple[int, int]]:
        return list(
            zip(table[f"{prefix}/chunk_index"].to_pylist(), table[f"{prefix}/file_index"].to_pylist(), strict=True)
        )

    top, side, rows = files(f"videos/{TOP.name}"), files(f"videos/{SIDE.name}"), files("data")
    assert len(set(top)) > 1
    assert top != side
    assert len(set(rows)) > 1
    assert max(max(top), max(side)) >= (1, 0)  # a second chunk folder
    assert_equal(data, open_dataset(path))


def test_opening_100_000_episodes_reads_metadata_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dataset(sample((3, 4), NUMERIC), tmp_path / "data")
    count, length = 100_000, 200
    number = np.arange(count)
    columns = {
        "episode_index": number,
        "length": np.full(count, length),
        "data/chunk_index": number // 1_000_000,
        "data/file_index": number // 1000,
        "dataset_from_index": number * length,
        "dataset_to_index": (number + 1) * length,
    }
    table = pa.table(columns).append_column("tasks", pa.array([[f"task {k % 7}"] for k in number]))
    pq.write_table(table, path / "meta/episodes/chunk-000/file-000.parquet")
    rewrite(path / "meta/info.json", lambda i: i.update(total_episodes=count, total_frames=count * length))
    for file in (path / "data").rglob("*.parquet"):
        file.unlink()  # there is no data to read

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a data file was opened")

    monkeypatch.setattr(lerobot_source, "DataFile", never)
    begin = perf_counter()
    data = open_dataset(path)
    seconds = perf_counter() - begin
    assert len(data) == count
    assert data.frames == count * length
    assert data[99_999].task == f"task {99_999 % 7}"
    assert len(data[10:20_000:3]) == 6664
    assert isinstance(data.source.table.text["tasks"], pa.ChunkedArray)  # no Python object per episode
    assert seconds < 5  # about 0.1 s alone; shared machines are slow
    with pytest.raises(AssertionError, match="a data file was opened"):
        data[0]["observation.state"]


def test_only_the_asked_column_of_the_asked_rows_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dataset(sample(schema=NUMERIC), tmp_path / "data")
    data = open_dataset(path)
    asked = []
    real = DataFile.read

    def spy(self: DataFile, name: str, start: int, stop: int, where: str) -> pa.Array:
        asked.append((name, start, stop))
        return real(self, name, start, stop, where)

    monkeypatch.setattr(DataFile, "read", spy)
    episode = data[2]
    assert asked == []
    episode.read("observation.state", 4, 6)
    assert asked == [("observation.state", 13 + 4, 13 + 6)]
    asked.clear()
    assert "action" in episode
    assert "action" not in data[1]
    assert asked == []  # the table tells which episode lacks it
    groups = []
    file = data.source._data(2)
    reader = file._file.reader

    class Counting:
        def read_row_groups(self, which: list[int], **options: object) -> pa.Table:
            groups.append((which, options["column_indices"]))
            return reader.read_row_groups(which, **options)

    class Around:
        reader, metadata = Counting(), file._file.metadata

    file._file, kept = Around(), file._file
    data[3]["observation.state"]
    file._file = kept
    assert groups == [([3], [0])]


def test_foreign_row_groups_of_any_size(tmp_path: Path) -> None:
    """Other writers put many episodes in one row group, or cut episodes in the middle."""
    data = sample(schema=NUMERIC)
    path = write_dataset(data, tmp_path / "data")
    file = path / "data/chunk-000/file-000.parquet"
    for size in (1000, 5):
        table = pq.read_table(file)
        pq.write_table(table, file, row_group_size=size)
        assert_equal(data, open_dataset(path))


def test_plain_lerobot_without_our_own_file(tmp_path: Path) -> None:
    data = sample((5, 3), Schema((STATE, ACTION, REWARD, TOP, PNG), 10.0))
    path = write_dataset(data, tmp_path / "data")
    (path / "meta/invdyn.json").unlink()
    episodes = path / "meta/episodes/chunk-000/file-000.parquet"
    rewrite(episodes, lambda t: t.select([n for n in t.column_names if not n.startswith("invdyn/")]))
    found = open_dataset(path)
    assert [(s.name, s.shape, s.kind, s.encoding) for s in found.schema.signals] == [
        (s.name, s.shape, s.kind, s.encoding) for s in (STATE, ACTION, REWARD, TOP, PNG)
    ]
    assert found.schema["observation.state"].names == ("a", "b", "c", "d")
    assert "action" not in found[1]  # the mask alone tells
    assert np.array_equal(found[0]["action"].mask, data[0]["action"].mask)
    assert np.array_equal(found[0]["observation.state"].values, data[0]["observation.state"].values)


def test_scalars_and_shape_one(tmp_path: Path) -> None:
    """LeRobot stores both as scalars; ours stay apart, foreign ones are told apart by their name."""
    specs = (SignalSpec("action", (1,), "float32", "action"), REWARD, SignalSpec("pair", (1, 1), "int16", "state"))
    values = [np.array([[1.0], [2.0]], np.float32), np.array([3.0, 4.0]), np.array([[[5]], [[6]]], np.int16)]
    data = Dataset.from_episodes(
        [Episode.from_signals([Signal(s, v) for s, v in zip(specs, values, strict=True)], fps=5.0)]
    )
    path = write_dataset(data, tmp_path / "data")
    assert pq.read_schema(path / "data/chunk-000/file-000.parquet").field("action").type == pa.float32()
    assert_equal(data, open_dataset(path))
    (path / "meta/invdyn.json").unlink()
    # Only the name tells in foreign data; the flattened (1, 1) matrix cannot be told from a number there.
    assert [s.shape for s in open_dataset(path).schema.signals] == [(1,), (), ()]


def make_v2(path: Path, data: Dataset, version: str, tmp: Path) -> None:
    """The same recordings in the layout of v2.1 or v2.0 (formats.md 1.11)."""
    modern = write_dataset(data, tmp / "modern", video_mb=1e-9)  # one video file per episode
    info = json.loads((modern / "meta/info.json").read_text())
    (path / "meta").mkdir(parents=True)
    info.update(
        codebase_version=version,
        chunks_size=2,
        total_chunks=2,
        total_videos=len(data),
        data_path="data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        video_path="videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    )
    for key in ("data_files_size_in_mb", "video_files_size_in_mb"):
        del info[key]
    (path / "meta/info.json").write_text(json.dumps(info))
    tasks = read_tasks(modern)
    (path / "meta/tasks.jsonl").write_text(
        "".join(json.dumps({"task_index": k, "task": t}) + "\n" for k, t in enumerate(tasks))
    )
    rows = [{"episode_index": k, "tasks": [r.task], "length": r.length} for k, r in enumerate(data.records())]
    (path / "meta/episodes.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    table = pq.read_table(modern / "data/chunk-000/file-000.parquet")
    for k, (start, length) in enumerate(zip(data.starts, data.lengths, strict=True)):
        target = path / f"data/chunk-{k // 2:03d}/episode_{k:06d}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(start, length), target)
        for camera in ("observation.images.top",):
            video = path / f"videos/chunk-{k // 2:03d}/{camera}/episode_{k:06d}.mp4"
            video.parent.mkdir(parents=True, exist_ok=True)
            video.write_bytes((modern / f"videos/{camera}/chunk-000/file-{k:03d}.mp4").read_bytes())


@pytest.mark.parametrize("version", ["v2.1", "v2.0"])
def test_version_2_is_read(tmp_path: Path, version: str) -> None:
    data = sample((6, 1, 9), Schema((STATE, ACTION, REWARD, TOP), 10.0))
    make_v2(tmp_path / "old", data, version, tmp_path)
    found = open_dataset(tmp_path / "old", clock="ignore")
    assert len(found) == 3
    for a, b in zip(data, found, strict=True):
        assert b.task == a.task
        assert np.array_equal(b["observation.state"].values, a["observation.state"].values)
        assert [number_of(p) for p in b[TOP.name].values] == [number_of(p) for p in a[TOP.name].values]
    again = open_dataset(write_dataset(found, tmp_path / "new", videos_from=found))
    assert [number_of(p) for p in again[2][TOP.name].values] == [7, 8, 9, 10, 11, 12, 13, 14, 15]


def test_several_tasks_in_one_episode_are_all_told(tmp_path: Path) -> None:
    path = write_dataset(sample((4,), NUMERIC), tmp_path / "data")
    episodes = path / "meta/episodes/chunk-000/file-000.parquet"
    rewrite(episodes, lambda t: t.set_column(t.column_names.index("tasks"), "tasks", pa.array([["first", "second"]])))
    episode = open_dataset(path)[0]
    assert episode.task == "first"
    assert episode.metadata["tasks"] == ["first", "second"]


def test_unknown_keys_warn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_dataset(sample((4,), NUMERIC), tmp_path / "data")
    rewrite(path / "meta/info.json", lambda i: i.update(flavour="sweet"))
    with caplog.at_level(logging.WARNING):
        open_dataset(path)
    assert "unknown key 'flavour'" in caplog.text


def test_nan_without_a_mask_can_be_taken_as_missing(tmp_path: Path) -> None:
    path = write_dataset(sample((4, 3), NUMERIC), tmp_path / "data")
    file = path / "data/chunk-000/file-000.parquet"
    values = np.arange(28, dtype=np.float32)
    values[4] = values[16:] = np.nan  # step 1 of episode 0, and episode 1 altogether
    column = pa.FixedSizeListArray.from_arrays(pa.array(values), 4)
    rewrite(
        file,
        lambda t: t.set_column(t.column_names.index("observation.state"), t.schema.field("observation.state"), column),
    )
    with pytest.raises(FormatError, match="not a finite number"):
        open_dataset(path)[0]["observation.state"]
    found = open_dataset(path, nan="mask")
    assert found[0]["observation.state"].mask.tolist() == [True, False, True, True]
    assert "observation.state" not in found[1]


def test_missing_pictures(tmp_path: Path) -> None:
    """A video always has a frame; the mask says that it is none."""
    schema = Schema((REWARD, TOP, PNG), 10.0)
    whole = sample((6, 4), schema)
    half = Signal(TOP, whole[0][TOP.name].values, np.array([True, True, False, True, True, False]))
    data = Dataset.from_episodes([whole[0].with_signals([half]), whole[1].with_signals([], drop=[TOP.name, PNG.name])])
    found = open_dataset(write_dataset(data, tmp_path / "data"))
    assert found[0][TOP.name].mask.tolist() == half.mask.tolist()
    assert number_of(found[0][TOP.name].values[4]) == 4
    assert list(found[1]) == ["next.reward"]


def test_matrices_flat_and_nested_are_the_same_to_us(tmp_path: Path) -> None:
    data = sample((5,), Schema((MATRIX, SignalSpec("field", (2, 2, 3), "int32", "state")), 10.0))
    for matrices, kind in (("flat", pa.list_(pa.float64(), 6)), ("nested", pa.list_(pa.list_(pa.float64())))):
        path = write_dataset(data, tmp_path / matrices, matrices=matrices)
        assert pq.read_schema(path / "data/chunk-000/file-000.parquet").field("world.inertia").type == kind
        assert_equal(data, open_dataset(path))


def test_a_source_travels_to_another_process(folder: Path) -> None:
    import pickle

    data = open_dataset(folder)
    data[0]["observation.images.top"]  # opens files
    again = pickle.loads(pickle.dumps(data))
    assert_equal(sample(), again)


def test_overwrite_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = write_dataset(sample((4,), NUMERIC), tmp_path / "data")
    with pytest.raises(FormatError, match="exists already"):
        write_dataset(sample((5,), NUMERIC), path)
    write_dataset(sample((5,), NUMERIC), path, overwrite=True)
    assert open_dataset(path).frames == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_nothing_appears_when_writing_fails(tmp_path: Path) -> None:
    data = sample((4, 3), NUMERIC)
    bad = data[1].with_signals([Signal(REWARD, np.array([0.0, np.nan, 0.0]))])
    with pytest.raises(FormatError, match=r"episode 1, signal 'next\.reward', step 1"):
        write_dataset(Dataset.from_episodes([data[0], bad]), tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_schema_of_the_sample_covers_every_way_to_store() -> None:
    assert {s.encoding for s in SCHEMA.signals} == {"array", "png", "video"}
