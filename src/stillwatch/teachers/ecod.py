"""ECOD and COPOD with the distributions of the training rows, frozen.

PyOD's own forms count the asked rows in with the training rows: a row then scores differently alone and in a
batch, and tens of thousands of asked rows would replace the distribution that was learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stillwatch.teachers.protocol import Matrix, Scores
from stillwatch.teachers.recipe import write_recipe


@dataclass
class ECOD:
    """Sum over columns of minus the log of the tail probability (Li et al. 2022, arXiv:2201.00382).

    Equal to PyOD's ECOD on the training rows. A value beyond all training values has the tail 1 / (n + 1), as
    PyOD gives it when asked alone.
    """

    name: str = "ecod"
    pointwise: bool = True

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Sort each column, and see to which side it leans."""
        from scipy.stats import skew

        self._seed, self._sorted = seed, np.sort(x, axis=0)
        # By its sign in float64, as PyOD has it; a constant column leans nowhere.
        varying = self._sorted[0] != self._sorted[-1]
        self._lean = np.zeros(x.shape[1])
        self._lean[varying] = np.sign(skew(x[:, varying].astype(np.float64), axis=0))
        return self

    def score(self, x: Matrix) -> Scores:
        """Sum of the greater of the tail that the column leans to and both tails together."""
        columns = range(x.shape[1])
        left = np.column_stack([self._tail(j, x[:, j], right=False) for j in columns])
        right = np.column_stack([self._tail(j, x[:, j], right=True) for j in columns])
        leaning = np.where(self._lean <= 0, left, 0.0) + np.where(self._lean >= 0, right, 0.0)
        return np.asarray(np.maximum(leaning, self._both(left, right)).sum(axis=1))

    def training_scores(self) -> Scores | None:
        """Return None: each row counted in the distributions."""
        return None

    def recipe(self) -> dict[str, Any]:
        """Name, seed, rows, versions."""
        return write_recipe(
            self.name, {}, seed=self._seed, rows=len(self._sorted), packages=("scipy", "numpy")
        )

    def _tail(self, column: int, values: Matrix, *, right: bool) -> Scores:
        """Minus the log of the share of training values at least as far out on one side."""
        training = self._sorted[:, column]
        n = len(training)
        count = (
            n - np.searchsorted(training, values, side="left")
            if right
            else np.searchsorted(training, values, side="right")
        )
        return -np.log(np.where(count, count / n, 1 / (n + 1)))

    @staticmethod
    def _both(left: Scores, right: Scores) -> Scores:
        return np.asarray(np.maximum(left, right))


@dataclass
class COPOD(ECOD):
    """The same with the mean of both tails in place of the greater one (Li et al. 2020, arXiv:2009.09463)."""

    name: str = "copod"

    @staticmethod
    def _both(left: Scores, right: Scores) -> Scores:
        return np.asarray((left + right) / 2)
