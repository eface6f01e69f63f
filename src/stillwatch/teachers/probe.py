"""What can be learnt about a fitted teacher by asking it a few training rows."""

from __future__ import annotations

import hashlib

import numpy as np

from stillwatch.teachers.protocol import Matrix, Teacher, ask


def is_pointwise(teacher: Teacher, x: Matrix, *, probes: int = 8, crowd: int = 512) -> bool:
    """Whether it judges a row by itself: ask a few rows one by one and within a crowd, and compare.

    The crowd is large because a detector that mixes the asked rows with its training rows (PyOD's ECOD,
    COPOD) moves by crowd / training rows only. The tolerance leaves room for float32 sums in another order.
    """
    rows = _spread(x, crowd)
    together = ask(teacher, rows)
    picks = np.unique(np.linspace(0, len(rows) - 1, num=min(probes, len(rows)), dtype=int))
    alone = np.concatenate([ask(teacher, rows[i : i + 1]) for i in picks])
    tolerance = 1e-5 * (float(np.ptp(together)) + 1e-12)
    return bool(np.allclose(alone, together[picks], rtol=1e-4, atol=tolerance))


def answers_digest(teacher: Teacher, x: Matrix, *, probes: int = 64) -> str:
    """Digest of the scores of a few rows: tells two objects apart that share name and parameters.

    Six digits, so that another number of threads does not make another teacher.
    """
    text = ",".join(f"{score:.5e}" for score in ask(teacher, _spread(x, probes)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _spread(x: Matrix, size: int) -> Matrix:
    return x[:: -(-len(x) // size)]
