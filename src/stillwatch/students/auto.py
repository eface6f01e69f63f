"""The student that needs no choice: the family that copies this teacher best on rows held out."""

from __future__ import annotations

from functools import partial

import numpy as np

from stillwatch.evaluation.fidelity import spearman
from stillwatch.knowledge.knowledge import TRAIN, Knowledge
from stillwatch.students.mlp import MLP
from stillwatch.students.protocol import Progress, Student
from stillwatch.students.prototypes import Prototypes
from stillwatch.training.together import together

_FEWEST_ROWS = 5_000


class Auto:
    """Train each family side by side, and keep the better one.

    Points suit teachers that measure distances (neighbours, and what contains them), layers of ReLU those that do not
    (forests, mixtures). Which one a teacher is, its answers tell.
    """

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Student:
        """Train and choose; what comes back is the student of the chosen family."""
        if int((~knowledge.held_out).sum()) < _FEWEST_ROWS:  # a tiny table is spared the time
            return MLP().fit(knowledge, seed=seed, progress=progress)
        families: tuple[Student, ...] = (MLP(), Prototypes())
        trained = together([partial(family.fit, knowledge, seed=seed) for family in families], progress)
        return max(trained, key=lambda student: agreement(student, knowledge))


def agreement(student: Student, knowledge: Knowledge) -> float:
    """Rank agreement with the teacher on the upper half of rows held out: mean over real and over synthetic ones."""
    held, real = knowledge.held_out, knowledge.kind == TRAIN
    found = []
    for part in (held & real, held & ~real):
        asked = knowledge.target[part]
        upper = asked > np.median(asked) if len(asked) else np.zeros(0, dtype=np.bool_)
        if upper.sum() > 2:
            found.append(spearman(student.score(knowledge.x[part][upper]), asked[upper]))
    return float(np.mean(found)) if found else 0.0
