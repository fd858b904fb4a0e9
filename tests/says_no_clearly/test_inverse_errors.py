"""What `fit_inverse` cannot do it says in one sentence with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from invdyn.actions.fit import fit_inverse
from invdyn.actions.inverse import InverseConfig
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Schema, Signal, SignalSpec
from invdyn.errors import InvdynError

STATE = SignalSpec("observation.state", (2,), "float32", "state")
ACTION = SignalSpec("action", (1,), "float32", "action")
NOTE = SignalSpec("note", (), "string", "text")
SCHEMA = Schema((STATE, ACTION, NOTE), 10.0)


def data(labelled: int, steps: int = 12) -> Dataset:
    def one(number: int) -> Episode:
        signals = [Signal(STATE, np.random.default_rng(number).standard_normal((steps, 2)).astype(np.float32))]
        if number < labelled:
            signals.append(Signal(ACTION, np.zeros((steps, 1), np.float32)))
        return Episode.from_signals(signals, fps=10.0, schema=SCHEMA)

    return Dataset.from_episodes([one(n) for n in range(4)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fit_inverse(data(0), InverseConfig()),
            r"none of its 4 episodes has a value of 'action'.*Add labelled",
        ),
        (lambda: fit_inverse(data(1), InverseConfig()), r"holding out 0.1 of 1 labelled episode.*Label at least two"),
        (lambda: fit_inverse(data(3), InverseConfig(), holdout=1.0), r"holdout is 1.0, expected a share in \[0, 1\)"),
        (lambda: fit_inverse(data(2), InverseConfig(), held_out=[0, 1]), r"all 2 labelled episodes are held out"),
        (
            lambda: fit_inverse(data(3), InverseConfig(inputs=("observation.stat",))),
            r"unknown signal 'observation.stat'. Did you mean 'observation.state'",
        ),
        (lambda: fit_inverse(data(3), InverseConfig(target="note")), r"target 'note' is text, expected numbers"),
        (
            lambda: fit_inverse(data(3), InverseConfig(inputs=("note",))),
            r"input 'note' is text, expected numbers or images",
        ),
        (
            lambda: fit_inverse(data(3, 4), InverseConfig()),
            r"window spans 7 steps .* longest episode .* has 4. Use a shorter",
        ),
        (
            lambda: fit_inverse(data(3), InverseConfig(head="squashed")),
            r"squashed head needs finite bounds and target 'action'",
        ),
        (lambda: fit_inverse(data(3), InverseConfig(head="joint")), r"does not say which classes it has"),
        (lambda: InverseConfig(inputs=("action",)), r"'action' is its target and cannot be among its inputs"),
        (lambda: InverseConfig(inputs=()), r"no inputs named"),
        (lambda: InverseConfig(width=0), r"width is 0, expected at least 1"),
        (lambda: InverseConfig(dropout=1.0), r"dropout is 1.0, expected a share in \[0, 1\)"),
        (lambda: InverseConfig(mask="pair", after=0), r"mask 'pair' needs the step after the centre"),
    ],
)
def test_each_says_what_and_what_to_do(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvdynError, match=message):
        call()
