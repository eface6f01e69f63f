from __future__ import annotations

from typing import Any, Self

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors

import stillwatch as sw
from stillwatch.teachers import ask, fit_teacher, resolve_teacher
from stillwatch.teachers.out_of_fold import match_quantiles, training_scores
from stillwatch.teachers.sklearn import KNN


@pytest.fixture
def rows(rng: np.random.Generator) -> Any:
    return rng.normal(size=(400, 8)).astype(np.float32)


class Nearest(BaseEstimator):  # type: ignore[misc]
    """Minus the distance to the nearest training row, which for a training row is itself."""

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        self.index_ = NearestNeighbors(n_neighbors=1).fit(X)
        return self

    def score_samples(self, X: Any) -> Any:  # noqa: N803
        return -self.index_.kneighbors(X)[0][:, 0]


def test_exact_forms_are_taken(rows: Any) -> None:
    fitted = fit_teacher(KNN(), rows, seed=0)
    found = training_scores(fitted, rows, seed=0)
    assert found is not None
    assert found.how == "out-of-sample"
    np.testing.assert_array_equal(found.scores, fitted.training_scores())


def test_a_teacher_that_knows_its_rows_by_heart_gets_folds(rows: Any) -> None:
    fitted = fit_teacher(resolve_teacher(Nearest(), regime="all"), rows, seed=0)
    found = training_scores(fitted, rows, seed=0)
    assert found is not None
    assert found.how == "out-of-fold"
    truth = fit_teacher(KNN(k=1), rows, seed=0).training_scores()
    assert truth is not None
    assert np.ptp(ask(fitted, rows)) < 1e-3  # each finds itself
    assert spearmanr(found.scores, truth)[0] > 0.9
    # On the scale of the whole teacher: where it puts rows that it has not seen.
    fresh = np.random.default_rng(1).normal(size=(400, 8)).astype(np.float32)
    unseen = ask(fitted, fresh)
    np.testing.assert_allclose(
        np.quantile(found.scores, [0.1, 0.5, 0.9]), np.quantile(unseen, [0.1, 0.5, 0.9]), rtol=0.15
    )


@pytest.mark.parametrize("spec", ["isolation_forest", "mcd", "gmm", "pyod:HBOS", lambda x: x.sum(axis=1)])
def test_others_are_simply_asked(spec: Any, rows: Any) -> None:
    wide = np.concatenate([rows] * 3)[:, :3] + np.random.default_rng(0).normal(size=(1_200, 3))
    wide = wide.astype(np.float32)
    assert (
        training_scores(fit_teacher(resolve_teacher(spec, regime="all"), wide, seed=0), wide, seed=0) is None
    )


def test_quantiles_are_matched_in_order_and_beyond(rng: np.random.Generator) -> None:
    reference = rng.normal(size=2_000)
    asked = np.linspace(-8, 8, 60)
    mapped = match_quantiles(asked, reference, 3 * reference + 5)
    np.testing.assert_allclose(mapped, 3 * asked + 5, atol=0.2)
    assert (np.diff(mapped) > 0).all()
    assert (match_quantiles(asked, np.zeros(50), np.ones(50)) >= asked).all()  # one value alone: a shift


def test_provenance_says_which(rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 6))
    student = sw.MLP(hidden=(8,), steps=20)
    how = {
        name: sw.distill(x, teacher=teacher, student=student).knowledge.provenance["training_scores"]
        for name, teacher in {"knn": "knn", "nearest": Nearest(), "forest": "isolation_forest"}.items()
    }
    assert how == {"knn": "out-of-sample", "nearest": "out-of-fold", "forest": "in-sample"}
