"""Plots of curves, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wim_fast.drawing.figure import drawn, new_figure, points

PLOT_SIZE = (720, 360)
MARGINS = (
    78,
    34,
    20,
    48,
)  # pixels: left, top, right, bottom; always the same, so that stacked plots share their x
TEXT, SMALL_TEXT = 14.0, 12.0  # pixels
INK = "#3c3c3c"


def line_plot(
    x: np.ndarray,
    curves: Sequence[tuple[str, np.ndarray, tuple[int, int, int]]],
    title: str,
    x_label: str,
    y_label: str,
    marked: np.ndarray | None = None,
    floor: float | None = None,
) -> np.ndarray:
    """(H, W, 3) uint8: curves (name, values (N,), colour) over x (N,); NaN leaves gaps.

    `marked`: (N,) bool, x that get a dot on the axis. `floor`: y on a logarithmic axis, which begins there; what is less
    is drawn there. Where x are whole numbers, so are its ticks.
    """
    (width, height), (left, top, right, bottom) = PLOT_SIZE, MARGINS
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(width, height)
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    )
    axes.grid(color="#e1e1e1", linewidth=points(1))
    if floor is None:
        axes.axhline(0, color="#787878", linewidth=points(1))
    else:
        axes.set_yscale("log")
        axes.set_ylim(floor, max(10 * floor, 2 * max(float(np.nanmax(y)) for _, y, _ in curves)))
    if (x == np.round(x)).all():
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for name, y, color in curves:
        y = y if floor is None else np.maximum(y, floor)
        axes.plot(x, y, color=np.array(color) / 255, linewidth=points(2), label=name)
    if marked is not None:
        on_axis = np.zeros(int(marked.sum()))
        axes.plot(x[marked], on_axis, "o", color="black", markersize=points(4), zorder=3, clip_on=False)
    axes.set_title(title, fontsize=points(TEXT), parse_math=False)
    axes.set_xlabel(x_label, fontsize=points(SMALL_TEXT), color=INK, parse_math=False)
    axes.set_ylabel(y_label, fontsize=points(SMALL_TEXT), color=INK, parse_math=False)
    axes.tick_params(labelsize=points(SMALL_TEXT), labelcolor=INK, length=0)
    axes.yaxis.get_offset_text().set_fontsize(points(SMALL_TEXT))
    axes.spines[:].set_visible(False)
    axes.margins(x=0)
    if len(curves) > 1:
        axes.legend(fontsize=points(SMALL_TEXT), frameon=False)
    return drawn(figure)
