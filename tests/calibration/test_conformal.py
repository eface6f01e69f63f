from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.calibration.conformal import calibrate, finest_rate, p_values, threshold
from stillwatch.errors import CalibrationError


def by_hand(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.array([(1 + (calibration >= score).sum()) / (len(calibration) + 1) for score in scores])


scores_of_rows = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=60)


@settings(max_examples=100, deadline=None)
@given(scores_of_rows, scores_of_rows)
def test_small_tables_are_exact(calibration: list[float], asked: list[float]) -> None:
    known, scores = np.array(calibration, dtype=np.float32), np.array(asked, dtype=np.float32)
    table = calibrate(known, approximate=False)
    np.testing.assert_allclose(p_values(table, scores), by_hand(known, scores))


def test_large_tables_are_exact_in_the_tail_and_never_promise_too_much(rng: np.random.Generator) -> None:
    known = rng.normal(size=20_000).astype(np.float32)
    scores = rng.normal(size=2_000).astype(np.float32)
    table = calibrate(known, approximate=False)
    exact, found = by_hand(known, scores), p_values(table, scores)
    assert len(table.scores) < 1_500
    assert (found >= exact - 1e-12).all()
    assert (found <= exact * 1.02 + 2 / 20_001).all()
    tail = exact < 500 / 20_001
    np.testing.assert_allclose(found[tail], exact[tail])


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
