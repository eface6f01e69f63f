from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from stillwatch.errors import TeacherError
from stillwatch.teachers import ask, fit_teacher, resolve_teacher
from stillwatch.teachers.known import Known


@pytest.fixture
def table(rng: np.random.Generator) -> Any:
    """(rows, truth): anomalies that stand out in one direction only, by little; rare extreme rows that are none."""
    normal = rng.normal(size=(940, 6))
    normal[:30] *= 4
    anomalies = rng.normal(loc=[2.5, -2.5, 0, 0, 0, 0], size=(60, 6))
    return np.concatenate([normal, anomalies]).astype(np.float32), np.repeat([0, 1], [940, 60])


def with_known(spec: Any, x: Any, known: Any, regime: Any = "all") -> Any:
    return fit_teacher(Known(resolve_teacher(spec, regime=regime), known), x, seed=0)


@pytest.mark.parametrize(
    "spec", ["auto", "isolation_forest", ["knn", "mcd"], lambda x: np.abs(x).sum(axis=1)]
)
def test_five_confirmed_anomalies_help_on_rows_not_seen(spec: Any, table: Any) -> None:
    x, truth = table
    train, test = x[::2], x[1::2]
    known = np.full(len(train), np.nan)
    known[np.flatnonzero(truth[::2])[:5]] = 1
    plain = fit_teacher(resolve_teacher(spec, regime="all"), train, seed=0)
    taught = with_known(spec, train, known)
    before, after = (average_precision_score(truth[1::2], ask(t, test)) for t in (plain, taught))
    assert after > before + 0.05


def test_confirmed_normal_rows_lower_false_alarms(table: Any) -> None:
    x, truth = table
    known = np.full(len(x), np.nan)
    known[np.flatnonzero(truth)[:5]] = 1
    five = average_precision_score(truth, ask(with_known("auto", x, known), x))
    known[:15] = 0
    assert average_precision_score(truth, ask(with_known("auto", x, known), x)) > five


def test_an_anomaly_of_another_kind_is_not_lost(table: Any) -> None:
    x, truth = table
    known = np.full(len(x), np.nan)
    known[np.flatnonzero(truth)[:5]] = 1
    taught = with_known("auto", x, known)
    other = np.array([[-9, 9, 0, 0, 0, 0], [0, 0, 0, 0, -12, 12]], dtype=np.float32)  # opposite, and apart
    assert ask(taught, other).min() > np.quantile(ask(taught, x[truth == 0]), 0.95)
    ray = np.outer(10.0 ** np.arange(1, 7), -np.ones(6)).astype(np.float32)
    assert (np.diff(ask(taught, ray)) > 0.3).all()


def test_confirmed_anomalies_are_no_neighbours(rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 4)).astype(np.float32)
    x[:6] = 8 + rng.normal(size=(6, 4)) * 0.01
    known = np.full(300, np.nan)
    known[:6] = 1
    taught = with_known("knn", x, known)
    assert taught.teacher.recipe()["training_rows"] == 294
    base = taught.members.member_scores(x[:1])[0, 0]
    assert base > taught.members.training_member_scores()[6:, 0].max()


def test_training_scores_come_in_the_order_of_the_rows(table: Any) -> None:
    x, truth = table
    known = np.full(len(x), np.nan)
    known[np.flatnonzero(truth)[::12]] = 1
    taught = with_known("knn", x, known)
    own = taught.training_scores()
    assert own is not None
    confirmed = known == 1
    np.testing.assert_allclose(own[confirmed], ask(taught, x[confirmed]), rtol=1e-6)
    assert np.corrcoef(own, ask(taught, x))[0, 1] > 0.95


def test_the_recipe_tells_how_much_was_known(table: Any) -> None:
    x, truth = table
    known = np.where(truth == 1, 1.0, np.nan)
    known[:3] = 0
    recipe = with_known("knn", x, known).recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["known"]["anomalies"] == 60
    assert recipe["known"]["normal"] == 3
    known[0] = np.nan
    assert with_known("knn", x, known).recipe()["known"]["digest"] != recipe["known"]["digest"]


def test_other_rows_are_refused(table: Any) -> None:
    x, truth = table
    with pytest.raises(TeacherError, match="with 1,000 answers on what is known, but 10 rows"):
        fit_teacher(Known(resolve_teacher("knn", regime="all"), truth.astype(float)), x[:10], seed=0)


def test_health_is_that_of_the_teacher_beneath(table: Any) -> None:
    x, truth = table
    known = np.where(truth == 1, 1.0, np.nan)
    known[np.flatnonzero(truth)[5:]] = np.nan
    assert with_known("auto", x, known).health.member_agreement is not None
