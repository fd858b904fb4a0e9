"""Damaged motion files end in a result or in one clear sentence: no crash, no hang, no memory without bound.

`INVDYN_FUZZ` is the number of damaged files per format (150 unless told).
"""

from __future__ import annotations

import io
import os
import random
import resource
import signal
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from motion_samples import write_samples
from mutate import mutate

from invdyn.episodes.formats import amass, bvh, bvh_file, c3d, deepmimic, detect_format, dm_control, ktk, opensim, trc
from invdyn.episodes.formats.external_loads import read_external_loads
from invdyn.errors import InvdynError

COUNT = int(os.environ.get("INVDYN_FUZZ", "150"))
ZIPPED = ("amass_members", "ktk")
"""Damaged inside the zip, with the check sums right."""
SECONDS = 10
"""For one file of some kB; a healthy one takes milliseconds."""
MEBIBYTES = 512
"""Growth of the peak memory allowed over all files of a format; the promise is 2 GiB for the whole process."""


def _read_all(open_: Callable[[Path], object]) -> Callable[[Path], object]:
    def read(path: Path) -> int:
        data = open_(path)
        return sum(len(episode[name]) for episode in data for name in episode)  # type: ignore[attr-defined]

    return read


READERS: dict[str, Callable[[Path], object]] = {
    "mot": _read_all(lambda p: opensim.open(p, units="deg")),
    "sto3": _read_all(opensim.open),
    "trc": _read_all(trc.open),
    "c3d": _read_all(lambda p: c3d.open(p, clock="resampled")),
    "c3d_plates": _read_all(lambda p: c3d.open(p, clock="analog")),
    "bvh": lambda p: (bvh_file.read_bvh(p).forward(), _read_all(bvh.open)(p)),
    "amass": _read_all(amass.open),
    "amass_members": _read_all(amass.open),
    "deepmimic": _read_all(deepmimic.open),
    "character": deepmimic.read_character,
    "loads": read_external_loads,
    "ktk": _read_all(ktk.open),
    "dm_control": _read_all(dm_control.open),
}


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def peak() -> float:
    """MiB of memory at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> dict[str, tuple[str, bytes]]:
    pytest.importorskip("ezc3d")
    paths = write_samples(tmp_path_factory.mktemp("samples"))
    found = {kind: (path.suffix, path.read_bytes()) for kind, path in paths.items()}
    walk = (shared_data / "c3d_walking" / "walking2.c3d").read_bytes()
    clips = shared_data / "mocap_cmu_dm_control" / "test_trajectories.h5"
    found["dm_control"] = (".h5", clips.read_bytes())
    found["amass_members"] = found["amass"]
    found["c3d_plates"] = (".c3d", short_c3d(walk, 8))
    found["character"] = (".txt", (shared_data / "mocap_deepmimic" / "humanoid3d.txt").read_bytes())
    return found


def short_c3d(content: bytes, frames: int) -> bytes:
    """The first frames of the walk (44 points and 12 channels of 8 samples, floats): 32-bit counts are in TRIAL."""
    data = (int.from_bytes(content[16:18], "little") - 1) * 512
    out = bytearray(content[: data + frames * 4 * (44 * 4 + 12 * 8)])
    out[8:10] = frames.to_bytes(2, "little")
    at = content.index(b"ACTUAL_END_FIELD") + len(b"ACTUAL_END_FIELD") + 2 + 1 + 1 + 1
    assert out[at : at + 2] == (1249).to_bytes(2, "little")
    out[at : at + 2] = frames.to_bytes(2, "little")
    return bytes(out)


def damaged_member(content: bytes, rng: random.Random) -> bytes:
    """A zip with one member damaged and the check sums right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    members[name] = mutate(members[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return out.getvalue()


@pytest.mark.parametrize("kind", READERS)
def test_damaged_files_end_well(kind: str, samples: dict[str, tuple[str, bytes]], tmp_path: Path) -> None:
    ending, healthy = samples[kind]
    read, path = READERS[kind], tmp_path / f"a{ending}"
    path.write_bytes(healthy)
    read(path)  # the sample itself is in order
    rng = random.Random(zlib.crc32(kind.encode()))
    start, messages = peak(), []
    for number in range(COUNT):
        path.write_bytes(damaged_member(healthy, rng) if kind in ZIPPED else mutate(healthy, rng))
        try:
            with within(SECONDS):
                detect_format(path)
        except InvdynError:
            pass
        try:
            with within(SECONDS):
                read(path)
        except InvdynError as error:
            messages.append(f"{number}: {error}")
        except BaseException as error:
            keep = Path(os.environ.get("INVDYN_FUZZ_KEEP", tmp_path)) / f"{kind}_{number}{ending}"
            keep.write_bytes(path.read_bytes())
            raise AssertionError(f"{kind} file {number} (kept as {keep}): {type(error).__name__}: {error}") from error
        assert peak() - start < MEBIBYTES, f"{kind} file {number}: {peak() - start:.0f} MiB more"
    for message in messages:
        assert "\n" not in message
        assert path.name in message
        assert len(message) < 2000
    assert len(messages) > 0.2 * COUNT  # the faults are felt
    assert len(messages) < COUNT or kind == "amass"  # and not every one: but a zip has check sums
