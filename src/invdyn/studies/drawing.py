"""Figures without global state or a display."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREEN", "GREY", "INK", "ORANGE", "PURPLE", "SKY", "digit_sheet", "painted", "panels"]

# Okabe-Ito: told apart by colour-blind readers.
INK, BLUE, ORANGE, GREEN, GREY = "#222222", "#0072B2", "#D55E00", "#009E73", "#999999"
SKY, PURPLE = "#56B4E9", "#CC79A7"


def panels(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, np.ndarray]:
    """A figure of rows x columns axes (inches), made without pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def painted(painters: Sequence[Callable[[Axes], None]], width: float, height: float, columns: int) -> Figure:
    """A figure with a panel (inches) for every painter, at most `columns` beside each other; the rest stays empty."""
    columns = min(columns, max(1, len(painters)))
    rows = -(-max(1, len(painters)) // columns)
    figure, axes = panels(width * columns, height * rows, rows, columns)
    for axis, paint in zip(axes.ravel(), painters):
        paint(axis)
    for axis in axes.ravel()[len(painters) :]:
        axis.set_axis_off()
    return figure


def digit_sheet(axis: Axes, rows: Mapping[str, Any], count: int, title: str) -> None:
    """Digits of 8 x 8 pixels in [-1, 1]: a labelled row of `count` for every entry."""
    sheet = np.ones((len(rows) * 9 + 1, count * 9 + 1))
    for i, images in enumerate(rows.values()):
        for j, image in enumerate(np.array(images)[:count]):
            sheet[1 + 9 * i : 9 + 9 * i, 1 + 9 * j : 9 + 9 * j] = image.reshape(8, 8)
    axis.imshow(sheet, cmap="gray_r", vmin=-1, vmax=1)
    axis.set_yticks([5 + 9 * i for i in range(len(rows))], list(rows), fontsize=8)
    axis.set_xticks([])
    axis.grid(visible=False)
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.set_title(title)
