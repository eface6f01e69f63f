"""One column at a time: a teacher that is a sum over columns gives itself away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import stillwatch as sw
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.knowledge.profile import knots, profile


def a_sum(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Curved, a step where many rows lie, and a line between two values."""
    return np.abs(x[:, 0]) ** 1.5 + 3.0 * (x[:, 1] > 2) + 0.5 * x[:, 2]


@pytest.fixture
def rows(rng: np.random.Generator) -> NDArray[np.float32]:
    x = rng.normal(size=(2_000, 3))
    x[:, 1] = rng.poisson(2, size=2_000)
    x[:, 2] = x[:, 2] > 0
    return x.astype(np.float32)


def test_the_answers_add_up_to_a_teacher_that_is_a_sum(rows: NDArray[np.float32]) -> None:
    found = profile(a_sum, rows, rows)
    assert found is not None
    total = np.full(len(rows), found.rest)
    for j in range(3):
        here = found.column == j
        total += np.interp(rows[:, j], found.value[here], found.raw[here]) - found.rest
    np.testing.assert_allclose(total, a_sum(rows), atol=0.02)


def test_a_jump_beside_a_value_that_many_rows_share_is_seen(rows: NDArray[np.float32]) -> None:
    found = profile(a_sum, rows, rows)
    assert found is not None
    here = found.column == 1
    for value in (2.1, 2.5, 2.9):  # no row lies there
        assert np.interp(value, found.value[here], found.raw[here]) - found.rest == pytest.approx(3)


def test_a_table_of_very_many_columns_is_not_asked(rng: np.random.Generator) -> None:
    def never(x: NDArray[np.float32]) -> NDArray[np.float64]:
        raise AssertionError("asked")

    x = rng.normal(size=(50, 400)).astype(np.float32)
    assert profile(never, x, x) is None


@pytest.mark.parametrize("most", [16, 30, 64])
def test_knots_are_few_ascending_and_reach_as_far_as_the_rows(most: int, rows: NDArray[np.float32]) -> None:
    for column in rows.T:
        found = knots(column, column[:500], most)
        assert len(found) <= most
        assert (np.diff(found) > 0).all()
        assert found[0] <= column.min()
        assert found[-1] >= column.max()


def test_it_is_saved_and_loaded(tmp_path: Path, rng: np.random.Generator) -> None:
    d = sw.distill(rng.normal(size=(300, 3)), teacher="ecod", assume_normal=True)
    d.knowledge.save(tmp_path)
    again, asked = Knowledge.load(tmp_path).profile, d.knowledge.profile
    assert again is not None
    assert asked is not None
    assert again.rest == asked.rest
    for name in ("column", "value", "raw"):
        np.testing.assert_array_equal(getattr(again, name), getattr(asked, name))
    np.testing.assert_array_equal(
        sw.Additive(pairs=0, link=True).fit(Knowledge.load(tmp_path), seed=0).weight,
        d.fitted.student.weight,
    )
