"""What several commands share on the command line: how options look, how recordings are opened, outputs claimed."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from invdyn.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from invdyn.episodes import Dataset, Schema
    from invdyn.training import TrainerConfig

__all__ = [
    "Flag",
    "claim_run",
    "named_values",
    "new_path",
    "new_paths",
    "open_foreign",
    "open_recordings",
    "run_identity",
    "trainer_of",
]

Flag = tyro.conf.FlagCreatePairsOff[bool]
"""A switch that is off unless given (`--json`, without a `--no-json` beside it)."""

RUN = "run.json"
"""In the output folder of a command that can be continued: what was asked of it."""


def open_recordings(path: Path, format: str | None = None, read: Sequence[str] = ()) -> Dataset:  # noqa: A002
    """Recordings at a path, with options of their format given as `name=value` (JSON, or plain text).

    Raises:
        ConfigError: an option that is not of the form name=value.
        UnknownNameError: a format, or an option that it does not have; names the nearest.
    """
    import importlib

    from invdyn.episodes.formats import READERS, detect_format, open_dataset

    options = named_values("--read", read, "fps=50 or nan=mask")
    if options and path.exists():
        kind = format or detect_format(path)
        if kind in READERS:
            module, _, function = READERS[kind].partition(":")
            signature = inspect.signature(getattr(importlib.import_module(module), function)).parameters
            known = [p.name for p in signature.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
            for name in options:
                if not known:
                    raise ConfigError(f"--read {name}=...: the {kind} reader has no options. Leave it out.")
                if name not in known:
                    raise unknown_name(f"option of the {kind} reader", name, known)
    return open_dataset(path, format=format, **options)


def named_values(option: str, texts: Sequence[str], example: str) -> dict[str, Any]:
    """Words `name=value` of an option; values are JSON, or plain text.

    Raises:
        ConfigError: a word that is not of the form name=value.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"{option} {text!r}: expected name=value, for example {example}.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def open_foreign(path: Path, format: str | None = None, read: Sequence[str] = ()) -> Dataset:  # noqa: A002
    """As `open_recordings`, where two paths share the options: these are for the one that is not in native layout."""
    from invdyn.episodes.formats import detect_format

    if path.exists() and (format or read) and detect_format(path) == "lerobot":
        return open_recordings(path)
    return open_recordings(path, format, read)


def new_path(path: Path, option: str, *, overwrite: bool | None = None) -> Path:
    """An output that is not there yet (an empty folder will do).

    Args:
        path: the output.
        option: what the command line calls it.
        overwrite: whether `--overwrite` was given; None for commands without it.

    Raises:
        ConfigError: something is there already.
    """
    if overwrite:
        return path
    if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
        remedy = "or remove it first" if overwrite is None else "or pass --overwrite to replace it"
        raise ConfigError(f"{path} exists already. Choose another {option}, {remedy}.")
    return path


def new_paths(outs: Sequence[Path], report: Path | None, *, overwrite: bool) -> None:
    """Several outputs and a report, as `new_path`, none of which may replace another.

    Raises:
        ConfigError: something is there already, a path stands twice, or a report that is no page.
    """
    named = [out.absolute() for out in outs]
    twice = next((o for k, o in enumerate(named) if o in named[:k]), None)
    if twice is not None:
        raise ConfigError(f"{twice.name} is named twice by --out. Give each a name of its own.")
    for out in outs:
        new_path(out, "--out", overwrite=overwrite)
    if report is not None:
        if report.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"--report {report}: expected .html, for it is a page of text and pictures. Rename it.")
        new_path(report, "--report", overwrite=overwrite)


@contextmanager
def claim_run(folder: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """An output folder for a run that can be continued: the same settings may take it again, no others.

    A run that fails before it has written anything leaves no folder behind.

    Args:
        folder: new, empty, or of a former run with the same settings.
        settings: what the result depends on, data included; JSON-able.

    Raises:
        ConfigError: a folder with something else in it, or of a run with other settings.
    """
    from invdyn.actions.provenance import check_same
    from invdyn.episodes.formats.atomic import replacing

    asked = json.loads(json.dumps(settings))
    mark = folder / RUN
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, expected a folder. Choose another --out.")
    if mark.is_file():
        try:
            known = json.loads(mark.read_text(encoding="utf-8"))
        except ValueError:
            known = None
        if not isinstance(known, dict):
            raise ConfigError(f"{mark} is damaged. Choose another --out, or remove {folder} first.")
        check_same(known, asked, str(folder), "Choose another --out, or remove it first.")
    else:
        new_path(folder, "--out")
        with replacing(mark) as temporary:
            temporary.write_text(json.dumps(asked, indent=2), encoding="utf-8")
    try:
        yield
    finally:
        if [f.name for f in folder.iterdir()] == [RUN]:
            mark.unlink()
            with suppress(OSError):
                folder.rmdir()


def run_identity(data: Dataset, names: Sequence[str], trainer: TrainerConfig) -> dict[str, Any]:
    """What a trained model depends on: the recordings, by content, and the training."""
    from invdyn.actions.provenance import dataset_identity
    from invdyn.training.config import to_json
    from invdyn.training.trainer import MAY_DIFFER

    training = {k: v for k, v in to_json(trainer).items() if k not in MAY_DIFFER}
    return {"data": dataset_identity(data, names), "trainer": training}


def trainer_of(trainer: TrainerConfig, ema: float | None, seed: int) -> TrainerConfig:
    """The training with the options that stand outside `--trainer`.

    Raises:
        ConfigError: a second seed, or a decay that is none.
    """
    from invdyn.nn.ema import EMAConfig

    if trainer.seed != type(trainer).seed:
        raise ConfigError(f"--trainer.seed {trainer.seed} would be replaced by --seed. Give --seed alone.")
    return dataclasses.replace(trainer, ema=None if ema is None else EMAConfig(decay=ema), seed=seed)


def settle_threads(schema: Schema, inputs: Sequence[str]) -> None:
    """One thread for nets that look at no images.

    Nets that small gain nothing from a second one (measured: 10.3 s instead of 9.5 s for a fit on two free cores), and
    beside other programs threads that wait for each other lose tenfold (425 s instead of 20 s). Results then do not
    depend on the number of cores either.
    """
    import torch

    if not any(schema[name].kind == "image" for name in inputs):
        torch.set_num_threads(1)
