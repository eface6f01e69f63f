"""How far two counts over the same cells lie apart, and how often chance alone would part them as far.

Both counts are samples, so every p-value counts the chance in both. Scores and columns are compared in three ways: the largest
gap between the two distributions (KS), whether values moved up or down (ranks), and by how much shares changed (PSI, which has no
p-value of its own: it says how large a change is, not how sure).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def population_stability(before: Floats, now: Floats) -> float:
    """PSI of two counts: sum of (q - p) ln(q / p) over cells; by custom < 0.1 is small, > 0.25 large.

    Half a row is added to every cell, so that an empty one stays finite.
    """
    p, q = before + 0.5, now + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def largest_gap(before: Floats, now: Floats) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance of two counts over ordered cells, and its p-value.

    The distance is seen at the edges of the cells only and can thus only be too small; the p-value is the bound 2 exp(-2 m D²)
    with 1 / m = 1 / n + 1 / N. Source: Dvoretzky-Kiefer-Wolfowitz-Massart; for two samples Wei & Dudley 2012, arXiv:1107.5356.
    """
    rows, others = now.sum(), before.sum()
    if not rows or not others:
        return 0.0, 1.0
    gap = float(np.abs(np.cumsum(now / rows - before / others)).max())
    return gap, min(1.0, 2 * math.exp(-2 * gap**2 * rows * others / (rows + others)))


def chance_above(before: Floats, now: Floats) -> tuple[float, float]:
    """Chance that a new value exceeds an earlier one (ties count half; 0.5 = no shift), and the p-value of the rank-sum test."""
    rows, others = now.sum(), before.sum()
    if not rows or not others:
        return 0.5, 1.0
    above = float((now * (np.cumsum(before) - before / 2)).sum() / rows / others)
    both = before + now
    return above, mean_shift(before, now, np.cumsum(both) - both / 2)


def largest_cell(before: Floats, now: Floats) -> tuple[int, float]:
    """The cell whose share changed the most surely, and the p-value of that, corrected for the number of cells."""
    used = np.flatnonzero(before + now)
    if len(used) < 2:
        return 0, 1.0
    p = [share_shift(before[cell], before.sum(), now[cell], now.sum()) for cell in used]
    least = int(np.argmin(p))
    return int(used[least]), min(1.0, p[least] * len(used))


def share_shift(before: float, of: float, now: float, of_now: float) -> float:
    """p-value that two shares, `before` of `of` rows and `now` of `of_now`, are samples of one."""
    return mean_shift(np.array([of - before, before]), np.array([of_now - now, now]), np.array([0.0, 1.0]))


def mean_shift(before: Floats, now: Floats, worth: Floats) -> float:
    """Two-sided p-value that the mean worth of the rows is the same in both counts.

    Parameters
    ----------
    before, now
        (cells,) rows by cell.
    worth
        (cells,) what a row in each cell counts, ascending.

    Notes
    -----
    The p-value under all ways to deal the rows out to the two samples, by the saddlepoint approximation: a normal one is far too
    small where few rows make the difference, as with rare values. Source: Barndorff-Nielsen 1986 (r*); half a step is taken back.
    """
    n, others = float(now.sum()), float(before.sum())
    both = now + before
    used = both > 0
    if not n or not others or used.sum() < 2:
        return 1.0
    weight, worth = both[used] / (n + others), worth[used]
    worth = worth - weight @ worth
    worth = worth / math.sqrt(weight @ worth**2)
    found = float(now[used] @ worth) / n
    reach = abs(found) - float(np.diff(worth).max()) / (2 * n)  # half a step back, for rows are whole
    spread = math.sqrt(n * (n + others) / others)  # of a mean of rows that are dealt without putting back
    if reach * spread < 1:
        return math.erfc(max(reach, 0.0) * spread / math.sqrt(2))
    # What one sample gains the other loses: both are tilted, each to its own mean.
    worth = worth * math.copysign(1.0, found)
    up, down = _tilted(weight, worth, reach), _tilted(weight, -worth, reach * n / others)
    rate = n * up.rate + others * down.rate
    r = math.sqrt(2 * rate)
    u = (up.tilt + down.tilt) * math.sqrt(n * up.variance * others * down.variance / (n + others))
    if not u > 0:  # all rows of the highest worth are in one sample
        return min(1.0, 2 * math.exp(-rate))
    return min(1.0, math.erfc((r + math.log(u / r) / r) / math.sqrt(2)))


class _Tilted(NamedTuple):
    """A distribution over cells, tilted by exp(tilt * worth): its variance, and how unlikely it is, in nats a row."""

    tilt: float
    variance: float
    rate: float


def _tilted(weight: Floats, worth: Floats, mean: float) -> _Tilted:
    """Tilt a distribution of mean 0 and variance 1 to a mean above 0, by Newton's method within brackets."""
    top = float(worth.max())
    if mean >= top * (1 - 1e-12):
        return _Tilted(math.inf, 0.0, -math.log(weight[worth == top].sum()))
    tilt, low, high = mean, 0.0, math.inf
    while True:
        odds = weight * np.exp(tilt * (worth - top))
        total = float(odds.sum())
        slope = float(odds @ worth) / total
        variance = max(float(odds @ worth**2) / total - slope**2, 1e-300)
        low, high = (tilt, high) if slope < mean else (low, tilt)
        if abs(slope - mean) < 1e-9 * mean or high - low < 1e-9 * tilt:
            return _Tilted(tilt, variance, max(tilt * (mean - top) - math.log(total), 0.0))
        step = tilt - (slope - mean) / variance
        tilt = step if low < step < high else (2 * tilt if math.isinf(high) else (low + high) / 2)
