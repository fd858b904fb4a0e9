"""`data make`, `inspect`, `convert`: recordings made, told and written again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Run

from invdyn.cli.data import parse_size
from invdyn.cli.selection import parse_episodes
from invdyn.episodes import open_dataset
from invdyn.errors import ConfigError


@pytest.mark.parametrize("world", ["pendulum", "point2d", "push2d", "metaworld/reach-v3"])
def test_data_make_records_the_expert_of_a_world(invdyn: Run, tmp_path: Path, world: str) -> None:
    made = invdyn("data", "make", world, tmp_path / "data", "--episodes", 2, "--seed", 5, "--json").value
    assert set(made) == {"world", "out", "episodes", "frames", "success", "seed"}
    assert (made["episodes"], made["success"], made["seed"]) == (2, 1.0, 5)
    data = open_dataset(tmp_path / "data")
    assert (len(data), data.frames) == (2, made["frames"])
    assert {"observation.state", "action", "next.reward", "next.success"} <= set(data.schema)


def test_data_make_with_pictures_says_what_it_did(invdyn: Run, tmp_path: Path) -> None:
    args = ("data", "make", "push2d", tmp_path / "data", "--episodes", 2, "--images", "32x48", "--camera", "top")
    ran = invdyn(*args)
    assert ran.code == 0
    assert ran.out.startswith(f"{tmp_path / 'data'}: 2 episodes, ")
    assert "the expert succeeded in 100%" in ran.out
    spec = open_dataset(tmp_path / "data").schema["observation.images.top"]
    assert (spec.shape, spec.encoding) == ((32, 48, 3), "video")
    invdyn(*args).refused("data exists already. Choose another path, or pass --overwrite to replace it.")
    assert invdyn(*args, "--overwrite", "--encoding", "png").code == 0
    assert open_dataset(tmp_path / "data").schema["observation.images.top"].encoding == "png"


def test_data_make_into_an_empty_folder(invdyn: Run, tmp_path: Path) -> None:
    assert invdyn("data", "make", "pendulum", tmp_path, "--episodes", 1).code == 0
    assert len(open_dataset(tmp_path)) == 1


def test_data_make_refuses(invdyn: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    invdyn("data", "make", "pendulm", out).refused("unknown world 'pendulm'. Did you mean 'pendulum'?")
    invdyn("data", "make", "pendulum", out, "--episodes", 0).refused("--episodes is 0, expected at least 1.")
    invdyn("data", "make", "pendulum", out, "--images", "96").refused("--images '96': expected height x width")
    with pytest.raises(ConfigError, match="expected height x width in pixels, for example 96x96"):
        parse_size("0x96")
    assert not out.exists()


def test_inspect_tells_signals_units_tasks_and_labels(invdyn: Run, world: Path, labelled: Path) -> None:
    told = invdyn("inspect", world / "recordings", "--json").value
    assert set(told) == {
        *("path", "format", "episodes", "frames", "fps", "seconds", "shortest", "longest", "tasks", "labels"),
        "signals",
    }
    assert (told["format"], told["episodes"], told["tasks"], told["labels"]) == ("lerobot", 9, {"swing up": 9}, {})
    rows = {s["signal"]: s for s in told["signals"]}
    assert rows["action"]["unit"] == "N m"
    assert rows["action"]["present"] == pytest.approx(1 - 9 / told["frames"])
    actions = np.concatenate([e["action"].values[e["action"].mask] for e in open_dataset(world / "recordings")])
    assert rows["action"]["mean"] == pytest.approx([actions.mean()], abs=1e-6)
    sources = invdyn("inspect", labelled, "--json", "--no-stats").value["labels"]
    assert sources.pop("none") == 9  # the last row of each episode
    assert sources.pop("measured") > 0
    ((model, count),) = sources.items()
    assert model.startswith("inferred:idm-")
    assert count > 0


def test_inspect_prints_a_table(invdyn: Run, labelled: Path) -> None:
    out = invdyn("inspect", labelled).out
    assert "9 episodes" in out.splitlines()[0]
    assert "task 'swing up': 9 episodes" in out
    assert "labels measured:" in out
    assert "rad, rad/s" in out


def test_inspect_takes_format_and_reader_options(invdyn: Run, tmp_path: Path) -> None:
    (tmp_path / "walk.csv").write_text("time,x,v\n0.0,1,2\n0.1,2,\n0.2,4,3\n")
    path = tmp_path / "walk.csv"
    invdyn("inspect", path).refused("walk.csv", "nan")
    told = invdyn("inspect", path, "--read", "nan=mask", 'groups={"observation.state": ["x", "v"]}', "--json").value
    assert [s["signal"] for s in told["signals"]] == ["observation.state"]
    assert (told["fps"], told["frames"]) == (pytest.approx(10.0), 3)
    invdyn("inspect", path, "--read", "nann=mask").refused(
        "unknown option of the csv reader 'nann'. Did you mean 'nan'"
    )
    invdyn("inspect", path, "--read", "mask").refused("--read 'mask': expected name=value, for example fps=50")
    invdyn("inspect", path, "--format", "cvs").refused("unknown format 'cvs'. Did you mean 'csv'")


def test_native_recordings_have_no_reader_options(invdyn: Run, world: Path) -> None:
    invdyn("inspect", world / "given", "--read", "fps=3").refused("--read fps=...: the lerobot reader has no options.")


@pytest.mark.parametrize(
    ("to", "name"), [("robomimic", "x.hdf5"), ("minari", "x-v0"), ("npz", "x.npz"), ("lerobot", "x")]
)
def test_convert_writes_every_format(invdyn: Run, world: Path, tmp_path: Path, to: str, name: str) -> None:
    told = invdyn("convert", world / "recordings", tmp_path / name, "--to", to, "--json").value
    assert set(told) == {"source", "target", "format", "episodes", "frames", "signals"}
    again = open_dataset(tmp_path / name)
    assert (len(again), again.frames) == (told["episodes"], told["frames"])
    for one, other in zip(open_dataset(world / "recordings"), again, strict=True):
        for signal in ("observation.state", "action"):
            rows = one[signal].mask
            np.testing.assert_array_equal(one[signal].values[rows], other[signal].values[other[signal].mask])


def test_convert_hides_selects_and_says_so(invdyn: Run, world: Path, tmp_path: Path) -> None:
    args = ("--episodes", "-4:", "--signals", "observation.state", "action", "--hide", "action", "--hide-in", "1:")
    ran = invdyn("convert", world / "recordings", tmp_path / "part", *args)
    assert ran.code == 0, ran.err
    assert "part: 4 episodes, " in ran.out
    part = open_dataset(tmp_path / "part")
    assert set(part.schema) == {"observation.state", "action"}
    assert ["action" in e for e in part] == [True, False, False, False]


def test_convert_filters_labels_by_weight(invdyn: Run, labelled: Path, tmp_path: Path) -> None:
    before = open_dataset(labelled)
    weights = before.column("label.action.weight").values
    level = float(np.median(weights[weights < 1]))
    assert invdyn("convert", labelled, tmp_path / "good", "--min-weight", level).code == 0
    after = open_dataset(tmp_path / "good").column("action").valid
    assert after.sum() == (weights >= level).sum() < before.column("action").valid.sum()


def test_convert_refuses(invdyn: Run, world: Path, tmp_path: Path) -> None:
    source, out = world / "recordings", tmp_path / "out"
    invdyn("convert", source, world / "given").refused(
        "given exists already. Choose another target, or pass --overwrite"
    )
    invdyn("convert", source, out, "--hide", "acton").refused("unknown signal 'acton'. Did you mean 'action'?")
    invdyn("convert", source, out, "--signals", "observation.stat").refused("Did you mean 'observation.state'")
    invdyn("convert", source, out, "--hide-in", "3:").refused("--hide-in 3: without --hide. Name the signal")
    invdyn("convert", source, out, "--to", "minari").refused("Minari wants a folder named <name>-v<number>")
    invdyn("convert", source, out, "--episodes", "9").refused("there is no episode 9; the recordings have 9.")
    invdyn("convert", source, out, "--episodes", "9:").refused("selects none of the 9 episodes")
    invdyn("convert", source, out, "--episodes", "first").refused("'first' is neither a number nor a range")
    assert not out.exists()
    file = tmp_path / "notes.txt"
    file.write_text("no recordings")
    invdyn("convert", file, out).refused("notes.txt: no format recognised. Expected a LeRobot folder")


def test_episodes_are_numbered_as_in_python() -> None:
    assert parse_episodes("7, 0:2,7,-1", 10) == [7, 0, 1, 9]
    with pytest.raises(ConfigError, match="selects none of the 3 episodes"):
        parse_episodes("", 3)
