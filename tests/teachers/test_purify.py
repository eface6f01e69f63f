from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stillwatch.teachers import ask, fit_teacher
from stillwatch.teachers.auto import Auto
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
    mixtures = (0.0, 0.0, 0.5, 0.5, 0.0)
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
