"""Conformal calibration: how often a normal row scores at least as high."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import CalibrationError

_EXACT = 500  # scores of the tail that are stored one by one


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The scores of rows that nothing was fitted on, as a step function.

    Parameters
    ----------
    scores
        Scores, ascending; higher = more abnormal.
    at_least
        For each of them, how many calibration rows score at least that.
    rows
        How many calibration rows there were.
    approximate
        True where the scores come from folds (cross-conformal), so that the promised rate holds only nearly.
    """

    scores: tuple[float, ...]
    at_least: tuple[int, ...]
    rows: int
    approximate: bool


def calibrate(scores: NDArray[np.float32], *, approximate: bool) -> Calibration:
    """Condense the scores of calibration rows: exact in the tail, by ever fewer points below.

    Parameters
    ----------
    scores
        (n,) scores of rows that nothing was fitted on.
    approximate
        see `Calibration`.

    Source: Vovk, Gammerman, Shafer 2005 (split conformal); between stored points the p-value is rounded up, so the false
    alarm rate can only be lower than promised.
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise CalibrationError(f"{len(scores):,} calibration scores came, and each must be a number.")
    ascending = np.sort(scores)
    values, first = np.unique(ascending, return_index=True)
    at_least = len(ascending) - first
    keep = _kept(at_least)
    return Calibration(
        scores=tuple(float(v) for v in values[keep]),
        at_least=tuple(int(c) for c in at_least[keep]),
        rows=len(scores),
        approximate=approximate,
    )


def p_values(calibration: Calibration, scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of normal rows expected to score at least as high.

    Parameters
    ----------
    scores
        (n,) scores to judge; higher = more abnormal.

    Returns
    -------
    (n,) in (0, 1]: (1 + #{calibration >= score}) / (rows + 1).

    Source: Bates et al. 2023, arXiv:2104.08279, eq. 2.
    """
    table = np.asarray(calibration.scores, dtype=np.float32)
    counts = np.asarray((*calibration.at_least, 0), dtype=np.float64)
    # The first stored score that is not below; a score between two stored ones takes the larger count of the lower one.
    place = np.searchsorted(table, scores, side="left")
    exact = (place < len(table)) & (table[np.minimum(place, len(table) - 1)] == scores)
    lower = np.where(exact, place, place - 1)
    reached = np.where(lower < 0, calibration.rows, counts[lower])
    above_all = place == len(table)
    return (1 + np.where(above_all, 0, reached)) / (calibration.rows + 1)


def threshold(calibration: Calibration, rate: float) -> float:
    """The score from which rows are alarmed at `rate`: the lowest stored one whose p-value is at most the rate.

    Raises
    ------
    CalibrationError
        the rate is no share, or finer than the calibration rows support.
    """
    if not 0 < rate < 1:
        raise CalibrationError(f"An alert rate of {rate} came; expected a share of normal rows between 0 and 1.")
    if rate < finest_rate(calibration):
        needed = int(np.ceil(1 / rate)) - 1
        raise CalibrationError(
            f"An alert rate of {rate:g} needs {needed:,} calibration rows and this model has {calibration.rows:,}: "
            f"ask for {finest_rate(calibration):.3g} or more, or distill with more rows."
        )
    allowed = [
        score
        for score, count in zip(calibration.scores, calibration.at_least, strict=True)
        if (1 + count) / (calibration.rows + 1) <= rate
    ]
    beyond = float(np.nextafter(np.float32(calibration.scores[-1]), np.float32(np.inf)))
    return min(allowed, default=beyond)


def finest_rate(calibration: Calibration) -> float:
    """The smallest p-value that the calibration rows can give."""
    return 1 / (calibration.rows + 1)


def _kept(at_least: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the scores to store: the highest `_EXACT`, then points whose ranks grow by a hundredth."""
    kept = list(range(max(0, len(at_least) - _EXACT), len(at_least)))
    place = kept[0]
    while place > 0:
        wanted = int(at_least[place] * 1.01) + 1
        place = min(place - 1, int(len(at_least) - np.searchsorted(at_least[::-1], wanted)) - 1)
        place = max(place, 0)
        kept.append(place)
    return np.array(sorted(kept), dtype=np.int64)
