"""Scores of unlike detectors on one scale: monotone and unbounded, so that a row far out stays ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stillwatch.teachers.protocol import Scores

_UPPER, _NORMAL_UPPER = 0.9, 1.2816


@dataclass(frozen=True)
class Scale:
    """asinh((score - centre) / spread)."""

    centre: float
    spread: float

    def standardise(self, scores: Scores) -> Scores:
        """(n,) raw scores to (n,) scores that are 0 at the median and about 1 at a row as far out as one deviation."""
        return np.asarray(np.arcsinh((scores - self.centre) / self.spread))


def fit_scale(scores: Scores) -> Scale:
    """Median and upper spread of (n,) scores: these are skewed, and anomalies stand above."""
    centre, upper = np.quantile(scores, [0.5, _UPPER])
    spread = (upper - centre) / _NORMAL_UPPER or scores.std() or 1.0
    return Scale(float(centre), float(spread))
