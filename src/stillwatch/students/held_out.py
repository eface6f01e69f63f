"""How far a student follows its teacher on rows that it did not learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillwatch.evaluation.fidelity import spearman, upper_spearman
from stillwatch.knowledge.knowledge import NEAR, TRAIN, Knowledge
from stillwatch.students.protocol import Student

_ENOUGH = 200  # real rows in the upper half that count in full; fewer weigh less, for they tell less


def above_middle(knowledge: Knowledge) -> NDArray[np.bool_]:
    """(n,) rows that the teacher puts above the middle of the training rows."""
    above: NDArray[np.bool_] = knowledge.target > np.median(knowledge.target[knowledge.kind == TRAIN])
    return above


def held_out_agreement(student: Student, knowledge: Knowledge) -> float | None:
    """Rank agreement over the upper half of the real rows held out; None where they are too few."""
    held = knowledge.held_out & (knowledge.kind == TRAIN)
    return upper_spearman(student.score(knowledge.x[held]), knowledge.target[held])


def agreement(scores: NDArray[np.float32], knowledge: Knowledge) -> float:
    """What students are compared by: rank agreement of scores of all rows held out, the mean of three.

    Over the upper half of the real rows, over the upper half of those near them, and over all rows that the teacher puts above
    the middle of the real ones. The first is what users see, but rests on few rows where the table is small: it weighs by their
    number. The last reaches to where anomalies lie.
    """
    asked, kind, above = (
        part[knowledge.held_out] for part in (knowledge.target, knowledge.kind, above_middle(knowledge))
    )
    real, near = kind == TRAIN, kind == NEAR
    found = (
        (min(1.0, real.sum() / (2 * _ENOUGH)), upper_spearman(scores[real], asked[real])),
        (1.0, upper_spearman(scores[near], asked[near])),
        (1.0, spearman(scores[above], asked[above]) if above.sum() > 1 else None),
    )
    told = np.array([(weight, value) for weight, value in found if value is not None]).reshape(-1, 2)
    return float(np.average(told[:, 1], weights=told[:, 0])) if len(told) else 0.0
