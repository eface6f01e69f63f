"""How a table will be read, before anything is done with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stillwatch.table.read import open_source
from stillwatch.table.schema import MISSING_TOKENS, DecimalMark, Kind, Schema, infer_schema


def inspect(
    data: Any,
    *,
    label: str | None = None,
    known: str | None = None,
    ignore: Iterable[str] = (),
    key: Iterable[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    missing: Iterable[str] = MISSING_TOKENS,
    decimal: DecimalMark | None = None,
) -> Schema:
    """Kind and role of every column, with the reason for each; hand it to `distill(schema=...)`, changed or not.

    Parameters
    ----------
    data
        anything `distill` takes.
    label, known, ignore, key
        columns in these roles.
    kinds
        column -> "number", "category" or "boolean", where the caller knows better.
    missing
        texts that mean a missing value.
    decimal
        decimal mark of numbers written as text, "." or ","; None: found out.

    Examples
    --------
    >>> schema = inspect([{"amount": 3.5, "city": "Bern"}, {"amount": None, "city": "Basel"}])
    >>> [(column.name, column.kind) for column in schema.columns]
    [('amount', 'number'), ('city', 'category')]
    """
    source = open_source(data)
    return infer_schema(
        source,
        label=label,
        known=known,
        ignore=ignore,
        key=key,
        kinds=kinds,
        missing=missing,
        decimal=decimal,
    )
