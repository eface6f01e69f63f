import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.evaluation import curves, rank_scatter, score_histogram


@given(st.integers(2, 5_000), st.integers(0, 3))
def test_curves_are_thin_monotone_and_end_in_the_corners(rows, seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros(rows)
    labels[: max(1, rows // 20)] = 1
    drawn = curves(rng.normal(size=rows).round(2) + labels, labels)
    for curve in (drawn.roc, drawn.pr):
        assert len(curve.x) == len(curve.y) <= 200
        assert (np.diff(curve.x) >= 0).all()
    assert (np.diff(drawn.roc.y) >= 0).all()
    assert (drawn.roc.x[0], drawn.roc.y[0], drawn.roc.x[-1], drawn.roc.y[-1]) == (0, 0, 1, 1)
    assert drawn.pr.x[-1] == 1
    assert drawn.pr.y[-1] == pytest.approx(labels.mean(), abs=1e-5)


def test_one_class_has_no_curve():
    assert curves([1, 2], [0, 0]) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.none() | st.floats(-10, 10))
def test_histogram_holds_every_row(scores, threshold):
    drawn = score_histogram(scores, None, threshold=threshold)
    assert sum(drawn.normal) == len(scores)
    assert drawn.anomaly == ()
    assert threshold is None or drawn.edges[0] <= threshold <= drawn.edges[-1]


def test_histogram_parts_the_classes():
    drawn = score_histogram([0, 1, 2, 50, 3], [0, 0, 0, 1, np.nan])
    assert (sum(drawn.normal), sum(drawn.anomaly)) == (3, 1)


def test_histogram_without_any_known_label_counts_all():
    drawn = score_histogram([0, 1], [np.nan, np.nan])
    assert (sum(drawn.normal), drawn.anomaly) == (2, ())


def test_scatter_keeps_the_top_of_both_orders():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 50_000))
    drawn = rank_scatter(student, teacher, teacher > 3)
    assert len(drawn.student) <= 800
    assert drawn.rows == 50_000
    assert min(drawn.student) == min(drawn.teacher) == 1 / 50_000
    assert max(drawn.student) <= 1
    assert sum(place <= 0.01 for place in drawn.teacher) > 100
    assert any(drawn.anomaly)


def test_scatter_of_few_rows_keeps_all():
    drawn = rank_scatter([3, 1, 2], [3, 2, 1])
    assert drawn.student == pytest.approx((1 / 3, 1, 2 / 3), abs=1e-6)
    assert drawn.anomaly == ()
