"""The rows that are distilled, drawn while the schema is inferred: a long table is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.errors import SchemaError
from stillwatch.table.pack import Packer, Rows, packer_of
from stillwatch.table.read import Source
from stillwatch.table.sample import Sampler
from stillwatch.table.schema import Schema

MOST_ROWS = 200_000  # a larger table is sampled uniformly

First = Callable[[pa.RecordBatch], NDArray[np.bool_]]


class Drawing:
    """A uniform sample of at most `limit` rows, which depends on the rows and the seed."""

    def __init__(self, limit: int, seed: int) -> None:
        self._limit, self._seed = limit, seed
        self._sampler = self._new(None)
        self._drawn = False

    def watch(
        self, batches: Iterable[pa.RecordBatch], first: First | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Hand batches on, and draw among their rows; the sample begins anew at every call."""
        self._sampler, self._drawn = self._new(first), True
        for batch in batches:
            self._sampler.add(batch)
            yield batch

    def table(self, source: Source, first: First | None) -> pa.Table:
        """The rows drawn; they are read for it where nobody has read them, or where some come `first` (see `sample`)."""
        if not self._drawn or first is not None:
            for _ in self.watch(source.batches(), first):
                pass
        return self._sampler.table()

    def _new(self, first: First | None) -> Sampler:
        return Sampler(self._limit, np.random.default_rng(self._seed), first=first)


def read_rows(
    source: Source, schema: Schema, time: str | None, by: str | None, drawing: Drawing
) -> tuple[
    Rows,
    NDArray[np.float64] | None,
    NDArray[np.float64] | None,
    NDArray[Any] | None,
    NDArray[np.object_] | None,
]:
    """The rows drawn, confirmed anomalies first, their labels, what is known, when they happened, and their groups, or None."""
    clock = None if time is None else _clock(schema, time)
    group = None if by is None else packer_of(schema, by, "category")
    packer = Packer(schema)
    first = None if schema.known is None else lambda batch: packer.known(batch) == 1
    table = drawing.table(source, first)
    labels = None if schema.label is None else packer.label(table)
    return (
        packer.table(table),
        labels,
        None if schema.known is None else packer.known(table),
        None if clock is None else _order(clock.table(table)),
        None if group is None else group.table(table).texts[:, 0],
    )


def _clock(schema: Schema, time: str) -> Packer:
    """Reads the column that tells when a row happened, whatever its role."""
    packer = packer_of(schema, time)
    (column,) = packer.schema.columns
    if column.kind not in {"timestamp", "number"}:
        raise SchemaError(
            f"time={time!r}: the column is of kind {column.kind} ({column.reason}); expected a timestamp or a number. "
            "Declare its kind, or name another column."
        )
    return packer


def _order(when: Rows) -> NDArray[Any]:
    """(n,) when rows happened; those without a time count as the oldest."""
    return when.times[:, 0] if when.times.shape[1] else np.nan_to_num(when.numbers[:, 0], nan=-np.inf)
