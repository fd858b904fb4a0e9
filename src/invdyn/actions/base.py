"""`InverseModel`: a window of observations in, a distribution over the cause at its centre out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import nn

from invdyn.episodes.signal import SignalSpec
from invdyn.episodes.windows import Window, WindowBatch
from invdyn.nn.distributions import CauseDistribution

__all__ = ["InverseModel"]


class InverseModel(nn.Module):
    """The interface every inverse dynamics model has.

    Attributes:
        inputs: names of the signals it looks at.
        target: spec of the cause it returns.
        window: which steps it looks at, declared in steps around the centre.
    """

    inputs: Sequence[str]
    target: SignalSpec
    window: Window

    @abstractmethod
    def infer(self, batch: WindowBatch) -> CauseDistribution:
        """The cause at the centre of each window, in the target's own unit.

        Steps outside the episode are marked by `batch.mask`; whatever stands in them must not matter.
        """

    @property
    def model_id(self) -> str:
        """Short name that stands in `label.<name>.source` as `inferred:<model id>`."""
        return type(self).__name__
