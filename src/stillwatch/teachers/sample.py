"""Uniform samples of training rows.

A sample that favours sparse regions would bias every density teacher; those are for transfer rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def uniform_sample(n: int, size: int, seed: int) -> NDArray[np.intp]:
    """Ascending indices of at most `size` of `n` rows, without replacement; all of them where they fit."""
    if n <= size:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size=size, replace=False))
