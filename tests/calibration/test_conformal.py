from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from stillwatch.calibration.conformal import Calibration, calibrate, finest_rate, p_values, threshold
from stillwatch.errors import CalibrationError


def by_hand(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.array([(1 + (calibration >= score).sum()) / (len(calibration) + 1) for score in scores])


scores_of_rows = st.lists(st.integers(-50_000, 50_000).map(lambda n: n / 1_000), min_size=1, max_size=60)


@settings(max_examples=100, deadline=None)
@given(scores_of_rows, scores_of_rows)
def test_small_tables_are_exact(calibration: list[float], asked: list[float]) -> None:
    known, scores = np.array(calibration, dtype=np.float32), np.array(asked, dtype=np.float32)
    table = calibrate(known, approximate=False)
    np.testing.assert_allclose(p_values(table, scores), by_hand(known, scores))


def test_rows_that_tie_but_for_rounding_count_as_tied() -> None:
    known = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    table = calibrate(known, approximate=False)
    np.testing.assert_array_equal(p_values(table, known * np.float32(1 + 3e-7)), p_values(table, known))


def test_large_tables_are_exact_in_the_tail_and_never_promise_too_much(rng: np.random.Generator) -> None:
    known = rng.normal(size=20_000).astype(np.float32)
    scores = rng.normal(size=2_000).astype(np.float32)
    table = calibrate(known, approximate=False)
    exact, found = by_hand(known, scores), p_values(table, scores)
    assert len(table.scores) < 1_500
    assert (found >= exact - 1e-12).all()
    assert (found <= exact * 1.02 + 2 / 20_001).all()
    tail = exact < 400 / 20_001
    assert (found[tail] <= exact[tail] + 1.5 / 20_001).all()


@pytest.mark.parametrize("spread", [0.0, 1.0, 8.0])
def test_many_scores_are_looked_up_as_each_alone(spread: float, rng: np.random.Generator) -> None:
    """`spread`: from one score for all rows to scores over many orders of magnitude."""
    known = np.exp(spread * rng.normal(size=3_000)).astype(np.float32)
    table = calibrate(known, approximate=False)
    edges = np.array(table.scores, dtype=np.float32) * np.float32(1 + 1e-5)
    near = [np.nextafter(edges, np.float32(to)) for to in (-np.inf, np.inf)]
    far = np.array([-np.inf, -1e38, 0, 1e38, np.inf], dtype=np.float32)
    scores = np.concatenate([known, edges, *near, far])
    alone = np.concatenate([p_values(table, scores[i : i + 1]) for i in range(len(scores))])
    np.testing.assert_array_equal(p_values(table, scores), alone)


def test_alert_is_where_the_p_value_is_at_most_the_rate(rng: np.random.Generator) -> None:
    known = rng.normal(size=5_000).astype(np.float32).round(2)
    table = calibrate(known, approximate=False)
    scores = np.concatenate([known, rng.normal(size=1_000).astype(np.float32)])
    for rate in (finest_rate(table), 0.001, 0.01, 0.05, 0.3):
        alarmed = scores >= np.float32(threshold(table, rate))
        assert (p_values(table, scores)[alarmed] <= rate).all()
        assert alarmed[: len(known)].mean() <= rate


def test_false_alarms_of_fresh_rows_keep_the_promise(rng: np.random.Generator) -> None:
    rates = []
    for _ in range(200):
        table = calibrate(rng.normal(size=999).astype(np.float32), approximate=False)
        rates.append((rng.normal(size=1_000) >= threshold(table, 0.05)).mean())
    assert abs(np.mean(rates) - 0.05) < 3 * np.std(rates) / np.sqrt(len(rates))


def test_a_rate_finer_than_the_rows_support_is_refused_with_the_number_needed() -> None:
    table = calibrate(np.arange(99, dtype=np.float32), approximate=False)
    assert threshold(table, 0.01) > 98
    with pytest.raises(CalibrationError, match="999 calibration rows and this model has 99"):
        threshold(table, 0.001)
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        threshold(table, 1.5)


def test_no_scores_or_nan_cannot_calibrate() -> None:
    for scores in ([], [1.0, float("nan")]):
        with pytest.raises(CalibrationError):
            calibrate(np.array(scores, dtype=np.float32), approximate=False)


def test_false_alarms_scatter_as_the_beta_binomial_says(rng: np.random.Generator) -> None:
    """The threshold is random, too: a binomial interval would miss far more than 5 % of the runs."""
    n, judged, rate = 999, 1_000, 0.05
    least, most = betabinom.ppf([0.025, 0.975], judged, 50, 950)
    alarms = []
    for _ in range(400):
        bar = threshold(calibrate(rng.normal(size=n).astype(np.float32), approximate=False), rate)
        alarms.append((rng.normal(size=judged) >= bar).sum())
    inside = np.mean((np.array(alarms) >= least) & (np.array(alarms) <= most))
    assert 0.92 <= inside <= 0.99


def test_tied_scores_err_low(rng: np.random.Generator) -> None:
    for digits in (0, 1):
        rates = []
        for _ in range(100):
            table = calibrate(rng.normal(size=999).round(digits).astype(np.float32), approximate=False)
            rates.append((rng.normal(size=1_000).round(digits) >= threshold(table, 0.05)).mean())
        assert np.mean(rates) < 0.05 + 2 * np.std(rates) / 10


def test_a_table_of_any_size_stays_under_20_kb(rng: np.random.Generator) -> None:
    for scale, rows in ((1.0, 300), (1e-5, 20_000), (-1e6, 200_000)):
        table = calibrate((scale * rng.normal(size=rows)).astype(np.float32), approximate=False)
        written = msgspec.json.format(msgspec.json.encode({"calibration": table}), indent=1)
        assert len(written) < 20_000
        assert msgspec.json.decode(written, type=dict[str, Calibration]) == {"calibration": table}


def test_what_is_stored_reads_back_as_the_same_float32(rng: np.random.Generator) -> None:
    scores = rng.normal(size=200).astype(np.float32)
    table = calibrate(scores, approximate=False)
    np.testing.assert_array_equal(np.array(table.scores, dtype=np.float32), np.sort(scores))
