"""Raw teacher scores to targets that a student can learn: monotone, smooth and unbounded.

Ranks and clipped scales saturate exactly where anomalies are, and plain scaling leaves the bulk no range; asinh of the
robustly standardised score is linear in the bulk and logarithmic in the tail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import TeacherError


@dataclass(frozen=True)
class Softener:
    """soft = asinh((raw - center) / scale)."""

    center: float
    scale: float

    def soften(self, raw: NDArray[np.float64]) -> NDArray[np.float32]:
        """(n,) raw scores to (n,) soft scores; higher stays more abnormal."""
        return np.arcsinh((raw - self.center) / self.scale).astype(np.float32)


def fit_softener(raw: NDArray[np.float64], elsewhere: NDArray[np.float64]) -> Softener:
    """Median and robust spread of the training rows' raw scores.

    Parameters
    ----------
    raw
        (n,) scores of training rows.
    elsewhere
        (m,) scores of other rows. Training rows may rightly share one score (each has a twin, say); then these give the spread.

    Raises
    ------
    TeacherError
        all scores are equal: such a teacher has nothing to teach.
    """
    low, middle, high = np.quantile(raw, [0.25, 0.5, 0.75])
    spread = float(high - low) / 1.349
    least = 1e-12 * max(1.0, abs(float(middle)))
    for scores in (raw, elsewhere):
        if spread <= least:
            spread = float(np.std(scores))
    if spread <= least:
        raise TeacherError(
            f"The teacher gave all {len(raw) + len(elsewhere):,} rows the same score, {middle:.6g}: it tells none apart. "
            "Choose another teacher, or check that the columns vary."
        )
    return Softener(float(middle), spread)
