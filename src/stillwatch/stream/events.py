"""One micro-batch of events: raw lines to lines of scores, and what is wrong with the others.

The same function stands behind `stillwatch score --stream` and behind a consumer of one's own (docs/stream.md): nothing of one
batch stays for the next but which keys its lines had, to read more such lines sooner, and an event's score does not depend on
the events that it comes with.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stillwatch.calibration.conformal import finest_rate, threshold
from stillwatch.errors import InputError, TableError
from stillwatch.scorer import Scorer
from stillwatch.scores import check_keys
from stillwatch.table.delimited import separator_of
from stillwatch.table.disk import LONGEST_LINE
from stillwatch.table.json_lines import record_of, records_of
from stillwatch.table.pack import Packer
from stillwatch.table.records import Record, RecordPacker, Refused
from stillwatch.table.rows import Rows
from stillwatch.table.same_keys import SameKeys
from stillwatch.table.schema import refuse_duplicates

_encode_lines = msgspec.json.Encoder().encode_lines
_Read = Callable[[bytes], Record]


class Scored(NamedTuple):
    """What came of one batch.

    Attributes
    ----------
    lines
        one JSON object, without a line end, for each event that was scored, in order: the key columns, or "line" where the model
        has none, then score, p_value and alert.
    places
        of these events among the lines that came, from 0.
    refused
        the others; blank lines are neither.
    alerts
        how many of the events raise an alarm.
    """

    lines: list[bytes]
    places: list[int]
    refused: list[Refused]
    alerts: int


class EventScorer:
    """Scores lines of NDJSON or CSV, batch by batch.

    Parameters
    ----------
    scorer
        a loaded model.
    rate
        share of normal rows that may raise an alarm; None: the model's default, or the finest one it supports.
    header, delimiter
        of CSV, where a line is one row: no line breaks within quotes. No header: NDJSON.
    absent_is_missing
        a key that a JSON object lacks is a missing value. By default it is an error, since a misspelt one would be missing
        for ever; null and NaN written as text are missing in any case.

    Raises
    ------
    CalibrationError
        the rate is finer than the calibration rows support.
    SchemaError
        the header lacks a column, or has one twice.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        rate: float | None = None,
        header: Sequence[str] | None = None,
        delimiter: str = ",",
        absent_is_missing: bool = False,
    ) -> None:
        manifest = scorer.manifest
        schema = manifest.schema
        self.keys = schema.keys
        check_keys(self.keys, self.keys if header is None else header)
        packer = Packer(schema)
        if header is not None:
            refuse_duplicates(header)
            packer.table(
                pa.table({name: pa.array([], pa.string()) for name in header})
            )  # are all columns there?
        finest = finest_rate(manifest.calibration)
        self._scorer, self._rate = scorer, max(manifest.alert_rate, finest) if rate is None else rate
        self._records = RecordPacker(packer, manifest.categories, absent_is_missing=absent_is_missing)
        self._absent_is_missing = absent_is_missing
        self._read: _Read = record_of if header is None else _fields(tuple(header), delimiter)
        others = (*schema.texts, *schema.times, *self.keys)
        end = len(schema.numbers) + len(others)
        self._at_keys = slice(end - len(self.keys), end)
        self._same_keys = (
            SameKeys(schema.numbers, others) if header is None and not absent_is_missing else None
        )
        self._shares = _Shares()
        heads = self.keys or ("line",)
        names = {f"f{place}": name for place, name in enumerate((*heads, "score", "p_value", "alert"))}
        self._answer = msgspec.defstruct("Answer", [(name, Any) for name in names], rename=names, gc=False)
        threshold(manifest.calibration, self._rate)  # a rate too fine is better said before any event

    def score(self, lines: Sequence[bytes], first: int = 1) -> Scored:
        """Score a batch.

        Parameters
        ----------
        first
            number of its first line, for the answers of a model without key columns.
        """
        rows, heads, places, refused = self._packed(lines)
        verdict = self._scorer.judge_packed(rows, self._rate)
        columns: list[Sequence[Any]] = [[first + place for place in places]]
        if self.keys:
            columns = list(zip(*heads, strict=True))
        columns += [_short(verdict.score), self._shares.of(verdict.p_value), verdict.alert.tolist()]
        answers = _encode_lines(list(map(self._answer, *columns))) if places else b""
        return Scored(answers.split(b"\n")[:-1], places, sorted(refused), int(verdict.alert.sum()))

    def key(self, line: bytes) -> tuple[Any, ...] | None:
        """Values of the key columns of a line, None where they cannot be read."""
        try:
            record = self._read(line)
        except (InputError, UnicodeDecodeError):
            return None
        return tuple(record.get(name) for name in self.keys)

    def _packed(self, lines: Sequence[bytes]) -> tuple[Rows, list[tuple[Any, ...]], list[int], list[Refused]]:
        """Rows, the values of their key columns, their places among the lines, and the others."""
        found = self._same_keys.read(lines) if self._same_keys is not None else None
        rows = None if found is None else self._records.pack_tuples(found)
        if rows is not None and found is not None:
            heads = [values[self._at_keys] for values in found] if self.keys else []
            return rows, heads, list(range(len(lines))), []
        records, places, refused = self._parsed(lines)
        rows, wrong = self._records.pack(records)
        refused += [Refused(places[at], reason) for at, reason in wrong]
        if wrong:
            left_out = {at for at, _ in wrong}
            kept = [i for i in range(len(records)) if i not in left_out]
            records, places = [records[i] for i in kept], [places[i] for i in kept]
        return rows, [tuple(record.get(name) for name in self.keys) for record in records], places, refused

    def _parsed(self, lines: Sequence[bytes]) -> tuple[list[Record], list[int], list[Refused]]:
        whole = records_of(lines) if self._read is record_of else None
        if whole is not None and (
            self._absent_is_missing or all(name in record for name in self.keys for record in whole)
        ):
            return whole, list(range(len(lines))), []
        records, places, refused = [], [], []
        for at, line in enumerate(lines):
            try:
                record = self._read(line)
                if not self._absent_is_missing:
                    check_keys(self.keys, list(record))
            except (InputError, UnicodeDecodeError) as exc:
                if line.strip():
                    refused.append(Refused(at, _reason(line, exc)))
            else:
                records.append(record)
                places.append(at)
        return records, places, refused


def header_of(line: bytes, delimiter: str | None) -> tuple[list[str], str]:
    """Names and delimiter of the first line of CSV."""
    try:
        text = line.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError as exc:
        raise TableError("the first line is neither a JSON object nor a header in UTF-8.") from exc
    delimiter = delimiter or separator_of(text)
    return next(csv.reader([text], delimiter=delimiter)), delimiter


def _fields(names: tuple[str, ...], delimiter: str) -> _Read:
    def read(line: bytes) -> Record:
        try:
            fields = next(csv.reader([line.decode().rstrip("\r")], delimiter=delimiter, strict=True), [])
        except csv.Error as exc:
            raise TableError(f"is not CSV ({exc}).") from exc
        if len(fields) != len(names):
            raise TableError(f"has {len(fields):,} fields, the header has {len(names):,}.")
        return dict(zip(names, fields, strict=True))

    return read


def _reason(line: bytes, exc: Exception) -> str:
    if len(line) > LONGEST_LINE:
        return f"is longer than {LONGEST_LINE >> 20} MB. Write one event a line."
    return "is not UTF-8 text. Write it in UTF-8." if isinstance(exc, UnicodeDecodeError) else str(exc)


class _Shares(dict[float, float]):
    """p-values to their short form: a model has some hundreds of them, and they come again and again."""

    def __missing__(self, value: float) -> float:
        self[value] = found = _short(np.array([value]))[0]
        return found

    def of(self, values: NDArray[np.float64]) -> list[float]:
        """The short form of each."""
        return list(map(self.__getitem__, values.tolist()))


def _short(values: NDArray[np.floating[Any]]) -> list[float]:
    """As float32, each as the number with the fewest digits that reads back as the same."""
    narrow = np.ascontiguousarray(values, dtype=np.float32)
    # `pa.array` would import pandas, where it is installed.
    array = pa.Array.from_buffers(pa.float32(), len(narrow), [None, pa.py_buffer(narrow)])
    return list(pc.cast(pc.cast(array, pa.string()), pa.float64()).to_pylist())
