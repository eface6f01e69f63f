"""Planted cases: what the health of a teacher must show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stillwatch.errors import TeacherError
from stillwatch.evaluation.health import HealthFacts, teacher_notes
from stillwatch.teachers import fit_teacher, resolve_teacher
from stillwatch.teachers.health import Health
from stillwatch.teachers.sklearn import KNN


def health(spec: Any, x: Any, regime: Any = "all") -> Health:
    return fit_teacher(resolve_teacher(spec, regime=regime), x, seed=0).health


def notes(found: Health) -> str:
    return " ".join(teacher_notes(HealthFacts(**vars(found))))


@pytest.fixture
def normal(rng: np.random.Generator) -> Any:
    return rng.normal(size=(1_000, 5)).astype(np.float32)


def test_a_sound_case_has_nothing_to_say(normal: Any) -> None:
    found = health("auto", normal)
    assert found.tied == 0
    assert found.contamination is None
    assert found.clustered == 0
    assert found.member_agreement is not None
    assert found.stability is not None
    assert found.stability > 0.8
    assert notes(found) == ""


def test_clustered_anomalies(normal: Any, rng: np.random.Generator) -> None:
    cluster = (rng.normal(size=(20, 5)) * 0.05 + 6).astype(np.float32)
    found = health("knn", np.concatenate([normal, cluster]))
    assert found.clustered > 0.9
    assert "lie close together" in notes(found)


def test_scattered_anomalies_are_no_cluster(normal: Any, rng: np.random.Generator) -> None:
    scattered = rng.uniform(-15, 15, size=(20, 5)).astype(np.float32)
    assert health("knn", np.concatenate([normal, scattered])).clustered == 0


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("teacher", ["auto", "knn"])
def test_contamination_with_a_clear_gap(share: float, teacher: str, rng: np.random.Generator) -> None:
    n = 2_000
    anomalies = rng.uniform(-12, 12, size=(round(share * n), 6))
    x = np.concatenate([rng.normal(size=(n - len(anomalies), 6)), anomalies]).astype(np.float32)
    found = health(teacher, x)
    assert found.contamination == pytest.approx(share, abs=0.03)
    assert ("stand apart" in notes(found)) == (share > 0.2)


def test_a_constant_teacher_is_fatal(normal: Any) -> None:
    with pytest.raises(TeacherError, match="every row the same score"):
        health(lambda x: np.zeros(len(x)), normal)


def test_disagreeing_members(normal: Any) -> None:
    found = health([lambda x: x[:, 0], lambda x: x[:, 1], lambda x: x[:, 2]], normal)
    assert found.member_agreement is not None
    assert found.member_agreement < 0.1
    assert "disagree on the top 1 %" in notes(found)
    assert "Treat alerts as suggestions" in notes(found)


def test_agreeing_members(normal: Any) -> None:
    found = health([lambda x: np.abs(x).sum(axis=1), lambda x: np.square(x).sum(axis=1)], normal)
    assert found.member_agreement is not None
    assert found.member_agreement > 0.5


def test_a_teacher_that_is_not_pointwise_is_examined_all_the_same(normal: Any) -> None:
    found = health(lambda x: np.abs(x - x.mean(axis=0)).sum(axis=1), normal)
    assert found.tied == 0
    assert found.stability is None  # nothing was fitted


def test_tied_scores(normal: Any) -> None:
    found = health(lambda x: np.round(x[:, 0]), normal)
    assert found.tied > 0.99
    assert "ranks them coarsely" in notes(found)


def test_an_unsteady_teacher(normal: Any) -> None:
    class Fickle:
        name, pointwise = "fickle", True

        def fit(self, x: Any, *, seed: int) -> Fickle:
            self._w = np.random.default_rng(int(abs(x.sum()) * 1e6)).normal(size=x.shape[1])
            return self

        def score(self, x: Any) -> Any:
            return np.abs(x @ self._w)

        def training_scores(self) -> None:
            return None

        def recipe(self) -> dict[str, Any]:
            return {"name": self.name}

    found = health(Fickle(), normal)
    assert found.stability is not None
    assert found.stability < 0.5
    assert "another sample" in notes(found)


@pytest.mark.parametrize("rows", ["two", "identical", "constant columns"])
def test_hardly_any_rows(rows: str, rng: np.random.Generator) -> None:
    x = {
        "two": rng.normal(size=(2, 3)),
        "identical": np.ones((40, 3)),
        "constant columns": rng.normal(size=(80, 3)) * [1, 0, 0],
    }[rows].astype(np.float32)
    found = health("knn", x)
    assert 0 <= found.tied <= 1
    assert 0 <= found.clustered <= 1


def test_it_is_computed_once(normal: Any) -> None:
    fitted = fit_teacher(resolve_teacher("knn", regime="all"), normal, seed=0)
    assert fitted.health is fitted.health


def test_stability_is_asked_about_rows_that_neither_sample_holds(rng: np.random.Generator) -> None:
    """One nearest neighbour finds its own rows at distance 0, so it would contradict itself about them."""
    x = (rng.normal(size=(300, 4)) * [1, 1, 3, 3]).astype(np.float32)
    found = fit_teacher(KNN(k=1), x, seed=0).health
    assert found.stability is not None
    assert found.stability > 0.4
