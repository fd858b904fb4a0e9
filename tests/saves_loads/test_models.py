"""A registered model, saved and loaded, answers bit for bit the same; whatever does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

from invdyn.actions.inverse import InverseConfig
from invdyn.actions.inverse_nets import InverseNet, build_inverse
from invdyn.episodes.signal import Schema, SignalSpec
from invdyn.episodes.windows import WindowBatch
from invdyn.errors import ConfigError, FormatError, InvdynError, UnknownNameError
from invdyn.training.config import from_json, to_json
from invdyn.training.saving import MODELS, _resolve, load_model, read_model_card, save_model

STATE = SignalSpec("observation.state", (3,), "float32", "state", unit="m", names=("x", "y", "z"))
IMAGE = SignalSpec("observation.images.top", (24, 24, 3), "uint8", "image")
ACTION = SignalSpec("action", (2,), "float32", "action", unit="N", low=(-1.0, -2.0), high=(1.0, 2.0))
KEYS = SignalSpec("keys", (2,), "int64", "action", low=(0.0, 0.0), high=(2.0, 1.0))
SCHEMA = Schema((STATE, IMAGE, ACTION, KEYS), 10.0)
BOTH = (STATE.name, IMAGE.name)
CONFIGS = [
    InverseConfig(),
    InverseConfig(head="squashed", before=1, after=1, differences=False, linear=False),
    InverseConfig(head="gaussian", temporal="transformer", width=16, before=2, after=2),
    InverseConfig(head="mixture", components=3, ensemble=2, mask="pair"),
    InverseConfig(head="regression", inputs=BOTH, image_features=8, before=1, after=1),
    InverseConfig(target="keys", head="joint", mask="causal", dropout=0.5),
    InverseConfig(
        target="keys", inputs=(IMAGE.name,), encoder="impala", image_features=8, before=0, after=1, ensemble=3
    ),
]


def windows(config: InverseConfig, batch: int = 5) -> WindowBatch:
    g = torch.Generator().manual_seed(1)
    size = config.window.size
    inputs = {
        STATE.name: torch.randn(batch, size, 3, generator=g),
        IMAGE.name: torch.randint(0, 256, (batch, size, 24, 24, 3), generator=g, dtype=torch.uint8),
    }
    mask = torch.rand(batch, size, generator=g) > 0.2
    ones = torch.ones(batch)
    whole = torch.ones(batch, dtype=torch.bool)
    return WindowBatch(inputs, mask, {}, whole, ones, ones.long(), ones.long())


def model_of(config: InverseConfig) -> InverseNet:
    torch.manual_seed(0)
    return build_inverse(config, SCHEMA).eval()


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_saved_and_loaded_answers_are_the_same_bits(config: InverseConfig, tmp_path: Path) -> None:
    model = model_of(config)
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point() and "angles" not in name and name.rsplit(".", 1)[-1] not in ("low", "high"):
            buffer.add_(0.1)  # as if fitted
    save_model(model, tmp_path / "m", data="abc", facts={"held_out_r2": [0.9, 0.8]})
    loaded = load_model(tmp_path / "m")
    assert type(loaded) is InverseNet
    assert (loaded.config, loaded.target, loaded.input_specs) == (config, model.target, model.input_specs)
    assert loaded.model_id == model.model_id
    assert not loaded.training
    batch = windows(config)
    with torch.inference_mode():
        mine, theirs = model.infer(batch), loaded.infer(batch)
        assert torch.equal(mine.point(), theirs.point())
        assert torch.equal(mine.spread(), theirs.spread())
        g, h = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
        assert torch.equal(mine.sample(g), theirs.sample(h))
    assert {p.name for p in (tmp_path / "m").iterdir()} == {"model.safetensors", "config.json"}


def test_the_card_tells_class_units_versions_data_and_facts(tmp_path: Path) -> None:
    save_model(model_of(CONFIGS[0]), tmp_path / "m", data="abc", facts={"held_out_r2": [0.9, 0.8]})
    card = read_model_card(tmp_path / "m")
    assert (card["model"], card["data"], card["facts"]) == ("InverseNet", "abc", {"held_out_r2": [0.9, 0.8]})
    assert card["units"] == {"observation.state": "m", "action": "N"}
    assert set(card["versions"]) == {"invdyn", "torch", "python"}
    assert card["inputs"][0]["names"] == ["x", "y", "z"]


def test_every_registered_class_can_be_imported_and_builds_from_config_and_specs() -> None:
    for name in ("InverseNet", "ClonedPolicy"):
        entry = MODELS[name]
        assert _resolve(entry.model).__name__ == name
        model = _resolve(entry.model)(_resolve(entry.config)(), (STATE,), ACTION)
        assert isinstance(model, torch.nn.Module)


def spoil(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / "config.json").read_text())
    for path, value in changes.items():
        place, keys = card, path.split("__")
        for key in keys[:-1]:
            place = place[key]
        if value is None:
            del place[keys[-1]]
        else:
            place[keys[-1]] = value
    (folder / "config.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        (
            {"config__widht": 3},
            ConfigError,
            r"config.json.config: InverseConfig has no field 'widht'. Did you mean 'width'",
        ),
        ({"config__width": None}, ConfigError, r"InverseConfig lacks 'width'. Save it again"),
        ({"config__width": "3"}, ConfigError, r"config.json.config.width: got '3', expected int"),
        ({"config__mask": "paar"}, ConfigError, r"mask: 'paar' is none of 'pair', 'causal', 'noncausal'"),
        ({"surprise": 1}, ConfigError, r"has no field 'surprise'"),
        ({"target": None}, ConfigError, r"lacks 'target'"),
        ({"model": "InverseNett"}, UnknownNameError, r"'InverseNett'. Did you mean 'InverseNet'"),
        ({"format": "other"}, FormatError, r"format 'other', expected 'invdyn-model/1'"),
        (
            {"config__width": 64},
            FormatError,
            r"model.safetensors: tensor 'trunk.net.0.bias' is .*\(128,\), expected .*\(64,\)",
        ),
        ({"config__linear": False}, FormatError, r"tensor 'trunk.linear.bias' is unknown to InverseNet"),
        ({"config__head": "regression"}, FormatError, r"tensor 'trunk.*' is .* expected"),
        (
            {"weights": "0" * 16},
            FormatError,
            r"does not have the hash in config.json. The files are of different models",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    changes: dict[str, Any], kind: type[InvdynError], message: str, tmp_path: Path
) -> None:
    save_model(model_of(CONFIGS[0]), tmp_path / "m")
    spoil(tmp_path / "m", **changes)
    with pytest.raises(kind, match=message):
        load_model(tmp_path / "m")


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"is not a saved model: config.json is missing. Give the folder"):
        load_model(tmp_path)
    folder = save_model(model_of(CONFIGS[0]), tmp_path / "m")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"model.safetensors is damaged .*Save the model again"):
        load_model(folder)
    weights.write_bytes(whole)
    tensors = load_file(weights)
    name = sorted(tensors)[0]
    kept = {k: v for k, v in tensors.items() if k != name}
    save_file(kept, weights)
    with pytest.raises(FormatError, match=f"tensor '{name}' is missing"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(FormatError, match=r"is not a saved model: model.safetensors is missing"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(FormatError, match=r"config.json is not readable JSON"):
        load_model(folder)


def test_saving_refuses_what_it_could_not_load(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a Linear cannot be saved: known are InverseNet.* Add it to"):
        save_model(torch.nn.Linear(1, 1), tmp_path / "m")
    save_model(model_of(CONFIGS[0]), tmp_path / "m")
    with pytest.raises(ConfigError, match=r"already holds a model. Choose another folder, or pass overwrite=True"):
        save_model(model_of(CONFIGS[0]), tmp_path / "m")
    save_model(model_of(CONFIGS[1]), tmp_path / "m", overwrite=True)
    assert load_model(tmp_path / "m").config == CONFIGS[1]


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str
    kind: Literal["a", "b"] = "a"
    inner: Inner = Inner()
    more: tuple[Inner, ...] = ()
    pair: tuple[float, int] = (1.0, 2)
    maybe: Inner | None = None
    limit: float | None = None


def test_configs_round_trip_through_json() -> None:
    config = Outer("x", "b", Inner(float("inf"), ()), (Inner(), Inner(2.0, (3,))), (0.5, 7), Inner(1.0), 3.0)
    assert from_json(Outer, json.loads(json.dumps(to_json(config))), complete=True) == config
    assert from_json(Outer, {"name": "x"}) == Outer("x")
    assert from_json(Outer, {"name": "x", "limit": 3}).limit == 3.0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, r"config: Outer lacks 'name'"),
        ({"name": "x", "iner": {}}, r"Outer has no field 'iner'. Did you mean 'inner'"),
        ({"name": "x", "inner": {"rat": 1.0}}, r"config.inner: Inner has no field 'rat'. Did you mean 'rate'"),
        ({"name": "x", "inner": {"sizes": [1, "2"]}}, r"config.inner.sizes\[1\]: got '2', expected int"),
        ({"name": "x", "more": [{}, {"rate": True}]}, r"config.more\[1\].rate: got True, expected float"),
        ({"name": "x", "kind": "c"}, r"config.kind: 'c' is none of 'a', 'b'"),
        ({"name": "x", "pair": [1.0]}, r"config.pair: 1 values, expected 2"),
        ({"name": 3}, r"config.name: got 3, expected str"),
        ({"name": "x", "inner": 3}, r"config.inner: got 3, expected the fields of Inner"),
        ({"name": "x", "more": 3}, r"config.more: got 3, expected a list"),
    ],
)
def test_configs_refuse_what_they_do_not_know(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_json(Outer, data)


def test_values_without_a_json_form_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"a Tensor cannot be saved in a config"):
        to_json({"x": torch.zeros(1)})
