"""Teachers that fail, and what the message says (fault 26)."""

from __future__ import annotations

import logging
import warnings
from typing import Any, Self

import numpy as np
import pytest

from stillwatch.errors import MissingExtraError, TeacherError
from stillwatch.teachers import ask, fit_teacher, resolve_teacher
from stillwatch.teachers.protocol import BLOCK_ROWS


class Scripted:
    """A teacher that answers with whatever `answer` makes of the rows."""

    name = "scripted"

    def __init__(self, answer: Any, *, pointwise: bool = True) -> None:
        self.answer = answer
        self.pointwise = pointwise
        self.batches: list[int] = []

    def fit(self, x: Any, *, seed: int) -> Self:
        return self

    def score(self, x: Any) -> Any:
        self.batches.append(len(x))
        return self.answer(x)

    def training_scores(self) -> None:
        return None

    def recipe(self) -> dict[str, Any]:
        return {"name": self.name}


def total(x: Any) -> Any:
    return x.sum(axis=1)


def test_nan_is_counted_and_located(x: Any) -> None:
    def answer(rows: Any) -> Any:
        scores = total(rows)
        scores[[4, 9]] = np.nan, np.inf
        return scores

    with pytest.raises(TeacherError, match=r"'scripted' gave 2 of 300 scores .* \(first: nan at row 5\)"):
        ask(Scripted(answer), x)


def test_a_constant_teacher_is_refused(x: Any) -> None:
    with pytest.raises(TeacherError, match=r"'scripted' gives every row the same score \(0\.5\)"):
        fit_teacher(Scripted(lambda rows: np.full(len(rows), 0.5)), x, seed=0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda rows: total(rows)[:-1], r"answered scoring 300 rows with shape \(299,\); expected \(300,\)"),
        (lambda rows: 1.0, r"with shape \(\)"),
        (lambda rows: rows, r"with shape \(300, 6\)"),
        (lambda rows: np.array(["high"] * len(rows)), "expected one number a row"),
        (lambda rows: None, "expected one number a row"),
    ],
)
def test_answers_of_the_wrong_form(answer: Any, message: str, x: Any) -> None:
    with pytest.raises(TeacherError, match=message):
        ask(Scripted(answer), x)


@pytest.mark.parametrize(
    "answer", [lambda r: total(r).tolist(), lambda r: total(r)[:, None], lambda r: total(r) > 0]
)
def test_answers_of_a_kindred_form_are_taken(answer: Any, x: Any) -> None:
    assert ask(Scripted(answer), x).shape == (300,)


def test_what_a_teacher_raises_names_it_and_the_rows(x: Any) -> None:
    def answer(rows: Any) -> Any:
        if rows[0, 0] == 7:
            raise ValueError("no sevens")
        return total(rows)

    rows = np.zeros((BLOCK_ROWS + 100, 6), dtype=np.float32)
    rows[BLOCK_ROWS, 0] = 7
    with pytest.raises(
        TeacherError,
        match=r"'scripted' raised ValueError while scoring 100 rows \(from row 8,193 of 8,292\): no sevens",
    ) as caught:
        ask(Scripted(answer), rows)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_failing_fit_says_so(x: Any) -> None:
    class Failing(Scripted):
        def fit(self, x: Any, *, seed: int) -> Self:
            raise RuntimeError("no convergence")

    with pytest.raises(
        TeacherError, match=r"raised RuntimeError while fitting 300 rows of 6 features: no conv"
    ):
        fit_teacher(Failing(total), x, seed=0)


def test_a_missing_library_names_its_extra(x: Any) -> None:
    def answer(rows: Any) -> Any:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn.neighbors")

    with pytest.raises(MissingExtraError, match=r"scikit-learn is not installed.*stillwatch\[train\]"):
        ask(Scripted(answer), x)


def test_one_row_is_too_few(x: Any) -> None:
    with pytest.raises(TeacherError, match="at least 2 training rows, got 1"):
        fit_teacher(resolve_teacher("knn", regime="normal"), x[:1], seed=0)


def test_no_rows_no_question(x: Any) -> None:
    teacher = Scripted(total)
    assert ask(teacher, x[:0]).shape == (0,)
    assert teacher.batches == []


def test_warnings_of_a_teacher_become_log_lines(x: Any, caplog: pytest.LogCaptureFixture) -> None:
    def answer(rows: Any) -> Any:
        warnings.warn("deprecated", FutureWarning, stacklevel=1)
        return total(rows)

    with caplog.at_level(logging.INFO, logger="stillwatch"):
        ask(Scripted(answer), x)
    assert "'scripted' warned while scoring 300 rows: FutureWarning: deprecated" in caplog.text


def test_a_function_that_writes_into_its_rows_does_no_harm(x: Any) -> None:
    def spoil(rows: Any) -> Any:
        rows *= 2
        return total(rows)

    before = x.copy()
    ask(fit_teacher(resolve_teacher(spoil, regime="all"), x, seed=0), x)
    np.testing.assert_array_equal(x, before)
