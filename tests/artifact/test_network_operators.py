"""The operators that exported networks need: shapes as onnxruntime has them, and no way to mix rows or to run out of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import NodeProto, TensorProto, ValueInfoProto

from stillwatch.artifact.audit import audit
from stillwatch.artifact.shapes import check_shapes
from stillwatch.errors import AuditError

from .graphs import model, node, tensor, value

ROW = node("ReduceL1", ["x"], ["score"], axes=[1], keepdims=1)
IMAGE = node("Reshape", ["num", "image"], ["i"])


def ints(name: str, *numbers: int) -> TensorProto:
    return tensor(name, list(numbers), np.int64)


STORED = [
    ints("image", -1, 2, 6, 6),
    ints("one", 1),
    ints("two", 2),
    ints("zero", 0),
    ints("minus", -1),
    tensor("kernel", np.ones((4, 2, 3, 3))),
    tensor("grouped", np.ones((4, 1, 3, 3))),
    tensor("bias", np.ones(4)),
    tensor("channels", np.ones(2)),
    tensor("columns", np.ones(72)),
    tensor("half", [0.5]),
]


def graph(nodes: list[NodeProto], *tensors: TensorProto, columns: int = 72) -> bytes:
    made = model(nodes, [*STORED, *tensors], [value("num", TensorProto.FLOAT, ["n", columns])])
    return bytes(made.SerializeToString())


def refused(message: str, *nodes: NodeProto, tensors: tuple[TensorProto, ...] = ()) -> None:
    with pytest.raises(AuditError, match=message):
        audit(graph([*nodes, ROW], *tensors))


def conv(**changed: Any) -> NodeProto:
    return node("Conv", ["i", changed.pop("w", "kernel"), "bias"], ["x"], **changed)


ACCEPTED: dict[str, list[NodeProto]] = {
    "conv": [IMAGE, conv()],
    "conv with all": [IMAGE, conv(strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2], kernel_shape=[3, 3])],
    "grouped conv": [IMAGE, conv(w="grouped", group=2)],
    "max pool": [IMAGE, node("MaxPool", ["i"], ["x"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])],
    "average pool": [IMAGE, node("AveragePool", ["i"], ["x"], kernel_shape=[2, 2])],
    "global pool": [IMAGE, node("GlobalAveragePool", ["i"], ["x"])],
    "transpose": [IMAGE, node("Transpose", ["i"], ["x"], perm=[0, 3, 1, 2])],
    "slice": [IMAGE, node("Slice", ["i", "one", "minus", "two"], ["x"])],
    "slice with steps": [IMAGE, node("Slice", ["i", "zero", "minus", "two", "two"], ["x"])],
    "batch norm": [IMAGE, node("BatchNormalization", ["i", *["channels"] * 4], ["x"])],
    "layer norm": [node("LayerNormalization", ["num", "columns", "columns"], ["x"], axis=1)],
    "softmax": [IMAGE, node("Softmax", ["i"], ["x"], axis=2)],
    "attention": [IMAGE, node("Transpose", ["i"], ["t"], perm=[0, 1, 3, 2]), node("MatMul", ["i", "t"], ["x"])],
    "power": [node("Pow", ["num", "half"], ["x"])],
    "means": [IMAGE, node("ReduceMean", ["i"], ["x"], axes=[2, 3], keepdims=0)],
    "log sum exp": [IMAGE, node("ReduceLogSumExp", ["i"], ["x"], axes=[3])],
    **{op: [node(op, ["num"], ["x"])] for op in ("Elu", "Erf", "Exp", "LeakyRelu", "Neg", "Selu", "Sigmoid", "Softplus", "Tanh")},
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_shapes_are_those_that_onnxruntime_gives(name: str) -> None:
    nodes = ACCEPTED[name]
    made = model(nodes, STORED, [value("num", TensorProto.FLOAT, ["n", 72])], [ValueInfoProto(name="x")])
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    shapes = check_shapes({"num": 72}, made.graph.initializer, made.graph.node)
    for rows in (1, 5):
        (found,) = session.run(["x"], {"num": np.ones((rows, 72), dtype=np.float32)})
        assert found.shape == (rows, *shapes["x"][1:]), name
        assert shapes["x"][0] == -1


def test_rows_stay_rows() -> None:
    refused("leaves rows first", IMAGE, node("Transpose", ["i"], ["x"], perm=[1, 0, 2, 3]))
    refused("leaves rows first", IMAGE, node("Transpose", ["i"], ["x"]))
    refused("rows are normalised together", node("Softmax", ["num"], ["x"], axis=0))
    refused("rows are normalised together", node("LayerNormalization", ["num", "columns"], ["x"], axis=0))
    refused("rows are summed", node("ReduceMean", ["num"], ["x"], axes=[0]))
    refused("rows are picked", node("Slice", ["num", "zero", "one", "zero"], ["x"]))
    statistics = node("BatchNormalization", ["i", *["channels"] * 4], ["x"], training_mode=1)
    refused("statistics are of the batch", IMAGE, statistics)


def test_matrices_of_rows_meet_row_by_row_only() -> None:
    turn = node("Transpose", ["num"], ["t"], perm=[1, 0])
    refused("leaves rows first", turn, node("MatMul", ["num", "t"], ["x"]))
    other = tensor("other", np.ones((3, 2, 6, 6)))
    refused("do not fit", IMAGE, node("MatMul", ["i", "other"], ["x"]), tensors=(other,))
    refused("do not fit", IMAGE, node("MatMul", ["num", "half"], ["x"]))


def test_windows_are_bounded() -> None:
    refused("pads lie within a window", IMAGE, conv(pads=[1 << 20] * 4))
    refused("start at 1", IMAGE, conv(strides=[0, 1]))
    refused("start at 1", IMAGE, conv(dilations=[0, 1]))
    refused("does not fit", IMAGE, conv(dilations=[9, 1]))
    refused("auto_pad not at all", IMAGE, conv(auto_pad="SAME_UPPER"))
    refused("for each position", IMAGE, conv(strides=[1]))
    refused("do not fit", IMAGE, conv(group=0))
    refused("do not fit", IMAGE, conv(group=2))
    refused("do not fit", IMAGE, conv(kernel_shape=[1, 1]))
    refused("do not fit", IMAGE, conv(w="channels"))
    refused("does not fit", IMAGE, node("MaxPool", ["i"], ["x"], kernel_shape=[7, 7]))
    refused("does not fit", IMAGE, node("MaxPool", ["i"], ["x"]))
    refused("ceil_mode", IMAGE, node("MaxPool", ["i"], ["x"], kernel_shape=[2, 2], ceil_mode=1))
    refused("does not fit", node("MaxPool", ["num"], ["x"], kernel_shape=[2]))


def test_the_work_of_a_convolution_counts() -> None:
    """Reading and writing little, and summing up much."""
    wide = tensor("wide", np.zeros((64, 512, 5, 5)))
    flat, image = ints("flat", -1, 512, 32, 32), node("Reshape", ["num", "flat"], ["i"])
    made = model(
        [image, node("Conv", ["i", "wide"], ["x"]), ROW],
        [wide, flat],
        [value("num", TensorProto.FLOAT, ["n", 512 * 32 * 32])],
    )
    with pytest.raises(AuditError, match=r"steps a row|columns"):
        check_shapes({"num": 512 * 32 * 32}, made.graph.initializer, made.graph.node)


def test_slices_need_stored_bounds() -> None:
    cast = node("Cast", ["half"], ["computed"], to=7)
    refused("must be stored", cast, node("Slice", ["num", "computed", "one", "one"], ["x"]))
    refused("3 inputs", node("Slice", ["num", "zero", "one"], ["x"]))
    refused("steps start at 1", node("Slice", ["num", "minus", "zero", "one", "minus"], ["x"]))


def test_whole_numbers_are_not_raised_to_a_power() -> None:
    cast = node("Cast", ["num"], ["whole"], to=7)
    refused("only floats may be raised", cast, node("Pow", ["whole", "two"], ["x"]))
