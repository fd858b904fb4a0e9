"""Writing Minari data sets (layout of 0.5.4) without the package, so that its own reader reads them.

T+1 rows become T+1 observations and T actions. What Minari has no place for (other signals, masks, an irregular
clock, a value at the last step) stands among the infos under its own name, so that nothing is lost.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.minari_spaces import is_image, space_json
from invdyn.episodes.signal import Signal, SignalSpec

__all__ = ["CLOCK", "OWN", "write"]

OWN = "invdyn"
"""Key under which our names, kinds, units (data set) and task, metadata, spans (episode) stand as JSON text."""
CLOCK = "timestamp"
VERSION = "0.5.4"
STEPWISE = {"rewards": "next.reward", "terminations": "next.terminated", "truncations": "next.truncated"}


def write(
    dataset: Dataset,
    path: Path | str,
    *,
    data_format: Literal["hdf5", "arrow", "parquet"] = "hdf5",
    jpeg_encoding: bool = False,
    dataset_id: str | None = None,
    description: str = "",
    author: Sequence[str] = (),
) -> None:
    """Write a data set for Minari into a fresh folder.

    Args:
        dataset: needs at least one `observation.*` and `action` (or `action.*`).
        path: the folder; its name must be the last part of the id.
        data_format: `hdf5`, `arrow` or `parquet`.
        jpeg_encoding: pictures as JPEG: small, but *lossy*. False stores them as they are.
        dataset_id: `<namespace>/<name>-v<N>`; None takes the folder's name.
        description, author: for Minari's own listing.

    Raises:
        FormatError: an id without version, no observation or action, integers or text that are missing at some
            step (Minari has no sign for that).
    """
    path = Path(path)
    identity = dataset_id or path.name
    if not re.fullmatch(r"(?:[-_\w]+/)*[-_\w]+-v\d+", identity):
        raise complaint(
            path,
            f"{identity!r} is no Minari id",
            expected="<name>-v<number>",
            remedy="Name the folder so, e.g. door-v0, or pass dataset_id=...",
        )
    layout = _Layout(dataset, path)
    data = path / "data"
    data.mkdir(parents=True)
    writer = _Hdf5Writer(data) if data_format == "hdf5" else _ArrowWriter(data, data_format)
    steps = 0
    for index, episode in enumerate(dataset):
        if episode.length < 2 and data_format != "hdf5":
            raise complaint(
                path,
                "a single row has no action, which Minari cannot read back from Arrow or Parquet",
                expected="two rows at least",
                remedy="Write data_format='hdf5', or leave the episode out.",
                episode=index,
            )
        parts = layout.parts(episode, every_mask=data_format != "hdf5")
        facts: dict[str, Any] = {"id": index, "total_steps": episode.length - 1, OWN: _told(episode)}
        if isinstance(episode.metadata.get("seed"), int):
            facts["seed"] = episode.metadata["seed"]
        writer.add(index, parts, layout, jpeg_encoding, facts)
        steps += episode.length - 1
    writer.close()
    size = sum(f.stat().st_size for f in data.rglob("*") if f.is_file()) / 1e6
    metadata = {
        "total_episodes": len(dataset),
        "total_steps": steps,
        "data_format": data_format,
        "jpeg_encoding": jpeg_encoding,
        "observation_space": space_json(layout.keyed("observations")),
        "action_space": space_json(layout.keyed("actions")),
        "dataset_id": identity,
        "description": description,
        "author": list(author),
        "minari_version": VERSION,
        "dataset_size": round(size, 1),
        OWN: layout.told(),
    }
    (data / "metadata.json").write_text(json.dumps(metadata), "utf-8")


def _told(episode: Episode) -> str:
    spans = [{"start": s.start, "stop": s.stop, "name": s.name, "detail": dict(s.detail)} for s in episode.spans]
    return json.dumps({"task": episode.task, "metadata": dict(episode.metadata), "spans": spans})


class _Layout:
    """Which signal stands in which part."""

    def __init__(self, dataset: Dataset, path: Path) -> None:
        self.dataset, self.path = dataset, path
        schema = dataset.schema
        self.observations = [n for n in schema if n.startswith("observation.")]
        self.actions = ["action"] if "action" in schema else [n for n in schema if n.startswith("action.")]
        for what, names in (("observation.*", self.observations), ("action", self.actions)):
            if not names:
                raise complaint(
                    path,
                    f"no signal {what} among {', '.join(schema)}",
                    expected="at least one, Minari needs it",
                    remedy="Choose another format, or name the signals so.",
                )
        self.rest = [n for n in schema if n not in {*self.observations, *self.actions, *STEPWISE.values()}]

    def keyed(self, part: str) -> list[tuple[str | None, SignalSpec]]:
        """Key in the space -> spec; None where the signal is the space itself."""
        names = self.observations if part == "observations" else self.actions
        prefix = "observation." if part == "observations" else "action."
        if len(names) == 1 and names[0] in ("observation.state", "observation.image", "action"):
            return [(None, self.dataset.schema[names[0]])]
        return [(n.removeprefix(prefix), self.dataset.schema[n]) for n in names]

    def told(self) -> str:
        roots = {p: self.keyed(p)[0][1].name for p in ("observations", "actions") if self.keyed(p)[0][0] is None}
        signals = [asdict(s) for s in self.dataset.schema.signals]
        return json.dumps({"signals": signals, "fps": self.dataset.fps, "roots": roots})

    def parts(self, episode: Episode, every_mask: bool) -> dict[str, Any]:
        """part -> array, or key -> array. Masks stand among the infos where a step is missing (or always)."""
        steps = episode.length - 1
        infos: dict[str, np.ndarray] = {}
        found: dict[str, Any] = {"infos": infos}
        for part, rows in (("observations", episode.length), ("actions", steps)):
            arrays: dict[str | None, np.ndarray] = {}
            for key, spec in self.keyed(part):
                arrays[key] = self._column(episode, spec, rows, infos, every_mask)
            found[part] = arrays.get(None, arrays)
        for part, name in STEPWISE.items():
            found[part] = self._stepwise(episode, part, name, steps, infos, every_mask)
        for name in self.rest:
            spec = self.dataset.schema[name]
            if name in episode or every_mask:
                infos[name] = self._column(episode, spec, episode.length, infos, every_mask, refuse=False)
        regular = np.arange(episode.length) / episode.schema.fps
        if every_mask or not np.array_equal(regular, episode.timestamp):
            infos[CLOCK] = episode.timestamp
        return found

    def _column(
        self,
        episode: Episode,
        spec: SignalSpec,
        rows: int,
        infos: dict[str, np.ndarray],
        every_mask: bool,
        refuse: bool = True,
    ) -> np.ndarray:
        """The first `rows` values; the mask, and a last value that does not fit, go to the infos."""
        signal: Signal | None = episode.get(spec.name)
        valid = np.zeros(episode.length, bool) if signal is None else signal.mask
        floating = spec.numpy_dtype.kind == "f"
        wrong = np.flatnonzero(~valid[:rows])
        if refuse and len(wrong) and not floating:
            raise complaint(
                self.path,
                f"{spec.dtype} value is missing at step {wrong[0]}",
                expected="a value at every step, for Minari has no sign for a missing one",
                remedy="Leave out the signal or the episode, or write the LeRobot format.",
                episode=episode.index,
                signal=spec.name,
            )
        if signal is None:
            values: np.ndarray = np.full((episode.length, *spec.shape), np.nan if floating else 0, spec.numpy_dtype)
            values = np.full(episode.length, "", object) if spec.is_text else values
        else:
            values = signal.values
        missing = not valid[:rows].all()
        if rows < episode.length and (valid[-1] or every_mask):
            infos[spec.name] = values
            missing = not valid.all()
        if missing or every_mask:
            infos[f"mask.{spec.name}"] = valid
        return values[:rows]

    def _stepwise(
        self, episode: Episode, part: str, name: str, steps: int, infos: dict[str, np.ndarray], every_mask: bool
    ) -> np.ndarray:
        """Rewards and ends. Without such a signal: NaN rewards, and the last step counts as cut off (truncated)."""
        if name in self.dataset.schema:
            spec = self.dataset.schema[name]
            if name in episode or every_mask:
                infos[name] = self._column(episode, spec, episode.length, infos, every_mask, refuse=False)
            else:  # what stands in its place below is no value
                infos[f"mask.{name}"] = np.zeros(episode.length, bool)
        if name in episode:
            signal = episode[name]
            values, valid = np.asarray(signal.values, float).reshape(episode.length, -1)[:steps, 0], signal.mask[:steps]
            values = np.where(valid, values, np.nan if part == "rewards" else 0.0)
            return values if part == "rewards" else values.astype(bool)
        if part == "rewards":
            return np.full(steps, np.nan)
        ends = np.zeros(steps, bool)
        if part == "truncations" and "next.terminated" not in episode and steps:
            ends[-1] = True
        return ends


def _encode(values: np.ndarray) -> list[bytes]:
    from PIL import Image

    def one(frame: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, format="JPEG")
        return buffer.getvalue()

    return [one(frame.squeeze(-1) if frame.ndim == 3 and frame.shape[-1] == 1 else frame) for frame in values]


class _Hdf5Writer:
    """`main_data.hdf5`."""

    def __init__(self, folder: Path) -> None:
        self.file = h5py.File(folder / "main_data.hdf5", "w", track_order=True, libver=("v110", "v110"))

    def add(
        self, index: int, parts: Mapping[str, Any], layout: _Layout, jpeg_encoding: bool, facts: Mapping[str, Any]
    ) -> None:
        group = self.file.create_group(f"episode_{index}")
        group.attrs.update(facts)
        for part, content in parts.items():
            specs = dict(layout.keyed(part)) if part in ("observations", "actions") else {}
            if isinstance(content, Mapping):
                inner = group.create_group(part)
                for key, values in content.items():
                    self._put(inner, str(key), values, specs.get(key), jpeg_encoding)
            else:
                self._put(group, part, content, specs.get(None), jpeg_encoding)

    def _put(self, group: Any, key: str, values: np.ndarray, spec: SignalSpec | None, jpeg_encoding: bool) -> None:
        if jpeg_encoding and spec is not None and is_image(spec):
            encoded = [np.frombuffer(b, np.uint8) for b in _encode(values)]
            data = group.create_dataset(key, (len(encoded),), h5py.vlen_dtype(np.uint8), chunks=True)
            for step, string in enumerate(encoded):
                data[step] = string
            return
        if values.dtype == object:
            kind = h5py.string_dtype("utf-8")
            group.create_dataset(key, data=values.astype(object), dtype=kind, chunks=True, maxshape=(None,))
            return
        group.create_dataset(key, data=values, chunks=True, maxshape=(None, *values.shape[1:]))

    def close(self) -> None:
        self.file.close()


class _ArrowWriter:
    """`<id>/part-0.arrow` or `.parquet` with `metadata.json` beside it."""

    def __init__(self, folder: Path, ending: str) -> None:
        self.folder, self.ending = folder, ending

    def add(
        self, index: int, parts: Mapping[str, Any], layout: _Layout, jpeg_encoding: bool, facts: Mapping[str, Any]
    ) -> None:
        rows = facts["total_steps"] + 1
        columns: dict[str, pa.Array] = {}
        for part in ("observations", "actions"):
            specs = dict(layout.keyed(part))
            content = parts[part]
            if isinstance(content, Mapping):
                arrays = [self._array(v, rows, specs[k], jpeg_encoding) for k, v in content.items()]
                columns[part] = pa.StructArray.from_arrays(arrays, names=[str(k) for k in content])
            else:
                columns[part] = self._array(content, rows, specs[None], jpeg_encoding)
        for part in STEPWISE:
            columns[part] = pa.array(np.pad(parts[part], (0, rows - len(parts[part]))))
        infos = {k: self._info(k, v) for k, v in parts["infos"].items()}
        columns["infos"] = pa.StructArray.from_arrays(
            [array for array, _ in infos.values()], fields=[field for _, field in infos.values()]
        )
        table = pa.Table.from_batches([pa.RecordBatch.from_pydict(columns)])
        folder = self.folder / str(index)
        folder.mkdir()
        file = folder / f"part-0.{self.ending}"
        if self.ending == "parquet":
            pq.write_table(table, file)
        else:
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
        (folder / "metadata.json").write_text(json.dumps(dict(facts)), "utf-8")

    @staticmethod
    def _array(values: np.ndarray, rows: int, spec: SignalSpec, jpeg_encoding: bool) -> pa.Array:
        if spec.is_text:
            return pa.array([*values.tolist(), *[None] * (rows - len(values))], pa.string())
        if jpeg_encoding and is_image(spec):
            encoded = _encode(values)
            return pa.array([*encoded, *[None] * (rows - len(encoded))], pa.binary())
        flat = np.pad(values.reshape(len(values), spec.size), ((0, rows - len(values)), (0, 0)))
        kind = pa.list_(pa.from_numpy_dtype(spec.numpy_dtype), spec.size)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), type=kind)

    @staticmethod
    def _info(key: str, values: np.ndarray) -> tuple[pa.Array, pa.Field]:
        if values.dtype == object or values.ndim == 1:
            array = pa.array(values.tolist() if values.dtype == object else values)
            return array, pa.field(key, array.type)
        flat = values.reshape(len(values), -1)
        kind = pa.list_(pa.from_numpy_dtype(values.dtype), flat.shape[1])
        array = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), type=kind)
        shape = ",".join(str(n) for n in values.shape[1:])
        return array, pa.field(key, kind, metadata={"shape": shape})

    def close(self) -> None:
        return None
