"""How the nearest rows are looked up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEW_COLUMNS = 8


def algorithm(x: NDArray[np.floating]) -> str:
    """What scikit-learn shall use: brute force is a blocked matrix product, and trees lose to it from about ten columns on."""
    return "auto" if x.shape[1] <= _FEW_COLUMNS else "brute"


def neighbour_index(x: NDArray[np.floating], k: int) -> Any:
    """A fitted `NearestNeighbors`; `kneighbors()` without rows leaves each of the (n, d) rows itself out."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k, algorithm=algorithm(x)).fit(x)
