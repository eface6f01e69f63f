"""Teachers against brute force and against the libraries they adapt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as Forest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from stillwatch.teachers import ask, fit_teacher, resolve_teacher
from stillwatch.teachers.auto import Auto
from stillwatch.teachers.inne import INNE
from stillwatch.teachers.mcd import MCD
from stillwatch.teachers.protocol import filled
from stillwatch.teachers.pyod import pyod_teacher
from stillwatch.teachers.relative import RelativeDistance
from stillwatch.teachers.sample import uniform_sample
from stillwatch.teachers.sklearn import GMM, KNN, LOF, OCSVM, IsolationForest


def brute_force(x: Any, asked: Any, k: int, *, leave_out: bool = False) -> Any:
    d = np.sqrt(np.square(asked[:, None].astype(float) - x[None].astype(float)).sum(axis=2))
    if leave_out:
        np.fill_diagonal(d, np.inf)
    return np.sort(d, axis=1)[:, :k].mean(axis=1)


@pytest.fixture
def asked(rng: np.random.Generator) -> Any:
    return rng.normal(size=(50, 6)).astype(np.float32) * 3


@pytest.mark.parametrize("width", [6, 12])  # a tree, and a matrix product
@pytest.mark.parametrize("k", [1, 5])
def test_knn_is_brute_force(rng: np.random.Generator, k: int, width: int) -> None:
    x, asked = (rng.normal(size=(n, width)).astype(np.float32) for n in (200, 40))
    teacher = fit_teacher(KNN(k=k), x, seed=0)
    np.testing.assert_allclose(ask(teacher, asked), brute_force(x, asked, k), rtol=1e-6)
    np.testing.assert_allclose(teacher.training_scores(), brute_force(x, x, k, leave_out=True), rtol=1e-6)


@pytest.mark.parametrize("width", [3, 12])
def test_knn_leaves_itself_out_among_duplicates(rng: np.random.Generator, width: int) -> None:
    x = rng.normal(size=(12, width)).astype(np.float32)
    x = np.concatenate([np.repeat(x[:3], 4, axis=0), x[3:]])
    teacher = fit_teacher(KNN(k=5), x, seed=0)
    expected = brute_force(x, x, 5, leave_out=True)
    np.testing.assert_allclose(teacher.training_scores(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "teacher",
    [KNN(k=3, sample=100), LOF(sample=100), RelativeDistance(sample=100), Auto("normal", sample=100)],
)
def test_rows_outside_a_sample_are_unseen(teacher: Any, x: Any) -> None:
    fitted = fit_teacher(teacher, x, seed=0)
    own = fitted.training_scores()
    assert own is not None
    assert np.sum(~np.isnan(own)) == 100
    complete, fresh = filled(own, fitted, x), ask(fitted, x)
    np.testing.assert_array_equal(complete[np.isnan(own)], fresh[np.isnan(own)])
    assert (
        np.sum(~np.isclose(complete, fresh, rtol=1e-6)) == 100
    )  # the sampled rows find themselves when asked


def test_lof_is_scikit_learns(x: Any, asked: Any) -> None:
    oracle = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(x)
    teacher = fit_teacher(LOF(), x, seed=0)
    np.testing.assert_allclose(ask(teacher, asked), -oracle.score_samples(asked))
    np.testing.assert_allclose(teacher.training_scores(), -oracle.negative_outlier_factor_)


def test_isolation_forest_is_scikit_learns(x: Any, asked: Any) -> None:
    oracle = Forest(random_state=4).fit(x)
    np.testing.assert_allclose(
        ask(fit_teacher(IsolationForest(), x, seed=4), asked), -oracle.score_samples(asked)
    )


def test_gmm_is_scikit_learns(x: Any, asked: Any) -> None:
    oracle = GaussianMixture(4, reg_covar=1e-2, random_state=4).fit(x.astype(float))
    np.testing.assert_allclose(ask(fit_teacher(GMM(), x, seed=4), asked), -oracle.score_samples(asked))


def test_ocsvm_is_scikit_learns(x: Any, asked: Any) -> None:
    oracle = OneClassSVM().fit(x)
    np.testing.assert_allclose(ask(fit_teacher(OCSVM(), x, seed=0), asked), -oracle.score_samples(asked))


def test_mcd_with_all_rows_is_the_mahalanobis_distance(x: Any, asked: Any) -> None:
    teacher = fit_teacher(MCD(share=1.0, ridge=0.0), x, seed=0)
    inverse = np.linalg.inv(np.cov(x.astype(float).T, bias=True))
    centred = asked - x.mean(axis=0, dtype=float)
    np.testing.assert_allclose(ask(teacher, asked), np.einsum("ij,jk,ik->i", centred, inverse, centred))


def test_mcd_is_not_moved_by_a_tenth_of_anomalies(x: Any, asked: Any, rng: np.random.Generator) -> None:
    anomalies = (rng.normal(size=(30, 6)) * 0.1 + 20).astype(np.float32)
    spoilt = fit_teacher(MCD(), np.concatenate([x, anomalies]), seed=0)
    assert ask(spoilt, anomalies).min() > ask(spoilt, x).max()


@pytest.mark.parametrize(("name", "module"), [("KNN", "knn"), ("LOF", "lof"), ("HBOS", "hbos")])
def test_pyod_is_pyods(name: str, module: str, x: Any, asked: Any) -> None:
    oracle = getattr(__import__(f"pyod.models.{module}", fromlist=[name]), name)().fit(x.astype(float))
    teacher = fit_teacher(pyod_teacher(f"pyod:{name}"), x, seed=0)
    np.testing.assert_allclose(ask(teacher, asked), oracle.decision_function(asked.astype(float)))
    own = teacher.training_scores()
    if name == "HBOS":  # its decision scores are in-sample
        assert own is None
    else:
        np.testing.assert_allclose(own, oracle.decision_scores_)


@pytest.mark.parametrize(("name", "module"), [("ECOD", "ecod"), ("COPOD", "copod")])
def test_tail_teachers_are_pyods_on_the_training_rows(name: str, module: str, x: Any) -> None:
    x = np.concatenate([x.round(1), x[:40], np.exp(x)])  # ties, twins, and columns that lean to either side
    x = np.column_stack([x, np.resize([-1, 1], len(x))]).astype(np.float32)  # and one that leans to neither
    oracle = getattr(__import__(f"pyod.models.{module}", fromlist=[name]), name)().fit(x.astype(float))
    for spec in (name.lower(), f"pyod:{name}", type(oracle)()):
        teacher = fit_teacher(resolve_teacher(spec, regime="all"), x, seed=0)
        np.testing.assert_allclose(ask(teacher, x), oracle.decision_scores_, rtol=1e-12)


@pytest.mark.parametrize(("name", "module"), [("ECOD", "ecod"), ("COPOD", "copod")])
def test_tail_teachers_answer_a_row_beyond_as_pyod_answers_it_alone(name: str, module: str, x: Any) -> None:
    x = np.exp(x)  # so that one row more does not turn the side that a column leans to
    oracle = getattr(__import__(f"pyod.models.{module}", fromlist=[name]), name)().fit(x.astype(float))
    far = np.concatenate([x.max(axis=0)[:3] * 1.1, x.min(axis=0)[3:] * 0.9])[None]
    teacher = fit_teacher(resolve_teacher(name.lower(), regime="all"), x, seed=0)
    np.testing.assert_allclose(ask(teacher, far), oracle.decision_function(far), rtol=1e-6)


@pytest.mark.parametrize("name", ["ecod", "copod"])
def test_tail_teachers_answer_one_row_as_a_batch(name: str, x: Any, asked: Any) -> None:
    teacher = fit_teacher(resolve_teacher(name, regime="all"), x, seed=0)
    alone = [ask(teacher, asked[i : i + 1])[0] for i in range(len(asked))]
    np.testing.assert_array_equal(ask(teacher, asked), alone)


def test_relative_distance_is_brute_force(x: Any, asked: Any) -> None:
    k = 4
    teacher = fit_teacher(RelativeDistance(k=k), x, seed=0)
    own = brute_force(x, x, k, leave_out=True)
    least = own.mean()

    def ratio(rows: Any, *, leave_out: bool) -> Any:
        d = np.sqrt(np.square(rows[:, None].astype(float) - x[None].astype(float)).sum(axis=2))
        if leave_out:
            np.fill_diagonal(d, np.inf)
        near = np.argsort(d, axis=1)[:, :k]
        return np.log(
            (np.take_along_axis(d, near, 1).mean(axis=1) + least) / (own[near].mean(axis=1) + least)
        )

    np.testing.assert_allclose(ask(teacher, asked), ratio(asked, leave_out=False), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(teacher.training_scores(), ratio(x, leave_out=True), rtol=1e-4, atol=1e-6)


def test_relative_distance_sees_a_row_beside_a_dense_group(rng: np.random.Generator) -> None:
    dense, wide = rng.normal(size=(100, 2)) * 0.05, rng.normal(size=(100, 2)) * 3 + 20
    x = np.concatenate([dense, wide]).astype(np.float32)
    beside = np.array([[0.6, 0.0]], dtype=np.float32)
    ratio, distance = (fit_teacher(teacher, x, seed=0) for teacher in (RelativeDistance(), KNN(k=10)))
    assert ask(ratio, beside)[0] > np.quantile(ask(ratio, x), 0.99)
    assert ask(distance, beside)[0] < np.quantile(ask(distance, x), 0.99)
    assert np.isfinite(ask(fit_teacher(RelativeDistance(), np.repeat(x[::20], 30, axis=0), seed=0), x)).all()


def test_inne_is_its_definition(x: Any, asked: Any) -> None:
    teacher = fit_teacher(INNE(members=3, rows_a_member=20), x, seed=5)
    asked = np.concatenate([asked, x[::2] + np.float32(0.1)])
    expected = []
    for member in range(3):
        c = x[uniform_sample(len(x), 20, 15 + member)].astype(float)
        d = np.sqrt(np.square(c[:, None] - c[None]).sum(axis=2))
        np.fill_diagonal(d, np.inf)
        radius, nearest = d.min(axis=1), d.argmin(axis=1)
        away = np.sqrt(np.square(asked[:, None].astype(float) - c[None]).sum(axis=2))
        score = []
        for row in away:
            balls = np.flatnonzero(row <= radius)
            best = balls[np.argmin(radius[balls])] if len(balls) else None
            score.append(1.0 if best is None else 1 - radius[nearest[best]] / radius[best])
        expected.append(score)
    assert 0 < np.mean(np.array(expected) == 1) < 1  # rows within balls, and rows that none holds
    np.testing.assert_allclose(ask(teacher, asked), np.mean(expected, axis=0), atol=1e-5)


def test_inne_counts_twins_as_the_midst(rng: np.random.Generator) -> None:
    twins = np.repeat(rng.normal(size=(3, 12)), 40, axis=0).astype(np.float32)
    teacher = fit_teacher(
        INNE(), np.concatenate([twins, rng.normal(size=(60, 12)).astype(np.float32)]), seed=0
    )
    assert ask(teacher, twins).max() < 0.01
    far = ask(teacher, twins + 100)
    np.testing.assert_array_equal(far, 1)
