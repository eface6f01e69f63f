"""Graphs of standard operators only that would still run out of memory, mix rows, or read past their end."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import NodeProto, TensorProto

from stillwatch.artifact.audit import OPERATORS, audit
from stillwatch.artifact.shapes import MOST_ELEMENTS, ROWS, RULES, check_shapes
from stillwatch.errors import AuditError

from . import graphs
from .graphs import model, node, tensor, value


def ints(name: str, *numbers: int) -> TensorProto:
    return tensor(name, list(numbers), np.int64)


ROW = [node("ReduceL1", ["x"], ["score"], axes=[1], keepdims=1)]
ZERO = [tensor("zero", 0.0), tensor("w3", np.ones((3, 3))), ints("one", 1), ints("i3", 0, 1, 2)]


def refused(nodes: list[NodeProto], message: str, *tensors: TensorProto) -> None:
    data = model(nodes, [*ZERO, *tensors]).SerializeToString()
    with pytest.raises(AuditError, match=message):
        audit(data)


def test_every_allowed_operator_has_a_rule() -> None:
    assert {name.removeprefix("ai.onnx.ml.") for name in OPERATORS} == set(RULES)


def test_doubling_is_refused() -> None:
    chain = [node("Concat", ["num", "num"], ["d0"], axis=1)]
    chain += [node("Concat", [f"d{i}", f"d{i}"], [f"d{i + 1}"], axis=1) for i in range(40)]
    refused(chain, r"1,572,864 elements a row")


def test_an_outer_product_is_refused() -> None:
    column, row = tensor("a", np.zeros((2000, 1))), tensor("b", np.zeros((1, 2000)))
    for operator in ("Add", "MatMul"):
        refused([node(operator, ["a", "b"], ["x"]), *ROW], "4,000,000 elements|do not fit", column, row)


def test_work_on_constants_is_bounded() -> None:
    """onnxruntime folds constants while it loads."""
    square = tensor("square", np.zeros((1000, 1000)))
    refused([node("MatMul", ["square", "square"], ["x"])], "do not fit", square)
    refused([node("Max", ["square"] * 300, ["x"])], "steps a row", square)


def test_a_gather_that_multiplies_is_refused() -> None:
    picks = tensor("picks", np.zeros((1200, 1200)), np.int64)
    refused([node("Gather", ["num", "picks"], ["x"], axis=1), *ROW], r"1,440,000 elements a row", picks)


@pytest.mark.parametrize("index", [-1, 3, 1 << 40])
def test_an_index_past_the_end_is_refused(index: int) -> None:
    refused([node("Gather", ["num", "i"], ["x"], axis=1), *ROW], "an index lies outside", ints("i", 0, index))


def test_indices_that_are_computed_are_refused() -> None:
    nodes = [node("Cast", ["num"], ["i"], to=7), node("Gather", ["w3", "i"], ["x"], axis=0)]
    refused(nodes, "indices must be stored")


@pytest.mark.parametrize("count", [[0], [4], [-1], [1, 1], []])
def test_more_of_the_largest_than_there_are_is_refused(count: list[int]) -> None:
    refused([node("TopK", ["num", "k"], ["v", "x"]), *ROW], "stored integer from 1 to 3", ints("k", *count))


def test_the_largest_of_all_rows_are_refused() -> None:
    refused([node("TopK", ["num", "one"], ["v", "x"], axis=0), *ROW], "only the last axis")


def test_positions_of_the_largest_may_pick_from_as_many_and_from_no_fewer() -> None:
    found = [node("TopK", ["num", "one"], ["v", "i"])]
    refused(
        [*found, node("Gather", ["w", "i"], ["x"], axis=0), *ROW],
        "an index lies outside the 2",
        tensor("w", np.zeros((2, 3))),
    )
    picked = [*found, node("Gather", ["w3", "i"], ["picked"], axis=0)]
    shapes = check_shapes({"num": 3}, ZERO, picked)
    assert shapes["picked"] == (ROWS, 1, 3)


@pytest.mark.parametrize("divisor", [[0], [5, 0], [-1], []])
def test_a_modulo_that_may_end_the_process_is_refused(divisor: list[int]) -> None:
    nodes = [node("Cast", ["num"], ["i"], to=7), node("Mod", ["i", "d"], ["x"]), *ROW]
    refused(nodes, "stored positive integers", ints("d", *divisor))


LEAST, MINUS = -(2**63), -1


@pytest.mark.parametrize(
    "steps",
    [
        [node("Div", ["least", "minus"], ["x"])],
        [node("Cast", ["num"], ["i"], to=7), node("Div", ["least", "i"], ["x"])],
        [node("Cast", ["num"], ["i"], to=6), node("Div", ["i", "i"], ["x"])],
        [node("Cast", ["num"], ["i"], to=7), node("Identity", ["i"], ["j"]), node("Div", ["i", "j"], ["x"])],
        [node("Cast", ["num"], ["i"], to=7), node("OneHot", ["i", "one", "pair"], ["h"]),
         node("Div", ["least", "h"], ["x"])],
        [node("IsNaN", ["num"], ["b"]), node("Where", ["b", "least", "minus"], ["w"]),
         node("Div", ["least", "w"], ["x"])],
    ],
)  # fmt: skip
def test_whole_numbers_are_not_divided(steps: list[NodeProto]) -> None:
    """INT64_MIN / -1 is a signal that ends the process, not an error."""
    refused(
        [*steps, *ROW],
        "only floats may be divided",
        ints("least", LEAST),
        ints("minus", MINUS),
        ints("pair", 1, -1),
    )


def test_a_modulo_of_floats_or_by_what_is_computed_is_refused() -> None:
    refused([node("Mod", ["num", "zero"], ["x"]), *ROW], "stored integers")
    refused([node("Cast", ["num"], ["i"], to=7), node("Mod", ["i", "i"], ["x"]), *ROW], "stored integers")
    nodes = [node("Cast", ["num"], ["i"], to=7), node("Mod", ["i", "one"], ["x"], fmod=1), *ROW]
    refused(nodes, "fmod 0")


@pytest.mark.parametrize("depth", [1 << 40, 0, -5])
def test_a_deep_one_hot_is_refused(depth: int) -> None:
    nodes = [node("Cast", ["num"], ["i"], to=7), node("OneHot", ["i", "depth", "two"], ["x"])]
    refused(nodes, "audit shape: OneHot", ints("depth", depth), tensor("two", [0, 1]))


def test_a_depth_that_is_computed_is_refused() -> None:
    nodes = [
        node("Mul", ["big", "big"], ["depth"]),
        node("Cast", ["num"], ["i"], to=7),
        node("OneHot", ["i", "depth", "two"], ["x"]),
    ]
    refused(nodes, "depth must be stored", ints("big", 1 << 20), tensor("two", [0, 1]))


def test_much_work_in_many_small_steps_is_refused() -> None:
    chain = [node("Gemm", ["num", "wide"], ["h0"])]
    chain += [node("Gemm", [f"h{i}", "square"], [f"h{i + 1}"]) for i in range(200)]
    refused(chain, r"more than 134,217,728 steps a row", tensor("wide", np.zeros((3, 1000))),
            tensor("square", np.zeros((1000, 1000))))  # fmt: skip


@pytest.mark.parametrize(
    "step",
    [
        node("ReduceSum", ["num", "axis0"], ["x"]),
        node("ReduceSum", ["num"], ["x"]),
        node("ReduceL1", ["num"], ["x"], axes=[0, 1]),
        node("ReduceL1", ["num"], ["x"], axes=[-2]),
        node("Concat", ["num", "num"], ["x"], axis=0),
        node("Split", ["num"], ["x"], axis=0),
        node("Gather", ["num", "i3"], ["x"], axis=0),
        node("Gather", ["w3", "flat"], ["x"], axis=1),
        node("Gemm", ["num", "num"], ["x"], transA=1),
        node("Gemm", ["num", "w3"], ["x"], transA=1),
        node("Gemm", ["num", "num"], ["x"], transB=1),
        node("MatMul", ["w3", "num"], ["x"]),
        node("Reshape", ["num", "one"], ["x"]),
        node("Reshape", ["num", "minus"], ["x"]),
        node("Add", ["flat", "num"], ["x"]),
        node("Squeeze", ["num", "axis0"], ["x"]),
        node("Add", ["flat", "upright"], ["x"]),
    ],
    ids=lambda step: step.op_type,
)
def test_what_mixes_rows_is_refused(step: NodeProto) -> None:
    """Or a score would depend on the rows that are scored with it."""
    flat = node("ReduceL1", ["num"], ["flat"], axes=[1], keepdims=0)
    upright = node("ReduceL1", ["num"], ["upright"], axes=[1], keepdims=1)
    refused([flat, upright, step, *ROW], "audit shape", ints("axis0", 0), ints("minus", -1))


def test_the_refusal_says_how_rows_are_mixed() -> None:
    flat = node("ReduceL1", ["num"], ["flat"], axes=[1], keepdims=0)
    upright = node("ReduceL1", ["num"], ["upright"], axes=[1], keepdims=1)
    refused([flat, upright, node("Add", ["flat", "upright"], ["x"])], "rows must come first")
    refused([node("Gather", ["num", "i3"], ["x"], axis=0)], "rows are picked")
    refused([node("ReduceL1", ["num"], ["x"], axes=[0])], "rows are summed")
    refused([node("Concat", ["num", "num"], ["x"], axis=0)], "rows are joined")


@pytest.mark.parametrize(
    "step",
    [
        node("Add", ["num", "w2"], ["x"]),
        node("Clip", ["num", "w2"], ["x"]),
        node("Concat", ["num", "w2"], ["x"], axis=1),
        node("Concat", ["num"], ["x"], axis=5),
        node("Split", ["num"], ["x", "y"], axis=1),
        node("Split", ["num", "bad"], ["x", "y"], axis=1),
        node("Gemm", ["num", "w2"], ["x"]),
        node("Gemm", ["num", "w3", "w2"], ["x"]),
        node("Squeeze", ["num", "one"], ["x"]),
        node("Squeeze", ["num"], ["x"]),
        node("Squeeze", ["num", "zero"], ["x"]),
        node("Reshape", ["num", "bad"], ["x"]),
        node("Relu", ["num", "num"], ["x"]),
        node("Relu", ["num"], ["x", "y"]),
        node("Add", ["num", ""], ["x"]),
        node("Add", ["num"], ["x"]),
        node("ReduceL1", ["num"], ["x"], axes=[7]),
        node("Concat", ["num"], ["x"], axis=1.5),
    ],
    ids=lambda step: step.op_type,
)
def test_what_does_not_fit_is_refused(step: NodeProto) -> None:
    refused([step, *ROW], "audit shape", tensor("w2", np.zeros((2, 2))), ints("bad", -1, 4))


def test_a_score_that_is_the_same_for_all_rows_or_more_than_one_is_refused() -> None:
    refused([node("Identity", ["const"], ["score"])], "found '\\(1, 1\\)'", tensor("const", [[1.0]]))
    refused([node("Relu", ["num"], ["score"])], "found '\\(-1, 3\\)'")


@pytest.mark.parametrize("source", [graphs.simple, graphs.mixed, graphs.times])
@pytest.mark.parametrize("rows", [1, 5])
def test_the_shapes_are_those_that_onnxruntime_computes(source: Any, rows: int) -> None:
    from onnx import ModelProto

    parsed = ModelProto.FromString(source())
    columns = audit(source()).inputs
    shapes = check_shapes(columns, parsed.graph.initializer, parsed.graph.node)
    produced = [name for each in parsed.graph.node for name in each.output]
    kinds = {"absent": TensorProto.BOOL, "first": TensorProto.STRING, "second": TensorProto.STRING}
    kinds |= {"apart": TensorProto.DOUBLE, "first_code": TensorProto.INT64, "second_code": TensorProto.INT64}
    kinds |= {
        "codes": TensorProto.INT64,
        "apart": kinds["apart"] if "num64" in columns else TensorProto.INT64,
    }
    kinds |= {"phase": TensorProto.INT64, "never": TensorProto.BOOL}
    del parsed.graph.output[:]
    parsed.graph.output.extend(
        value(name, kinds.get(name, TensorProto.FLOAT), [None] * len(shapes[name])) for name in produced
    )
    session = ort.InferenceSession(parsed.SerializeToString())
    feed: dict[str, Any] = {
        "num": np.zeros((rows, 3 if source is graphs.simple else 2), np.float32),
        "time": np.zeros((rows, 2), np.int64),
        "num64": np.zeros((rows, 1)),
        "txt": np.full((rows, 2), "a", dtype=object),
    }
    found = session.run(produced, {name: feed[name] for name in columns})
    for name, array in zip(produced, found, strict=True):
        assert array.shape == tuple(rows if size == ROWS else size for size in shapes[name])


def test_the_limit_leaves_room_for_wide_tables() -> None:
    assert MOST_ELEMENTS >= 3_000 * 67  # columns times codes
