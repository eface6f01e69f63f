"""The student that needs no choice: the one that copies this teacher best on rows held out, or a quicker one that nearly does.

A teacher that is a sum over columns is not learnt but read off: then there is nothing to train.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillwatch.evaluation.fidelity import spearman
from stillwatch.knowledge.knowledge import TRAIN, Knowledge
from stillwatch.students.additive import Additive
from stillwatch.students.blend import Blend, best_share
from stillwatch.students.held_out import agreement, held_out_agreement
from stillwatch.students.mlp import MLP
from stillwatch.students.protocol import Progress, Student
from stillwatch.students.prototypes import ROWS_A_POINT, Prototypes
from stillwatch.training.together import in_turn, together

_FEW = 128  # points, where a thousand know no more
_SAME = 0.005  # agreement that a thousand points must add: few score a row in half the time
_WORTH = 0.005  # agreement that pays for layers beside the points in every score
_IS_SUM = 0.994  # agreement with rows that were made up: of sums 0.995 and more, of forests and histograms less (decision 17)
_QUICK = 0.005  # agreement that layers alone may lack, for they score a row several times as quickly


@dataclass(frozen=True)
class _Choice:
    student: Student
    agrees: float


class Auto:
    """A sum over columns where the teacher is one; else points and layers side by side, and what follows the teacher best.

    Points suit teachers that measure distances (neighbours), dense layers those that do not (forests, mixtures), a mean of
    both what contains both, and a sum over columns a teacher that is one (ECOD) or nearly. Where rows lie scattered in many
    columns, few points tell as much as many. Which is the case, the teacher's answers tell.
    """

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Student:
        """Train and choose; what comes back is the student of the chosen family."""
        total = read(knowledge)
        if total is not None and _is_teacher(total, knowledge):
            if progress is not None:
                progress(1, 1, total.history[-1][1])
            return total
        return choose(train(knowledge, seed=seed, progress=progress), total, knowledge)


class Trained(NamedTuple):
    """Students of one lesson, among which is chosen.

    Attributes
    ----------
    points
        many of them, and few where there are rows enough to place many.
    layers
        without points.
    """

    points: list[Prototypes]
    layers: MLP


def read(knowledge: Knowledge) -> Additive | None:
    """The sum over columns that the teacher would be if it were one; None where it was not asked about one column at a time."""
    return None if knowledge.profile is None else Additive(pairs=0, link=True).fit(knowledge, seed=0)


def train(knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Trained:
    """Train what there is to choose from, side by side."""
    many, few, layers = Prototypes(half=True), Prototypes(_FEW, half=True), MLP(half=True)
    points = [many, few] if len(knowledge) >= 2 * _FEW * ROWS_A_POINT else [many]
    others: list[Student] = [layers, *points[1:]]
    beside = in_turn([partial(each.fit, knowledge, seed=seed) for each in others])
    side_by_side: list[Callable[..., Any]] = [partial(many.fit, knowledge, seed=seed), beside]
    together(side_by_side, progress)
    return Trained(points, layers)


def choose(trained: Trained, total: Additive | None, knowledge: Knowledge) -> Student:
    """The one that follows the teacher best on rows held out, or a quicker one that nearly does."""
    points, layers = trained
    by_layers = layers.score(knowledge.x[knowledge.held_out])
    found = [_with_or_without(each, layers, by_layers, knowledge) for each in points]
    most = max(choice.agrees for choice in found)
    if total is not None:
        agrees = agreement(total.score(knowledge.x[knowledge.held_out]), knowledge)
        if agrees >= most + _WORTH:  # what is no sum, no sum follows: synthetic rows are proof enough
            return total
    if most - agreement(by_layers, knowledge) < _QUICK and _proven(layers, points[0], knowledge):
        return layers
    return [choice for choice in found if choice.agrees >= most - _SAME][-1].student


def _is_teacher(total: Additive, knowledge: Knowledge) -> bool:
    """Whether a sum says what the teacher does, of all rows that were made up and held out."""
    made_up = knowledge.held_out & (knowledge.kind != TRAIN)
    return bool(
        made_up.any() and spearman(total.score(knowledge.x[made_up]), knowledge.target[made_up]) >= _IS_SUM
    )


def _with_or_without(
    points: Prototypes, layers: MLP, by_layers: NDArray[np.float32], knowledge: Knowledge
) -> _Choice:
    """The points alone, or the mean of them and the layers where that is clearly better.

    Where the layers alone would be better still, only rows that were made up say so: else they are `_proven`.
    """
    by_points = points.score(knowledge.x[knowledge.held_out])
    alone = _Choice(points, agreement(by_points, knowledge))
    share, agrees = best_share(by_points, by_layers, knowledge)
    if 0 < share < 1 and agrees >= alone.agrees + _WORTH:
        return _Choice(Blend(points, layers, share), agrees)
    return alone


def _proven(layers: Student, points: Student, knowledge: Knowledge) -> bool:
    """Whether layers are better on real rows: where these are too few to tell, points are the safer choice."""
    real, theirs = held_out_agreement(layers, knowledge), held_out_agreement(points, knowledge)
    return real is not None and theirs is not None and real > theirs
