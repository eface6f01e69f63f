from __future__ import annotations

import numpy as np
import pytest

from stillwatch.artifact.parity import open_session
from stillwatch.graph import Graph
from stillwatch.students.trees import Trees, answers, read_forest, write_forest

lightgbm = pytest.importorskip("lightgbm")


def grown(columns: int, leaves: int, rounds: int) -> tuple[object, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2_000, columns)).astype(np.float32)
    x[:, 0] = x[:, 0].round(1)  # many rows stand on an edge
    y = np.abs(x).sum(axis=1) + (x[:, 0] > 0.5)
    settings = {
        "num_leaves": leaves,
        "verbose": -1,
        "num_threads": 1,
        "use_missing": False,
        "deterministic": True,
    }
    return lightgbm.train({**settings, "force_row_wise": True}, lightgbm.Dataset(x, y), rounds), x


@pytest.mark.parametrize(("leaves", "rounds"), [(2, 1), (8, 3), (31, 40)])
def test_numpy_and_graph_answer_as_lightgbm_does(leaves: int, rounds: int) -> None:
    booster, x = grown(4, leaves, rounds)
    forest = read_forest(booster.model_to_string())
    theirs = booster.predict(x)
    ours = sum(answers(tree, x) for tree in forest)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    graph = Graph()
    session = open_session(graph.finish(write_forest(forest, graph, graph.input("num", 4))))
    np.testing.assert_allclose(session.run(["score"], {"num": x})[0][:, 0], theirs, rtol=1e-5)


def test_a_value_on_an_edge_goes_left_in_float32_as_in_float64() -> None:
    # LightGBM's edges are float64 between two float32 values; rounded to the nearest they could swallow the upper one.
    low = np.float32(1)
    high = np.nextafter(low, np.float32(2))
    edge = float(high) - 1e-12
    text = (
        "tree\n\nTree=0\nnum_leaves=2\nsplit_feature=0\nthreshold="
        f"{edge!r}\nleft_child=-1\nright_child=-2\nleaf_value=0 1\n\nend"
    )
    (tree,) = read_forest(text)
    assert answers(tree, np.array([[low], [high]], dtype=np.float32)).tolist() == [0, 1]


def test_a_target_without_structure_gives_a_tree_of_one_leaf() -> None:
    booster = lightgbm.train(
        {"verbose": -1, "num_threads": 1}, lightgbm.Dataset(np.zeros((50, 2)), np.ones(50)), 1
    )
    forest = read_forest(booster.model_to_string())
    assert answers(forest[0], np.zeros((3, 2), np.float32)).tolist() == [1, 1, 1]


def test_impossible_sizes_are_refused() -> None:
    from stillwatch import StudentError

    with pytest.raises(StudentError, match="leaves=1"):
        Trees(leaves=1)
    with pytest.raises(StudentError, match="trees=0"):
        Trees(trees=0)
