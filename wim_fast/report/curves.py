"""Curves as SVG that takes its colours from the page: text can be selected, and nothing is blurred in print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from wim_fast.report.course import thinned
from wim_fast.report.markup import Markup, element

LARGE, SMALL = (560, 300), (370, 190)  # pixels
LEFT, TOP, RIGHT, BOTTOM = 54, 10, 14, 38
MOST_POINTS = 240  # of a curve
COLORS = 8  # that the page has for curves; those after them are dashed
DASHES = ("none", "6 3", "2 3")


class Curve(NamedTuple):
    """A line of a chart; `number` says its colour, the same in all charts."""

    name: str
    number: int
    x: np.ndarray  # (N,)
    y: np.ndarray  # (N,) NaN leaves points out


def chart(
    title: str,
    curves: Sequence[Curve],
    x_label: str,
    size: tuple[int, int] = LARGE,
    logarithmic: bool = False,
) -> Markup:
    """A figure with its title; no picture where there is nothing to draw.

    Args:
        logarithmic: y by powers of ten; what is not above 0 is left out.
    """
    shown = [drawable(curve, logarithmic) for curve in curves]
    shown = [curve for curve in shown if len(curve.x)]
    if not shown:
        return Markup()
    width, height = size
    x_axis = Axis.linear([c.x for c in shown], LEFT, width - RIGHT, from_zero=True)
    make = Axis.logarithmic if logarithmic else Axis.linear
    y_axis = make([c.y for c in shown], height - BOTTOM, TOP)
    drawing = element(
        "svg",
        *grid_lines(x_axis, y_axis, size),
        element("text", x_label, x=(LEFT + width - RIGHT) / 2, y=height - 4, class_="label"),
        *(path(curve, x_axis, y_axis) for curve in shown),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=spoken(title, x_label, shown),
    )
    return element("figure", element("figcaption", title), drawing, class_="chart")


def drawable(curve: Curve, logarithmic: bool) -> Curve:
    """The curve with fewer points, and none that an axis has no place for."""
    y = np.where(curve.y > 0, curve.y, np.nan) if logarithmic else curve.y
    x, y = thinned(curve.x, y, MOST_POINTS)
    return curve._replace(x=x, y=y)


class Axis(NamedTuple):
    """Values from `low` to `high` between the pixels `start` and `end`; logarithmic ones as powers of ten."""

    low: float
    high: float
    start: float
    end: float
    ticks: list[tuple[float, str]]  # (value, how it is written)
    is_log: bool = False

    @classmethod
    def linear(cls, values: Sequence[np.ndarray], start: float, end: float, from_zero: bool = False) -> Axis:
        """Up to whole ticks."""
        low, high = span(values)
        low = 0.0 if from_zero else low
        step = nice_step(high - low)
        low, top = math.floor(low / step), math.ceil(high / step)
        ticks = [(k * step, f"{k * step:g}") for k in range(low, top + 1)]
        return cls(low * step, high if from_zero else top * step, start, end, ticks)

    @classmethod
    def logarithmic(cls, values: Sequence[np.ndarray], start: float, end: float) -> Axis:
        """Ticks at powers of ten; within one of them at round numbers."""
        low, high = span([np.log10(y) for y in values])
        if high - low < 1:
            step = nice_step(10**high - 10**low)
            numbers = [k * step for k in range(1, math.ceil(10**high / step))]
            ticks = [(math.log10(value), f"{value:g}") for value in numbers]
        else:
            powers = range(math.ceil(low), math.ceil(high), max(1, round((high - low) / 5)))
            ticks = [(float(k), power_of_ten(k)) for k in powers]
            if high - low < 2:
                threes = [3 * 10.0**k for k in range(math.floor(low), math.ceil(high))]
                ticks += [(math.log10(value), f"{value:g}") for value in threes]
        return cls(low, high, start, end, ticks, is_log=True)

    def at(self, value: float) -> float:
        """Pixels."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def shown_ticks(self) -> Iterator[tuple[float, str]]:
        """(pixels, how it is written)"""
        for value, text in self.ticks:
            if self.low - 1e-9 <= value <= self.high + 1e-9:
                yield self.at(value), text


def span(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """The least and the greatest, never the same."""
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return (low, high) if high > low else (low - room, high + room)


def nice_step(length: float) -> float:
    """1, 2 or 5 times a power of ten: about five of them in a length."""
    scale = 10.0 ** math.floor(math.log10(length / 5))
    return next(k * scale for k in (1, 2, 5, 10) if k * scale >= length / 5.001)


def power_of_ten(exponent: int) -> str:
    """As a plain number where that is short."""
    if -4 <= exponent <= 4:
        return f"{10.0**exponent:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def grid_lines(x_axis: Axis, y_axis: Axis, size: tuple[int, int]) -> Iterator[Markup]:
    """Lines across at the ticks of y, and the numbers at both axes."""
    width, height = size
    for y, text in y_axis.shown_ticks():
        yield element("line", x1=LEFT, x2=width - RIGHT, y1=y, y2=y, class_="grid")
        yield element("text", text, x=LEFT - 6, y=y + 4, class_="y tick")
    base = height - BOTTOM
    yield element("line", x1=LEFT, x2=width - RIGHT, y1=base, y2=base, class_="axis")
    for x, text in x_axis.shown_ticks():
        yield element("line", x1=x, x2=x, y1=base, y2=base + 4, class_="axis")
        yield element("text", text, x=x, y=base + 16, class_="x tick")


def path(curve: Curve, x_axis: Axis, y_axis: Axis) -> Markup:
    """A curve; its name is shown under the mouse."""
    heights = np.log10(curve.y) if y_axis.is_log else curve.y
    points = " ".join(f"{x_axis.at(x)},{y_axis.at(y)}" for x, y in zip(curve.x, heights, strict=True))
    return element("polyline", element("title", curve.name), points=points, **stroke(curve.number))


def stroke(number: int) -> dict[str, str]:
    """How the curves of a run are drawn."""
    dashes = DASHES[number // COLORS % len(DASHES)]
    return {"class_": f"curve c{number % COLORS}", "stroke_dasharray": dashes}


def spoken(title: str, x_label: str, curves: Sequence[Curve]) -> str:
    """A chart for those who do not see it."""
    told = (f"{c.name} from {c.y[0]:.4g} to {c.y[-1]:.4g}" for c in curves)
    return f"{title} over {x_label}: {'; '.join(told)}"


def legend(names: Sequence[str]) -> Markup:
    """Which line is which run."""
    entries = (element("li", swatch(number), name) for number, name in enumerate(names))
    return element("ul", *entries, class_="legend")


def swatch(number: int) -> Markup:
    """A piece of a run's line."""
    line = element("line", x1=1, x2=23, y1=5, y2=5, **stroke(number))
    return element("svg", line, viewBox="0 0 24 10", class_="swatch", aria_hidden="true")
