"""Least squares with a penalty, as strong as rows held out like best."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stillwatch.evaluation.fidelity import spearman
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.protocol import Progress

_STRENGTHS = (1e-1, 1e-2, 1e-3)  # of the penalty on standardised terms, per row
_GAIN = (
    1e-4  # in rank agreement, that a weaker penalty must bring: it lets weights grow that cancel each other
)
_BLOCK = 4096
_MOST_WORK = 1.5e10  # products summed: a second or two of a core

Design = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(n, d) features to (n, terms)."""


def solve(
    design: Design, knowledge: Knowledge, *, seed: int, progress: Progress | None = None
) -> tuple[NDArray[np.float64], float, tuple[tuple[int, float], ...]]:
    """Weights of the terms that give the target.

    Parameters
    ----------
    design
        what the score is a weighted sum of.
    seed
        decides which rows are left out where rows and terms are very many.

    Returns
    -------
    (terms,) weights, the constant, and (try, rank agreement on rows held out) of each strength of the penalty.
    """
    learn = np.flatnonzero(~knowledge.held_out)
    terms = design(knowledge.x[:1]).shape[1]
    enough = max(2 * terms, int(_MOST_WORK / terms**2))
    if len(learn) > enough:
        learn = np.sort(np.random.default_rng(seed).choice(learn, enough, replace=False))
    mean, gram, moment, middle = _moments(design, knowledge.x[learn], knowledge.target[learn])
    spread = np.sqrt(np.maximum(gram.diagonal(), 0))
    spread[spread < 1e-6] = np.inf  # a term that hardly varies gets no weight
    gram, moment = gram / np.outer(spread, spread), moment / spread
    seen, asked = design(knowledge.x[knowledge.held_out]), knowledge.target[knowledge.held_out]
    best, checks = (np.zeros(terms), -np.inf), []
    for number, strength in enumerate(_STRENGTHS, 1):
        weights = np.linalg.solve(gram + strength * np.eye(terms), moment) / spread
        agreement = spearman(seen @ weights, asked)
        checks.append((number, agreement))
        if agreement > best[1] + _GAIN:
            best = weights, agreement
        if progress is not None:
            progress(number, len(_STRENGTHS), best[1])
    return best[0], middle - float(mean @ best[0]), tuple(checks)


def _moments(
    design: Design, x: NDArray[np.float32], target: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Means of the terms, their covariances, their covariances with the target, and its mean."""
    n, width = len(x), design(x[:1]).shape[1]
    gram, moment, total = np.zeros((width, width)), np.zeros(width), np.zeros(width)
    middle = float(target.mean(dtype=np.float64))
    for start in range(0, n, _BLOCK):
        part = design(x[start : start + _BLOCK]).astype(np.float64)
        gram += part.T @ part
        moment += part.T @ (target[start : start + _BLOCK] - middle)
        total += part.sum(axis=0)
    mean = total / n
    return mean, gram / n - np.outer(mean, mean), moment / n, middle
