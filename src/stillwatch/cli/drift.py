from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stillwatch.cli import drift_page, options
from stillwatch.cli.drift_page import p_value, shares, title
from stillwatch.cli.show import progress, result
from stillwatch.drift.report import LEVEL, Change, Drift
from stillwatch.evaluation.inert import plain
from stillwatch.evaluation.numerals import decimal, percent

_MOST_LINES, _MOST_CHARTS = 30, 8
_WIDTH = 30  # of the longest bar


def drift(
    model: options.Model,
    data: options.Data,
    level: Annotated[
        float,
        typer.Option(metavar="CHANCE", help="Chance that anything is called drifted where nothing is."),
    ] = LEVEL,
    output: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE.html",
            help="Also write a page with a chart of everything that has drifted.",
            show_default=False,
        ),
    ] = None,
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Compare a table with what a model was made of: every column, the score and the share of alarms.

    - `PSI`: how much the shares of a column's values have changed; by custom below 0.1 is small, above 0.25 large.
    - `KS`: the largest gap between the two distributions, from 0 to 1.
    - `above`: the chance that a new value exceeds an earlier one; 0.5 is no shift.
    - `p`: the chance to see such a change anywhere in the table where nothing has drifted.

    Give a few hundred rows or more.

        stillwatch drift model last_week.csv -o drift.html

    Exit code 4 where something has drifted.
    """
    from stillwatch.scorer import load
    from stillwatch.table.write import write_whole

    if output is not None and not output.lower().endswith((".html", ".htm")):
        raise typer.BadParameter(f"--out {output}: the page is HTML; name a file that ends in .html.")
    if not 0 < level < 1:
        raise typer.BadParameter(f"--level {level:g}: expected a chance between 0 and 1, such as 0.01.")
    scorer, source = load(model), options.opened(data, delimiter, encoding)
    with progress() as tell:
        found = scorer.drift(source.watched(lambda done, total: tell("drift", done, total)), level=level)
    if output is not None:
        options.spare_the_data(data, output)
        write_whole(output, drift_page.render(found).encode(), overwrite=overwrite)
    result({"drifted": found.drifted, "alarm": found.alarm, **_fields(found)}, _page(found), json=json)
    if found.alarm:
        raise typer.Exit(4)


def _fields(found: Drift) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__struct_fields__}


def _page(found: Drift) -> Group:
    parts: list[RenderableType] = [_table(found), ""]
    charts = [change for change in found.columns if change.drifted][:_MOST_CHARTS]
    if found.score is not None and found.score.drifted:
        charts.append(found.score)
    for change in charts:
        parts += [_chart(change), ""]
    return Group(*parts, _verdict(found))


def _table(found: Drift) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim", show_edge=False)
    table.add_column("column", overflow="fold")
    for heading in ("change", "PSI", "KS", "above", "missing", "unseen", "p"):
        table.add_column(heading, justify="right")
    score = () if found.score is None else (found.score,)
    for change in (*score, *found.columns[:_MOST_LINES]):
        table.add_row(
            Text(title(change), style="bold" if change.drifted else ""),
            Text(change.size, style="bold red") if change.drifted else "none seen",
            decimal(change.psi),
            "" if change.ks is None else decimal(change.ks),
            "" if change.above is None else decimal(change.above),
            shares(change.missing),
            shares(change.unseen),
            p_value(change.p_value),
        )
    more = len(found.columns) - _MOST_LINES
    if more > 0:
        table.add_row(
            f"and {more:,} more, in --json", "none seen" if not found.columns[_MOST_LINES].drifted else ""
        )
    alarms = found.alarms
    table.add_row(
        Text("alarms", style="bold" if alarms.drifted else ""),
        Text(
            f"{percent(alarms.found)}, promised {percent(alarms.promised)}",
            style="bold red" if alarms.drifted else "",
        ),
        *[""] * 5,
        p_value(alarms.p_value),
    )
    return table


def _chart(change: Change) -> Group:
    """Shares before and now, cell by cell."""
    most = max((max(bar.before, bar.now) for bar in change.bars), default=1.0) or 1.0
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
    for bar in change.bars:
        shape = Text(_bar(bar.before / most), style="dim")
        shape.append("\n")
        shape.append(_bar(bar.now / most), style="bold")
        table.add_row(Text(plain(bar.label, 30)), shape, Text(f"{percent(bar.before)}\n{percent(bar.now)}"))
    return Group(Text.assemble((title(change), "bold"), "  before, and below it now"), table)


def _bar(share: float) -> str:
    return "█" * round(share * _WIDTH) or "▏"


def _verdict(found: Drift) -> Text:
    said = ("drifted", "bold yellow") if found.alarm else ("nothing has drifted", "green")
    return Text.assemble(f"{found.rows:,} rows: ", said, f". {found.why}")
