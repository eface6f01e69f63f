"""One `Source` for everything that rows may come in."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.encoding import guess_told
from stillwatch.table.files import File, open_file
from stillwatch.table.folder import files_in, with_keys
from stillwatch.table.memory import (
    batches_of_numbers,
    is_plain,
    table_of_objects,
    table_of_records,
    table_of_stream,
)
from stillwatch.table.schema import did_you_mean, refuse_duplicates
from stillwatch.table.standard_input import DASH, TITLE, copied
from stillwatch.table.values import shown

BATCH = 65_536  # rows
_MOST_CELLS = 100 * BATCH  # of one batch, so that wide tables take no more memory than long ones


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
    rows
        how many there are, as far as that is known without reading: text is estimated, 0 = not known.
    notes
        what had to be guessed to read it, and may be wrong.
    """

    names: tuple[str, ...]
    description: str
    named: bool
    _read: Callable[[int], Iterator[pa.RecordBatch]] = field(repr=False)
    rows: int = field(default=0, repr=False)
    notes: tuple[str, ...] = ()

    def batches(self, size: int | None = None) -> Iterator[pa.RecordBatch]:
        """Rows in batches of at most `size` (None: as memory allows), columns in the order of `names`.

        Types may differ between batches, since files need not agree; `table.pack` reads them all. No batch is
        empty, but without any rows one empty batch comes.
        """
        size = size or min(BATCH, max(1_024, _MOST_CELLS // len(self.names)))
        any_rows = False
        for batch in self._read(size):
            for start in range(0, batch.num_rows, size):
                any_rows = True
                yield batch.slice(start, size)
        if not any_rows:
            yield pa.RecordBatch.from_arrays([pa.nulls(0) for _ in self.names], names=list(self.names))

    def through(self, passing: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]) -> Source:
        """The same rows; whenever they are read, they pass through `passing`, which hands them on as they are."""
        return replace(self, _read=lambda size: passing(self._read(size)))

    def watched(self, tell: Callable[[int, int], None]) -> Source:
        """The same rows; whenever they are read, `tell` gets (rows done, rows in all): about so many, 0 = not known."""

        def read(size: int) -> Iterator[pa.RecordBatch]:
            done = 0
            tell(0, self.rows)
            for batch in self._read(size):
                yield batch
                done += batch.num_rows
                tell(done, max(self.rows, done + 1) if self.rows else 0)
            tell(done, done)

        return replace(self, _read=read)


def open_source(data: Any, *, delimiter: str | None = None, encoding: str | None = None) -> Source:
    """Open files, a folder, standard input, a dataframe, an Arrow table, an array or a list of dicts.

    Every function that takes rows opens them so by itself; call this where a text file needs a word of explanation.

    Parameters
    ----------
    data
        a path, a glob, a folder or a list of paths (CSV, TSV and NDJSON, also gzipped, Parquet, Arrow IPC; all
        with the same columns), "-" for standard input; pandas, polars or anything else with
        `__arrow_c_stream__`; a 2-D NumPy array; a list of dicts. A path that exists is never a glob, and no
        path is an address. Folders in a folder that are named key=value become columns.
    delimiter
        what stands between the fields of a text file, one character; None: found out from the header.
    encoding
        of a text file, such as "latin-2"; None: UTF-16 where the file begins with its mark, else UTF-8, or cp1252 where a
        CSV file is not UTF-8. That is a guess: it stands in `notes`, and is a `UnicodeWarning`.

    Raises
    ------
    TableError
        it cannot be read; names the file and, where one is to blame, the line.
    SchemaError
        a column name stands twice, or files differ in their columns.
    """
    opened = _source_of_files(data, delimiter, encoding)
    if opened is not None:
        for note in opened.notes:
            warnings.warn(note, UnicodeWarning, stacklevel=2)
        return opened
    if delimiter is not None or encoding is not None:
        raise TableError(
            f"delimiter and encoding are for files, but an object of type {type(data).__name__} came."
        )
    if isinstance(data, Source):
        return data
    if isinstance(data, np.ndarray):
        return _of_array(data)
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return _of_table(data, "Arrow table")
    if hasattr(data, "__arrow_c_stream__"):
        library = type(data).__module__.partition(".")[0]
        return _of_table(table_of_stream(data), f"{library} {type(data).__name__}")
    if isinstance(data, Sequence) and data and isinstance(data[0], Mapping):
        return _of_table(table_of_records(data), "list of dicts")
    what = (
        "an empty list" if isinstance(data, list) and not data else f"an object of type {type(data).__name__}"
    )
    raise TableError(
        f"{what} came, expected a path, a glob, a folder, a list of paths, a dataframe, an Arrow table, "
        "a 2-D NumPy array or a list of dicts."
    )


def _source_of_files(data: Any, delimiter: str | None, encoding: str | None) -> Source | None:
    """Open what stands in files; None: `data` is something else."""
    held: list[object] = []

    def opened(path: Path, folder: Path | None = None, title: str = "") -> File:
        if path.is_fifo():
            title, (path, copy) = str(path), copied(path)
            held.append(copy)
        file = open_file(path, delimiter=delimiter, encoding=encoding, title=title)
        return file if folder is None else with_keys(file, folder)

    if isinstance(data, str | os.PathLike) and os.fspath(data) == DASH:
        path, copy = copied()
        return _of_files([opened(path, title=TITLE)], TITLE, encoding, copy)
    places = paths_of(data)
    if places is None:
        return None
    files = [opened(path, folder) for path, folder in places]
    if not isinstance(data, str | os.PathLike):
        return _of_files(files, f"list of {len(files):,} files", encoding, held)
    of_folder = places[0][1] is not None
    return _of_files(files, f"{data} ({len(files):,} files)" if of_folder else str(data), encoding, held)


def paths_of(data: Any) -> list[tuple[Path, Path | None]] | None:
    """Files that a path, a glob, a folder or a list of paths stands for, in order; None: `data` is something else.

    Each comes with the folder whose `key=value` folders become its columns, None where there is no such folder.

    Raises
    ------
    TableError
        nothing matches a glob, or a folder holds no table.
    """
    if isinstance(data, str | os.PathLike):
        text = os.fspath(data)
        if os.path.isdir(text):
            return [(path, Path(text)) for path in files_in(Path(text))]
        return [(path, None) for path in _paths(text)]
    if isinstance(data, Sequence) and data and all(isinstance(item, str | os.PathLike) for item in data):
        return [(Path(item), None) for item in data]
    return None


def _paths(text: str) -> list[Path]:
    if os.path.lexists(text) or not glob.has_magic(text):
        return [Path(text)]
    found = [Path(path) for path in sorted(glob.glob(text, recursive=True))]
    files = [path for path in found if not path.is_dir()]
    if not files:
        raise TableError(f"no file matches {shown(text, 200)}.")
    return files


def _of_files(files: list[File], description: str, encoding: str | None, held: object) -> Source:
    """One source of all files, whose encoding was declared or not; `held` lives as long as it does."""
    first = files[0]
    for other in files[1:]:
        _refuse_other_columns(first, other)
    stamps = [_stamp(file) for file in files]

    def read(size: int, _held: object = held) -> Iterator[pa.RecordBatch]:
        for file, stamp in zip(files, stamps, strict=True):
            _refuse_changed(file, stamp)
            for batch in file.batches(size):
                yield batch.select(list(first.names))
            _refuse_changed(file, stamp)

    known = [file.rows for file in files]
    rows = sum(known) if all(known) else 0
    notes = guess_told(((file.place.title, file.place.encoding) for file in files), encoding)
    return Source(first.names, description, True, read, rows, notes)


def _stamp(file: File) -> tuple[int, ...]:
    with file.place.explained():
        about = file.place.path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns


def _refuse_changed(file: File, stamp: tuple[int, ...]) -> None:
    """A file is read more than once: a change in between would mix two tables."""
    if _stamp(file) != stamp:
        raise TableError(f"{file.place.title} changed while it was being read. Run again when it rests.")


def _refuse_other_columns(first: File, other: File) -> None:
    absent = [name for name in first.names if name not in other.names]
    added = [name for name in other.names if name not in first.names]
    if absent:
        what = f"column {shown(absent[0])} is missing{did_you_mean(absent[0], other.names)}"
    elif added:
        what = f"column {shown(added[0])} is one too many."
    else:
        return
    raise SchemaError(f"{other.place.title}: {what} All files must have the columns of {first.place.title}.")


def _of_table(table: pa.Table, kind: str) -> Source:
    names = tuple(table.schema.names)
    if not names:
        raise TableError(f"the {kind} has no columns.")
    refuse_duplicates(names)
    description = f"{kind} of {table.num_rows:,} rows and {len(names):,} columns"
    return Source(
        names, description, True, lambda size: iter(table.to_batches(max_chunksize=size)), table.num_rows
    )


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
        return Source(names, description, False, lambda size: batches_of_numbers(x, names, size), len(x))
    table = table_of_objects(x, names)
    return Source(names, description, False, lambda size: iter(table.to_batches(max_chunksize=size)), len(x))
