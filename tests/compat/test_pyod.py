"""The detector behaves as PyOD's own tests ask of each of theirs (`pyod/test/test_knn.py` and its siblings)."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from pyod.models.base import BaseDetector
from pyod.models.knn import KNN
from pyod.utils.data import generate_data
from pyod.utils.utility import check_detector
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

import stillwatch as sw
from stillwatch.compat.pyod import DistilledDetector
from tests.tables import mixed_table

ROC_FLOOR = 0.8  # as in PyOD's tests
Set = tuple[np.ndarray[Any, Any], ...]


@pytest.fixture(scope="module")
def data() -> Set:
    found: Set = generate_data(n_train=200, n_test=100, n_features=2, contamination=0.1, random_state=42)
    return found


@pytest.fixture(scope="module")
def detector(data: Set) -> DistilledDetector:
    return DistilledDetector(
        contamination=0.1, teacher="pyod:KNN", student=sw.MLP(hidden=(16,), steps=200)
    ).fit(data[0])


def test_it_is_a_detector(detector: DistilledDetector) -> None:
    check_detector(detector)
    assert isinstance(detector, BaseDetector)
    for name in ("decision_scores_", "labels_", "threshold_", "_mu", "_sigma"):
        assert getattr(detector, name) is not None


def test_scores_and_labels_of_the_training_rows(detector: DistilledDetector, data: Set) -> None:
    x, _, y, _ = data
    assert detector.decision_scores_.shape == (200,)
    assert detector.labels_.sum() == 20
    np.testing.assert_array_equal(detector.labels_, detector.decision_scores_ > detector.threshold_)
    np.testing.assert_array_equal(detector.decision_scores_, detector.decision_function(x))
    assert roc_auc_score(y, detector.decision_scores_) >= ROC_FLOOR


def test_scores_of_other_rows(detector: DistilledDetector, data: Set) -> None:
    _, x, _, y = data
    scores = detector.decision_function(x)
    assert scores.shape == (100,)
    assert roc_auc_score(y, scores) >= ROC_FLOOR
    assert roc_auc_score(KNN().fit(data[0]).predict(x), scores) > 0.95


def test_labels_of_other_rows(detector: DistilledDetector, data: Set) -> None:
    labels = detector.predict(data[1])
    assert labels.shape == (100,)
    assert set(labels) == {0, 1}
    np.testing.assert_array_equal(labels, detector.decision_function(data[1]) > detector.threshold_)


@pytest.mark.parametrize("method", ["linear", "unify"])
def test_probabilities(detector: DistilledDetector, data: Set, method: str) -> None:
    p = detector.predict_proba(data[1], method=method)
    assert p.shape == (100, 2)
    assert p.min() >= 0
    assert p.max() <= 1
    np.testing.assert_allclose(p.sum(axis=1), 1)
    together, confidence = detector.predict_proba(data[1], method=method, return_confidence=True)
    np.testing.assert_array_equal(together, p)
    np.testing.assert_array_equal(confidence, detector.predict_confidence(data[1]))


def test_an_unknown_way_to_probabilities_is_refused(detector: DistilledDetector, data: Set) -> None:
    with pytest.raises(ValueError, match="not a valid probability conversion"):
        detector.predict_proba(data[1], method="something")


def test_confidence(detector: DistilledDetector, data: Set) -> None:
    labels, confidence = detector.predict(data[1], return_confidence=True)
    np.testing.assert_array_equal(labels, detector.predict(data[1]))
    assert confidence.shape == labels.shape
    assert confidence.min() >= 0
    assert confidence.max() <= 1


def test_rejection(detector: DistilledDetector, data: Set) -> None:
    with pytest.warns(UserWarning, match="cost of rejection"):
        labels, stats = detector.predict_with_rejection(data[1], return_stats=True)
    assert labels.shape == (100,)
    assert set(labels) <= {-2, 0, 1}
    assert len(stats) == 3
    assert 0 <= stats[0] <= 1
    assert stats[1] >= 0
    assert stats[2] >= 0


def test_ranks(detector: DistilledDetector, data: Set) -> None:
    scores, ranks = detector.decision_function(data[1]), detector._predict_rank(data[1])
    assert ranks.max() <= 200
    assert ranks.min() >= 0
    np.testing.assert_allclose(rankdata(ranks), rankdata(scores), atol=5)
    normalized = detector._predict_rank(data[1], normalized=True)
    assert normalized.max() <= 1


def test_fit_predict_and_its_score(data: Set) -> None:
    quick = DistilledDetector(teacher="knn", student=sw.MLP((8,), 100))
    with pytest.warns(FutureWarning, match="deprecated"):
        labels = quick.fit_predict(data[0])
    np.testing.assert_array_equal(labels, quick.labels_)
    for scoring in ("roc_auc_score", "prc_n_score"):
        with pytest.warns(FutureWarning, match="deprecated"):
            assert quick.fit_predict_score(data[1], data[3], scoring=scoring) > 0.5
    with pytest.raises(NotImplementedError), pytest.warns(FutureWarning, match="deprecated"):
        quick.fit_predict_score(data[1], data[3], scoring="something")


def test_clone_parameters_and_pickle(detector: DistilledDetector, data: Set) -> None:
    assert clone(detector).get_params()["teacher"] == "pyod:KNN"
    assert clone(detector).set_params(contamination=0.2).contamination == 0.2
    copied = pickle.loads(pickle.dumps(detector))  # noqa: S301
    np.testing.assert_array_equal(copied.decision_function(data[1]), detector.decision_function(data[1]))
    for wrong in (0, 0.6, -1):
        with pytest.raises(ValueError, match="contamination must be in"):
            DistilledDetector(contamination=wrong)


def test_a_dataframe_of_any_kinds_of_columns() -> None:
    frame = mixed_table(120).drop_columns(["fraud"]).to_pandas()
    mixed = DistilledDetector(teacher="knn", student=sw.MLP((8,), 30)).fit(frame)
    assert mixed.predict_proba(frame).shape == (120, 2)
