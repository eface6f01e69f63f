from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer

from stillwatch.cli import options
from stillwatch.cli.show import counted, progress, result
from stillwatch.errors import SchemaError
from stillwatch.evaluation.inert import plain
from stillwatch.table.schema import did_you_mean
from stillwatch.table.values import decoded, is_text

_CONTROL = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # what makes a terminal do something; tab and line feed are harmless
)


def score(
    model: options.Model,
    data: options.Data,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="File to write: .csv, .csv.gz or .parquet.",
            show_default="CSV to standard output",
        ),
    ] = None,
    alert_rate: options.AlertRate = None,
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Score the rows of a table: key columns, score, p_value, alert.

    - `score`: higher is more abnormal; it is no probability.
    - `p_value`: share of normal rows expected to score at least as high, from 0 to 1.
    - `alert`: true where the p-value is at most the alert rate.

    Columns go by name, in any order, and others are ignored. Rows keep their order:

        stillwatch score model new.csv --alert-rate 0.001 -o scores.parquet
    """
    from stillwatch.calibration.conformal import finest_rate, threshold
    from stillwatch.scorer import load
    from stillwatch.table.write import write_csv, write_scores

    if json and output is None:
        raise typer.BadParameter("--json needs --out: without it, standard output holds the scores.")
    scorer = load(model)
    manifest = scorer.manifest
    keys = manifest.schema.keys
    rate = max(manifest.alert_rate, finest_rate(manifest.calibration)) if alert_rate is None else alert_rate
    threshold(manifest.calibration, rate)  # a rate too fine is better said before any row is read
    source = options.opened(data, delimiter, encoding)
    _check_keys(keys, source.names)
    on_terminal = output is None and sys.stdout.isatty()
    totals: dict[str, Any] = {
        "rows": 0,
        "alerts": 0,
        "alert_rate": rate,
        "missing": {},
        "unseen": {},
        "ignored": [],
    }

    def judged() -> Iterator[pa.RecordBatch]:
        with progress(quiet=on_terminal) as tell:
            for batch in source.batches():
                verdict = scorer.judge(batch, rate, first_row=totals["rows"] + 1)
                _add(totals, verdict)
                tell("score", totals["rows"], 0)
                scored = _columns(batch, keys, verdict)
                yield _without_controls(scored) if on_terminal else scored
            tell("score", totals["rows"], totals["rows"])

    if output is None:
        write_csv(judged())
        return
    write_scores(output, judged(), overwrite=overwrite)
    result({"scores": str(output), **totals}, _summary(totals, output), json=json)


def _check_keys(keys: tuple[str, ...], names: tuple[str, ...]) -> None:
    for name in keys:
        if name in options.RESULTS:
            raise SchemaError(
                f"the model's key column {name!r} has the name of a column that `score` adds. "
                "Rename it in the table and distill again."
            )
        if name not in names:
            raise SchemaError(f"key column {name!r} is missing{did_you_mean(name, names)}")


def _add(totals: dict[str, Any], verdict: Any) -> None:
    totals["rows"] += len(verdict.score)
    totals["alerts"] += int(verdict.alert.sum())
    totals["ignored"] = list(verdict.counts.ignored)
    for name in ("missing", "unseen"):
        for column, count in getattr(verdict.counts, name).items():
            totals[name][column] = totals[name].get(column, 0) + count


def _columns(batch: pa.RecordBatch, keys: tuple[str, ...], verdict: Any) -> pa.RecordBatch:
    columns = {name: batch.column(name) for name in keys}
    columns |= {
        "score": pa.array(verdict.score),
        "p_value": pa.array(verdict.p_value.astype(np.float32)),
        "alert": pa.array(verdict.alert),
    }
    return pa.RecordBatch.from_pydict(columns)


def _without_controls(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Key columns as they may be shown on a terminal; files and pipes get them as they are."""
    shown = [
        pc.replace_substring_regex(column, _CONTROL, "") if is_text(column.type) else column
        for column in map(decoded, batch.columns)
    ]
    return pa.RecordBatch.from_arrays(shown, [plain(name) for name in batch.schema.names])


def _summary(totals: dict[str, Any], output: Path) -> str:
    lines = [
        f"{totals['rows']:,} rows, {totals['alerts']:,} alerts at rate {totals['alert_rate']:.3g} -> {output}"
    ]
    if totals["missing"]:
        lines.append(f"missing values: {counted(totals['missing'])}")
    if totals["unseen"]:
        lines.append(f"categories not seen in training, or too rare: {counted(totals['unseen'])}")
    return "\n".join(lines)
