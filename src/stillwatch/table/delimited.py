"""CSV and its relatives, plain or gzipped, with any one-character separator.

Every column is read as text, so that `table.pack` alone decides what a value means.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as pacsv

from stillwatch.errors import TableError
from stillwatch.table.disk import LONGEST_LINE, Place
from stillwatch.table.values import is_unicode, shown

_BLOCK = LONGEST_LINE  # bytes parsed at once; no row may be longer, and Arrow reads some 30 blocks ahead
_SEPARATORS = ",;\t|"
_EXCEL = re.compile(
    r"\ufeff?sep=([^\r\n])\r?\n", re.IGNORECASE
)  # a first line with which Excel names the separator
_RAGGED = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)


@dataclass(frozen=True)
class DelimitedFile:
    """A text file with one row a line and a header, which follows after `skip` lines."""

    place: Place
    names: tuple[str, ...]
    separator: str
    rows: int = 0
    skip: int = 0

    def batches(self, size: int) -> Generator[pa.RecordBatch, None, None]:
        """Rows from the start, at every call; a batch may be larger than `size`."""
        with self.place.explained(), self.place.arrow() as stream:
            try:
                yield from pacsv.open_csv(
                    stream,
                    # One thread: only then does a wrong row know its number.
                    read_options=pacsv.ReadOptions(
                        block_size=_BLOCK,
                        use_threads=False,
                        encoding=self.place.encoding,
                        skip_rows=self.skip,
                        column_names=None if self.place.span is None else self.names,
                    ),
                    # No handler of invalid rows: Arrow prints a stack trace where such a row is not UTF-8.
                    parse_options=pacsv.ParseOptions(delimiter=self.separator, newlines_in_values=True),
                    convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(self.names, pa.string())),
                )
            except pa.ArrowInvalid as exc:
                if found := _RAGGED.search(str(exc)):
                    raise self._ragged(int(found[1]), int(found[2]), int(found[3]), found[4]) from exc
                if found := re.search(r"Row #(\d+): .*invalid UTF8", str(exc)):
                    line = self._line(int(found[1]))
                    raise TableError(f"{self.place.title} {self.place.not_text(line)}") from exc
                # The header has been read by then, so all that can be missing is rows.
                if "Empty CSV" not in str(exc):
                    raise

    def _ragged(self, record: int, expected: int, fields: int, text: str) -> TableError:
        advice = f"Put fields that hold {shown(self.separator)} in quotes, or mend the line."
        if expected == 1:
            advice += " If the header stands further down, remove what is above it."
        return TableError(
            f"{self.place.title}: line {self._line(record):,} has {fields} fields, the header has {expected}; it begins "
            f"{shown(text)}. {advice}",
            row=record - 1,
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
    """Read the header, and the first block, which shows early whether the file can be parsed at all.

    Parameters
    ----------
    start
        the first bytes of the file, unpacked.
    separator
        None: found out from the header.
    """
    head = start.decode(place.encoding, errors="replace")
    named = _EXCEL.match(head) if separator is None else None
    if named and not may_separate(named[1]):
        named = None  # a header that only looks like such a line
    separator = separator or (named[1] if named else separator_of(head))
    with place.text() as text:
        records = (fields for fields in csv.reader(text, delimiter=separator) if fields)
        if named:
            next(records)
        names = next(records, None)
    if names is None:
        raise TableError(f"{place.title} is empty.")
    if not all(map(is_unicode, names)):
        raise TableError(f"{place.title}: the header {place.not_text()}")
    file = DelimitedFile(place, tuple(names), separator, _about(place, start), 1 if named else 0)
    if len(set(names)) == len(names):
        with closing(file.batches(1)) as batches:
            next(batches, None)
    return file


def _about(place: Place, start: bytes) -> int:
    """Rows of a file, if its lines go on to be as long as in its first bytes; 0 where it is packed."""
    if place.gzipped:
        return 0
    lines = place.path.stat().st_size * start.count(b"\n") / len(start)
    return max(1, round(lines) - 1)


def may_separate(mark: str) -> bool:
    """Whether a text can separate fields: one ASCII character, as Arrow has it, that means nothing else in such a file."""
    return len(mark) == 1 and mark.isascii() and mark not in '"\r\n\0'


def separator_of(start: str) -> str:
    """Find which of `_SEPARATORS` stands most often in the header, outside quotes."""
    header = start.removeprefix("\ufeff").lstrip("\r\n").splitlines()[:1]
    bare = "".join("".join(header).split('"')[::2])
    return max(_SEPARATORS, key=bare.count)
