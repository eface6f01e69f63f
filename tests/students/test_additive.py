from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import stillwatch as sw
from stillwatch.knowledge.profile import profile
from tests.lessons import lesson


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    x = rng.uniform(-2, 2, size=(6_000, 4))
    x[:, 3] = x[:, 3] > 0
    return x.astype(np.float32)


def test_a_sum_of_functions_is_found(rows: np.ndarray) -> None:
    target = np.abs(rows[:, 0]) + rows[:, 1] ** 2 - np.sin(2 * rows[:, 2]) + 0.5 * rows[:, 3]
    student = sw.Additive(pairs=0).fit(lesson(rows, target), seed=0)
    assert np.abs(student.score(rows) - target).max() < 0.1


def test_what_a_column_adds_does_not_depend_on_the_others(rows: np.ndarray) -> None:
    target = np.linalg.norm(rows, axis=1)
    for student in (sw.Additive(pairs=0), sw.Linear()):
        fitted = student.fit(lesson(rows, target), seed=0)
        changed = rows.copy()
        changed[:, 1] = 1.5
        alike = np.isclose(rows[:, 1], rows[0, 1], atol=0.5)
        here = rows.copy()
        here[alike, 1] = rows[0, 1]
        effects = (fitted.score(changed) - fitted.score(here))[alike]
        np.testing.assert_allclose(effects, effects[0], atol=1e-5)


def test_the_score_is_the_sum_of_the_curves(rows: np.ndarray) -> None:
    student = sw.Additive(pairs=0).fit(lesson(rows, np.linalg.norm(rows, axis=1)), seed=0)
    low = np.array([student.curve(j)[0][0] for j in range(4)], np.float32)
    gains = [np.interp(rows[:, j], *student.curve(j)) for j in range(4)]
    total = student.score(low[None])[0] + np.sum(gains, axis=0)
    np.testing.assert_allclose(student.score(rows), total, atol=1e-4)
    with pytest.raises(sw.StudentError, match="column=4"):
        student.curve(4)


@pytest.mark.parametrize("student", [sw.Additive(pairs=0), sw.Linear()], ids=lambda student: student.name)
def test_reasons_are_exact(student: sw.Student) -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(600, 4)) * [1, 2, 3, 4]
    d = sw.distill(table, teacher="knn", assume_normal=True, student=student)
    # A row outside the box would get the guard, which is no sum over columns.
    row = np.array([3.0, -5.0, 2.0, 9.0])
    reasons = d.scorer.explain_one(row, top=4)
    normal = {reason.column: reason.normal for reason in reasons}
    for other in (row, np.array([0.1, 0.2, 0.3, 0.4])):  # a column's effect hangs on no other column
        for reason in reasons:
            j = int(reason.column[1:])
            there, back = other.copy(), other.copy()
            there[j], back[j] = row[j], reason.normal
            effect = d.scorer.score_one(there) - d.scorer.score_one(back)
            assert reason.effect == pytest.approx(effect, abs=1e-5)
    at_rest = np.array([normal[f"x{j}"] for j in range(4)])
    total = d.scorer.score_one(row) - d.scorer.score_one(at_rest)
    assert sum(reason.effect for reason in reasons) == pytest.approx(total, abs=1e-5)


def test_a_pair_that_acts_together_is_found(rows: np.ndarray) -> None:
    target = rows[:, 0] * rows[:, 2] + np.abs(rows[:, 1])
    alone = sw.Additive(pairs=0).fit(lesson(rows, target), seed=0)
    paired = sw.Additive(pairs=1).fit(lesson(rows, target), seed=0)
    assert (paired.left.tolist(), paired.right.tolist()) == ([0], [2])
    wrong = [float(np.square(student.score(rows) - target).mean()) for student in (alone, paired)]
    assert wrong[1] < 0.1 * wrong[0]


def test_it_stands_still_beyond_its_last_knots(rows: np.ndarray) -> None:
    student = sw.Additive().fit(lesson(rows, np.linalg.norm(rows, axis=1)), seed=0)
    far = rows[:5].copy()
    far[:, 0] = 2.5
    further = far.copy()
    further[:, 0] = 1e6
    np.testing.assert_allclose(student.score(far), student.score(further), atol=1e-5)


def test_two_values_and_one_column_are_enough() -> None:
    x = np.tile([[0.0], [1.0]], (40, 1)).astype(np.float32)
    student = sw.Additive().fit(lesson(x, 2 * x[:, 0].astype(np.float64)), seed=0)
    np.testing.assert_allclose(student.score(x), 2 * x[:, 0], atol=0.2)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(sw.StudentError, match="knots=0"):
        sw.Additive(knots=0)
    with pytest.raises(sw.StudentError, match="pairs=-1"):
        sw.Additive(pairs=-1)


def test_a_sum_of_raw_scores_is_followed_through_its_link(rows: np.ndarray) -> None:
    raw = 2 * np.abs(rows[:, 0]) ** 3 + rows[:, 1] ** 2 + rows[:, 3] - 4
    soft = np.arcsinh(raw)
    linked, plain = (
        sw.Additive(pairs=0, link=link).fit(lesson(rows, soft), seed=0) for link in (True, False)
    )
    assert np.abs(linked.score(rows) - soft).mean() < 0.2 * np.abs(plain.score(rows) - soft).mean()


def test_a_jump_where_the_training_rows_end_is_followed() -> None:
    rng = np.random.default_rng(0)
    x = np.clip(rng.normal(size=(4_000, 2)), 0, None)  # half of the rows lie where they end
    beyond = x[:2_000] - [[0.5, 0.0]] * rng.uniform(0.1, 1, size=(2_000, 1))
    both = np.concatenate([x, beyond])
    target = 4.0 * (both[:, 0] < 0) + both[:, 1]
    made = lesson(both, target)
    kind = np.where(np.arange(len(both)) < len(x), "train", "jitter")
    student = sw.Additive(pairs=0).fit(replace(made, kind=kind), seed=0)
    assert np.abs(student.score(both.astype(np.float32)) - target).mean() < 0.05


def test_few_knots_are_spread_evenly(rows: np.ndarray) -> None:
    student = sw.Additive(knots=3, pairs=0).fit(lesson(rows, rows[:, 0].astype(np.float64)), seed=0)
    assert student.ramps.start.shape == (3, 3)
    np.testing.assert_allclose(student.score(rows), rows[:, 0], atol=0.1)


def test_a_teacher_that_is_a_sum_is_read_off(rows: np.ndarray) -> None:
    def teacher(x: np.ndarray) -> np.ndarray:
        return np.abs(x[:, 0]) + x[:, 1] ** 2 + np.sin(2 * x[:, 2]) + 0.5 * x[:, 3]

    raw = teacher(rows)
    asked = lesson(rows, raw, soft=np.arcsinh((raw - 3) / 2))
    form = {"form": "asinh((raw - center) / scale)", "center": 3.0, "scale": 2.0}
    asked = replace(asked, provenance={"softening": form}, profile=profile(teacher, rows, rows))
    read = sw.Additive(pairs=0, link=True).fit(asked, seed=0)
    assert np.abs(read.score(rows) - asked.target).mean() < 0.005
    assert read.history[-1][1] > 0.999
