"""Raw robosuite recordings (`demo.hdf5` with models beside it), versions 0.3 and 1.0, named from the MuJoCo model.

Per episode `data/demo_k`: `states` [time, qpos, qvel]; version 1.0 adds `actions` and `joint_torques`, version 0.3
`joint_velocities`, `gripper_actuations`, `<arm>_dpos`, `<arm>_dquat`. Row t of the commands is what was applied between
states t and t+1 (seen at the gripper switches of the human recordings: the fingers move in the step after the row).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import EpisodeRecord
from invdyn.episodes.formats.foreign import ForeignSource, MissingPolicy, Values, complaint, nominal_fps
from invdyn.episodes.formats.hdf5 import Hdf5File, decode, numbered
from invdyn.episodes.formats.mjcf import Joint, joints
from invdyn.episodes.signal import Schema, SignalSpec

__all__ = ["RobosuiteSource", "matches", "open"]

STATE = "observation.state"
TASKS: Mapping[str, str] = {
    "Lift": "lift the cube",
    "Stack": "stack the small cube on the large cube",
    "PickPlace": "put each object into its bin",
    "Door": "open the door",
    "Wipe": "wipe the marks off the table",
    "NutAssembly": "put the nuts onto their pegs",
    "PegInHole": "put the peg into the hole",
}
"""What the environments ask for, by the end of their names (`SawyerLift` is a `Lift`)."""


def _commands(joint_names: Sequence[str]) -> Mapping[str, tuple[tuple[str, ...], dict[str, Any]]]:
    """Signal -> (HDF5 datasets put side by side, facts of its spec)."""
    return {
        # v1.0 OSC_POSE: pose change of the hand (dx dy dz, axis-angle) and gripper, -1..1 of what the controller allows
        "action": (("actions",), {"kind": "action", "low": (-1.0,), "high": (1.0,)}),
        # v0.3: joint velocity commands as shares of the actuators' range, and gripper: what env.step received
        "action.v0": (("joint_velocities", "gripper_actuations"), {"kind": "action", "low": (-1.0,), "high": (1.0,)}),
        "joint_torque": (("joint_torques",), {"kind": "force", "unit": "N m", "names": tuple(joint_names)}),
        "command.right_dpos": (("right_dpos",), {"kind": "action", "unit": "m", "names": ("x", "y", "z")}),
        "command.right_dquat": (("right_dquat",), {"kind": "action", "names": ("x", "y", "z", "w")}),
        "command.left_dpos": (("left_dpos",), {"kind": "action", "unit": "m", "names": ("x", "y", "z")}),
        "command.left_dquat": (("left_dquat",), {"kind": "action", "names": ("x", "y", "z", "w")}),
    }


def _find(path: Path) -> Path:
    return path / "demo.hdf5" if path.is_dir() else path


def matches(path: Path | str) -> bool:
    """Whether this is a raw robosuite recording: `data` carries the attributes `env` and `repository_version`."""
    file = _find(Path(path))
    if not file.is_file() or file.suffix not in (".hdf5", ".h5"):
        return False
    return Hdf5File.looks_like(
        file, lambda root: "data" in root and {"env", "repository_version"} <= set(root["data"].attrs)
    )


class RobosuiteSource(ForeignSource):
    """Episodes of one recording file.

    Args:
        file: the open file.
        schema: the signals.
        demos: names of the episode groups, sorted by number.
        rows: per episode, the rows that are kept (exact repetitions of a row are left out).
        datasets: signal -> HDF5 datasets side by side.
        records: per episode.
    """

    def __init__(
        self,
        file: Hdf5File,
        schema: Schema,
        demos: Sequence[str],
        rows: Sequence[np.ndarray],
        datasets: Mapping[str, tuple[str, ...]],
        records: Sequence[EpisodeRecord],
        nan: MissingPolicy,
    ) -> None:
        super().__init__(file.path, schema, [len(r) for r in rows], nan)
        self._hdf5, self.demos, self.rows, self.datasets, self.records = file, demos, rows, datasets, records

    def record(self, index: int) -> EpisodeRecord:
        return self.records[index]

    def _demo(self, index: int) -> Any:
        return self._hdf5.group(f"data/{self.demos[index]}")

    def _clock(self, index: int) -> Float64[np.ndarray, " time"]:
        states = self._hdf5.dataset("states", self._demo(index))
        return np.asarray(states[:, 0], np.float64)[self.rows[index]]

    def _has(self, index: int, name: str) -> bool:
        demo = self._demo(index)
        return all(d in demo for d in self.datasets[name])

    def _values(self, index: int, name: str, start: int, stop: int) -> Values | None:
        if not self._has(index, name):
            return None
        demo = self._demo(index)
        rows = self.rows[index][start:stop]
        first, last = int(rows[0]), int(rows[-1]) + 1
        parts = [self._hdf5.values(self._hdf5.dataset(d, demo), first, last) for d in self.datasets[name]]
        values = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        if name == STATE:
            values = values[:, 1:]
        if len(values) != last - first:
            raise complaint(
                self.path,
                f"{len(values)} rows up to row {last} of the states",
                expected="one row per state",
                remedy="Leave out this episode.",
                episode=index,
                signal=name,
            )
        return values[rows - first], None


def _distinct(states: np.ndarray) -> np.ndarray:
    """Numbers of the rows that are not exact repetitions of the row before.

    Version 0.3 recorded some instants twice (bimanual recordings), bit by bit the same. A repeated time with
    another state is left in, and the clock check then refuses it.
    """
    repeated = (states[1:] == states[:-1]).all(1)
    return np.flatnonzero(np.concatenate([[True], ~repeated]))


def _state_spec(model: Sequence[Joint]) -> SignalSpec:
    names = [n for j in model for n in j.position_names] + [n for j in model for n in j.velocity_names]
    kinds = {j.kind for j in model}
    position = (["rad"] if kinds & {"hinge"} else []) + (["m"] if kinds & {"slide", "free"} else [])
    unit = ", ".join(position + [f"{p}/s" for p in position])
    return SignalSpec(STATE, (len(names),), "float64", "state", unit, tuple(names))


def open(  # noqa: A001 - every format module has `open`
    path: Path | str,
    *,
    task: str | None = None,
    fps: float | None = None,
    nan: MissingPolicy = "refuse",
) -> Dataset:
    """Open a raw robosuite recording.

    Args:
        path: the folder with `demo.hdf5` and `models/`, or the file.
        task: what was asked, in words; None takes it from the environment's name.
        fps: nominal rate; None takes one over the median time step. The clock itself is the simulator's.
        nan: `refuse`, or `mask` to read NaN steps as missing.

    Raises:
        FormatError: missing states, a model whose joints do not fill the state, rows that do not fit.
    """
    hdf5 = Hdf5File(_find(Path(path)))
    data = hdf5.group("data")
    demos = [name for _, name in numbered(data, "demo_")]
    if not demos:
        raise complaint(hdf5.path, "no group data/demo_<k>", expected="at least one episode", remedy="Check the file.")
    facts = {k: decode(v) for k, v in data.attrs.items()}
    environment = str(facts.get("env", ""))
    if isinstance(facts.get("env_info"), str):
        facts["env_info"] = json.loads(facts["env_info"])
    words = next((w for end, w in TASKS.items() if environment.endswith(end)), environment)
    rows: list[np.ndarray] = []
    records: list[EpisodeRecord] = []
    specs: dict[str, SignalSpec] = {}
    datasets: dict[str, tuple[str, ...]] = {}
    for index, name in enumerate(demos):
        demo = hdf5.group(name, data)
        if "states" not in demo:
            raise complaint(
                hdf5.path,
                "no dataset 'states'",
                expected="[time, qpos, qvel] rows",
                remedy="Drop the demo.",
                episode=index,
            )
        model_name = str(decode(demo.attrs.get("model_file", "")))
        model = joints(_model(hdf5.path, model_name, index))
        states = hdf5.dataset("states", demo)
        state = _state_spec(model)
        if states.ndim != 2 or states.shape[1] != 1 + state.size:
            raise complaint(
                hdf5.path,
                f"states of shape {states.shape}",
                expected=f"{1 + state.size} columns: time, and positions and velocities of {model_name}",
                remedy="Pass the recording with its own models/ folder.",
                episode=index,
                signal=STATE,
            )
        kept = _distinct(hdf5.values(states, 0, len(states)))
        rows.append(kept)
        about = {
            "demo": name,
            "model_file": f"models/{model_name}",
            **facts,
        }
        records.append(
            EpisodeRecord(len(kept), words if task is None else task, about | _dropped(len(states) - len(kept)))
        )
        for key, (parts, spec) in {STATE: (("states",), state), **_present(demo, model)}.items():
            if specs.setdefault(key, spec) != spec:
                raise complaint(
                    hdf5.path,
                    f"components {spec.names} of shape {spec.shape}",
                    expected=f"{specs[key].names} as in the episodes before",
                    remedy="Open recordings of different models one by one.",
                    episode=index,
                    signal=key,
                )
            datasets[key] = parts
    if fps is None:
        fps = nominal_fps(np.asarray(hdf5.dataset(f"data/{demos[0]}/states")[:, 0], np.float64)[rows[0]], hdf5.path, 0)
    schema = Schema(tuple(specs.values()), float(fps))
    return Dataset(RobosuiteSource(hdf5, schema, demos, rows, datasets, records, nan))


def _dropped(count: int) -> dict[str, int]:
    return {"repeated_rows_left_out": count} if count else {}


def _model(recording: Path, name: str, episode: int) -> Path:
    """The model file beside the recording; a name that leaves the folder is refused."""
    path = recording.parent / "models" / name
    if not name or Path(name).name != name or not path.is_file():
        raise complaint(
            recording,
            f"model file {name!r} not found in {recording.parent / 'models'}",
            expected="the MuJoCo model the attribute model_file names",
            remedy="Keep the folder models/ beside the recording.",
            episode=episode,
        )
    return path


def _present(demo: Any, model: Sequence[Joint]) -> dict[str, tuple[tuple[str, ...], SignalSpec]]:
    """The commands and forces this episode has."""
    hinges = [j.name for j in model if j.kind == "hinge"]
    found: dict[str, tuple[tuple[str, ...], SignalSpec]] = {}
    for signal, (parts, facts) in _commands(hinges).items():
        if any(p not in demo for p in parts):
            continue
        width = sum(demo[p].shape[1] for p in parts)
        if not width:  # an arm the robot does not have
            continue
        facts = dict(facts)
        if signal == "joint_torque":
            facts["names"] = tuple(hinges[:width]) if len(hinges) >= width else None
        if signal == "action.v0":
            facts["names"] = (*(f"command{i}" for i in range(width - 1)), "gripper")
        name = "action" if signal == "action.v0" else signal
        found[name] = (parts, SignalSpec(name, (width,), "float64", **facts))
    return found
