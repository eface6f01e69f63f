"""What can be learnt about a fitted teacher by asking it a few rows."""

from __future__ import annotations

import hashlib

import numpy as np

from stillwatch.errors import TeacherError
from stillwatch.teachers.protocol import Matrix, Scores, Teacher, ask

_PROBES = 6


def answers_differently(teacher: Teacher, x: Matrix, together: Scores) -> bool:
    """Whether rows asked one by one score otherwise than they did together, or cannot be asked alone.

    Parameters
    ----------
    x, together
        (n, d) rows, and their (n,) scores in one batch. Many rows: a detector that mixes the asked ones with its n_train
        training rows (PyOD's ECOD, COPOD) moves by n / n_train only. The tolerance leaves room for float32 sums in
        another order.
    """
    picks = np.unique(np.linspace(0, len(x) - 1, num=min(_PROBES, len(x)), dtype=int))
    try:
        alone = np.concatenate([ask(teacher, x[i : i + 1]) for i in picks])
    except TeacherError:
        return True
    tolerance = 1e-5 * (float(np.ptp(together)) + 1e-12)
    return not np.allclose(alone, together[picks], rtol=1e-4, atol=tolerance)


def answers_digest(teacher: Teacher, x: Matrix, *, probes: int = 64) -> str:
    """Digest of the scores of a few rows: tells two objects apart that share name and parameters.

    Six digits, so that another number of threads does not make another teacher.
    """
    rows = x[:: -(-len(x) // probes)]
    text = ",".join(f"{score:.5e}" for score in ask(teacher, rows))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
