import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from stillwatch.errors import InputError
from stillwatch.evaluation import alerts_at, quality, quality_change, why_unmeasured

# Few distinct scores, so that ties are the rule.
rows = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=60).filter(
    lambda pairs: len({label for _, label in pairs}) == 2
)


@given(rows)
def test_equals_scikit_learn_with_ties(pairs):
    scores, labels = np.array([s for s, _ in pairs], float), np.array([y for _, y in pairs], float)
    measured = quality(scores, labels)
    assert measured.auroc.value == pytest.approx(roc_auc_score(labels, scores))
    assert measured.average_precision.value == pytest.approx(average_precision_score(labels, scores))


def test_equals_scikit_learn_on_a_large_imbalanced_set():
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.004
    scores = rng.normal(size=20_000) + 1.5 * labels
    measured = quality(scores, labels)
    assert measured.auroc.value == pytest.approx(roc_auc_score(labels, scores))
    assert measured.average_precision.value == pytest.approx(average_precision_score(labels, scores))
    assert (measured.rows, measured.anomalies) == (20_000, labels.sum())


def test_counts_at_the_alerts():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 0])
    alerts = np.array([0, 1, 0, 0, 1, 1, 0, 0], bool)
    measured = quality(np.arange(8.0), labels, alerts=alerts)
    assert (measured.alerts, measured.true_alerts) == (3, 2)
    assert measured.precision.value == pytest.approx(2 / 3)
    assert measured.recall.value == pytest.approx(2 / 3)
    assert measured.alert_rate.value == pytest.approx(1 / 5)


def test_no_alert_has_no_precision():
    measured = quality([0.1, 0.9], [0, 1], alerts=[False, False])
    assert measured.precision is None
    assert measured.recall.value == 0
    assert quality([0.1, 0.9], [0, 1]).alerts is None


def test_share_intervals_equal_scipy_and_stay_open_at_the_ends():
    from scipy.stats import binomtest

    labels, alerts = np.repeat([1, 0], [10, 90]), np.repeat([True, False], [10, 90])
    measured = quality(alerts.astype(float), labels, alerts=alerts)
    exact = binomtest(10, 10).proportion_ci(method="wilson")
    assert (measured.recall.low, measured.recall.high) == pytest.approx((exact.low, exact.high))
    assert measured.alert_rate.value == 0
    assert measured.alert_rate.high > 0.03


def test_threshold_alarms_at_equality():
    assert alerts_at([1.0, 2.0, 3.0], 2.0).tolist() == [False, True, True]


def test_bootstrap_interval_covers_the_truth():
    # Two normals one deviation apart: AUROC = Phi(1 / sqrt 2) = 0.760.
    inside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], [300, 100])
        auroc = quality(rng.normal(size=400) + labels, labels, seed=seed).auroc
        assert auroc.low <= auroc.value <= auroc.high
        inside += auroc.low <= 0.76025 <= auroc.high
    assert 51 <= inside <= 60


def test_same_seed_same_interval():
    rng = np.random.default_rng(3)
    scores, labels = rng.normal(size=500), rng.random(500) < 0.1
    assert quality(scores, labels, seed=1) == quality(scores, labels, seed=1)
    assert quality(scores, labels, seed=1) != quality(scores, labels, seed=2)


def test_paired_change_is_narrower_than_either_alone():
    rng = np.random.default_rng(5)
    labels = rng.random(2_000) < 0.05
    teacher = rng.normal(size=2_000) + labels
    student = teacher + rng.normal(0, 0.05, 2_000)
    change = quality_change(student, teacher, labels)
    alone = quality(student, labels).auroc
    assert change.auroc.high - change.auroc.low < (alone.high - alone.low) / 3
    assert change.auroc.value == pytest.approx(
        roc_auc_score(labels, student) - roc_auc_score(labels, teacher)
    )
    same = quality_change(teacher, teacher, labels)
    assert (same.auroc.low, same.auroc.high) == (0, 0)


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        ([0, 0, 0], "None of the 3"),
        ([1, 1, 1], "All 3"),
        ([np.nan] * 3, "No evaluation row"),
        (None, "No label"),
    ],
)
def test_one_class_is_a_reason_and_no_error(labels, word):
    assert why_unmeasured(labels).startswith(word)
    if labels is not None:
        assert quality([1, 2, 3], labels, alerts=[True, False, False]) is None
        assert quality_change([1, 2, 3], [1, 2, 3], labels) is None


def test_rows_without_a_label_are_left_out():
    measured = quality([5, 1, 2, 9], [1, 0, np.nan, np.nan], alerts=[True, False, True, True])
    assert (measured.rows, measured.alerts) == (2, 1)
    assert why_unmeasured([1, 0, np.nan]) is None


@pytest.mark.parametrize(
    ("scores", "labels", "alerts", "words"),
    [
        ([1, np.nan], [0, 1], None, "not finite"),
        ([1, 2, 3], [0, 1], None, "one for each label"),
        ([1, 2], [0, 2], None, "neither 0 nor 1 .first: 2 at row 2"),
        ([1, 2], [[0, 1]], None, "one label per row"),
        ([1, 2], [0, 1], [0.3, 0.7], "of bool"),
    ],
)
def test_wrong_input_is_named(scores, labels, alerts, words):
    with pytest.raises(InputError, match=words):
        quality(scores, labels, alerts=alerts)


def test_twenty_two_thousand_rows_are_quick():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=22_000), rng.random(22_000) < 0.01
    started = time.process_time()
    quality(scores, labels)
    assert time.process_time() - started < 2
