"""Two processes through the same loop end with the weights of one process on the concatenated batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from invdyn.errors import ConfigError
from invdyn.nn.ema import EMAConfig
from invdyn.training.parallel import Processes, join_processes
from invdyn.training.trainer import Trainer, TrainerConfig, TrainResult

CONFIG = TrainerConfig(
    steps=12,
    batch_size=8,
    shards=2,
    lr=1e-2,
    ema=EMAConfig("constant", 0.5),
    validate_every=5,
    checkpoint_every=4,
    log_every=3,
    tensorboard=False,
)
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
from safetensors.torch import save_file
from test_parallel import CONFIG, train, join_processes
join_processes()
model, result = train(CONFIG, Path(sys.argv[1]) / "run")
rank = torch.distributed.get_rank()
save_file(dict(model.state_dict()), Path(sys.argv[1]) / f"rank-{{rank}}.safetensors")
torch.distributed.destroy_process_group()
"""


def train(config: TrainerConfig, folder: Path | None = None, checked: bool = True) -> tuple[nn.Module, TrainResult]:
    """A small regression; `checked` on points of its own, which keeps the best weights."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def draw(generator: torch.Generator, size: int) -> Tensor:
        return torch.randn(size, 3, generator=generator)

    def loss(model: nn.Module, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": (model(x) - x.prod(1, keepdim=True)).square().mean()}

    check = torch.linspace(-1, 1, 30).reshape(10, 3)

    def validate(model: nn.Module) -> float:
        return float((model(check) - check.prod(1, keepdim=True)).square().mean())

    return model, Trainer(config, folder).fit(model, loss, draw, validate if checked else None)


def test_two_gloo_processes_equal_one(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = PROGRAM.format(tests=str(Path(__file__).parent))
    running = []
    for rank in range(2):
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": "2",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
        }
        running.append(subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=environment))
    assert [p.wait(120) for p in running] == [0, 0]
    alone, _ = train(CONFIG)
    first, second = (load_file(tmp_path / f"rank-{rank}.safetensors") for rank in range(2))
    for name, value in alone.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        # Sums of gradients in another order: float32 rounding through 12 Adam steps.
        torch.testing.assert_close(first[name], value, atol=1e-6, rtol=1e-5)
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-000000008", "step-000000012"]


def test_shards_equal_the_concatenated_batch() -> None:
    """The mean over two shards is the mean over their union: one step of plain SGD, by hand."""
    config = replace(CONFIG, optimizer="sgd", momentum=0.0, lr=0.1, steps=1, clip=None, ema=None, weight_decay=0.0)
    from invdyn.training.seeding import generator_at

    model, _ = train(config, checked=False)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        expected = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.cat([torch.randn(8, 3, generator=generator_at(0, 0, stream)) for stream in (0, 2)])
    (expected(x) - x.prod(1, keepdim=True)).square().mean().backward()
    with torch.no_grad():
        for mine, theirs in zip(model.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs - 0.1 * theirs.grad, atol=1e-6, rtol=1e-5)


def test_shards_must_divide_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes()
    monkeypatch.setattr(processes, "size", 2)
    with pytest.raises(
        ConfigError, match=r"3 shards a step cannot be divided among 2 processes. Set shards to a multiple"
    ):
        processes.shards(3)


def test_a_single_process_joins_nothing() -> None:
    join_processes()
    assert not torch.distributed.is_initialized()
    assert Processes().size == 1
