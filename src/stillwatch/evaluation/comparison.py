"""Teacher and student side by side, once for the page, the card and the terminal."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stillwatch.evaluation.numerals import decimal, duration, figures, percent, signed, size, span
from stillwatch.evaluation.quality import Interval
from stillwatch.evaluation.report import Report


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both; the small print is its 95 % interval, or what it means."""

    group: str
    label: str
    student: str
    teacher: str
    student_note: str = ""
    teacher_note: str = ""


def comparison(report: Report) -> tuple[Line, ...]:
    """Figures that both have, or that one of them has; nothing that neither has."""
    lines = (*_quality_lines(report), *_fidelity_lines(report), *_speed_lines(report), *_size_lines(report))
    return tuple(line for line in lines if (line.student, line.teacher) != ("–", "–"))


def _quality_lines(report: Report) -> list[Line]:
    s, t = report.student_quality, report.teacher_quality
    rows: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
        ("AUROC", "auroc", decimal),
        ("Average precision", "average_precision", decimal),
        ("Anomalies caught at the alarm (recall)", "recall", percent),
        ("Alarms that are right (precision)", "precision", percent),
        ("Normal rows alarmed (false alarms)", "alert_rate", percent),
    )
    lines = []
    for label, name, write in rows:
        pair: list[Interval | None] = [getattr(quality, name, None) for quality in (s, t)]
        shown = [("–", "") if value is None else (write(value.value), span(value, write)) for value in pair]
        lines.append(
            Line(
                group="Quality: agreement with labels",
                label=label,
                student=shown[0][0],
                student_note=shown[0][1],
                teacher=shown[1][0],
                teacher_note=shown[1][1],
            )
        )
    change = report.quality_change
    if change is not None:
        lines += [
            Line(
                group="Quality: agreement with labels",
                label=f"{label}, student minus teacher",
                student=signed(value.value),
                student_note=span(value, signed),
                teacher="–",
            )
            for label, value in (("AUROC", change.auroc), ("Average precision", change.average_precision))
        ]
    return lines


def _fidelity_lines(report: Report) -> list[Line]:
    f = report.fidelity
    if f is None:
        return []
    rows = (
        ("Rank agreement, all rows (Spearman)", decimal(f.spearman)),
        ("Rank agreement, upper half of scores", decimal(f.spearman_upper)),
        ("Shared rows among the highest 1 %", percent(f.top_1_percent)),
        (f"Shared rows among the highest {f.k:,}", percent(f.top_k)),
    )
    return [
        Line(group="Fidelity: agreement with the teacher", label=label, student=value, teacher="–")
        for label, value in rows
    ]


def _speed_lines(report: Report) -> list[Line]:
    s, t = report.student_speed, report.teacher_speed
    rows: tuple[tuple[str, str, Callable[[float], str]], ...] = (
        ("One row, median (p50)", "one_p50_us", duration),
        ("One row, 99 of 100 within (p99)", "one_p99_us", duration),
        ("Batch, rows per second", "rows_per_second", figures),
    )
    lines = []
    for label, name, write in rows:
        shown = ["–" if (v := getattr(speed, name, None)) is None else write(v) for speed in (s, t)]
        lines.append(Line(group="Speed: on this machine", label=label, student=shown[0], teacher=shown[1]))
    return lines


def _size_lines(report: Report) -> list[Line]:
    s = report.student
    if s is None:
        return []
    count = "–" if s.parameters is None else f"{s.parameters:,}"
    return [
        Line(group="Size", label="model.onnx", student=size(s.bytes), teacher="–"),
        Line(group="Size", label="Parameters", student=count, teacher="–"),
    ]
