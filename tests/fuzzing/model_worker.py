"""Reads damaged copies of one model file in a process of its own: `python model_worker.py SAMPLE COUNT SEED OPTIONS`.

MuJoCo is compiled code, in which a fault would end the process and a hang could not be interrupted. So each file is
announced before it is read, and a file that takes too long ends the process (SIGALRM). Writes `report.json` at the end.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from mutate import mutate

from invdyn.bodies.files import load_model
from invdyn.bodies.model import BodyModel
from invdyn.bodies.rnea import rnea
from invdyn.errors import InvdynError

SECONDS = 10
"""For one file of some kB; a healthy one takes milliseconds."""


def peak() -> float:
    """MiB of memory at most so far; on Linux of this program alone, as ru_maxrss starts at that of the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def use(model: BodyModel) -> None:
    """What was accepted can be computed with."""
    torque = rnea(model, model.neutral.tolist(), [0.1] * model.nv, [0.0] * model.nv)
    assert len(torque) == model.nv


def main(sample: Path, count: int, seed: int, options: dict[str, object]) -> None:
    healthy, path = sample.read_bytes(), Path(f"damaged{sample.suffix}")
    path.write_bytes(healthy)
    use(load_model(path, **options))  # type: ignore[arg-type]  # the sample itself is in order
    rng, start = random.Random(seed), peak()
    messages: list[str] = []
    for number in range(count):
        path.write_bytes(mutate(healthy, rng))
        Path("number").write_text(str(number))
        signal.alarm(SECONDS)
        try:
            use(load_model(path, **options))  # type: ignore[arg-type]
        except InvdynError as error:
            messages.append(str(error))
        signal.alarm(0)
    Path("report.json").write_text(json.dumps({"messages": messages, "grown": peak() - start, "peak": peak()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))
