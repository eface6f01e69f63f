"""Balls around a few rows at a time: whether a row lies within one, and how lonely that one is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.teachers.protocol import Matrix, Scores
from stillwatch.teachers.recipe import write_recipe
from stillwatch.teachers.sample import uniform_sample

_BLOCK = 512
_TWINS = 1e-6  # a distance that is none: matrix products round it
_EDGE = 1 + 1e-6  # a row on the edge of a ball, as its nearest row is, lies within, however it was rounded


@dataclass
class INNE:
    """Isolation by nearest neighbour ensembles (Bandaragoda et al. 2018).

    Each member draws a few rows and puts a ball around every one, up to the nearest other. A row counts as much as the smallest
    ball that holds it is larger than the ball of that nearest one: 0 in the midst of its like, 1 where no ball reaches. The mean
    over the members lies in [0, 1].
    """

    members: int = 32
    rows_a_member: int = 128
    name: str = field(default="inne", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Draw the balls, at most half of the rows for each member."""
        from scipy.spatial.distance import cdist

        self._seed, self._rows = seed, len(x)
        size = max(2, min(self.rows_a_member, len(x) // 2))
        centres, radii, lonely = [], [], []
        for member in range(self.members):
            rows = x[uniform_sample(len(x), size, seed * self.members + member)].astype(np.float64)
            away = cdist(rows, rows)
            np.fill_diagonal(away, np.inf)
            nearest, radius = away.argmin(axis=1), away.min(axis=1)
            smallest_first = np.argsort(radius, kind="stable")
            ratio = (radius[nearest] + _TWINS) / (radius + _TWINS)
            centres.append(rows[smallest_first])
            radii.append(radius[smallest_first])
            lonely.append(1 - ratio[smallest_first])
        self._centres = np.concatenate(centres)
        self._squares = np.square(self._centres).sum(axis=1)
        self._reach = np.square(np.concatenate(radii) * _EDGE + _TWINS)
        self._lonely = np.stack(lonely)
        return self

    def score(self, x: Matrix) -> Scores:
        """Mean over the members of 1 - radius of the nearest ball / radius of the smallest that holds the row; 1: none does."""
        scores = np.empty(len(x))
        for start in range(0, len(x), _BLOCK):
            scores[start : start + _BLOCK] = self._of(x[start : start + _BLOCK].astype(np.float64))
        return scores

    def training_scores(self) -> Scores | None:
        """Return None: a row may be the centre of a ball."""
        return None

    def recipe(self) -> dict[str, Any]:
        """Name, members, rows of each, seed, rows, versions."""
        parameters = {"members": self.members, "rows_a_member": self.rows_a_member}
        packages = ("scipy", "numpy")
        return write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=packages)

    def _of(self, x: NDArray[np.float64]) -> Scores:
        away = np.square(x).sum(axis=1)[:, None] + self._squares - 2 * x @ self._centres.T
        within = (away <= self._reach).reshape(len(x), *self._lonely.shape)
        smallest = within.argmax(axis=2)
        held = within.any(axis=2)
        lonely = self._lonely[np.arange(len(self._lonely)), smallest]
        return np.asarray(np.where(held, lonely, 1.0).mean(axis=1))
