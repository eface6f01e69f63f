"""From a graph to the body of a C function: what is known beforehand is computed now, the rest operator by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from stillwatch.artifact.parity import open_session
from stillwatch.errors import InputError
from stillwatch.export.call import Call
from stillwatch.export.operators import OPERATORS
from stillwatch.export.search import is_search
from stillwatch.export.values import DOUBLE, FLOAT, INT64, OF_DTYPE, TEXT, Value, constant
from stillwatch.export.writer import Writer

INPUTS = {"num": FLOAT, "num64": DOUBLE, "txt": TEXT, "time": INT64}


def translate(model: bytes) -> tuple[Writer, Value]:
    """Write an audited graph into a `Writer`; the score is the value's first element.

    Raises
    ------
    InputError
        it holds an operator, or a use of one, that has no C form here.
    """
    parsed = ModelProto.FromString(model)
    graph = parsed.graph
    refused = sorted({_name(node) for node in graph.node} - OPERATORS.keys())
    if refused:
        raise InputError(
            f"The C export has no form for {', '.join(refused)}; it writes those of models of tables. "
            "Score this model with onnxruntime."
        )
    known = _known(parsed)
    values: dict[str, Value] = {
        name: constant(array) for name, array in known.items() if str(array.dtype) in OF_DTYPE
    }
    for entry in graph.input:
        columns = entry.type.tensor_type.shape.dim[1].dim_value
        values[entry.name] = Value((1, columns), INPUTS[entry.name], entry.name)
    nodes = [node for node in graph.node if node.output[0] not in known]
    readers = Counter(name for node in nodes for name in node.input)
    # A product that only feeds a search for its lowest results waits for that search.
    sought = {node.input[0] for node in nodes if _is_search(node, readers)}
    waiting: dict[str, Call] = {}
    w = Writer()
    for node in nodes:
        before = waiting.get(node.input[0])
        call = Call(node, tuple(values.get(name) for name in node.input), before)
        if node.op_type == "Gemm" and node.output[0] in sought and is_search(call):
            waiting[node.output[0]] = call
            continue
        values |= dict(zip(node.output, OPERATORS[_name(node)](w, call), strict=True))
    return w, w.placed(values["score"])


def _is_search(node: NodeProto, readers: Counter[str]) -> bool:
    """Whether a node seeks places of lowest values among values that nobody else reads."""
    lowest = any(each.name == "largest" and each.i == 0 for each in node.attribute)
    return node.op_type == "TopK" and lowest and readers[node.input[0]] == 1 and not readers[node.output[0]]


def _name(node: NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def _known(model: ModelProto) -> dict[str, NDArray[Any]]:
    """All values that no input changes, computed by onnxruntime."""
    graph = model.graph
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    names = set(known)
    fixed: list[NodeProto] = []
    for node in graph.node:
        if node.input and all(name in names or not name for name in node.input):
            fixed.append(node)
            names |= set(node.output)
    made = [name for node in fixed for name in node.output]
    if made:
        part = _model(model, graph, fixed, made)
        results = open_session(part).run(made, {})
        known |= dict(zip(made, (np.asarray(result) for result in results), strict=True))
    return known


def _model(model: ModelProto, graph: GraphProto, nodes: Iterable[NodeProto], outputs: Iterable[str]) -> bytes:
    part = helper.make_graph(
        list(nodes), "known", [], [ValueInfoProto(name=name) for name in outputs], graph.initializer
    )
    return bytes(
        helper.make_model(
            part, opset_imports=model.opset_import, ir_version=model.ir_version
        ).SerializeToString()
    )
