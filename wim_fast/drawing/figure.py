"""matplotlib figures of an exact size in pixels, drawn by Agg, without pyplot: its state is shared by all threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # matplotlib takes a third of a second to import: only where something is drawn
    from matplotlib.figure import Figure

DPI = 128  # a power of two: pixels / DPI * DPI is exact


def new_figure(width: int, height: int) -> Figure:
    """An empty white figure, in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def points(pixels: float) -> float:
    """Pixels in matplotlib's unit of text sizes and line widths."""
    return pixels * 72.0 / DPI


def drawn(figure: Figure) -> np.ndarray:
    """The picture, (H, W, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
