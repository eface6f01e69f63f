"""`score` into a folder: by shards, on an engine, going on where a run was cut short."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from stillwatch.cli.options import chosen_engine
from stillwatch.cli.show import counted, error, note, progress, result
from stillwatch.scale import Scored, score_files

PARTIAL = 5
MOST_SHOWN = 20  # errors


def is_folder(output: str) -> bool:
    """Whether scores go to a folder: a slash stands at its end, or it has no extension."""
    return output.endswith(os.sep) or not Path(output).suffix


def score_to_folder(
    model: str,
    data: list[str],
    output: str,
    *,
    alert_rate: float | None,
    by: str | None,
    engine: str | None,
    workers: int | None,
    address: str | None,
    delimiter: str | None,
    encoding: str | None,
    overwrite: bool,
    json: bool,
) -> None:
    """Score into parts, and say what became of them; exit code 5 where some are missing."""
    with progress() as tell, chosen_engine(engine, workers, address) as chosen:
        found = score_files(
            model,
            data[0] if len(data) == 1 else data,
            output,
            alert_rate=alert_rate,
            by=by,
            engine=chosen,
            delimiter=delimiter,
            encoding=encoding,
            overwrite=overwrite,
            progress=tell,
        )
    for text in found.notes:
        note(text)
    common = {"common": found.common} if found.common else {}
    result(
        {
            "scores": output,
            "rows": found.rows,
            "alerts": found.alerts,
            "alert_rate": found.alert_rate,
            "missing": found.missing,
            "unseen": found.unseen,
            "ignored": list(found.ignored),
            **common,
            "parts": len(found.parts) - len(found.failed),
            "kept": found.kept,
            "failed": [
                {"part": part.part, "file": part.source, "error": part.error} for part in found.failed
            ],
        },
        _summary(found, output),
        json=json,
    )
    for part in found.failed[:MOST_SHOWN]:
        error(part.error)
    if found.failed:
        more = len(found.failed) - MOST_SHOWN
        rest = f" {more:,} more are listed in {Path(output, '_manifest.jsonl')}." if more > 0 else ""
        error(
            f"{len(found.failed):,} of {len(found.parts):,} parts are missing; the others stand.{rest} "
            "Run again when the files are mended."
        )
        raise typer.Exit(PARTIAL)


def _summary(found: Scored, output: str) -> str:
    made = len(found.parts) - len(found.failed)
    parts = f"{made:,} {'part' if made == 1 else 'parts'}" + (
        f", {found.kept:,} of them from before" if found.kept else ""
    )
    lines = [
        f"{found.rows:,} rows, {found.alerts:,} alerts at rate {found.alert_rate:.3g} -> {output} ({parts})"
    ]
    if found.common:
        lines.append(f"judged by the common thresholds, for want of their group's own: {found.common:,} rows")
    if found.missing:
        lines.append(f"missing values: {counted(found.missing)}")
    if found.unseen:
        lines.append(f"categories not seen in training, or too rare: {counted(found.unseen)}")
    return "\n".join(lines)
