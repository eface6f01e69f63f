"""Small graphs and folders, good and bad, that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from stillwatch.artifact.manifest import Golden, Manifest
from stillwatch.calibration.conformal import Calibration
from stillwatch.table.pack import Layout
from stillwatch.table.schema import Column, Schema

WEIGHTS = np.array([[1.0], [2.0], [-0.5]], dtype=np.float32)


def value(name: str, kind: int, shape: Sequence[Any]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def tensor(name: str, array: Any, dtype: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array, dtype=dtype), name)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def model(
    nodes: Sequence[NodeProto] | None = None,
    tensors: Sequence[TensorProto] | None = None,
    inputs: Sequence[ValueInfoProto] | None = None,
    outputs: Sequence[ValueInfoProto] | None = None,
    *,
    opsets: Sequence[tuple[str, int]] = (("", 17), ("ai.onnx.ml", 3)),
    **more: Any,
) -> ModelProto:
    """num [n, 3] -> Gemm -> score, with any part replaced."""
    graph = helper.make_graph(
        [node("Gemm", ["num", "w", "b"], ["score"])] if nodes is None else list(nodes),
        "g",
        [value("num", TensorProto.FLOAT, ["n", 3])] if inputs is None else list(inputs),
        [value("score", TensorProto.FLOAT, ["n", 1])] if outputs is None else list(outputs),
        [tensor("w", WEIGHTS), tensor("b", [0.25])] if tensors is None else list(tensors),
    )
    imports = [helper.make_opsetid(*opset) for opset in opsets]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name="test", **more)


def simple() -> bytes:
    return bytes(model().SerializeToString())


def mixed() -> bytes:
    """num, num64 and txt inputs, through the operators that the features use."""
    nodes = [
        node("IsNaN", ["num"], ["absent"]),
        node("Where", ["absent", "zero", "num"], ["filled"]),
        node("Sub", ["num64", "far"], ["apart"]),
        node("Cast", ["apart"], ["near"], to=1),
        node("Split", ["txt"], ["first", "second"], axis=1),
        *[
            node(
                "LabelEncoder",
                [name],
                [f"{name}_code"],
                domain="ai.onnx.ml",
                keys_strings=["a", "b"],
                values_int64s=[0, 1],
                default_int64=2,
            )
            for name in ("first", "second")
        ],
        node("Concat", ["first_code", "second_code"], ["codes"], axis=1),
        node("OneHot", ["codes", "depth", "hot_values"], ["hot"], axis=-1),
        node("Reshape", ["hot", "flat_shape"], ["flat"]),
        node("Gather", ["flat", "used"], ["kept"], axis=1),
        node("Concat", ["filled", "near", "kept"], ["x"], axis=1),
        node("Gemm", ["x", "w", "b"], ["hidden"]),
        node("Relu", ["hidden"], ["active"]),
        node("ReduceL1", ["active"], ["total"], axes=[1], keepdims=1),
        node("Clip", ["total", "one", "big"], ["clipped"]),
        node("Log", ["clipped"], ["score"]),
    ]
    tensors = [
        tensor("zero", 0.0),
        tensor("one", 1.0),
        tensor("big", 1e30),
        tensor("far", [2.0**30], np.float64),
        tensor("depth", 3, np.int64),
        tensor("hot_values", [0.0, 1.0]),
        tensor("flat_shape", [-1, 6], np.int64),
        tensor("used", [0, 1, 2, 3, 5], np.int64),
        tensor("w", np.linspace(-1, 1, 8 * 4).reshape(8, 4)),
        tensor("b", [0.0, 0.1, 0.2, 0.3]),
    ]
    inputs = [
        value("num", TensorProto.FLOAT, ["n", 2]),
        value("num64", TensorProto.DOUBLE, ["n", 1]),
        value("txt", TensorProto.STRING, ["n", 2]),
    ]
    return bytes(model(nodes, tensors, inputs).SerializeToString())


def times() -> bytes:
    """A time input, through the operators that the features use."""
    nodes = [
        node("Reshape", ["time", "upright"], ["apart"]),
        node("Mod", ["apart", "periods"], ["phase"]),
        node("Cast", ["phase"], ["part"], to=1),
        node("Mul", ["part", "scale"], ["angle"]),
        node("Sin", ["angle"], ["sine"]),
        node("Cos", ["angle"], ["cosine"]),
        node("Concat", ["sine", "cosine"], ["circles"], axis=2),
        node("Reshape", ["circles", "flat"], ["x"]),
        node("Equal", ["time", "missing"], ["never"]),
        node("ReduceL1", ["x"], ["score"], axes=[1], keepdims=1),
    ]
    tensors = [
        tensor("upright", [-1, 2, 1], np.int64),
        tensor("periods", [86_400 * 10**6, 7 * 86_400 * 10**6], np.int64),
        tensor("scale", [1e-10, 1e-11]),
        tensor("flat", [-1, 8], np.int64),
        tensor("missing", -(2**63), np.int64),
    ]
    return bytes(model(nodes, tensors, [value("time", TensorProto.INT64, ["n", 2])]).SerializeToString())


def tree(**changed: Any) -> bytes:
    """One tree over num [n, 3]: x[1] <= 0.5 ? 1 : 2."""
    attributes: dict[str, Any] = {
        "n_targets": 1,
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [1, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
    }
    attributes |= changed
    nodes = [node("TreeEnsembleRegressor", ["num"], ["score"], domain="ai.onnx.ml", **attributes)]
    return bytes(model(nodes, []).SerializeToString())


def with_attribute(attribute: AttributeProto) -> bytes:
    changed = model()
    changed.graph.node[0].attribute.append(attribute)
    return bytes(changed.SerializeToString())


def subgraph() -> GraphProto:
    return helper.make_graph([], "inner", [], [])


def manifest(**changed: Any) -> Manifest:
    """The manifest of `simple()`, without `files`."""
    fields: dict[str, Any] = {
        "writer": "0.1.0",
        "schema": Schema(columns=tuple(Column(name=name, kind="number") for name in ("a", "b", "c"))),
        "layout": Layout(num=("a", "b", "c"), num64=(), txt=()),
        "categories": {},
        "calibration": Calibration(scores=(0.0, 1.5), at_least=(4, 1), rows=4, approximate=False),
        "alert_rate": 0.01,
        "teacher": {"name": "knn", "k": 5},
        "knowledge": {},
        "student": {"name": "linear"},
        "fidelity": {"spearman": 0.99},
        "golden": Golden(
            rows=({"a": 1.0, "b": 0.5, "c": -2.0}, {"a": 0.0, "b": 0.0, "c": 0.0}), scores=(3.25, 0.25)
        ),
        "parity": 0.0,
        "opset": 17,
    }
    return Manifest(**(fields | changed))
