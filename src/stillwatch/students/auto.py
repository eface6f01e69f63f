"""The student that needs no choice: the one that copies this teacher best on rows held out, or a quicker one that nearly does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillwatch.knowledge.knowledge import Knowledge
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
_QUICK = 0.005  # agreement that layers alone may lack, for they score a row several times as quickly
_SUMMED = 128  # columns: of more, a sum has too few knots for each


@dataclass(frozen=True)
class _Choice:
    student: Student
    agrees: float


class Auto:
    """Train points and layers side by side, and keep what follows the teacher best: one, their mean, or a sum over columns.

    Points suit teachers that measure distances (neighbours), layers of ReLU those that do not (forests, mixtures), a mean of
    both what contains both, and a sum over columns a teacher that is one (ECOD). Where rows lie scattered in many columns, few
    points tell as much as many. Which is the case, the teacher's answers tell.
    """

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Student:
        """Train and choose; what comes back is the student of the chosen family."""
        return choose(train(knowledge, seed=seed, progress=progress), knowledge)


class Trained(NamedTuple):
    """Students of one lesson, among which is chosen.

    Attributes
    ----------
    points
        many of them, and few where there are rows enough to place many.
    layers
        of ReLU.
    sums
        over columns; none of a table that is too wide.
    """

    points: list[Prototypes]
    layers: MLP
    sums: list[Additive]


def train(knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Trained:
    """Train what there is to choose from, side by side."""
    many, few, layers = Prototypes(half=True), Prototypes(_FEW, half=True), MLP(half=True)
    points = [many, few] if len(knowledge) >= 2 * _FEW * ROWS_A_POINT else [many]
    sums = [Additive(pairs=0, link=True)] if knowledge.x.shape[1] <= _SUMMED else []
    others: list[Student] = [layers, *points[1:], *sums]
    beside = in_turn([partial(each.fit, knowledge, seed=seed) for each in others])
    side_by_side: list[Callable[..., Any]] = [partial(many.fit, knowledge, seed=seed), beside]
    together(side_by_side, progress)
    return Trained(points, layers, sums)


def choose(trained: Trained, knowledge: Knowledge) -> Student:
    """The one that follows the teacher best on rows held out, or a quicker one that nearly does."""
    points, layers, sums = trained
    by_layers = layers.score(knowledge.x[knowledge.held_out])
    found = [_with_or_without(each, layers, by_layers, knowledge) for each in points]
    most = max(choice.agrees for choice in found)
    for each in sums:
        agrees = agreement(each.score(knowledge.x[knowledge.held_out]), knowledge)
        if agrees >= most + _WORTH:  # what is no sum, no sum follows: synthetic rows are proof enough
            return each
    if most - agreement(by_layers, knowledge) < _QUICK and _proven(layers, points[0], knowledge):
        return layers
    return [choice for choice in found if choice.agrees >= most - _SAME][-1].student


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
