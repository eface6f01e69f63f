from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from stillwatch.calibration.conformal import calibrate, finest_rate, p_values
from stillwatch.calibration.discovery import benjamini_hochberg, check_fdr, discoveries
from stillwatch.errors import InputError


def batch(rng: np.random.Generator, anomalies: int) -> tuple[np.ndarray, np.ndarray]:
    """p-values of 500 normal rows and some anomalies, by 2,000 calibration rows."""
    table = calibrate(rng.normal(size=2_000).astype(np.float32), approximate=False)
    scores = np.concatenate([rng.normal(size=500), rng.normal(4, 1, anomalies)]).astype(np.float32)
    return p_values(table, scores), np.repeat([False, True], [500, anomalies])


@pytest.mark.parametrize("anomalies", [0, 50, 500])
def test_a_share_of_the_alarms_is_false_on_average(rng: np.random.Generator, anomalies: int) -> None:
    false, power = [], []
    for _ in range(100):
        p, anomaly = batch(rng, anomalies)
        alert = benjamini_hochberg(p, 0.1)
        false.append((alert & ~anomaly).sum() / max(alert.sum(), 1))
        power.append(alert[anomaly].mean() if anomalies else 1.0)
    assert np.mean(false) <= 0.1 + 2 * np.std(false) / 10
    assert np.mean(power) > 0.8


def test_weak_anomalies_do_not_use_up_the_share(rng: np.random.Generator) -> None:
    """Many are among the ordinary half: were they counted as normal, hardly 6 of 100 alarms would be false instead of 10."""
    false = []
    for _ in range(100):
        table = calibrate(rng.normal(size=2_000).astype(np.float32), approximate=False)
        scores = np.concatenate([rng.normal(size=500), rng.normal(1, 1, 1_000)]).astype(np.float32)
        alert = benjamini_hochberg(p_values(table, scores), 0.1)
        false.append(alert[:500].sum() / max(alert.sum(), 1))
    assert 0.065 < np.mean(false) <= 0.1 + 2 * np.std(false) / 10


def test_it_is_benjamini_and_hochbergs_where_all_rows_may_be_normal(rng: np.random.Generator) -> None:
    """Where a quarter of the p-values and more are high, the correction is none."""
    for _ in range(100):
        p = np.concatenate([rng.uniform(0.75, 1, 10), rng.uniform(0, 0.5, 7), rng.uniform(0, 0.05, 3)])
        np.testing.assert_array_equal(benjamini_hochberg(p, 0.4), false_discovery_control(p) <= 0.4)


def test_order_does_not_matter_and_no_rows_give_no_alarms(rng: np.random.Generator) -> None:
    p, _ = batch(rng, 50)
    order = rng.permutation(len(p))
    np.testing.assert_array_equal(benjamini_hochberg(p[order], 0.1), benjamini_hochberg(p, 0.1)[order])
    assert benjamini_hochberg(np.zeros(0), 0.1).shape == (0,)


def test_power_is_estimated_and_the_price_of_a_large_batch_named(rng: np.random.Generator) -> None:
    p, anomaly = batch(rng, 200)
    alert = benjamini_hochberg(p, 0.1)
    found = discoveries(p, alert, 0.1, 1 / 2_001)
    assert (found.rows, found.alerts) == (700, alert.sum())
    assert 100 < found.unlike < 300
    assert found.power is not None
    assert abs(found.power - alert[anomaly].mean()) < 0.3
    assert discoveries(np.array([0.9, 0.8]), np.zeros(2, dtype=bool), 0.1, 0.1).power is None
    table = calibrate(np.arange(99, dtype=np.float32), approximate=False)
    p = p_values(table, np.concatenate([np.full(1_000, 0.0), np.full(99, 1e6)]).astype(np.float32))
    least = discoveries(p, benjamini_hochberg(p, 0.1), 0.1, finest_rate(table)).fewest
    assert least == 110  # of 1,099 rows at p-values of 1/100
    assert not benjamini_hochberg(p, 0.1).any()


@pytest.mark.parametrize("fdr", [0, 1, -0.1, float("nan")])
def test_an_fdr_that_is_no_share_is_refused(fdr: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        check_fdr(fdr)
