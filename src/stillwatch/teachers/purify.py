"""Which training rows to learn from, where some may be anomalies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillwatch.teachers.mcd import MCD
from stillwatch.teachers.protocol import Matrix, Scores, Teacher, ask, filled
from stillwatch.teachers.scale import fit_scale
from stillwatch.teachers.sklearn import KNN

# How many are anomalies cannot be told (decision 4), and to set aside too few costs far more than too many: decision 6.
SET_ASIDE = 0.3
_SAMPLE = 5_000
_SHARE = 20  # k is a twentieth of the rows: anomalies of one kind are each other's neighbours


def core_rows(x: Matrix, forest: Teacher, *, set_aside: float, seed: int) -> NDArray[np.bool_]:
    """(n,) True for the rows that lie deepest among the (n, d) rows, all but a share of `set_aside`.

    Parameters
    ----------
    forest
        an isolation forest, fitted on these rows. It is asked together with distances to many neighbours and a robust
        covariance: none of the three is led astray by anomalies that lie close together, and each by something else.
    """
    neighbours = KNN(k=max(5, min(len(x), _SAMPLE) // _SHARE), sample=_SAMPLE).fit(x, seed=seed)
    robust = MCD().fit(x, seed=seed)
    rough = np.zeros(len(x))
    for weight, scores in (
        (2.0, filled(neighbours.training_scores(), neighbours, x)),
        (1.0, ask(robust, x)),
        (1.0, ask(forest, x)),
    ):
        rough += weight * fit_scale(scores).standardise(scores)
    kept = np.zeros(len(x), dtype=np.bool_)
    kept[np.argsort(rough, kind="stable")[: max(2, round((1 - set_aside) * len(x)))]] = True
    return kept


def scores_of_core(fitted: Teacher, core: NDArray[np.bool_]) -> Scores | None:
    """(n,) scores of a teacher fitted on the core of n rows: of these as if unseen, and NaN = unseen, of the others."""
    own = fitted.training_scores()
    if own is None:
        return None
    scores = np.full(len(core), np.nan)
    scores[core] = own
    return scores
