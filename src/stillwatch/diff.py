"""What changes where one model takes the place of another."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.artifact.load import Loaded, read_artifact
from stillwatch.artifact.manifest import Manifest
from stillwatch.calibration.conformal import finest_rate, threshold
from stillwatch.errors import InputError
from stillwatch.evaluation.fidelity import spearman, top_overlap
from stillwatch.scorer import Scorer
from stillwatch.table.read import open_source
from stillwatch.table.schema import Column, Schema

RATES = (0.05, 0.01, 0.001)
MOST_ROWS = 10  # of the alerts that are shown one by one


class Change(msgspec.Struct, frozen=True):
    """Something that differs; None where one side has no such thing."""

    what: str
    before: Any
    after: Any


class Limit(msgspec.Struct, frozen=True):
    """The score from which rows alarm at a rate; None where the calibration rows are too few for it."""

    rate: float
    before: float | None
    after: float | None


class Alert(msgspec.Struct, frozen=True):
    """A row that alarms under one model only: its number, from 1, and its p-values."""

    row: int
    before: float
    after: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The same rows under both models.

    Attributes
    ----------
    spearman, top_1_percent
        rank agreement in [-1, 1]; share of the highest 1 % of rows that both have in common.
    same_scores
        every row scores the same.
    alerts_before, alerts_after, appeared, vanished
        numbers of rows that alarm.
    new, gone
        the strongest of those that appeared or vanished, at most `MOST_ROWS`.
    """

    rows: int
    spearman: float
    top_1_percent: float
    same_scores: bool
    alerts_before: int
    alerts_after: int
    appeared: int
    vanished: int
    new: tuple[Alert, ...]
    gone: tuple[Alert, ...]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What `diff` found.

    Attributes
    ----------
    before, after
        digests.
    same_graph
        scores are the same on all rows there are.
    columns
        columns that came, went, or are read otherwise, and categories.
    made
        teacher, student, calibration and other facts that differ.
    limits
        alarm thresholds at several rates.
    sample
        None where no rows were given.
    """

    before: str
    after: str
    same_graph: bool
    columns: tuple[Change, ...]
    made: tuple[Change, ...]
    limits: tuple[Limit, ...]
    sample: Sample | None


def diff(
    before: str | os.PathLike[str],
    after: str | os.PathLike[str],
    rows: Any = None,
    *,
    rate: float | None = None,
) -> Difference:
    """Compare two models: what they take, how they were made, where they alarm, and on which rows they disagree.

    Parameters
    ----------
    before, after
        model folders.
    rows
        anything `Scorer.score` takes, with the columns of both models; None: nothing is scored.
    rate
        alert rate of both; None: each model's own.

    Raises
    ------
    ArtifactError
        a model cannot be read or trusted.
    InputError
        the rows cannot be scored by both, there are fewer than 2, or the rate is too fine for one.
    """
    a, b = read_artifact(before), read_artifact(after)
    return Difference(
        before=a.digest,
        after=b.digest,
        same_graph=a.model == b.model,
        columns=tuple(_columns(a.manifest, b.manifest)),
        made=tuple(_made(a, b)),
        limits=tuple(_limits(a.manifest, b.manifest, rate)),
        sample=None if rows is None else _sample(a, b, rows, rate),
    )


def _columns(a: Manifest, b: Manifest) -> list[Change]:
    mine, yours = _by_name(a.schema), _by_name(b.schema)
    found = []
    for name in dict.fromkeys((*mine, *yours)):
        one, two = mine.get(name), yours.get(name)
        if one != two:
            found.append(Change(name, one, two))
    for name in a.categories.keys() & b.categories.keys():
        left, right = set(a.categories[name]), set(b.categories[name])
        if left != right:
            found.append(Change(f"{name}: categories", sorted(left - right), sorted(right - left)))
    return found


def _by_name(schema: Schema) -> dict[str, str]:
    return {column.name: _reading(column) for column in schema.columns}


def _reading(column: Column) -> str:
    return f"{column.role}, {column.kind}{f' in {column.zone}' if column.zone else ''}"


def _made(a: Loaded, b: Loaded) -> list[Change]:
    one, two = _facts(a), _facts(b)
    return [
        Change(name, one.get(name), two.get(name))
        for name in dict.fromkeys((*one, *two))
        if one.get(name) != two.get(name)
    ]


def _facts(loaded: Loaded) -> dict[str, Any]:
    manifest = loaded.manifest
    return {
        "written by": manifest.writer,
        **{f"teacher {name}": value for name, value in manifest.teacher.items()},
        **{f"student {name}": value for name, value in manifest.student.items()},
        "training data": manifest.knowledge.get("data"),
        "agreement with the teacher": manifest.fidelity.get("spearman"),
        "bytes of the graph": len(loaded.model),
        "calibration rows": manifest.calibration.rows,
        "approximate": manifest.calibration.approximate,
        "alert rate": manifest.alert_rate,
        "calibrated by": None if manifest.groups is None else manifest.groups.column,
        "recalibrated from": manifest.parent,
        "missing tokens": list(manifest.schema.missing),
        "decimal mark": manifest.schema.decimal,
    }


def _limits(a: Manifest, b: Manifest, rate: float | None) -> list[Limit]:
    wanted = {*RATES, a.alert_rate, b.alert_rate} | ({rate} if rate is not None else set())
    return [Limit(each, _limit(a, each), _limit(b, each)) for each in sorted(wanted, reverse=True)]


def _limit(manifest: Manifest, rate: float) -> float | None:
    return None if rate < finest_rate(manifest.calibration) else threshold(manifest.calibration, rate)


def _sample(a: Loaded, b: Loaded, rows: Any, rate: float | None) -> Sample:
    scorers = [Scorer(each.manifest, each.model) for each in (a, b)]
    verdicts: list[list[Any]] = [[], []]
    first = 1
    for batch in open_source(rows).batches():
        for scorer, found in zip(scorers, verdicts, strict=True):
            found.append(scorer.judge(batch, rate, first_row=first))
        first += batch.num_rows
    if first - 1 < 2:
        raise InputError(f"{first - 1} rows came to compare the models on; 2 or more are needed.")
    (s, p, alarm), (t, q, other) = (
        tuple(
            np.concatenate([getattr(each, field) for each in found])
            for field in ("score", "p_value", "alert")
        )
        for found in verdicts
    )
    return Sample(
        rows=len(s),
        spearman=spearman(s, t),
        top_1_percent=top_overlap(s, t, -(-len(s) // 100)),
        same_scores=bool((s == t).all()),
        alerts_before=int(alarm.sum()),
        alerts_after=int(other.sum()),
        appeared=int((other & ~alarm).sum()),
        vanished=int((alarm & ~other).sum()),
        new=_alerts(other & ~alarm, p, q, strongest=q),
        gone=_alerts(alarm & ~other, p, q, strongest=p),
    )


def _alerts(
    chosen: NDArray[np.bool_],
    p: NDArray[np.float64],
    q: NDArray[np.float64],
    *,
    strongest: NDArray[np.float64],
) -> tuple[Alert, ...]:
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(strongest[rows], kind="stable")][:MOST_ROWS]
    return tuple(Alert(int(row) + 1, float(p[row]), float(q[row])) for row in rows)
