from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.drift.monitor import Monitor, _log_gamma
from stillwatch.drift.sketch import sketch_scores


def scores(rng: np.random.Generator, rows: int, kind: str = "continuous") -> np.ndarray:
    x = rng.normal(size=rows)
    return (x if kind == "continuous" else np.round(1.5 * x) if kind == "ten values" else (x > 1.5)).astype(
        np.float32
    )


@pytest.mark.parametrize("kind", ["continuous", "ten values", "two values"])
@pytest.mark.parametrize("calibrating", [400, 20_000])
def test_a_long_stream_of_the_same_kind_raises_no_alarm(kind: str, calibrating: int) -> None:
    """However few rows calibrate: the evidence may grow by one a row on average, and 40 streams see what it does at most."""
    grown = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        monitor = Monitor(sketch_scores(scores(rng, calibrating, kind)))
        assert not monitor.add(scores(rng, 60_000, kind))
        grown.append(monitor.evidence * monitor.every / monitor.rows)
    assert np.mean(grown) < 1


@pytest.mark.parametrize(
    ("change", "direction"),
    [
        (lambda x: x + 0.3, "higher"),
        (lambda x: x - 0.3, "lower"),
        (lambda x: x * 1.4, "wider"),
        (lambda x: x * 0.7, "narrower"),
    ],
)
@pytest.mark.parametrize("before", [0, 30_000])
def test_a_change_is_noticed_at_the_start_and_after_long_quiet(
    change: object, direction: str, before: int
) -> None:
    rng = np.random.default_rng(1)
    monitor = Monitor(sketch_scores(scores(rng, 4_000)))
    monitor.add(scores(rng, before))
    for _ in range(20):
        monitor.add(change(scores(rng, 200)))  # type: ignore[operator]
    assert monitor.alarm_row is not None
    assert before < monitor.alarm_row <= before + 4_000
    assert monitor.direction == direction
    assert monitor.evidence > 1


def test_few_anomalies_more_are_noticed(rng: np.random.Generator) -> None:
    monitor = Monitor(sketch_scores(scores(rng, 4_000)))
    x = scores(rng, 5_000)
    x[rng.random(5_000) < 0.05] = 9
    assert monitor.add(x)


def test_the_alarm_stays_until_a_restart(rng: np.random.Generator) -> None:
    monitor = Monitor(sketch_scores(scores(rng, 1_000)))
    assert monitor.add(scores(rng, 2_000) + 1)
    row = monitor.alarm_row
    assert monitor.add(scores(rng, 2_000))
    assert monitor.alarm_row == row
    monitor.restart()
    assert (monitor.rows, monitor.alarm_row, monitor.evidence) == (0, None, 0.0)
    assert not monitor.add(scores(rng, 2_000))


def test_rows_may_come_one_by_one_and_memory_does_not_grow(rng: np.random.Generator) -> None:
    sketch, x = sketch_scores(scores(rng, 1_000)), scores(rng, 1_024)
    one, block = Monitor(sketch), Monitor(sketch)
    for value in x:
        one.add(value)
    for start in range(0, 1_024, 256):
        block.add(x[start : start + 256])
    assert one.rows == 1_024
    assert one.evidence == block.evidence
    assert not one._waiting


def test_the_logarithm_of_the_gamma_function() -> None:
    x = np.array([1e-6, 0.01, 0.5, 1.0, 3.0, 10.0, 1e6])
    one = _log_gamma(np.array([1.0]))
    np.testing.assert_allclose(_log_gamma(x) - one, [math.lgamma(v) for v in x], rtol=1e-7, atol=2e-7)


def test_a_scorer_watches_its_own_scores(distilled: sw.Distillation, table: pa.Table) -> None:
    monitor = distilled.scorer.monitor(every=1_000)
    assert isinstance(monitor, sw.Monitor)
    assert not monitor.add(distilled.scorer.score(table.slice(0, 100)))
    assert monitor.add(np.full(1_000, 99.0))
    with pytest.raises(sw.InputError, match="every=0"):
        distilled.scorer.monitor(every=0)


def test_no_promise_without_rows_set_apart() -> None:
    small = sw.distill(
        np.random.default_rng(0).normal(size=(60, 2)), teacher="knn", student=sw.MLP(hidden=(4,), steps=10)
    )
    with pytest.raises(sw.CalibrationError, match="approximate"):
        small.scorer.monitor()
