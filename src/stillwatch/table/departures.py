"""How a table departs from a schema that was made of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from stillwatch.table.read import Source, open_source
from stillwatch.table.schema import Column, Schema, did_you_mean, listed
from stillwatch.table.timestamp import MISSING_TIME
from stillwatch.table.values import Kind, UnreadTypeError, ValueRules, shown

Severity = Literal["info", "warning", "error"]

MANY_UNSEEN = 0.01  # from this share of rows on, new categories are a warning

_PLURAL: dict[Kind, str] = {
    "number": "numbers",
    "category": "clean text",
    "boolean": "true or false",
    "timestamp": "timestamps",
}


class Departure(msgspec.Struct, frozen=True):
    """One way in which a table departs.

    Attributes
    ----------
    what
        "missing column", "new column", "changed kind", "new categories" or "no values".
    severity
        "error": the rows cannot be scored as they are. "warning": they can, and the scores deserve a look. "info": no harm.
    detail
        what was found, for people.
    """

    column: str
    what: str
    severity: Severity
    detail: str


def departures(
    schema: Schema, data: Any, *, categories: Mapping[str, Collection[str]] | None = None
) -> tuple[Departure, ...]:
    """Compare a table with a schema, from one pass over its rows; the worst come first.

    Parameters
    ----------
    data
        anything `inspect` takes.
    categories
        known values by column, as a model's manifest has them; None: new categories are not looked for.

    Raises
    ------
    TableError
        the table cannot be read.
    """
    source = open_source(data)
    found = _of_columns(schema, source.names)
    watches = [
        _Watch(column, schema, (categories or {}).get(column.name))
        for column in schema.features
        if column.name in source.names
    ]
    found += _of_values(watches, source)
    worst: list[Severity] = ["error", "warning", "info"]
    return tuple(sorted(found, key=lambda departure: worst.index(departure.severity)))


def _of_columns(schema: Schema, names: tuple[str, ...]) -> list[Departure]:
    known = {column.name for column in schema.columns}
    new = [name for name in names if name not in known]
    found = []
    severities: dict[str, Severity] = {"feature": "error", "key": "error", "label": "info", "known": "info"}
    for column in schema.columns:
        if column.name not in names and column.role in severities:
            detail = f"this {column.role} is not among the columns{did_you_mean(column.name, new)}"
            found.append(Departure(column.name, "missing column", severities[column.role], detail))
    found += [
        Departure(name, "new column", "info", "the schema does not have it; it is ignored.") for name in new
    ]
    return found


def _of_values(watches: list[_Watch], source: Source) -> list[Departure]:
    for batch in source.batches():
        for watch in watches:
            watch.add(batch.column(watch.column.name))
    return [departure for watch in watches if (departure := watch.judge()) is not None]


class _Watch:
    """Running counts over one feature column, read by its rule."""

    def __init__(self, column: Column, schema: Schema, known: Collection[str] | None) -> None:
        self.column = column
        self.rows = self.present = self.wrong = 0
        self.unread = self.first = ""
        self.other_numbers = 0  # in a boolean column
        self.unseen: Counter[str] | None = None if known is None else Counter()
        self._known = frozenset(known or ())
        self._rules = ValueRules(schema.missing, schema.decimal)

    def add(self, array: pa.Array) -> None:
        kind = self.column.kind
        try:
            if kind == "timestamp":
                values, wrong = self._rules.times(array, self.column.zone)
                present = values != MISSING_TIME
            elif kind == "category":
                values, wrong = self._rules.texts(array)
                present = values != ""
                if self.unseen is not None:
                    self.unseen.update(text for text in values[present].tolist() if text not in self._known)
            else:
                values, wrong = (self._rules.booleans if kind == "boolean" else self._rules.numbers)(array)
                present = ~np.isnan(values)
                self.other_numbers += int((present & (values != 0) & (values != 1)).sum())
        except UnreadTypeError as exc:
            self.unread = str(exc)
            return
        if wrong is not None:
            if not self.wrong:
                at = int(wrong.argmax())
                self.first = f"{shown(array[at].as_py())} at row {self.rows + at + 1:,}"
            self.wrong += int(wrong.sum())
        self.rows += len(array)
        self.present += int(present.sum())

    def judge(self) -> Departure | None:
        name, kind = self.column.name, self.column.kind
        if self.unread:
            return Departure(
                name, "changed kind", "error", f"was {kind}, now holds {self.unread}, which is not read."
            )
        if self.wrong:
            many = f"{self.wrong:,} of {self.rows:,} values are not {_PLURAL[kind]} (first: {self.first})."
            return Departure(name, "changed kind", "error", many)
        if not self.present:
            return Departure(name, "no values", "warning", f"all {self.rows:,} values are missing.")
        if self.unseen:
            return self._new_categories(self.unseen)
        if kind == "boolean" and self.other_numbers:
            detail = f"{self.other_numbers:,} of {self.rows:,} values are numbers other than 0 and 1."
            return Departure(name, "changed kind", "warning", detail)
        return None

    def _new_categories(self, unseen: Counter[str]) -> Departure:
        rows = unseen.total()
        share = rows / self.rows
        often = [text for text, _ in unseen.most_common(3)]
        detail = (
            f"{len(unseen):,} values that the model does not know (never seen, or too rare to be kept), "
            f"in {rows:,} of {self.rows:,} rows ({share:.2%}), such as {listed(often)}."
        )
        severity: Severity = "warning" if share >= MANY_UNSEEN else "info"
        return Departure(self.column.name, "new categories", severity, detail)
