"""Shapes and scales that charts are made of.

A `Plot` is drawn in its own small coordinate system and scaled by the page. Colours are class names, so that
light, dark and print choose their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH, HEIGHT = 440.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 20.0, 34.0, 48.0

Anchor = Literal["start", "middle", "end"]
Place = Callable[[float], float]


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it stands in the drawing, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Shape:
    """A path with the class that colours it."""

    d: str
    look: str


@dataclass(frozen=True)
class Note:
    """Text in the drawing."""

    x: float
    y: float
    text: str
    look: str = ""
    anchor: Anchor = "start"


@dataclass(frozen=True)
class Plot:
    """A chart ready to be drawn."""

    id: str
    title: str
    text: str  # what the chart shows, for those who cannot see it
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    shapes: tuple[Shape, ...]
    notes: tuple[Note, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()  # (look, words)
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM
    caption: str = ""
    domain: tuple[float, float] | None = None  # values at left and right, where the page moves a mark


@dataclass(frozen=True)
class Bar:
    """A horizontal bar: its share of the full width, and the figure printed beside it."""

    label: str
    share: float  # 0 to 1
    figure: str
    look: str = ""
    start: float = 0.0  # where it begins, 0 to 1, for stacked bars


def linear(low: float, high: float, start: float, end: float) -> Place:
    """Scale that maps low..high to start..end.

    Examples
    --------
    >>> linear(0, 10, 100, 200)(5)
    150.0
    """
    width = (high - low) or 1.0
    return lambda value: start + (value - low) / width * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Place:
    """Scale that gives each power of ten the same room; low > 0."""
    place = linear(math.log10(low), math.log10(high), start, end)
    return lambda value: place(math.log10(min(max(value, low), high)))


def round_steps(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """About `count` round numbers (1, 2, 2.5 or 5 times a power of ten) from low to high.

    Examples
    --------
    >>> round_steps(0, 1)
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    >>> round_steps(-3.1, 12.4)
    (0.0, 5.0, 10.0)
    """
    if not high > low:
        return (low,)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(index * step, 12) + 0.0 for index in range(first, last + 1))


def line_path(points: Iterable[tuple[float, float]], x: Place, y: Place) -> str:
    """SVG path through points.

    Examples
    --------
    >>> line_path([(0, 0), (1, 1)], linear(0, 1, 0, 10), linear(0, 1, 20, 0))
    'M0 20L10 0'
    """
    return "".join(
        f"{'M' if index == 0 else 'L'}{short(x(px))} {short(y(py))}" for index, (px, py) in enumerate(points)
    )


def dots_path(points: Iterable[tuple[float, float]], x: Place, y: Place) -> str:
    """SVG path of zero-length strokes, which round line caps turn into dots: far shorter than circles."""
    return "".join(f"M{short(x(px))} {short(y(py))}h0" for px, py in points)


def steps_path(edges: Sequence[float], heights: Sequence[float], x: Place, y: Place, floor: float) -> str:
    """SVG path of the outline of a histogram, closed at the floor."""
    d = f"M{short(x(edges[0]))} {short(floor)}"
    for right, height in zip(edges[1:], heights, strict=True):
        d += f"V{short(y(height))}H{short(x(right))}"
    return d + f"V{short(floor)}Z"


def short(value: float) -> str:
    """One decimal is a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")
