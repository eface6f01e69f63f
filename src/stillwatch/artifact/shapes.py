"""Follow the shape of every value through a graph: the last gate of the audit.

Standard operators alone do not make a graph harmless: twenty `Concat` nodes that double, one `OneHot` of
depth 2^40 or a `MatMul` that meets itself allocate terabytes. So every shape is computed before anything
runs. A shape is a tuple of sizes; `ROWS` stands for the number of rows and may only come first. Since no
rule lets an operator mix, drop or repeat rows, what passes also scores each row by itself: a score never
depends on the batch that it stands in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import AttributeProto, NodeProto, TensorProto

from stillwatch.artifact.quote import quote
from stillwatch.artifact.trees import check_trees
from stillwatch.errors import AuditError

Shape = tuple[int, ...]

INPUTS: dict[str, int] = {
    "num": TensorProto.FLOAT,
    "num64": TensorProto.DOUBLE,
    "txt": TensorProto.STRING,
    "time": TensorProto.INT64,
}
"""The inputs that a graph may have, and their element types."""

ROWS = -1
_NEVER = 1 << 30  # position of an input that no node has: such integers are attributes in every opset
MOST_ELEMENTS = 1 << 20
"""Elements of one computed value, for each row."""
MOST_WORK = 1 << 27
"""Elements read and written, and products summed, by all nodes together, for each row."""


@dataclass(frozen=True)
class Call:
    """One node as its rule sees it: shapes and element types of its inputs, and the integers that steer it.

    `below` holds, for inputs that are computed positions, what they stay below; 0 where nothing is known.
    """

    node: NodeProto
    inputs: tuple[Shape, ...]
    elements: tuple[int, ...]
    constants: tuple[TensorProto | None, ...]
    below: tuple[int, ...]

    def fail(self, problem: str) -> AuditError:
        """Build the error that names this node."""
        return AuditError(f"audit shape: {self.node.op_type} giving {quote(self.node.output[0])}: {problem}")

    def integer(self, name: str, default: int) -> int:
        """Read an integer attribute."""
        found = [attribute for attribute in self.node.attribute if attribute.name == name]
        if found and found[0].type != AttributeProto.INT:
            raise self.fail(f"{name} is no integer")
        return int(found[0].i) if found else default

    def integers(self, name: str, position: int) -> list[int] | None:
        """Read a list of integers that is an attribute or, in later opsets, a constant input."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                return list(attribute.ints)
        if position >= len(self.node.input) or not self.node.input[position]:
            return None
        tensor = self.constants[position]
        if tensor is None or tensor.data_type != TensorProto.INT64:
            raise self.fail(f"{name} must be stored integers")
        return [
            int(i) for i in (np.frombuffer(tensor.raw_data, "<i8") if tensor.raw_data else tensor.int64_data)
        ]

    def axis(self, value: int, rank: int) -> int:
        """Turn a possibly negative axis into a position."""
        axis = value + rank if value < 0 else value
        if not 0 <= axis < rank:
            raise self.fail(f"axis {value} of {rank}")
        return axis


def check_shapes(
    inputs: dict[str, int], tensors: Iterable[TensorProto], nodes: Iterable[NodeProto]
) -> dict[str, Shape]:
    """Compute the shape of every value, by name.

    Parameters
    ----------
    inputs
        Input -> number of columns.
    tensors, nodes
        Of a graph whose operators, tensors and names have been checked.

    Raises
    ------
    AuditError
        Shapes do not fit or are not known beforehand, rows are mixed, or a value is too large.
    """
    shapes: dict[str, Shape] = {name: (ROWS, columns) for name, columns in inputs.items()}
    constants = {tensor.name: tensor for tensor in tensors}
    shapes |= {name: tuple(tensor.dims) for name, tensor in constants.items()}
    shapes[""] = ()  # an optional input that is left out
    elements = INPUTS | {name: tensor.data_type for name, tensor in constants.items()} | {"": 0}
    below: dict[str, int] = {}
    work = 0
    for node in nodes:
        call = Call(
            node,
            tuple(shapes[name] for name in node.input),
            tuple(elements[name] for name in node.input),
            tuple(constants.get(name) for name in node.input),
            tuple(below.get(name, 0) for name in node.input),
        )
        given = _infer(call)
        if len(given) != len(node.output):
            raise call.fail(f"{len(node.output)} outputs, expected {len(given)}")
        elements |= dict.fromkeys(node.output, _element(call))
        if node.op_type == "TopK":
            elements[node.output[1]] = int(TensorProto.INT64)
            below[node.output[1]] = call.inputs[0][-1]
        for name, shape in zip(node.output, given, strict=True):
            if ROWS in shape[1:]:
                raise call.fail("rows must come first")
            if _elements(shape) > MOST_ELEMENTS:
                raise call.fail(f"{_elements(shape):,} elements a row, at most {MOST_ELEMENTS:,} allowed")
            shapes[name] = shape
        work += sum(_elements(shape) for shape in (*call.inputs, *given)) + _products(call, given)
        if work > MOST_WORK:
            raise call.fail(f"the graph needs more than {MOST_WORK:,} steps a row")
    return shapes


def _element(call: Call) -> int:
    """Element type of what a node gives; onnxruntime itself checks that types fit."""
    operator = call.node.op_type
    if operator == "Cast":
        return call.integer("to", 0)
    if operator in {"Equal", "IsNaN", "Less", "Not"}:
        return int(TensorProto.BOOL)
    if operator == "LabelEncoder":
        floats = any(attribute.name == "values_floats" for attribute in call.node.attribute)
        return int(TensorProto.FLOAT if floats else TensorProto.INT64)
    if operator == "TreeEnsembleRegressor":
        return int(TensorProto.FLOAT)
    return call.elements[{"OneHot": 2, "Where": 1}.get(operator, 0)]


def _elements(shape: Shape) -> int:
    """Elements for one row."""
    return abs(prod(shape))


def _products(call: Call, given: tuple[Shape, ...]) -> int:
    """Products that a node sums up for one row, where they are more than what it reads and writes."""
    operator = call.node.op_type
    if operator == "Conv":
        return _elements(given[0]) * _elements(call.inputs[1][1:])
    if operator in {"AveragePool", "MaxPool"}:
        return _elements(given[0]) * prod(call.integers("kernel_shape", _NEVER) or [])
    if operator == "MatMul":
        return _elements(given[0]) * call.inputs[0][-1]
    return 0


def _infer(call: Call) -> tuple[Shape, ...]:
    rule, least, most = RULES[call.node.op_type]
    if not least <= len(call.inputs) <= most or not all(call.node.input[:least]):
        raise call.fail(f"{len(call.inputs)} inputs, expected {least} to {most}")
    return rule(call)


def _same(call: Call) -> tuple[Shape, ...]:
    return (call.inputs[0],)


def _clip(call: Call) -> tuple[Shape, ...]:
    if any(shape for shape in call.inputs[1:]):
        raise call.fail("bounds must be single numbers")
    return (call.inputs[0],)


def _broadcast(call: Call) -> tuple[Shape, ...]:
    rank = max(len(shape) for shape in call.inputs)
    padded = [(1,) * (rank - len(shape)) + shape for shape in call.inputs]
    sizes = []
    for column in zip(*padded, strict=True):
        found = {size for size in column if size != 1}
        if len(found) > 1:
            raise call.fail(f"shapes {quote(call.inputs)} do not fit")
        sizes.append(found.pop() if found else 1)
    return (tuple(sizes),)


def _div(call: Call) -> tuple[Shape, ...]:
    # The least int64 divided by -1 ends the process.
    if not {TensorProto.FLOAT, TensorProto.DOUBLE}.issuperset(call.elements):
        raise call.fail("only floats may be divided")
    return _broadcast(call)


def _mod(call: Call) -> tuple[Shape, ...]:
    divisor = call.integers("divisor", 1)
    if not divisor or min(divisor) < 1 or call.integer("fmod", 0):
        raise call.fail("the divisor must be stored positive integers, and fmod 0")
    return _broadcast(call)


def _concat(call: Call) -> tuple[Shape, ...]:
    first = call.inputs[0]
    axis = call.axis(call.integer("axis", 0), len(first))
    for shape in call.inputs:
        if len(shape) != len(first) or shape[axis] == ROWS or _without(shape, axis) != _without(first, axis):
            raise call.fail(f"shapes {quote(call.inputs)} do not fit, or rows are joined")
    return ((*first[:axis], sum(shape[axis] for shape in call.inputs), *first[axis + 1 :]),)


def _split(call: Call) -> tuple[Shape, ...]:
    shape, parts = call.inputs[0], len(call.node.output)
    axis = call.axis(call.integer("axis", 0), len(shape))
    size = shape[axis]
    sizes = call.integers("split", 1)
    if sizes is None:
        sizes = [size // parts] * parts
    if size == ROWS or sum(sizes) != size or len(sizes) != parts or min(sizes) < 0:
        raise call.fail(f"{size} columns cannot be split into {quote(sizes)}")
    return tuple((*shape[:axis], part, *shape[axis + 1 :]) for part in sizes)


def _gather(call: Call) -> tuple[Shape, ...]:
    data, index = call.inputs
    axis = call.axis(call.integer("axis", 0), len(data))
    if data[axis] == ROWS:
        raise call.fail("rows are picked")
    picked = [0, call.below[1] - 1] if call.below[1] else call.integers("indices", 1)
    if picked and not 0 <= min(picked) <= max(picked) < data[axis]:
        raise call.fail(f"an index lies outside the {data[axis]:,} columns")
    return ((*data[:axis], *index, *data[axis + 1 :]),)


def _top(call: Call) -> tuple[Shape, ...]:
    shape, count = call.inputs[0], call.integers("k", 1)
    if len(shape) < 2 or call.axis(call.integer("axis", -1), len(shape)) != len(shape) - 1:
        raise call.fail("only the last axis may be searched")
    if count is None or len(count) != 1 or not 1 <= count[0] <= shape[-1]:
        raise call.fail(f"k must be one stored integer from 1 to {shape[-1]:,}")
    return ((*shape[:-1], count[0]), (*shape[:-1], count[0]))


def _one_hot(call: Call) -> tuple[Shape, ...]:
    depth, index = call.integers("depth", 1), call.inputs[0]
    if depth is None or len(depth) != 1 or depth[0] < 1 or call.inputs[2] != (2,):
        raise call.fail("depth must be one stored positive integer, and values two")
    axis = call.axis(call.integer("axis", -1), len(index) + 1)
    return ((*index[:axis], depth[0], *index[axis:]),)


def _reshape(call: Call) -> tuple[Shape, ...]:
    wanted, shape = call.integers("shape", 1), call.inputs[0]
    if wanted is None or ROWS not in shape[:1] or wanted[:1] != [-1] or min(wanted[1:], default=1) < 1:
        raise call.fail("expected rows, and the new shape [-1, sizes...]")
    if prod(wanted[1:]) != prod(shape[1:]):
        raise call.fail(f"{quote(shape)} does not fit {quote(wanted)}")
    return ((ROWS, *wanted[1:]),)


def _squeeze(call: Call) -> tuple[Shape, ...]:
    shape = call.inputs[0]
    axes = {call.axis(axis, len(shape)) for axis in call.integers("axes", 1) or []}
    if not axes or any(shape[axis] != 1 for axis in axes):
        raise call.fail(f"axes {sorted(axes)} of {shape} are not of size 1")
    return (tuple(size for axis, size in enumerate(shape) if axis not in axes),)


def _reduce(call: Call) -> tuple[Shape, ...]:
    shape = call.inputs[0]
    axes = {call.axis(axis, len(shape)) for axis in call.integers("axes", 1) or []}
    if not axes or any(shape[axis] == ROWS for axis in axes):
        raise call.fail("rows are summed")
    if call.integer("keepdims", 1):
        return (tuple(1 if axis in axes else size for axis, size in enumerate(shape)),)
    return (tuple(size for axis, size in enumerate(shape) if axis not in axes),)


def _normalise(call: Call) -> tuple[Shape, ...]:
    shape = call.inputs[0]
    if shape[call.axis(call.integer("axis", -1), len(shape))] == ROWS:
        raise call.fail("rows are normalised together")
    return (shape,)


def _layer_norm(call: Call) -> tuple[Shape, ...]:
    shape = call.inputs[0]
    axis = call.axis(call.integer("axis", -1), len(shape))
    if ROWS in shape[axis:] or any(added != shape[axis:] for added in call.inputs[1:]):
        raise call.fail(f"shapes {quote(call.inputs)} do not fit, or rows are normalised together")
    return (shape,)


def _batch_norm(call: Call) -> tuple[Shape, ...]:
    shape = call.inputs[0]
    fits = len(shape) > 1 and shape[0] == ROWS and all(added == shape[1:2] for added in call.inputs[1:])
    if not fits or call.integer("training_mode", 0):
        raise call.fail(f"shapes {quote(call.inputs)} do not fit, or the statistics are of the batch")
    return (shape,)


def _conv(call: Call) -> tuple[Shape, ...]:
    data, weight = call.inputs[:2]
    group = call.integer("group", 1)
    fits = (
        len(data) == len(weight) > 2
        and data[0] == ROWS != weight[0]
        and group > 0
        and data[1] == weight[1] * group
        and weight[0] % group == 0
        and all(added == weight[:1] for added in call.inputs[2:])
    )
    if not fits or call.integers("kernel_shape", _NEVER) not in (None, list(weight[2:])):
        raise call.fail(f"shapes {quote(call.inputs)} do not fit")
    return ((ROWS, weight[0], *_windows(call, data[2:], weight[2:])),)


def _pool(call: Call) -> tuple[Shape, ...]:
    data, kernel = call.inputs[0], call.integers("kernel_shape", _NEVER) or []
    if len(data) < 3 or data[0] != ROWS or len(kernel) != len(data) - 2:
        raise call.fail(f"a window {quote(kernel)} does not fit {quote(data)}")
    if call.integer("ceil_mode", 0) or call.integer("storage_order", 0):
        raise call.fail("ceil_mode and storage_order must be 0")
    return ((*data[:2], *_windows(call, data[2:], tuple(kernel))),)


def _windows(call: Call, sizes: Shape, kernel: Shape) -> Shape:
    """How often a window fits along each position, given strides, pads and dilations."""
    rank = len(sizes)
    strides = call.integers("strides", _NEVER) or [1] * rank
    dilations = call.integers("dilations", _NEVER) or [1] * rank
    pads = call.integers("pads", _NEVER) or [0] * (2 * rank)
    automatic = [a for a in call.node.attribute if a.name == "auto_pad" and a.s != b"NOTSET"]
    if automatic or [len(strides), len(dilations), len(pads)] != [rank, rank, 2 * rank]:
        raise call.fail(
            "strides, pads and dilations must be given for each position, and auto_pad not at all"
        )
    if min(*strides, *dilations, *kernel) < 1 or min(pads) < 0 or max(pads) > max(kernel):
        raise call.fail("strides, dilations and windows start at 1, and pads lie within a window")
    found = []
    for i, size in enumerate(sizes):
        room = size + pads[i] + pads[rank + i] - dilations[i] * (kernel[i] - 1) - 1
        if size < 1 or room < 0:
            raise call.fail(f"a window {quote(kernel)} does not fit {quote(sizes)}")
        found.append(room // strides[i] + 1)
    return tuple(found)


def _global_pool(call: Call) -> tuple[Shape, ...]:
    shape = call.inputs[0]
    if len(shape) < 3 or shape[0] != ROWS:
        raise call.fail(f"expected rows, channels and positions, found {quote(shape)}")
    return ((*shape[:2], *(1 for _ in shape[2:])),)


def _transpose(call: Call) -> tuple[Shape, ...]:
    shape, order = call.inputs[0], call.integers("perm", _NEVER)
    if order is None or sorted(order) != list(range(len(shape))) or (ROWS in shape and order[0] != 0):
        raise call.fail(f"{quote(order)} is no order of {quote(shape)} that leaves rows first")
    return (tuple(shape[i] for i in order),)


def _slice(call: Call) -> tuple[Shape, ...]:
    shape = call.inputs[0]
    given = [call.integers(name, at) for at, name in enumerate(("starts", "ends", "axes", "steps"), start=1)]
    starts, ends, axes, steps = (
        given[0] or [],
        given[1] or [],
        given[2] or [],
        given[3] or [1] * len(given[0] or []),
    )
    if not starts or not len(starts) == len(ends) == len(axes) == len(steps) or min(steps) < 1:
        raise call.fail("starts, ends and axes must be stored, one each, and steps start at 1")
    sizes, cut = list(shape), set()
    for start, end, number, step in zip(starts, ends, axes, steps, strict=True):
        axis = call.axis(number, len(shape))
        if sizes[axis] == ROWS or axis in cut:
            raise call.fail("rows are picked, or an axis is cut twice")
        cut.add(axis)
        sizes[axis] = len(range(*slice(start, end, step).indices(sizes[axis])))
    return (tuple(sizes),)


def _power(call: Call) -> tuple[Shape, ...]:
    if not {TensorProto.FLOAT, TensorProto.DOUBLE}.issuperset(call.elements):
        raise call.fail("only floats may be raised to a power")
    return _broadcast(call)


def _matrix(call: Call) -> tuple[Shape, ...]:
    """Weights on the right, or one matrix for each row on both sides (attention)."""
    left, right = call.inputs
    if len(left) == len(right) == 2:
        return _product(call)
    rows = len(left) > 2 and left[0] == ROWS and left[-1] == right[-2:-1][0] if len(right) > 1 else False
    if not rows or not (len(right) == 2 or right[:-2] == left[:-2]):
        raise call.fail(f"shapes {left} and {right} do not fit")
    return ((*left[:-1], right[-1]),)


def _product(call: Call) -> tuple[Shape, ...]:
    left, right = call.inputs[:2]
    if call.integer("transB", 0):
        right = right[::-1]
    # Weights stand on the right: a product of two stored matrices costs more than reading and writing them.
    fits = len(left) == len(right) == 2 and left[0] == ROWS and left[1] == right[0] != ROWS
    if not fits or call.integer("transA", 0):
        raise call.fail(f"shapes {left} and {right} do not fit")
    shape = (left[0], right[1])
    added = call.inputs[2] if len(call.inputs) > 2 else ()
    if added not in ((), (1,), (shape[1],), (1, 1), (1, shape[1])):
        raise call.fail(f"{added} cannot be added to {shape}")
    return (shape,)


def _forest(call: Call) -> tuple[Shape, ...]:
    shape = call.inputs[0]
    if len(shape) != 2:
        raise call.fail(f"expected a table, found {shape}")
    return ((shape[0], check_trees(call.node, shape[1])),)


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


Rule = Callable[[Call], tuple[Shape, ...]]

_MANY = 10_000

# Operator -> its rule, the fewest and the most inputs.
RULES: dict[str, tuple[Rule, int, int]] = {
    **dict.fromkeys(
        (
            "Abs",
            "Asinh",
            "Cast",
            "Cos",
            "Elu",
            "Erf",
            "Exp",
            "Identity",
            "IsNaN",
            "LabelEncoder",
            "LeakyRelu",
            "Log",
            "Neg",
            "Not",
            "Relu",
            "Selu",
            "Sigmoid",
            "Sin",
            "Softplus",
            "Sqrt",
            "Tanh",
        ),
        (_same, 1, 1),
    ),
    **dict.fromkeys(("Add", "Equal", "Less", "Mul", "PRelu", "Sub"), (_broadcast, 2, 2)),
    **dict.fromkeys(("Max", "Min"), (_broadcast, 1, _MANY)),
    **dict.fromkeys(
        (
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceSum",
            "ReduceSumSquare",
        ),
        (_reduce, 1, 2),
    ),
    **dict.fromkeys(("AveragePool", "MaxPool"), (_pool, 1, 1)),
    **dict.fromkeys(("LogSoftmax", "Softmax"), (_normalise, 1, 1)),
    "BatchNormalization": (_batch_norm, 5, 5),
    "Clip": (_clip, 1, 3),
    "Concat": (_concat, 1, _MANY),
    "Conv": (_conv, 2, 3),
    "Div": (_div, 2, 2),
    "Gather": (_gather, 2, 2),
    "Gemm": (_product, 2, 3),
    "GlobalAveragePool": (_global_pool, 1, 1),
    "LayerNormalization": (_layer_norm, 2, 3),
    "MatMul": (_matrix, 2, 2),
    "Mod": (_mod, 2, 2),
    "OneHot": (_one_hot, 3, 3),
    "Pow": (_power, 2, 2),
    "Reshape": (_reshape, 2, 2),
    "Slice": (_slice, 4, 5),
    "Split": (_split, 1, 2),
    "Squeeze": (_squeeze, 1, 2),
    "TopK": (_top, 2, 2),
    "Transpose": (_transpose, 1, 1),
    "TreeEnsembleRegressor": (_forest, 1, 1),
    "Where": (_broadcast, 3, 3),
}
