"""One contract, run over every teacher."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stillwatch.errors import TeacherError
from stillwatch.teachers import NAMES, Teacher, ask, fit_teacher, resolve_teacher


def distance_from_origin(x: Any) -> Any:
    return np.linalg.norm(x, axis=1)


def fitted_classifier(width: int = 6) -> LogisticRegression:
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(50, width)), rng.normal(size=(50, width)) + 8
    return LogisticRegression().fit(np.concatenate([near, far]), np.repeat([0, 1], 50))


def pyod_object() -> Any:
    from pyod.models.hbos import HBOS

    return HBOS(n_bins=5)


SPECS: dict[str, Any] = {
    **{name: lambda name=name: name for name in ("auto", *NAMES)},
    "pyod:KNN": lambda: "pyod:KNN",
    "pyod:PCA": lambda: "pyod:PCA",
    "unfitted forest": lambda: IsolationForest(n_estimators=20),
    "unfitted pipeline": lambda: make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)),
    "unfitted density": lambda: GaussianMixture(reg_covar=1e-3),
    "unfitted PyOD": pyod_object,
    "fitted classifier": fitted_classifier,
    "function": lambda: distance_from_origin,
}
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=SPECS)
def teacher(request: pytest.FixtureRequest) -> Teacher:
    return resolve_teacher(SPECS[request.param](), regime="normal")


def test_scores_are_finite_float64_one_a_row(teacher: Teacher, x: Any) -> None:
    scores = ask(fit_teacher(teacher, x, seed=0), x)
    assert scores.shape == (len(x),)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) > 20


def test_a_far_row_scores_above_a_central_one(teacher: Teacher, x: Any) -> None:
    central, far = np.median(x, axis=0), np.full(6, 15.0)
    scores = ask(fit_teacher(teacher, x, seed=0), np.array([central, far], dtype=np.float32))
    assert scores[1] > scores[0]


def test_a_row_scores_the_same_alone_and_in_a_batch(teacher: Teacher, x: Any) -> None:
    fitted = fit_teacher(teacher, x, seed=0)
    assert fitted.pointwise
    alone = np.concatenate([ask(fitted, x[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(ask(fitted, x)[:20], alone, rtol=1e-5, atol=1e-6)


def test_a_seed_decides_everything(teacher: Teacher, x: Any) -> None:
    one, two = fit_teacher(teacher, x, seed=3), fit_teacher(teacher, x, seed=3)
    np.testing.assert_array_equal(ask(one, x), ask(two, x))
    assert one.recipe() == two.recipe()


def test_the_process_keeps_its_random_state(teacher: Teacher, x: Any) -> None:
    before = np.random.get_state()[1].copy()
    ask(fit_teacher(teacher, x, seed=3), x)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_rows_are_not_modified(teacher: Teacher, x: Any) -> None:
    before = x.copy()
    ask(fit_teacher(teacher, x, seed=0), x)
    np.testing.assert_array_equal(x, before)


def test_the_given_teacher_stays_unfitted(teacher: Teacher, x: Any) -> None:
    before = dict(vars(teacher))
    fit_teacher(teacher, x, seed=0)
    assert vars(teacher) == before


def test_one_description_fits_many_folds(teacher: Teacher, x: Any) -> None:
    whole = fit_teacher(teacher, x, seed=0)
    scores = ask(whole, x)
    fit_teacher(whole, x[:100], seed=1)
    np.testing.assert_array_equal(ask(whole, x), scores)


def test_training_scores_have_the_length_of_the_training_rows(teacher: Teacher, x: Any) -> None:
    scores = fit_teacher(teacher, x, seed=0).training_scores()
    assert scores is None or (scores.shape == (len(x),) and np.isfinite(scores).all())


def test_recipe_is_json(teacher: Teacher, x: Any) -> None:
    recipe = fit_teacher(teacher, x, seed=5).recipe()
    assert json.loads(json.dumps(recipe, allow_nan=False)) == recipe
    assert recipe["name"] == teacher.name
    assert recipe["training_rows"] == len(x)
    assert all(version != "unknown" for version in recipe["versions"].values())


@pytest.mark.parametrize("name", ["auto", *NAMES, "pyod:KNN", "pyod:LOF"])
@pytest.mark.parametrize("regime", ["normal", "all"])
@pytest.mark.parametrize(
    "kind", ["five", "two", "constant columns", "duplicates", "wide", "one hot", "identical"]
)
def test_degenerate_rows(name: str, regime: Any, kind: str, rng: np.random.Generator) -> None:
    rows = {
        "five": lambda: rng.normal(size=(5, 4)),
        "two": lambda: rng.normal(size=(2, 4)),
        "constant columns": lambda: rng.normal(size=(80, 4)) * [1, 0, 1, 0],
        "duplicates": lambda: np.repeat(rng.normal(size=(4, 4)), 30, axis=0),
        "wide": lambda: rng.normal(size=(30, 60)),
        "one hot": lambda: np.eye(6)[rng.integers(0, 6, 90)],
        "identical": lambda: np.ones((40, 4)),
    }[kind]().astype(np.float32)
    teacher = resolve_teacher(name, regime=regime)
    if name == "isolation_forest" and kind in {"two", "identical"}:  # there is nothing to cut
        with pytest.raises(TeacherError, match="gives every row the same score"):
            fit_teacher(teacher, rows, seed=0)
        return
    fitted = fit_teacher(teacher, rows, seed=0)
    far = rows[:1] + 30
    assert ask(fitted, far)[0] > np.median(ask(fitted, rows))


@pytest.mark.parametrize("regime", ["normal", "all"])
def test_auto_keeps_rising_far_out(regime: Any, x: Any) -> None:
    fitted = fit_teacher(resolve_teacher("auto", regime=regime), x, seed=0)
    ray = np.outer(10.0 ** np.arange(1, 7), np.ones(6)).astype(np.float32)
    assert (np.diff(ask(fitted, ray)) > 0.5).all()


def test_auto_finds_clustered_anomalies_among_the_training_rows(rng: np.random.Generator) -> None:
    normal, cluster = rng.normal(size=(480, 4)), rng.normal(size=(20, 4)) * 0.01 + 5
    x = np.concatenate([normal, cluster]).astype(np.float32)
    scores = ask(fit_teacher(resolve_teacher("auto", regime="all"), x, seed=0), x)
    assert scores[480:].min() > np.quantile(scores[:480], 0.95)
