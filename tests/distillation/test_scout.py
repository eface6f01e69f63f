"""The student that is solved to say where others will be wrong."""

from __future__ import annotations

import numpy as np
import pytest

import stillwatch as sw
from stillwatch.distillation.scout import scout
from stillwatch.knowledge.knowledge import Knowledge
from tests.lessons import lesson


@pytest.fixture
def seen(rng: np.random.Generator) -> Knowledge:
    x = rng.normal(size=(3_000, 4)).astype(np.float32)
    x[:, 3] = 1  # says nothing
    return lesson(x, (np.abs(x[:, 0] - x[:, 1]) + x[:, 1] * x[:, 2]).astype(np.float64))


def test_it_knows_what_no_sum_over_columns_says(seen: Knowledge) -> None:
    held, sums = seen.held_out, sw.Additive(pairs=0).fit(seen, seed=0).score(seen.x)
    by_scout, by_sums = (
        np.corrcoef(said[held], seen.target[held])[0, 1] for said in (scout(seen, seed=0), sums)
    )
    assert by_scout > 0.9
    assert by_sums < 0.7


def test_a_seed_repeats(seen: Knowledge) -> None:
    one, two, other = (scout(seen, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_rounding_stays_rounding(seen: Knowledge) -> None:
    """A feature off by its last digit: training would have other rows asked about."""
    before = scout(seen, seed=0)
    seen.x[5, 0] = np.nextafter(seen.x[5, 0], np.float32(9))
    assert np.abs(scout(seen, seed=0) - before).max() < 1e-4


def test_few_rows_and_equal_rows_are_enough() -> None:
    for x in (np.arange(5)[:, None], np.zeros((40, 2))):
        assert np.isfinite(scout(lesson(x, np.arange(len(x), dtype=np.float64)), seed=0)).all()
