"""The teacher that needs no choice: a few unlike detectors, brought to one scale and averaged.

Every member goes through a monotone, unbounded map, so that a row far out stays ahead of a row not quite as
far: ranks and probabilities would saturate exactly where anomalies are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.teachers.mcd import MCD
from stillwatch.teachers.protocol import Matrix, Regime, Scores, Teacher, ask
from stillwatch.teachers.recipe import write_recipe
from stillwatch.teachers.scale import fit_scale
from stillwatch.teachers.sklearn import GMM, KNN, IsolationForest


@dataclass
class Auto:
    """Weighted mean of asinh((score - median) / spread) over the members.

    Rows known to be normal: the nearest row counts (k = 1), and a mixture and a forest smooth it. Rows that
    may hold anomalies: clustered ones are each other's neighbours, so k grows with the rows, and robust
    members join.
    """

    regime: Regime
    name: str = field(default="auto", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Fit every member, and the scale of its scores on the training rows."""
        self._seed, self._rows = seed, len(x)
        chosen = _members(self.regime, len(x))
        # Not by `fit_teacher`: a member that tells no rows apart (a forest of 2 rows) adds 0, no harm.
        self._members = [member.fit(x, seed=seed) for member, _ in chosen]
        self._weights = [weight for _, weight in chosen]
        own = [_own_scores(member, x) for member in self._members]
        self._scales = [fit_scale(scores) for scores in own]
        self._training = self._on_one_scale(own)
        return self

    def score(self, x: Matrix) -> Scores:
        """Ask the members and combine."""
        return self.combine(self.member_scores(x))

    def training_scores(self) -> Scores:
        """Combine the members' training scores: leave-one-out where they have that form, else in-sample."""
        return self.combine(self._training)

    def member_scores(self, x: Matrix) -> NDArray[np.float64]:
        """(n, members) asinh((score - median) / spread)."""
        return self._on_one_scale([ask(member, x) for member in self._members])

    def training_member_scores(self) -> NDArray[np.float64]:
        """(n, members) the same for the training rows."""
        return self._training

    def combine(self, members: NDArray[np.float64]) -> Scores:
        """Weighted mean."""
        return np.average(members, axis=1, weights=self._weights)

    def recipe(self) -> dict[str, Any]:
        """Regime, weights, and the members' recipes."""
        parameters = {"regime": self.regime, "weights": self._weights}
        packages = ("scikit-learn", "numpy")
        own = write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=packages)
        return own | {"members": [member.recipe() for member in self._members]}

    def _on_one_scale(self, scores: list[Scores]) -> NDArray[np.float64]:
        return np.column_stack(
            [scale.standardise(part) for scale, part in zip(self._scales, scores, strict=True)]
        )


def _members(regime: Regime, n: int) -> list[tuple[Teacher, float]]:
    forest = IsolationForest(trees=100 if n < 1_000 else 200)
    if regime == "normal":
        return [(KNN(k=1), 2.0), (GMM(), 1.0), (forest, 1.0)]
    sample = 5_000
    return [
        (KNN(k=max(5, min(n, sample) // 20), sample=sample), 2.0),
        (forest, 1.0),
        (MCD(), 1.0),
    ]


def _own_scores(member: Teacher, x: Matrix) -> Scores:
    # Folds for the members without a leave-one-out form gave the same quality at four times the cost.
    scores = member.training_scores()
    return ask(member, x) if scores is None else scores
