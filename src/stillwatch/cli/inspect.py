from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from stillwatch.cli import options
from stillwatch.cli.show import result
from stillwatch.evaluation.inert import plain
from stillwatch.table.schema import Schema


def inspect(
    data: options.Data,
    label: options.Label = None,
    ignore: options.Ignore = [],  # noqa: B006
    key: options.Key = [],  # noqa: B006
    column: options.Kinds = [],  # noqa: B006
    json: options.Json = False,
) -> None:
    """Show how each column of a table, or of a model, is read, and why."""
    from stillwatch.scorer import load
    from stillwatch.table.inspect import inspect as run

    if len(data) == 1 and Path(data[0]).is_dir():
        schema = load(data[0]).manifest.schema
    else:
        schema = run(
            options.one_or_many(data), label=label, ignore=ignore, key=key, kinds=options.parse_kinds(column)
        )
    result(schema, _table(schema), json=json)


def _table(schema: Schema) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for name in ("column", "kind", "role", "why"):
        table.add_column(name)
    for column in schema.columns:
        style = "" if column.role == "feature" else "dim"
        cells = (plain(column.name, 60), column.kind, column.role, plain(column.reason, 200))
        table.add_row(*(Text(cell, style=style) for cell in cells))
    return table
