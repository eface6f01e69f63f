"""Whether a detector judges a row by itself, or by the rows that stand beside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stillwatch.teachers.protocol import Matrix, Scores


def is_pointwise(score: Callable[[Matrix], Scores], x: Matrix, *, probes: int = 8, crowd: int = 512) -> bool:
    """Ask a few rows one by one and within a crowd, and compare.

    The crowd is large because a detector that mixes the asked rows with its training rows (PyOD's ECOD,
    COPOD) moves by about crowd / training rows only. The tolerance leaves room for float32 sums in another order.
    """
    crowd_rows = x[:: max(1, len(x) // crowd)][:crowd].copy()
    together = np.asarray(score(crowd_rows), dtype=np.float64).ravel()
    picks = np.unique(np.linspace(0, len(crowd_rows) - 1, num=min(probes, len(crowd_rows)), dtype=int))
    alone = np.array([float(np.asarray(score(crowd_rows[i : i + 1].copy())).ravel()[0]) for i in picks])
    return bool(np.allclose(alone, together[picks], rtol=1e-4, atol=1e-5 * (1e-12 + float(np.ptp(together)))))
