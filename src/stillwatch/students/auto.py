"""The student that needs no choice: the family that copies this teacher best on rows held out."""

from __future__ import annotations

from functools import partial

import numpy as np

from stillwatch.knowledge.knowledge import NEAR, TRAIN, Knowledge
from stillwatch.students.held_out import held_out_agreement
from stillwatch.students.mlp import MLP
from stillwatch.students.protocol import Progress, Student
from stillwatch.students.prototypes import Prototypes
from stillwatch.training.together import together


class Auto:
    """Train each family side by side, and keep the better one.

    Points suit teachers that measure distances (neighbours, and what contains them), layers of ReLU those that do not
    (forests, mixtures). Which one a teacher is, its answers tell.
    """

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Student:
        """Train and choose; what comes back is the student of the chosen family."""
        families: tuple[Student, ...] = (MLP(), Prototypes())
        trained = together([partial(family.fit, knowledge, seed=seed) for family in families], progress)
        return max(trained, key=lambda student: agreement(student, knowledge))


def agreement(student: Student, knowledge: Knowledge) -> float:
    """Rank agreement with the teacher over the upper half of rows held out: mean over real ones, and over those near them.

    Rows further out say which family extrapolates as the teacher does; where anomalies lie, that decides little.
    """
    found = (held_out_agreement(student, knowledge, kind) for kind in (TRAIN, NEAR))
    told = [value for value in found if value is not None]
    return float(np.mean(told)) if told else 0.0
