"""A saved model: `model.safetensors` + `config.json`. Loading is strict and executes nothing from the file."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import invdyn
from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError, FormatError, unknown_name
from invdyn.training.config import from_json, to_json

__all__ = ["MODELS", "ModelEntry", "load_model", "read_model_card", "save_model", "weights_hash"]

FORMAT = "invdyn-model/1"


@dataclass(frozen=True)
class ModelEntry:
    """Where a model's class and its config stand, as "module:Class"."""

    model: str
    config: str


MODELS: dict[str, ModelEntry] = {
    "InverseNet": ModelEntry("invdyn.actions.inverse_nets:InverseNet", "invdyn.actions.inverse:InverseConfig"),
    "FoldEnsemble": ModelEntry(
        "invdyn.actions.fold_ensemble:FoldEnsemble", "invdyn.actions.fold_ensemble:FoldEnsembleConfig"
    ),
    "ClonedPolicy": ModelEntry("invdyn.decisions.policy:ClonedPolicy", "invdyn.decisions.config:PolicyConfig"),
}
"""Every class that can be loaded. A model is built as `Class(config, inputs, target)` from specs, then filled."""


@dataclass(frozen=True)
class _Card:
    """The content of config.json."""

    format: str
    model: str
    config: dict[str, Any]
    inputs: tuple[SignalSpec, ...]
    target: SignalSpec
    units: dict[str, str]
    versions: dict[str, str]
    weights: str
    data: str | None
    facts: dict[str, Any]


def _resolve(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def weights_hash(model: nn.Module) -> str:
    """Short SHA-256 over names, shapes and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        array = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _specs(model: nn.Module) -> tuple[SignalSpec, ...]:
    specs: Sequence[Any] = getattr(model, "input_specs", getattr(model, "inputs", ()))
    if not all(isinstance(s, SignalSpec) for s in specs):
        raise ConfigError(f"{type(model).__name__} cannot be saved: it has no input_specs (SignalSpec of every input).")
    return tuple(specs)


def save_model(
    model: nn.Module,
    folder: Path | str,
    *,
    data: str | None = None,
    facts: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model as folder/model.safetensors and folder/config.json, whole or not at all.

    Args:
        model: has `config` (dataclass), `inputs` or `input_specs` (specs), `target` (spec); its class is in `MODELS`.
        folder: must not exist unless `overwrite`.
        data: hash of the training data, if known.
        facts: JSON-able facts (held-out scores, citations).

    Raises:
        ConfigError: a class that is not in the table, a folder that exists.
    """
    folder, name = Path(folder), type(model).__name__
    if name not in MODELS:
        raise ConfigError(
            f"a {name} cannot be saved: known are {', '.join(MODELS)}. Add it to invdyn.training.saving.MODELS."
        )
    config: Any = getattr(model, "config", None)
    target: Any = getattr(model, "target", None)
    if not is_dataclass(config) or not isinstance(target, SignalSpec):
        raise ConfigError(f"a {name} cannot be saved: it needs a config (dataclass) and a target (SignalSpec).")
    if (folder / "config.json").exists() and not overwrite:
        raise ConfigError(f"{folder} already holds a model. Choose another folder, or pass overwrite=True.")
    inputs = _specs(model)
    card = _Card(
        FORMAT,
        name,
        to_json(config),
        inputs,
        target,
        {s.name: s.unit for s in (*inputs, target)},
        {"invdyn": invdyn.__version__, "torch": torch.__version__, "python": platform.python_version()},
        weights_hash(model),
        data,
        dict(facts or {}),
    )
    scratch = folder.parent / f".{folder.name}.writing-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, scratch / "model.safetensors")
    (scratch / "config.json").write_text(json.dumps(to_json(card), indent=2))
    folder.mkdir(parents=True, exist_ok=True)
    # The weights first: a crash between the two leaves a hash that does not fit, which loading refuses.
    os.replace(scratch / "model.safetensors", folder / "model.safetensors")
    os.replace(scratch / "config.json", folder / "config.json")
    scratch.rmdir()
    return folder


def read_model_card(folder: Path | str) -> dict[str, Any]:
    """config.json as plain values: class, config, inputs, target, units, versions, data hash, facts.

    Raises:
        FormatError: not a saved model, or config.json is not JSON.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise FormatError(
            f"{folder} is not a saved model: config.json is missing. Give the folder that save_model wrote."
        )
    try:
        card = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is not readable JSON ({error}). Save the model again.") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        told = card.get("format") if isinstance(card, dict) else type(card).__name__
        raise FormatError(f"{path}: format {told!r}, expected {FORMAT!r}. Save the model again with this version.")
    return card


def load_model(folder: Path | str, *, device: str = "cpu") -> Any:
    """The model that `save_model` wrote, in evaluation mode.

    Raises:
        FormatError: missing or damaged files, weights that do not fit the config.
        ConfigError: fields that are unknown, missing or of another type.
        UnknownNameError: a class that is not in `MODELS`.
    """
    folder = Path(folder)
    where = str(folder / "config.json")
    card = from_json(_Card, read_model_card(folder), where=where, complete=True)
    if card.model not in MODELS:
        raise unknown_name(f"model class in {where}:", card.model, MODELS)
    entry = MODELS[card.model]
    config = from_json(_resolve(entry.config), card.config, where=f"{where}.config", complete=True)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise FormatError(f"{folder} is not a saved model: model.safetensors is missing.")
    try:
        tensors = load_file(weights)
    except (safetensors.SafetensorError, ValueError) as error:
        raise FormatError(f"{weights} is damaged ({error}). Save the model again.") from None
    model = _resolve(entry.model)(config, card.inputs, card.target)
    own = model.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors:
            raise FormatError(f"{weights}: tensor {name!r} is missing. Save the model again with this version.")
        if name not in own:
            raise FormatError(
                f"{weights}: tensor {name!r} is unknown to {card.model}. Save it again with this version."
            )
        if own[name].shape != tensors[name].shape or own[name].dtype != tensors[name].dtype:
            raise FormatError(
                f"{weights}: tensor {name!r} is {tensors[name].dtype} {tuple(tensors[name].shape)}, "
                f"expected {own[name].dtype} {tuple(own[name].shape)}."
            )
    model.load_state_dict(tensors)
    if weights_hash(model) != card.weights:
        raise FormatError(
            f"{weights}: its content does not have the hash in config.json. The files are of different models."
        )
    return model.to(device).eval()
