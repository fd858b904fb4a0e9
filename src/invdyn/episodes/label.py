"""`Label`: an inferred or measured cause with its interval, source, replay residual and weight."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.errors import SignalError

__all__ = ["MEASURED", "Label", "label_specs"]

MEASURED = "measured"


def label_specs(target: SignalSpec) -> dict[str, SignalSpec]:
    """The columns that stand beside a labelled signal: `label.<name>.lower, .upper, .source, .residual, .weight`.

    They do not begin with the signal's own name because LeRobot takes every feature that starts with
    `action` for an output of the policy (formats.md 1.3).
    """
    base = f"label.{target.name}"
    # Classes and counts get real-numbered ends, so that an end can be missing.
    dtype = target.dtype if target.numpy_dtype.kind == "f" else "float32"
    like = replace(target, kind="state", low=None, high=None, dtype=dtype)
    return {
        "lower": replace(like, name=f"{base}.lower"),
        "upper": replace(like, name=f"{base}.upper"),
        "source": SignalSpec(f"{base}.source", (), "string", "text"),
        "residual": SignalSpec(f"{base}.residual", (), "float32", "state"),
        "weight": SignalSpec(f"{base}.weight", (), "float32", "state"),
    }


@dataclass(frozen=True)
class Label:
    """The cause at every step of one episode.

    Args:
        value: [time, cause] in the unit of the target signal; NaN where there is none.
        lower, upper: [time, cause] ends of the interval at the stated coverage; equal to `value` where measured,
            NaN where no calibration was made.
        source: [time] `measured`, `inferred:<model id>` or `` (no cause, e.g. the last step).
        residual: [time] distance between the recorded next state and the replayed one, in one-step scales; NaN where
            not replayed.
        weight: [time] confidence in [0, 1]: 1 where measured, 0 where there is no cause.
    """

    value: Float[np.ndarray, time * cause]
    lower: Float[np.ndarray, time * cause]
    upper: Float[np.ndarray, time * cause]
    source: np.ndarray
    residual: Float[np.ndarray, " time"]
    weight: Float[np.ndarray, " time"]

    def signals(self, target: SignalSpec) -> list[Signal]:
        """The label as signals: the value under the target's own name, the rest as `label.<name>.*`."""
        columns = label_specs(target)
        present = np.array([bool(s) for s in self.source])
        valid = None if present.all() else present
        dtype = target.numpy_dtype
        named = {"lower": self.lower, "upper": self.upper, "residual": self.residual, "weight": self.weight}
        value = self.value if dtype.kind == "f" else np.nan_to_num(self.value)  # a missing class is masked
        signals = [Signal(target, value.astype(dtype), valid), Signal(columns["source"], self.source.astype(object))]
        for part, values in named.items():
            values = values.astype(columns[part].numpy_dtype)
            known = np.isfinite(values).reshape(len(values), -1).all(1)
            signals.append(Signal(columns[part], values, None if known.all() else known))
        return signals

    @classmethod
    def of(cls, episode: Episode, target: str) -> Label:
        """The label of an episode; an unlabelled recording gives `measured` where the target has values.

        Raises:
            SignalError: label columns that are there only in part.
        """
        spec = episode.schema[target]
        shape = (episode.length, *spec.shape)
        nothing = np.full(shape, np.nan)
        value = np.array(episode[target].values, float) if target in episode else nothing
        mask = episode[target].mask if target in episode else np.zeros(episode.length, bool)
        columns = {part: s.name for part, s in label_specs(spec).items()}
        there = [name for name in columns.values() if name in episode]
        if there and columns["source"] not in there:
            raise SignalError(
                f"episode {episode.index} has {there[0]!r} but not {columns['source']!r}. Label it again."
            )
        if not there:
            source = np.where(mask, MEASURED, "").astype(object)
            whole = np.where(mask.reshape(-1, *[1] * len(spec.shape)), value, np.nan)
            return cls(value, whole, whole, source, np.full(episode.length, np.nan), mask.astype(float))

        def column(part: str, empty: np.ndarray) -> np.ndarray:
            return np.array(episode[columns[part]].values, float) if columns[part] in episode else empty

        flat = np.full(episode.length, np.nan)
        source = np.asarray(episode[columns["source"]].values, object)
        return cls(
            value,
            column("lower", nothing),
            column("upper", nothing),
            source,
            column("residual", flat),
            column("weight", flat),
        )
