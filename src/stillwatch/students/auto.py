"""The student that needs no choice: the one that copies this teacher best on rows held out."""

from __future__ import annotations

from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.blend import Blend
from stillwatch.students.held_out import agreement
from stillwatch.students.protocol import Progress, Student

_WORTH = 0.01  # agreement that pays for a second part in every score


class Auto:
    """Train points and layers side by side, and keep the better of the two, or their mean where that is clearly better.

    Points suit teachers that measure distances (neighbours), layers of ReLU those that do not (forests, mixtures), a mean of
    both what contains both. Which one a teacher is, its answers tell.
    """

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Student:
        """Train and choose; what comes back is the student of the chosen family."""
        blend = Blend().fit(knowledge, seed=seed, progress=progress)
        held_out = knowledge.x[knowledge.held_out]

        def agrees(student: Student) -> float:
            return agreement(student.score(held_out), knowledge)

        parts: tuple[Student, ...] = blend.points, blend.layers
        better = max(parts, key=agrees)
        return blend if agrees(blend) >= agrees(better) + _WORTH else better
