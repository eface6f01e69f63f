from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli import options
from stillwatch.cli.show import out, progress, result


class TrainOn(StrEnum):
    """Rows that may train."""

    ALL = "all"
    NORMAL = "normal"


def distill(
    data: options.Data,
    output: Annotated[Path, typer.Option("--out", "-o", help="Model folder to write.")] = Path("model"),
    label: options.Label = None,
    ignore: options.Ignore = [],  # noqa: B006 - typer's way to say repeatable
    key: options.Key = [],  # noqa: B006
    column: options.Kinds = [],  # noqa: B006
    train_on: Annotated[
        TrainOn, typer.Option(help="Train on all rows, or only on those labelled 0 (normal).")
    ] = TrainOn.ALL,
    assume_normal: Annotated[
        bool, typer.Option("--assume-normal", help="You vouch that every row is normal; no label is needed.")
    ] = False,
    teacher: Annotated[
        str, typer.Option(help="auto, knn, lof, isolation_forest, gmm, mcd, ocsvm, or pyod:<Name>.")
    ] = "auto",
    student: Annotated[str, typer.Option(help="auto or mlp.")] = "auto",
    alert_rate: Annotated[
        float, typer.Option(help="Share of normal rows that may raise an alarm; can be changed when scoring.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(help="Same data, seed and machine: the same model.")] = 0,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the teacher's answers for a rerun.", show_default=False),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Turn a table into a model folder.

    The folder holds model.onnx, its manifest, a report (report.html) and a model card. Example:

    stillwatch distill payments.csv --label fraud --key payment_id -o model
    """
    from stillwatch.artifact.write import check_target
    from stillwatch.distillation.distill import distill as run
    from stillwatch.evaluation.terminal import render_text
    from stillwatch.table.inspect import inspect

    check_target(output, overwrite=overwrite)
    source = options.one_or_many(data)
    schema = inspect(source, label=label, ignore=ignore, key=key, kinds=options.parse_kinds(column))
    with progress() as tell:
        found = run(
            source,
            schema=schema,
            train_on=train_on.value,
            assume_normal=assume_normal,
            teacher=teacher,
            student=student,
            alert_rate=alert_rate,
            seed=seed,
            cache=cache,
            progress=tell,
        )
    digest = found.save(output, overwrite=overwrite)
    result(found.report, render_text(found.report), json=json)
    if not json:
        out().print(
            f"\nModel: {output}   report: {output / 'report.html'}\nDigest: {digest}",
            markup=False,
            soft_wrap=True,
        )
