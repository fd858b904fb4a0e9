"""Speed of reading recordings, next to what a user of Minari and of LeRobot gets from the same data in the same run.

Task: every 16-step window of state and action as torch tensors, in batches of 256. All rates include the cold start:
opening and the first read of each column count against us; nothing of ours is warmed up (the files are in the
system's cache, for all). `one cold pass` reads every window once; `training` makes five passes, ours in a random order
of windows. Minari's reader keeps nothing between passes, ours keeps the columns in memory: for data that fits, that is
the difference a training run sees. What a user gets who keeps Minari's episodes in a list is a row of its own.

What was done so that the peers are not held back:
- Minari reads files that Minari wrote itself; its user cuts whole windows out of each episode at once
  (`sliding_window_view`, one copy), episode after episode, in training too: a random order of windows would make it
  reread an episode for every window. Ours also makes the padded windows at the beginnings of episodes; they
  take time and are not counted in this comparison.
- The LeRobot loop follows `LeRobotDataset.__getitem__` (row of the frame, rows of the window clamped to the episode,
  padding flags), but on one combined Arrow table in memory instead of a `datasets` object, whose transform to torch
  per cell is slower. Its opening is counted once per pass and its rate comes from a sample of random items.
- Video: the bare loop decodes the same file from begin to end into the same array, with the same thread settings.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from invdyn.episodes import Dataset, Episode, Signal, SignalSpec, open_dataset, write_dataset
from invdyn.episodes.windows import Window, WindowSampler

__all__ = ["run"]

STEPS, BATCH, PASSES = 16, 256, 5
STATE = SignalSpec("observation.state", (20,), "float32", "state")
ACTION = SignalSpec("action", (7,), "float32", "action")
VIDEO = SignalSpec("observation.images.top", (240, 320, 3), "uint8", "image", encoding="video")


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def recordings(episodes: int, steps: int) -> Dataset:
    """Episodes of `steps` actions and steps + 1 states, as Minari has them."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(episodes):
        action = rng.normal(size=(steps + 1, 7)).astype(np.float32)
        action[-1] = np.nan
        state = rng.normal(size=(steps + 1, 20)).astype(np.float32)
        there = np.arange(steps + 1) < steps
        made.append(Episode.from_signals([Signal(STATE, state), Signal(ACTION, action, there)], fps=50.0))
    return Dataset.from_episodes(made)


def write_with_minari(data: Dataset, folder: Path) -> None:
    """The recordings in HDF5, written by Minari."""
    import minari
    from gymnasium.spaces import Box
    from minari.data_collector.episode_buffer import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    folder.mkdir(parents=True)
    spaces = (Box(-np.inf, np.inf, (20,), np.float32), Box(-np.inf, np.inf, (7,), np.float32))
    storage = MinariStorage.new(folder, *spaces, data_format="hdf5")
    for number, episode in enumerate(data):
        steps = episode.length - 1
        buffer = EpisodeBuffer(
            id=number,
            observations=episode["observation.state"].values,
            actions=episode["action"].values[:-1],
            rewards=np.zeros(steps).tolist(),
            terminations=[False] * steps,
            truncations=[False] * (steps - 1) + [True],
        )
        storage.update_episodes([buffer])
    storage.update_metadata({"dataset_id": "bench-v0", "minari_version": minari.__version__})


def ours(path: Path, passes: int = 1) -> tuple[int, int, float]:
    """Whole windows, all windows, seconds: open, read, one pass in order, or several in a random order of windows.

    Every batch is made in full, masks included, and one value of it is looked at; whole windows are counted afterwards.
    """
    begin = time.perf_counter()
    data = open_dataset(path, **({"fps": 50.0} if path.name == "minari" else {}))
    sampler = WindowSampler(data, ["observation.state", "action"], Window(STEPS - 1, 0))
    total, sink = 0, 0.0
    generator = torch.Generator().manual_seed(0)
    for _ in range(passes):
        count = len(sampler)
        order = torch.arange(count) if passes == 1 else torch.randperm(count, generator=generator)
        for which in order.split(BATCH):
            batch = sampler.batch(which)
            total += len(batch)
            sink += float(batch.inputs["observation.state"][0, 0, 0])
    seconds = time.perf_counter() - begin
    assert np.isfinite(sink)
    whole = sum(int(batch.mask.all(1).sum()) for batch in sampler.in_order(BATCH))
    return whole * passes, total, seconds


def minari_user(path: Path, passes: int = 1, keep: bool = False) -> tuple[int, float]:
    """Windows and seconds: episodes by Minari's reader, windows cut and batched, episodes in order in every pass.

    Args:
        keep: keep the episodes of the first pass in memory.
    """
    import minari

    begin = time.perf_counter()
    data = minari.MinariDataset(str(path))
    count, sink = 0, 0.0
    kept = list(data.iterate_episodes()) if keep else None
    for episode in (e for _ in range(passes) for e in kept or data.iterate_episodes()):
        steps = len(episode.actions)
        views = [
            np.lib.stride_tricks.sliding_window_view(a[:steps], STEPS, axis=0)
            for a in (episode.observations, episode.actions)
        ]
        state, action = (torch.from_numpy(np.ascontiguousarray(v.swapaxes(1, 2))) for v in views)
        for first in range(0, len(state), BATCH):
            batch = {"observation.state": state[first : first + BATCH], "action": action[first : first + BATCH]}
            count += len(batch["action"])
            sink += float(batch["observation.state"][0, 0, 0])
    seconds = time.perf_counter() - begin
    assert np.isfinite(sink)
    return count, seconds


class LeRobotLoop:
    """`LeRobotDataset.__getitem__` with delta_timestamps on an Arrow table."""

    def __init__(self, folder: Path, keys: dict[str, int]) -> None:
        files = sorted((folder / "data").rglob("*.parquet"))
        self.table = pa.concat_tables([pq.read_table(f) for f in files]).combine_chunks()
        episodes = pa.concat_tables(
            [pq.read_table(f) for f in sorted((folder / "meta" / "episodes").rglob("*.parquet"))]
        )
        self.first = episodes["dataset_from_index"].to_numpy()
        self.last = episodes["dataset_to_index"].to_numpy()
        self.keys = list(keys)
        self.sizes = keys
        self.columns = {key: self.table[key].chunk(0) for key in keys}
        self.scalars = {
            n: self.table[n].chunk(0) for n in ("timestamp", "frame_index", "episode_index", "index", "task_index")
        }
        self.deltas = range(-STEPS + 1, 1)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        item = {name: torch.tensor(column[index].as_py()) for name, column in self.scalars.items()}
        episode = int(item["episode_index"])
        first, last = int(self.first[episode]), int(self.last[episode])
        rows = [max(first, min(last - 1, index + d)) for d in self.deltas]
        padded = torch.tensor([index + d < first or index + d >= last for d in self.deltas])
        for key in self.keys:
            taken = self.columns[key].take(pa.array(rows)).flatten().to_numpy(zero_copy_only=False)
            item[key] = torch.from_numpy(np.array(taken).reshape(STEPS, self.sizes[key]))
            item[f"{key}_is_pad"] = padded
        return item


def lerobot_user(folder: Path, items: int) -> tuple[int, float]:
    """Windows of a pass, and its seconds: opening once, and the time of an item from a random sample of `items`."""
    begin = time.perf_counter()
    data = LeRobotLoop(folder, {"observation.state": 20, "action": 7})
    opening = time.perf_counter() - begin
    rows = np.random.default_rng(0).integers(len(data.table), size=items)
    begin = time.perf_counter()
    for first in range(0, items, BATCH):
        torch.utils.data.default_collate([data[int(r)] for r in rows[first : first + BATCH]])
    each = (time.perf_counter() - begin) / items
    return len(data.table), opening + each * len(data.table)


def video_recordings(folder: Path, frames: int) -> Path:
    """One episode of moving pictures, H.264, keyframe every 2 as LeRobot writes."""
    y, x = np.mgrid[:240, :320]
    pictures = np.stack(
        [np.stack([(x + 3 * t) % 256, (y + t) % 256, (x + y + 2 * t) % 256], -1) for t in range(frames)]
    ).astype(np.uint8)
    episode = Episode.from_signals(
        [Signal(VIDEO, pictures), Signal(STATE, np.zeros((frames, 20), np.float32))], fps=30.0
    )
    return write_dataset(Dataset.from_episodes([episode]), folder, codec="h264")


def bare_decoder(file: Path, frames: int) -> np.ndarray:
    """Every frame by PyAV alone, into one array."""
    out = np.empty((frames, 240, 320, 3), np.uint8)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.thread_type = THREADS
        for number, frame in enumerate(container.decode(stream)):
            out[number] = frame.to_ndarray(format="rgb24")
    return out


THREADS = "AUTO"


def alternating(repeats: int, *jobs: Callable[[], Any]) -> list[list[Any]]:
    """Results of each job, the jobs taking turns so that a slow moment of the machine hits all."""
    results: list[list[Any]] = [[] for _ in jobs]
    for _ in range(repeats):
        for found, job in zip(results, jobs, strict=True):
            found.append(job())
    return results


def compared(name: str, own: list[float], peer: list[float], unit: str, note: str) -> dict[str, Any]:
    """A row of the medians; the note tells the least and largest ratio of neighbouring repetitions."""
    ours, theirs = statistics.median(own), statistics.median(peer)
    ratios = [a / b for a, b in zip(own, peer, strict=True)]
    note = f"{note}; ratio {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} repetitions"
    return {"name": name, "ours": ours, "peer": theirs, "unit": unit, "ratio": ours / theirs, "note": note}


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Rows {name, ours, peer, unit, ratio, note}; medians over alternating repetitions.

    Args:
        quick: small sizes; the figures mean little.
    """
    episodes, steps, items, repeats, frames = (8, 60, 256, 1, 20) if quick else (200, 300, 2048, 5, 300)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary, one_thread():
        folder = Path(temporary)
        data = recordings(episodes, steps)
        native = write_dataset(data, folder / "lerobot")
        write_with_minari(data, folder / "minari")
        sizes = f"{episodes} episodes of {steps} steps, one pass, cold start counted"
        own, own_minari, peer, loop, own_many, own_minari_many, peer_many, peer_kept = alternating(
            repeats,
            lambda: ours(native),
            lambda: ours(folder / "minari"),
            lambda: minari_user(folder / "minari"),
            lambda: lerobot_user(native, items),
            lambda: ours(native, PASSES),
            lambda: ours(folder / "minari", PASSES),
            lambda: minari_user(folder / "minari", PASSES),
            lambda: minari_user(folder / "minari", PASSES, keep=True),
        )
        assert peer[0][0] == own_minari[0][0] == own[0][0] == episodes * (steps - STEPS + 1)
        assert peer_many[0][0] == own_many[0][0] == PASSES * peer[0][0]
        many = f"{episodes} episodes of {steps} steps, training of {PASSES} passes, cold start counted; whole windows"
        once = f"{sizes}; whole windows"
        for name, found, theirs, note in (
            ("training (LeRobot layout) vs Minari", own_many, peer_many, many),
            ("training (Minari's files) vs Minari", own_minari_many, peer_many, many),
            ("training (Minari's files) vs Minari, its episodes kept in a list", own_minari_many, peer_kept, many),
            ("one cold pass (LeRobot layout) vs Minari", own, peer, once),
            ("one cold pass (Minari's files) vs Minari", own_minari, peer, once),
        ):
            rates = [w / s for w, _, s in found], [n / s for n, s in theirs]
            rows.append(compared(f"data windows, {name}", *rates, "windows/s", note))
        rates = [n / s for _, n, s in own], [n / s for n, s in loop]
        note = f"{sizes}; padded windows too; peer's rate from {items} random items"
        rows.append(compared("data windows, one cold pass (LeRobot layout) vs LeRobot loop", *rates, "windows/s", note))
        rows += _video(folder, frames, repeats)
    return rows


def _video(folder: Path, frames: int, repeats: int) -> list[dict[str, Any]]:
    path = video_recordings(folder / "video", frames)
    (file,) = (path / "videos").rglob("*.mp4")

    def whole() -> tuple[float, np.ndarray]:
        begin = time.perf_counter()
        pictures = open_dataset(path)[0][VIDEO.name].values
        return time.perf_counter() - begin, pictures

    def bare() -> tuple[float, np.ndarray]:
        begin = time.perf_counter()
        pictures = bare_decoder(file, frames)
        return time.perf_counter() - begin, pictures

    order = np.random.default_rng(0).integers(frames, size=min(frames, 100)).tolist()

    def random_ours() -> float:
        begin = time.perf_counter()
        episode = open_dataset(path)[0]
        for step in order:
            episode.read(VIDEO.name, step, step + 1)
        return (time.perf_counter() - begin) / len(order)

    def random_bare() -> float:
        """As LeRobot's PyAV backend: open the file for each item, seek to the keyframe before, decode to the frame."""
        begin = time.perf_counter()
        for step in order:
            with av.open(str(file)) as container:
                stream = container.streams.video[0]
                stream.thread_type = THREADS
                container.seek(int(step / 30.0 / stream.time_base), stream=stream, backward=True)
                for frame in container.decode(stream):
                    if frame.time >= step / 30.0 - 1e-4:
                        frame.to_ndarray(format="rgb24")
                        break
        return (time.perf_counter() - begin) / len(order)

    own, peer, own_random, peer_random = alternating(repeats, whole, bare, random_ours, random_bare)
    assert np.array_equal(own[0][1], peer[0][1])
    sizes = f"{frames} frames of 320 x 240, H.264, keyframe every 2"
    whole_rates = [frames / s for s, _ in own], [frames / s for s, _ in peer]
    random_rates = [1 / s for s in own_random], [1 / s for s in peer_random]
    note = f"{sizes}; opening counted"
    return [
        compared("data video, whole episode vs bare PyAV", *whole_rates, "frames/s", f"{note}; target 0.9"),
        compared("data video, random frames vs LeRobot loop", *random_rates, "frames/s", note),
    ]
