"""What can be said about a fitted teacher, and the rows it was fitted on, without a label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import TeacherError
from stillwatch.teachers.mcd import MCD
from stillwatch.teachers.protocol import Combination, Matrix, Scores, Teacher, ask, fit_copy
from stillwatch.teachers.sample import uniform_sample
from stillwatch.teachers.sklearn import KNN

MOST_ROWS = 2_000  # looked at; more would tell the same
FEWEST_REFITTED, MOST_REFITTED = 200, 1_000  # a twentieth of the rows in between
_MOST_ASKED = 500
_FEW = 16
_TOP = 0.01
_FEWEST_TOP = 5
_CLEAR = 0.8  # of the variance, between two groups; 0.83 to 0.97 where gaps were planted, at most 0.76 on real tables


@dataclass(frozen=True)
class Health:
    """Signs of how far a teacher can be trusted. None is fatal, and none replaces a label.

    Attributes
    ----------
    tied
        share of training rows that share their score with another one.
    member_agreement
        share of the highest 1 % (at least 5 rows) that two members have in common, mean over pairs; None: one member.
    stability
        rank agreement (Spearman) of two teachers fitted on separate samples, a twentieth of the rows each; None: nothing
        was fitted, a sample cannot be, or there are fewer than 200 rows.
    contamination
        share of rows that stand apart from the others, where a clear gap tells; None: no gap, so nobody can tell.
    clustered
        share of the 1 % that lie farthest from the bulk that have near neighbours all the same: anomalies of one kind,
        or normal rows of a rare one. A detector that looks at a few neighbours takes both for normal.
    """

    tied: float
    member_agreement: float | None
    stability: float | None
    contamination: float | None
    clustered: float


def examine(teacher: Teacher, fitted: Teacher, x: Matrix, *, seed: int) -> Health:
    """Examine a fitted teacher.

    Parameters
    ----------
    teacher
        the teacher itself, to be fitted again on samples.
    fitted
        the same as it is to be asked.
    x
        (n, d) its training rows.
    """
    rows = uniform_sample(len(x), MOST_ROWS, seed)
    clustered = _clustered(x[rows], seed)
    return Health(
        tied=_tied(fitted, x[rows[:: -(-len(rows) // _MOST_ASKED)]], seed),
        member_agreement=_agreement(_known(teacher.training_member_scores()))
        if isinstance(teacher, Combination)
        else None,
        stability=_stability(teacher, x, seed),
        contamination=_contamination(x[rows], clustered >= 0.5, seed),
        clustered=clustered,
    )


def top(n: int) -> int:
    """How many of n rows are the highest 1 %, where that is at least a handful."""
    return min(n, max(_FEWEST_TOP, math.ceil(_TOP * n)))


def _known(own: NDArray[np.float64]) -> NDArray[np.float64]:
    """The training scores without those of rows that the teacher did not learn from."""
    return own[~np.isnan(own.reshape(len(own), -1)).any(axis=1)]


def _tied(fitted: Teacher, few: Matrix, seed: int) -> float:
    own = fitted.training_scores()
    if own is None:
        scores = ask(fitted, few)
    else:
        scores = _known(own)
        scores = scores[uniform_sample(len(scores), MOST_ROWS, seed)]
    _, counts = np.unique(scores, return_counts=True)
    return float(counts[counts > 1].sum() / len(scores))


def _agreement(members: NDArray[np.float64]) -> float | None:
    size = top(len(members))
    highest = [set(np.argsort(-column, kind="stable")[:size].tolist()) for column in members.T]
    shared = [len(a & b) / size for a, b in combinations(highest, 2)]
    return float(np.mean(shared)) if shared else None


def _stability(teacher: Teacher, x: Matrix, seed: int) -> float | None:
    from scipy.stats import spearmanr

    if len(x) < FEWEST_REFITTED:
        return None
    order = np.random.default_rng(seed).permutation(len(x))
    size = min(len(x) // 3, max(FEWEST_REFITTED, min(len(x) // 20, MOST_REFITTED)))
    # Neither has seen the rows that both are asked about: a neighbour detector finds its own at distance 0.
    first, second, asked = (x[order[at * size : (at + 1) * size]] for at in range(3))
    try:
        fits = [fit_copy(teacher, part, seed=seed) for part in (first, second)]
        if np.array_equal(ask(fits[0], first[:_FEW]), ask(fits[1], first[:_FEW])):  # nothing is fitted here
            return None
        one, two = (ask(fit, asked) for fit in fits)
    except TeacherError:
        return None
    if np.ptp(one) == 0 or np.ptp(two) == 0:
        return None
    return float(spearmanr(one, two)[0])


def _clustered(x: Matrix, seed: int) -> float:
    far = np.argsort(-MCD().fit(x, seed=seed).score(x), kind="stable")[: top(len(x))]
    near = _neighbour_distances(x, 5, seed)
    # Distances of twins are 0: a table of few distinct rows shows nothing here.
    return float(np.mean(near[far] <= np.median(near))) if np.median(near) > 0 else 0.0


def _contamination(x: Matrix, clustered: bool, seed: int) -> float | None:
    """Share of the sparser of two groups that the neighbour distances fall into (Otsu 1979)."""
    x = np.unique(x, axis=0)  # twins are no group of their own
    if len(x) < _FEW:
        return None
    distances = _neighbour_distances(x, 10, seed)
    middle = float(np.median(distances))
    value = np.sort(np.log(distances + 0.1 * middle))
    n, below = len(value), np.arange(1, len(value))
    total = np.cumsum(value)
    gap = total[:-1] / below - (total[-1] - total[:-1]) / (n - below)
    between: Any = below * (n - below) / n**2 * np.square(gap)
    cut = int(np.argmax(between))
    if between[cut] < _CLEAR * value.var():
        return None
    sparse = 1 - (cut + 1) / n
    return 1 - sparse if clustered else sparse


def _neighbour_distances(x: Matrix, k: int, seed: int) -> Scores:
    return KNN(k=k).fit(x, seed=seed).training_scores()
