from __future__ import annotations

import dataclasses
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from stillwatch.cli import options
from stillwatch.cli.plan import show_plan
from stillwatch.cli.show import progress, result


class TrainOn(StrEnum):
    """Rows that may train."""

    ALL = "all"
    NORMAL = "normal"


def distill(
    data: options.Data,
    output: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Model folder to write; missing parent folders are made."
        ),
    ] = Path("model"),
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Schema that `inspect --schema` wrote, edited or not, instead of an inferred one.",
            show_default=False,
        ),
    ] = None,
    label: options.Label = None,
    known: options.Known = None,
    feedback: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Table of the key columns and a column `known`: 1 = confirmed anomaly, 0 = false alarm, empty = not looked at. "
            "What `score` wrote, with that column added, will do.",
            show_default=False,
        ),
    ] = None,
    ignore: options.Ignore = [],  # noqa: B006 - typer's way to say repeatable
    key: options.Key = [],  # noqa: B006
    column: options.Kinds = [],  # noqa: B006
    decimal: options.DecimalOption = None,
    missing: options.Missing = [],  # noqa: B006
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column that tells when a row happened: the newest rows then set the alarm thresholds.",
            show_default=False,
        ),
    ] = None,
    train_on: Annotated[
        TrainOn, typer.Option(help="Train on `all` rows, or only on those that the label calls `normal`.")
    ] = TrainOn.ALL,
    assume_normal: Annotated[
        bool, typer.Option("--assume-normal", help="You vouch that every row is normal; no label is needed.")
    ] = False,
    teacher: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Heavy detector to learn from: auto, knn, lof, isolation_forest, gmm, mcd, ocsvm, ecod, copod, autoencoder, "
            "deep_svdd, or pyod:CLASS.",
        ),
    ] = "auto",
    purify: Annotated[
        bool,
        typer.Option(
            "--purify",
            help="The teacher learns only from the 70 % of rows that lie deepest: others may be anomalies. auto does so anyway.",
        ),
    ] = False,
    student: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Small model that learns: auto, mlp, prototypes, blend, trees, additive or linear.",
        ),
    ] = "auto",
    latency_us: options.LatencyUs = None,
    size_kb: options.SizeKb = None,
    fidelity: options.LeastFidelity = None,
    costs: options.Costs = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Go on from this model folder: same columns, same teacher, new rows; scores keep their scale.",
            show_default=False,
        ),
    ] = None,
    alert_rate: options.DefaultAlertRate = 0.01,
    calibrate_by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Give the values of this column, a feature or not, alarm thresholds of their own, for `score --by`.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same data, seed and machine: the same model.")] = 0,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep the teacher's answers here, so that a rerun asks only what is new.",
            show_default=False,
        ),
    ] = None,
    engine: options.EngineName = None,
    workers: options.Workers = None,
    address: options.Address = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show how columns and rows would be used, and stop: nothing is fitted or written.",
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Turn a table into a model folder.

    The folder holds `model.onnx`, its manifest and digests, a report to open in a browser (`report.html`) and a model card
    (`README.md`). No label is needed; where there is one, it tells how good the model is.

        stillwatch distill payments.csv --label fraud --key payment_id -o model
    """
    from stillwatch.artifact.write import check_target
    from stillwatch.distillation.distill import distill as run
    from stillwatch.distillation.extras import check_extras
    from stillwatch.distillation.plan import plan
    from stillwatch.distillation.start import begin
    from stillwatch.evaluation.terminal import render_text
    from stillwatch.students.resolve import resolve_student
    from stillwatch.table.feedback import KNOWN, join_feedback
    from stillwatch.table.inspect import inspect
    from stillwatch.table.schema_file import load_schema
    from stillwatch.teachers.resolve import resolve_teacher

    # All that can be known to be wrong is said before the table is read.
    if feedback is not None and (known is not None or not (key or schema)):
        raise typer.BadParameter("--feedback needs --key COLUMN, and stands for --known.")
    if train_on is TrainOn.NORMAL and label is None and schema is None:
        raise typer.BadParameter("--train-on normal needs --label COLUMN; or use --assume-normal.")
    if schema is not None and (missing or decimal is not None):
        raise typer.BadParameter("--missing and --decimal stand in the schema file. Edit them there.")
    if purify and (assume_normal or train_on is TrainOn.NORMAL):
        raise typer.BadParameter(
            "--purify is for rows that may hold anomalies, not for rows that are vouched for."
        )
    kinds = options.parse_kinds(column)
    declared = None if schema is None else load_schema(schema).with_kinds(kinds)
    check_extras()
    resolve_teacher(teacher, regime="all", purify=purify)
    resolve_student(student)
    budget = options.student_budget(latency_us, size_kb, fidelity, costs)
    check_target(output, overwrite=overwrite)
    source = options.opened(data, delimiter, encoding)
    if feedback is not None:
        keys = tuple(key) or (() if declared is None else declared.keys)
        source, known = join_feedback(source, feedback, key=keys).rows, KNOWN
    with progress() as tell, options.chosen_engine(engine, workers, address) as asking:
        if declared is not None:
            declared = declared.with_roles(label=label, known=known, ignore=ignore, key=key)
        elif start is None:
            declared = inspect(
                source.watched(lambda done, total: tell("inspect", done, total)),
                label=label,
                known=known,
                ignore=ignore,
                key=key,
                kinds=kinds,
                missing=options.missing_tokens(missing),
                decimal=options.decimal_mark(decimal),
            )
        if dry_run:
            if declared is None:
                kept = begin(start, student).schema_for(source.names, None)
                declared = kept.with_roles(label=label, known=known, ignore=ignore, key=key)
            show_plan(
                plan(
                    source.watched(lambda done, total: tell("read", done, total)),
                    declared,
                    time=time,
                    train_on=train_on.value,
                    calibrate_by=calibrate_by,
                    seed=seed,
                ),
                declared,
                alert_rate=alert_rate,
                json=json,
            )
            return
        found = run(
            source,
            schema=declared,
            label=label,
            known=known,
            ignore=ignore,
            key=key,
            time=time,
            train_on=train_on.value,
            assume_normal=assume_normal,
            teacher=teacher,
            purify=purify,
            student=student,
            budget=budget,
            start=start,
            alert_rate=alert_rate,
            calibrate_by=calibrate_by,
            seed=seed,
            cache=cache,
            map=None if asking is None else asking.map,
            progress=tell,
        )
        found = dataclasses.replace(found, command=shlex.join(["stillwatch", *sys.argv[1:]]))
        tell("measure", 0, 1)
        report = found.report
        tell("measure", 1, 1)
    digest = found.save(output, overwrite=overwrite)
    written = f"\nModel    {output}\nReport   {output / 'report.html'}\nDigest   {digest}"
    result(
        {"model": str(output), "digest": digest, "report": report},
        Group(render_text(report), written),
        json=json,
    )
