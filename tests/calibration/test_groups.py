from __future__ import annotations

import numpy as np

from stillwatch.calibration.conformal import calibrate
from stillwatch.calibration.groups import LEAST_ROWS, MOST_GROUPS, Groups, calibrate_groups, group_p_values


def two_levels(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two groups, one of which lies higher: together they alarm in that one alone."""
    high = rng.random(rows) < 0.5
    values = np.where(high, "high", "low").astype(object)
    return values, (rng.normal(size=rows) + 5 * high).astype(np.float32)


def tables(rng: np.random.Generator, rows: int) -> tuple[Groups, np.ndarray, np.ndarray]:
    values, scores = two_levels(rng, rows)
    return calibrate_groups("level", values, scores, approximate=False), values, scores


def test_every_group_alarms_at_the_rate(rng: np.random.Generator) -> None:
    groups, _, scores = tables(rng, 4_000)
    common = calibrate(scores, approximate=False)
    values, fresh = two_levels(rng, 20_000)
    p, rest = group_p_values(groups, common, values, fresh, 0.05)
    assert rest == 0
    for value in ("high", "low"):
        assert abs((p <= 0.05)[values == value].mean() - 0.05) < 0.02
    values[:] = "unheard of"
    p, rest = group_p_values(groups, common, values, fresh, 0.05)
    assert rest == 20_000
    assert (p <= 0.05)[fresh < 2].mean() < 0.001


def test_small_groups_and_gaps_are_not_stored(rng: np.random.Generator) -> None:
    values = np.array(["a"] * LEAST_ROWS + ["b"] * (LEAST_ROWS - 1) + [""] * 500, dtype=object)
    groups = calibrate_groups("g", values, rng.normal(size=len(values)).astype(np.float32), approximate=True)
    assert list(groups.tables) == ["a"]
    assert groups.tables["a"].rows == LEAST_ROWS
    assert groups.tables["a"].approximate


def test_the_largest_groups_are_kept(rng: np.random.Generator) -> None:
    sizes = {f"g{i:03d}": LEAST_ROWS + i for i in range(MOST_GROUPS + 5)}
    values = np.array([name for name, size in sizes.items() for _ in range(size)], dtype=object)
    groups = calibrate_groups("g", values, rng.normal(size=len(values)).astype(np.float32), approximate=False)
    assert len(groups.tables) == MOST_GROUPS
    assert "g004" not in groups.tables


def test_a_rate_too_fine_for_a_group_is_judged_by_the_common_table(rng: np.random.Generator) -> None:
    groups, values, scores = tables(rng, 1_000)
    common = calibrate(scores, approximate=False)
    rows = {value: int((values == value).sum()) for value in ("high", "low")}
    finest = 1 / (max(rows.values()) + 1)
    assert group_p_values(groups, common, values, scores, finest)[1] == min(rows.values())
    assert group_p_values(groups, common, values, scores, 0.0011)[1] == 1_000
