"""What is found out on fitting: whether a row scores the same alone, and how it is asked where it does not."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from stillwatch.teachers import ask, fit_teacher, resolve_teacher
from stillwatch.teachers.pyod import pyod_teacher
from tests.teachers.test_faults import Scripted, total


class Seen:
    """A function that standardises by the batch it is given, and remembers what it was given."""

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def __call__(self, x: np.ndarray) -> Any:
        self.batches.append(x)
        return np.abs((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)).sum(axis=1)


@pytest.mark.parametrize("n", [300, 20_000])
def test_a_teacher_of_batches_is_asked_among_its_training_rows(
    n: int, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    x = rng.normal(size=(n, 4)).astype(np.float32)
    seen = Seen()
    fitted = fit_teacher(resolve_teacher(seen, regime="all"), x, seed=0)
    assert not fitted.pointwise
    assert "scores a row by the rows beside it" in caplog.text
    assert "a hundred times the work" in caplog.text
    seen.batches.clear()
    asked = rng.uniform(3, 8, size=(150, 4)).astype(np.float32)  # far from every training row
    scores = ask(fitted, asked)
    for batch in seen.batches:
        assert (batch >= 3).all(axis=1).mean() <= 0.01
    frozen = np.abs((asked - x.mean(axis=0)) / x.std(axis=0)).sum(axis=1)
    assert np.corrcoef(scores, frozen)[0, 1] > 0.95
    by_themselves = seen(asked)
    assert np.corrcoef(by_themselves, frozen)[0, 1] < 0.5
    assert fitted.recipe()["asked_among"]["asked_rows"] >= 1


def test_a_function_of_rows_is_asked_as_it_is(x: Any, caplog: pytest.LogCaptureFixture) -> None:
    fitted = fit_teacher(resolve_teacher(total, regime="all"), x, seed=0)
    assert fitted.pointwise
    assert "asked_among" not in fitted.recipe()
    assert caplog.text == ""


def test_one_that_cannot_be_asked_alone_is_no_function_of_a_row(x: Any) -> None:
    def several(rows: Any) -> Any:
        if len(rows) < 2:
            raise ValueError("found 1 sample, while a minimum of 2 is required")
        return total(rows)

    fitted = fit_teacher(resolve_teacher(several, regime="all"), x, seed=0)
    assert not fitted.pointwise
    np.testing.assert_allclose(ask(fitted, x[:1]), total(x[:1]), rtol=1e-6)


def test_a_teacher_that_says_so_itself_is_believed(x: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="stillwatch"):
        assert not fit_teacher(Scripted(total, pointwise=False), x, seed=0).pointwise
    assert "'scripted'" in caplog.text


@pytest.mark.parametrize("name", ["ECOD", "COPOD"])
def test_pyods_own_form_is_found_out(name: str, x: Any) -> None:
    assert not fit_teacher(pyod_teacher(f"pyod:{name}"), x, seed=0).pointwise


def test_a_fitted_teacher_can_be_fitted_on_other_rows(x: Any) -> None:
    fitted = fit_teacher(resolve_teacher("knn", regime="all"), x, seed=0)
    again = fitted.fit(x[:100], seed=0)
    assert again.recipe()["training_rows"] == 100
    assert fitted.recipe()["training_rows"] == 300
