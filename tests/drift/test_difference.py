from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom, ks_2samp, mannwhitneyu

from stillwatch.drift.difference import (
    chance_above,
    largest_cell,
    largest_gap,
    population_stability,
    share_shift,
)


def counts(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1).astype(float)


@pytest.mark.parametrize("rows", [(8_000, 400), (400, 6_000), (2_000, 2_000), (500, 500)])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9])
def test_a_share_is_judged_as_by_the_exact_test(rows: tuple[int, int], share: float) -> None:
    before, now = rows
    marked = round(share * (before + now))
    chance = hypergeom(before + now, marked, now)
    for rarity in (0.05, 1e-2, 1e-4, 1e-6):
        high, low = int(chance.isf(rarity)) + 1, int(chance.ppf(rarity)) - 1
        for found, exact in ((high, chance.sf(high - 1)), (low, chance.cdf(low))):
            if 0 <= found <= marked and exact > 0:
                one_sided = share_shift(marked - found, before, found, now) / 2
                assert exact * 0.999 <= one_sided <= exact * 3


def test_ranks_are_judged_as_by_the_rank_sum_test(rng: np.random.Generator) -> None:
    for shift in (0.0, 0.1, 0.3):
        x, y = rng.normal(size=3_000), rng.normal(size=1_000) + shift
        edges = np.quantile(x, np.arange(1, 32) / 32)
        above, p = chance_above(counts(x, edges), counts(y, edges))
        found = mannwhitneyu(y, x)
        assert above == pytest.approx(found.statistic / 3e6, abs=0.003)
        assert np.log10(p) == pytest.approx(np.log10(found.pvalue), rel=0.1, abs=0.1)


def test_the_gap_is_that_of_kolmogorov_and_smirnov_and_its_p_value_no_smaller(
    rng: np.random.Generator,
) -> None:
    x, y = rng.normal(size=3_000), rng.normal(size=1_000) * 1.2
    edges = np.quantile(x, np.arange(1, 64) / 64)
    gap, p = largest_gap(counts(x, edges), counts(y, edges))
    found = ks_2samp(x, y)
    assert found.statistic - 0.02 < gap <= found.statistic
    assert p >= found.pvalue * 0.99


def test_a_stability_index_of_the_books() -> None:
    before, now = np.array([500.0, 300.0, 200.0]) * 1e4, np.array([400.0, 300.0, 300.0]) * 1e4
    assert population_stability(before, now) == pytest.approx(
        0.1 * np.log(5 / 4) + 0.1 * np.log(3 / 2), abs=1e-4
    )
    assert np.isfinite(population_stability(np.array([10.0, 0.0]), np.array([0.0, 10.0])))


def test_the_cell_that_changed_is_named() -> None:
    cell, p = largest_cell(np.array([500.0, 300.0, 200.0]), np.array([500.0, 220.0, 280.0]))
    assert cell in {1, 2}
    assert p < 1e-3


def test_nothing_to_compare_is_no_difference() -> None:
    some, none = np.array([3.0, 4.0]), np.zeros(2)
    for before, now in ((some, none), (none, some), (none, none)):
        assert (
            largest_gap(before, now)[1] == chance_above(before, now)[1] == largest_cell(before, now)[1] == 1.0
        )
    assert share_shift(0, 10, 0, 10) == share_shift(10, 10, 5, 5) == 1.0
    assert 0 < share_shift(0, 5_000, 5_000, 5_000) < 1e-300 or share_shift(0, 5_000, 5_000, 5_000) == 0.0
