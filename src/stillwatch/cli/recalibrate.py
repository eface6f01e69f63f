from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stillwatch.cli import options
from stillwatch.cli.show import progress, result


def recalibrate(
    model: options.Model,
    data: options.Data,
    output: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FOLDER", help="Model folder to write.", show_default=False),
    ],
    alert_rate: options.AlertRate = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="Give the values of this column thresholds of their own.",
            show_default="the model's",
        ),
    ] = None,
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Set the alarm thresholds anew, on normal rows of today, without distilling again.

    The new folder has the same `model.onnx`, so the same scores, and keeps the digest of the model it comes from. You vouch
    that the rows are normal; rows that the label column calls anomalies are left out.

        stillwatch recalibrate model last_week.csv -o model-2
    """
    from stillwatch.recalibrate import recalibrate as run

    source = options.opened(data, delimiter, encoding)
    with progress() as tell:
        watched = source.watched(lambda done, total: tell("recalibrate", done, total))
        found = run(model, watched, output, alert_rate=alert_rate, by=by, overwrite=overwrite)
    before = "not supported" if found.threshold_before is None else f"{found.threshold_before:.4f}"
    shown = (
        f"Model       {output}\nDigest      {found.digest}\nComes from  {found.parent}\n"
        f"{found.rows:,} rows: at alert rate {found.alert_rate:.3g} a row alarms from score {found.threshold:.4f} "
        f"(before: {before})"
    )
    result({"model": str(output), **msgspec.to_builtins(found)}, shown, json=json)
