"""NDJSON: one JSON object a line, plain or gzipped.

A column is any key of any line; a line without it has a missing value there. Arrow's own reader is not used: it guesses
timestamps out of text, and fails where a column is whole in one block and broken in the next.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.disk import LONGEST_LINE, UTF8, Place
from stillwatch.table.memory import column_of
from stillwatch.table.values import shown

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class JsonLinesFile:
    """A text file with one JSON object a line."""

    place: Place
    names: tuple[str, ...]

    def batches(self, size: int) -> Generator[pa.RecordBatch, None, None]:
        """Rows from the start, at every call, in batches of at most `size`."""
        with self.place.explained():
            records: list[dict[str, Any]] = []
            for _, record in _records(self.place):
                records.append(record)
                if len(records) == size:
                    yield self._batch(records)
                    records = []
            if records:
                yield self._batch(records)

    def _batch(self, records: list[dict[str, Any]]) -> pa.RecordBatch:
        columns = [_column([record.get(name) for record in records], name) for name in self.names]
        return pa.RecordBatch.from_arrays(columns, names=list(self.names))


def open_json_lines(place: Place) -> JsonLinesFile:
    """Read all lines once, for the keys.

    Raises
    ------
    TableError
        a line is not one JSON object, or there is none.
    SchemaError
        a key stands twice in a line.
    """
    names: dict[str, None] = {}
    for _, record in _records(place):
        if not record.keys() <= names.keys():
            names.update(dict.fromkeys(record))
    if not names:
        raise TableError(f"{place.title} is empty: no line holds a key and a value.")
    return JsonLinesFile(place, tuple(names))


def _records(place: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects; blank lines are passed over."""
    for number, line in _lines(place):
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise TableError(f"{place.title}: line {number:,} {_problem(line, exc)}") from exc
        except UnicodeDecodeError as exc:
            raise TableError(f"{place.title} {place.not_text(number)}") from exc
        if not isinstance(record, dict):
            hint = " Write the items of the array one a line." if isinstance(record, list) else ""
            raise TableError(
                f"{place.title}: line {number:,} is no JSON object; it begins {shown(_text(line))}.{hint}"
            )
        # Each key has a colon: only where there are more can one stand twice, which the decoder does not tell.
        if line.count(b":") > len(record):
            _refuse_doubled(place, number, line)
        yield number, record


def _lines(place: Place) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(_raw_lines(place), start=1):
        if len(line) > LONGEST_LINE:
            raise TableError(
                f"{place.title}: line {number:,} is longer than {LONGEST_LINE >> 20} MB. Write one object a line."
            )
        bare = line.removeprefix(_BOM).strip()
        if bare:
            yield number, bare


def _raw_lines(place: Place) -> Iterator[bytes]:
    """Lines in UTF-8, whatever the encoding of the file; none is read much further than is allowed."""
    if place.encoding == UTF8:
        with place.bytes() as stream:
            yield from iter(partial(stream.readline, LONGEST_LINE + 1), b"")
    else:
        with place.text() as text:
            yield from map(str.encode, iter(partial(text.readline, LONGEST_LINE + 1), ""))


def _problem(line: bytes, exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "is nested too deeply."
    if "out of range" in str(exc):
        return "holds a number beyond the range of float64. Write it as text, or null."
    for token in (b"NaN", b"Infinity"):
        if token in line:
            return f"is not JSON: it holds a bare {token.decode()}, perhaps. Write null for a missing value."
    what = "ends too early" if "truncated" in str(exc) else str(exc).removeprefix("JSON is malformed: ")
    return f"is not JSON ({what}); it begins {shown(_text(line))}. Write one object a line."


def _refuse_doubled(place: Place, number: int, line: bytes) -> None:
    def pairs(found: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in found]
        doubled = next((name for name in names if names.count(name) > 1), None)
        if doubled is not None and len(names) > len(set(names)):
            raise SchemaError(
                f"{place.title}: line {number:,} has the key {shown(doubled)} more than once. Keep one of them."
            )

    json.loads(line, object_pairs_hook=pairs)


def _column(values: list[Any], name: str) -> pa.Array:
    if any(isinstance(value, dict | list) for value in values):
        # What they hold does not matter: no rule reads them. Those who need the column are told where they stand.
        nested: list[list[None] | None] = [[] if isinstance(value, dict | list) else None for value in values]
        return pa.array(nested, pa.list_(pa.null()))
    return column_of(values, name)


def _text(line: bytes) -> str:
    return line[:200].decode(errors="replace").strip()
