from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from stillwatch.cli import options
from stillwatch.cli.show import err, progress


def score(
    model: options.Model,
    data: options.Data,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File to write: .csv, .csv.gz or .parquet.  [default: CSV to the terminal]"
        ),
    ] = None,
    alert_rate: options.AlertRate = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Score the rows of a table: key columns, score, p_value, alert.

    A higher score is more abnormal. p_value is the share of normal rows expected to score at least as high; rows at or below
    the alert rate raise an alarm.
    """
    import msgspec

    from stillwatch.calibration.conformal import finest_rate
    from stillwatch.scorer import load
    from stillwatch.table.read import open_source
    from stillwatch.table.write import write_csv, write_scores

    scorer = load(model)
    manifest = scorer.manifest
    source = open_source(options.one_or_many(data))
    rate = max(manifest.alert_rate, finest_rate(manifest.calibration)) if alert_rate is None else alert_rate
    totals: dict[str, Any] = {
        "rows": 0,
        "alerts": 0,
        "alert_rate": rate,
        "missing": {},
        "unseen": {},
        "ignored": [],
    }

    def judged() -> Iterator[pa.RecordBatch]:
        with progress() as tell:
            for batch in source.batches():
                verdict = scorer.judge(batch, rate, first_row=totals["rows"] + 1)
                totals["rows"] += batch.num_rows
                totals["alerts"] += int(verdict.alert.sum())
                totals["ignored"] = verdict.counts.ignored
                for name in ("missing", "unseen"):
                    for column, count in getattr(verdict.counts, name).items():
                        totals[name][column] = totals[name].get(column, 0) + count
                tell("score", totals["rows"], totals["rows"])
                yield _columns(batch, manifest.schema.keys, verdict)

    if output is None:
        write_csv(judged())
    else:
        write_scores(output, judged(), overwrite=overwrite)
    if json:
        err().print_json(msgspec.json.encode(totals).decode())
    elif output is not None:
        err().print(
            f"{totals['rows']:,} rows, {totals['alerts']:,} alerts at rate {rate:g} -> {output}",
            markup=False,
            soft_wrap=True,
        )


def _columns(batch: pa.RecordBatch, keys: tuple[str, ...], verdict: Any) -> pa.RecordBatch:
    columns = {name: batch.column(name) for name in keys}
    columns |= {
        "score": pa.array(verdict.score),
        "p_value": pa.array(verdict.p_value.astype(np.float32)),
        "alert": pa.array(verdict.alert),
    }
    return pa.RecordBatch.from_pydict(columns)
