"""Recordings: what was observed, as episodes of signals on one clock.

| file | what | source |
|---|---|---|
| `signal.py` | `SignalSpec`, `Signal`, `Schema`: one time series, and what a recording holds | LeRobot's names |
| `episode.py` | `Episode`: signals aligned on a clock; `Span`: an event that lasts | |
| `dataset.py` | `Dataset`: a lazily read sequence of episodes | |
| `views.py` | signals hidden or left out, metadata added, without copying | |
| `label.py` | `Label`: a cause with interval, source, residual and weight | |
| `windows.py` | `WindowSampler`: short stretches of episodes as batches | |
| `normalizer.py` | `Normalizer`: values to a common scale and exactly back, saved with the model | |
| `mixture.py` | `MixtureSampler`: several sources of windows in one batch, each with its share | |
| `statistics.py` | `statistics`: range, spread, quantiles, recomputed | LeRobot's rules; Chan et al. 1979 |
| `smooth.py`, `smooth_result.py` | `smooth`: positions to velocities and accelerations | |
| `smooth_rts.py`, `smooth_kalman.py` | white jerk to white pop by likelihood; spline | Craven & Wahba 1979 |
| `smooth_settled.py`, `smooth_blocks.py` | their engines: regular clocks; jitter, gaps | Särkkä et al. 2021 |
| `smooth_rotations.py` | the same of quaternions and free bodies | |
| `smooth_filters.py`, `smooth_opensim.py` | Butterworth, Savitzky-Golay; OpenSim's own filter | OpenSim |
| `video.py` | exact frames by timestamp, encoding, joining without re-encoding | PyAV |
| `formats/` | `open_dataset`, `write_dataset`: LeRobot (native), Minari, tables, motion files, ... | formats' owners |

What needs torch (`windows.py`, `mixture.py`, `normalizer.py`) is imported from its own module: this one stays light.
"""

from __future__ import annotations

from invdyn.episodes.dataset import Column, Dataset
from invdyn.episodes.episode import Episode, EpisodeRecord, EpisodeSource, Span
from invdyn.episodes.formats import detect_format, open_dataset, write_dataset
from invdyn.episodes.label import MEASURED, Label, label_specs
from invdyn.episodes.signal import Schema, Signal, SignalSpec, infer_kind
from invdyn.episodes.statistics import Statistics, statistics

__all__ = [
    "MEASURED",
    "Column",
    "Dataset",
    "Episode",
    "EpisodeRecord",
    "EpisodeSource",
    "Label",
    "Schema",
    "Signal",
    "SignalSpec",
    "Span",
    "Statistics",
    "detect_format",
    "infer_kind",
    "label_specs",
    "open_dataset",
    "statistics",
    "write_dataset",
]
