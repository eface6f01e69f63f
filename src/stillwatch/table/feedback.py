"""What people found when they looked into alarms: joined by key to the rows that the next model is distilled from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.pack import Packer
from stillwatch.table.read import Source, open_source
from stillwatch.table.schema import Column, Schema, refuse_unknown
from stillwatch.table.values import shown

KNOWN = "known"


@dataclass(frozen=True)
class Feedback:
    """Confirmations, row by row.

    Attributes
    ----------
    rows
        the rows with `known` as one more column, for `distill(feedback.rows, known="known")`.
    known
        (n,) 1 = confirmed anomaly, 0 = confirmed normal, NaN = nobody looked.
    matched, unmatched
        keys of the confirmations that were found among the rows, and those that were not.
    """

    rows: Source
    known: NDArray[np.float64]
    matched: int
    unmatched: int


def join_feedback(data: Any, feedback: Any, *, key: str | Iterable[str], column: str = KNOWN) -> Feedback:
    """Find the rows that people have judged.

    Parameters
    ----------
    data
        the rows, with the key columns among theirs: anything `distill` takes.
    feedback
        the same key columns and one of 1 (an anomaly) and 0 (a false alarm); other columns do not matter, so it may be the file
        that `stillwatch score` wrote, with that column filled in. A gap means that nobody looked.
    key
        the column or columns that name a row, alike in both. They are compared as text: 443 is "443".
    column
        the column of `feedback` with the 1 and 0.

    Returns
    -------
    What is known of each row; a key that stands in several rows speaks for all of them.

    Raises
    ------
    SchemaError
        a column is missing, or the rows have a column `known` already.
    TableError
        a value is neither 0 nor 1, a confirmation has no key, two contradict each other, or none is of any of the rows.
    """
    keys = (key,) if isinstance(key, str) else tuple(key)
    if not keys:
        raise SchemaError("no key column was named. Name the column that tells which row was confirmed.")
    judged = _judged(feedback, keys, column)
    source = open_source(data)
    refuse_unknown(keys, source.names)
    if KNOWN in source.names:
        raise SchemaError(f"the rows have a column {KNOWN!r} already. Rename it, or leave it out.")
    packer = _packer(keys)
    names = [tuple(row) for batch in source.batches() for row in packer.table(batch).texts.tolist()]
    matched = len(judged.keys() & set(names))
    if judged and not matched:
        first = ", ".join(shown(part) for part in next(iter(judged)))
        raise TableError(
            f"none of the {len(judged):,} confirmations is of one of the {len(names):,} rows (first key: {first}). "
            "Check that both write their keys alike."
        )
    known = np.array([judged.get(name, np.nan) for name in names], dtype=np.float64)
    return Feedback(_with_column(source, known), known, matched, len(judged) - matched)


def _with_column(source: Source, known: NDArray[np.float64]) -> Source:
    """The rows with one more column, still streamed."""

    def batches(size: int) -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in source.batches(size):
            column = pa.array(known[start : start + batch.num_rows], from_pandas=True)  # NaN is a gap
            start += batch.num_rows
            yield pa.RecordBatch.from_arrays([*batch.columns, column], names=[*source.names, KNOWN])

    return replace(source, names=(*source.names, KNOWN), named=True, _read=batches)


def _judged(feedback: Any, keys: tuple[str, ...], column: str) -> dict[tuple[str, ...], float]:
    """Key -> 1 or 0, of the rows that somebody looked at."""
    source = open_source(feedback)
    refuse_unknown((*keys, column), source.names)
    packer = _packer(keys, column)
    judged: dict[tuple[str, ...], float] = {}
    row = 0
    for batch in source.batches():
        rows = packer.table(batch, first_row=row + 1)
        for name, (value,) in zip(map(tuple, rows.texts.tolist()), rows.numbers.tolist(), strict=True):
            row += 1
            if np.isnan(value):
                continue
            if value not in (0, 1):
                raise TableError(
                    f"column {shown(column)}: {value:g} at row {row:,} is neither 1 nor 0.",
                    column=column,
                    row=row,
                )
            if "" in name:
                raise TableError(
                    f"column {shown(keys[name.index('')])}: the confirmation at row {row:,} has no key.",
                    row=row,
                )
            if judged.setdefault(name, value) != value:
                what = ", ".join(map(shown, name))
                raise TableError(
                    f"the key {what} is confirmed both as an anomaly and as normal (row {row:,}). Keep one of them.",
                    row=row,
                )
    return judged


def _packer(keys: tuple[str, ...], column: str | None = None) -> Packer:
    columns = [Column(name=name, kind="category") for name in keys]
    if column is not None:
        columns.append(Column(name=column, kind="boolean"))
    return Packer(Schema(columns=tuple(columns)))
