"""How sparse a row's place is beside those of its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.teachers.neighbours import neighbour_index
from stillwatch.teachers.protocol import Matrix, Scores
from stillwatch.teachers.recipe import write_recipe
from stillwatch.teachers.sample import uniform_sample

_LEAST = 1.0  # of the mean distance: among twins a ratio tells little, and no student can follow it


@dataclass
class RelativeDistance:
    """Log of the mean distance to the k nearest training rows, over the same of these rows.

    Local outlier factor without its reachability (Schubert, Zimek, Kriegel 2014, "simplified LOF"). About 0 where a row lies as
    its neighbours do, whatever the density; so it finds rows beside a dense group that plain distances pass over.
    """

    k: int = 10
    sample: int = 10_000
    name: str = field(default="relative_distance", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Index a uniform sample; training scores leave the row itself out."""
        kept = uniform_sample(len(x), self.sample, seed)
        self._seed, self._rows = seed, len(x)
        self._index = neighbour_index(x[kept], min(self.k, len(kept) - 1))
        distances, neighbours = self._index.kneighbors()
        self._usual = distances.mean(axis=1)
        self._least = _LEAST * self._usual.mean() or 1.0
        self._training = np.full(len(x), np.nan)
        self._training[kept] = self._ratio(distances, neighbours)
        return self

    def score(self, x: Matrix) -> Scores:
        """Log ratio of mean distances, finite."""
        return self._ratio(*self._index.kneighbors(x))

    def training_scores(self) -> Scores:
        """Leave each row itself out, exactly."""
        return self._training

    def recipe(self) -> dict[str, Any]:
        """Name, k, sample, seed, rows, versions."""
        parameters = {"k": self.k, "sample": self.sample}
        return write_recipe(
            self.name, parameters, seed=self._seed, rows=self._rows, packages=("scikit-learn", "numpy")
        )

    def _ratio(self, distances: NDArray[np.floating], neighbours: NDArray[np.intp]) -> Scores:
        usual = self._usual[neighbours].mean(axis=1)
        return np.asarray(np.log((distances.mean(axis=1) + self._least) / (usual + self._least)))
