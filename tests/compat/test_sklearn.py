"""The estimator passes scikit-learn's own battery, and does what its users do with estimators."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import stillwatch as sw
from stillwatch.compat.sklearn import DistilledDetector
from tests.tables import mixed_table

# check -> why it cannot pass. Empty: all of them do.
EXPECTED_FAILURES: dict[str, str] = {}


class Tiny(sw.MLP):
    """Its name holds no address: tests that run in several processes must be called the same in each."""

    def __init__(self) -> None:
        super().__init__(hidden=(8,), steps=60)

    def __repr__(self) -> str:
        return "Tiny()"


def quick(**options: Any) -> DistilledDetector:
    """A teacher and a student that take no time."""
    return DistilledDetector(**{"teacher": "knn", "student": Tiny(), "alert_rate": 0.1} | options)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.normal(size=(300, 3))


@parametrize_with_checks([quick()], expected_failed_checks=lambda _: EXPECTED_FAILURES)
def test_scikit_learns_own_checks(estimator: DistilledDetector, check: Any) -> None:
    check(estimator)


def test_nothing_is_excused_without_a_reason() -> None:
    assert all(EXPECTED_FAILURES.values())


def test_it_stands_in_a_pipeline_and_in_cross_validation(x: np.ndarray[Any, Any]) -> None:
    x[::20] += 6
    y = np.where(np.arange(300) % 20 == 0, 0, 1)  # for scikit-learn the higher class is the normal one
    pipeline = make_pipeline(StandardScaler(), quick())
    assert set(pipeline.fit_predict(x)) == {-1, 1}
    scores = cross_val_score(pipeline, x, y, scoring="roc_auc", cv=3)
    assert scores.min() > 0.9
    search = GridSearchCV(
        pipeline,
        {"distilleddetector__student": [sw.MLP((4,), 20), sw.MLP((8,), 20)]},
        scoring="roc_auc",
        cv=2,
    )
    assert search.fit(x, y).best_score_ > 0.9


def test_its_signs_are_scikit_learns(x: np.ndarray[Any, Any]) -> None:
    detector = quick(alert_rate=0.1).fit(x)
    far = np.array([[50.0, 50, 50]])
    assert detector.score_samples(far)[0] < detector.score_samples(x).min()
    assert detector.decision_function(far)[0] < 0
    np.testing.assert_array_equal(detector.score_samples(x), -detector.scorer_.score(x).astype(float))
    alerts = detector.scorer_.alert(x)
    np.testing.assert_array_equal(detector.predict(x) == -1, alerts)
    assert alerts.any()


def test_contamination_is_the_share_of_the_training_rows(x: np.ndarray[Any, Any]) -> None:
    assert (quick(contamination=0.2).fit_predict(x) == -1).sum() == 60
    for wrong in (0.0, 0.6, "none", True + 1):
        with pytest.raises(ValueError, match=r"contamination=.*expected 'auto' or a share"):
            quick(contamination=wrong).fit(x)


@pytest.mark.parametrize(
    "frame", [pa.Table.to_pandas, pl.from_arrow, pa.table], ids=["pandas", "polars", "arrow"]
)
def test_dataframes_come_as_they_are(frame: Any) -> None:
    table = mixed_table(120).drop_columns(["fraud"])
    detector = quick().fit(frame(table))
    assert detector.feature_names_in_.tolist() == table.column_names
    assert detector.score_samples(frame(table)).shape == (120,)
    with pytest.raises(ValueError, match="city"):
        detector.predict(frame(table.drop_columns(["city"])))


def test_a_detector_of_a_frame_takes_an_array_by_position(x: np.ndarray[Any, Any]) -> None:
    frame = pd.DataFrame(x, columns=["b", "a", "c"])
    detector = quick().fit(frame)
    with pytest.warns(UserWarning, match="valid feature names"):
        by_place = detector.score_samples(x)
    np.testing.assert_array_equal(by_place, detector.score_samples(frame))


def test_a_column_without_values_is_set_aside(x: np.ndarray[Any, Any]) -> None:
    x[:, 1] = np.nan
    detector = quick().fit(x)
    assert np.isfinite(detector.score_samples(x)).all()


def test_a_copy_of_another_process_scores_the_same_and_leaves_the_teacher_behind(
    x: np.ndarray[Any, Any],
) -> None:
    detector = quick().fit(x)
    for copied in (pickle.loads(pickle.dumps(detector)), copy.deepcopy(detector)):  # noqa: S301
        np.testing.assert_array_equal(copied.decision_function(x), detector.decision_function(x))
        assert not hasattr(copied, "distillation_")
    with pytest.raises(NotFittedError):
        clone(detector).predict(x)


def test_the_random_state_decides(x: np.ndarray[Any, Any]) -> None:
    first, again = (quick(random_state=5).fit(x).score_samples(x) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    drawn = quick(random_state=np.random.RandomState(1)).fit(x).score_samples(x)
    assert (drawn != first).any()
