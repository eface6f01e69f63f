"""One `Source` for everything that rows may come in."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.files import File, open_file
from stillwatch.table.memory import (
    batches_of_numbers,
    is_plain,
    table_of_objects,
    table_of_records,
    table_of_stream,
)
from stillwatch.table.schema import did_you_mean, refuse_duplicates
from stillwatch.table.values import shown

BATCH = 65_536  # rows


@dataclass(frozen=True)
class Source:
    """Rows that can be streamed, any number of times.

    Attributes
    ----------
    names
        columns, each once.
    description
        what this is, for people.
    named
        False for an array, whose columns are called "x0", "x1", ...
    """

    names: tuple[str, ...]
    description: str
    named: bool
    _read: Callable[[int], Iterator[pa.RecordBatch]] = field(repr=False)

    def batches(self, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Rows in batches of at most `size`, columns in the order of `names`.

        Types may differ between batches, since files need not agree; `table.pack` reads them all. No batch is
        empty, but without any rows one empty batch comes.
        """
        any_rows = False
        for batch in self._read(size):
            for start in range(0, batch.num_rows, size):
                any_rows = True
                yield batch.slice(start, size)
        if not any_rows:
            yield pa.RecordBatch.from_arrays([pa.nulls(0) for _ in self.names], names=list(self.names))


def open_source(data: Any) -> Source:
    """Open files, a dataframe, an Arrow table, an array or a list of dicts.

    Parameters
    ----------
    data
        a path, a glob or a list of paths (CSV, CSV.gz, TSV, Parquet; all with the same columns); pandas,
        polars or anything else with `__arrow_c_stream__`; a 2-D NumPy array; a list of dicts. A path that
        exists is never a glob.

    Raises
    ------
    TableError
        it cannot be read; names the file and, where one is to blame, the line.
    SchemaError
        a column name stands twice, or files differ in their columns.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, str | os.PathLike):
        return _of_files(_paths(os.fspath(data)), str(data))
    if isinstance(data, np.ndarray):
        return _of_array(data)
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return _of_table(data, "Arrow table")
    if hasattr(data, "__arrow_c_stream__"):
        library = type(data).__module__.partition(".")[0]
        return _of_table(table_of_stream(data), f"{library} {type(data).__name__}")
    if isinstance(data, Sequence) and data:
        if all(isinstance(item, str | os.PathLike) for item in data):
            return _of_files([Path(item) for item in data], f"list of {len(data):,} files")
        if isinstance(data[0], Mapping):
            return _of_table(table_of_records(data), "list of dicts")
    what = (
        "an empty list" if isinstance(data, list) and not data else f"an object of type {type(data).__name__}"
    )
    raise TableError(
        f"{what} came, expected a path, a glob, a list of paths, a dataframe, an Arrow table, "
        "a 2-D NumPy array or a list of dicts."
    )


def _paths(text: str) -> list[Path]:
    if os.path.lexists(text) or not glob.has_magic(text):
        return [Path(text)]
    found = [Path(path) for path in sorted(glob.glob(text, recursive=True))]
    files = [path for path in found if not path.is_dir()]
    if not files:
        raise TableError(f"no file matches {shown(text, 200)}.")
    return files


def _of_files(paths: list[Path], description: str) -> Source:
    files = [open_file(path) for path in paths]
    first = files[0]
    for other in files[1:]:
        _refuse_other_columns(first, other)

    def read(size: int) -> Iterator[pa.RecordBatch]:
        for file in files:
            for batch in file.batches(size):
                yield batch.select(list(first.names))

    return Source(first.names, description, True, read)


def _refuse_other_columns(first: File, other: File) -> None:
    absent = [name for name in first.names if name not in other.names]
    added = [name for name in other.names if name not in first.names]
    if absent:
        what = f"column {shown(absent[0])} is missing{did_you_mean(absent[0], other.names)}"
    elif added:
        what = f"column {shown(added[0])} is one too many."
    else:
        return
    raise SchemaError(f"{other.path}: {what} All files must have the columns of {first.path}.")


def _of_table(table: pa.Table, kind: str) -> Source:
    names = tuple(table.schema.names)
    if not names:
        raise TableError(f"the {kind} has no columns.")
    refuse_duplicates(names)
    description = f"{kind} of {table.num_rows:,} rows and {len(names):,} columns"
    return Source(names, description, True, lambda size: iter(table.to_batches(max_chunksize=size)))


def _of_array(x: NDArray[Any]) -> Source:
    if x.ndim != 2 or not x.shape[1]:
        raise TableError(
            f"an array of shape {x.shape} came, expected 2-D (rows, columns) with at least one column."
        )
    if x.dtype.kind not in "fiubOUS":
        raise TableError(f"an array of {x.dtype} came, expected numbers or text.")
    names = tuple(f"x{j}" for j in range(x.shape[1]))
    description = f"array of {x.shape[0]:,} rows and {x.shape[1]:,} columns"
    if is_plain(x):
        return Source(names, description, False, lambda size: batches_of_numbers(x, names, size))
    table = table_of_objects(x, names)
    return Source(names, description, False, lambda size: iter(table.to_batches(max_chunksize=size)))
