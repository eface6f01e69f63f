from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from stillwatch.cli import options
from stillwatch.cli.show import counted, power, progress, result
from stillwatch.evaluate import Evaluation
from stillwatch.evaluation.inert import plain
from stillwatch.evaluation.numerals import figures, percent, score
from stillwatch.evaluation.quality import Interval


def evaluate(
    model: options.Model,
    data: options.Data,
    label: options.Label = None,
    alert_rate: options.AlertRate = None,
    alerts_per_day: options.AlertsPerDay = None,
    rows_per_second: options.RowsPerSecond = None,
    by: options.By = None,
    fdr: options.Fdr = None,
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    json: options.Json = False,
) -> None:
    """Measure a model on labelled rows, with 95 % intervals.

    AUROC and average precision tell how well scores order the rows, at no particular threshold; precision, recall and false
    alarms belong to the alert rate. A second table shows alarms a day, precision and recall along the whole range of rates. Use
    rows that the model was not distilled from.

        stillwatch evaluate model labelled.csv --label fraud
    """
    from stillwatch.evaluate import evaluate as run
    from stillwatch.scorer import load

    asked = options.chosen_rate(alert_rate, alerts_per_day, rows_per_second, fdr, by)
    scorer, source = load(model), options.opened(data, delimiter, encoding)
    with progress() as tell:
        watched = source.watched(lambda done, total: tell("evaluate", done, total))
        found = run(
            scorer,
            watched,
            label=label,
            rate=asked,
            by=by,
            fdr=fdr,
            rows_per_second=rows_per_second or 1.0,
        )
    result(found, Group(_table(found), "", _budget(found)), json=json)


def _table(found: Evaluation) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    quality, alarms = found.quality, found.discoveries
    at = f"alert rate {found.rate:g}" if alarms is None else f"fdr {alarms.fdr:g}"
    if quality is None:
        table.add_row("quality", found.note)
    else:
        table.add_row("rows", f"{quality.rows:,}, of which {quality.anomalies:,} anomalies")
        for name, interval in (
            ("AUROC", quality.auroc),
            ("average precision", quality.average_precision),
            (f"precision at {at}", quality.precision),
            (f"recall at {at}", quality.recall),
            ("false alarms among normal rows", quality.alert_rate),
        ):
            table.add_row(name, _interval(interval))
    if alarms is not None:
        best = "none" if found.oracle_recall is None else f"{found.oracle_recall:.4f}"
        table.add_row("power", f"the recall above; of the best threshold, known with hindsight: {best}")
        table.add_row("", Text(power(alarms)))
    if found.common:
        table.add_row("judged by the common thresholds", f"{found.common:,}")
    for name, counts in (("missing values", found.missing), ("unseen categories", found.unseen)):
        if counts:
            table.add_row(name, Text(counted(counts)))
    if found.ignored:
        table.add_row("columns not used", Text(", ".join(plain(name, 40) for name in found.ignored[:8])))
    return table


def _budget(found: Evaluation) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim", show_edge=False)
    for heading in (
        "alert rate",
        "score from",
        f"false alarms a day at {found.rows_per_second:g} rows/s",
        "alerts here",
        "precision",
        "recall",
    ):
        table.add_column(heading, justify="right")
    for line in found.budget:
        table.add_row(
            percent(line.rate),
            score(line.threshold),
            figures(line.per_day),
            f"{line.alerts:,}",
            percent(line.precision),
            percent(line.recall),
        )
    return table


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "none"
    return f"{interval.value:.4f}   (95 %: {interval.low:.4f} to {interval.high:.4f})"
