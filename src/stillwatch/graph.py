"""A small writer of ONNX graphs, so that features and students put their own nodes down by hand.

The operators written here are the allow-list of `stillwatch.artifact.audit`: what we write is all that we load.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike, NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
ML_OPSET = 3
_IR_VERSION = 8
_WORTH_HALVING = 64  # elements that save more than a node costs
_INPUT_TYPES = {
    "num": TensorProto.FLOAT,
    "num64": TensorProto.DOUBLE,
    "txt": TensorProto.STRING,
    "time": TensorProto.INT64,
}


def rounded(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest values that a float16 can hold; the array itself where one is too large for it."""
    half = _half(array)
    return half.astype(np.float32) if np.isfinite(half).all() else array


def _half(array: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        return array.astype(np.float16)


class Graph:
    """An ONNX graph under construction: each call adds one node and returns the name of its output."""

    FLOAT, DOUBLE = int(TensorProto.FLOAT), int(TensorProto.DOUBLE)

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, columns: int) -> str:
        """Declare the input `name` of shape [n, columns]: num (float32), num64 (float64), txt (string), time (int64)."""
        self._inputs.append(helper.make_tensor_value_info(name, _INPUT_TYPES[name], ["n", columns]))
        return name

    def constant(self, value: ArrayLike, dtype: DTypeLike = np.float32) -> str:
        """Store an array and return its name. One of float32 whose values are all float16 is stored as such, and cast."""
        array = np.asarray(value, dtype=dtype)
        name = self._fresh("c")
        if array.dtype == np.float32 and array.size >= _WORTH_HALVING:
            half = _half(array)
            if np.array_equal(array, half):
                self._constants.append(numpy_helper.from_array(half, name))
                return self.add("Cast", name, to=self.FLOAT)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        return self.add_many(op, *inputs, outputs=1, domain=domain, **attributes)[0]

    def add_many(
        self, op: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node with several outputs."""
        names = tuple(self._fresh(op.lower()) for _ in range(outputs))
        self._nodes.append(helper.make_node(op, list(inputs), list(names), domain=domain, **attributes))
        return names

    def finish(self, score: str) -> bytes:
        """Name the output `score` (float32 [n, 1]) and return the model's bytes."""
        self._nodes.append(helper.make_node("Identity", [score], ["score"]))
        graph = helper.make_graph(
            self._nodes,
            "stillwatch",
            self._inputs,
            [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == "ai.onnx.ml" for node in self._nodes):
            opsets.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="stillwatch"
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"
