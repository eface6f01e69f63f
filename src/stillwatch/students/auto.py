"""The student that needs no choice: the one that copies this teacher best on rows held out."""

from __future__ import annotations

from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.blend import Blend
from stillwatch.students.held_out import agreement, held_out_agreement
from stillwatch.students.protocol import Progress, Student

_WORTH = 0.01  # agreement that pays for layers beside the points in every score
_QUICK = 0.015  # agreement that layers alone may lack, for they score a row several times as quickly


class Auto:
    """Train points and layers side by side, and keep what follows the teacher best: one of the two, or their mean.

    Points suit teachers that measure distances (neighbours), layers of ReLU those that do not (forests, mixtures), a mean of
    both what contains both. Which one a teacher is, its answers tell.
    """

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Student:
        """Train and choose; what comes back is the student of the chosen family."""
        blend = Blend().fit(knowledge, seed=seed, progress=progress)
        points, layers = blend.points, blend.layers
        held_out = knowledge.x[knowledge.held_out]
        by_points, by_layers = points.score(held_out), layers.score(held_out)
        of_points, of_layers, of_mean = (
            agreement(scores, knowledge)
            for scores in (by_points, by_layers, blend.mean(by_points, by_layers))
        )
        is_mean = of_mean >= of_points + _WORTH
        lacking = (of_mean if is_mean else of_points) - of_layers
        if lacking < _QUICK and _proven(layers, points, knowledge):
            return layers
        return blend if is_mean else points


def _proven(layers: Student, points: Student, knowledge: Knowledge) -> bool:
    """Whether layers are better on real rows: where these are too few to tell, points are the safer choice."""
    real, theirs = held_out_agreement(layers, knowledge), held_out_agreement(points, knowledge)
    return real is not None and theirs is not None and real > theirs
