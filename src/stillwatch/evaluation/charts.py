"""Charts as geometry: figures go in, SVG coordinates come out, and the page's template draws them.

A `Plot` is drawn in its own small coordinate system and scaled by the page. Colours are class names, so that
light, dark and print choose their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from stillwatch.evaluation.numerals import decimal, duration, figures, percent
from stillwatch.evaluation.quality import Quality
from stillwatch.evaluation.report import TrainingCheck
from stillwatch.evaluation.series import Curve, Curves, Histogram, Scatter

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
        f"{'M' if index == 0 else 'L'}{_short(x(px))} {_short(y(py))}"
        for index, (px, py) in enumerate(points)
    )


def dots_path(points: Iterable[tuple[float, float]], x: Place, y: Place) -> str:
    """SVG path of zero-length strokes, which round line caps turn into dots: far shorter than circles."""
    return "".join(f"M{_short(x(px))} {_short(y(py))}h0" for px, py in points)


def steps_path(edges: Sequence[float], heights: Sequence[float], x: Place, y: Place, floor: float) -> str:
    """SVG path of the outline of a histogram, closed at the floor."""
    d = f"M{_short(x(edges[0]))} {_short(floor)}"
    for right, height in zip(edges[1:], heights, strict=True):
        d += f"V{_short(y(height))}H{_short(x(right))}"
    return d + f"V{_short(floor)}Z"


def roc_plot(student: Curves, teacher: Curves | None, quality: Quality) -> Plot:
    """Recall against false-alarm rate; logarithmic, since nobody lets half of all rows alarm."""
    low = 0.8 / max(quality.rows - quality.anomalies, 10)
    x, y = logarithmic(low, 1, LEFT, WIDTH - RIGHT), linear(0, 1, HEIGHT - BOTTOM, TOP)
    chance = [low ** (1 - step / 40) for step in range(41)]
    shapes = [Shape(line_path(zip(chance, chance, strict=True), x, y), "chance")]
    shapes += _pair(student.roc, teacher.roc if teacher else None, x, y)
    set_at = None
    if quality.alert_rate is not None and quality.recall is not None:
        set_at = x(quality.alert_rate.value), y(quality.recall.value)
    return Plot(
        id="roc",
        title="How many anomalies are caught",
        text="ROC curve, false alarms on a logarithmic scale. The higher a line runs, the better. "
        + _reading("At 1 % false alarms", student.roc, teacher.roc if teacher else None, 0.01, "catches"),
        x_label="Normal rows alarmed (logarithmic)",
        y_label="Anomalies caught (recall)",
        x_ticks=tuple(Tick(x(share), percent(share)) for share in _decades(low)),
        y_ticks=_percent_ticks(y),
        shapes=(*shapes, *_operating_shape(set_at)),
        notes=_operating_note(set_at),
        legend=_who(teacher, ("chance", "Guessing")),
    )


def pr_plot(student: Curves, teacher: Curves | None, quality: Quality) -> Plot:
    """Precision against recall, with the share of anomalies as the line of chance."""
    x, y = linear(0, 1, LEFT, WIDTH - RIGHT), linear(0, 1, HEIGHT - BOTTOM, TOP)
    prevalence = quality.anomalies / quality.rows
    shapes = [Shape(line_path([(0, prevalence), (1, prevalence)], x, y), "chance")]
    shapes += _pair(student.pr, teacher.pr if teacher else None, x, y)
    set_at = None
    if quality.precision is not None and quality.recall is not None:
        set_at = x(quality.recall.value), y(quality.precision.value)
    verb = "has a precision of"
    return Plot(
        id="pr",
        title="How many alarms are right",
        text="Precision-recall curve. The nearer a line runs to the upper right corner, the better; guessing "
        f"gives {percent(prevalence)}. "
        + _reading("At half of the anomalies caught", student.pr, teacher.pr if teacher else None, 0.5, verb),
        x_label="Anomalies caught (recall)",
        y_label="Alarms that are right (precision)",
        x_ticks=_percent_ticks(x),
        y_ticks=_percent_ticks(y),
        shapes=(*shapes, *_operating_shape(set_at)),
        notes=_operating_note(set_at),
        legend=_who(teacher, ("chance", "Guessing")),
    )


def scatter_plot(scatter: Scatter) -> Plot:
    """Rows by their place in the teacher's and the student's order, both from the top and logarithmic."""
    low = 0.8 / max(scatter.rows, 10)
    x, y = logarithmic(low, 1, WIDTH - RIGHT, LEFT), logarithmic(low, 1, TOP, HEIGHT - BOTTOM)
    marks = scatter.anomaly or (False,) * len(scatter.student)
    rows = list(zip(scatter.teacher, scatter.student, marks, strict=True))
    shapes = [
        Shape(line_path([(low, low), (1, 1)], x, y), "chance"),
        Shape(dots_path([(t, s) for t, s, anomaly in rows if not anomaly], x, y), "dots normal"),
    ]
    legend = [("dots normal", "Normal row" if scatter.anomaly else "Row")]
    if any(marks):
        shapes.append(Shape(dots_path([(t, s) for t, s, anomaly in rows if anomaly], x, y), "dots anomaly"))
        legend.append(("dots anomaly", "Anomaly"))
    notes: tuple[Note, ...] = ()
    if low < 0.005:
        box = f"M{_short(x(0.01))} {_short(y(low))}V{_short(y(0.01))}H{_short(x(low))}"
        shapes.append(Shape(box, "box"))
        notes = (Note(x(0.01) - 7, y(low) + 12, "highest 1 % of both", "", "end"),)
    return Plot(
        id="ranks",
        title="Each row's place in both orders",
        text="Scatter plot of rows by rank, logarithmic. On the dotted diagonal both agree; upper right are "
        "the rows that both find most abnormal. Below the diagonal the teacher finds a row more abnormal "
        "than the student does, above it the student.",
        x_label="Among the teacher's highest …",
        y_label="Among the student's highest …",
        x_ticks=tuple(Tick(x(share), percent(share)) for share in _decades(low)),
        y_ticks=tuple(Tick(y(share), percent(share)) for share in _decades(low)),
        shapes=tuple(shapes),
        notes=notes,
        legend=(*legend, ("chance", "Same place")),
        caption=f"{len(rows):,} of {scatter.rows:,} rows, chosen more densely towards the top."
        if len(rows) < scatter.rows
        else "",
    )


def histogram_plot(histogram: Histogram, threshold: float | None) -> Plot:
    """Spread of the student's scores by class, with the score that raises an alarm."""
    edges = histogram.edges
    normal, anomaly = (_shares(counts) for counts in (histogram.normal, histogram.anomaly))
    top = max((*normal, *anomaly, 1e-9)) * 1.08
    x, y = linear(edges[0], edges[-1], LEFT, WIDTH - RIGHT), linear(0, top, HEIGHT - BOTTOM, TOP)
    floor = HEIGHT - BOTTOM
    labelled = bool(histogram.anomaly)
    shapes = [Shape(steps_path(edges, normal, x, y, floor), "area normal")]
    legend = [("area normal", "Normal rows" if labelled else "All rows")]
    if any(histogram.anomaly):
        shapes.append(Shape(steps_path(edges, anomaly, x, y, floor), "area anomaly"))
        legend.append(("area anomaly", "Anomalies"))
    notes: list[Note] = []
    if threshold is not None and edges[0] <= threshold <= edges[-1]:
        at = x(threshold)
        shapes.append(Shape(f"M{_short(at)} {_short(TOP)}V{_short(floor)}", "threshold"))
        late = at > WIDTH * 0.62
        notes.append(
            Note(at + (-6 if late else 6), TOP + 11, "Alarm from here", "strong", "end" if late else "start")
        )
    return Plot(
        id="scores",
        title="How the student's scores spread",
        text="Histogram of student scores"
        + (", normal rows and anomalies apart" if labelled else "")
        + ". "
        + (
            "Each class is drawn as shares of itself, so that rare anomalies can be seen. "
            if labelled
            else ""
        )
        + (f"An alarm is raised from a score of {threshold:.4g}." if threshold is not None else ""),
        x_label="Score of the student (higher = more abnormal)",
        y_label="Share of its class" if labelled else "Share of rows",
        x_ticks=tuple(Tick(x(value), _number(value)) for value in round_steps(edges[0], edges[-1])),
        y_ticks=tuple(Tick(y(value), percent(value)) for value in round_steps(0, top, 4)),
        shapes=tuple(shapes),
        notes=tuple(notes),
        legend=tuple(legend),
        caption="The outermost bars hold everything beyond the edges as well.",
    )


def training_plot(checks: Sequence[TrainingCheck]) -> Plot:
    """Rank agreement on held-out rows by step of training."""
    best = max(checks, key=lambda check: check.spearman)
    lowest = min(check.spearman for check in checks)
    low = (
        max(-1.0, math.floor((lowest - 1e-9) * 20) / 20) if lowest < 0.95 else math.floor(lowest * 100) / 100
    )
    last = max(check.step for check in checks)
    first = min(check.step for check in checks)
    x = linear(first, max(last, first + 1), LEFT, WIDTH - RIGHT)
    y = linear(low, 1, HEIGHT - BOTTOM, TOP)
    at = x(best.step), y(best.spearman)
    late = at[0] > WIDTH * 0.6
    return Plot(
        id="checks",
        title="Agreement while the student learnt",
        text=f"Line of rank agreement with the teacher on held-out rows by step. It starts at "
        f"{decimal(checks[0].spearman)} and is highest at step {best.step} with {decimal(best.spearman)}.",
        x_label="Step",
        y_label="Rank agreement, held-out rows",
        x_ticks=tuple(
            Tick(x(value), f"{value:.0f}")
            for value in round_steps(first, max(last, first + 1))
            if value == int(value)
        ),
        y_ticks=tuple(Tick(y(value), f"{value:.2f}") for value in round_steps(low, 1, 4)),
        shapes=(
            Shape(line_path([(check.step, check.spearman) for check in checks], x, y), "line student"),
            Shape(dots_path([(best.step, best.spearman)], x, y), "dots best"),
        ),
        notes=(
            Note(
                at[0] + (-4 if late else 4),
                at[1] - 14 if at[1] - TOP > 30 else at[1] + 30,
                f"{decimal(best.spearman)} at step {best.step}",
                "strong",
                "end" if late else "start",
            ),
        ),
    )


def log_bars(rows: Sequence[tuple[str, float, str]], write: Callable[[float], str]) -> tuple[Bar, ...]:
    """Bars on a logarithmic scale; the smallest still shows.

    Parameters
    ----------
    rows
        (label, value > 0, look).
    write
        How a value is printed.
    """
    logs = [math.log10(max(value, 1e-12)) for _, value, _ in rows]
    low = math.floor(min(logs) - 0.3)
    width = max(max(logs) - low, 1.0)
    return tuple(
        Bar(label, (at - low) / width, write(value), look)
        for (label, value, look), at in zip(rows, logs, strict=True)
    )


def share_bars(rows: Sequence[tuple[str, float]], look: str = "student") -> tuple[Bar, ...]:
    """Bars as shares of the largest, each with its number and its share of the whole."""
    total, most = sum(value for _, value in rows) or 1, max((value for _, value in rows), default=1) or 1
    return tuple(
        Bar(label, value / most, f"{value:,.0f} · {percent(value / total)}", look) for label, value in rows
    )


def stacked_bars(rows: Sequence[tuple[str, float]], write: Callable[[float], str]) -> tuple[Bar, ...]:
    """Parts of one bar, side by side, in the order given."""
    total = sum(value for _, value in rows) or 1.0
    bars, start = [], 0.0
    for index, (label, value) in enumerate(rows):
        bars.append(Bar(label, value / total, write(value), f"part{index % 8}", start))
        start += value / total
    return tuple(bars)


def _pair(student: Curve, teacher: Curve | None, x: Place, y: Place) -> list[Shape]:
    """Draw the teacher first, so that the student lies on top."""
    lines = (
        []
        if teacher is None
        else [Shape(line_path(zip(teacher.x, teacher.y, strict=True), x, y), "line teacher")]
    )
    return [*lines, Shape(line_path(zip(student.x, student.y, strict=True), x, y), "line student")]


def _who(teacher: object, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("line student", "Student"), *((("line teacher", "Teacher"),) if teacher else ()), *more)


def _reading(where: str, student: Curve, teacher: Curve | None, at: float, verb: str) -> str:
    text = f"{where} the student {verb} {percent(_value_at(student, at))}"
    return text + (f", the teacher {percent(_value_at(teacher, at))}." if teacher else ".")


def _value_at(curve: Curve, at: float) -> float:
    """Height of a curve at x, read to the left, since a threshold between two points is not on offer."""
    return next((y for x, y in zip(reversed(curve.x), reversed(curve.y), strict=True) if x <= at), 0.0)


def _operating_shape(at: tuple[float, float] | None) -> tuple[Shape, ...]:
    return () if at is None else (Shape(f"M{_short(at[0])} {_short(at[1])}h0", "dots best"),)


def _operating_note(at: tuple[float, float] | None) -> tuple[Note, ...]:
    """Words beside the alarm that is set, on the side where the lines leave room."""
    if at is None:
        return ()
    late = at[0] > WIDTH * 0.62
    return (
        Note(
            at[0] + (-10 if late else 10),
            at[1] + (16 if late else 18),
            "alarm as set",
            "strong",
            "end" if late else "start",
        ),
    )


def _decades(low: float) -> tuple[float, ...]:
    """Powers of ten from low to 1."""
    return tuple(10.0**-power for power in range(math.floor(-math.log10(low) + 1e-9), -1, -1))


def _percent_ticks(place: Place) -> tuple[Tick, ...]:
    return tuple(Tick(place(value), percent(value)) for value in (0, 0.2, 0.4, 0.6, 0.8, 1.0))


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    total = sum(counts) or 1
    return tuple(count / total for count in counts)


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _short(value: float) -> str:
    """One decimal is a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def microseconds(value: float) -> str:
    """Write a bar's microseconds."""
    return duration(value)


def rate(value: float) -> str:
    """Write a bar's rows per second."""
    return f"{figures(value)} rows/s"
