"""The student that needs no choice: the one that copies this teacher best on rows held out."""

from __future__ import annotations

from functools import partial

from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.blend import Blend
from stillwatch.students.held_out import agreement, held_out_agreement
from stillwatch.students.mlp import MLP
from stillwatch.students.protocol import Progress, Student
from stillwatch.training.together import together

_WORTH = 0.005  # agreement that pays for a second part in every score


class Auto:
    """Train layers, and points with small layers, side by side, and keep what follows the teacher best.

    Points suit teachers that measure distances (neighbours), layers of ReLU those that do not (forests, mixtures), a mean of
    both what contains both. Which one a teacher is, its answers tell.
    """

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Student:
        """Train and choose; what comes back is the student of the chosen family."""
        layers, blend = MLP(half=True), Blend()
        together([partial(student.fit, knowledge, seed=seed) for student in (layers, blend)], progress)
        best: Student = layers if _is_better(layers, blend.points, knowledge) else blend.points
        is_mean = blend.share not in {0, 1}
        return blend if is_mean and _agrees(blend, knowledge) >= _agrees(best, knowledge) + _WORTH else best


def _is_better(layers: Student, points: Student, knowledge: Knowledge) -> bool:
    """By synthetic rows, and by real ones as well: where these are too few to tell, points are the safer choice."""
    real, theirs = held_out_agreement(layers, knowledge), held_out_agreement(points, knowledge)
    proven = real is not None and theirs is not None and real > theirs
    return proven and _agrees(layers, knowledge) > _agrees(points, knowledge)


def _agrees(student: Student, knowledge: Knowledge) -> float:
    return agreement(student.score(knowledge.x[knowledge.held_out]), knowledge)
