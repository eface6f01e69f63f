"""Scores to a file, whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pyarrow.types as pt

from stillwatch.errors import TableError

# OWASP, CSV injection: a spreadsheet runs a cell that begins so. Plain negative numbers are spared.
_FORMULA = r"^([=+\-@\t\r])"
_PLAIN_NUMBER = r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"


def write_scores(
    path: str | os.PathLike[str], batches: Iterable[pa.RecordBatch], *, overwrite: bool = False
) -> int:
    """Write batches of one schema to a .csv, .csv.gz or .parquet file, atomically.

    The rows go to a temporary file beside the target, which takes its name when complete. In CSV, text (and names) that a
    spreadsheet would run as a formula begins with a single quote.

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
        the target exists, cannot be written, has another extension, or no batch came.
    """
    target = Path(os.path.realpath(path))
    write = _writer(target)
    _check_target(target, overwrite)
    with _temporary(target) as part:
        rows = write(part, iter(batches), target)
        part.flush()
        os.fsync(part.fileno())
        _check_target(target, overwrite)  # it may have come meanwhile
        os.replace(part.name, target)
    _sync_folder(target.parent)
    return rows


def _writer(target: Path) -> Any:
    name = target.name.lower()
    if name.endswith(".csv"):
        return _write_csv
    if name.endswith(".csv.gz"):
        return _write_csv_gz
    if name.endswith((".parquet", ".pq")):
        return _write_parquet
    raise TableError(
        f"{target.name}: scores are written to .csv, .csv.gz or .parquet. Choose one of these extensions."
    )


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise TableError(f"{target.parent} is not a folder. Create it first.")
    if target.exists() and not target.is_file():
        raise TableError(f"{target} is not a regular file. Name another target.")
    if target.exists() and not overwrite:
        raise TableError(f"{target} exists. Name another target, or allow it to be overwritten.")


@contextmanager
def _temporary(target: Path) -> Iterator[Any]:
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        stream = part.open("xb")
    except OSError as exc:
        raise TableError(f"{target.parent} cannot be written to: {exc.strerror}.") from exc
    try:
        with stream:
            yield stream
    except OSError as exc:
        raise TableError(f"{target} could not be written: {exc.strerror or exc}.") from exc
    finally:
        part.unlink(missing_ok=True)


def _write_csv(stream: Any, batches: Iterator[pa.RecordBatch], target: Path) -> int:
    first = _first(batches, target)
    rows = 0
    with pacsv.CSVWriter(stream, _inert(first).schema) as writer:
        for batch in chain([first], batches):
            writer.write_batch(_inert(batch))
            rows += batch.num_rows
    return rows


def _write_csv_gz(stream: Any, batches: Iterator[pa.RecordBatch], target: Path) -> int:
    with pa.CompressedOutputStream(stream, "gzip") as packed:
        return _write_csv(packed, batches, target)


def _write_parquet(stream: Any, batches: Iterator[pa.RecordBatch], target: Path) -> int:
    first = _first(batches, target)
    rows = 0
    with pq.ParquetWriter(stream, first.schema) as writer:
        for batch in chain([first], batches):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _first(batches: Iterator[pa.RecordBatch], target: Path) -> pa.RecordBatch:
    first = next(batches, None)
    if first is None:
        raise TableError(f"{target.name}: nothing came to be written, not even column names.")
    return first


def _inert(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [_inert_column(column) for column in batch.columns]
    names = pc.replace_substring_regex(
        pa.array(batch.schema.names, pa.string()), _FORMULA, r"'\1"
    ).to_pylist()
    return pa.RecordBatch.from_arrays(columns, names=names)


def _inert_column(column: pa.Array) -> pa.Array:
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pt.is_string(column.type) or pt.is_large_string(column.type)):
        return column
    quoted = pc.replace_substring_regex(column, _FORMULA, r"'\1")
    return pc.if_else(pc.match_substring_regex(column, _PLAIN_NUMBER), column, quoted)


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # a platform that opens no folders keeps the name in its own way
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
