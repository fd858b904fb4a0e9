"""Episodes written one by one, in any order, interrupted at any point, give the same dataset byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_samples import NUMERIC, SCHEMA, TOP, assert_equal, files_of, number_of, sample

from invdyn.episodes import Dataset, Schema, Signal, SignalSpec, open_dataset, write_dataset
from invdyn.episodes.formats import lerobot_source
from invdyn.episodes.formats.lerobot_merge import merge_shards
from invdyn.episodes.formats.lerobot_options import LeRobotOptions
from invdyn.episodes.formats.lerobot_shards import has_shard, read_shard, shard_path, write_shard
from invdyn.episodes.formats.lerobot_writer import LeRobotWriter
from invdyn.episodes.views import hide, select_signals
from invdyn.errors import FormatError

LABEL = SignalSpec("label.action.weight", (), "float32", "state")


def test_order_and_repetition_do_not_matter(tmp_path: Path) -> None:
    data = sample()
    truth = files_of(write_dataset(data, tmp_path / "at once"))
    for index in (2, 0, 3, 1, 0):
        assert not has_shard(tmp_path / "shards", index) or index == 0
        write_shard(tmp_path / "shards", index, data[index], SCHEMA)
    path = merge_shards(tmp_path / "shards", tmp_path / "merged", SCHEMA, episodes=4)
    assert files_of(path) == truth
    assert has_shard(tmp_path / "shards", 3)  # the shards are left as they are
    assert_equal(data, open_dataset(path))


KILLING = """
import os, random, signal, sys
from pathlib import Path
from lerobot_samples import NUMERIC, TOP, sample
from invdyn.episodes import Schema
from invdyn.episodes.formats import lerobot_source
from invdyn.episodes.formats.lerobot_merge import merge_shards
from invdyn.episodes.formats.lerobot_shards import has_shard, write_shard

shards, path = Path(sys.argv[1]), Path(sys.argv[2])
data = sample((40, 10, 20, 30, 5, 50), Schema((*NUMERIC.signals, TOP), 10.0))
chance = random.Random(0)
for kills in range(200):
    left = chance.randrange(1, 20_000 * (kills + 1))  # further each time: it must come to an end
    child = os.fork()  # this process has no threads: it has neither encoded nor written anything
    if child == 0:
        def kill_at_zero(frame, event, arg):  # after so many lines of Python, however fast the machine is
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return kill_at_zero
        sys.settrace(kill_at_zero)
        for index in range(len(data)):
            if not has_shard(shards, index):
                write_shard(shards, index, data[index], data.schema)
        if not path.exists():
            merge_shards(shards, path, data.schema, episodes=len(data))
        os._exit(0)
    done = os.waitpid(child, 0)[1] == 0
    if done:
        break
    if path.exists():  # whole, or not there
        assert (path / "meta/info.json").exists() and (path / "meta/invdyn.json").exists()
print(kills, done)
"""


def test_killed_at_random_points_it_continues_to_the_same_bytes(tmp_path: Path) -> None:
    data = sample((40, 10, 20, 30, 5, 50), Schema((*NUMERIC.signals, TOP), 10.0))
    truth = files_of(write_dataset(data, tmp_path / "at once"))
    path = tmp_path / "merged"
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", KILLING, str(tmp_path / "shards"), str(path)]
    done = subprocess.run(command, env=here, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    kills, finished = done.stdout.split()
    assert finished == "True"
    assert int(kills) >= 3
    assert files_of(path) == truth
    write_dataset(sample((2,), NUMERIC), path, overwrite=True)  # sweeps what the killed ones left
    assert sorted(p.name for p in tmp_path.iterdir()) == ["at once", "merged", "shards"]


def test_a_half_written_shard_is_no_shard(tmp_path: Path) -> None:
    data = sample((5, 6), NUMERIC)
    for index in range(2):
        write_shard(tmp_path, index, data[index], NUMERIC)
    content = shard_path(tmp_path, 1).read_bytes()
    shard_path(tmp_path, 1).write_bytes(content[:-20])
    with pytest.raises(FormatError, match=r"episode-000001\.parquet is not a complete shard.*write episode 1 again"):
        merge_shards(tmp_path, tmp_path / "out", NUMERIC, episodes=2)
    shard_path(tmp_path, 1).unlink()
    with pytest.raises(FormatError, match=r"episode-000001\.parquet is missing: episode 1 has not been written"):
        merge_shards(tmp_path, tmp_path / "out", NUMERIC, episodes=2)
    assert not (tmp_path / "out").exists()


def test_shards_of_another_schema_or_other_options_are_refused(tmp_path: Path) -> None:
    data = sample((5,), NUMERIC)
    write_shard(tmp_path, 0, data[0], NUMERIC)
    told = "written for another schema or with other options. Delete it"
    with pytest.raises(FormatError, match=told):
        merge_shards(tmp_path, tmp_path / "out", NUMERIC.updated([LABEL]), episodes=1)
    with pytest.raises(FormatError, match=told):
        merge_shards(tmp_path, tmp_path / "out", NUMERIC, episodes=1, options=LeRobotOptions(matrices="nested"))


def labelled(data: Dataset, index: int):  # type: ignore[no-untyped-def]
    episode = data[index]
    return episode.with_signals([Signal(LABEL, np.full(episode.length, 0.5, np.float32))])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = write_dataset(sample((12, 1, 30, 7, 9)), tmp_path_factory.mktemp("source") / "data", video_mb=0.006)
    return open_dataset(path)


def test_videos_are_taken_over_unchanged(source: Dataset, tmp_path: Path) -> None:
    schema = source.schema.updated([LABEL])
    with LeRobotWriter(tmp_path / "new", schema, videos_from=source) as writer:
        for index in range(len(source)):
            writer.add(labelled(source, index))
    before, after = files_of(source.source.root), files_of(tmp_path / "new")
    videos = {name: content for name, content in before.items() if name.startswith("videos/")}
    assert len(videos) > 3
    assert {name: content for name, content in after.items() if name.startswith("videos/")} == videos
    found = open_dataset(tmp_path / "new")
    assert found[2]["label.action.weight"].values.tolist() == [0.5] * 30
    first = 0
    for a, b in zip(source, found, strict=True):
        assert [number_of(p) for p in b[TOP.name].values] == [first + k for k in range(a.length)]
        first += a.length
    table = pq.read_table(tmp_path / "new/meta/episodes/chunk-000/file-000.parquet")
    old = pq.read_table(source.source.root / "meta/episodes/chunk-000/file-000.parquet")
    for part in ("chunk_index", "file_index", "from_timestamp", "to_timestamp"):
        assert table[f"videos/{TOP.name}/{part}"] == old[f"videos/{TOP.name}/{part}"]


def test_no_frame_is_decoded_where_our_own_videos_are_taken_over(
    source: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a video was opened")

    first = pq.read_table(source.source.root / "meta/episodes/chunk-000/file-000.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(lerobot_source, "VideoReader", never)
        write_dataset(select_signals(source, ["action", TOP.name]), tmp_path / "new", videos_from=source)
    again = pq.read_table(tmp_path / "new/meta/episodes/chunk-000/file-000.parquet")
    for part in ("mean", "q50", "count"):
        assert again[f"stats/{TOP.name}/{part}"] == first[f"stats/{TOP.name}/{part}"]


def test_statistics_of_foreign_videos_are_recomputed(source: Dataset, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(source.source.root, tmp_path / "foreign"))
    (copy / "meta/invdyn.json").unlink()
    table = copy / "meta/episodes/chunk-000/file-000.parquet"
    content, name = pq.read_table(table), f"stats/{TOP.name}/mean"
    wrong = pa.array([[[[9.0]], [[9.0]], [[9.0]]]] * 5)
    pq.write_table(content.set_column(content.column_names.index(name), name, wrong), table)
    foreign = open_dataset(copy)
    write_dataset(foreign, tmp_path / "new", videos_from=foreign)
    told = json.loads((tmp_path / "new/meta/stats.json").read_text())[TOP.name]
    # From the decoded, lossy frames here, from the frames before encoding there.
    truth = json.loads((source.source.root / "meta/stats.json").read_text())[TOP.name]
    np.testing.assert_allclose(told["mean"], truth["mean"], atol=0.02)


def test_videos_of_a_part_in_another_order(source: Dataset, tmp_path: Path) -> None:
    part = source[[3, 2]]
    found = open_dataset(write_dataset(part, tmp_path / "new", videos_from=part))
    assert [number_of(p) for p in found[0][TOP.name].values] == list(range(43, 50))
    assert [number_of(p) for p in found[1][TOP.name].values] == list(range(13, 43))
    copied = {p.read_bytes() for p in (tmp_path / "new/videos").rglob("*.mp4")}
    assert copied <= {p.read_bytes() for p in (source.source.root / "videos").rglob("*.mp4")}


def test_through_views_but_never_what_a_view_hides(source: Dataset, tmp_path: Path) -> None:
    seen = hide(source, ["action"], range(5))
    found = open_dataset(write_dataset(seen, tmp_path / "new", videos_from=seen))
    assert all("action" not in episode for episode in found)
    hidden = hide(source, [TOP.name], [1])
    with pytest.raises(FormatError, match=r"episode 1, signal 'observation\.images\.top': hidden"):
        write_dataset(hidden, tmp_path / "other", videos_from=hidden)


def test_videos_can_only_come_from_lerobot_on_disk(tmp_path: Path) -> None:
    data = sample((3,))
    with pytest.raises(FormatError, match=r"memory is not a LeRobotDataset on disk\. Write without videos_from"):
        write_dataset(data, tmp_path / "new", videos_from=data)


def test_missing_pictures_stay_missing_when_videos_are_taken_over(tmp_path: Path) -> None:
    schema = Schema((LABEL, TOP), 10.0)
    whole = sample((6, 4), schema)
    partial = Signal(TOP, whole[0][TOP.name].values, np.array([True, True, False, True, True, True]))
    data = Dataset.from_episodes([whole[0].with_signals([partial]), whole[1].with_signals([], drop=[TOP.name])])
    first = open_dataset(write_dataset(data, tmp_path / "a"))
    again = open_dataset(write_dataset(first, tmp_path / "b", videos_from=first))
    assert again[0][TOP.name].mask.tolist() == partial.mask.tolist()
    assert TOP.name not in again[1]


def test_the_writer_leaves_nothing_behind(tmp_path: Path) -> None:
    data = sample((5,), NUMERIC)

    def stopped() -> None:
        with LeRobotWriter(tmp_path / "new", NUMERIC) as writer:
            writer.add(data[0])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    assert list(tmp_path.iterdir()) == []
    with LeRobotWriter(tmp_path / "new", NUMERIC) as writer:
        writer.add(data[0])
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    with pytest.raises(FormatError, match="the writer is closed"):
        writer.add(data[0])
    with pytest.raises(FormatError, match="exists already"):
        LeRobotWriter(tmp_path / "new", NUMERIC)
    with pytest.raises(FormatError, match="needs at least one episode"):
        LeRobotWriter(tmp_path / "empty", NUMERIC).close()


def test_a_shard_tells_what_is_in_it(tmp_path: Path) -> None:
    data = sample((5, 6, 7), NUMERIC)
    for index in range(3):
        write_shard(tmp_path, index, data[index], NUMERIC)
    told = [read_shard(tmp_path, k, rows=False)[0] for k in range(3)]
    assert [s.absent for s in told] == [(), ("action",), ()]
    assert [s.partial for s in told] == [("action",), (), ("action",)]
    assert [s.regular for s in told] == [True, True, False]
    assert told[0].statistics["action"]["count"] == [4]
