"""Recordings for the tests of foreign formats: everything but lossy pictures."""

from __future__ import annotations

import dataclasses

from lerobot_samples import ACTION, FLAG, MATRIX, NOTE, REWARD, STATE, sample

from invdyn.episodes import Dataset, Schema, SignalSpec

PICTURE = SignalSpec("observation.images.top", (33, 40, 3), "uint8", "image")
COUNT = SignalSpec("observation.count", (), "int64", "state")
HALF = SignalSpec("aside", (3,), "float16", "state")
SCHEMA = Schema((STATE, PICTURE, COUNT, ACTION, REWARD, MATRIX, NOTE, FLAG, HALF), 10.0)
PLAIN = Schema((dataclasses.replace(STATE, low=(-9.0,), high=(9.0,)), ACTION, REWARD), 10.0)


def foreign(lengths: tuple[int, ...] = (12, 2, 30, 7), schema: Schema = SCHEMA) -> Dataset:
    return sample(lengths, schema)
