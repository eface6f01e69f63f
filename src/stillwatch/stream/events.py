"""One micro-batch of events: raw lines to lines of scores, and what is wrong with the others.

The same function stands behind `stillwatch score --stream` and behind a consumer of one's own (docs/stream.md): it keeps no state
from one batch to the next, and an event's score does not depend on the events that it comes with.
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
        threshold(manifest.calibration, self._rate)  # a rate too fine is better said before any event

    def score(self, lines: Sequence[bytes], first: int = 1) -> Scored:
        """Score a batch.

        Parameters
        ----------
        first
            number of its first line, for the answers of a model without key columns.
        """
        records, places, refused = self._parsed(lines)
        rows, wrong = self._records.pack(records)
        refused += [Refused(places[at], reason) for at, reason in wrong]
        if wrong:
            left_out = {at for at, _ in wrong}
            kept = [i for i in range(len(records)) if i not in left_out]
            records, places = [records[i] for i in kept], [places[i] for i in kept]
        verdict = self._scorer.judge_packed(rows, self._rate)
        heads: list[Record]
        if self.keys:
            heads = [{name: record.get(name) for name in self.keys} for record in records]
        else:
            heads = [{"line": first + place} for place in places]
        found = zip(
            heads, _short(verdict.score), _short(verdict.p_value), verdict.alert.tolist(), strict=True
        )
        answers = _encode_lines(
            [head | {"score": score, "p_value": p, "alert": alert} for head, score, p, alert in found]
        )
        return Scored(answers.split(b"\n")[:-1], places, sorted(refused), int(verdict.alert.sum()))

    def key(self, line: bytes) -> tuple[Any, ...] | None:
        """Values of the key columns of a line, None where they cannot be read."""
        try:
            record = self._read(line)
        except (InputError, UnicodeDecodeError):
            return None
        return tuple(record.get(name) for name in self.keys)

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


def _short(values: NDArray[np.floating[Any]]) -> list[float]:
    """As float32, each as the number with the fewest digits that reads back as the same."""
    texts = pc.cast(pa.array(values.astype(np.float32)), pa.string())
    return list(pc.cast(texts, pa.float64()).to_pylist())
