"""Audit `model.onnx` before onnxruntime sees it: what we write is all that we load.

Three gates, each cheaper to pass than the next is to attack: the bytes (`wire`), then the parsed graph
against the constants below, then the size of every value (`shapes`). A model that passes computes with
standard operators only, reads nothing but its inputs and its own bytes, ends, and needs memory in
proportion to its rows. Every refusal names the check and the offender.

To allow an operator: enter it in `OPERATORS`, give it a rule in `shapes`, and ask whether any input or
attribute can make it loop, allocate, mix rows, or read past an end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from stillwatch.artifact.quote import quote
from stillwatch.artifact.shapes import INPUTS, ROWS, check_shapes
from stillwatch.artifact.wire import scan
from stillwatch.errors import AuditError

OPSETS: dict[str, range] = {"": range(17, 24), "ai.onnx.ml": range(3, 6)}
"""Operator domains and their versions; "ai.onnx" is another spelling of ""."""

OPERATORS = frozenset(
    {
        "Abs", "Add", "Asinh", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv", "Cos", "Div", "Elu",
        "Equal", "Erf", "Exp", "Gather", "Gemm", "GlobalAveragePool", "Identity", "IsNaN", "LayerNormalization", "LeakyRelu",
        "Less", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool", "Min", "Mod", "Mul", "Neg", "Not", "OneHot", "PRelu", "Pow",
        "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceSum", "ReduceSumSquare", "Relu",
        "Reshape", "Selu", "Sigmoid", "Sin", "Slice", "Softmax", "Softplus", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "TopK",
        "Transpose", "Where",
        "ai.onnx.ml.LabelEncoder", "ai.onnx.ml.TreeEnsembleRegressor",
    }
)  # fmt: skip

OUTPUT = "score"
MOST_COLUMNS = 100_000
MOST_DIMENSIONS = 4

# Bytes of one element, and the typed field that may hold the elements instead of raw_data.
_NUMBERS: dict[int, tuple[int, str]] = {
    TensorProto.FLOAT: (4, "float_data"),
    TensorProto.FLOAT16: (2, "int32_data"),
    TensorProto.DOUBLE: (8, "double_data"),
    TensorProto.INT64: (8, "int64_data"),
    TensorProto.INT32: (4, "int32_data"),
    TensorProto.BOOL: (1, "int32_data"),
}
_DATA_FIELDS = ("raw_data", "float_data", "double_data", "int64_data", "int32_data", "string_data")

_ATTRIBUTES = frozenset(
    {
        AttributeProto.FLOAT,
        AttributeProto.INT,
        AttributeProto.STRING,
        AttributeProto.TENSOR,
        AttributeProto.FLOATS,
        AttributeProto.INTS,
        AttributeProto.STRINGS,
    }
)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What an audited graph holds.

    Parameters
    ----------
    bytes, nodes, tensors, parameters
        Size of the file, number of nodes, of stored tensors, and of elements in the initialisers.
    opset
        Version of the default domain.
    inputs
        Input -> number of columns.
    operators
        Operator -> number of nodes.
    """

    bytes: int
    nodes: int
    tensors: int
    parameters: int
    opset: int
    inputs: dict[str, int]
    operators: dict[str, int]


def audit(model: bytes) -> Summary:
    """Refuse a graph that is not one of ours.

    Parameters
    ----------
    model
        Content of `model.onnx`, untrusted.

    Raises
    ------
    AuditError
        Anything outside the allow-lists and limits of this module and of `wire`.
    """
    counts = scan(model)
    try:
        parsed = ModelProto.FromString(model)
    except DecodeError as exc:
        raise AuditError("audit wire: the file is no ONNX model") from exc
    graph = parsed.graph
    opsets = _check_opsets(parsed)
    for tensor in graph.initializer:
        _check_tensor(tensor)
    for node in graph.node:
        _check_node(node)
    inputs = _check_inputs(graph.input)
    _check_names(inputs, graph.initializer, graph.node)
    _check_output(graph.output)
    shapes = check_shapes(inputs, graph.initializer, graph.node)
    if shapes.get(OUTPUT) != (ROWS, 1):
        raise AuditError(
            f"audit output: {OUTPUT} must be one number a row, found {quote(shapes.get(OUTPUT))}"
        )
    return Summary(
        bytes=len(model),
        nodes=counts["nodes"],
        tensors=counts["tensors"],
        parameters=sum(prod(tensor.dims) for tensor in graph.initializer),
        opset=opsets[""],
        inputs=inputs,
        operators=dict(sorted(Counter(_operator(node) for node in graph.node).items())),
    )


def _check_opsets(model: ModelProto) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in model.opset_import:
        domain = _domain(entry.domain)
        if domain in found:
            raise AuditError(f"audit opset: domain {quote(domain)} is declared twice")
        allowed = OPSETS.get(domain)
        if allowed is None:
            raise AuditError(f"audit domain: {quote(domain)} is none of {sorted(OPSETS)}")
        if entry.version not in allowed:
            raise AuditError(
                f"audit opset: version {entry.version} of {quote(domain)}, "
                f"expected {allowed.start} to {allowed.stop - 1}"
            )
        found[domain] = entry.version
    if "" not in found:
        raise AuditError("audit opset: the default domain is not declared")
    return found


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _operator(node: NodeProto) -> str:
    domain = _domain(node.domain)
    return f"{domain}.{node.op_type}" if domain else node.op_type


def _check_tensor(tensor: TensorProto, *, text: bool = False) -> None:
    """Check that a tensor's bytes are exactly those that its dims and type promise."""
    who = f"tensor {quote(tensor.name)}"
    if len(tensor.dims) > MOST_DIMENSIONS:
        raise AuditError(
            f"audit tensor: {who} has {len(tensor.dims)} dimensions, at most {MOST_DIMENSIONS} allowed"
        )
    if any(size < 0 for size in tensor.dims):
        raise AuditError(f"audit tensor: {who} has a negative dimension")
    expected = prod(tensor.dims)
    filled = [name for name in _DATA_FIELDS if len(getattr(tensor, name))]
    if tensor.data_type == TensorProto.STRING and text:
        width, typed = 1, "string_data"
    elif tensor.data_type in _NUMBERS:
        width, typed = _NUMBERS[tensor.data_type]
        if tensor.raw_data:
            expected, typed = expected * width, "raw_data"
    else:
        raise AuditError(f"audit tensor: {who} has the element type {tensor.data_type}, which is not allowed")
    found = len(getattr(tensor, typed))
    if found != expected or filled not in ([], [typed]):
        raise AuditError(
            f"audit tensor: {who} must fill {typed} alone, with {expected:,}; it fills {found:,} and {filled}"
        )


def _check_node(node: NodeProto) -> None:
    operator = _operator(node)
    who = f"node {quote(node.name or (node.output[0] if node.output else ''))}"
    if _domain(node.domain) not in OPSETS:
        raise AuditError(f"audit domain: {who} is of domain {quote(node.domain)}")
    if operator not in OPERATORS:
        raise AuditError(f"audit operator: {who} is {quote(operator)}, which is not on the list")
    if not node.output:
        raise AuditError(f"audit names: {who} gives nothing")
    names = [attribute.name for attribute in node.attribute]
    if len(set(names)) != len(names):
        raise AuditError(f"audit attribute: {who} has an attribute twice")
    for attribute in node.attribute:
        if attribute.type not in _ATTRIBUTES:
            raise AuditError(
                f"audit attribute: {quote(attribute.name)} of {who} has type {attribute.type}, not allowed"
            )
        if attribute.HasField("t"):
            keys = operator == "ai.onnx.ml.LabelEncoder" and attribute.name == "keys_tensor"
            _check_tensor(attribute.t, text=keys)


def _check_inputs(inputs: Iterable[ValueInfoProto]) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in inputs:
        if value.name not in INPUTS:
            raise AuditError(f"audit input: {quote(value.name)} is none of {', '.join(INPUTS)}")
        if value.name in found:
            raise AuditError(f"audit input: {quote(value.name)} is declared twice")
        columns = _columns(value, INPUTS[value.name], "input")
        if columns > MOST_COLUMNS:
            raise AuditError(
                f"audit input: {value.name} has {columns:,} columns, at most {MOST_COLUMNS:,} allowed"
            )
        found[value.name] = columns
    if not found:
        raise AuditError(f"audit input: the graph has none of {', '.join(INPUTS)}")
    return found


def _check_output(outputs: Iterable[ValueInfoProto]) -> None:
    names = [value.name for value in outputs]
    if names != [OUTPUT]:
        raise AuditError(f"audit output: expected {OUTPUT!r} alone, found {quote(names)}")
    if _columns(next(iter(outputs)), TensorProto.FLOAT, "output") != 1:
        raise AuditError(f"audit output: {OUTPUT} must have the shape [n, 1]")


def _columns(value: ValueInfoProto, element: int, role: str) -> int:
    """Return the width k of a value of shape [n, k], k fixed and n free."""
    tensor = value.type.tensor_type
    if tensor.elem_type != element:
        raise AuditError(
            f"audit {role}: {value.name} has the element type {tensor.elem_type}, expected {element}"
        )
    dims = tensor.shape.dim
    if len(dims) != 2 or dims[0].HasField("dim_value") or dims[1].dim_value < 1:
        raise AuditError(
            f"audit {role}: {value.name} must have the shape [n, columns], n free and columns fixed"
        )
    return int(dims[1].dim_value)


def _check_names(inputs: dict[str, int], tensors: Iterable[TensorProto], nodes: Iterable[NodeProto]) -> None:
    """Check that every name is given once, and before it is used: nodes run in order, without cycles."""
    known = set(inputs)

    def define(name: str, what: str) -> None:
        if not name or name in known:
            raise AuditError(f"audit names: {what} {quote(name)} is empty or stands twice")
        known.add(name)

    for tensor in tensors:
        define(tensor.name, "initialiser")
    for node in nodes:
        for name in node.input:
            if name and name not in known:
                raise AuditError(f"audit names: a node reads {quote(name)}, which nothing before it gives")
        for name in node.output:
            define(name, "node output")
