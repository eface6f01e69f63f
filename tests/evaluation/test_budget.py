from __future__ import annotations

import numpy as np

from stillwatch.calibration.conformal import calibrate, finest_rate, threshold
from stillwatch.evaluation.budget import budget


def test_every_supported_rate_has_its_alarms_precision_and_recall(rng: np.random.Generator) -> None:
    table = calibrate(rng.normal(size=999).astype(np.float32), approximate=False)
    scores = np.concatenate([rng.normal(size=900), rng.normal(3, 1, 100)]).astype(np.float32)
    labels = np.repeat([0.0, 1.0, np.nan], [900, 90, 10])
    lines = budget(table, scores, labels, rows_per_second=2, also=(0.03,))
    rates = [line.rate for line in lines]
    assert rates == sorted(rates)
    assert rates[0] == 0.001
    assert {0.01, 0.03, 0.5} <= set(rates)
    line = next(line for line in lines if line.rate == 0.03)
    alert = scores >= threshold(table, 0.03)
    assert line.alerts == alert.sum()
    assert line.per_day == 0.03 * 2 * 86_400
    assert line.recall == alert[900:990].mean()
    assert line.precision == alert[900:990].sum() / alert[:990].sum()
    assert line.false_rate == alert[:900].mean()
    recalls = [line.recall for line in lines]
    assert recalls == sorted(recalls)


def test_without_labels_there_is_a_cost_and_no_finding(rng: np.random.Generator) -> None:
    table = calibrate(rng.normal(size=50).astype(np.float32), approximate=False)
    lines = budget(table, rng.normal(size=20), None, rows_per_second=1)
    assert all(line.precision is None and line.recall is None for line in lines)
    assert min(line.rate for line in lines) >= finest_rate(table)
