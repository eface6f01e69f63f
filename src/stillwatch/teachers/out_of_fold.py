"""Scores of training rows as if the teacher had not seen them.

In-sample scores lie where a teacher knows its training rows by heart: a neighbour detector finds them at distance
zero. Some teachers have an exact leave-one-out form. The others are fitted on folds, where that matters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import TeacherError
from stillwatch.teachers.fit import FittedTeacher
from stillwatch.teachers.protocol import Matrix, Scores, ask, disagreement, fit_copy
from stillwatch.teachers.sample import uniform_sample

Index = NDArray[np.intp]

FOLDS = 5
FEWEST_ROWS = 50
_MOST_TRIED = 2_500
_REFERENCE = 2_000
_FEW = 16
_SHIFT = 0.1  # of the mean rank, from 0.5


@dataclass(frozen=True)
class TrainingScores:
    """Scores of training rows as if unseen, and how they came about.

    Attributes
    ----------
    scores
        (n,) on the scale of the teacher fitted on all rows; higher = more abnormal. NaN where to ask is as good.
    how
        "out-of-sample": a form of the teacher's own, such as leave-one-out. "out-of-fold": each by a teacher fitted on
        other rows.
    disagreement
        (n,) standard deviation of the members' scores, NaN as above; None: the teacher has no members.
    """

    scores: Scores
    how: Literal["out-of-sample", "out-of-fold"]
    disagreement: Scores | None = None

    def of(self, rows: Index) -> tuple[Scores, Scores | None]:
        """Scores and disagreement of some of the rows."""
        return self.scores[rows], None if self.disagreement is None else self.disagreement[rows]


def training_scores(fitted: FittedTeacher, x: Matrix, *, seed: int) -> TrainingScores | None:
    """Scores of a teacher's (n, d) training rows as if it had not seen them; None: to ask it is as good.

    Where the teacher has no such form it is fitted on four fifths of a sample of at most 2,500 rows. Only if the
    last fifth then ranks clearly higher among the rows it has seen than half of them do, does it know its rows by
    heart, and every row is scored by a teacher fitted on four other fifths of all rows.
    """
    own = fitted.training_scores()
    if own is not None:
        members = fitted.members
        spread = None if members is None else disagreement(members.training_member_scores())
        return TrainingScores(own, "out-of-sample", spread)
    if len(x) < FEWEST_ROWS or not fitted.pointwise:  # the latter are slow to ask as it is
        return None
    try:
        tried = x[uniform_sample(len(x), _MOST_TRIED, seed)]
        if not _knows_by_heart(fitted, tried, seed):
            return None
        return TrainingScores(out_of_fold(fitted, x, seed=seed), "out-of-fold")
    except TeacherError:  # four fifths are too few for it, say
        return None


def out_of_fold(fitted: FittedTeacher, x: Matrix, *, seed: int) -> Scores:
    """(n,) scores of the training rows, each by a copy fitted on four other fifths, on the scale of the whole teacher."""
    reference = _reference(x, seed)
    whole = ask(fitted, reference)
    scores = np.empty(len(x))
    for rest, fold in _folds(len(x), seed):
        part = fit_copy(fitted.teacher, x[rest], seed=seed)
        scores[fold] = match_quantiles(ask(part, x[fold]), ask(part, reference), whole)
    return scores


def match_quantiles(scores: Scores, reference: Scores, target: Scores) -> Scores:
    """Bring scores of one teacher to the scale of another by what both say of the same rows.

    Parameters
    ----------
    scores
        (n,) of the one teacher.
    reference, target
        (m,) of the one and of the other, for rows that neither was fitted on.
    """
    grid = np.linspace(0, 1, min(len(reference), 201))
    known, first = np.unique(np.quantile(reference, grid), return_index=True)
    wanted = np.quantile(target, grid)[first]
    mapped = np.interp(scores, known, wanted)
    # Beyond the reference rows the scale goes on as it is on the whole.
    slope = (wanted[-1] - wanted[0]) / (known[-1] - known[0]) if len(known) > 1 else 1.0
    return mapped + slope * (scores - np.clip(scores, known[0], known[-1]))


def _folds(n: int, seed: int) -> Iterator[tuple[Index, Index]]:
    order = np.random.default_rng(seed).permutation(n)
    for fold in np.array_split(order, FOLDS):
        yield np.sort(np.setdiff1d(order, fold, assume_unique=True)), fold


def _knows_by_heart(fitted: FittedTeacher, x: Matrix, seed: int) -> bool:
    rest, fold = next(_folds(len(x), seed))
    part = fit_copy(fitted.teacher, x[rest], seed=seed)
    if np.array_equal(ask(part, x[fold[:_FEW]]), ask(fitted, x[fold[:_FEW]])):  # nothing is fitted here
        return False
    seen, unseen = np.sort(ask(part, x[rest])), ask(part, x[fold])
    rank = np.searchsorted(seen, unseen, "left") + np.searchsorted(seen, unseen, "right")
    shift = float(rank.mean() / (2 * len(seen)) - 0.5)
    return shift > max(_SHIFT, 3 / math.sqrt(12 * len(fold)))  # three deviations of the mean of so many ranks


def _reference(x: Matrix, seed: int) -> Matrix:
    """Rows half-way between training rows: seen by no teacher, and not nearer to what one of two has seen."""
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, len(x), size=(2, _REFERENCE))
    way = rng.uniform(0.3, 0.5, size=(_REFERENCE, 1))
    return np.asarray(x[one] + way * (x[other] - x[one]), dtype=np.float32)
