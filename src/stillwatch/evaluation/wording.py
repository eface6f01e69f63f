"""Figures in words: what they say to a reader, and which judgement they earn.

The limits that turn a figure into "good", "acceptable" or "poor" stand here and nowhere else.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from stillwatch.evaluation.numerals import decimal, duration, figures, percent, size, span
from stillwatch.evaluation.report import Report

Judgement = Literal["good", "acceptable", "poor"]
Grade = Literal["good", "acceptable", "poor", "unknown", "plain"]  # plain: a fact, with nothing to judge

# (good, acceptable): at least so high; below the second is poor.
AGREEMENT = (0.95, 0.85)  # Spearman of student and teacher
TOP_AGREEMENT = (0.80, 0.60)  # overlap of the highest 1 %, where that is enough rows to judge by
TOP_ROWS = 10
DETECTION = (0.90, 0.75)  # AUROC against labels
# (good, acceptable): at most so high; above the second is poor.
LOSS = (0.01, 0.03)  # AUROC that the student loses against its teacher
ALARM_EXCESS = (1.25, 2.0)  # false-alarm rate seen, as a multiple of the rate asked
SLOWDOWN = (0.67, 1.25)  # time for one row, as a multiple of the teacher's


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the summary: a question, a figure, a judgement and a sentence."""

    question: str
    figure: str
    unit: str
    grade: Grade
    text: str


def findings(report: Report) -> tuple[Finding, ...]:
    """Answer the questions that a reader has, in the order of their weight."""
    found = (_agreement(report), _detection(report), _alarms(report), _speed(report), _size(report))
    return tuple(finding for finding in found if finding is not None)


def verdict(report: Report) -> str:
    """Sum the findings up in two or three sentences for a reader who does not know the method."""
    sentences, alarms = (
        [_stand_in(report), _detection_verdict(report), *_in_practice(report)],
        _alarms(report),
    )
    if alarms is not None and alarms.grade == "poor":
        sentences.append("It raises more false alarms than were asked for.")
    return " ".join(sentences)


def change_words(report: Report) -> str:
    """Say whether student and teacher differ by more than chance would explain; "" where it was not measured."""
    change = report.quality_change
    if change is None:
        return ""
    lower = [v for v in (change.auroc, change.average_precision) if v.high < 0]
    higher = [v for v in (change.auroc, change.average_precision) if v.low > 0]
    if lower and not higher:
        return (
            "The student is a little poorer than its teacher, and not by chance."
            if all(v.value > -LOSS[1] for v in lower)
            else "The student is poorer than its teacher, and not by chance."
        )
    if higher and not lower:
        return "The student does better than its teacher here, and not by chance."
    return "Chance alone could explain differences of this size."


def grade_rules() -> tuple[tuple[str, str, str], ...]:
    """Say which figure earns which word: (figure, limit for good, limit for acceptable)."""

    def rule(what: str, limits: tuple[float, float], form: str) -> tuple[str, str, str]:
        good, acceptable = (form.format(limit).replace("%", " %") for limit in limits)
        return what, good, acceptable

    return (
        rule("Rank agreement with the teacher", AGREEMENT, "at least {:g}"),
        rule("Shared rows among the highest 1 %", TOP_AGREEMENT, "at least {:.0%}"),
        rule("AUROC against the labels", DETECTION, "at least {:g}"),
        rule("AUROC lost against the teacher", LOSS, "at most {:g}"),
        rule("False alarms, chance allowed for", ALARM_EXCESS, "at most {:g} times the share asked for"),
        rule("Time for one row", SLOWDOWN, "at most {:g} times the teacher's"),
    )


def _stand_in(report: Report) -> str:
    agreement = _agreement(report)
    teacher = "its teacher"
    if report.teacher is not None:
        teacher = f"the heavy detector that it learnt from (its teacher, {report.teacher.name})"
    text = {
        "good": f"This model is a faithful stand-in for {teacher}",
        "acceptable": f"This model follows {teacher} on the whole, with visible differences",
        "poor": f"This model does not follow {teacher} closely enough to stand in for it",
    }.get(agreement.grade if agreement else "", f"This model was distilled from {teacher}")
    gain = _gain(report)
    if gain is not None and gain >= 1.5:
        return f"{text}, and scores a row {figures(gain)} times faster."
    if gain is not None and 1 / gain > SLOWDOWN[1]:
        return f"{text}, and scores a row {figures(1 / gain)} times slower."
    return f"{text}."


def _detection_verdict(report: Report) -> str:
    s, t = report.student_quality, report.teacher_quality
    if s is None:
        return "Whether its alarms are the right ones is not known: that takes labelled rows of both kinds."
    text = {
        "good": "Against the labels it separates anomalies from normal rows well",
        "acceptable": "Against the labels it separates anomalies from normal rows, but not fully",
        "poor": "Against the labels it does poorly: do not rely on it yet",
    }[at_least(s.auroc.value, DETECTION)]
    if t is not None and t.auroc.value - s.auroc.value > LOSS[0]:
        text += ", and less well than its teacher"
    return f"{text}."


def _in_practice(report: Report) -> tuple[str, ...]:
    """What the alarm that is set found among the labelled rows; nothing where there are none."""
    q, c = report.student_quality, report.calibration
    if q is None or c is None or q.recall is None:
        return ()
    found = f"With {percent(c.alert_rate)} of normal rows allowed to raise an alarm, it caught {percent(q.recall.value)} of the "
    if q.precision is None:
        return (f"{found}anomalies, and raised no alarm at all.",)
    return (f"{found}anomalies, and {percent(q.precision.value)} of its alarms were right.",)


def _agreement(report: Report) -> Finding | None:
    f = report.fidelity
    if f is None:
        return None
    grade, top = at_least(f.spearman, AGREEMENT), math.ceil(f.rows / 100)
    if top >= TOP_ROWS:
        grade = worse(grade, at_least(f.top_1_percent, TOP_AGREEMENT))
    verb = {"good": "ranks rows almost", "acceptable": "ranks rows roughly", "poor": "does not rank rows"}[
        grade
    ]
    upper = (
        "" if f.spearman_upper is None else f", {decimal(f.spearman_upper)} within the teacher's upper half"
    )
    return Finding(
        question="Does it agree with its teacher?",
        figure=decimal(f.spearman),
        unit="rank agreement; 1 means the same order",
        grade=grade,
        text=f"The student {verb} as its teacher does: rank agreement {decimal(f.spearman)} on "
        f"{f.rows:,} rows{upper}. Of the {top:,} that the teacher ranks highest (1 %), the student has "
        f"{percent(f.top_1_percent)} among its own highest {top:,}.",
    )


def _detection(report: Report) -> Finding:
    s, t = report.student_quality, report.teacher_quality
    question = "Does it find the anomalies?"
    if s is None:
        note = report.quality_note or "No labels were given, so agreement with labels is unknown."
        return Finding(
            question=question,
            figure="Not known",
            unit="needs labelled rows of both kinds",
            grade="unknown",
            text=f"{note} Agreement with the teacher does not tell whether the teacher is right.",
        )
    chance = s.anomalies / s.rows
    text = (
        f"An anomaly scores higher than a normal row {percent(s.auroc.value)} of the time (AUROC "
        f"{decimal(s.auroc.value)}, 95 % interval {span(s.auroc)}; {s.anomalies:,} anomalies, "
        f"{s.rows - s.anomalies:,} normal rows). Average precision is {decimal(s.average_precision.value)}, "
        f"where guessing gives {decimal(chance)}."
    )
    grade = at_least(s.auroc.value, DETECTION)
    if t is not None:
        text += f" The teacher reaches {decimal(t.auroc.value)} and {decimal(t.average_precision.value)}."
        grade = worse(grade, at_most(t.auroc.value - s.auroc.value, LOSS))
    if advice := what_may_help(report):
        text += f" {advice}"
    return Finding(
        question=question,
        figure=decimal(s.auroc.value),
        unit="AUROC; 0.5 is guessing, 1 is perfect",
        grade=grade,
        text=text,
    )


def what_may_help(report: Report) -> str:
    """What to try where labels call other rows anomalies than those that look unusual; "" where they do not."""
    quality = report.student_quality
    if quality is None or at_least(quality.auroc.value, DETECTION) != "poor":
        return ""
    normal = (
        "let only the rows labelled normal train (--train-on normal, train_on='normal'), "
        if report.regime == "all"
        else ""
    )
    return (
        f"What the labels call an anomaly hardly looks unusual to this teacher. What may help: {normal}name a few confirmed "
        "anomalies (--known, known=), add columns that set them apart, or try another teacher."
    )


def _alarms(report: Report) -> Finding | None:
    c, quality = report.calibration, report.student_quality
    if c is None:
        return None
    text = (
        f"About {percent(c.alert_rate)} of normal rows will raise an alarm: the threshold was set on the "
        f"scores of {c.rows:,} rows{', approximately' if c.approximate else ''}."
    )
    if c.estimated_rate is not None and (quality is None or quality.alert_rate is None):
        text += f" These may hold anomalies, so it is probably fewer: {percent(c.estimated_rate)} by a rule of thumb."
    figure, unit = percent(c.alert_rate), "of normal rows raise an alarm, as asked"
    grade: Grade = "plain"
    if quality is not None and quality.alert_rate is not None and quality.recall is not None:
        seen = quality.alert_rate
        text += f" On the labelled rows {percent(seen.value)} of the normal ones did"
        text += f" ({span(seen, percent)}), and {percent(quality.recall.value)} of the anomalies were caught."
        if quality.precision is not None:
            text += f" Of the alarms there, {percent(quality.precision.value)} were anomalies."
        figure, unit = (
            percent(seen.value),
            f"of normal rows raised an alarm; {percent(c.alert_rate)} was asked",
        )
        # The lower end of the interval, so that chance in a small sample is not called poor.
        grade = at_most(seen.low / c.alert_rate, ALARM_EXCESS) if c.alert_rate else "plain"
    return Finding(question="How often is an alarm false?", figure=figure, unit=unit, grade=grade, text=text)


def _speed(report: Report) -> Finding | None:
    s, t, gain = report.student_speed, report.teacher_speed, _gain(report)
    if s is None or s.one_p50_us is None:
        return None
    text = f"It scores a row in {duration(s.one_p50_us)}"
    text += f", 99 rows of 100 within {duration(s.one_p99_us)}." if s.one_p99_us is not None else "."
    grade: Grade = "plain"
    if t is not None and gain is not None:
        grade = at_most(1 / gain, SLOWDOWN)
        text += f" The teacher needs {duration(t.one_p50_us)} on the same machine"
        text += f", {figures(gain)} times as long." if gain >= 1 else f", {percent(gain)} of that."
    if s.rows_per_second is not None:
        text += f" In batches it scores {figures(s.rows_per_second)} rows a second"
        text += f", the teacher {figures(t.rows_per_second)}." if t and t.rows_per_second else "."
    return Finding(
        question="How fast is it?",
        figure=duration(s.one_p50_us),
        unit="for one row, median",
        grade=grade,
        text=text,
    )


def _size(report: Report) -> Finding | None:
    s = report.student
    if s is None or s.bytes is None:
        return None
    count = "" if s.parameters is None else f" It has {s.parameters:,} parameters."
    return Finding(
        question="How large is it?",
        figure=size(s.bytes),
        unit="one file, model.onnx",
        grade="plain",
        text="Everything from the raw row to the score is in this one file. It needs ONNX Runtime, but "
        f"neither the teacher nor the training data.{count}",
    )


def _gain(report: Report) -> float | None:
    """How many times longer the teacher takes for one row."""
    s, t = report.student_speed, report.teacher_speed
    if s is None or t is None or not s.one_p50_us or not t.one_p50_us:
        return None
    return t.one_p50_us / s.one_p50_us


def at_least(value: float, limits: tuple[float, float]) -> Judgement:
    """Judge a figure that is better when higher."""
    return "good" if value >= limits[0] else "acceptable" if value >= limits[1] else "poor"


def at_most(value: float, limits: tuple[float, float]) -> Judgement:
    """Judge a figure that is better when lower."""
    return "good" if value <= limits[0] else "acceptable" if value <= limits[1] else "poor"


def worse(a: Judgement, b: Judgement) -> Judgement:
    """Return the poorer of two judgements."""
    return max(a, b, key=("good", "acceptable", "poor").index)
