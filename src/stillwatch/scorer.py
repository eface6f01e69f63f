"""A distilled model in use: raw rows in, scores, p-values and alerts out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.artifact.load import read_artifact
from stillwatch.artifact.manifest import Manifest
from stillwatch.artifact.parity import open_session, run_session
from stillwatch.calibration.conformal import p_values, threshold
from stillwatch.one_row import OneRow
from stillwatch.table.pack import Packer, Rows
from stillwatch.table.read import open_source
from stillwatch.table.timestamp import MISSING_TIME

# Larger chunks fall out of the processor's caches, smaller ones pay for calls.
CHUNK = 1024


@dataclass(frozen=True)
class Counts:
    """What was unusual about the rows of a verdict.

    Attributes
    ----------
    rows
        number of rows judged.
    missing
        feature column -> values that were missing.
    unseen
        category column -> values never seen in training, or too rare to be stored.
    ignored
        columns of the data that the model does not use.
    """

    rows: int
    missing: dict[str, int]
    unseen: dict[str, int]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """Judged rows.

    Attributes
    ----------
    score
        (n,) float32; higher = more abnormal.
    p_value
        (n,) float64 in (0, 1]; share of normal rows expected to score at least as high.
    alert
        (n,) bool; p_value is at most the alert rate.
    low_evidence
        (n,) bool; every feature of the row was missing, so its score says nothing.
    counts
        see `Counts`.
    """

    score: NDArray[np.float32]
    p_value: NDArray[np.float64]
    alert: NDArray[np.bool_]
    low_evidence: NDArray[np.bool_]
    counts: Counts


class Scorer:
    """Scores raw rows; made by `stillwatch.load`, or found on a `Distillation`.

    Parameters
    ----------
    manifest, model
        what `artifact.load.read_artifact` returned: the model's bytes must have passed the audit.

    Notes
    -----
    Scoring changes nothing and a row's score does not depend on its neighbours. One scorer may be shared by threads.
    """

    def __init__(self, manifest: Manifest, model: bytes) -> None:
        self.manifest = manifest
        self._session = open_session(model)
        self._packer = Packer(manifest.schema)
        self._one = OneRow(manifest, self._session, self._packer)

    def score(self, rows: Any) -> NDArray[np.float32]:
        """(n,) scores; higher = more abnormal.

        Parameters
        ----------
        rows
            anything `distill` takes: a path, a dataframe, an Arrow table, dicts, a 2-D array (columns in training order).

        Raises
        ------
        SchemaError
            a column is missing or stands twice.
        TableError
            a value is not one that its column can hold.
        """
        return _joined([self.score_packed(part) for part in self.pack(rows)])

    def pack(self, rows: Any) -> Iterator[Rows]:
        """Rows in model form, batch by batch; at least one batch."""
        return (part for part, _ in self._packed(rows))

    def score_packed(self, rows: Rows) -> NDArray[np.float32]:
        """(n,) scores of rows that `table.pack.Packer` made; higher = more abnormal."""
        chunks = (rows.take(slice(i, i + CHUNK)) for i in range(0, len(rows), CHUNK))
        return _joined([run_session(self._session, self.manifest, chunk) for chunk in chunks])

    def score_one(self, row: Mapping[str, Any] | Sequence[Any] | NDArray[Any]) -> float:
        """Score of one row, in microseconds.

        Parameters
        ----------
        row
            a dict by column name, or a tuple, list or 1-D array in the order of the feature columns.
        """
        return self._one.score(row)

    def judge(self, rows: Any, rate: float | None = None, *, first_row: int = 1) -> Verdict:
        """Score, p-value, alert and what was unusual, in one pass.

        Parameters
        ----------
        rows
            as for `score`.
        rate
            share of normal rows that may raise an alarm; None: the model's default.
        first_row
            number of the first row, for messages about a value, where `rows` is part of a longer stream.

        Raises
        ------
        CalibrationError
            the rate is finer than the calibration rows support.
        """
        bar = self._threshold(rate)
        scores, low, missing, unseen = [], [], _Tally(), _Tally()
        ignored: tuple[str, ...] = ()
        for part, names in self._packed(rows, first_row):
            ignored = ignored or self._packer.extra(names)
            scores.append(self.score_packed(part))
            low.append(part.nothing())
            self._count(part, missing, unseen)
        score = _joined(scores)
        return Verdict(
            score=score,
            p_value=p_values(self.manifest.calibration, score),
            alert=score >= np.float32(bar),
            low_evidence=np.concatenate(low) if low else np.zeros(0, dtype=np.bool_),
            counts=Counts(len(score), dict(missing), dict(unseen), ignored),
        )

    def p_value(self, rows: Any) -> NDArray[np.float64]:
        """(n,) in (0, 1]: share of normal rows expected to score at least as high."""
        return p_values(self.manifest.calibration, self.score(rows))

    def alert(self, rows: Any, rate: float | None = None) -> NDArray[np.bool_]:
        """(n,) whether each row raises an alarm at `rate`; see `judge`."""
        bar = self._threshold(rate)
        return self.score(rows) >= np.float32(bar)

    def _threshold(self, rate: float | None) -> float:
        return threshold(self.manifest.calibration, self.manifest.alert_rate if rate is None else rate)

    def _packed(self, rows: Any, first: int = 1) -> Iterator[tuple[Rows, tuple[str, ...]]]:
        """Rows in model form, batch by batch, with the names of the columns they came with."""
        if isinstance(rows, np.ndarray):
            yield self._packer.array(rows, first), ()
            return
        if isinstance(rows, pa.RecordBatch):
            yield self._packer.table(rows, first), tuple(rows.schema.names)
            return
        source = open_source(rows)
        for batch in source.batches():
            yield self._packer.table(batch, first_row=first), source.names
            first += batch.num_rows

    def _count(self, rows: Rows, missing: _Tally, unseen: _Tally) -> None:
        schema = self.manifest.schema
        for name, absent in zip(schema.numbers, np.isnan(rows.numbers).sum(axis=0).tolist(), strict=True):
            missing.add(name, absent)
        for name, absent in zip(schema.times, (rows.times == MISSING_TIME).sum(axis=0).tolist(), strict=True):
            missing.add(name, absent)
        for name, column in zip(schema.texts, rows.texts.T, strict=True):
            known = self._one.known[name]
            for value, count in Counter(column.tolist()).items():
                if value == "":
                    missing.add(name, count)
                elif value not in known:
                    unseen.add(name, count)


class _Tally(dict[str, int]):
    """Counts by column; columns without any stay out."""

    def add(self, name: str, count: int) -> None:
        if count:
            self[name] = self.get(name, 0) + count


def load(path: str | os.PathLike[str], *, expect: str | None = None) -> Scorer:
    """Open a model folder: audit first, then load.

    Parameters
    ----------
    path
        a folder written by `Distillation.save`.
    expect
        the digest that the folder must have; digests detect damage and a swapped folder, not forgery.

    Raises
    ------
    ArtifactError
        the folder is damaged, unsafe or written by a newer version.
    """
    found = read_artifact(path, expect=expect)
    return Scorer(found.manifest, found.model)


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
