"""Students read back from the graph that they wrote, so that training can go on where it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from stillwatch.errors import StudentError
from stillwatch.students.additive import Additive
from stillwatch.students.blend import Blend
from stillwatch.students.dense import Layers
from stillwatch.students.linear import Linear
from stillwatch.students.mlp import MLP
from stillwatch.students.protocol import Student
from stillwatch.students.prototypes import Prototypes
from stillwatch.students.trees import Trees


def student_of(model: bytes, described: dict[str, Any]) -> Student:
    """The student of a graph: one of layers or points goes on from there, one that is solved or grown starts anew.

    Parameters
    ----------
    model
        bytes that passed the audit.
    described
        what `Student.describe` said of it.

    Raises
    ------
    StudentError
        the family is unknown, or the graph holds no such student.
    """
    name = described.get("name")
    if name not in _READERS:
        raise StudentError(f"A student {name!r} cannot be trained on. Distill without start=.")
    try:
        return _READERS[name](_Stored(model), described)
    except (KeyError, IndexError, StopIteration, ValueError) as exc:
        raise StudentError(
            f"The graph holds no student {name!r} as this version writes it ({exc!r})."
        ) from exc


def unfold(
    layers: list[nn.Linear],
    folded: Layers,
    shift: NDArray[np.floating],
    spread: NDArray[np.floating],
    middle: float,
    height: float,
) -> None:
    """Set trainable layers to what `lesson.fold` would turn into `folded`."""
    plain = [(weight.astype(np.float64), bias.astype(np.float64)) for weight, bias in folded]
    weight, bias = plain[-1]
    plain[-1] = (weight / height, (bias - middle) / height)
    weight, bias = plain[0]
    plain[0] = (weight * spread[:, None], bias + shift @ weight)
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, plain, strict=True):
            layer.weight.copy_(torch.from_numpy(weight.T))
            layer.bias.copy_(torch.from_numpy(bias))


class _Stored:
    """The stored arrays of a graph, seen through casts, and its nodes."""

    def __init__(self, model: bytes) -> None:
        graph = onnx.ModelProto.FromString(model).graph
        self.nodes = list(graph.node)
        self._arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.half = any(array.dtype == np.float16 for array in self._arrays.values())
        for node in self.nodes:
            if node.op_type == "Cast" and node.input[0] in self._arrays:
                self._arrays[node.output[0]] = self._arrays[node.input[0]]

    def array(self, name: str) -> NDArray[np.float32]:
        return np.asarray(self._arrays[name], dtype=np.float32)

    def double(self) -> float:
        """The one float64 number that is added to something."""
        (found,) = (
            array
            for array in (self._arrays.get(node.input[1]) for node in self.nodes if node.op_type == "Add")
            if array is not None and array.dtype == np.float64 and not array.ndim
        )
        return float(found)

    def only(self, operator: str) -> onnx.NodeProto:
        (found,) = (node for node in self.nodes if node.op_type == operator)
        return found

    def layers(self) -> Layers:
        """Dense layers, in order: products with a stored matrix and a stored bias."""
        return [
            (self.array(node.input[1]), self.array(node.input[2]))
            for node in self.nodes
            if node.op_type == "Gemm" and not node.attribute
        ]


def _mlp(stored: _Stored, described: dict[str, Any]) -> Student:
    student = MLP(described["hidden"], half=stored.half)
    student.layers, student.warm = stored.layers(), True
    return student


def _prototypes(stored: _Stored, described: dict[str, Any]) -> Prototypes:
    student = Prototypes(
        described["points"], described["nearest"], tuple(described["hidden"]), half=stored.half
    )
    student.axes = stored.array(stored.only("MatMul").input[1])
    measured = next(node for node in stored.nodes if node.op_type == "Gemm" and node.attribute)
    student.places = stored.array(measured.input[1])
    student.blur = stored.double()
    student.layers, student.warm = stored.layers(), True
    return student


def _blend(stored: _Stored, described: dict[str, Any]) -> Student:
    points, layers = _prototypes(stored, described), MLP(described["layers"], half=stored.half)
    both, depth = points.layers, len(points.hidden) + 1
    points.layers, layers.layers = both[:depth], both[depth:]
    layers.warm = True
    return Blend(points, layers, described["share"])


_READERS: dict[str, Callable[[_Stored, dict[str, Any]], Student]] = {
    "mlp": _mlp,
    "prototypes": _prototypes,
    "blend": _blend,
    "trees": lambda stored, described: Trees(leaves=described["leaves"]),
    "additive": lambda stored, described: Additive(
        described["knots"], pairs=described["pairs"], link=described.get("link", False)
    ),
    "linear": lambda stored, described: Linear(),
}
