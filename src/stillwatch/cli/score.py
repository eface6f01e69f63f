from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer

from stillwatch.cli import options
from stillwatch.cli.show import counted, power, progress, result
from stillwatch.evaluation.inert import plain
from stillwatch.evaluation.numerals import percent
from stillwatch.scores import check_keys, score_columns
from stillwatch.table.values import decoded, is_text

if TYPE_CHECKING:
    from stillwatch.calibration.conformal import Calibration
    from stillwatch.scorer import Scorer, Verdict
    from stillwatch.table.read import Source

_CONTROL = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # what makes a terminal do something; tab and line feed are harmless
)


def score(
    model: options.Model,
    data: options.Data,
    output: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="File to write: .csv, .csv.gz or .parquet; or a folder for Parquet parts, with a slash at its end.",
            show_default="CSV to standard output",
        ),
    ] = None,
    alert_rate: options.AlertRate = None,
    alerts_per_day: options.AlertsPerDay = None,
    rows_per_second: options.RowsPerSecond = None,
    by: options.By = None,
    fdr: options.Fdr = None,
    reasons: Annotated[
        bool, typer.Option("--reasons", help="Add the columns that raise the score of each alert, as JSON.")
    ] = False,
    engine: options.EngineName = None,
    workers: options.Workers = None,
    address: options.Address = None,
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    stream: options.Stream = False,
    dead_letters: options.DeadLetters = None,
    raw: options.Raw = False,
    resume: options.Resume = False,
    absent_is_missing: options.AbsentIsMissing = False,
    count: options.Count = None,
    wait_ms: options.WaitMs = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Score the rows of a table: key columns, score, p_value, alert.

    - `score`: higher is more abnormal; it is no probability.
    - `p_value`: share of normal rows expected to score at least as high, from 0 to 1.
    - `alert`: true where the p-value is at most the alert rate, or at most what --fdr allows.
    - `reasons`, with --reasons: for each alert the three columns that raise its score the most. `effect` is the fall of the score
      when `value` is replaced by `normal`, what is normal for rows like this one.

    Columns go by name, in any order, and others are ignored. Rows keep their order:

        stillwatch score model new.csv --alert-rate 0.001 -o scores.parquet

    A folder takes files of any number and size, by many processes or machines. Run again after a crash, it goes on:

        stillwatch score model 'data/**/*.parquet' -o out/

    Events are scored as they come, a line each, NDJSON or CSV to NDJSON:

        tail -f events.ndjson | stillwatch score model - --stream --dead-letters bad.ndjson
    """
    from stillwatch.calibration.conformal import finest_rate, threshold
    from stillwatch.cli.parts import is_folder, score_to_folder
    from stillwatch.cli.stream import StreamOptions, score_lines
    from stillwatch.scorer import load
    from stillwatch.table.write import write_csv, write_scores

    flags = StreamOptions(dead_letters, raw, resume, absent_is_missing, count, wait_ms)
    if stream:
        if (
            reasons
            or json
            or any(option is not None for option in (by, fdr, engine, workers, address, encoding))
        ):
            raise typer.BadParameter(
                "--stream goes without --reasons, --json, --by, --fdr, --engine, --workers, --address and --encoding."
            )
        score_lines(
            model,
            data,
            output,
            flags,
            alert_rate=options.chosen_rate(alert_rate, alerts_per_day, rows_per_second, None, None),
            delimiter=options.separator(delimiter),
            overwrite=overwrite,
        )
        return
    if flags.given():
        raise typer.BadParameter(f"{flags.given()[0]} goes with --stream.")
    if json and output is None:
        raise typer.BadParameter("--json needs --out: without it, standard output holds the scores.")
    asked = options.chosen_rate(alert_rate, alerts_per_day, rows_per_second, fdr, by)
    if output is not None and is_folder(output):
        if fdr is not None or reasons:
            raise typer.BadParameter("--fdr and --reasons are for a file; name one with --out, not a folder.")
        score_to_folder(
            model, data, output, alert_rate=asked, by=by, engine=engine, workers=workers, address=address,
            delimiter=options.separator(delimiter), encoding=encoding, overwrite=overwrite, json=json,
        )  # fmt: skip
        return
    if (engine, workers, address) != (None, None, None):
        raise typer.BadParameter("--engine, --workers and --address are for a folder: -o out/")
    scorer = load(model)
    manifest = scorer.manifest
    keys = manifest.schema.keys
    rate = max(manifest.alert_rate, finest_rate(manifest.calibration)) if asked is None else asked
    threshold(manifest.calibration, rate)  # a rate too fine is better said before any row is read
    source = options.opened(data, delimiter, encoding)
    options.spare_the_data(data, output)
    check_keys(keys, source.names)
    on_terminal = output is None and sys.stdout.isatty()
    totals: dict[str, Any] = {
        "rows": 0,
        "alerts": 0,
        **(_promise(rate, manifest.calibration) if fdr is None else {}),
        "missing": {},
        "unseen": {},
        "ignored": [],
    }

    def verdicts(source: Source) -> Iterator[tuple[pa.RecordBatch, Verdict]]:
        if fdr is not None:
            yield from _by_batch(scorer.judge(source, fdr=fdr), source)
            return
        for batch in source.batches():
            yield batch, scorer.judge(batch, rate, by=by, first_row=totals["rows"] + 1)

    def judged() -> Iterator[pa.RecordBatch]:
        with progress(quiet=on_terminal) as tell:
            watched = source.watched(lambda done, total: tell("score", done, total))
            for batch, verdict in verdicts(watched):
                _add(totals, verdict)
                scored = score_columns(batch, keys, verdict)
                if reasons:
                    scored = scored.append_column("reasons", _reasons(scorer, batch, verdict))
                yield _without_controls(scored) if on_terminal else scored

    if output is None:
        write_csv(judged())
        return
    write_scores(output, judged(), overwrite=overwrite)
    result({"scores": output, **totals}, _summary(totals, output), json=json)


def _promise(rate: float, calibration: Calibration) -> dict[str, Any]:
    """The rate that was asked for, and an estimate of the real one where calibration rows may hold anomalies."""
    from stillwatch.calibration.contamination import estimated_rate

    return {"alert_rate": rate} | ({} if calibration.normal else {"estimated_rate": estimated_rate(rate)})


def _by_batch(verdict: Verdict, source: Source) -> Iterator[tuple[pa.RecordBatch, Verdict]]:
    """One verdict over all rows, cut into the batches they came in; what it counted goes with the first."""
    start, counts = 0, verdict.counts
    for batch in source.batches():
        rows = slice(start, start + batch.num_rows)
        yield (
            batch,
            replace(
                verdict,
                score=verdict.score[rows],
                p_value=verdict.p_value[rows],
                alert=verdict.alert[rows],
                low_evidence=verdict.low_evidence[rows],
                counts=counts,
            ),
        )
        start, counts = rows.stop, replace(counts, missing={}, unseen={})


def _add(totals: dict[str, Any], verdict: Verdict) -> None:
    totals["rows"] += len(verdict.score)
    totals["alerts"] += int(verdict.alert.sum())
    totals["ignored"] = list(verdict.counts.ignored)
    if verdict.discoveries is not None:
        totals["discoveries"] = verdict.discoveries
    if verdict.counts.common:
        totals["common"] = totals.get("common", 0) + verdict.counts.common
    for name in ("missing", "unseen"):
        for column, count in getattr(verdict.counts, name).items():
            totals[name][column] = totals[name].get(column, 0) + count


def _reasons(scorer: Scorer, batch: pa.RecordBatch, verdict: Verdict) -> pa.Array:
    """JSON for each alert, null for the other rows."""
    alerts = np.flatnonzero(verdict.alert)
    texts: list[str | None] = [None] * batch.num_rows
    for row, found in zip(alerts, scorer.explain(batch.take(pa.array(alerts))), strict=True):
        texts[row] = msgspec.json.encode(found).decode()
    return pa.array(texts, pa.string())


def _without_controls(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Key columns as they may be shown on a terminal; files and pipes get them as they are."""
    shown = [
        pc.replace_substring_regex(column, _CONTROL, "") if is_text(column.type) else column
        for column in map(decoded, batch.columns)
    ]
    return pa.RecordBatch.from_arrays(shown, [plain(name) for name in batch.schema.names])


def _summary(totals: dict[str, Any], output: str) -> str:
    at = (
        f"rate {totals['alert_rate']:.3g}" if "alert_rate" in totals else f"fdr {totals['discoveries'].fdr:g}"
    )
    lines = [f"{totals['rows']:,} rows, {totals['alerts']:,} alerts at {at} -> {output}"]
    if "estimated_rate" in totals:
        lines.append(
            "calibration rows may hold anomalies: of normal rows probably fewer alarm, "
            f"{percent(totals['estimated_rate'])} by a rule of thumb"
        )
    if "discoveries" in totals:
        lines.append(power(totals["discoveries"]))
    if "common" in totals:
        lines.append(
            f"judged by the common thresholds, for want of their group's own: {totals['common']:,} rows"
        )
    if totals["missing"]:
        lines.append(f"missing values: {counted(totals['missing'])}")
    if totals["unseen"]:
        lines.append(f"categories not seen in training, or too rare: {counted(totals['unseen'])}")
    return "\n".join(lines)
