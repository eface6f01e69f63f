from __future__ import annotations

import numpy as np
import pytest

import stillwatch as sw
from stillwatch.knowledge.knowledge import Knowledge


def learnt(x: np.ndarray, target: np.ndarray) -> Knowledge:
    return Knowledge(
        x=x.astype(np.float32),
        raw=target,
        soft=target.astype(np.float32),
        guard=np.zeros(len(x), dtype=np.float32),
        kind=np.full(len(x), "train"),
        held_out=np.arange(len(x)) % 10 == 0,
        provenance={},
    )


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    x = rng.uniform(-2, 2, size=(6_000, 4))
    x[:, 3] = x[:, 3] > 0
    return x.astype(np.float32)


def test_a_sum_of_functions_is_found(rows: np.ndarray) -> None:
    target = np.abs(rows[:, 0]) + rows[:, 1] ** 2 - np.sin(2 * rows[:, 2]) + 0.5 * rows[:, 3]
    student = sw.Additive(pairs=0).fit(learnt(rows, target), seed=0)
    assert np.abs(student.score(rows) - target).max() < 0.1


def test_what_a_column_adds_does_not_depend_on_the_others(rows: np.ndarray) -> None:
    target = np.linalg.norm(rows, axis=1)
    for student in (sw.Additive(pairs=0), sw.Linear()):
        fitted = student.fit(learnt(rows, target), seed=0)
        changed = rows.copy()
        changed[:, 1] = 1.5
        alike = np.isclose(rows[:, 1], rows[0, 1], atol=0.5)
        here = rows.copy()
        here[alike, 1] = rows[0, 1]
        effects = (fitted.score(changed) - fitted.score(here))[alike]
        np.testing.assert_allclose(effects, effects[0], atol=1e-5)


def test_a_pair_that_acts_together_is_found(rows: np.ndarray) -> None:
    target = rows[:, 0] * rows[:, 2] + np.abs(rows[:, 1])
    alone = sw.Additive(pairs=0).fit(learnt(rows, target), seed=0)
    paired = sw.Additive(pairs=1).fit(learnt(rows, target), seed=0)
    assert (paired.left.tolist(), paired.right.tolist()) == ([0], [2])
    wrong = [float(np.square(student.score(rows) - target).mean()) for student in (alone, paired)]
    assert wrong[1] < 0.1 * wrong[0]


def test_it_stands_still_beyond_its_last_knots(rows: np.ndarray) -> None:
    student = sw.Additive().fit(learnt(rows, np.linalg.norm(rows, axis=1)), seed=0)
    far = rows[:5].copy()
    far[:, 0] = 2.5
    further = far.copy()
    further[:, 0] = 1e6
    np.testing.assert_allclose(student.score(far), student.score(further), atol=1e-5)


def test_two_values_and_one_column_are_enough() -> None:
    x = np.tile([[0.0], [1.0]], (40, 1)).astype(np.float32)
    student = sw.Additive().fit(learnt(x, 2 * x[:, 0].astype(np.float64)), seed=0)
    np.testing.assert_allclose(student.score(x), 2 * x[:, 0], atol=0.2)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(sw.StudentError, match="knots=0"):
        sw.Additive(knots=0)
    with pytest.raises(sw.StudentError, match="pairs=-1"):
        sw.Additive(pairs=-1)
