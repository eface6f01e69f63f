"""CSV and its relatives, plain or gzipped, with any one-character separator.

Every column is read as text, so that `table.pack` alone decides what a value means.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from stillwatch.errors import TableError
from stillwatch.table.disk import LONGEST_LINE, Place
from stillwatch.table.values import is_unicode, shown

_BLOCK = LONGEST_LINE  # bytes parsed at once; no row may be longer, and Arrow reads some 30 blocks ahead
_SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class DelimitedFile:
    """A text file with one row a line and a header."""

    place: Place
    names: tuple[str, ...]
    separator: str

    def batches(self, size: int) -> Generator[pa.RecordBatch, None, None]:
        """Rows from the start, at every call; a batch may be larger than `size`."""
        ragged: list[Any] = []

        def remember(row: Any) -> str:
            ragged.append(row)
            return "error"

        with self.place.explained(), _arrow_stream(self.place) as stream:
            try:
                yield from pacsv.open_csv(
                    stream,
                    # One thread: only then does a wrong row know its number.
                    read_options=pacsv.ReadOptions(
                        block_size=_BLOCK, use_threads=False, encoding=self.place.encoding
                    ),
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
                    raise TableError(f"{self.place.title} {self.place.not_text(line)}") from exc
                raise

    def _ragged(self, row: Any) -> TableError:
        return TableError(
            f"{self.place.title}: line {self._line(row.number):,} has {row.actual_columns} fields, the header has "
            f"{row.expected_columns}; it begins {shown(row.text)}. Put fields that hold "
            f"{shown(self.separator)} in quotes, or mend the line.",
            row=row.number - 1,
        )

    def _line(self, record: int) -> int:
        """Line where a record begins: blank lines and line breaks in quotes set the two apart."""
        try:
            with self.place.text() as text:
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


def open_delimited(place: Place, start: bytes, separator: str | None) -> DelimitedFile:
    """Read the header, and make sure that there are rows.

    Parameters
    ----------
    start
        the first bytes of the file, unpacked.
    separator
        None: found out from the header.
    """
    separator = _separator(start.decode(place.encoding, errors="replace")) if separator is None else separator
    with place.text() as text:
        names = next((fields for fields in csv.reader(text, delimiter=separator) if fields), None)
    if names is None:
        raise TableError(f"{place.title} is empty.")
    if not all(map(is_unicode, names)):
        raise TableError(f"{place.title}: the header {place.not_text()}")
    file = DelimitedFile(place, tuple(names), separator)
    if len(set(names)) == len(names):
        # The first block also shows early whether the file can be parsed at all.
        with closing(file.batches(1)) as batches:
            if not any(batch.num_rows for batch in batches):
                raise TableError(f"{place.title} has column names but no rows.")
    return file


def _separator(start: str) -> str:
    """Find which of `_SEPARATORS` stands most often in the header, outside quotes."""
    header = start.removeprefix("\ufeff").lstrip("\r\n").splitlines()[:1]
    bare = "".join("".join(header).split('"')[::2])
    return max(_SEPARATORS, key=bare.count)


@contextmanager
def _arrow_stream(place: Place) -> Iterator[Any]:
    with pa.OSFile(str(place.path)) as raw:
        if place.gzipped:
            with pa.CompressedInputStream(raw, "gzip") as stream:
                yield stream
        else:
            yield raw
