"""How a table will be read, before anything is done with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stillwatch.table.read import open_source
from stillwatch.table.schema import Kind, Schema, infer_schema


def inspect(
    data: Any,
    *,
    label: str | None = None,
    ignore: Iterable[str] = (),
    key: Iterable[str] = (),
    kinds: Mapping[str, Kind] | None = None,
) -> Schema:
    """Kind and role of every column, with the reason for each; hand it to `distill(schema=...)`, changed or not.

    Parameters
    ----------
    data
        anything `distill` takes.
    label, ignore, key
        columns in these roles.
    kinds
        column -> "number", "category" or "boolean", where the caller knows better.

    Examples
    --------
    >>> schema = inspect([{"amount": 3.5, "city": "Bern"}, {"amount": None, "city": "Basel"}])
    >>> [(column.name, column.kind) for column in schema.columns]
    [('amount', 'number'), ('city', 'category')]
    """
    return infer_schema(open_source(data), label=label, ignore=ignore, key=key, kinds=kinds)
