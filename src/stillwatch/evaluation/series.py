"""The numbers that the report's charts are drawn from, thinned so that they fit on a page."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stillwatch.evaluation.fidelity import average_ranks, top_overlap
from stillwatch.evaluation.quality import Ranking, both_classes, known_labels

FloatArray = NDArray[np.float64]

CURVE_POINTS = 200
SCATTER_POINTS = 800
OVERLAP_POINTS = 60
MOST_BINS, FEWEST_BINS = 48, 12


class Curve(msgspec.Struct, frozen=True):
    """Points of a line, x ascending."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class Curves(msgspec.Struct, frozen=True):
    """What a threshold trades: recall against false alarms, and precision against recall."""

    roc: Curve  # x = share of normal rows alarmed, y = recall
    pr: Curve  # x = recall, y = precision


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """How scores spread. The first and last bins hold what lies beyond the edges as well.

    `anomaly` is empty where there are no labels; `normal` then counts every row.
    """

    edges: tuple[float, ...]
    normal: tuple[int, ...]
    anomaly: tuple[int, ...] = ()


class Scatter(msgspec.Struct, frozen=True, kw_only=True):
    """Rows by their place in both orders: the share of rows scored at least as high, in (0, 1]."""

    student: tuple[float, ...]
    teacher: tuple[float, ...]
    anomaly: tuple[bool, ...] = ()  # empty where there are no labels
    rows: int  # that they were chosen from


def curves(scores: ArrayLike, labels: ArrayLike) -> Curves | None:
    """ROC and precision-recall points, at most 200 each; None where the labels hold one class only.

    Parameters
    ----------
    scores
        (n,) finite scores; higher = more abnormal.
    labels
        (n,) 1 = anomaly, 0 = normal, NaN = unknown.
    """
    known, anomaly = known_labels(labels)
    if not both_classes(anomaly):
        return None
    ranking = Ranking(np.asarray(scores, dtype=np.float64)[known])
    hits, false = ranking.counts(anomaly.astype(np.float64), (~anomaly).astype(np.float64))
    recall, alarmed, precision = hits / hits[-1], false / false[-1], hits / (hits + false)
    x, y = np.append(0.0, alarmed), np.append(0.0, recall)
    # Low false-alarm rates matter most and are drawn on a logarithmic axis: spend points there.
    low = 1 / false[-1]
    decades = np.log10(np.maximum(x, low) / low) / max(np.log10(1 / low), 1.0)
    return Curves(
        roc=_thin(x, y, along=decades),
        pr=_thin(y, np.append(precision[0], precision), along=y),
    )


def score_histogram(
    scores: ArrayLike, labels: ArrayLike | None, *, threshold: float | None = None
) -> Histogram:
    """Count scores in up to 48 bins of equal width, by class where labels exist.

    Parameters
    ----------
    scores
        (n,) finite scores, n >= 1.
    labels
        (n,) 1 = anomaly, 0 = normal, NaN = unknown (left out); None: no labels.
    threshold
        Score that raises an alarm; the edges are chosen so that it can be seen.
    """
    s = np.asarray(scores, dtype=np.float64)
    known, anomaly = known_labels(np.zeros(len(s)) if labels is None else labels)
    if not known.any():
        known, anomaly, labels = np.ones(len(s), dtype=np.bool_), np.zeros(len(s), dtype=np.bool_), None
    s = s[known]
    low, high = np.quantile(s, [0.001, 0.999])
    if anomaly.any():  # rare anomalies must not all fall into the last bin
        high = max(high, float(np.quantile(s[anomaly], 0.9)))
    if threshold is not None:
        room = 0.1 * (max(high, threshold) - min(low, threshold))
        low, high = min(low, threshold - room), max(high, threshold + room)
    if low == high:
        low, high = low - 0.5, high + 0.5
    bins = int(np.clip(2 * np.sqrt(len(s)), FEWEST_BINS, MOST_BINS))
    edges = np.linspace(low, high, bins + 1)
    inside = np.clip(s, low, high)
    return Histogram(
        edges=_rounded(edges),
        normal=tuple(np.histogram(inside[~anomaly], edges)[0].tolist()),
        anomaly=() if labels is None else tuple(np.histogram(inside[anomaly], edges)[0].tolist()),
    )


def rank_scatter(student: ArrayLike, teacher: ArrayLike, labels: ArrayLike | None = None) -> Scatter:
    """Choose at most 800 rows that show where two orders part, most of them among the highest.

    Rows are taken at even steps of the logarithm of their rank, half by the student's order and half by the
    teacher's: the top 1 % gets as much ink as the next 9 %, and neither side hides its own alarms.

    Parameters
    ----------
    student, teacher
        (n,) finite scores of the same rows, n >= 1.
    labels
        (n,) 1 = anomaly, 0 = normal, NaN = unknown; None: no labels.
    """
    places = [_place(scores) for scores in (student, teacher)]
    rows = len(places[0])
    steps = np.unique(np.geomspace(1, rows, SCATTER_POINTS // 2).round().astype(int)) - 1
    chosen = np.unique(np.concatenate([np.argsort(place, kind="stable")[steps] for place in places]))
    if rows <= SCATTER_POINTS:
        chosen = np.arange(rows)
    marks: tuple[bool, ...] = ()
    if labels is not None:
        marks = tuple((np.asarray(labels, dtype=np.float64)[chosen] == 1).tolist())
    s, t = (_rounded(place[chosen]) for place in places)
    return Scatter(student=s, teacher=t, anomaly=marks, rows=rows)


def overlap_curve(student: ArrayLike, teacher: ArrayLike) -> Curve:
    """Share of rows that two lists of the highest k have in common, for k from a few rows to all of them.

    Parameters
    ----------
    student, teacher
        (n,) finite scores of the same rows, n >= 1.

    Returns
    -------
    At most 60 points: x = k / n, at even steps of its logarithm; y = the share in common, by chance k / n.

    Examples
    --------
    >>> overlap_curve([1, 2, 4, 3], [10, 20, 30, 40])
    Curve(x=(0.25, 0.5, 0.75, 1.0), y=(0.0, 1.0, 1.0, 1.0))
    """
    s, t = np.asarray(student, dtype=np.float64), np.asarray(teacher, dtype=np.float64)
    rows = len(s)
    steps = np.unique(np.geomspace(min(10, max(rows // 10, 1)), rows, OVERLAP_POINTS).round().astype(int))
    shared = np.array([top_overlap(s, t, int(k)) for k in steps])
    return Curve(_rounded(steps / rows), _rounded(shared))


def _place(scores: ArrayLike) -> FloatArray:
    values = np.asarray(scores, dtype=np.float64)
    ranks: FloatArray = average_ranks(-values) / len(values)
    return ranks


def _thin(x: FloatArray, y: FloatArray, *, along: FloatArray) -> Curve:
    """Keep points at even steps along the line as it is drawn, so that steep parts keep their shape."""
    if len(x) > CURVE_POINTS:
        length = np.append(0.0, np.cumsum(np.abs(np.diff(along)) + np.abs(np.diff(y))))
        steps = np.linspace(0, length[-1], CURVE_POINTS)
        kept = np.unique(np.searchsorted(length, steps).clip(0, len(x) - 1))
        x, y = x[kept], y[kept]
    return Curve(_rounded(x), _rounded(y))


def _rounded(values: FloatArray) -> tuple[float, ...]:
    """Six significant digits: a chart needs no more, and the page stays small."""
    return tuple(float(f"{value:.6g}") for value in values)
