from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

import stillwatch as sw
from stillwatch.errors import TeacherError
from stillwatch.teachers import ask, fit_teacher, resolve_teacher
from stillwatch.teachers.auto import Auto
from stillwatch.teachers.purified import Purified
from stillwatch.teachers.purify import core_rows
from stillwatch.teachers.sklearn import IsolationForest


def core(x: Any, set_aside: float) -> Any:
    return core_rows(x, IsolationForest().fit(x, seed=0), set_aside=set_aside, seed=0)


@pytest.fixture(params=["scattered", "one place"])
def spoilt(request: pytest.FixtureRequest, rng: np.random.Generator) -> Any:
    """600 rows, of which the last 24 are anomalies."""
    normal = rng.normal(size=(576, 4))
    far = (
        rng.uniform(-9, 9, size=(24, 4))
        if request.param == "scattered"
        else rng.normal(size=(24, 4)) * 0.1 + 4
    )
    return np.concatenate([normal, far]).astype(np.float32)


def test_what_is_set_aside_holds_the_anomalies(spoilt: Any) -> None:
    kept = core(spoilt, 0.3)
    assert kept.sum() == 420
    assert kept[576:].mean() < 0.03


def test_none_or_nearly_all_rows_can_be_set_aside(spoilt: Any) -> None:
    assert core(spoilt, 0.0).all()
    assert core(spoilt, 0.999).sum() == 2
    assert core(spoilt[:2], 0.3).sum() == 2


def test_anomalies_in_one_place_get_no_mixture_component_of_their_own(rng: np.random.Generator) -> None:
    x = np.concatenate([rng.normal(size=(576, 4)), rng.normal(size=(24, 4)) * 0.1 + 4]).astype(np.float32)
    mixtures = (0.0, 0.0, 0.5, 0.5, 0.0, 0.0)
    with_core, without = (
        ask(fit_teacher(Auto("all", set_aside=share, weights=mixtures), x, seed=0), x) for share in (0.3, 0.0)
    )
    assert auroc(with_core) > 0.99
    assert auroc(without) < 0.9


def test_auto_finds_anomalies_among_its_training_rows(spoilt: Any) -> None:
    assert auroc(ask(fit_teacher(Auto("all"), spoilt, seed=0), spoilt)) > 0.99


def auroc(scores: Any) -> float:
    return float((scores[576:, None] > scores[None, :576]).mean())


def test_rows_known_to_be_normal_all_count(spoilt: Any) -> None:
    assert fit_teacher(Auto("normal"), spoilt, seed=0).recipe()["parameters"]["core_rows"] == 600
    assert fit_teacher(Auto("all"), spoilt, seed=0).recipe()["parameters"]["core_rows"] == 420


@pytest.mark.parametrize("name", ["lof", "gmm", "pyod:KNN"])
def test_a_purified_teacher_is_not_led_astray(spoilt: Any, name: str) -> None:
    """Anomalies in one place are each other's neighbours; set aside, they are far from all rows that are left."""
    teacher = resolve_teacher(name, regime="all")
    purified = fit_teacher(Purified(teacher), spoilt, seed=0)
    above = ask(purified, spoilt)[576:] > np.quantile(ask(purified, spoilt)[:576], 0.97)
    assert above.mean() > 0.9
    recipe = purified.recipe()
    assert recipe["name"] == teacher.name
    assert recipe["purified"] == {"rows": 600, "core_rows": 420}


def test_rows_outside_the_core_count_as_unseen(spoilt: Any) -> None:
    purified = fit_teacher(Purified(resolve_teacher("knn", regime="all")), spoilt, seed=0)
    own, asked = purified.training_scores(), ask(purified, spoilt)
    assert own is not None
    outside = np.isnan(own)
    assert outside.sum() == 180
    assert outside[576:].mean() > 0.9
    assert (own[~outside] > asked[~outside]).all(), "in the core a row is no neighbour of itself"
    assert (
        fit_teacher(Purified(resolve_teacher("ocsvm", regime="all")), spoilt, seed=0).training_scores()
        is None
    )


def test_what_is_not_fitted_here_cannot_be_purified(spoilt: Any) -> None:
    fitted = GaussianMixture().fit(spoilt)
    for spec in (fitted, lambda x: x[:, 0], ["knn", fitted], ["knn", ["lof", fitted]]):
        with pytest.raises(TeacherError, match="asked as it is"):
            resolve_teacher(spec, regime="all", purify=True)


def test_each_of_several_is_purified_and_auto_sees_to_itself(spoilt: Any) -> None:
    several = fit_teacher(resolve_teacher(["knn", "auto"], regime="all", purify=True), spoilt, seed=0)
    knn, auto = several.recipe()["members"]
    assert knn["purified"]["core_rows"] == auto["parameters"]["core_rows"] == 420
    assert "purified" not in auto
    assert several.members is not None, "how far they disagree is still told"


def test_distill_purifies(spoilt: Any) -> None:
    plain, purified = (
        sw.distill(spoilt, teacher="gmm", student="linear", purify=purify) for purify in (False, True)
    )
    found = [
        float((d.teacher_score(spoilt[576:])[:, None] > d.teacher_score(spoilt[:576])).mean())
        for d in (plain, purified)
    ]
    assert found[1] > max(0.99, found[0] - 0.001)
    assert purified.teacher.recipe()["purified"]["rows"] == len(purified.split.fit)
    assert purified.call["purify"] is True
    assert "purify" not in plain.call
    with pytest.raises(sw.InputError, match="vouched for"):
        sw.distill(spoilt, assume_normal=True, purify=True)
    assert "purified" not in sw.distill(spoilt, purify=True, student="linear").teacher.recipe()
