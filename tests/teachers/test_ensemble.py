from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import stillwatch as sw
from stillwatch.errors import TeacherError
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.teachers import ask, fit_teacher, resolve_teacher
from stillwatch.teachers.ensemble import agreement_weights
from stillwatch.teachers.protocol import Combination
from tests.teachers.test_faults import Scripted, total


def test_a_list_is_one_teacher(x: Any) -> None:
    fitted = fit_teacher(resolve_teacher(["knn", "lof", "isolation_forest"], regime="all"), x, seed=0)
    assert fitted.name == "knn+lof+isolation_forest"
    assert fitted.pointwise
    scores = ask(fitted, x)
    assert scores.shape == (300,)
    recipe = fitted.recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert [member["name"] for member in recipe["members"]] == ["knn", "lof", "isolation_forest"]
    assert sum(recipe["parameters"]["weights"]) == pytest.approx(1)
    assert recipe["parameters"]["training_scores"] == ["out-of-sample", "out-of-sample", "in-sample"]


def test_score_is_the_weighted_mean_of_the_members(x: Any) -> None:
    fitted = fit_teacher(resolve_teacher(["knn", "gmm"], regime="all"), x, seed=0).teacher
    assert isinstance(fitted, Combination)
    members = fitted.member_scores(x)
    np.testing.assert_allclose(ask(fitted, x), members.mean(axis=1))  # two always weigh the same
    np.testing.assert_allclose(np.median(fitted.training_member_scores(), axis=0), 0, atol=1e-9)


def test_a_member_of_noise_is_weighed_out(rng: np.random.Generator) -> None:
    signal = rng.normal(size=(500, 1))
    scores = np.column_stack([signal + 0.3 * rng.normal(size=(500, 3)), rng.normal(size=500)])
    weights = agreement_weights(scores)
    assert weights.sum() == pytest.approx(1)
    assert weights[3] < 0.1 * weights[:3].min()


def test_a_member_that_contradicts_the_others_is_weighed_out(rng: np.random.Generator) -> None:
    signal = rng.normal(size=(500, 1))
    scores = signal * [1, 1, 1, -1] + 0.3 * rng.normal(size=(500, 4))
    assert agreement_weights(scores)[3] < 0.01


def test_a_constant_member_harms_nobody(rng: np.random.Generator) -> None:
    scores = np.column_stack([rng.normal(size=(500, 1)) + 0.1 * rng.normal(size=(500, 2)), np.zeros(500)])
    assert agreement_weights(scores)[2] < 0.01


def test_a_failing_member_is_named(x: Any) -> None:
    def fail(rows: Any) -> Any:
        raise RuntimeError("no")

    with pytest.raises(TeacherError, match="'function:fail' raised RuntimeError"):
        fit_teacher(resolve_teacher(["knn", fail], regime="all"), x, seed=0)


def test_a_member_of_batches_is_asked_among_training_rows_and_the_others_are_not(x: Any) -> None:
    alone = Scripted(total)
    shy = Scripted(lambda rows: np.abs(rows - rows.mean(axis=0)).sum(axis=1), pointwise=False)
    fitted = fit_teacher(resolve_teacher([alone, shy], regime="all"), x, seed=0)
    assert not fitted.pointwise
    alone.batches.clear()
    shy.batches.clear()
    ask(fitted, x[:10])
    assert alone.batches == [10]
    assert set(shy.batches) == {303, 301}  # 3 asked rows among 300, and a last one


def test_disagreement_is_kept_in_the_knowledge(rng: np.random.Generator, tmp_path: Any) -> None:
    x = rng.normal(size=(2_200, 3))
    student = sw.MLP(hidden=(8,), steps=20)
    d = sw.distill(x, teacher=["knn", "isolation_forest"], student=student, cache=tmp_path / "cache")
    knowledge = d.knowledge
    assert knowledge.uncertainty is not None
    assert knowledge.uncertainty.dtype == np.float32
    assert (knowledge.uncertainty >= 0).all()
    combination = d.teacher.members
    assert combination is not None
    made = knowledge.kind != "train"
    members = combination.member_scores(knowledge.x[made])
    np.testing.assert_allclose(knowledge.uncertainty[made], members.std(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(knowledge.raw[made], combination.combine(members), rtol=1e-6)
    knowledge.save(tmp_path / "k")
    again = Knowledge.load(tmp_path / "k")
    np.testing.assert_array_equal(again.uncertainty, knowledge.uncertainty)
    part = again.only("train").uncertainty
    assert part is not None
    assert len(part) == int((~made).sum())
    cached = sw.distill(x, teacher=["knn", "isolation_forest"], student=student, cache=tmp_path / "cache")
    np.testing.assert_array_equal(cached.knowledge.uncertainty, knowledge.uncertainty)


def test_a_single_teacher_has_no_disagreement(rng: np.random.Generator, tmp_path: Any) -> None:
    d = sw.distill(rng.normal(size=(2_000, 3)), teacher="knn", student=sw.MLP(hidden=(8,), steps=20))
    assert d.knowledge.uncertainty is None
    d.knowledge.save(tmp_path / "k")
    assert Knowledge.load(tmp_path / "k").uncertainty is None
