from __future__ import annotations

import os
import random
import subprocess
import sys
from importlib import util
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from stillwatch.errors import MissingExtraError, TeacherError
from stillwatch.teachers import NAMES, Teacher, ask, fit_teacher, resolve_teacher
from stillwatch.teachers.pyod import find_detector, pyod_teacher


def resolve(spec: Any) -> Teacher:
    return resolve_teacher(spec, regime="all")


@pytest.mark.parametrize("name", ["auto", *NAMES, "pyod:ECOD"])
def test_names_name_their_teachers(name: str) -> None:
    teacher = resolve(name)
    assert isinstance(teacher, Teacher)
    assert teacher.name == name


def test_a_teacher_is_itself() -> None:
    teacher = resolve("knn")
    assert resolve(teacher) is teacher


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("isolation-forest", "Did you mean 'isolation_forest'.*Accepted: 'auto', 'knn'"),
        ("KNN", "Did you mean 'knn'"),
        ("zebra", r"no teacher is called 'zebra'\. Accepted"),
        ("pyod:Lof", "PyOD has no detector 'Lof'. Did you mean 'pyod:LOF'"),
        ("pyod:../x", "PyOD has no detector"),
        (None, "a NoneType is no teacher"),
        (["knn"], "a list of 1 teachers came; an ensemble has at least two"),
        (["knn", "lofty"], "no teacher is called 'lofty'. Did you mean 'lof'"),
        (IsolationForest, r"the class IsolationForest; hand over an object of it: IsolationForest\(\)"),
        (LocalOutlierFactor(), "needs novelty=True"),
        (KMeans(), "in which direction"),
        (LogisticRegression(), "needs labels: hand it over fitted"),
    ],
)
def test_what_is_no_teacher(spec: Any, message: str) -> None:
    with pytest.raises(TeacherError, match=message):
        resolve(spec)


def test_pyod_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillwatch.teachers.pyod.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stillwatch\[pyod\]'"):
        resolve("pyod:LOF")


def test_finding_a_detector_imports_no_other() -> None:
    code = (
        "import sys; from stillwatch.teachers.pyod import find_detector; find_detector('HBOS');"
        "print({'pyod.models.knn', 'pyod.models.lof'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_teachers_load_no_heavy_library() -> None:
    code = "import sys, stillwatch.teachers; print({'sklearn', 'torch', 'pyod', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_extra_package_of_a_detector_is_named() -> None:
    if util.find_spec("suod"):
        pytest.skip("suod is installed")
    with pytest.raises(TeacherError, match="'pyod:SUOD' needs a package that is not installed"):
        find_detector("SUOD")


# Direction: 1 = anomaly, higher = more abnormal, whatever the object's own convention.


@pytest.fixture
def rows(rng: np.random.Generator) -> Any:
    return rng.normal(size=(200, 3)).astype(np.float32)


@pytest.fixture
def far() -> Any:
    return np.array([[0, 0, 0], [9, 9, 9]], dtype=np.float32)


@pytest.mark.parametrize("came_fitted", [True, False])
@pytest.mark.parametrize("kind", [IsolationForest, OneClassSVM, lambda: LocalOutlierFactor(novelty=True)])
def test_scikit_learn_detectors_are_turned(kind: Any, came_fitted: bool, rows: Any, far: Any) -> None:
    detector = kind().fit(rows) if came_fitted else kind()
    scores = ask(fit_teacher(resolve(detector), rows, seed=0), far)
    assert scores[1] > scores[0]
    assert hasattr(detector, "n_features_in_") == came_fitted  # a clone was fitted


@pytest.mark.parametrize("came_fitted", [True, False])
def test_pyod_objects_are_not(came_fitted: bool, rows: Any, far: Any) -> None:
    from pyod.models.knn import KNN

    detector = KNN(n_neighbors=3)
    if came_fitted:
        detector.fit(rows)
    scores = ask(fit_teacher(resolve(detector), rows, seed=0), far)
    np.testing.assert_allclose(scores, KNN(n_neighbors=3).fit(rows).decision_function(far), rtol=1e-6)
    assert hasattr(detector, "decision_scores_") == came_fitted


@pytest.mark.parametrize(
    ("normal", "anomaly"),
    [(0, 1), (False, True), (0.0, 1.0), (-1, 1), (0, 2), ("", "attack"), (2, 1), (0, -1)],
    ids=repr,
)
@pytest.mark.parametrize("kind", [LogisticRegression, lambda: RandomForestClassifier(10, random_state=0)])
def test_classifiers_score_the_anomaly(kind: Any, normal: Any, anomaly: Any, rows: Any, far: Any) -> None:
    classifier = kind().fit(rows, np.where(rows[:, 0] > 0.5, anomaly, normal))
    scores = ask(fit_teacher(resolve(classifier), rows, seed=0), far)
    assert scores[1] > scores[0]


def test_probabilities_go_through_the_logit(rows: Any) -> None:
    forest = RandomForestClassifier(10, random_state=0).fit(rows, rows[:, 0] > 0.5)
    scores = ask(fit_teacher(resolve(forest), rows, seed=0), rows)
    p = np.clip(forest.predict_proba(rows)[:, 1], 1e-6, 1 - 1e-6)
    np.testing.assert_allclose(scores, np.log(p / (1 - p)), rtol=1e-9)


@pytest.mark.parametrize("labels", [("cat", "dog"), (0, 1, 2), (0,)], ids=repr)
def test_classes_that_do_not_say_which_is_the_anomaly(labels: Any, rows: Any) -> None:
    classifier = RandomForestClassifier(3).fit(rows, np.resize(labels, len(rows)))
    with pytest.raises(TeacherError, match="which class of RandomForestClassifier is the anomaly"):
        resolve(classifier)


def test_a_detector_fitted_on_raw_columns_is_told_of_the_matrix(rows: Any) -> None:
    detector = IsolationForest().fit(rows[:, :2])
    with pytest.raises(TeacherError, match=r"was fitted on 2 columns, .* has 3 columns here .* unfitted"):
        fit_teacher(resolve(detector), rows, seed=0)


def test_so_is_one_that_does_not_know_its_width(rows: Any) -> None:
    from pyod.models.lof import LOF

    with pytest.raises(TeacherError, match=r"'object:LOF' .*3 columns here"):
        fit_teacher(resolve(LOF().fit(rows[:, :2])), rows, seed=0)


def test_functions_of_one_name_have_recipes_of_their_own(rows: Any) -> None:
    one, two = (
        fit_teacher(resolve(function), rows, seed=0).recipe()
        for function in (lambda x: x.sum(axis=1), lambda x: x.max(axis=1))
    )
    assert one["name"] == two["name"] == "function:<lambda>"
    assert one != two


@pytest.mark.parametrize("name", ["ECOD", "COPOD"])
def test_detectors_of_batches_are_found_out(name: str, rows: Any) -> None:
    assert not fit_teacher(pyod_teacher(f"pyod:{name}"), rows, seed=0).pointwise
    assert fit_teacher(resolve(f"pyod:{name}"), rows, seed=0).pointwise


def test_pyod_leaves_the_process_alone(rows: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from pyod.models.hbos import HBOS

    class Deep(HBOS):  # type: ignore[misc]
        """Does what building and training a deep detector of PyOD does."""

        def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
            os.environ["PYTHONHASHSEED"] = "42"
            random.seed(42)
            np.random.seed(42)
            torch.manual_seed(42)
            print("Epoch 1/1")  # noqa: T201
            return super().fit(X)

    before = np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state(), dict(os.environ)
    fit_teacher(resolve(Deep()), rows, seed=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert random.getstate() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert dict(os.environ) == before[3]
    assert capsys.readouterr().out == ""


def test_pyod_detectors_without_a_seed_get_one(rows: Any) -> None:
    one, two, other = (fit_teacher(resolve("pyod:LODA"), rows, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(ask(one, rows), ask(two, rows))
    assert not np.array_equal(ask(one, rows), ask(other, rows))
