"""The teacher that needs no choice: a few unlike detectors, brought to one scale and averaged.

Each kind of detector is blind to something: plain distances to what lies beside a dense group, relative distances to what lies
far from everything, mixtures to what no ellipse fits, balls to how far out it is, and a forest, which sees the whole, to details.
Every member goes through a monotone, unbounded map, so that a row far out stays ahead of a row not quite as far: ranks and
probabilities would saturate exactly where anomalies are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.teachers.inne import INNE
from stillwatch.teachers.protocol import Matrix, Regime, Scores, Teacher, ask, filled
from stillwatch.teachers.purify import SET_ASIDE, core_rows, scores_of_core
from stillwatch.teachers.recipe import write_recipe
from stillwatch.teachers.relative import RelativeDistance
from stillwatch.teachers.sample import uniform_sample
from stillwatch.teachers.scale import fit_scale
from stillwatch.teachers.sklearn import GMM, KNN, IsolationForest

WEIGHTS: dict[Regime, tuple[float, ...]] = {
    "normal": (0.5, 1.0, 0.5, 0.5, 0.5, 0.5),
    "all": (0.5, 1.0, 1.0, 0.5, 0.5, 0.0),
}
"""Of the forest, distances, a coarse mixture, a fine one, relative distances, and balls (decision 6)."""

_FEW_ROWS = 1_000
_SAMPLE = 10_000
_SAMPLE_OF_MIXTURES = 5_000


@dataclass
class Auto:
    """Weighted mean of asinh((score - median) / spread) over the members.

    The forest sees all training rows. The others learn from all rows that are known to be normal, or from the core of
    rows that may hold anomalies (`purify.core_rows`), and k then grows with the rows.

    Parameters
    ----------
    set_aside
        share of the rows that may hold anomalies from which only the forest learns, in [0, 1).
    weights
        of the members, in the order of `WEIGHTS`; None: those of the regime. A member of weight 0 is left out.
    sample
        rows of a longer table that are used, drawn uniformly: every member learns from fewer.
    """

    regime: Regime
    set_aside: float = SET_ASIDE
    weights: tuple[float, ...] | None = None
    sample: int = 50_000
    name: str = field(default="auto", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Fit every member, and the scale of its scores on the training rows."""
        self._seed, self._rows = seed, len(x)
        kept = uniform_sample(len(x), self.sample, seed)
        x = x[kept]
        # Not by `fit_teacher`: a member that tells no rows apart (a forest of 2 rows) adds 0, no harm.
        forest = IsolationForest(trees=100 if len(x) < _FEW_ROWS else 200).fit(x, seed=seed)
        core = np.ones(len(x), np.bool_)
        if self.regime == "all":
            core = core_rows(x, forest, set_aside=self.set_aside, seed=seed)
        self._core = int(core.sum())
        weights, members = self.weights or WEIGHTS[self.regime], [forest, *_local(self.regime, self._core)]
        self._members = [member for member, weight in zip(members, weights, strict=True) if weight]
        self._weights = [weight for weight in weights if weight]
        own = [
            # Folds for the members without a leave-one-out form gave the same quality at four times the cost.
            ask(forest, x)
            if member is forest
            else filled(scores_of_core(member.fit(x[core], seed=seed), core), member, x)
            for member in self._members
        ]
        self._scales = [fit_scale(scores) for scores in own]
        self._training = np.full((self._rows, len(own)), np.nan)
        self._training[kept] = self._on_one_scale(own)
        return self

    def score(self, x: Matrix) -> Scores:
        """Ask the members and combine."""
        return self.combine(self.member_scores(x))

    def training_scores(self) -> Scores:
        """Combine the members' training scores: leave-one-out where they have that form, else in-sample; NaN if not drawn."""
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
        parameters = {
            "regime": self.regime,
            "weights": self._weights,
            "sample": self.sample,
            "core_rows": self._core,
        }
        packages = ("scikit-learn", "numpy")
        own = write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=packages)
        return own | {"members": [member.recipe() for member in self._members]}

    def _on_one_scale(self, scores: list[Scores]) -> NDArray[np.float64]:
        return np.column_stack(
            [scale.standardise(part) for scale, part in zip(self._scales, scores, strict=True)]
        )


def _local(regime: Regime, n: int) -> list[Teacher]:
    """Unfitted members that look closely at n rows."""
    return [
        KNN(k=1 if regime == "normal" else max(1, min(n, _SAMPLE) // 100), sample=_SAMPLE),
        GMM(components=4, sample=_SAMPLE_OF_MIXTURES, steps=10),
        GMM(components=32, sample=_SAMPLE_OF_MIXTURES, steps=10),
        RelativeDistance(k=7 if regime == "normal" else 10, sample=_SAMPLE),
        INNE(),
    ]
