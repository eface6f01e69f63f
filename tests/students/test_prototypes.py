from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import stillwatch as sw
from stillwatch.artifact.parity import disagreement, open_session
from stillwatch.graph import Graph
from stillwatch.students.points import starting_places
from stillwatch.training.loop import one_thread
from tests.lessons import lesson

WIDTH = 8
RNG = np.random.default_rng(0)


def student(places: NDArray[Any], blur: float) -> sw.Prototypes:
    """As if fitted: its score is the mean logarithm of the four distances."""
    made = sw.Prototypes()
    made.places, made.axes = places.astype(np.float32), np.eye(WIDTH, dtype=np.float32)
    made.blur = blur
    weight = np.concatenate([np.full(made.nearest, 0.25), np.zeros(WIDTH)]).astype(np.float32)
    made.layers = [(weight[:, None], np.zeros(1, dtype=np.float32))]
    return made


def graph_of(made: sw.Prototypes) -> bytes:
    graph = Graph()
    return graph.finish(made.write(graph, graph.input("num", WIDTH)))


def spread(count: int, near: float, apart: float) -> NDArray[Any]:
    """Points in forty clumps."""
    clumps = RNG.normal(size=(40, WIDTH)) * apart
    return clumps[RNG.integers(0, 40, count)] + RNG.normal(size=(count, WIDTH)) * near


@pytest.mark.parametrize(("near", "apart", "exact"), [(1.0, 3.0, False), (1e-3, 100.0, True)])
def test_points_are_chosen_in_a_precision_that_tells_them_apart(
    near: float, apart: float, exact: bool
) -> None:
    places = spread(600, near, apart)
    made = student(places, blur=near**2 / 10)
    model = graph_of(made)
    first = next(node for node in onnx.ModelProto.FromString(model).graph.node if node.op_type == "Gemm")
    assert ("alpha" in {each.name for each in first.attribute}) == exact
    rows = places[RNG.integers(0, 600, 2_000)] + RNG.normal(size=(2_000, WIDTH)) * near
    rows = rows.astype(np.float32)
    session = open_session(model)
    together = session.run(["score"], {"num": rows})[0][:, 0]
    alone = np.concatenate([session.run(["score"], {"num": row[None]})[0][:, 0] for row in rows[:300]])
    assert disagreement(together[:300], alone) < 1e-6
    assert disagreement(made.score(rows), together) < 1e-5


def test_the_number_of_threads_changes_nothing() -> None:
    """Sixty columns are measured along their main axes, and those are sums over all rows."""
    x = np.exp(np.random.default_rng(0).normal(size=(6_000, 60)))
    knowledge, scores = lesson(x, np.log(x).sum(axis=1)), []
    with one_thread():  # hands back what was set before
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            scores.append(sw.Prototypes(points=64, steps=5).fit(knowledge, seed=0).score(knowledge.x))
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])


@pytest.mark.parametrize("keep", [True, False])
def test_every_point_starts_as_the_mean_of_twenty_rows(keep: bool) -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(2_000, 2)).astype(np.float32))
    x[0] = 100  # so far away that nothing else belongs to a point that starts there
    places = starting_places(x, torch.arange(2_000) < 42, 60, rng, keep=keep)
    assert (len(places) == 60) == keep
    assert places.max() < 2 * 100 / 20


def test_fewer_rows_than_columns_have_main_axes() -> None:
    """Half of a hundred images of 64 pixels: in single precision their axes were not finite."""
    x, digit = load_digits(return_X_y=True)
    zeros = np.random.default_rng(0).permutation(np.flatnonzero(digit == 0))[:100]
    d = sw.distill(x[zeros], assume_normal=True, teacher="knn", student=sw.Prototypes(points=64, steps=20))
    assert np.isfinite(d.scorer.score(x)).all()
