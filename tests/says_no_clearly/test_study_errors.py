"""Every way to ask a study for what it cannot do ends in one sentence: what, expected, remedy."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from invdyn.errors import ConfigError, FormatError, UnknownNameError
from invdyn.studies import Claim, Context, Threshold, load_study, parse_seeds, run_study, studies_table
from invdyn.studies.deep_linear_config import load_correlations


def test_unknown_study_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown study 'deep-liner'. Did you mean 'deep-linear'"):
        run_study("deep-liner", "smoke")


def test_unknown_scale_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown scale 'laptob'. Did you mean 'laptop'"):
        run_study("deep-linear", "laptob")


def test_open_system_says_that_it_is_open_and_what_is_built() -> None:
    with pytest.raises(ConfigError, match=r"study 'vpt' \(VPT\) is open: it has not been built yet.*deep-linear"):
        load_study("vpt")


@pytest.mark.parametrize("text", ["", "a", "1.5", "-3", "1;2", "3 4", ",", "1,,2", "٣"])
def test_seeds_of_another_form(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a count like 3"):
        parse_seeds(text)


def test_seeds_none_too_many_or_twice() -> None:
    with pytest.raises(ConfigError, match=r"one seed named 0 is written '0,'"):
        parse_seeds("0")
    with pytest.raises(ConfigError, match=r"one seed named 20000 is written '20000,'"):
        parse_seeds("20000")
    with pytest.raises(ConfigError, match=r"the same seed twice"):
        parse_seeds("7,8,7")
    with pytest.raises(ConfigError, match=r"are not distinct, or none"):
        run_study("deep-linear", "smoke", ())


def test_gpu_scale_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"'gpu' needs an accelerator.*Use --scale laptop"):
        run_study("deep-linear", "gpu")


def test_data_and_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs data that is not part of the package: MNIST.*--data DIR"):
        run_study("deep-linear", "paper", (0,))
    with pytest.raises(ConfigError, match=r"--data .*none: no such folder"):
        run_study("deep-linear", "paper", (0,), data=tmp_path / "none")
    with pytest.raises(ConfigError, match=r"--weights clip=.*none: no such file"):
        run_study("deep-linear", "smoke", (0,), weights={"clip": tmp_path / "none"})
    with pytest.raises(FormatError, match=r"no train-images-idx3-ubyte or train-images-idx3-ubyte.gz in it"):
        run_study("deep-linear", "paper", (0,), data=tmp_path)


def write_idx(path: Path, array: np.ndarray) -> None:
    path.write_bytes(
        gzip.compress(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())
    )


def test_idx_files_are_read_and_cut_ones_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", rng.integers(0, 255, (60, 4, 4), dtype=np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.arange(60, dtype=np.uint8) % 10)
    found = load_correlations("mnist", Context(data=tmp_path))
    assert found.input_output.shape == (10, 16)
    assert float(torch.linalg.svdvals(found.input_output)[0]) <= 1 + 1e-9  # a correlation
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"\0" * 20)
    with pytest.raises(FormatError, match=r"train-images-idx3-ubyte: not an IDX file of bytes, or cut short"):
        load_correlations("mnist", Context(data=tmp_path))


def test_claims_need_their_metric_and_a_fitting_threshold() -> None:
    claim = Claim("1", "x is small", "x", Threshold("<=", 1.0))
    with pytest.raises(ConfigError, match=r"claim 1: seed 3 measured no number named 'x'"):
        claim.judge({3: {"y": 1.0}})
    with pytest.raises(ConfigError, match=r"claim 1: no seeds to judge on"):
        claim.judge({})
    with pytest.raises(ConfigError, match=r"`within` takes \(low, high\)"):
        Threshold("within", 1.0)


def test_results_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "deep-linear").mkdir()
    (tmp_path / "deep-linear" / "laptop.json").write_text('{"slug": "deep-linear"}')
    with pytest.raises(FormatError, match=r"laptop.json: not a results file .*Run the study again"):
        studies_table(tmp_path)
