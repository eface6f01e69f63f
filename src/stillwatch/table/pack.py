"""Where values become a model's inputs; one value means one thing, whatever door it came through.

The rules (`table.values` applies them):

missing
    A null, None, NaN, or a text that is exactly one of the schema's missing tokens once trimmed of ASCII
    white space. A token that reads as a number (-999) stands for that number in every spelling and type.
number
    Text is trimmed and must be a decimal number: "3", "+.5", "1e-3", "inf", "nan" in any case; never "1,5"
    (unless the schema's decimal mark is the comma; then never "1.5"), "1_000" or "0x10". Integers and
    decimals of any size become the nearest float64, beyond its range ±inf; true is 1, false is 0.
boolean
    The words true/false, t/f, yes/no, y/n in any case; anything else as a number, which passes as it is.
category
    Text is trimmed and stands as it is, case included. Whole numbers have one spelling, 443, whether they
    came as 443, 443.0, "443" or "443.0"; other numbers the shortest that reads back as the same value of
    their type; booleans, and the words true/false in any case, are "true" and "false". Bytes must be UTF-8.
    Refused: more than 10,000 characters, a NUL character, half of a surrogate pair.
timestamp
    Microseconds since 1970 in UTC. Typed timestamps, dates (midnight), datetime objects; text in ISO 8601, year
    first: "2024-03-01", "2024-03-01T12:30", "2024-03-01 12:30:05.25", with or without "Z" or "+01:00" behind the
    time, and the same with slashes in the date; whole numbers, also as text, are microseconds. What names no zone
    is in the column's zone, UTC by default: where clocks go back, the first of the two hours; where they go forward,
    as if they had not yet. Parts of a microsecond are dropped. What lies beyond int64 becomes its first or last value.
columns
    Go by name, in any order; columns that the schema does not need are ignored, a missing or a doubled one is
    an error. Without names (arrays, tuples) they go by position: all feature columns of the schema, or all
    its columns.
types
    number, category, boolean: integers, floats and decimals of any width, booleans, text, bytes, nulls; durations
    (timedelta) and times of day, which are numbers of seconds, the latter since midnight. timestamp: timestamps of
    any unit and zone, dates, text, integers, whole floats, nulls. Dictionaries (pandas and polars categories), runs, views
    and nullable types hold these as their plain forms do; an extension type stands for the type that it stores.
    Lists, structs, maps, intervals of months, complex numbers and other objects are errors that say what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.memory import is_plain, number_column, table_of_objects
from stillwatch.table.rows import Layout, Rows
from stillwatch.table.schema import Schema, did_you_mean, listed, refuse_unknown
from stillwatch.table.values import (
    NESTED,
    Kind,
    Parsed,
    UnreadTypeError,
    ValueRules,
    WrongValueError,
    shown,
)

__all__ = ["Layout", "Packer", "Rows", "packer_of"]

_PIECE = 16_384  # rows packed at once, which stay in the cache

# What np.array turns into float64 exactly as `ValueRules.number` does.
_PLAIN = frozenset((float, int, bool, type(None), np.float64, np.float32, np.int64, np.int32, np.bool_))

# Per kind: what one wrong value is, what several are, and what to do.
_WRONG: dict[Kind, tuple[str, str, str]] = {
    "number": (
        "is not a number",
        "are not numbers",
        "Clean it, add it to the missing tokens, or declare the column a category.",
    ),
    "boolean": (
        "is neither true nor false",
        "are neither true nor false",
        "Write true/false, yes/no, t/f, y/n or 1/0, or declare the column a category.",
    ),
    "category": (
        "is not clean text",
        "are not clean text",
        "Text must be UTF-8, at most 10,000 characters and without NUL. Clean it, or ignore the column.",
    ),
    "timestamp": (
        "is not a timestamp",
        "are not timestamps",
        "Write it as 2024-12-31T23:59:59Z, year first, add it to the missing tokens, or declare the column a category.",
    ),
}
_COMMA = "Declare decimal=',' if commas are decimal marks, otherwise clean it."
_LABEL = "A label must be 1 (or true, yes) for an anomaly and 0 (or false, no) for a normal row."
_KNOWN = "It must be 1 (or true) for a confirmed anomaly, 0 (or false) for a confirmed normal row, and empty for all others."


class Packer:
    """Packs tables, arrays and single rows by the rules above.

    Parameters
    ----------
    schema
        columns to pack, missing tokens, decimal mark.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rules = ValueRules(schema.missing, schema.decimal)
        self._kinds: dict[str, Kind] = {column.name: column.kind for column in schema.features}
        self._numbers, self._texts, self._times = schema.numbers, schema.texts, schema.times
        self._zones = {column.name: column.zone for column in schema.features}
        self._features = tuple(self._kinds)
        self._columns = tuple(column.name for column in schema.columns)

    def table(self, batch: pa.RecordBatch | pa.Table, first_row: int = 1) -> Rows:
        """Pack Arrow rows.

        Parameters
        ----------
        first_row
            number of the first row, for messages.

        Raises
        ------
        SchemaError
            a column is missing or doubled.
        TableError
            a value that its column cannot hold, or a type that is not read; names column, row and value.
        """
        self._check_names(batch.schema.names)
        rows = self._empty(batch.num_rows)
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        start = 0
        for piece in table.select(list(self._features)).to_batches(max_chunksize=_PIECE):
            stop = start + piece.num_rows
            for j, name in enumerate(self._numbers):
                rows.numbers[start:stop, j] = self._column(name, piece.column(name), first_row + start)
            for j, name in enumerate(self._texts):
                rows.texts[start:stop, j] = self._column(name, piece.column(name), first_row + start)
            for j, name in enumerate(self._times):
                rows.times[start:stop, j] = self._column(name, piece.column(name), first_row + start)
            start = stop
        return rows

    def array(self, x: NDArray[Any], first_row: int = 1) -> Rows:
        """Pack a 2-D array, columns by position: the feature columns of the schema, or all its columns.

        Raises
        ------
        SchemaError
            the array is not 2-D, or has another number of columns.
        TableError
            a value that its column cannot hold.
        """
        if x.ndim != 2:
            raise SchemaError(
                f"an array of shape {x.shape} came, expected 2-D: (rows, {len(self._features)} columns)."
            )
        names = self._by_position(x.shape[1])
        if not is_plain(x):
            return self.table(table_of_objects(x, names), first_row)
        place = {name: j for j, name in enumerate(names)}
        numbers = x if names == self._numbers else x[:, [place[name] for name in self._numbers]]
        with np.errstate(over="ignore"):  # long doubles beyond float64
            numbers = self.rules.blanked(numbers.astype(np.float64, copy=False))
        rows = self._empty(len(x))
        for part, wanted in ((rows.texts, self._texts), (rows.times, self._times)):
            for j, name in enumerate(wanted):
                part[:, j] = self._column(name, number_column(x[:, place[name]]), first_row)
        return Rows(numbers, rows.texts, rows.times)

    def row(self, row: Mapping[str, Any] | Sequence[Any] | NDArray[Any], number: int = 1) -> Rows:
        """Pack one row: by name (dict), or by position (tuple, list, 1-D array).

        Parameters
        ----------
        number
            of the row, for messages.

        Raises
        ------
        SchemaError
            a column is missing, or the number of values is another.
        TableError
            a value that its column cannot hold.
        """
        if isinstance(row, np.ndarray) and row.ndim == 1:
            return self.array(row[None], number)
        by_name = row if isinstance(row, dict) else self._named(row)
        try:
            numbers = [by_name[name] for name in self._numbers]
            texts = [by_name[name] for name in self._texts]
            times = [by_name[name] for name in self._times]
        except KeyError:
            self._check_names(by_name)
            raise
        plain = _PLAIN.issuperset(map(type, numbers)) and not len(self.rules.missing_numbers)
        try:
            packed = np.array(
                [numbers if plain else self._values(self._numbers, numbers, number)], dtype=np.float64
            )
        except OverflowError:  # an integer beyond the largest float
            packed = np.array([self._values(self._numbers, numbers, number)])
        words = np.empty((1, len(texts)), dtype=np.object_)
        words[0] = self._values(self._texts, texts, number)
        instants = np.array([self._values(self._times, times, number)], dtype=np.int64)
        return Rows(packed, words, instants)

    def label(self, batch: pa.RecordBatch | pa.Table) -> NDArray[np.float64]:
        """Labels of Arrow rows: (n,) 1 = anomaly, 0 = normal, NaN = missing.

        Raises
        ------
        SchemaError
            the schema declares no label, its column is missing or doubled, or holds something else.
        """
        name = self.schema.label
        if name is None:
            raise SchemaError("the schema has no label column. Declare the one that tells anomalies.")
        return self._answers(batch, name, "label column", _LABEL)

    def known(self, batch: pa.RecordBatch | pa.Table) -> NDArray[np.float64]:
        """What is known of Arrow rows: (n,) 1 = confirmed anomaly, 0 = confirmed normal, NaN = not known.

        Raises
        ------
        SchemaError
            the schema declares no such column, it is missing or doubled, or holds something else.
        """
        name = self.schema.known
        if name is None:
            raise SchemaError(
                "the schema has no column of what is known. Declare the one that holds confirmed rows."
            )
        return self._answers(batch, name, "column of what is known,", _KNOWN)

    def extra(self, names: Iterable[str]) -> tuple[str, ...]:
        """Names that do not stand in the schema, and whose columns are therefore ignored."""
        return tuple(name for name in names if name not in self._columns)

    def _empty(self, rows: int) -> Rows:
        return Rows(
            np.empty((rows, len(self._numbers))),
            np.empty((rows, len(self._texts)), dtype=np.object_),
            np.empty((rows, len(self._times)), dtype=np.int64),
        )

    def _check_names(self, names: Iterable[str]) -> None:
        _check_names(self._features, list(names))

    def _column(self, name: str, array: pa.Array, first_row: int) -> NDArray[Any]:
        try:
            values, wrong = self._parsed(name, array)
        except UnreadTypeError as exc:
            present = array.is_valid().to_numpy(zero_copy_only=False)
            raise _unread(name, exc, first_row + int(present.argmax())) from exc
        if wrong is not None:
            at = int(wrong.argmax())
            self._refuse(name, array[at].as_py(), first_row + at, int(wrong.sum()), len(array))
        return values

    def _parsed(self, name: str, array: pa.Array) -> Parsed:
        kind = self._kinds[name]
        if kind == "number":
            return self.rules.numbers(array)
        if kind == "timestamp":
            return self.rules.times(array, self._zones[name])
        return self.rules.booleans(array) if kind == "boolean" else self.rules.texts(array)

    def _values(self, names: tuple[str, ...], values: list[Any], row: int) -> list[Any]:
        return [self._value(name, value, row) for name, value in zip(names, values, strict=True)]

    def _value(self, name: str, value: Any, row: int) -> Any:
        kind = self._kinds[name]
        try:
            if kind == "number":
                return self.rules.number(value)
            if kind == "timestamp":
                return self.rules.time(value, self._zones[name])
            return self.rules.boolean(value) if kind == "boolean" else self.rules.text(value)
        except WrongValueError:
            self._refuse(name, value, row, 1, 1)
        except UnreadTypeError as exc:
            raise _unread(name, exc, row) from exc

    def _refuse(self, name: str, value: Any, row: int, wrong: int, rows: int) -> NoReturn:
        one, many, advice = _WRONG[self._kinds[name]]
        if self._kinds[name] == "number" and isinstance(value, str) and "," in value:
            advice = _COMMA
        if rows == 1:
            what = f"{shown(value)} {one}"
        else:
            what = f"{wrong:,} of {rows:,} values {many} (first: {shown(value)} at row {row:,})"
        raise TableError(f"column {shown(name)}: {what}. {advice}", column=name, row=row)

    def _answers(
        self, batch: pa.RecordBatch | pa.Table, name: str, what: str, advice: str
    ) -> NDArray[np.float64]:
        _check_names([name], batch.schema.names)
        column = batch.column(name)
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        return np.concatenate([np.empty(0), *(self._answer(name, chunk, what, advice) for chunk in chunks)])

    def _answer(self, name: str, array: pa.Array, what: str, advice: str) -> NDArray[np.float64]:
        try:
            values, wrong = self.rules.booleans(array)
        except UnreadTypeError as exc:
            raise SchemaError(f"the {what} {shown(name)} holds {exc}. {advice}") from exc
        strange = ~((values == 0) | (values == 1) | np.isnan(values))
        if wrong is not None:
            strange |= wrong
        if strange.any():
            found = array.filter(pa.array(strange)).unique().to_pylist()
            raise SchemaError(f"the {what} {shown(name)} holds {listed(map(str, found), 4)}. {advice}")
        return values

    def _named(self, row: Any) -> dict[str, Any]:
        if hasattr(row, "_asdict"):  # a named tuple
            return dict(row._asdict())
        if hasattr(row, "keys"):  # another mapping, a pandas Series
            return {key: row[key] for key in row.keys()}  # noqa: SIM118 - a Series iterates over its values
        if isinstance(row, list | tuple):
            return dict(zip(self._by_position(len(row)), row, strict=True))
        raise SchemaError(
            f"one row came as {type(row).__name__}, expected a dict, or a tuple, a list or a 1-D array of "
            f"{len(self._features)} values."
        )

    def _by_position(self, width: int) -> tuple[str, ...]:
        if width == len(self._features):
            return self._features
        if width == len(self._columns):
            return self._columns
        all_columns = f" or all {len(self._columns)}" if len(self._columns) > len(self._features) else ""
        raise SchemaError(
            f"{width} columns came without names, expected the {len(self._features)} feature columns"
            f"{all_columns}: {listed(self._features)}."
        )


def packer_of(schema: Schema, name: str, kind: Kind | None = None) -> Packer:
    """A packer of one column alone, whatever its role.

    Parameters
    ----------
    kind
        how to read it; None: as the schema says.

    Raises
    ------
    SchemaError
        the schema has no such column.
    """
    refuse_unknown([name], [column.name for column in schema.columns])
    column = next(column for column in schema.columns if column.name == name)
    column = msgspec.structs.replace(column, role="feature")
    if kind is not None:
        column = msgspec.structs.replace(column, kind=kind, zone="")
    return Packer(msgspec.structs.replace(schema, columns=(column,)))


def _check_names(needed: Sequence[str], names: list[str]) -> None:
    known = set(names)
    absent = [name for name in needed if name not in known]
    if absent:
        more = (
            f" In all, {len(absent):,} of {len(needed):,} are missing: {listed(absent)}."
            if absent[1:]
            else ""
        )
        raise SchemaError(f"column {shown(absent[0])} is missing{did_you_mean(absent[0], names)}{more}")
    if len(known) < len(names):
        for name in needed:
            if names.count(name) > 1:
                raise SchemaError(f"column {shown(name)} stands {names.count(name)} times. Keep one of them.")


def _unread(name: str, exc: UnreadTypeError, row: int) -> TableError:
    if str(exc) == NESTED:
        return TableError(
            f"column {shown(name)} holds {NESTED} (first at row {row:,}). "
            "Give each value in them its own column, or ignore the column.",
            column=name,
            row=row,
        )
    return TableError(
        f"column {shown(name)}: {exc} is not read; numbers, text, true/false and, declared a timestamp, points in time "
        "are. Make it one of these, or ignore the column.",
        column=name,
    )
