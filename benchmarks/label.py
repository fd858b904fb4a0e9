"""Speed of labelling on two cores: state windows per second with the default model, image frames per second next to
the bare video decoder. Peers run in the same process, alternating with ours.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch

from invdyn.actions.base import InverseModel
from invdyn.actions.inverse import InverseConfig
from invdyn.actions.inverse_nets import InverseNet, build_inverse
from invdyn.actions.sliding import infer_episodes, plan_blocks
from invdyn.episodes import open_dataset, write_dataset
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.episodes.windows import Window, WindowBatch
from invdyn.nn.distributions import CauseDistribution
from invdyn.nn.gaussians import Gaussian

__all__ = ["run"]

ACTION = SignalSpec("action", (4,), "float32", "action", low=(-1.0,), high=(1.0,))
CAMERA = SignalSpec("observation.images.top", (96, 96, 3), "uint8", "image", encoding="video")


def states(episodes: int, length: int, size: int) -> Dataset:
    """Smooth random walks in memory."""
    rng = np.random.default_rng(0)
    spec = SignalSpec("observation.state", (size,), "float32", "state")
    action = Signal(ACTION, np.zeros((length, 4), np.float32), np.zeros(length, bool))
    made = []
    for _ in range(episodes):
        values = np.cumsum(rng.normal(size=(length, size)), 0).astype(np.float32)
        made.append(Episode.from_signals([Signal(spec, values), action], fps=20.0))
    return Dataset.from_episodes(made)


def our_states(model: InverseModel, data: Dataset) -> int:
    """Windows answered: points and spreads of every step of every episode."""
    blocks = plan_blocks(data.lengths, 4 * data.schema["observation.state"].size)
    return sum(len(a.point) for _, a in infer_episodes(model, data, blocks, batch_size=8192, threads=2))


def plain_states(model: InverseNet, data: Dataset) -> int:
    """The loop one writes first: one episode at a time, its windows stacked, the net called, the answer kept."""
    torch.set_num_threads(2)
    count = 0
    for episode in data:
        state = torch.from_numpy(np.asarray(episode["observation.state"].values))
        steps = torch.arange(len(state))
        rows = torch.stack([steps + offset for offset in model.window.offsets], 1)
        mask = (rows >= 0) & (rows < len(state))
        seen = state[rows.clamp(0, len(state) - 1)]
        none = torch.zeros(len(state), dtype=torch.bool)
        batch = WindowBatch({"observation.state": seen}, mask, {}, none, torch.ones(len(state)), steps, steps)
        with torch.no_grad():
            answer = model.infer(batch)
            point, _ = answer.point().numpy(), answer.spread().numpy()
        count += len(point)
    torch.set_num_threads(1)
    return count


class Brightness(InverseModel):
    """A model much cheaper than decoding: the change of mean brightness in four quarters, every fourth pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.target, self.window = (CAMERA.name,), ACTION, Window(0, 1)

    def infer(self, batch: WindowBatch) -> CauseDistribution:
        seen = batch.inputs[CAMERA.name][:, :, ::8, ::8].float().mean(-1)
        half = seen.shape[-1] // 2
        quarters = [seen[..., :half, :half], seen[..., :half, half:], seen[..., half:, :half], seen[..., half:, half:]]
        means = torch.stack([q.mean((-2, -1)) for q in quarters], -1)
        return Gaussian(means[:, 1] - means[:, 0], torch.zeros(len(means), 4))


def film(folder: Path, episodes: int, length: int) -> Dataset:
    """Recordings with one camera, as video on disk."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(episodes):
        pictures = np.full((length, 96, 96, 3), 200, np.uint8)
        x, y = rng.integers(0, 80, 2)
        for t in range(length):
            x, y = np.clip([x + rng.integers(-3, 4), y + rng.integers(-3, 4)], 0, 80)
            pictures[t, y : y + 16, x : x + 16] = (30, 60, 200)
        made.append(Episode.from_signals([Signal(CAMERA, pictures)], fps=20.0))
    return open_dataset(write_dataset(Dataset.from_episodes(made), folder / "film"))


def our_frames(model: InverseModel, folder: Path) -> int:
    """Frames labelled, from opening the dataset on."""
    data = open_dataset(folder)
    blocks = plan_blocks(data.lengths, CAMERA.size)
    return sum(len(a.point) for _, a in infer_episodes(model, data, blocks, batch_size=1024))


def bare_decoder(folder: Path) -> int:
    """Every frame of every file decoded to an RGB array, and nothing else."""
    count = 0
    for path in sorted(folder.rglob("*.mp4")):
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                count += len(frame.to_ndarray(format="rgb24")) > 0
    return count


def rate(work: Callable[[], int]) -> float:
    """Units per second of one call."""
    started = time.perf_counter()
    return work() / (time.perf_counter() - started)


def compare(ours: Callable[[], int], peer: Callable[[], int], rounds: int) -> tuple[float, float, float]:
    """Median rates and the median of the ratios of `rounds` alternating calls, after one unmeasured call each."""
    ours()
    peer()
    pairs = [(rate(ours), rate(peer)) for _ in range(rounds)]
    middle = [statistics.median(column) for column in zip(*pairs)]
    return middle[0], middle[1], statistics.median(a / b for a, b in pairs)


def row(name: str, unit: str, note: str, result: tuple[float, float, float]) -> dict:
    """One row of the table."""
    ours, peer, ratio = result
    return {
        "name": name,
        "ours": round(ours),
        "peer": round(peer),
        "unit": unit,
        "ratio": round(ratio, 2),
        "note": note,
    }


def run(quick: bool = False) -> list[dict]:
    """Rows {name, ours, peer, unit, ratio, note}."""
    rounds = 1 if quick else 5
    threads = torch.get_num_threads()
    rows = []
    try:
        torch.set_num_threads(1)  # ours: two threads of one each; the peer is timed with two in every operation
        for size in (4, 39):
            data = states(20 if quick else 600, 150, size)
            model = build_inverse(InverseConfig(), data.schema).eval()
            result = compare(lambda: our_states(model, data), lambda: plain_states(model, data), rounds)  # noqa: B023
            note = "default model, in memory, points and spreads; peer: a plain PyTorch loop over episodes"
            rows.append(row(f"state windows, {size} numbers", "windows/s", note, result))
        with tempfile.TemporaryDirectory() as folder:
            film(Path(folder), 2 if quick else 12, 100 if quick else 200)
            place, cheap = Path(folder) / "film", Brightness()
            result = compare(lambda: our_frames(cheap, place), lambda: bare_decoder(place), rounds)
            note = "96x96 video on disk, a model cheaper than decoding; peer: the bare decoder"
            rows.append(row("image frames", "frames/s", note, result))
    finally:
        torch.set_num_threads(threads)
    return rows


if __name__ == "__main__":
    for line in run():
        print(line)
