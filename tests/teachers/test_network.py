from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import stillwatch as sw
from stillwatch.teachers import ask, fit_teacher
from stillwatch.teachers.network import Autoencoder, DeepSVDD, default_steps


@pytest.fixture
def plane(rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Training rows near a plane in eight dimensions, unseen ones, and rows off it."""
    span = rng.normal(size=(2, 8))
    near = [rng.normal(size=(n, 2)) @ span + 0.05 * rng.normal(size=(n, 8)) for n in (600, 200)]
    off = near[1] + 1.5 * rng.normal(size=(200, 8))
    return tuple(part.astype(np.float32) for part in (*near, off))


@pytest.mark.parametrize("teacher", [Autoencoder(), DeepSVDD()])
def test_rows_unlike_the_training_rows_score_higher(teacher: Any, plane: tuple[Any, Any, Any]) -> None:
    train, near, off = plane
    fitted = fit_teacher(teacher, train, seed=0)
    ordinary, odd = ask(fitted, near), ask(fitted, off)
    assert (odd > np.quantile(ordinary, 0.9)).mean() > 0.8


def test_a_few_anomalies_among_the_rows_do_not_hide_themselves(plane: tuple[Any, Any, Any]) -> None:
    train, near, off = plane
    fitted = fit_teacher(Autoencoder(), np.concatenate([train, off[:20]]), seed=0)
    assert np.median(ask(fitted, off[:20])) > np.quantile(ask(fitted, near), 0.9)


def test_deep_svdd_cannot_map_every_row_to_its_centre(plane: tuple[Any, Any, Any]) -> None:
    """No biases, and a centre without zeros."""
    fitted = DeepSVDD().fit(plane[0], seed=0)
    assert all(layer.bias is None for layer in fitted._network if isinstance(layer, torch.nn.Linear))
    origin = -fitted._distance(fitted._network, torch.zeros(1, 8))
    assert origin.item() < -0.01 * 32  # 0 is mapped to 0, and every part of the centre is 0.1 or more away


def test_widths_and_steps_are_taken_and_told(plane: tuple[Any, Any, Any]) -> None:
    fitted = Autoencoder(hidden=(12, 6), middle=3, steps=20).fit(plane[0], seed=4)
    assert [len(p) for p in fitted._network.parameters()][::2] == [12, 6, 3, 6, 12, 8]
    recipe = json.loads(json.dumps(fitted.recipe()))
    assert recipe["parameters"]["hidden"] == [12, 6]
    assert recipe["seed"] == 4
    assert (default_steps(100), default_steps(4_000), default_steps(10**6)) == (300, 1_000, 3_000)


def test_the_global_generator_is_left_alone(plane: tuple[Any, Any, Any]) -> None:
    before = torch.get_rng_state()
    Autoencoder(steps=5).fit(plane[0], seed=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_the_main_job_takes_them_by_name(table: pa.Table) -> None:
    d = sw.distill(table, label="fraud", teacher="autoencoder", student=sw.MLP(hidden=(32, 32), steps=300))
    assert d.manifest.teacher["name"] == "autoencoder"
    assert d.report.fidelity.spearman > 0.6
    assert d.report.teacher_quality is not None
    assert d.report.teacher_quality.auroc.value > 0.8
