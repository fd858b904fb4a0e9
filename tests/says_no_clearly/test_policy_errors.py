"""Every refusal of the policies says what was given, what was expected, and the remedy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invdyn.decisions import ClonedPolicy, PolicyConfig, choose_holdout, compare_policies, fit_policy, frame_weights
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.label import Label
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.errors import ConfigError, SignalError, UnknownNameError

STATE = SignalSpec("observation.state", (2,), "float32", "state")
ACTION = SignalSpec("action", (1,), "float32", "action", low=(-1.0,), high=(1.0,))


def dataset(*, label: bool = False, weight: float = 0.5) -> Dataset:
    state, action = np.zeros((5, 2), np.float32), np.full((5, 1), 0.5, np.float32)
    if not label:
        return Dataset.from_episodes(
            [Episode.from_signals([Signal(STATE, state), Signal(ACTION, action)], fps=10.0)] * 3
        )
    source = np.full(5, "inferred:m", object)
    made = Label(
        action.astype(float), action.astype(float), action.astype(float), source, np.full(5, np.nan), np.full(5, weight)
    )
    return Dataset.from_episodes([Episode.from_signals([Signal(STATE, state), *made.signals(ACTION)], fps=10.0)] * 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"history": -1}, "history is -1, expected at least 0"),
        ({"width": 0}, "width is 0, expected at least 1"),
        ({"depth": -1}, "depth is -1, expected at least 0"),
        ({"image_features": 0}, "image_features is 0, expected at least 1"),
        ({"dropout": 1.0}, r"dropout is 1.0, expected a share in \[0, 1\)"),
        ({"null_below": -0.1}, "null_below is -0.1, expected None or a magnitude"),
        ({"inputs": ("action",)}, "'action' is its target and cannot be among its inputs"),
    ],
)
def test_config(options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        PolicyConfig(**options)


def test_text_input() -> None:
    words = SignalSpec("observation.words", (), "string", "text")
    with pytest.raises(ConfigError, match=r"input 'observation.words' is text, expected numbers or images"):
        ClonedPolicy(PolicyConfig(), (words,), ACTION)


def test_acting() -> None:
    policy = ClonedPolicy(PolicyConfig(width=8), (STATE,), ACTION)
    seen = {"observation.state": torch.zeros(2, 2)}
    with pytest.raises(ConfigError, match=r"act was called before reset\(batch\). Reset at the start"):
        policy.act(seen)
    with pytest.raises(ConfigError, match="needs a reset of all copies first"):
        policy.reset(2, torch.tensor([True, False]))
    policy.reset(3)
    with pytest.raises(ConfigError, match=r"2 copies observed after reset\(3\)"):
        policy.act(seen)
    policy.reset(2)
    with pytest.raises(SignalError, match=r"lacks 'observation.state'; it has 'observation.other'"):
        policy.act({"observation.other": torch.zeros(2, 2)})
    with pytest.raises(SignalError, match=r"'observation.state' has shape \(3,\), trained on \(2,\)"):
        policy.act({"observation.state": torch.zeros(2, 3)})
    with pytest.raises(SignalError, match=r"'observation.state' holds NaN or infinity"):
        policy.act({"observation.state": torch.full((2, 2), torch.nan)})


def test_nothing_to_learn_from() -> None:
    with pytest.raises(
        ConfigError, match=r"no inferred value of 'action' .*15 measured and 0 inferred steps.*Label it first"
    ):
        frame_weights(dataset(), "action", "inferred")
    with pytest.raises(ConfigError, match=r"no measured value of 'action' .*0 measured and 15 inferred"):
        frame_weights(dataset(label=True), "action", "measured")
    with pytest.raises(ConfigError, match="every step of source 'both' has weight 0 under 'confidence'"):
        frame_weights(dataset(label=True, weight=0.0), "action", "both", "confidence")
    with pytest.raises(
        ConfigError, match=r"needs 'label.action.residual' and no inferred step has it. Label with a world"
    ):
        frame_weights(dataset(label=True), "action", "both", "residual")
    with pytest.raises(ConfigError, match="no step is left to learn from after dropping null actions"):
        fit_policy(dataset(), PolicyConfig(null_below=0.5))


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown source 'infered'. Did you mean 'inferred'"):
        frame_weights(dataset(), "action", "infered")
    with pytest.raises(UnknownNameError, match="unknown weighting 'weight'"):
        frame_weights(dataset(), "action", "both", "weight")
    with pytest.raises(UnknownNameError, match=r"unknown signal 'observation.stat'. Did you mean 'observation.state'"):
        fit_policy(dataset(), PolicyConfig(inputs=("observation.stat",)))


def test_no_observation() -> None:
    spec = SignalSpec("proprio", (2,), "float32", "state")
    episode = Episode.from_signals([Signal(spec, np.zeros((5, 2), np.float32)), dataset()[0]["action"]], fps=10.0)
    with pytest.raises(ConfigError, match=r"no signal named observation.\* to act on. Name the policy's inputs"):
        fit_policy(Dataset.from_episodes([episode]))


def test_holdout() -> None:
    weight = np.ones(15, np.float32)
    with pytest.raises(ConfigError, match=r"holdout is 1.5, expected a share in \[0, 1\)"):
        choose_holdout(dataset(), weight, 1.5, 0)
    with pytest.raises(
        ConfigError, match=r"3 usable episodes, all held out for early stopping. Give more episodes, or holdout=0"
    ):
        choose_holdout(dataset(), weight, [0, 1, 2], 0)


def test_comparison_of_different_recordings() -> None:
    with pytest.raises(
        ConfigError, match=r"3 labelled recordings \(15 frames\) and 2 true ones \(10 frames\) are not the same"
    ):
        compare_policies(dataset(label=True), dataset()[:2])
