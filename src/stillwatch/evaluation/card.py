"""The model card: README.md of a model folder, enough to use the model without Stillwatch."""

from __future__ import annotations

from pathlib import PurePath

import msgspec

from stillwatch.evaluation.comparison import comparison
from stillwatch.evaluation.inert import markdown
from stillwatch.evaluation.numerals import percent, size
from stillwatch.evaluation.report import RateThreshold, Report
from stillwatch.evaluation.wording import verdict

MOST_COLUMNS = 200  # listed for each input; manifest.json holds them all


class CardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the card says about the graph: which column stands at which position of which input."""

    num: tuple[str, ...] = ()
    num64: tuple[str, ...] = ()
    txt: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    booleans: tuple[str, ...] = ()  # those among the numbers that are 0 or 1
    thresholds: tuple[RateThreshold, ...] = ()
    digest: str = ""
    opset: int | None = None
    version: str = ""  # of Stillwatch


def card(report: Report, facts: CardFacts) -> str:
    """Write the model card as Markdown with a YAML head.

    Parameters
    ----------
    report, facts
        What to say. Names and texts are untrusted and come out inert. Speed is left out: nothing clocked
        stands in the card, so that the same data and seed give the same bytes.
    """
    report = msgspec.structs.replace(report, student_speed=None, teacher_speed=None)
    sections = (
        _HEAD,
        _what(report, facts),
        _inputs(facts),
        _snippet(report, facts),
        _thresholds(report, facts),
        _figures(report),
        _limits(report),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


# No licence is assumed: the model inherits what the data and the owner allow, which nobody here knows.
_HEAD = """---
license: other
license_name: to-be-chosen-by-the-owner
library_name: stillwatch
tags:
- anomaly-detection
- tabular
- onnx
- knowledge-distillation
---"""


def _what(report: Report, facts: CardFacts) -> str:
    lines = [f"# {markdown(report.title)}", "", markdown(verdict(report), 600), ""]
    student, teacher = report.student, report.teacher
    if student is not None:
        weight = f", {student.parameters:,} parameters" if student.parameters is not None else ""
        weight += f", {size(student.bytes)}" if student.bytes is not None else ""
        lines.append(f"- **Student** (this model): {markdown(student.name)}{weight}")
    if teacher is not None:
        lines.append(f"- **Teacher** (not included): {markdown(teacher.name)}")
    if report.data:
        # Of a path the name only: a card travels, and the same data give the same card wherever they lie.
        lines.append(f"- **Data**: {markdown(PurePath(report.data).name, 200)}")
    kind = "normal rows only" if report.regime == "normal" else "all rows, which may hold anomalies"
    lines.append(f"- **Trained on**: {kind}")
    if facts.digest:
        lines.append(f"- **Digest**: {markdown(facts.digest)}")
    lines += ["", "Higher score = more abnormal. A score is not a probability."]
    return "\n".join(lines)


def _inputs(facts: CardFacts) -> str:
    """Tables of positions, since plain onnxruntime knows no column names."""
    parts = [
        "## Inputs and output of `model.onnx`",
        "Columns are packed into tensors; a column is known by its position. A missing number is NaN, a "
        "missing text is the empty string, a boolean is 0 or 1.",
    ]
    described = (
        ("num", "float32", facts.num),
        ("num64", "float64, for columns whose values float32 would round", facts.num64),
        ("txt", "string", facts.txt),
        ("time", "int64, microseconds since 1970 in UTC, -2^63 = missing", facts.time),
    )
    for name, kind, columns in described:
        if not columns:
            continue
        rows = [f"| {at} | {_column(column, facts)} |" for at, column in enumerate(columns[:MOST_COLUMNS])]
        parts.append(
            f"### `{name}`: {kind}, shape [n, {len(columns)}]\n\n| position | column |\n| ---: | :--- |\n"
            + "\n".join(rows)
        )
        if len(columns) > MOST_COLUMNS:
            parts.append(f"And {len(columns) - MOST_COLUMNS:,} more, listed in `manifest.json`.")
    opset = f" Opset {facts.opset}, standard operators only." if facts.opset is not None else ""
    parts.append(f"Output: `score`, float32, shape [n, 1].{opset}")
    return "\n\n".join(parts)


def _column(name: str, facts: CardFacts) -> str:
    return markdown(name, 80) + (" (boolean)" if name in facts.booleans else "")


def _snippet(report: Report, facts: CardFacts) -> str:
    """Code that runs as it stands in the model folder. No name from the data enters it."""
    feeds = []
    if facts.num:
        feeds.append(f'    "num": np.zeros((1, {len(facts.num)}), np.float32),')
    if facts.num64:
        feeds.append(f'    "num64": np.zeros((1, {len(facts.num64)}), np.float64),')
    if facts.txt:
        feeds.append(f'    "txt": np.full((1, {len(facts.txt)}), "", object),')
    if facts.time:
        feeds.append(f'    "time": np.zeros((1, {len(facts.time)}), np.int64),')
    lines = [
        "import numpy as np",
        "import onnxruntime as ort",
        "",
        'session = ort.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])',
        "rows = {",
        *feeds,
        "}",
        'score = session.run(["score"], rows)[0][:, 0]',
        "print(score)",
    ]
    if report.calibration is not None:
        c = report.calibration
        lines[-1] = f"print(score, score >= {c.threshold!r})  # alarm at {c.alert_rate:g} of normal rows"
    code = "\n".join(lines)
    return f"## Use it with plain onnxruntime\n\n```python\n{code}\n```\n\n" + (
        "With Stillwatch, which checks the folder first and takes raw rows:\n\n"
        '```python\nimport stillwatch as sw\n\nscorer = sw.load(".")\nscore = scorer.score(table)\n```'
    )


def _thresholds(report: Report, facts: CardFacts) -> str:
    c = report.calibration
    table = facts.thresholds or (c.thresholds() if c else ())
    if not table:
        return ""
    rows = "\n".join(f"| {percent(t.rate)} | {t.threshold!r} |" for t in table)
    note = ""
    if c is not None:
        note = f"From the scores of {c.rows:,} rows"
        note += " in folds, approximate." if c.approximate else " that nothing was fitted on."
    return (
        f"## Alarm thresholds\n\nA row raises an alarm where its score is at least the threshold. {note}\n\n"
        f"| normal rows alarmed | score from |\n| ---: | ---: |\n{rows}"
    )


def _figures(report: Report) -> str:
    lines = comparison(report)
    if not lines:
        return ""
    cells = [
        (line.label, _noted(line.student, line.student_note), _noted(line.teacher, line.teacher_note))
        for line in lines
    ]
    rows = "\n".join(f"| {label} | {student} | {teacher} |" for label, student, teacher in cells)
    return (
        "## Figures\n\nIn brackets: 95 % intervals. Charts, speed and details stand in `report.html`.\n\n"
        f"| figure | student | teacher |\n| :--- | ---: | ---: |\n{rows}"
    )


def _noted(value: str, note: str) -> str:
    return f"{value} ({note})" if note else value


def _limits(report: Report) -> str:
    lines = [
        "## Limits and intended use",
        "",
        "- Meant to point people at rows worth a look. It does not say why a row is abnormal in the world, "
        "and it should not decide about people by itself.",
        "- It inherits the teacher's blind spots: to agree with the teacher is not to be right.",
        "- The alarm rate holds while new rows resemble the calibration rows. When the data drifts, "
        "calibrate again.",
    ]
    if report.student_quality is None:
        lines.append("- No labels were available, so its detection quality has not been measured.")
    c = report.calibration
    if c is not None and c.estimated_rate is not None:
        lines.append(
            "- Calibration rows may hold anomalies. If a share c does, normal rows alarm at most at the rate that was "
            f"asked, divided by (1 - c). Mostly it is less: about {percent(c.estimated_rate)} instead of "
            f"{percent(c.alert_rate)} is a rule of thumb, no measurement."
        )
    lines += [f"- {markdown(warning, 400)}" for warning in report.warnings[:20]]
    lines.append(
        "- The licence is for the owner of the data to choose; the head of this file leaves it open."
    )
    return "\n".join(lines)
