"""How far a student follows its teacher on rows that it did not learn from."""

from __future__ import annotations

from stillwatch.evaluation.fidelity import upper_spearman
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.protocol import Student


def held_out_agreement(student: Student, knowledge: Knowledge, kind: str) -> float | None:
    """Rank agreement over the upper half of the held-out rows of one kind; None where they are too few."""
    held = knowledge.held_out & (knowledge.kind == kind)
    return upper_spearman(student.score(knowledge.x[held]), knowledge.target[held])
