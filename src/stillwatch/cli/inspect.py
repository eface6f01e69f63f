from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from stillwatch.artifact.load import Loaded
from stillwatch.artifact.manifest import MANIFEST
from stillwatch.cli import options
from stillwatch.cli.guard import in_flags
from stillwatch.cli.show import progress, result
from stillwatch.evaluation.inert import plain
from stillwatch.table.read import Source
from stillwatch.table.schema import Schema


def inspect(
    data: options.DataOrModel,
    label: options.Label = None,
    known: options.Known = None,
    ignore: options.Ignore = [],  # noqa: B006 - typer's way to say repeatable
    key: options.Key = [],  # noqa: B006
    column: options.Kinds = [],  # noqa: B006
    decimal: options.DecimalOption = None,
    missing: options.Missing = [],  # noqa: B006
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write what was found as JSON, with a sample of each column: edit it, hand it to `distill --schema`.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL|FILE",
            help="Say instead how the table departs from a model, or from a schema file. Exit code 1 where it cannot be scored.",
            show_default=False,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Show how the columns of a table will be read, and why; or what a model is and takes.

    Where a column is read otherwise than meant, give the same options to `distill`:

        stillwatch inspect payments.csv --column branch=category --missing unknown
    """
    from stillwatch.artifact.load import read_artifact
    from stillwatch.table.inspect import inspect as run
    from stillwatch.table.schema_file import save_schema

    # A folder may also hold a table in parts.
    if len(data) == 1 and (Path(data[0]) / MANIFEST).is_file():
        if schema is not None or against is not None:
            raise typer.BadParameter("--schema and --against are for tables, but a model was named.")
        loaded = read_artifact(data[0])
        facts, held = _facts(loaded), loaded.manifest.schema
        result({**facts, "schema": held}, Group(_pairs(facts), "", schema_table(held)), json=json)
        return
    source = options.opened(data, delimiter, encoding)
    options.spare_the_data(data, schema)
    if against is not None:
        if schema is not None:
            raise typer.BadParameter("--schema writes what is found, --against compares. Choose one.")
        _compare(source, against, json=json)
        return
    kinds = options.parse_kinds(column)
    with progress() as tell:
        found = run(
            source.watched(lambda done, total: tell("inspect", done, total)),
            label=label,
            known=known,
            ignore=ignore,
            key=key,
            kinds=kinds,
            missing=options.missing_tokens(missing),
            decimal=options.decimal_mark(decimal),
        )
    if schema is not None:
        save_schema(found, schema, data=source, overwrite=overwrite)
    result(found, schema_table(found), json=json)


def _compare(source: Source, against: Path, *, json: bool) -> None:
    from stillwatch.artifact.load import read_artifact
    from stillwatch.table.departures import departures
    from stillwatch.table.schema_file import load_schema

    if against.is_dir():
        manifest = read_artifact(against).manifest
        found = departures(manifest.schema, source, categories=manifest.categories)
    else:
        found = departures(load_schema(against), source)
    table = _grid("severity", "column", "what", "found")
    for departure in found:
        style = {"error": "red", "warning": "yellow", "info": "dim"}[departure.severity]
        cells = (
            departure.severity,
            plain(departure.column, 60),
            departure.what,
            plain(departure.detail, 300),
        )
        table.add_row(*(Text(cell, style=style) for cell in cells))
    result(found, table if found else "The table does not depart.", json=json)
    if any(departure.severity == "error" for departure in found):
        raise typer.Exit(1)


def _facts(loaded: Loaded) -> dict[str, Any]:
    from stillwatch.calibration.conformal import finest_rate

    manifest = loaded.manifest
    calibration = manifest.calibration
    return {
        "digest": loaded.digest,
        "written by": f"stillwatch {manifest.writer}, protocol {manifest.protocol}",
        "teacher": manifest.teacher.get("name"),
        "student": manifest.student.get("name"),
        "bytes": len(loaded.model),
        "inputs": loaded.summary.inputs,
        **({} if manifest.parent is None else {"recalibrated from": manifest.parent}),
        "calibration rows": calibration.rows,
        "approximate": calibration.approximate,
        "alert rate": manifest.alert_rate,
        "finest alert rate": finest_rate(calibration),
        **({} if manifest.groups is None else {"calibrated by": manifest.groups.column}),
    }


def _pairs(facts: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    shown = {
        **facts,
        "bytes": f"{facts['bytes']:,}",
        "inputs": ", ".join(f"{name} [n, {columns}]" for name, columns in facts["inputs"].items()),
        "calibration rows": f"{facts['calibration rows']:,}",
        "approximate": "yes, the p-values come from folds" if facts["approximate"] else "no",
        "finest alert rate": f"{facts['finest alert rate']:.3g}",
    }
    for name, value in shown.items():
        table.add_row(name, Text(plain(value, 200), overflow="fold"))
    return table


def schema_table(schema: Schema) -> Table:
    """How each column is read, and why."""
    table = _grid("column", "kind", "role", "why")
    for column in schema.columns:
        style = "" if column.role == "feature" else "dim"
        cells = (plain(column.name, 60), column.kind, column.role, plain(in_flags(column.reason), 240))
        table.add_row(*(Text(cell, style=style) for cell in cells))
    return table


def _grid(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading)
    return table
