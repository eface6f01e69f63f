"""Tables in files: CSV (plain or gzipped, any usual separator) and Parquet, streamed.

CSV is read with every column as text, so that `table.pack` alone decides what a value means.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.memory import PANDAS_INDEX
from stillwatch.table.schema import refuse_duplicates
from stillwatch.table.values import shown

_BLOCK = 4 << 20  # bytes of CSV parsed at once; no row may be longer
_SEPARATORS = ",;\t|"
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive (.xlsx, .npz?)",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"ARROW1": "an Arrow IPC file",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x89HDF": "an HDF5 file",
}
_READ_ERRORS = (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeError, csv.Error)


@dataclass(frozen=True)
class File:
    """One file of a table.

    Attributes
    ----------
    names
        columns, in the file's order.
    separator
        of a CSV file.
    """

    path: Path
    format: Literal["csv", "parquet"]
    names: tuple[str, ...]
    separator: str = ","
    gzipped: bool = False

    def batches(self, size: int) -> Iterator[pa.RecordBatch]:
        """Rows of the file; may be called again."""
        with _told(self.path):
            read = self._parquet(size) if self.format == "parquet" else self._csv()
            for batch in read:
                yield batch.select(list(self.names))

    def _parquet(self, size: int) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(batch_size=size)

    def _csv(self) -> Iterator[pa.RecordBatch]:
        ragged: list[Any] = []

        def keep(row: Any) -> str:
            ragged.append(row)
            return "error"

        with _opened(self.path, self.gzipped) as stream:
            try:
                reader = pacsv.open_csv(
                    stream,
                    # One thread: only then does a wrong row know its number.
                    read_options=pacsv.ReadOptions(block_size=_BLOCK, use_threads=False),
                    parse_options=pacsv.ParseOptions(
                        delimiter=self.separator, newlines_in_values=True, invalid_row_handler=keep
                    ),
                    convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(self.names, pa.string())),
                )
                yield from reader
            except pa.ArrowInvalid as exc:
                if ragged:
                    raise self._ragged(ragged[0]) from exc
                raise

    def _ragged(self, row: Any) -> TableError:
        return TableError(
            f"{self.path}: line {row.number:,} has {row.actual_columns} fields, the header has {row.expected_columns} "
            f"(it begins {shown(row.text)}). Quote fields that hold a {shown(self.separator)}, or mend the line.",
            row=row.number - 1,
        )


def open_file(path: Path) -> File:
    """Recognise a file, read its column names, and make sure that there are rows.

    Raises
    ------
    TableError
        it is not there, cannot be read, is of another format, or has no rows.
    SchemaError
        a column name stands twice.
    """
    if path.is_dir():
        raise TableError(f"{path} is a directory. Name the files in it, for example {path / '*.csv'}.")
    with _told(path):
        with path.open("rb") as raw:
            head = raw.read(8)
        if not head:
            raise TableError(f"{path} is empty.")
        file = _parquet_file(path) if _is_parquet(path, head) else _csv_file(path, head)
    try:
        refuse_duplicates(file.names)
    except SchemaError as exc:
        raise SchemaError(f"{path}: {exc}") from exc
    if not any(batch.num_rows for batch in file.batches(1)):
        raise TableError(f"{path} has column names but no rows.")
    return file


def _is_parquet(path: Path, head: bytes) -> bool:
    if head.startswith(_PARQUET):
        return True
    if path.suffix.lower() in {".parquet", ".pq"}:
        raise TableError(f"{path} is not a Parquet file: it begins with {head!r}, not with {_PARQUET!r}.")
    return False


def _parquet_file(path: Path) -> File:
    names = pq.read_schema(path).names
    return File(path, "parquet", tuple(name for name in names if not PANDAS_INDEX.fullmatch(name)))


def _csv_file(path: Path, head: bytes) -> File:
    gzipped = head.startswith(_GZIP)
    if path.suffix.lower() == ".gz" and not gzipped:
        raise TableError(f"{path} is not a gzip file: it begins with {head!r}.")
    with gzip.open(path) if gzipped else path.open("rb") as stream:
        start = stream.read(1 << 16)
        for magic, what in _FOREIGN.items():
            if start.startswith(magic):
                raise TableError(f"{path} is {what}. Save it as CSV in UTF-8, or as Parquet.")
        if b"\0" in start:
            raise TableError(
                f"{path} is not text: it holds NUL bytes. Save it as CSV in UTF-8, or as Parquet."
            )
        stream.seek(0)
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        separator = _separator(start)
        names = next((row for row in csv.reader(text, delimiter=separator) if row), None)
    if names is None:
        raise TableError(f"{path} is empty.")
    return File(path, "csv", tuple(names), separator, gzipped)


def _separator(start: bytes) -> str:
    """The one of `_SEPARATORS` that stands most often in the header, outside quotes."""
    header = (start.removeprefix(b"\xef\xbb\xbf").strip().splitlines() or [b""])[0].decode(errors="replace")
    bare = "".join(header.split('"')[::2])
    return max(_SEPARATORS, key=bare.count)


@contextmanager
def _opened(path: Path, gzipped: bool) -> Iterator[Any]:
    with pa.OSFile(str(path)) as raw:
        if gzipped:
            with pa.CompressedInputStream(raw, "gzip") as stream:
                yield stream
        else:
            yield raw


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say which file failed, and why, in our own words."""
    try:
        yield
    except FileNotFoundError as exc:
        raise TableError(f"{path} does not exist.") from exc
    except PermissionError as exc:
        raise TableError(f"{path} may not be read: permission denied.") from exc
    except _READ_ERRORS as exc:
        raise TableError(f"{path} {_diagnosis(str(exc), exc)}") from exc


def _diagnosis(text: str, exc: BaseException) -> str:
    if isinstance(exc, UnicodeError) or "invalid UTF8" in text:
        return "is not UTF-8 text. Save it in UTF-8."
    if "straddling" in text:
        return f"has a row longer than {_BLOCK >> 20} MB: is a quote left open?"
    if "Empty CSV" in text:
        return "has column names but no rows."
    if "runcated" in text or "ended before" in text:
        return f"is truncated: {text}"
    return f"is damaged or cannot be read: {text}"
