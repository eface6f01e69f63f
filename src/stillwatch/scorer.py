"""A distilled model in use: raw rows in, scores, p-values and alerts out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.artifact.load import read_artifact
from stillwatch.artifact.manifest import Manifest
from stillwatch.artifact.parity import open_session, run_session
from stillwatch.calibration.conformal import finest_rate, p_values, threshold
from stillwatch.calibration.discovery import Discoveries, benjamini_hochberg, check_fdr, discoveries
from stillwatch.calibration.groups import Groups, group_p_values
from stillwatch.drift.monitor import Monitor
from stillwatch.drift.report import LEVEL, Drift, Found, compare
from stillwatch.drift.sketch import ColumnCounter
from stillwatch.errors import CalibrationError, InputError
from stillwatch.explain.reasons import Explainer, Reason
from stillwatch.one_row import OneRow
from stillwatch.table.pack import Packer, Rows, packer_of
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
    common
        with `by`: rows that the common table judged, since their group has no table of its own, or one of too few rows for the
        rate.
    """

    rows: int
    missing: dict[str, int]
    unseen: dict[str, int]
    ignored: tuple[str, ...]
    common: int = 0


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
        (n,) bool; p_value is at most the alert rate, or at most what `fdr` allows.
    low_evidence
        (n,) bool; every feature of the row was missing, so its score says nothing.
    counts
        see `Counts`.
    discoveries
        with `fdr`: what the alarms of this batch are worth.
    """

    score: NDArray[np.float32]
    p_value: NDArray[np.float64]
    alert: NDArray[np.bool_]
    low_evidence: NDArray[np.bool_]
    counts: Counts
    discoveries: Discoveries | None = None


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
        self._model = model
        self._session = open_session(model)
        self._packer = Packer(manifest.schema)
        self._one = OneRow(manifest, self._session, self._packer)
        self._explainer = Explainer(
            manifest.schema, manifest.references, partial(run_session, self._session, manifest)
        )

    def __reduce__(self) -> tuple[type[Scorer], tuple[Manifest, bytes]]:
        # A session cannot be copied to another process; what it was made from can.
        return Scorer, (self.manifest, self._model)

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

    def judge_packed(self, rows: Rows, rate: float | None = None) -> Verdict:
        """As `judge`, of rows that `table.pack.Packer` made."""
        rate = self._supported(rate)
        score, missing, unseen = self.score_packed(rows), _Tally(), _Tally()
        self._count(rows, missing, unseen)
        p_value = p_values(self.manifest.calibration, score)
        counts = Counts(len(rows), dict(missing), dict(unseen), ())
        return Verdict(score, p_value, p_value <= rate, rows.nothing(), counts)

    def score_one(self, row: Mapping[str, Any] | Sequence[Any] | NDArray[Any]) -> float:
        """Score of one row, in microseconds.

        Parameters
        ----------
        row
            a dict by column name, or a tuple, list or 1-D array in the order of the feature columns.
        """
        return self._one.score(row)

    def judge(
        self,
        rows: Any,
        rate: float | None = None,
        *,
        by: str | None = None,
        fdr: float | None = None,
        first_row: int = 1,
    ) -> Verdict:
        """Score, p-value, alert and what was unusual, in one pass.

        Parameters
        ----------
        rows
            as for `score`.
        rate
            share of normal rows that may raise an alarm; None: the model's default. It holds on average for rows like the
            calibration rows, not for one row or segment, and not after the data has drifted.
        by
            column that the model was calibrated by: rows are compared with their own group where it has enough rows for the
            rate, so that each of these groups alarms at the rate.
        fdr
            instead of a rate: share of the alarms that may be false, on average over batches. A row's alarm then hangs on all
            rows of this call; its score and p-value never do.
        first_row
            number of the first row, for messages about a value, where `rows` is part of a longer stream.

        Raises
        ------
        CalibrationError
            the rate is finer than the calibration rows support, or the model was not calibrated by this column.
        InputError
            `fdr` is no share, or was given together with a rate or a column.
        """
        if fdr is not None:
            _check_choice(fdr, rate, by)
        rate = self._supported(rate)
        grouped = self._grouped(by)
        scores, low, missing, unseen = [], [], _Tally(), _Tally()
        p, common = [], 0
        ignored: tuple[str, ...] = ()
        for part, batch in self._packed(open_source(rows) if by is not None else rows, first_row):
            ignored = ignored or (() if batch is None else self._packer.extra(batch.schema.names))
            score = self.score_packed(part)
            scores.append(score)
            low.append(part.nothing())
            self._count(part, missing, unseen)
            if grouped is None:
                p.append(p_values(self.manifest.calibration, score))
            else:
                groups, reader = grouped
                values = reader.table(batch).texts[:, 0]
                own, rest = group_p_values(groups, self.manifest.calibration, values, score, rate)
                p.append(own)
                common += rest
        p_value = np.concatenate(p)
        alert = p_value <= rate if fdr is None else benjamini_hochberg(p_value, fdr)
        return Verdict(
            score=_joined(scores),
            p_value=p_value,
            alert=alert,
            low_evidence=np.concatenate(low),
            counts=Counts(len(p_value), dict(missing), dict(unseen), ignored, common),
            discoveries=(
                None
                if fdr is None
                else discoveries(p_value, alert, fdr, finest_rate(self.manifest.calibration))
            ),
        )

    def p_value(self, rows: Any) -> NDArray[np.float64]:
        """(n,) in (0, 1]: share of normal rows expected to score at least as high."""
        return p_values(self.manifest.calibration, self.score(rows))

    def alert(self, rows: Any, rate: float | None = None, *, by: str | None = None) -> NDArray[np.bool_]:
        """(n,) whether each row raises an alarm; see `judge`."""
        return self.judge(rows, rate, by=by).alert

    def explain(self, rows: Any, top: int = 3) -> list[tuple[Reason, ...]]:
        """For each row the columns that raise its score the most, and by how much; see `Reason`.

        Parameters
        ----------
        rows
            as for `score`.
        top
            number of reasons a row, sought among the 12 columns furthest from normal, or among `top` of them.

        Raises
        ------
        InputError
            `top` is less than 1, or the model was made of fewer than 20 rows.
        """
        return [reasons for part in self.pack(rows) for reasons in self._explainer.explain(part, top)]

    def explain_packed(self, rows: Rows, top: int = 3) -> list[tuple[Reason, ...]]:
        """As `explain`, of rows that `table.pack.Packer` made."""
        return self._explainer.explain(rows, top)

    def explain_one(
        self, row: Mapping[str, Any] | Sequence[Any] | NDArray[Any], top: int = 3
    ) -> tuple[Reason, ...]:
        """Reasons of one row, given as for `score_one`; see `explain`."""
        return self._explainer.explain(self._packer.row(row), top)[0]

    def drift(self, rows: Any, *, level: float = LEVEL) -> Drift:
        """Compare rows with those that the model was made of: every column, the score and the share of alarms.

        Parameters
        ----------
        rows
            as for `score`; a few hundred or more.
        level
            chance that anything is called drifted where nothing is.

        Raises
        ------
        InputError
            `level` is no chance, or the model holds no sketches.
        """
        manifest = self.manifest
        counter = ColumnCounter(manifest.sketches.columns, manifest.schema, manifest.categories)
        scores = []
        for part in self.pack(rows):
            counter.add(part)
            scores.append(self.score_packed(part))
        score = _joined(scores)
        alarms = int((p_values(manifest.calibration, score) <= manifest.alert_rate).sum())
        return compare(
            manifest.sketches,
            manifest.categories,
            Found(counter, score, alarms),
            rate=manifest.alert_rate,
            level=level,
        )

    def monitor(self, *, every: int = 10_000_000) -> Monitor:
        """A monitor of a stream's scores, for `Monitor.add`.

        Parameters
        ----------
        every
            one false alarm is accepted in so many rows, on average.

        Raises
        ------
        CalibrationError
            the calibration is approximate, so that nothing can be promised.
        """
        if self.manifest.sketches.score is None:
            raise CalibrationError(
                "The calibration of this model is approximate (it was made of too few rows to set some apart), "
                "and a monitor could promise nothing. Recalibrate with normal rows that the model has not seen."
            )
        return Monitor(self.manifest.sketches.score, every=every)

    def _supported(self, rate: float | None) -> float:
        """The rate, or the model's; refused where the calibration rows are too few for it."""
        rate = self.manifest.alert_rate if rate is None else rate
        threshold(self.manifest.calibration, rate)
        return rate

    def _grouped(self, by: str | None) -> tuple[Groups, Packer] | None:
        """The tables of the groups, and what reads a row's group."""
        if by is None:
            return None
        groups = self.manifest.groups
        if groups is None or groups.column != by:
            has = "by no column" if groups is None else f"by {groups.column!r}"
            raise CalibrationError(
                f"by={by!r}: the model was calibrated {has}. "
                f"Distill with calibrate_by={by!r}, or recalibrate with by={by!r}."
            )
        return groups, packer_of(self.manifest.schema, by, "category")

    def _packed(self, rows: Any, first: int = 1) -> Iterator[tuple[Rows, pa.RecordBatch | None]]:
        """Rows in model form, batch by batch, with the batch they came in; that of an array is None."""
        if isinstance(rows, np.ndarray):
            yield self._packer.array(rows, first), None
            return
        if isinstance(rows, pa.RecordBatch):
            yield self._packer.table(rows, first), rows
            return
        for batch in open_source(rows).batches():
            yield self._packer.table(batch, first_row=first), batch
            first += batch.num_rows

    def _count(self, rows: Rows, missing: _Tally, unseen: _Tally) -> None:
        schema = self.manifest.schema
        absent = np.isnan(rows.numbers)
        if absent.any():  # adding up takes ten times as long as finding nothing to add
            for name, count in zip(schema.numbers, absent.sum(axis=0).tolist(), strict=True):
                missing.add(name, count)
        for name, count in zip(schema.times, (rows.times == MISSING_TIME).sum(axis=0).tolist(), strict=True):
            missing.add(name, count)
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


def _check_choice(fdr: float, rate: float | None, by: str | None) -> None:
    check_fdr(fdr)
    if rate is not None or by is not None:
        raise InputError(
            "fdr came together with a rate or a column to calibrate by. Choose one of the three."
        )


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
