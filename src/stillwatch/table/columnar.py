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
    """A Parquet file."""

    place: Place
    names: tuple[str, ...]

    def batches(self, size: int) -> Generator[pa.RecordBatch, None, None]:
        """Rows from the start, at every call, in batches of at most `size`."""
        # Buffers filled ahead would stay until the end, and so hold the whole file.
        with (
            self.place.explained(),
            pq.ParquetFile(self.place.path, pre_buffer=False, buffer_size=1 << 20) as file,
        ):
            for batch in file.iter_batches(batch_size=size):
                batch.validate(full=True)  # Parquet's text need not be UTF-8
                yield batch.select(list(self.names))


@dataclass(frozen=True)
class ArrowFile:
    """An Arrow IPC file, in the file format or as a stream."""

    place: Place
    names: tuple[str, ...]
    stream: bool

    def batches(self, size: int) -> Generator[pa.RecordBatch, None, None]:
        """Rows from the start, at every call, in the batches of the file."""
        with self.place.explained(), _arrow(self.place, self.stream) as (_, batches):
            for batch in batches:
                batch.validate(full=True)  # offsets come from outside
                yield batch.select(list(self.names))


def open_parquet(place: Place) -> ParquetFile:
    """Read the column names."""
    with pq.ParquetFile(place.path) as file:
        return ParquetFile(place, _without_index(file.schema_arrow.names))


def open_arrow(place: Place, *, stream: bool) -> ArrowFile:
    """Read the column names."""
    with _arrow(place, stream) as (names, _):
        return ArrowFile(place, _without_index(names), stream)


@contextmanager
def _arrow(place: Place, stream: bool) -> Iterator[tuple[list[str], Iterator[Any]]]:
    with pa.OSFile(str(place.path)) as raw:
        if stream:
            with pa.ipc.open_stream(raw) as reader:
                yield reader.schema.names, iter(reader)
        else:
            with pa.ipc.open_file(raw) as reader:
                yield reader.schema.names, map(reader.get_batch, range(reader.num_record_batches))


def _without_index(names: list[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not PANDAS_INDEX.fullmatch(name))
