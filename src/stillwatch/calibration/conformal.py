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
        For each of them, how many calibration rows score more than the one stored before it: the most that can score at
        least as high as anything between the two.
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
    values, counts = np.unique(scores, return_counts=True)
    at_least = np.cumsum(counts[::-1])[::-1]
    keep = _kept(at_least)
    # Between two stored scores no more rows can score as high than do so just above the lower one.
    most = at_least[np.concatenate([[0], keep[:-1] + 1])]
    return Calibration(
        scores=tuple(float(v) for v in values[keep]),
        at_least=tuple(int(c) for c in most),
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
    counts = np.asarray((*calibration.at_least, 0), dtype=np.float64)
    place = np.searchsorted(np.asarray(calibration.scores, dtype=np.float32), scores, side="left")
    p: NDArray[np.float64] = (1 + counts[place]) / (calibration.rows + 1)
    return p


def threshold(calibration: Calibration, rate: float) -> float:
    """The lowest score whose p-value is at most `rate`.

    Raises
    ------
    CalibrationError
        the rate is no share, or finer than the calibration rows support.
    """
    if not 0 < rate < 1:
        raise CalibrationError(
            f"An alert rate of {rate} came; expected a share of normal rows between 0 and 1."
        )
    if rate < finest_rate(calibration):
        needed = int(np.ceil(1 / rate)) - 1
        raise CalibrationError(
            f"An alert rate of {rate:g} needs {needed:,} calibration rows and this model has {calibration.rows:,}: "
            f"ask for {finest_rate(calibration):.3g} or more, or distill with more rows."
        )
    p = (1 + np.asarray((*calibration.at_least, 0))) / (calibration.rows + 1)
    place = int(np.argmax(p <= rate))
    return float(np.nextafter(np.float32(calibration.scores[place - 1]), np.float32(np.inf)))


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
