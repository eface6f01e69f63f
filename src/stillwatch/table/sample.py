"""A uniform sample of a stream of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.types as pt
from numpy.typing import NDArray

from stillwatch.errors import TableError
from stillwatch.table.values import MIXED, mixed, spelled


def sample(
    batches: Iterable[pa.RecordBatch],
    limit: int,
    rng: np.random.Generator,
    *,
    first: Callable[[pa.RecordBatch], NDArray[np.bool_]] | None = None,
) -> pa.Table:
    """At most `limit` rows, each equally likely, in their original order.

    Every row draws a random key and the rows with the lowest keys stay, so the result depends on the
    generator and on the rows, not on how they were cut into batches.

    Parameters
    ----------
    limit
        most rows to keep, at least 1; memory holds about twice as many.
    first
        tells which rows of a batch are kept before any other.

    Raises
    ------
    TableError
        there is no batch at all, or a column's types cannot be joined.
    """
    sampler = Sampler(limit, rng, first=first)
    for batch in batches:
        sampler.add(batch)
    return sampler.table()


class Sampler:
    """The same sample, drawn while somebody else reads the batches; see `sample`."""

    def __init__(
        self,
        limit: int,
        rng: np.random.Generator,
        *,
        first: Callable[[pa.RecordBatch], NDArray[np.bool_]] | None = None,
    ) -> None:
        self._limit, self._rng, self._first = limit, rng, first
        self._kept: list[pa.RecordBatch] = []
        self._keys = np.empty(0)
        self._highest = np.inf  # key of the worst row that stays

    def add(self, batch: pa.RecordBatch) -> None:
        """Draw among the rows of the next batch."""
        drawn = self._rng.random(batch.num_rows)
        if self._first is not None:
            drawn[self._first(batch)] -= 1.0
        stays = drawn < self._highest
        # An empty piece is kept once, for its schema.
        if stays.any() or not self._kept:
            self._kept.append(_without_views(batch).filter(pa.array(stays)))
            self._keys = np.concatenate([self._keys, drawn[stays]])
        if len(self._keys) > 2 * self._limit:
            self._kept, self._keys = _lowest(self._kept, self._keys, self._limit)
            self._highest = self._keys.max()

    def table(self) -> pa.Table:
        """The rows that stay.

        Raises
        ------
        TableError
            see `sample`.
        """
        if not self._kept:
            raise TableError("there is nothing to sample: no batch came.")
        kept, _ = _lowest(self._kept, self._keys, self._limit)
        return _joined(kept)


def _without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Text views, which polars hands out, as text: Arrow cannot filter views."""
    return batch.cast(
        pa.schema(
            field.with_type(pa.string()) if pt.is_string_view(field.type) else field for field in batch.schema
        )
    )


def _lowest(
    kept: list[pa.RecordBatch], keys: NDArray[np.float64], limit: int
) -> tuple[list[pa.RecordBatch], NDArray[np.float64]]:
    if len(keys) <= limit:
        return kept, keys
    stays = np.zeros(len(keys), dtype=np.bool_)
    stays[np.argpartition(keys, limit - 1)[:limit]] = True
    ends = np.cumsum([piece.num_rows for piece in kept])
    masks = np.split(stays, ends[:-1])
    return [piece.filter(pa.array(mask)) for piece, mask in zip(kept, masks, strict=True)], keys[stays]


def _joined(pieces: list[pa.RecordBatch]) -> pa.Table:
    tables = [pa.Table.from_batches([piece]) for piece in pieces]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        pass
    try:
        return pa.concat_tables([_spelled(table, tables) for table in tables])
    except pa.ArrowException as exc:
        raise TableError(
            f"a column has types that cannot be joined: {exc}. Give it one type in all files."
        ) from exc


def _spelled(table: pa.Table, tables: list[pa.Table]) -> pa.Table:
    """Columns whose types differ between files in a form in which every value keeps its meaning: `MIXED`, or text."""
    for i, name in enumerate(table.schema.names):
        types = {other.schema.field(name).type for other in tables}
        if len(types) > 1:
            column = table.column(i).combine_chunks()
            if all(map(_may_be_mixed, types)):
                column = mixed(column)
            else:
                column = spelled(column) if column.type == MIXED else column.cast(pa.string())
            table = table.set_column(i, name, column)
    return table


def _may_be_mixed(kind: pa.DataType) -> bool:
    return bool(
        kind == MIXED
        or pt.is_boolean(kind)
        or pt.is_integer(kind)
        or pt.is_floating(kind)
        or pt.is_null(kind)
    )
