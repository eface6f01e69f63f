"""NDJSON: one JSON object a line, plain or gzipped.

A column is any key of any line; a line without it has a missing value there. Arrow's own reader is not used: it guesses
timestamps out of text, and fails where a column is whole in one block and broken in the next.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from stillwatch.errors import InputError, SchemaError, TableError
from stillwatch.table.disk import LONGEST_LINE, Place
from stillwatch.table.encoding import UTF8
from stillwatch.table.memory import column_of
from stillwatch.table.values import shown

_BOM = b"\xef\xbb\xbf"
_COLON, _OPEN, _CLOSE = b":{}"
_PIECE = 1 << 16  # bytes that are compared at once, and stay in the cache
_decode = msgspec.json.Decoder().decode
_decode_lines = msgspec.json.Decoder(dict[str, Any]).decode_lines


@dataclass(frozen=True)
class JsonLinesFile:
    """A text file with one JSON object a line."""

    place: Place
    names: tuple[str, ...]
    rows: int = 0

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
    rows = 0
    for _, record in _records(place):
        rows += 1
        if not record.keys() <= names.keys():
            names.update(dict.fromkeys(record))
    if not names:
        raise TableError(f"{place.title} is empty: no line holds a key and a value.")
    return JsonLinesFile(place, tuple(names), rows)


def _records(place: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects; blank lines are passed over."""
    for number, line in _lines(place):
        try:
            record = record_of(line)
        except UnicodeDecodeError as exc:
            raise TableError(f"{place.title} {place.not_text(number)}") from exc
        except InputError as exc:
            where = f"{place.title}: line {number:,}"
            raise type(exc)(f"{where} {exc} It begins {shown(_text(line))}.") from exc
        yield number, record


def record_of(line: bytes) -> dict[str, Any]:
    """One line as an object; the messages go on after "line 7 ", and tell nothing of what stands in it but a key.

    Raises
    ------
    TableError
        it is no JSON object.
    SchemaError
        it has a key twice.
    UnicodeDecodeError
        it is no UTF-8.
    """
    try:
        record = _decode(line)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise TableError(_problem(line, exc)) from exc
    if not isinstance(record, dict):
        hint = " Write the items of the array one a line." if isinstance(record, list) else ""
        raise TableError(f"is no JSON object.{hint}")
    if _may_be_doubled(line, len(record)):
        json.loads(line, object_pairs_hook=_refuse_doubled)
    return record


def records_of(lines: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """Many lines at once, None where any of them may not be an object, or is blank: then each must be looked at alone."""
    whole = b"\n".join(lines)
    if not object_a_line(whole, lines):
        return None
    try:
        records = _decode_lines(whole)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    if len(records) != len(lines) or _may_be_doubled(whole, sum(map(len, records))):
        return None
    return records


def object_a_line(whole: bytes, lines: Sequence[bytes], keys: int | None = None) -> bool:
    """Whether lines hold an object each if, joined, they decode to as many values.

    The decoder cares for values, not for lines. Nothing that goes on behind "}" goes on with "{": so each line that begins and
    ends so has a value of its own, and where there are as many values as lines, only one.

    Parameters
    ----------
    whole
        the lines, joined by line feeds.
    keys
        of all objects together, where they are known: then none may stand twice.
    """
    lengths = np.fromiter(map(len, lines), np.intp, len(lines))
    if not lengths.all():
        return False
    signs = np.frombuffer(whole, np.uint8)
    ends = np.cumsum(lengths + 1) - 2
    if (signs[ends] != _CLOSE).any() or (signs[ends + 1 - lengths] != _OPEN).any():
        return False
    return keys is None or not _may_be_doubled(whole, keys)


def _may_be_doubled(line: bytes, keys: int) -> bool:
    """Whether a key may stand twice, which the decoder does not tell: it has a colon, most often right behind its quote."""
    signs = np.frombuffer(line, np.uint8)
    pieces = (signs[start : start + _PIECE] for start in range(0, len(signs), _PIECE))
    if sum(np.count_nonzero(piece == _COLON) for piece in pieces) <= keys:
        return False
    return line.count(b'":') != keys or b'" ' in line or b"\t" in line


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
    return f"is not JSON ({what}). Write one object a line."


def _refuse_doubled(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(names) > len(set(names)):
        doubled = next(name for name in names if names.count(name) > 1)
        raise SchemaError(f"has the key {shown(doubled)} more than once. Keep one of them.")


def _column(values: list[Any], name: str) -> pa.Array:
    if any(isinstance(value, dict | list) for value in values):
        # What they hold does not matter: no rule reads them. Those who need the column are told where they stand.
        nested: list[list[None] | None] = [[] if isinstance(value, dict | list) else None for value in values]
        return pa.array(nested, pa.list_(pa.null()))
    return column_of(values, name)


def _text(line: bytes) -> str:
    return line[:200].decode(errors="replace").strip()
