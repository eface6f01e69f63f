"""Teachers by scikit-learn; each equals the library's own detector, with higher = more abnormal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from stillwatch.teachers.neighbours import algorithm, neighbour_index
from stillwatch.teachers.protocol import Matrix, Scores
from stillwatch.teachers.recipe import write_recipe
from stillwatch.teachers.sample import uniform_sample

_PACKAGES = ("scikit-learn", "numpy")


@dataclass
class KNN:
    """Mean distance to the k nearest training rows (Angiulli, Pizzuti 2002)."""

    k: int = 5
    sample: int = 20_000
    name: str = field(default="knn", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Index a uniform sample; training scores leave the row itself out."""
        kept = uniform_sample(len(x), self.sample, seed)
        self._seed, self._rows = seed, len(x)
        self._k = min(self.k, len(kept) - 1)
        self._index = neighbour_index(x[kept], self._k)
        self._training = np.full(len(x), np.nan)
        self._training[kept] = _mean(self._index.kneighbors()[0])  # without rows: each without itself
        return self

    def score(self, x: Matrix) -> Scores:
        """Mean distance to the k nearest rows of the sample."""
        return _mean(self._index.kneighbors(x)[0])

    def training_scores(self) -> Scores:
        """Leave each row itself out, exactly."""
        return self._training

    def recipe(self) -> dict[str, Any]:
        """Name, k, sample, seed, rows, versions."""
        parameters = {"k": self.k, "sample": self.sample}
        return write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=_PACKAGES)


@dataclass
class LOF:
    """Local outlier factor (Breunig et al. 2000): how much sparser a row lies than its neighbours do."""

    k: int = 20
    sample: int = 10_000
    name: str = field(default="lof", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Index a uniform sample."""
        from sklearn.neighbors import LocalOutlierFactor

        kept = uniform_sample(len(x), self.sample, seed)
        self._seed, self._rows = seed, len(x)
        k = min(self.k, len(kept) - 1)
        self._model = LocalOutlierFactor(n_neighbors=k, novelty=True, algorithm=algorithm(x)).fit(x[kept])
        self._training = np.full(len(x), np.nan)
        self._training[kept] = -self._model.negative_outlier_factor_
        return self

    def score(self, x: Matrix) -> Scores:
        """Local outlier factor, about 1 for an ordinary row."""
        return np.asarray(-self._model.score_samples(x), dtype=np.float64)

    def training_scores(self) -> Scores:
        """Return the factors whose neighbours are the other rows."""
        return self._training

    def recipe(self) -> dict[str, Any]:
        """Name, k, sample, seed, rows, versions."""
        parameters = {"k": self.k, "sample": self.sample}
        return write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=_PACKAGES)


@dataclass
class IsolationForest:
    """Random cuts until a row stands alone; few cuts = abnormal (Liu, Ting, Zhou 2008)."""

    trees: int = 100
    rows_a_tree: int = 256
    name: str = field(default="isolation_forest", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Grow the forest."""
        from sklearn.ensemble import IsolationForest as Forest

        self._seed, self._rows = seed, len(x)
        size = min(self.rows_a_tree, len(x))
        self._model = Forest(n_estimators=self.trees, max_samples=size, random_state=seed, n_jobs=1).fit(x)
        return self

    def score(self, x: Matrix) -> Scores:
        """2 ** (-mean depth / expected depth), in (0, 1)."""
        return np.asarray(-self._model.score_samples(x), dtype=np.float64)

    def training_scores(self) -> Scores | None:
        """Return None: a row that grew a tree is no stranger to it."""
        return None

    def recipe(self) -> dict[str, Any]:
        """Name, forest, seed, rows, versions."""
        parameters = {"trees": self.trees, "rows_a_tree": self.rows_a_tree}
        return write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=_PACKAGES)


@dataclass
class GMM:
    """Minus the log-likelihood under a mixture of Gaussians."""

    components: int = 4
    # Added to the variances of features of about unit scale: a constant column gets no infinite weight.
    ridge: float = 1e-2
    sample: int = 20_000
    steps: int = 100
    name: str = field(default="gmm", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Fit by at most `steps` steps of expectation maximisation: the last ones change little, and cost most."""
        from sklearn.mixture import GaussianMixture

        kept = uniform_sample(len(x), self.sample, seed)
        self._seed, self._rows = seed, len(x)
        components = min(self.components, max(1, len(kept) // 20))
        model = GaussianMixture(
            n_components=components, reg_covar=self.ridge, max_iter=self.steps, random_state=seed
        )
        self._model = model.fit(x[kept].astype(np.float64))
        return self

    def score(self, x: Matrix) -> Scores:
        """Minus the log-density."""
        return np.asarray(-self._model.score_samples(x.astype(np.float64)), dtype=np.float64)

    def training_scores(self) -> Scores | None:
        """Return None: every row took part in the estimate."""
        return None

    def recipe(self) -> dict[str, Any]:
        """Name, components, ridge, sample, seed, rows, versions."""
        parameters = {
            "components": self.components,
            "ridge": self.ridge,
            "sample": self.sample,
            "steps": self.steps,
        }
        return write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=_PACKAGES)


@dataclass
class OCSVM:
    """One-class support vector machine with a Gaussian kernel (Schölkopf et al. 2001)."""

    nu: float = 0.5
    sample: int = 5_000
    name: str = field(default="ocsvm", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Fit on a uniform sample: the cost grows with its square."""
        from sklearn.svm import OneClassSVM

        self._seed, self._rows = seed, len(x)
        self._model = OneClassSVM(nu=self.nu).fit(x[uniform_sample(len(x), self.sample, seed)])
        return self

    def score(self, x: Matrix) -> Scores:
        """Minus the weighted sum of kernels."""
        return np.asarray(-self._model.score_samples(x), dtype=np.float64)

    def training_scores(self) -> Scores | None:
        """Return None: the row may be a support vector."""
        return None

    def recipe(self) -> dict[str, Any]:
        """Name, nu, sample, seed, rows, versions."""
        parameters = {"nu": self.nu, "sample": self.sample}
        return write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=_PACKAGES)


def _mean(distances: Any) -> Scores:
    return np.asarray(np.mean(distances, axis=1), dtype=np.float64)
