"""Checkpoints of the one loop: safetensors + JSON, written whole or not at all, two kept, nothing pickled."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from invdyn.errors import FormatError

__all__ = ["Checkpoint", "latest_checkpoint", "optimizer_from_tensors", "optimizer_to_tensors", "write_checkpoint"]

log = logging.getLogger(__name__)
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """One saved moment.

    Args:
        tensors: everything that is a tensor, under `model.`, `optimizer.`, `ema.`, `best.`.
        facts: everything else.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors under one prefix, without it."""
        return {k[len(name) + 1 :]: v for k, v in self.tensors.items() if k.startswith(name + ".")}


def optimizer_to_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Its per-parameter state as `<parameter number>.<name>`; rates are functions of the step and not saved."""
    state = optimizer.state_dict()["state"]
    return {f"{n}.{key}": v for n, entry in state.items() for key, v in entry.items() if isinstance(v, Tensor)}


def optimizer_from_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put saved state back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_checkpoint(
    folder: Path, step: int, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]
) -> Path:
    """Save step `step` as folder/step-<step>; a crash at any moment leaves the former checkpoints whole."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{step:09d}"
    scratch = folder / f".writing-{step:09d}-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    # Cloned because safetensors refuses tensors that share memory (tied weights).
    tensors = {f"{p}.{k}": v.detach().cpu().clone().contiguous() for p, part in parts.items() for k, v in part.items()}
    save_file(tensors, scratch / "tensors.safetensors")
    (scratch / "state.json").write_text(json.dumps(facts))
    for path in (scratch / "tensors.safetensors", scratch / "state.json", scratch):
        _sync(path)
    if final.exists():
        shutil.rmtree(final)
    os.replace(scratch, final)
    _sync(folder)
    for old in _complete(folder)[:-KEPT]:
        shutil.rmtree(old)
    return final


def _complete(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.is_dir()) if folder.is_dir() else []


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read; None when there is none. Leftovers of interrupted writes are removed.

    Raises:
        FormatError: there are checkpoints and not one of them can be read.
    """
    for leftover in folder.glob(".writing-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    broken = []
    for path in reversed(_complete(folder)):
        try:
            facts = json.loads((path / "state.json").read_text())
            return Checkpoint(load_file(path / "tensors.safetensors"), facts)
        except Exception as error:  # a disk fault, a file cut off: the one before it may be whole
            log.warning("checkpoint %s cannot be read (%s); trying the one before it", path, error)
            broken.append(path)
    if broken:
        raise FormatError(
            f"{folder}: none of the {len(broken)} checkpoints can be read. Remove the folder to train from the start."
        )
    return None
