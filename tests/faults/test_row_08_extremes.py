"""Huge, tiny and infinite numbers: a finite score, always, and no farther out is ever less abnormal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from tests.faults.conftest import changed
from tests.faults.doors import DOORS

HUGE = [1e38, -1e38, 3.5e38, -3.5e38, 1e300, -1e308, np.inf, -np.inf]  # float32 ends at 3.4e38
TINY = [5e-324, -5e-324, 2.2e-308, 1e-310, 1e-45, -1.4e-45, 1e-38, -0.0]
NUMBERS = ("amount", "age", "stamp", "version")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", NUMBERS)
def test_a_finite_score_whatever_the_number(
    scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str, name: str
) -> None:
    values = HUGE + TINY
    if door == "ndjson":
        values = [value for value in values if np.isfinite(value)]  # JSON has no infinity
    table = changed(rows.slice(0, len(values)), name, pa.array(values, pa.float64()))
    verdict = scorer.judge(DOORS[door](table, tmp_path))
    assert np.isfinite(verdict.score).all()
    assert ((verdict.p_value > 0) & (verdict.p_value <= 1)).all()
    np.testing.assert_allclose(verdict.score, scorer.score(table), rtol=1e-5, atol=1e-5)
    for record, score in zip(table.to_pylist(), verdict.score.tolist(), strict=True):
        assert scorer.score_one(record) == pytest.approx(score, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_tiny_is_read_as_zero_is(scorer: sw.Scorer, rows: pa.Table, name: str) -> None:
    first = rows.to_pylist()[0]
    zero = scorer.score_one({**first, name: 0.0})
    for value in TINY:
        assert scorer.score_one({**first, name: value}) == pytest.approx(zero, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_farther_out_is_never_less_abnormal(scorer: sw.Scorer, rows: pa.Table, name: str, sign: int) -> None:
    first = rows.to_pylist()[0]
    far = [sign * 10.0**exponent for exponent in range(12, 39, 2)] + [sign * 1e300, sign * np.inf]
    scores = [scorer.score_one({**first, name: value}) for value in far]
    assert (np.diff(scores) >= 0).all(), scores
    assert (
        scores[3] > scores[0] or name == "version"
    )  # 1e18 against 1e12; a constant column knows only that it differs
    assert scorer.alert([{**first, name: far[0]}]).all()


def test_all_columns_at_once_and_whole_numbers_beyond_64_bits(scorer: sw.Scorer, rows: pa.Table) -> None:
    first = rows.to_pylist()[0]
    for value in (10**400, -(10**400), 2**63, 2**64, -(2**63), float("inf"), 1e38, 5e-324):
        row = {**first, **dict.fromkeys(NUMBERS, value)}
        assert np.isfinite(scorer.score_one(row))
        assert np.isfinite(scorer.score([row])).all()


def test_arrays_of_every_float(rng: np.random.Generator) -> None:
    d = sw.distill(rng.normal(size=(80, 2)), teacher="knn", student=sw.MLP(hidden=(8,), steps=20))
    for value in HUGE + TINY:
        for dtype in (np.float64, np.float32):
            with np.errstate(over="ignore"):
                x = np.full((2, 2), value).astype(dtype)
            scores = d.scorer.score(x)
            assert np.isfinite(scores).all()
            assert d.scorer.score_one(x[0]) == pytest.approx(float(scores[0]), rel=1e-5)


def test_such_rows_can_be_trained_on(rng: np.random.Generator) -> None:
    x = rng.normal(size=(200, 4))
    x[:8, 0], x[8:16, 1] = HUGE, TINY
    d = sw.distill(x, teacher="isolation_forest", student=sw.MLP(hidden=(8,), steps=20))
    assert np.isfinite(d.scorer.score(x)).all()
    assert np.isfinite(d.teacher_score(x)).all()
