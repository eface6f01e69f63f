from __future__ import annotations

from rich.table import Table
from rich.text import Text

from stillwatch.cli import options
from stillwatch.cli.show import counted, result
from stillwatch.evaluate import Evaluation
from stillwatch.evaluation.inert import plain
from stillwatch.evaluation.quality import Interval


def evaluate(
    model: options.Model,
    data: options.Data,
    label: options.Label = None,
    alert_rate: options.AlertRate = None,
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    json: options.Json = False,
) -> None:
    """Measure a model on labelled rows, with 95 % intervals.

    AUROC and average precision tell how well scores order the rows, at no particular threshold; precision, recall and false
    alarms belong to the alert rate. Use rows that the model was not distilled from.

        stillwatch evaluate model labelled.csv --label fraud
    """
    from stillwatch.evaluate import evaluate as run
    from stillwatch.scorer import load

    found = run(load(model), options.opened(data, delimiter, encoding), label=label, rate=alert_rate)
    result(found, _table(found), json=json)


def _table(found: Evaluation) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    figures = found.quality
    if figures is None:
        table.add_row("quality", found.note)
    else:
        table.add_row("rows", f"{figures.rows:,}, of which {figures.anomalies:,} anomalies")
        for name, interval in (
            ("AUROC", figures.auroc),
            ("average precision", figures.average_precision),
            (f"precision at alert rate {found.rate:g}", figures.precision),
            (f"recall at alert rate {found.rate:g}", figures.recall),
            ("false alarms among normal rows", figures.alert_rate),
        ):
            table.add_row(name, _interval(interval))
    for name, counts in (("missing values", found.missing), ("unseen categories", found.unseen)):
        if counts:
            table.add_row(name, Text(counted(counts)))
    if found.ignored:
        table.add_row("columns not used", Text(", ".join(plain(name, 40) for name in found.ignored[:8])))
    return table


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "none"
    return f"{interval.value:.4f}   (95 %: {interval.low:.4f} to {interval.high:.4f})"
