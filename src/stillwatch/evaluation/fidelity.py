"""Fidelity: how well a student agrees with its teacher, labels aside."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stillwatch.errors import InputError

FloatArray = NDArray[np.float64]


class Fidelity(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement in order, as a whole and where alarms are raised."""

    rows: int
    spearman: float
    spearman_upper: float | None  # over rows above the teacher's median; None where there are fewer than 3
    top_1_percent: float
    top_k: float
    k: int


def fidelity(student: ArrayLike, teacher: ArrayLike, *, k: int = 100) -> Fidelity:
    """Measure agreement of a student with its teacher on the same rows.

    Parameters
    ----------
    student, teacher
        (n,) finite scores of the same rows; higher = more abnormal. The scales may differ.
    k
        Size of the list of highest rows to compare; at most n rows are compared.

    Raises
    ------
    InputError
        Fewer than 2 rows, lengths differ, a score is not finite, or k is below 1.

    Examples
    --------
    >>> agreement = fidelity([1, 2, 4, 3], [10, 20, 30, 40], k=2)
    >>> round(agreement.spearman, 3), agreement.top_1_percent, agreement.top_k
    (0.8, 0.0, 1.0)
    """
    s, t = _scores("student", student), _scores("teacher", teacher)
    if s.shape != t.shape:
        raise InputError(f"student has {len(s):,} scores, teacher {len(t):,}; expected the same rows.")
    if len(s) < 2:
        raise InputError(f"fidelity needs 2 rows or more, not {len(s)}.")
    if k < 1:
        raise InputError(f"k is {k}; expected 1 or more.")
    k = min(k, len(s))
    return Fidelity(
        rows=len(s),
        spearman=spearman(s, t),
        spearman_upper=upper_spearman(s, t),
        top_1_percent=top_overlap(s, t, math.ceil(len(s) / 100)),
        top_k=top_overlap(s, t, k),
        k=k,
    )


def upper_spearman(student: NDArray[np.floating], teacher: NDArray[np.floating]) -> float | None:
    """Rank agreement over the rows above the teacher's median; None where there are fewer than 3.

    Over all rows it is near 1 for everything: the lower half is easy.
    """
    upper = teacher > np.median(teacher) if len(teacher) else np.zeros(0, dtype=np.bool_)
    return spearman(student[upper], teacher[upper]) if upper.sum() > 2 else None


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation in [-1, 1], ties averaged; 0 where one side is constant, since it orders nothing.

    Parameters
    ----------
    a, b
        (n,) finite values, n >= 2.
    """
    x, y = (ranks - ranks.mean() for ranks in (average_ranks(a), average_ranks(b)))
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(np.clip(float(x @ y) / scale, -1.0, 1.0)) if scale else 0.0


def average_ranks(values: ArrayLike) -> FloatArray:
    """Ranks from 1, lowest value first; tied values share the mean of their ranks.

    Examples
    --------
    >>> average_ranks([3.0, 1.0, 3.0]).tolist()
    [2.5, 1.0, 2.5]
    """
    _, inverse, counts = np.unique(
        np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True
    )
    last = np.cumsum(counts)
    mean: FloatArray = last - (counts - 1) / 2
    return mean[inverse]


def top_overlap(a: ArrayLike, b: ArrayLike, k: int) -> float:
    """Share of the k highest rows that two scorings have in common, in [0, 1].

    Rows tied at the edge of a list share its last places, so that a constant score overlaps as much as chance
    would and never by the accident of row order.

    Parameters
    ----------
    a, b
        (n,) scores of the same rows.
    k
        Length of each list, 1 to n.
    """
    return float(np.minimum(_membership(a, k), _membership(b, k)).sum() / k)


def _membership(scores: ArrayLike, k: int) -> FloatArray:
    values = np.asarray(scores, dtype=np.float64)
    edge = np.partition(values, len(values) - k)[len(values) - k]
    above, tied = values > edge, values == edge
    shares: FloatArray = above + tied * ((k - above.sum()) / tied.sum())
    return shares


def _scores(who: str, scores: ArrayLike) -> FloatArray:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"{who} scores have {values.ndim} dimensions; expected one score per row.")
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum()):,} of {len(values):,} {who} scores are not finite."
        )
    return values
