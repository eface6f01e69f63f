"""Every operator of the C export gives what onnxruntime gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillwatch.artifact.audit import OPERATORS as ALLOWED
from stillwatch.artifact.audit import audit
from stillwatch.artifact.parity import disagreement, open_session
from stillwatch.errors import InputError
from stillwatch.export.c import function
from stillwatch.export.operators import OPERATORS
from stillwatch.export.translate import translate
from stillwatch.graph import Graph
from tests.export.compiled import compiled, needs_gcc

WIDTH = 6
Build = Callable[[Graph, str], str]
RNG = np.random.default_rng(3)
MATRIX, SQUARE = RNG.normal(size=(WIDTH, 1)), RNG.normal(size=(WIDTH, WIDTH))


def summed(g: Graph, x: str) -> str:
    """Any [n, k] to one number, each place with a weight of its own."""
    return g.add(
        "ReduceSum",
        g.add("Mul", x, g.constant(np.arange(1, WIDTH + 1))),
        g.constant([1], np.int64),
        keepdims=1,
    )


def of(op: str, *constants: Any, **attributes: Any) -> Build:
    return lambda g, x: summed(g, g.add(op, x, *(g.constant(c) for c in constants), **attributes))


def truth(g: Graph, x: str) -> str:
    """Whether each number is below zero, in numbers."""
    return summed(g, g.add("Cast", x, to=1))


def one_hot(g: Graph, x: str) -> str:
    places = g.add("Cast", g.add("Clip", x, g.constant(0.0), g.constant(3.0)), to=7)
    hot = g.add("OneHot", places, g.constant(4, np.int64), g.constant([0.25, 2.0]), axis=-1)
    flat = g.add("Reshape", hot, g.constant([-1, 4 * WIDTH], np.int64))
    return g.add("MatMul", flat, g.constant(RNG.normal(size=(4 * WIDTH, 1))))


def nearest(g: Graph, x: str) -> str:
    double = g.add("Cast", x, to=g.DOUBLE)
    places = g.add("Cast", g.constant(RNG.normal(size=(9, WIDTH))), to=g.DOUBLE)
    norm = g.add("ReduceSumSquare", places, axes=[1], keepdims=0)
    far = g.add("Gemm", double, places, norm, alpha=-2.0, transB=1)
    _, chosen = g.add_many("TopK", far, g.constant([3], np.int64), outputs=2, axis=1, largest=0)
    row = g.add("Reshape", double, g.constant([-1, 1, WIDTH], np.int64))
    away = g.add("Sub", row, g.add("Gather", places, chosen, axis=0))
    squares = g.add("ReduceSumSquare", away, axes=[2], keepdims=0)
    distance = g.add("Log", g.add("Cast", g.add("Add", squares, g.constant(0.1, np.float64)), to=g.FLOAT))
    return g.add("MatMul", distance, g.constant([[1.0], [2.0], [-3.0]]))


def highest(g: Graph, x: str) -> str:
    values, places = g.add_many("TopK", x, g.constant([2], np.int64), outputs=2, axis=1)
    both = g.add("Concat", values, g.add("Cast", places, to=1), axis=1)
    return g.add("MatMul", both, g.constant([[1.0], [2.0], [3.0], [5.0]]))


def highest_of_many(g: Graph, x: str) -> str:
    """More values than are looked at one by one, each of them four times."""
    steps = np.tile(np.linspace(-1, 1, 75)[RNG.permutation(75)], 4)
    values = g.add("Gemm", x, g.constant(np.outer(RNG.normal(size=WIDTH), steps)), g.constant(steps))
    high, places = g.add_many("TopK", values, g.constant([6], np.int64), outputs=2, axis=1)
    low, _ = g.add_many("TopK", values, g.constant([3], np.int64), outputs=2, axis=1, largest=0)
    both = g.add("Concat", high, low, g.add("Cast", places, to=1), axis=1)
    return g.add("MatMul", both, g.constant(RNG.normal(size=(15, 1))))


def parts(g: Graph, x: str) -> str:
    first, rest = g.add_many("Split", x, g.constant([2, 4], np.int64), outputs=2, axis=1)
    return summed(g, g.add("Concat", rest, first, axis=1))


def whole(g: Graph, *numbers: int) -> str:
    return g.constant(numbers, np.int64)


def remainder(g: Graph, x: str) -> str:
    places = g.add("Cast", g.add("Mul", x, g.constant(9.0)), to=7)
    return summed(g, g.add("Cast", g.add("Mod", places, whole(g, 5, 7, 3, 2, 9, 4)), to=1))


def halves(g: Graph, x: str) -> str:
    apart = g.add("Reshape", x, whole(g, -1, 2, 3))
    return g.add("ReduceMax", g.add("ReduceSum", apart, whole(g, 2), keepdims=0), axes=[1], keepdims=1)


def turned(g: Graph, x: str) -> str:
    apart = g.add("Transpose", g.add("Reshape", x, whole(g, -1, 2, 3)), perm=[0, 2, 1])
    return summed(g, g.add("Reshape", apart, whole(g, -1, WIDTH)))


def trees(mode: str, tracks: int, **more: Any) -> Build:
    """Two trees of one and two branches."""

    def build(g: Graph, x: str) -> str:
        return g.add(
            "TreeEnsembleRegressor", x, domain="ai.onnx.ml", n_targets=1,
            nodes_treeids=[0, 0, 0, 1, 1, 1, 1, 1], nodes_nodeids=[0, 1, 2, 0, 1, 2, 3, 4],
            nodes_featureids=[1, 0, 0, 0, 0, 4, 0, 0],
            nodes_modes=[mode, "LEAF", "LEAF", mode, "LEAF", mode, "LEAF", "LEAF"],
            nodes_values=[0.0, 0, 0, 0.5, 0, -1.0, 0, 0],
            nodes_truenodeids=[1, 0, 0, 1, 0, 3, 0, 0], nodes_falsenodeids=[2, 0, 0, 2, 0, 4, 0, 0],
            nodes_missing_value_tracks_true=[tracks, 0, 0, 0, 0, 0, 0, 0],
            target_treeids=[0, 0, 1, 1, 1], target_nodeids=[1, 2, 1, 3, 4], target_ids=[0] * 5,
            target_weights=[1.0, 2.0, 0.125, 4.0, 8.0], **more,
        )  # fmt: skip

    return build


CASES: dict[str, Build] = {
    "Abs": of("Abs"),
    "Add": of("Add", SQUARE[0]),
    "Asinh": of("Asinh"),
    "Cast": lambda g, x: summed(g, g.add("Cast", g.add("Cast", x, to=11), to=1)),
    "Cast to whole numbers": lambda g, x: summed(g, g.add("Cast", g.add("Cast", x, to=7), to=1)),
    "Clip": of("Clip", -0.5, 0.75),
    "Concat": parts,
    "Cos": of("Cos"),
    "Div": of("Div", SQUARE[1]),
    "Equal": lambda g, x: truth(g, g.add("Equal", g.add("Relu", x), g.constant(0.0))),
    "Erf": of("Erf"),
    "Exp": of("Exp"),
    "Gather": lambda g, x: summed(g, g.add("Gather", x, whole(g, 5, 0, 0, 1, 2, 3), axis=1)),
    "Gemm": lambda g, x: g.add("Gemm", x, g.constant(MATRIX.T), g.constant([0.5]), transB=1, alpha=0.3, beta=2.0),
    "Gemm without addend": lambda g, x: g.add("Gemm", x, g.constant(MATRIX)),
    "Identity": of("Identity"),
    "IsNaN": lambda g, x: truth(g, g.add("IsNaN", g.add("Log", x))),
    "LeakyRelu": of("LeakyRelu", alpha=0.2),
    "Less": lambda g, x: truth(g, g.add("Less", x, g.constant(0.25))),
    "Log": lambda g, x: summed(g, g.add("Log", g.add("Exp", x))),
    "MatMul": of("MatMul", SQUARE),
    "MatMul with a diagonal": of("MatMul", np.diag(SQUARE[0])),
    "Gemm with a diagonal": lambda g, x: summed(g, g.add("Gemm", x, g.constant(np.diag(SQUARE[0])), alpha=0.3)),
    "Max": of("Max", SQUARE[0], 0.1),
    "Min": of("Min", SQUARE[0], 0.1),
    "Mod": remainder,
    "Mul": of("Mul", SQUARE[2]),
    "Neg": of("Neg"),
    "Not": lambda g, x: truth(g, g.add("Not", g.add("Less", x, g.constant(0.25)))),
    "OneHot": one_hot,
    "Pow": lambda g, x: summed(g, g.add("Pow", g.add("Abs", x), g.constant(1.5))),
    "ReduceL1": lambda g, x: g.add("ReduceL1", x, axes=[1], keepdims=1),
    "ReduceL2": lambda g, x: g.add("ReduceL2", x, axes=[1], keepdims=1),
    "ReduceMax": lambda g, x: g.add("ReduceMax", x, axes=[1], keepdims=1),
    "ReduceMean": lambda g, x: g.add("ReduceMean", x, axes=[1], keepdims=1),
    "ReduceSum": summed,
    "ReduceSumSquare": nearest,
    "Relu": of("Relu"),
    "Reshape": halves,
    "Sigmoid": of("Sigmoid"),
    "Sin": of("Sin"),
    "Slice": lambda g, x: g.add("MatMul", g.add("Slice", x, *(whole(g, i) for i in (0, 6, 1, 2))), g.constant(MATRIX[:3])),
    "Softmax": of("Softmax", axis=-1),
    "Split": parts,
    "Sqrt": lambda g, x: summed(g, g.add("Sqrt", g.add("Abs", x))),
    "Squeeze": lambda g, x: summed(g, g.add("Squeeze", g.add("Reshape", x, g.constant([-1, 1, WIDTH], np.int64)), whole(g, 1))),
    "Sub": of("Sub", SQUARE[3]),
    "Tanh": of("Tanh"),
    "TopK": highest,
    "TopK of many": highest_of_many,
    "Transpose": turned,
    "Where": lambda g, x: summed(g, g.add("Where", g.add("Less", x, g.constant(0.0)), g.constant(SQUARE[4]), x)),
    "ai.onnx.ml.TreeEnsembleRegressor": trees("BRANCH_LEQ", 0),
    "ai.onnx.ml.TreeEnsembleRegressor <": trees("BRANCH_LT", 0, base_values=[10.0]),
    "ai.onnx.ml.TreeEnsembleRegressor >, average": trees("BRANCH_GT", 0, aggregate_function="AVERAGE"),
}  # fmt: skip


def built(build: Build) -> bytes:
    graph = Graph()
    return graph.finish(build(graph, graph.input("num", WIDTH)))


@needs_gcc
@pytest.mark.parametrize("name", CASES)
def test_it_gives_what_onnxruntime_gives(name: str, tmp_path: Path) -> None:
    model = built(CASES[name])
    assert name.split(maxsplit=1)[0] in audit(model).operators
    source = tmp_path / "graph.c"
    source.write_text(
        "float score(const float *num);\n" + function("score", "const float *num", *translate(model)) + "\n"
    )
    rows = np.random.default_rng(0).normal(size=(64, WIDTH)).astype(np.float32)
    rows[0], rows[1] = 0, -0.0
    expected = open_session(model).run(["score"], {"num": rows})[0][:, 0]
    assert np.ptp(expected) > 0
    assert disagreement(expected, compiled(source, "score")[0]({"num": rows})) < 1e-5


@needs_gcc
def test_missing_values_take_their_own_way_through_trees(tmp_path: Path) -> None:
    for tracks in (0, 1):
        model = built(trees("BRANCH_LEQ", tracks))
        source = tmp_path / f"trees{tracks}.c"
        source.write_text(
            "float score(const float *num);\n"
            + function("score", "const float *num", *translate(model))
            + "\n"
        )
        rows = np.zeros((2, WIDTH), np.float32)
        rows[0, 1] = np.nan
        expected = open_session(model).run(["score"], {"num": rows})[0][:, 0]
        np.testing.assert_array_equal(compiled(source, "score")[0]({"num": rows}), expected)


@needs_gcc
def test_the_nearest_places_are_those_of_double_precision(tmp_path: Path) -> None:
    """Places far from zero and close together: floats alone would choose others."""
    rng = np.random.default_rng(1)
    places = (1_000 + rng.normal(size=(150, WIDTH)) * 1e-2).astype(np.float32)
    rows = (1_000 + rng.normal(size=(64, WIDTH)) * 1e-2).astype(np.float32)

    def build(g: Graph, x: str) -> str:
        double = g.add("Cast", x, to=g.DOUBLE)
        known = g.add("Cast", g.constant(places), to=g.DOUBLE)
        norm = g.add("ReduceSumSquare", known, axes=[1], keepdims=0)
        far = g.add("Gemm", double, known, norm, alpha=-2.0, transB=1)
        _, chosen = g.add_many("TopK", far, g.constant([3], np.int64), outputs=2, axis=1, largest=0)
        return g.add("MatMul", g.add("Cast", chosen, to=1), g.constant([[1.0], [0.01], [0.0001]]))

    model = built(build)
    source = tmp_path / "nearest.c"
    text = (
        "float score(const float *num);\n" + function("score", "const float *num", *translate(model)) + "\n"
    )
    assert "nextafterf" in text
    source.write_text(text)
    expected = open_session(model).run(["score"], {"num": rows})[0][:, 0]
    apart = ((rows[:, None].astype(np.float32) - places) ** 2).sum(axis=2)
    in_floats = np.square(places).sum(axis=1) - 2 * rows @ places.T
    assert (in_floats.argmin(axis=1) != apart.argmin(axis=1)).any()
    assert disagreement(expected, compiled(source, "score")[0]({"num": rows})) < 1e-5


def test_every_operator_that_is_written_is_tried_and_may_be_loaded() -> None:
    tried = {name.split()[0] for name in CASES} | {"ai.onnx.ml.LabelEncoder"}  # whole models hold it
    assert tried == set(OPERATORS)
    assert set(OPERATORS) <= ALLOWED


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (of("Softplus"), "no form for Softplus"),
        (lambda g, x: summed(g, g.add("Mul", g.add("Elu", x), g.add("Selu", x))), "no form for Elu, Selu"),
        (lambda g, x: summed(g, g.add("Cast", g.add("Cast", x, to=6), to=1)), "cannot write Cast"),
        (of("MatMul", np.full((WIDTH, WIDTH), np.inf)), "not finite"),
        (trees("BRANCH_LEQ", 0, aggregate_function="MAX"), "combined by MAX"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_by_name(build: Build, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        translate(built(build))
    assert "Score this model with onnxruntime" in str(refused.value)
