from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def x(rng: np.random.Generator) -> NDArray[np.float32]:
    """300 correlated rows of 6 columns, centred at 0."""
    return (rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)) / 2).astype(np.float32)
