"""Conformal calibration: how often a normal row scores at least as high.

Promised: a fresh row that is like the calibration rows raises an alarm at rate r with a probability of at most r. The average is
over tables and rows alike. Not promised: anything about one given row or segment, about one table of thresholds (its real rate
scatters around r, the more the fewer rows it has), or about rows that have drifted away. `docs/alerts.md` says it at length.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import CalibrationError

ROUNDING = 1e-5  # relative: what two ways of adding up one score may differ by
_CELLS, _MANY = 4096, 1024  # cells pay for many scores, not for a few
POINTS = 600  # of a table: about 15 kB of a manifest, 19 kB at most


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, cache_hash=True):
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
    normal
        True where a label or the caller vouches that the rows are normal. Otherwise they are a uniform sample of all rows, never
        purified, and a share c of them may be anomalies: normal rows then alarm at a rate of at most rate / (1 - c).
    """

    scores: tuple[float, ...]
    at_least: tuple[int, ...]
    rows: int
    approximate: bool
    normal: bool = False


def calibrate(
    scores: NDArray[np.float32], *, approximate: bool, normal: bool = False, points: int = POINTS
) -> Calibration:
    """Condense the scores of calibration rows: exact in the tail, by ever fewer points below.

    Parameters
    ----------
    scores
        (n,) scores of rows that nothing was fitted on.
    approximate
        see `Calibration`.
    points
        most scores to store: two thirds are the highest, one by one; between the others the count grows by equal factors.

    Source: Vovk, Gammerman, Shafer 2005 (split conformal); between stored points the p-value is rounded up, and rows of equal
    scores count as if all were higher, so the false-alarm rate can only be lower than promised.
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise CalibrationError(f"{len(scores):,} calibration scores came, and each must be a number.")
    values, counts = np.unique(scores, return_counts=True)
    at_least = np.cumsum(counts[::-1])[::-1]
    keep = _kept(at_least, points)
    # Between two stored scores no more rows can score as high than do so just above the lower one.
    most = at_least[np.concatenate([[0], keep[:-1] + 1])]
    return Calibration(
        scores=tuple(
            float(str(v)) for v in values[keep]
        ),  # the shortest text that reads back as the same float32
        at_least=tuple(int(c) for c in most),
        rows=len(scores),
        approximate=approximate,
        normal=normal,
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
    steps, p = _steps(calibration)
    if len(scores) < _MANY:
        return p[np.searchsorted(steps, scores, side="left")]
    return p[_cells(calibration).places(scores)]


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
        needed = np.ceil(1 / rate) - 1
        raise CalibrationError(
            f"An alert rate of {rate:g} needs {needed:,.0f} calibration rows and this model has {calibration.rows:,}: "
            f"ask for {finest_rate(calibration):.3g} or more, or distill or recalibrate with more rows."
        )
    steps, p = _steps(calibration)
    place = int(np.argmax(p <= rate))
    return float(np.nextafter(steps[place - 1], np.float32(np.inf)))


def finest_rate(calibration: Calibration) -> float:
    """The smallest p-value that the calibration rows can give."""
    return 1 / (calibration.rows + 1)


@lru_cache(maxsize=64)
def _steps(calibration: Calibration) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The stored scores, and the p-value at and below each of them; the last is that of all scores above.

    A step lies a rounding above its score: a row that ties with calibration rows must not pass them by the order of a sum.
    """
    counts = np.asarray((*calibration.at_least, 0), dtype=np.float64)
    scores = np.asarray(calibration.scores, dtype=np.float64)
    steps = scores + ROUNDING * np.maximum(1, np.abs(scores))
    return steps.astype(np.float32), (1 + counts) / (calibration.rows + 1)


class _Cells:
    """Equal cells over the steps: in most of them no step stands, so that a score's cell alone tells its place.

    The cell of a score never falls as the score rises, whatever the rounding, which is all that this rests on.
    """

    def __init__(self, steps: NDArray[np.float32]) -> None:
        self._steps = steps
        self._low = steps[0]
        with np.errstate(over="ignore", divide="ignore"):
            self._per_unit = np.float32(_CELLS) / (steps[-1] - steps[0])
        occupied = self.cells(steps)
        self._place = np.searchsorted(occupied, np.arange(_CELLS)).astype(np.int32)
        self._place[occupied] = -1  # steps stand in it

    def cells(self, scores: NDArray[np.float32]) -> NDArray[np.int32]:
        """(n,) cell of each score; those beyond the ends count to the ends."""
        with np.errstate(over="ignore", invalid="ignore"):
            across = (scores - self._low) * self._per_unit
        return np.asarray(np.fmin(np.fmax(across, 0), _CELLS - 1), dtype=np.int32)

    def places(self, scores: NDArray[np.float32]) -> NDArray[np.int32]:
        """As `np.searchsorted(steps, scores)`."""
        places = self._place[self.cells(scores)]
        unclear = np.flatnonzero(places < 0)
        places[unclear] = np.searchsorted(self._steps, scores[unclear], side="left")
        return places


@lru_cache(maxsize=64)
def _cells(calibration: Calibration) -> _Cells:
    return _Cells(_steps(calibration)[0])


def _kept(at_least: NDArray[np.int64], points: int) -> NDArray[np.int64]:
    """Indices of the scores to store, ascending."""
    tail = 2 * points // 3
    if len(at_least) <= tail:
        return np.arange(len(at_least))
    first = len(at_least) - tail
    wanted = np.ceil(np.geomspace(at_least[first], at_least[0], points - tail + 1)[1:])
    below = len(at_least) - np.searchsorted(at_least[::-1], wanted, side="right")
    return np.concatenate([np.unique(below), np.arange(first, len(at_least))])
