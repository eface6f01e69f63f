"""The teacher is asked by an engine: the same model, whoever asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import stillwatch as sw
from stillwatch.knowledge.extract import BLOCK, Asker
from stillwatch.scale import Local
from stillwatch.teachers.fit import fit_teacher
from stillwatch.teachers.resolve import resolve_teacher


@pytest.mark.parametrize(
    "name",
    ["knn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("isolation_forest", "gmm", "lof"))],
)
def test_processes_answer_as_this_one_does(name: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3 * BLOCK + 9, 5)).astype(np.float32)
    teacher = fit_teacher(resolve_teacher(name, regime="all"), x[:1_000], seed=0)
    alone = Asker(teacher, x[:1_000]).ask(x)
    with Local(2) as engine:
        mapped = Asker(teacher, x[:1_000], map=engine.map)
        np.testing.assert_array_equal(mapped.ask(x), alone)
        np.testing.assert_array_equal(mapped.ask(x[::-1]), alone[::-1])


@pytest.mark.slow
def test_a_model_is_the_same_file_whoever_asked(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2_500, 5))
    made: list[Any] = []
    for workers in (None, 2):
        with Local(workers) as engine:
            made.append(
                sw.distill(
                    x,
                    student=sw.MLP(hidden=(8,), steps=30),
                    map=engine.map if workers else None,
                ).model
            )
    assert made[0] == made[1]


def test_a_teacher_that_cannot_be_sent_is_said(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2_500, 3))
    with pytest.raises(sw.InputError, match="cannot be sent to another process"):
        sw.distill(x, teacher=lambda x: np.abs(x).sum(axis=1), student=sw.MLP(steps=5), map=Local(2).map)
