"""Scores to a file, whole or not at all, or to a stream."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pyarrow.types as pt

from stillwatch.errors import TableError
from stillwatch.unfinished import sweep, unfinished

# OWASP, CSV injection: a spreadsheet runs a cell that begins so. Text that is a plain number is spared.
_FORMULA = r"^([=+\-@\t\r])"
_PLAIN_NUMBER = r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"

_Write = Callable[[Iterable[pa.RecordBatch], IO[bytes]], int]


def write_scores(
    path: str | os.PathLike[str], batches: Iterable[pa.RecordBatch], *, overwrite: bool = False
) -> int:
    """Write batches of one schema to a .csv, .csv.gz or .parquet file, atomically.

    The rows go to a temporary file beside the target, which takes its name when complete. Nothing is taken
    from `batches` before the target is known to be writable.

    Parameters
    ----------
    overwrite
        replace an existing file.

    Returns
    -------
    Number of rows written.

    Raises
    ------
    TableError
        the target exists, cannot be written or has another extension; batches differ in types, or none came.
    """
    target = Path(os.path.realpath(path))
    write = _write_for(target)
    _check_target(target, overwrite)
    return _put(target, lambda stream: write(batches, stream), overwrite)


def write_whole(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = False) -> None:
    """Write a small file atomically.

    Raises
    ------
    TableError
        the target exists and may not be replaced, or cannot be written.
    """
    target = Path(os.path.realpath(path))
    _check_target(target, overwrite)
    _put(target, lambda stream: stream.write(data), overwrite)


def _put(target: Path, write: Callable[[IO[bytes]], int], overwrite: bool) -> int:
    with _temporary(target) as stream:
        written = write(stream)
        stream.flush()
        os.fsync(stream.fileno())
        _check_target(target, overwrite)  # it may have come meanwhile
        os.replace(stream.name, target)
    _sync_folder(target.parent)
    return written


def write_csv(batches: Iterable[pa.RecordBatch], stream: IO[bytes] | gzip.GzipFile | None = None) -> int:
    """Write batches of one schema as CSV to an open stream; by default to standard output.

    Text (and names) that a spreadsheet would run as a formula gets a single quote in front.

    Returns
    -------
    Number of rows written.

    Raises
    ------
    TableError
        the batches differ in types, or there is none.
    """
    stream = sys.stdout.buffer if stream is None else stream
    inert = map(_inert, batches)
    first = _first(inert)
    with pacsv.CSVWriter(stream, first.schema) as writer:
        return _write_all(writer, first, inert)


def _write_csv_gz(batches: Iterable[pa.RecordBatch], stream: IO[bytes]) -> int:
    # Neither name nor time in the header: the same rows give the same bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
        return write_csv(batches, packed)


def _write_parquet(batches: Iterable[pa.RecordBatch], stream: IO[bytes]) -> int:
    batches = iter(batches)
    first = _first(batches)
    with pq.ParquetWriter(stream, first.schema) as writer:
        return _write_all(writer, first, batches)


_FORMATS: dict[str, _Write] = {
    ".csv": write_csv,
    ".csv.gz": _write_csv_gz,
    ".parquet": _write_parquet,
    ".pq": _write_parquet,
}


def _write_for(target: Path) -> _Write:
    for extension, write in _FORMATS.items():
        if target.name.lower().endswith(extension):
            return write
    raise TableError(f"{target}: scores go to .csv, .csv.gz or .parquet. Choose one of these extensions.")


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise TableError(f"{target.parent} is not a folder. Create it first.")
    if target.exists() and not target.is_file():
        raise TableError(f"{target} is not a regular file. Name another target.")
    if target.exists() and not overwrite:
        raise TableError(f"{target} exists. Name another target, or allow it to be overwritten.")


@contextmanager
def _temporary(target: Path) -> Iterator[IO[bytes]]:
    sweep(target, Path.unlink)
    with unfinished(target, _make_file) as part:
        try:
            with part.open("wb") as stream:
                yield stream
        except OSError as exc:
            raise TableError(f"{target} could not be written: {exc.strerror or exc}.") from exc
        finally:
            part.unlink(missing_ok=True)  # renamed by now, unless something failed


def _make_file(path: Path) -> None:
    try:
        path.touch(exist_ok=False)
    except OSError as exc:
        raise TableError(f"{path.parent} cannot be written to: {exc.strerror}.") from exc


def _write_all(writer: Any, first: pa.RecordBatch, others: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    for batch in chain([first], others):
        if batch.schema != first.schema:
            raise TableError(
                f"columns change from one batch to the next: {_types(first)}, then {_types(batch)}. "
                "Give the columns that go along to the scores one type in all files."
            )
        writer.write_batch(batch)
        rows += batch.num_rows
    return rows


def _types(batch: pa.RecordBatch) -> str:
    return ", ".join(f"{field.name!r} {field.type}" for field in batch.schema)


def _first(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch:
    first = next(batches, None)
    if first is None:
        raise TableError("nothing came to be written, not even a batch without rows.")
    return first


def _inert(batch: pa.RecordBatch) -> pa.RecordBatch:
    names = pc.replace_substring_regex(pa.array(batch.schema.names, pa.string()), _FORMULA, r"'\1")
    return pa.RecordBatch.from_arrays([_inert_column(column) for column in batch.columns], names.to_pylist())


def _inert_column(column: pa.Array) -> pa.Array:
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pt.is_string_view(column.type):
        column = column.cast(pa.string())
    if not (pt.is_string(column.type) or pt.is_large_string(column.type)):
        return column
    inert = pc.replace_substring_regex(column, _FORMULA, r"'\1")
    return pc.if_else(pc.match_substring_regex(column, _PLAIN_NUMBER), column, inert)


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # not every platform opens folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
