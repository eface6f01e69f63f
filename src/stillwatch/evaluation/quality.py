"""Quality: how well scores agree with labels.

Nothing here needs more than NumPy, so that `evaluate` works where only scoring is installed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stillwatch.errors import InputError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CONFIDENCE = 0.95
REPLICATES = 200
_NORMAL_QUANTILE = 1.959963984540054  # of 0.975, for the Wilson interval at CONFIDENCE


class Interval(msgspec.Struct, frozen=True):
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement of scores with labels on the rows that have one.

    `auroc` and `average_precision` carry stratified bootstrap percentile intervals; `precision`, `recall` and
    `alert_rate` are shares and carry Wilson intervals, which stay honest at 0 and 1. The last five fields are
    None where no alerts were given; `precision` is None as well where nothing was alarmed.
    """

    rows: int
    anomalies: int
    auroc: Interval
    average_precision: Interval
    alerts: int | None = None
    true_alerts: int | None = None
    precision: Interval | None = None
    recall: Interval | None = None
    alert_rate: Interval | None = None  # share of normal rows that were alarmed: the false-alarm rate


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Student minus teacher, resampled in pairs: below zero, the student is the poorer one."""

    auroc: Interval
    average_precision: Interval


def quality(
    scores: ArrayLike, labels: ArrayLike, *, alerts: ArrayLike | None = None, seed: int = 0
) -> Quality | None:
    """Measure how well scores agree with labels.

    Parameters
    ----------
    scores
        (n,) finite scores; higher = more abnormal.
    labels
        (n,) 1 = anomaly, 0 = normal, NaN = unknown. Rows without a label are left out.
    alerts
        (n,) bool, True where the row raised an alarm.
    seed
        Seed of the bootstrap. Equal seeds and labels resample the same rows.

    Returns
    -------
    The figures, or None where the labels hold one class only; `why_unmeasured` says why in words.

    Raises
    ------
    InputError
        Lengths differ, a score is not finite, or a label is none of 0, 1, NaN.

    Examples
    --------
    >>> figures = quality([0.1, 0.4, 0.3, 0.9], [0, 0, 1, 1], alerts=[False, False, False, True])
    >>> figures.auroc.value, round(figures.average_precision.value, 3), figures.recall.value
    (0.75, 0.833, 0.5)
    """
    known, anomaly = known_labels(labels)
    s = _finite_scores(scores, len(known))[known]
    if not both_classes(anomaly):
        return None
    ranking = Ranking(s)
    auroc, precision = ranking.areas(anomaly.astype(np.float64), (~anomaly).astype(np.float64))
    draws = np.array([ranking.areas(*weights) for weights in _resamples(anomaly, seed)])
    counts: dict[str, object] = {}
    if alerts is not None:
        counts = _alert_figures(anomaly, _as_alerts(alerts, len(known))[known])
    return Quality(
        rows=len(s),
        anomalies=int(anomaly.sum()),
        auroc=_percentiles(auroc, draws[:, 0]),
        average_precision=_percentiles(precision, draws[:, 1]),
        **counts,  # type: ignore[arg-type]
    )


def quality_change(
    student: ArrayLike, teacher: ArrayLike, labels: ArrayLike, *, seed: int = 0
) -> Change | None:
    """Student minus teacher on the same rows, with paired bootstrap intervals.

    Parameters
    ----------
    student, teacher
        (n,) finite scores of the same rows; higher = more abnormal.
    labels
        (n,) 1 = anomaly, 0 = normal, NaN = unknown.
    seed
        Seed of the bootstrap.

    Returns
    -------
    The differences, or None where the labels hold one class only.
    """
    known, anomaly = known_labels(labels)
    rankings = [Ranking(_finite_scores(scores, len(known))[known]) for scores in (student, teacher)]
    if not both_classes(anomaly):
        return None
    plain = anomaly.astype(np.float64), (~anomaly).astype(np.float64)
    s, t = rankings
    value = np.subtract(s.areas(*plain), t.areas(*plain))
    draws = np.array(
        [np.subtract(s.areas(*weights), t.areas(*weights)) for weights in _resamples(anomaly, seed)]
    )
    return Change(
        auroc=_percentiles(float(value[0]), draws[:, 0]),
        average_precision=_percentiles(float(value[1]), draws[:, 1]),
    )


def why_unmeasured(labels: ArrayLike | None) -> str | None:
    """Say in one sentence why quality cannot be measured, or None where it can.

    Parameters
    ----------
    labels
        (n,) 1 = anomaly, 0 = normal, NaN = unknown; None where the data has no label column.
    """
    if labels is None:
        return "No label column was named, so agreement with labels is unknown."
    known, anomaly = known_labels(labels)
    if not known.any():
        return "No evaluation row has a label, so agreement with labels is unknown."
    if not anomaly.any():
        return f"None of the {len(anomaly):,} labelled rows is an anomaly, so detection cannot be measured."
    if anomaly.all():
        return f"All {len(anomaly):,} labelled rows are anomalies, so detection cannot be measured."
    return None


def alerts_at(scores: ArrayLike, threshold: float) -> BoolArray:
    """Rows that a threshold would alarm.

    Parameters
    ----------
    scores
        (n,) scores; higher = more abnormal.
    threshold
        A row is alarmed where its score is at least this high.
    """
    return np.asarray(scores, dtype=np.float64) >= threshold


def oracle_recall(scores: ArrayLike, labels: ArrayLike, fdr: float) -> float | None:
    """The most anomalies that any threshold could have caught with at most a share `fdr` of its alarms false.

    Parameters
    ----------
    scores
        (n,) finite scores; higher = more abnormal.
    labels
        (n,) 1 = anomaly, 0 = normal, NaN = unknown. Rows without a label are left out.

    Returns
    -------
    A share of the anomalies, or None where the labels hold one class only.

    Examples
    --------
    >>> oracle_recall([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0], fdr=0.1)
    0.5
    """
    known, anomaly = known_labels(labels)
    if not both_classes(anomaly):
        return None
    ranking = Ranking(_finite_scores(scores, len(known))[known])
    hits, false = ranking.counts(anomaly.astype(np.float64), (~anomaly).astype(np.float64))
    return float((hits * (false <= fdr * (hits + false))).max() / hits[-1])


class Ranking:
    """Rows in descending order of score, sorted once and weighed many times."""

    def __init__(self, scores: FloatArray) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ordered = scores[self.order]
        # Tied rows stand or fall together: only the last row of a tie is a possible threshold.
        self.ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)

    def counts(self, anomalies: FloatArray, normals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Anomalies and normal rows at or above every distinct score, from the highest down."""
        return np.cumsum(anomalies[self.order])[self.ends], np.cumsum(normals[self.order])[self.ends]

    def areas(self, anomalies: FloatArray, normals: FloatArray) -> tuple[float, float]:
        """AUROC and average precision, rows counted by their weights."""
        hits, false = self.counts(anomalies, normals)
        gained = np.diff(hits, prepend=0.0)
        # Products are summed rather than dotted: waking BLAS threads 400 times costs seconds.
        auroc = (np.diff(false, prepend=0.0) * (hits - gained / 2)).sum() / (hits[-1] * false[-1])
        # A tie without weight gains nothing; the 1 only keeps 0/0 out.
        precision = (gained * hits / np.maximum(hits + false, 1.0)).sum() / hits[-1]
        return float(auroc), float(precision)


def _resamples(anomaly: BoolArray, seed: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Count how often each row is drawn; both classes keep their size, and scores play no part."""
    rng = np.random.default_rng(seed)
    members = np.flatnonzero(anomaly), np.flatnonzero(~anomaly)
    for _ in range(REPLICATES):
        weights = np.zeros((2, len(anomaly)))
        for weight, rows in zip(weights, members, strict=True):
            weight[rows] = np.bincount(rng.integers(len(rows), size=len(rows)), minlength=len(rows))
        yield weights[0], weights[1]


def _percentiles(value: float, draws: FloatArray) -> Interval:
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))


def _alert_figures(anomaly: BoolArray, alerts: BoolArray) -> dict[str, object]:
    total, true = int(alerts.sum()), int((alerts & anomaly).sum())
    return {
        "alerts": total,
        "true_alerts": true,
        "precision": _share(true, total) if total else None,
        "recall": _share(true, int(anomaly.sum())),
        "alert_rate": _share(total - true, int((~anomaly).sum())),
    }


def _share(count: int, total: int) -> Interval:
    """Wilson score interval of a share. Source: Wilson 1927; Brown, Cai, DasGupta 2001, section 3.1.1."""
    p, z2 = count / total, _NORMAL_QUANTILE**2
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(z2 * (p * (1 - p) + z2 / (4 * total)) / total) / (1 + z2 / total)
    return Interval(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def both_classes(anomaly: BoolArray) -> bool:
    """Whether there is anything to tell apart."""
    return bool(anomaly.any() and not anomaly.all())


def known_labels(labels: ArrayLike) -> tuple[BoolArray, BoolArray]:
    """Which rows have a label, and of those, which are anomalies."""
    values = np.asarray(labels, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"labels have {values.ndim} dimensions; expected one label per row.")
    known = ~np.isnan(values)
    wrong = known & (values != 0) & (values != 1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{int(wrong.sum()):,} of {len(values):,} labels are neither 0 nor 1 "
            f"(first: {values[first]:g} at row {first + 1}). Use 1 for an anomaly and 0 for a normal row."
        )
    return known, values[known] == 1


def _finite_scores(scores: ArrayLike, rows: int) -> FloatArray:
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (rows,):
        raise InputError(f"scores have shape {values.shape}; expected ({rows},), one for each label.")
    if not np.isfinite(values).all():
        raise InputError(f"{int((~np.isfinite(values)).sum()):,} of {rows:,} scores are not finite.")
    return values


def _as_alerts(alerts: ArrayLike, rows: int) -> BoolArray:
    values = np.asarray(alerts)
    if values.dtype != np.bool_ or values.shape != (rows,):
        raise InputError(
            f"alerts have shape {values.shape} and type {values.dtype}; expected ({rows},) of bool."
        )
    return values
