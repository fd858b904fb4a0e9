"""The panel of rendered frames that three figures share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["frame_sheet"]


def frame_sheet(axis: Axes, rows: Mapping[str, Any], count: int, title: str) -> None:
    """Frames [row][column][colour] in 0 .. 255: a labelled row of `count` for every entry."""
    side = len(next(iter(rows.values()))[0])
    pitch = side + 1
    sheet = np.full((len(rows) * pitch + 1, count * pitch + 1, 3), 255, np.uint8)
    for i, frames in enumerate(rows.values()):
        for j, frame in enumerate(frames[:count]):
            sheet[1 + pitch * i : pitch * (i + 1), 1 + pitch * j : pitch * (j + 1)] = frame
    axis.imshow(sheet, interpolation="nearest")
    axis.set_yticks([pitch * i + pitch // 2 for i in range(len(rows))], list(rows), fontsize=8)
    axis.set_xticks([])
    axis.grid(visible=False)
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.set_title(title)
