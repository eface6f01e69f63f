"""Tables in files: CSV (plain or gzipped, any usual separator) and Parquet, streamed.

CSV is read with every column as text, so that `table.pack` alone decides what a value means.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.memory import PANDAS_INDEX
from stillwatch.table.schema import refuse_duplicates
from stillwatch.table.values import is_unicode, shown

_BLOCK = 2 << 20  # bytes of CSV parsed at once; no row may be longer, and Arrow reads some 30 blocks ahead
_SEPARATORS = ",;\t|"
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive (an Excel file?)",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"ARROW1": "an Arrow IPC file",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy file",
}
_READ_ERRORS = (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeError, csv.Error)


@dataclass(frozen=True)
class File:
    """One file of a table.

    Attributes
    ----------
    names
        columns, in the file's order.
    separator, gzipped
        of a CSV file.
    """

    path: Path
    format: Literal["csv", "parquet"]
    names: tuple[str, ...]
    separator: str = ","
    gzipped: bool = False

    def batches(self, size: int) -> Generator[pa.RecordBatch, None, None]:
        """Rows of the file, from its start at every call; a CSV batch may be larger than `size`."""
        with _explained(self.path):
            for batch in self._parquet(size) if self.format == "parquet" else self._csv():
                yield batch.select(list(self.names))

    def _parquet(self, size: int) -> Iterator[pa.RecordBatch]:
        # Buffers filled ahead would stay until the end, and so hold the whole file.
        with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 20) as file:
            yield from file.iter_batches(batch_size=size)

    def _csv(self) -> Iterator[pa.RecordBatch]:
        ragged: list[Any] = []

        def remember(row: Any) -> str:
            ragged.append(row)
            return "error"

        with _opened(self.path, self.gzipped) as stream:
            try:
                yield from pacsv.open_csv(
                    stream,
                    # One thread: only then does a wrong row know its number.
                    read_options=pacsv.ReadOptions(block_size=_BLOCK, use_threads=False),
                    parse_options=pacsv.ParseOptions(
                        delimiter=self.separator, newlines_in_values=True, invalid_row_handler=remember
                    ),
                    convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(self.names, pa.string())),
                )
            except pa.ArrowInvalid as exc:
                if ragged:
                    raise self._ragged(ragged[0]) from exc
                if found := re.search(r"Row #(\d+): .*invalid UTF8", str(exc)):
                    line = self._line(int(found[1]))
                    raise TableError(
                        f"{self.path} is not UTF-8 text at line {line:,}. Save it in UTF-8."
                    ) from exc
                raise

    def _ragged(self, row: Any) -> TableError:
        return TableError(
            f"{self.path}: line {self._line(row.number):,} has {row.actual_columns} fields, the header has "
            f"{row.expected_columns}; it begins {shown(row.text)}. Put fields that hold "
            f"{shown(self.separator)} in quotes, or mend the line.",
            row=row.number - 1,
        )

    def _line(self, record: int) -> int:
        """Line where a record begins: blank lines and line breaks in quotes set the two apart."""
        try:
            with _text(self.path, self.gzipped) as text:
                reader = csv.reader(text, delimiter=self.separator)
                begins = 1
                for fields in reader:
                    record -= bool(fields)
                    if not record:
                        return begins
                    begins = reader.line_num + 1
        except csv.Error:
            pass
        return record


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
    with _explained(path):
        with path.open("rb") as raw:
            head = raw.read(8)
        if not head:
            raise TableError(f"{path} is empty.")
        file = _parquet_file(path) if _is_parquet(path, head) else _csv_file(path, head)
    try:
        refuse_duplicates(file.names)
    except SchemaError as exc:
        raise SchemaError(f"{path}: {exc}") from exc
    return file


def _is_parquet(path: Path, head: bytes) -> bool:
    if head.startswith(_PARQUET):
        return True
    if path.suffix.lower() in {".parquet", ".pq"}:
        raise TableError(f"{path} is not a Parquet file: it begins with {head!r}, not with {_PARQUET!r}.")
    return False


def _parquet_file(path: Path) -> File:
    with pq.ParquetFile(path) as file:
        names, rows = file.schema_arrow.names, file.metadata.num_rows
    if not rows:
        raise _no_rows(path)
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
        raise TableError(f"{path} is not text: it holds NUL bytes. Save it as CSV in UTF-8, or as Parquet.")
    separator = _separator(start)
    with _text(path, gzipped) as text:
        names = next((fields for fields in csv.reader(text, delimiter=separator) if fields), None)
    if names is None:
        raise TableError(f"{path} is empty.")
    if not all(map(is_unicode, names)):
        raise TableError(f"{path}: the column names are not UTF-8 text. Save it in UTF-8.")
    file = File(path, "csv", tuple(names), separator, gzipped)
    if len(set(names)) == len(names):
        # The first block also shows early whether the file can be parsed at all.
        with closing(file.batches(1)) as batches:
            if not any(batch.num_rows for batch in batches):
                raise _no_rows(path)
    return file


def _separator(start: bytes) -> str:
    """Find which of `_SEPARATORS` stands most often in the header, outside quotes."""
    header = start.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").splitlines()[:1]
    bare = "".join(b"".join(header).decode(errors="replace").split('"')[::2])
    return max(_SEPARATORS, key=bare.count)


@contextmanager
def _text(path: Path, gzipped: bool) -> Iterator[IO[str]]:
    # Whether the rows are UTF-8 is for Arrow to say, which knows the line.
    with (
        gzip.open(path) if gzipped else path.open("rb") as stream,
        io.TextIOWrapper(stream, encoding="utf-8-sig", newline="", errors="surrogateescape") as text,
    ):
        yield text


@contextmanager
def _opened(path: Path, gzipped: bool) -> Iterator[Any]:
    with pa.OSFile(str(path)) as raw:
        if gzipped:
            with pa.CompressedInputStream(raw, "gzip") as stream:
                yield stream
        else:
            yield raw


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the readers raise into one error that names the file."""
    try:
        yield
    except FileNotFoundError as exc:
        raise TableError(f"{path} does not exist.") from exc
    except PermissionError as exc:
        raise TableError(f"{path} may not be read: permission denied.") from exc
    except _READ_ERRORS as exc:
        raise TableError(f"{path} {_diagnosis(exc)}") from exc


def _diagnosis(exc: Exception) -> str:
    text = " ".join(str(exc).split())
    if isinstance(exc, UnicodeError) or "invalid UTF8" in text:
        return "is not UTF-8 text. Save it in UTF-8."
    if "straddling" in text:
        return f"has a row longer than {_BLOCK >> 20} MB. Is a quote left open?"
    if "Empty CSV" in text:
        return "has column names but no rows."
    if "runcated" in text or isinstance(exc, EOFError):
        return "is truncated: it ends in the middle of its compressed data. Copy it again."
    return f"is damaged or cannot be read: {text}"


def _no_rows(path: Path) -> TableError:
    return TableError(f"{path} has column names but no rows.")
