"""The report in a terminal: one table, teacher beside student."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillwatch.evaluation.comparison import comparison
from stillwatch.evaluation.health import signs
from stillwatch.evaluation.inert import plain
from stillwatch.evaluation.report import Report
from stillwatch.evaluation.wording import verdict, what_may_help

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_WARNINGS = 8


def render_text(report: Report) -> RenderableType:
    """Lay the report out for `rich.print`.

    Parameters
    ----------
    report
        What to show. Its texts are untrusted: control characters are dropped, and no markup is read in them.

    Examples
    --------
    >>> from rich.console import Console
    >>> console = Console(width=60, no_color=True)
    >>> console.print(render_text(Report(title="Pumps")))  # doctest: +ELLIPSIS
    Pumps
    <BLANKLINE>
    This model was distilled from its teacher...
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(plain(report.title), style="bold"),
        Text(),
        Text(plain(f"{verdict(report)} {what_may_help(report)}", 900)),
    ]
    lines = comparison(report)
    if lines:
        teacher = plain(report.teacher.name, 24) if report.teacher else "teacher"
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim", show_edge=False)
        table.add_column(Text(""))
        table.add_column(Text("Student"), justify="right")
        table.add_column(Text(f"Teacher ({teacher})"), justify="right")
        group = ""
        for line in lines:
            if line.group != group:
                group = line.group
                table.add_row()
                table.add_row(Text(group, style="dim"))
            table.add_row(
                Text(line.label),
                _cell(line.student, line.student_note, "bold"),
                _cell(line.teacher, line.teacher_note, ""),
            )
        parts.append(table)
    if report.teacher and report.teacher.health:
        told = "; ".join(f"{sign.label.lower()}: {sign.figure}" for sign in signs(report.teacher.health))
        parts += [Text(), Text(plain(f"Teacher's health: {told}", 600), style="dim")]
    for warning in report.warnings[:_MOST_WARNINGS]:
        parts += [Text(), Text.assemble(("Note: ", "yellow"), plain(warning, 400))]
    if len(report.warnings) > _MOST_WARNINGS:
        parts += [Text(), Text(f"And {len(report.warnings) - _MOST_WARNINGS} more notes, in report.json.")]
    return Group(*parts)


def _cell(value: str, note: str, style: str) -> RenderableType:
    from rich.text import Text

    return Text.assemble((value, style), (f"  {note}" if note else "", "dim"))
