"""Plots: curves in their colours, with gaps, also from several threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from wim_fast.drawing.plots import PLOT_SIZE, line_plot

RED, BLUE = (214, 39, 40), (31, 119, 180)


def plot(y: np.ndarray, **others) -> np.ndarray:
    return line_plot(np.arange(len(y), dtype=float), [("y", y, RED)], "title", "x of $1", "y", **others)


def columns_of(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Where the picture has this colour, from left to right."""
    return np.flatnonzero((np.abs(picture.astype(int) - color).sum(-1) < 60).any(0))


def test_a_curve_runs_from_left_to_right_and_has_gaps() -> None:
    y = np.linspace(1.0, 2.0, 50)
    picture = plot(y)
    assert picture.shape == (PLOT_SIZE[1], PLOT_SIZE[0], 3)
    assert picture.dtype == np.uint8
    whole = columns_of(picture, RED)
    assert np.diff(whole).max() == 1
    assert len(whole) > 0.8 * PLOT_SIZE[0]
    y[20:30] = np.nan
    assert np.diff(columns_of(plot(y), RED)).max() > 0.15 * len(whole)


@pytest.mark.parametrize("y", [np.zeros(5), np.full(5, np.nan), np.ones(1), np.zeros(0)])
def test_what_has_no_extent_is_plotted(y: np.ndarray) -> None:
    assert plot(y, marked=np.zeros(len(y), bool)).shape[2] == 3


def test_marks_lie_on_the_axis() -> None:
    marked = np.arange(50) % 10 == 0
    plain, with_marks = plot(np.ones(50)), plot(np.ones(50), marked=marked)
    differs = (plain != with_marks).any(-1)
    assert 0 < np.ptp(np.flatnonzero(differs.any(1))) < 10  # pixels
    assert (np.diff(np.flatnonzero(differs.any(0))) > 20).sum() == marked.sum() - 1


def test_several_curves_are_named() -> None:
    x = np.arange(10.0)
    curves = [("alpha", x, RED), ("weight", 9 - x, BLUE)]
    picture = line_plot(x, curves, "both", "x", "y")
    assert len(columns_of(picture, RED)) > 300
    assert len(columns_of(picture, BLUE)) > 300


def test_threads_do_not_disturb_each_other() -> None:
    alone = [plot(np.arange(10.0) ** k) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda k: plot(np.arange(10.0) ** (k % 4)), range(16)))
    for k, picture in enumerate(together):
        np.testing.assert_array_equal(picture, alone[k % 4])
