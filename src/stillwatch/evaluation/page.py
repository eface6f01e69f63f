"""The report as one HTML file that asks the network for nothing; its one script moves the alarm."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from stillwatch.errors import MissingExtraError
from stillwatch.evaluation import charts, numerals
from stillwatch.evaluation.budget import RATES, BudgetLine
from stillwatch.evaluation.comparison import comparison
from stillwatch.evaluation.dial import dial
from stillwatch.evaluation.drawing import Bar
from stillwatch.evaluation.front import front_plot
from stillwatch.evaluation.health import signs
from stillwatch.evaluation.inert import plain
from stillwatch.evaluation.kinds import in_words
from stillwatch.evaluation.report import Report
from stillwatch.evaluation.wording import change_words, findings, grade_rules, verdict

MOST_COLUMNS = 200  # listed on the page; report.json holds them all
MOST_PARTS = 40  # kinds of knowledge, steps
MOST_CHECKS = 400
MOST_RATES = 40
MOST_TRIED = 30  # students
_LONGEST_TEXT = 2_000
_UNIT = re.compile(r"(?<=\d) (?=(?:%|µs|ms|s|min|h|kB|MB|million|billion)(?!\w))")  # never ends a line


def render_html(report: Report) -> str:
    """Write the report's page.

    Parameters
    ----------
    report
        What to show. Its texts are untrusted and come out inert.

    Returns
    -------
    A complete HTML document, below 1 MB whatever the report holds.

    Raises
    ------
    MissingExtraError
        Jinja2 is not installed.
    """
    try:
        from jinja2 import BaseLoader, Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as exc:
        raise MissingExtraError("jinja2", "train") from exc

    def harmless(value: Any) -> Any:
        """Every text that enters the page passes here, so that no place in the template can forget it."""
        if hasattr(value, "__html__"):
            return value
        return "" if value is None else _UNIT.sub("\u00a0", plain(value, _LONGEST_TEXT))

    environment = Environment(
        loader=BaseLoader(),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(numerals, name)
        for name in ("decimal", "signed", "percent", "duration", "seconds", "size", "figures", "score")
    }
    environment.filters["cut"] = plain
    environment.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["change_span"] = lambda interval: numerals.span(interval, numerals.signed)
    environment.filters["whole"] = Markup
    css, script = _resource("report.css"), _resource("report.js")
    page = environment.from_string(
        _resource("report.html.j2")
    ).render(
        r=report,
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        csp=_content_security_policy(css, script),
        verdict=verdict(report),
        findings=findings(report),
        groups=_grouped(report),
        columns=report.columns[:MOST_COLUMNS],
        recipes=_recipes(report),
        signs=signs(report.teacher.health) if report.teacher and report.teacher.health else (),
        thresholds=report.calibration.thresholds() if report.calibration else (),
        grades=grade_rules(),
        dial=dial(report),
        rates=_rates(report),
        change_words=change_words(report),
        tried=report.search[:MOST_TRIED],
        **_plots(report),
    )
    return page + "\n"


def _plots(report: Report) -> dict[str, Any]:
    """Every chart that the report has figures for; None or empty where it has none."""
    student, teacher, quality = report.student_curves, report.teacher_curves, report.student_quality
    checks, parts = report.checks[:: 1 + len(report.checks) // MOST_CHECKS], report.knowledge[:MOST_PARTS]
    # The rows of the table first, as they are: whatever the order in which the record names them.
    parts = tuple(sorted(parts, key=lambda part: (part.kind != "train", -part.rows)))
    asked = charts.share_bars([(in_words(part.kind)[0], part.rows) for part in parts])
    student_bytes = report.student.bytes if report.student else None
    teacher_bytes = report.teacher.bytes if report.teacher else None
    return {
        "roc": charts.roc_plot(student, teacher, quality) if student and quality else None,
        "pr": charts.pr_plot(student, teacher, quality) if student and quality else None,
        "intervals": charts.intervals_plot(quality, report.teacher_quality) if quality else None,
        "overlap": charts.overlap_plot(report.overlap, report.scatter.rows)
        if report.overlap and report.scatter
        else None,
        "front": front_plot(report.search),
        "ranks": charts.scatter_plot(report.scatter) if report.scatter else None,
        "scores": charts.histogram_plot(
            report.histogram, report.calibration.threshold if report.calibration else None
        )
        if report.histogram
        else None,
        "checks": charts.training_plot(checks) if len(checks) > 1 else None,
        "one_bars": _speed_bars(report, "one_p50_us", charts.microseconds),
        "batch_bars": _speed_bars(report, "rows_per_second", charts.rate),
        "size_bars": charts.log_bars(
            [
                ("Model file", student_bytes, "student"),
                ("Training rows", teacher_bytes, "teacher"),
            ],
            charts.weight,
        )
        if student_bytes and teacher_bytes
        else (),
        "knowledge_bars": [(bar, in_words(part.kind)[1]) for bar, part in zip(asked, parts, strict=True)],
        "asked": sum(part.rows for part in report.knowledge),
        "asked_real": sum(part.rows for part in report.knowledge if part.kind == "train"),
        "step_bars": charts.stacked_bars(
            [(step.step, step.seconds) for step in report.steps[:MOST_PARTS]], numerals.seconds
        ),
        "total_seconds": sum(step.seconds for step in report.steps),
    }


def _speed_bars(report: Report, name: str, write: Any) -> tuple[Bar, ...]:
    pairs = (("Student", report.student_speed, "student"), ("Teacher", report.teacher_speed, "teacher"))
    rows = [(label, getattr(speed, name, None), look) for label, speed, look in pairs]
    return charts.log_bars([(a, b, c) for a, b, c in rows if b], write) if any(b for _, b, _ in rows) else ()


def _rates(report: Report) -> tuple[BudgetLine, ...]:
    """Rates in steps of 1, 2 and 5, and the one that was set: the slider has more."""
    usual = {*RATES, report.calibration.alert_rate if report.calibration else 0.0}
    return tuple(line for line in report.budget if line.rate in usual)[:MOST_RATES]


def _grouped(report: Report) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for line in comparison(report):
        groups.setdefault(line.group, []).append(line)
    return groups


def _recipes(report: Report) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(who, name, settings) of teacher and student."""
    pairs = (("Teacher", report.teacher), ("Student", report.student))
    return [(who, facts.name, _settings(facts.recipe)) for who, facts in pairs if facts is not None]


def _settings(recipe: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten a recipe to lines that can be read; nested names are joined by dots."""
    lines: list[tuple[str, str]] = []
    for name, value in list(recipe.items())[:60]:
        if isinstance(value, Mapping) and len(prefix) < 200:
            lines += _settings(value, f"{prefix}{name}.")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            lines.append((plain(f"{prefix}{name}", 80), plain(shown, 240)))
    return lines[:60]


def _content_security_policy(css: str, script: str) -> str:
    style, code = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{code}'; base-uri 'none'; "
        "form-action 'none'"
    )


def _resource(name: str) -> str:
    return resources.files("stillwatch.evaluation").joinpath(name).read_text(encoding="utf-8")
