"""The one training loop and what it saves.

| file | what | source |
|---|---|---|
| trainer.py | `Trainer`, `TrainerConfig`, `TrainResult`: the loop | |
| optim.py | AdamW, Adam, SGD, Muon by name; parameter groups; schedules with warm-up | Loshchilov and Hutter 2019 |
| muon.py | `Muon`: polar momentum for matrices, Adam for the rest | Jordan et al. 2024 |
| hvp.py | Hessian and Jacobian products, power iteration, spectral norms | Pearlmutter 1994 |
| seeding.py | generators as a function of (seed, step), so that resume is bit-exact | Steele, Lea and Flood 2014 |
| checkpoint.py | atomic checkpoints, safetensors + JSON, two kept | |
| parallel.py | torchrun: shards of a step over processes | Li et al. 2020 |
| progress.py | a bar with rate and time left on stderr, silent in pipes | |
| tracker.py | TensorBoard logs | |
| config.py | config dataclasses to and from JSON, strict | |
| saving.py | `save_model`, `load_model`: model.safetensors + config.json | |
"""

from invdyn.training.config import from_json, to_json
from invdyn.training.optim import ParameterGroup
from invdyn.training.parallel import join_processes
from invdyn.training.progress import progress
from invdyn.training.saving import load_model, read_model_card, save_model
from invdyn.training.trainer import Trainer, TrainerConfig, TrainingError, TrainResult

__all__ = [
    "ParameterGroup",
    "TrainResult",
    "Trainer",
    "TrainerConfig",
    "TrainingError",
    "from_json",
    "join_processes",
    "load_model",
    "progress",
    "read_model_card",
    "save_model",
    "to_json",
]
