import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from stillwatch.errors import InputError
from stillwatch.evaluation import fidelity
from stillwatch.evaluation.fidelity import average_ranks, spearman, top_overlap

tied = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=50)


@given(tied)
def test_spearman_equals_scipy_with_ties(pairs):
    a, b = np.array(pairs, float).T
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert spearman(a, b) == 0
    else:
        assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=40))
def test_ranks_equal_scipy(values):
    assert average_ranks(values).tolist() == rankdata(values).tolist()


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.data())
def test_any_monotone_change_of_scale_agrees_fully(values, data):
    k = data.draw(st.integers(1, len(values)))
    a = np.array(values, float)
    assert top_overlap(a, np.expm1(a / 3), k) == pytest.approx(1)


@given(tied, st.data())
def test_overlap_is_a_share_and_symmetric(pairs, data):
    a, b = np.array(pairs, float).T
    k = data.draw(st.integers(1, len(a)))
    assert 0 <= top_overlap(a, b, k) <= 1 + 1e-12
    assert top_overlap(a, b, k) == pytest.approx(top_overlap(b, a, k))


def test_a_constant_student_overlaps_by_chance_only():
    assert top_overlap(np.zeros(1000), np.arange(1000.0), 10) == pytest.approx(0.01)


def test_parts_of_the_order_are_told_apart():
    teacher = np.arange(1000.0)
    student = teacher.copy()
    student[:500] = student[:500][::-1]  # only the lower half is turned round
    measured = fidelity(student, teacher, k=20)
    assert measured.spearman_upper == pytest.approx(1)
    assert measured.spearman < 0.9
    assert (measured.top_1_percent, measured.top_k, measured.k, measured.rows) == (1, 1, 20, 1000)


def test_small_sets_do_not_fail():
    measured = fidelity([1, 2], [1, 2])
    assert (measured.k, measured.spearman, measured.spearman_upper) == (2, 1, None)


@pytest.mark.parametrize(
    ("student", "teacher", "k", "words"),
    [
        ([1], [1], 5, "2 rows or more"),
        ([1, 2], [1, 2, 3], 5, "student has 2 scores, teacher 3"),
        ([1, np.inf], [1, 2], 5, "1 of 2 student scores"),
        ([1, 2], [[1, 2]], 5, "2 dimensions"),
        ([1, 2], [1, 2], 0, "k is 0"),
    ],
)
def test_wrong_input_is_named(student, teacher, k, words):
    with pytest.raises(InputError, match=words):
        fidelity(student, teacher, k=k)
