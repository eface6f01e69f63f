from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stillwatch.cli import options
from stillwatch.cli.show import progress, result
from stillwatch.diff import Alert, Change, Difference, Sample
from stillwatch.evaluation.inert import plain
from stillwatch.evaluation.numerals import decimal, percent

_MOST_LINES = 40


def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="Model folder in use.", show_default=False)],
    after: Annotated[
        str, typer.Argument(metavar="AFTER", help="Model folder that may take its place.", show_default=False)
    ],
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATA]", help="Table that both can score, as for `distill`.", show_default=False
        ),
    ] = None,
    alert_rate: options.AlertRate = None,
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    json: options.Json = False,
) -> None:
    """Show what changes where one model takes the place of another.

    Columns and categories, how each was made, the alarm thresholds; and, on a table, how alike they rank the rows and which
    alerts appear and vanish.

        stillwatch diff model model-2 last_week.csv
    """
    from stillwatch.diff import diff as run

    source = None if not data else options.opened(data, delimiter, encoding)
    with progress() as tell:
        watched = None if source is None else source.watched(lambda done, total: tell("diff", done, total))
        found = run(before, after, watched, rate=alert_rate)
    result(found, _page(found), json=json)


def _page(found: Difference) -> Group:
    if found.before == found.after:
        return Group("The same model.", *_sample(found.sample))
    parts: list[RenderableType] = []
    parts += _changes("columns", found.columns) or ["The same columns, read alike.", ""]
    parts += _changes("made", found.made)
    if found.same_graph:
        parts += ["The same graph, so the same scores; thresholds may differ.", ""]
    limits = _grid("alert rate", "alarms from score", "after")
    for limit in found.limits:
        limits.add_row(f"{limit.rate:.3g}", *(_number(side) for side in (limit.before, limit.after)))
    return Group(*parts, limits, *_sample(found.sample))


def _changes(heading: str, changes: tuple[Change, ...]) -> list[RenderableType]:
    if not changes:
        return []
    table = _grid(heading, "before", "after")
    for change in changes[:_MOST_LINES]:
        table.add_row(
            *(Text(_shown(cell), overflow="fold") for cell in (change.what, change.before, change.after))
        )
    if len(changes) > _MOST_LINES:
        table.add_row(f"and {len(changes) - _MOST_LINES:,} more, in --json")
    return [table, ""]


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        more = f" and {len(value) - 8:,} more" if len(value) > 8 else ""
        return plain(", ".join(map(str, value[:8])) + more, 200) or "-"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"
    return plain(value, 200)


def _sample(sample: Sample | None) -> list[RenderableType]:
    if sample is None:
        return ["", "Name a table to see which alerts appear and vanish."]
    said = "every row scores the same" if sample.same_scores else f"rank agreement {decimal(sample.spearman)}"
    lines: list[RenderableType] = [
        "",
        f"{sample.rows:,} rows: {said}, {percent(sample.top_1_percent)} of the highest 1 % in common",
        f"alerts {sample.alerts_before:,} before, {sample.alerts_after:,} after: {sample.appeared:,} appear, "
        f"{sample.vanished:,} vanish",
    ]
    alerts = [("appears", sample.new), ("vanishes", sample.gone)]
    if any(rows for _, rows in alerts):
        lines += ["", _alerts(alerts)]
    return lines


def _alerts(alerts: list[tuple[str, tuple[Alert, ...]]]) -> Table:
    table = _grid("alert", "row", "p before", "p after")
    for what, rows in alerts:
        for alert in rows:
            table.add_row(what, f"{alert.row:,}", f"{alert.before:.2g}", f"{alert.after:.2g}")
    return table


def _number(value: float | None) -> str:
    return "not supported" if value is None else f"{value:.4f}"


def _grid(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading)
    return table
