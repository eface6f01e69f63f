"""The student that needs no choice: the one that copies this teacher best on rows held out."""

from __future__ import annotations

from functools import partial

from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.blend import Blend
from stillwatch.students.held_out import agreement, held_out_agreement
from stillwatch.students.mlp import MLP
from stillwatch.students.protocol import Progress, Student
from stillwatch.training.together import together

_WORTH = 0.005  # agreement that pays for small layers beside the points
_QUICK = 0.015  # agreement that layers may lack, for they score a row several times as quickly


class Auto:
    """Train layers, and points with small layers, side by side, and keep what follows the teacher best.

    Points suit teachers that measure distances (neighbours), layers of ReLU those that do not (forests, mixtures), a mean of
    both what contains both. Which one a teacher is, its answers tell.
    """

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Student:
        """Train and choose; what comes back is the student of the chosen family."""
        layers, blend = MLP(half=True), Blend()
        together([partial(student.fit, knowledge, seed=seed) for student in (layers, blend)], progress)
        points = blend.points
        is_mean = (
            blend.share not in {0, 1} and _agrees(blend, knowledge) >= _agrees(points, knowledge) + _WORTH
        )
        best: Student = blend if is_mean else points
        is_quick = (
            _proven(layers, points, knowledge)
            and _agrees(layers, knowledge) > _agrees(best, knowledge) - _QUICK
        )
        return layers if is_quick else best


def _proven(layers: Student, points: Student, knowledge: Knowledge) -> bool:
    """Whether layers are better on real rows: where these are too few to tell, points are the safer choice."""
    real, theirs = held_out_agreement(layers, knowledge), held_out_agreement(points, knowledge)
    return real is not None and theirs is not None and real > theirs


def _agrees(student: Student, knowledge: Knowledge) -> float:
    return agreement(student.score(knowledge.x[knowledge.held_out]), knowledge)
