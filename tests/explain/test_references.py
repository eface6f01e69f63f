from __future__ import annotations

import numpy as np

import stillwatch as sw
from stillwatch.explain.references import FEWEST_ROWS, References, find_references, halve
from stillwatch.table.rows import Rows
from stillwatch.table.timestamp import DAY, MISSING_TIME, SECOND


def references(numbers: np.ndarray, times: np.ndarray | None = None) -> References:
    rows = Rows(numbers, np.empty((len(numbers), 0), dtype=object), *([] if times is None else [times]))
    matrix = np.nan_to_num(numbers).astype(np.float32)
    return find_references(rows, matrix, (), [1.0] * numbers.shape[1])


def test_every_group_has_enough_rows_and_every_row_a_group(rng: np.random.Generator) -> None:
    for rows in (20, 39, 40, 500):
        groups = halve(rng.normal(size=(rows, 3)).astype(np.float32), 16)
        assert min(map(len, groups)) >= FEWEST_ROWS
        assert sorted(np.concatenate(groups)) == list(range(rows))
    assert len(groups) == 16


def test_alike_rows_share_a_reference(rng: np.random.Generator) -> None:
    centers = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0], [100.0, 100.0]])
    numbers = centers.repeat(50, axis=0) + rng.normal(size=(200, 2))
    found = np.array(references(numbers).numbers)
    assert np.abs(found[:, None] - centers).max(axis=2).min(axis=1).max() < 2


def test_what_is_mostly_missing_is_normally_missing(rng: np.random.Generator) -> None:
    numbers = rng.normal(size=(100, 3))
    numbers[:70, 0] = np.nan
    numbers[:30, 1] = np.nan
    for row in references(numbers).numbers:
        assert row[0] is None
        assert row[1] is not None


def test_too_few_rows_leave_nothing_behind(rng: np.random.Generator) -> None:
    assert len(references(rng.normal(size=(FEWEST_ROWS - 1, 2)))) == 0


def test_a_time_is_the_usual_hour_of_the_usual_weekday(rng: np.random.Generator) -> None:
    weeks, nine = rng.integers(2_000, 2_100, 300), 9 * 3_600 * SECOND
    monday = weeks * 7 * DAY + 4 * DAY + nine + rng.integers(0, 3_600, 300) * SECOND
    times = np.where(rng.random(300) < 0.1, MISSING_TIME, monday)[:, None]
    for (time,) in references(rng.normal(size=(300, 1)), times).times:
        assert time % (7 * DAY) == 4 * DAY + nine + 1_800 * SECOND
        assert 2_000 <= time // (7 * DAY) < 2_100


def test_no_training_row_is_stored(distilled: sw.Distillation, table: object) -> None:
    stored = distilled.manifest.references.rows()
    (rows,) = distilled.scorer.pack(table)
    same = (rows.numbers[:, None] == stored.numbers) | (
        np.isnan(rows.numbers)[:, None] & np.isnan(stored.numbers)
    )
    assert not (same.all(axis=2) & (rows.texts[:, None] == stored.texts).all(axis=2)).any()


def test_references_and_sketches_of_a_wide_table_stay_small(rng: np.random.Generator) -> None:
    numbers = rng.normal(size=(800, 3_000))
    found = references(numbers)
    assert len(found) >= 8
    assert len(found) * 3_000 <= 30_000


def test_how_far_out_an_extreme_lies_changes_no_group(rng: np.random.Generator) -> None:
    """Else a few of them would take the groups that all other rows need."""
    numbers = np.stack([np.zeros(4_000), rng.uniform(-1.5, 1.5, 4_000)], axis=1)
    numbers[:100, 0] = rng.uniform(2, 5_000, 100)
    less = np.minimum(numbers, 2.0)
    assert [second for _, second in references(numbers).numbers] == [
        second for _, second in references(less).numbers
    ]
