"""Many dicts to rows, quickly, where any of them may be wrong.

What is wrong with one does not touch the others: each row means what it means alone, as `Packer.row` has it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow.types as pt
from numpy.typing import NDArray

from stillwatch.errors import InputError, TableError
from stillwatch.table.memory import column_of
from stillwatch.table.pack import Packer
from stillwatch.table.rows import Rows
from stillwatch.table.values import shown

Record = dict[str, Any]

_NUMBERS = frozenset((float, int, bool, type(None)))
_NOT_IN_STRIDE = (KeyError, TypeError, ValueError, OverflowError)


class Refused(NamedTuple):
    """A record that cannot be packed.

    Attributes
    ----------
    at
        its place among the records, from 0.
    reason
        what is wrong and what to do; it tells no value.
    """

    at: int
    reason: str


class RecordPacker:
    """Packs dicts as they come from JSON or from the fields of a text file.

    Parameters
    ----------
    packer
        of the model's schema.
    known
        column -> categories in their one spelling, which need not be looked at again.
    absent_is_missing
        a key that a record lacks is a missing value; otherwise it is an error, as in a single row.
    """

    def __init__(
        self, packer: Packer, known: Mapping[str, Iterable[str]], *, absent_is_missing: bool = False
    ) -> None:
        schema = packer.schema
        self._packer = packer
        self._names = (*schema.numbers, *schema.texts, *schema.times)
        self._numbers = _getter(schema.numbers)
        self._texts = {name: frozenset(known.get(name, ())) for name in schema.texts}
        self._zones = {column.name: column.zone for column in schema.features if column.kind == "timestamp"}
        self._absent_is_missing = absent_is_missing

    def pack(self, records: Sequence[Record]) -> tuple[Rows, list[Refused]]:
        """Rows of the records that can be packed, in order, and what is wrong with the others."""
        if self._absent_is_missing:
            nothing = dict.fromkeys(self._names)
            records = [record if record.keys() >= nothing.keys() else nothing | record for record in records]
        try:
            return self._in_stride(records), []
        except _NOT_IN_STRIDE:
            return self._one_by_one(records)

    def pack_tuples(self, rows: Sequence[tuple[Any, ...]]) -> Rows | None:
        """The same of tuples: the schema's numbers (as float, bool or None), texts and times, in order, then anything.

        None: something is wrong with some of them.
        """
        place = {name: at for at, name in enumerate(self._names)}
        try:
            return self._packed(
                self._floats(rows), len(rows), lambda name: list(map(itemgetter(place[name]), rows))
            )
        except _NOT_IN_STRIDE:
            return None

    def _floats(self, rows: Sequence[tuple[Any, ...]]) -> NDArray[np.float64]:
        width = len(self._packer.schema.numbers)
        numbers = rows if rows and len(rows[0]) == width else [row[:width] for row in rows]
        pack = struct.Struct(f"{width}d").pack
        try:
            values = np.frombuffer(b"".join([pack(*row) for row in numbers])).reshape(len(rows), width)
        except struct.error:  # None
            values = np.array(numbers, dtype=np.float64)
        return self._packer.rules.blanked(values)

    def _in_stride(self, records: Sequence[Record]) -> Rows:
        """All at once; any error means that a record has to be looked at alone."""
        numbers = self._matrix([self._numbers(record) for record in records])
        return self._packed(numbers, len(records), lambda name: [record[name] for record in records])

    def _packed(
        self, numbers: NDArray[np.float64], rows: int, column_named: Callable[[str], list[Any]]
    ) -> Rows:
        rules = self._packer.rules
        texts = np.empty((rows, len(self._texts)), dtype=np.object_)
        for j, (name, known) in enumerate(self._texts.items()):
            texts[:, j] = [value if value in known else rules.text(value) for value in column_named(name)]
        times = np.empty((rows, len(self._zones)), dtype=np.int64)
        for j, (name, zone) in enumerate(self._zones.items()):
            values = column_named(name)
            column = column_of(values, name)
            types = {type(value) for value in values if value is not None}
            # A column of several types is text or floats, and of integers beyond 64 bits floats, too: these round.
            if len(types) > 1 or (int in types and pt.is_floating(column.type)):
                raise ValueError(name)
            found = rules.times(column, zone)
            if found.wrong is not None:
                raise ValueError(name)
            times[:, j] = found.values
        return Rows(numbers, texts, times)

    def _matrix(self, rows: list[tuple[Any, ...]]) -> NDArray[np.float64]:
        width = len(self._packer.schema.numbers)
        if not width or not rows:
            return np.empty((len(rows), width))
        if not _NUMBERS.issuperset(map(type, rows[0])):
            return self._columns(rows)
        values = np.array(rows)
        if values.dtype.kind == "O":
            if not _NUMBERS.issuperset(map(type, chain.from_iterable(rows))):
                return self._columns(rows)
            values = np.array(rows, dtype=np.float64)
        if values.dtype.kind == "U":  # a number in text that only a later row has
            return self._columns(rows)
        if values.shape != (len(rows), width) or values.dtype.kind not in "fiub":
            raise ValueError("not numbers")
        return self._packer.rules.blanked(values.astype(np.float64, copy=False))

    def _columns(self, rows: list[tuple[Any, ...]]) -> NDArray[np.float64]:
        """Numbers that are written as text, column by column."""
        schema, rules = self._packer.schema, self._packer.rules
        kinds = {column.name: column.kind for column in schema.features}
        columns = []
        for name, values in zip(schema.numbers, zip(*rows, strict=True), strict=True):
            read = rules.booleans if kinds[name] == "boolean" else rules.numbers
            found = read(column_of(values, name))
            if found.wrong is not None:
                raise ValueError(name)
            columns.append(found.values)
        return np.stack(columns, axis=1)

    def _one_by_one(self, records: Sequence[Record]) -> tuple[Rows, list[Refused]]:
        packed, refused = [self._in_stride([])], []
        for at, record in enumerate(records):
            try:
                packed.append(self._packer.row(record))
            except InputError as exc:
                refused.append(Refused(at, _without_value(exc, record)))
        return Rows.concat(packed), refused


def _getter(names: Sequence[str]) -> Callable[[Record], tuple[Any, ...]]:
    """Like `itemgetter`, always to a tuple."""
    return itemgetter(*names) if len(names) > 1 else lambda record: tuple(record[name] for name in names)


def _without_value(exc: InputError, record: Record) -> str:
    """What is wrong, without what stands in the record: reasons go to logs."""
    where, colon, what = str(exc).partition(": ")
    if isinstance(exc, TableError) and exc.column in record:
        what = what.replace(shown(record[exc.column]), "a value", 1)
    return where + colon + what
