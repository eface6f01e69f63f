"""Parquet and Arrow IPC files (also called Feather), streamed."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.table.disk import Place
from stillwatch.table.memory import PANDAS_INDEX


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file.

    Attributes
    ----------
    names
        columns to read.
    groups
        row groups to read, None: all.
    rows
        in all groups.
    """

    place: Place
    names: tuple[str, ...]
    groups: range | None = None
    rows: int = 0

    def batches(self, size: int) -> Generator[pa.RecordBatch, None, None]:
        """Rows from the start, at every call, in batches of at most `size`."""
        groups = None if self.groups is None else list(self.groups)
        # Buffers filled ahead would stay until the end, and so hold the whole file.
        with (
            self.place.explained(),
            pq.ParquetFile(self.place.path, pre_buffer=False, buffer_size=1 << 20) as file,
        ):
            for batch in file.iter_batches(batch_size=size, row_groups=groups, columns=list(self.names)):
                batch.validate(full=True)  # Parquet's text need not be UTF-8
                yield batch.select(list(self.names))


@dataclass(frozen=True)
class ArrowFile:
    """An Arrow IPC file, in the file format or as a stream."""

    place: Place
    names: tuple[str, ...]
    stream: bool
    rows: int = 0

    def batches(self, size: int) -> Generator[pa.RecordBatch, None, None]:
        """Rows from the start, at every call, in the batches of the file."""
        with self.place.explained(), _arrow(self.place, self.stream) as (_, batches, _):
            for batch in batches:
                batch.validate(full=True)  # offsets come from outside
                yield batch.select(list(self.names))


def open_parquet(place: Place) -> ParquetFile:
    """Read the column names."""
    with pq.ParquetFile(place.path) as file:
        return ParquetFile(place, _without_index(file.schema_arrow.names), rows=file.metadata.num_rows)


def open_arrow(place: Place, *, stream: bool) -> ArrowFile:
    """Read the column names."""
    with _arrow(place, stream) as (names, _, rows):
        return ArrowFile(place, _without_index(names), stream, rows)


@contextmanager
def _arrow(place: Place, stream: bool) -> Iterator[tuple[list[str], Iterator[Any], int]]:
    """Names, batches and number of rows, which a stream does not tell."""
    with pa.OSFile(str(place.path)) as raw:
        if stream:
            with pa.ipc.open_stream(raw) as reader:
                yield reader.schema.names, iter(reader), 0
        else:
            with pa.ipc.open_file(raw) as reader:
                batches = map(reader.get_batch, range(reader.num_record_batches))
                yield reader.schema.names, batches, reader.count_rows()


def _without_index(names: list[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not PANDAS_INDEX.fullmatch(name))
