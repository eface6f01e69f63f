"""Mahalanobis distance under a robust covariance that exists for any rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from stillwatch.teachers.protocol import Matrix, Scores
from stillwatch.teachers.recipe import write_recipe
from stillwatch.teachers.sample import uniform_sample

_STEPS = 30


@dataclass
class MCD:
    """Squared Mahalanobis distance under the covariance of the most concentrated share of the rows.

    Minimum covariance determinant (Rousseeuw, Van Driessen 1999) with a ridge, as in Boudt et al. 2020: it
    survives constant columns, one-hot columns and more columns than rows, where scikit-learn's ``MinCovDet``
    has no inverse. One start, at the rows nearest to the median, stands for many random ones.
    """

    share: float = 0.75
    ridge: float = 1e-2
    sample: int = 5_000
    name: str = field(default="mcd", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Repeat until the set stands: estimate from the nearest rows, measure all distances anew."""
        rows = x[uniform_sample(len(x), self.sample, seed)].astype(np.float64)
        self._seed, self._rows = seed, len(x)
        size = max(2, round(self.share * len(rows)))
        distance = np.square(rows - np.median(rows, axis=0)).sum(axis=1)
        chosen = np.empty(0, dtype=np.intp)
        for _ in range(_STEPS):
            nearest = np.sort(np.argsort(distance, kind="stable")[:size])
            if np.array_equal(nearest, chosen):
                break
            chosen = nearest
            self._centre = rows[chosen].mean(axis=0)
            self._whitening = _whitening(rows[chosen] - self._centre, self.ridge)
            distance = self.score(rows)
        return self

    def score(self, x: Any) -> Scores:
        """Squared Mahalanobis distance."""
        return np.asarray(np.square((x - self._centre) @ self._whitening).sum(axis=1))

    def training_scores(self) -> Scores | None:
        """Return None: the row took part in the estimate."""
        return None

    def recipe(self) -> dict[str, Any]:
        """Name, share, ridge, sample, seed, rows, versions."""
        parameters = {"share": self.share, "ridge": self.ridge, "sample": self.sample}
        return write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=("numpy",))


def _whitening(centred: Scores, ridge: float) -> Scores:
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    return np.asarray(vectors / np.sqrt(np.maximum(values, 0.0) + ridge))
