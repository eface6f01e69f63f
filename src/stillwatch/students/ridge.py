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
    design: Design,
    knowledge: Knowledge,
    target: NDArray[np.floating],
    counts: NDArray[np.floating],
    *,
    seed: int,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], float, tuple[tuple[int, float], ...]]:
    """Weights of the terms that give a target.

    Parameters
    ----------
    design
        what is summed.
    target
        (n,) what the sum shall be for the rows of the knowledge: what the student learns, or what rises with it.
    counts
        (n,) positive, how much a squared error counts.
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
    mean, gram, moment, middle = _moments(design, knowledge.x[learn], target[learn], counts[learn])
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
    design: Design, x: NDArray[np.float32], target: NDArray[np.floating], counts: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Weighted means of the terms, their covariances, their covariances with the target, and its mean."""
    width = design(x[:1]).shape[1]
    gram, moment, total = np.zeros((width, width)), np.zeros(width), np.zeros(width)
    share = counts.astype(np.float64) / counts.sum(dtype=np.float64)
    middle = float(share @ target)
    for start in range(0, len(x), _BLOCK):
        block = slice(start, start + _BLOCK)
        part = design(x[block]).astype(np.float64)
        shared = part * share[block, None]
        gram += shared.T @ part
        moment += shared.T @ (target[block] - middle)
        total += shared.sum(axis=0)
    return total, gram - np.outer(total, total), moment, middle
