"""The student that needs no choice: the family that copies this teacher best on rows held out."""

from __future__ import annotations

from functools import partial

import numpy as np

from stillwatch.evaluation.fidelity import upper_spearman
from stillwatch.knowledge.knowledge import NEAR, TRAIN, Knowledge
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
    """Rank agreement with the teacher over the upper half of rows held out: mean over real ones, and over those near them.

    Rows further out say which family extrapolates as the teacher does; where anomalies lie, that decides little.
    """
    parts = [knowledge.held_out & (knowledge.kind == kind) for kind in (TRAIN, NEAR)]
    found = (upper_spearman(student.score(knowledge.x[part]), knowledge.target[part]) for part in parts)
    told = [value for value in found if value is not None]
    return float(np.mean(told)) if told else 0.0
