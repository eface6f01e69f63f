"""Charts as geometry: figures go in, SVG coordinates come out, and the page's template draws them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from stillwatch.evaluation.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Bar,
    Note,
    Place,
    Plot,
    Shape,
    Tick,
    dots_path,
    line_path,
    linear,
    logarithmic,
    round_steps,
    short,
    steps_path,
)
from stillwatch.evaluation.numerals import decimal, duration, figures, percent, size
from stillwatch.evaluation.quality import Interval, Quality
from stillwatch.evaluation.report import TrainingCheck
from stillwatch.evaluation.series import Curve, Curves, Histogram, Scatter


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
        box = f"M{short(x(0.01))} {short(y(low))}V{short(y(0.01))}H{short(x(low))}"
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


def overlap_plot(overlap: Curve, rows: int) -> Plot:
    """Rows that the two lists of the highest have in common, by the length of the lists."""
    low = min(overlap.x[0], 0.5)
    x, y = logarithmic(low, 1, LEFT, WIDTH - RIGHT), linear(0, 1, HEIGHT - BOTTOM, TOP)
    chance = [low ** (1 - step / 40) for step in range(41)]
    points = list(zip(overlap.x, overlap.y, strict=True))
    at = min(points, key=lambda point: abs(math.log(point[0] / 0.01))) if low < 0.02 else points[0]
    shapes = [
        Shape(line_path(zip(chance, chance, strict=True), x, y), "chance"),
        Shape(line_path(points, x, y), "line student"),
        Shape(dots_path([at], x, y), "dots best"),
    ]
    return Plot(
        id="overlap",
        title="Rows that both would send you first",
        text="Line of the share of rows that the student's and the teacher's lists of highest rows have in common, by the "
        f"length of the lists. Of the highest {percent(at[0])} ({round(at[0] * rows):,} rows) they share {percent(at[1])}.",
        x_label="Length of the list, share of rows (logarithmic)",
        y_label="In both lists",
        x_ticks=tuple(Tick(x(share), percent(share)) for share in _decades(low)),
        y_ticks=_percent_ticks(y),
        shapes=tuple(shapes),
        notes=(
            Note(
                x(at[0]) + 10,
                y(at[1]) + (24 if at[1] > 0.5 else -12),
                f"{percent(at[1])} of the highest {percent(at[0])}",
                "strong",
            ),
        ),
        legend=(("line student", "In common"), ("chance", "By chance")),
    )


def intervals_plot(student: Quality, teacher: Quality | None) -> Plot:
    """Figures of both with their 95 % intervals, a line for each."""
    names = (
        ("AUROC", "auroc"),
        ("Average precision", "average_precision"),
        ("Anomalies caught", "recall"),
        ("Alarms that are right", "precision"),
    )
    rows: list[tuple[str, Interval, Interval | None]] = [
        (label, value, getattr(teacher, name, None))
        for label, name in names
        if (value := getattr(student, name)) is not None
    ]
    height, left = 70.0 + 52 * len(rows), 150.0
    lows = [value.low for _, *pair in rows for value in pair if value is not None]
    x = linear(low := math.floor(min(lows) * 10) / 10, 1, left, WIDTH - RIGHT)
    shapes: list[Shape] = []
    for at, (_, own, other) in enumerate(rows):
        middle = 24.0 + 52 * at
        for value, look, shift in ((own, "student", -7 if other else 0), (other, "teacher", 7)):
            if value is not None:
                y = middle + shift
                shapes.append(
                    Shape(f"M{short(x(value.low))} {short(y)}H{short(x(value.high))}", f"whisker {look}")
                )
                shapes.append(Shape(f"M{short(x(value.value))} {short(y)}h0", f"dots {look}"))
    told = "; ".join(
        f"{label}: student {decimal(own.value)}" + (f", teacher {decimal(other.value)}" if other else "")
        for label, own, other in rows
    )
    return Plot(
        id="intervals",
        title="Student and teacher, as far as chance allows to tell",
        text=f"Dots with 95 % intervals. {told}.",
        x_label="1 is perfect",
        y_label="",
        x_ticks=tuple(Tick(x(value), f"{value:g}") for value in round_steps(low, 1)),
        y_ticks=tuple(Tick(24.0 + 52 * at, row[0]) for at, row in enumerate(rows)),
        shapes=tuple(shapes),
        legend=(("dots student", "Student"), *((("dots teacher", "Teacher"),) if teacher else ())),
        caption="A bar is the range in which the figure would fall for 95 of 100 samples like this one.",
        height=height,
        left=left,
        bottom=height - BOTTOM,
        top=14,
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
        shapes.append(Shape(f"M{short(at)} {short(TOP)}V{short(floor)}", "threshold"))
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
        domain=(edges[0], edges[-1]),
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
        y_ticks=tuple(Tick(y(value), f"{value:.3g}") for value in round_steps(low, 1, 4)),
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
    return () if at is None else (Shape(f"M{short(at[0])} {short(at[1])}h0", "dots best"),)


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


def microseconds(value: float) -> str:
    """Write a bar's microseconds."""
    return duration(value)


def rate(value: float) -> str:
    """Write a bar's rows per second."""
    return f"{figures(value)} rows/s"


def weight(value: float) -> str:
    """Write a bar's bytes."""
    return size(round(value))
