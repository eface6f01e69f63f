"""ONNX operators as C, one function each; what is not in `OPERATORS` cannot be written.

Every value has one row, so its shape is known and rows need no loop. Arithmetic is that of the graph, in its types;
sums may run in another order than onnxruntime's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from stillwatch.export.call import Call
from stillwatch.export.search import write_top
from stillwatch.export.trees import write_trees
from stillwatch.export.values import (
    BOOL,
    DOUBLE,
    FLOAT,
    INT64,
    TEXT,
    Shape,
    Value,
    constant,
    contiguous,
    quoted,
)
from stillwatch.export.writer import Writer

Emit = Callable[[Writer, Call], tuple[Value, ...]]


def _elementwise(
    form: Callable[..., str], w: Writer, call: Call, kind: str | None = None
) -> tuple[Value, ...]:
    inputs = [value for value in call.inputs if value is not None]
    shape = np.broadcast_shapes(*(value.shape for value in inputs))
    return (w.each(shape, kind or inputs[-1].type, inputs, form),)


def _function(name: str, w: Writer, call: Call) -> tuple[Value, ...]:
    """A function of the C library, in the precision of its input."""
    value = call.value(0)
    called = f"{name}f" if value.type == FLOAT else name
    return _elementwise(lambda x: f"{called}({x})", w, call)


def _truth(form: Callable[..., str], w: Writer, call: Call) -> tuple[Value, ...]:
    return _elementwise(form, w, call, BOOL)


def _sigmoid(w: Writer, call: Call) -> tuple[Value, ...]:
    one, exp = ("1.0f", "expf") if call.value(0).type == FLOAT else ("1.0", "exp")
    return _elementwise(lambda x: f"{one} / ({one} + {exp}(-{x}))", w, call)


def _power(w: Writer, call: Call) -> tuple[Value, ...]:
    name = "powf" if call.value(0).type == FLOAT else "pow"
    return _elementwise(lambda a, b: f"{name}({a}, {b})", w, call, call.value(0).type)


def _remainder(w: Writer, call: Call) -> tuple[Value, ...]:
    if call.value(0).type != INT64 or call.attribute("fmod", 0):
        raise call.refused("remainders are written for whole numbers only")
    name = w.helper(
        "remainder_of",
        "static int64_t remainder_of(int64_t a, int64_t b)\n{\n"
        "    const int64_t r = a % b;\n    return r != 0 && (r < 0) != (b < 0) ? r + b : r;\n}",
    )
    return _elementwise(lambda a, b: f"{name}({a}, {b})", w, call)


def _extreme(sign: str, w: Writer, call: Call) -> tuple[Value, ...]:
    def form(*parts: str) -> str:
        found = parts[0]
        for part in parts[1:]:
            found = f"({found} {sign} {part} ? {found} : {part})"
        return found

    return _elementwise(form, w, call)


def _clip(w: Writer, call: Call) -> tuple[Value, ...]:
    low, high = (call.inputs[i] if i < len(call.inputs) else None for i in (1, 2))
    found = call.value(0)
    for bound, sign in ((low, "<"), (high, ">")):
        if bound is not None:
            found = w.each(
                found.shape, found.type, [found, bound], lambda x, b, sign=sign: f"{x} {sign} {b} ? {b} : {x}"
            )
    return (found,)


def _cast(w: Writer, call: Call) -> tuple[Value, ...]:
    kinds = {1: FLOAT, 11: DOUBLE, 7: INT64, 9: BOOL}
    kind, value = kinds.get(call.attribute("to", 0)), call.value(0)
    if kind is None:
        raise call.refused("it casts to a type that this export does not know")
    if kind == value.type:
        return (value,)
    return _elementwise(lambda x: f"{x} != 0" if kind == BOOL else f"({kind}){x}", w, call, kind)


def _where(w: Writer, call: Call) -> tuple[Value, ...]:
    return _elementwise(lambda test, yes, no: f"{test} ? {yes} : {no}", w, call)


def _leaky(w: Writer, call: Call) -> tuple[Value, ...]:
    slope = call.attribute("alpha", 0.01)
    return _elementwise(lambda x: f"{x} < 0 ? {np.float32(slope)}f * {x} : {x}", w, call)


def _same(w: Writer, call: Call) -> tuple[Value, ...]:
    return (call.value(0),)


def _reshape(w: Writer, call: Call) -> tuple[Value, ...]:
    value, wanted = w.placed(call.value(0)), call.numbers("shape", 1) or []
    sizes = [value.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    known = int(np.prod([size for size in sizes if size != -1], dtype=np.int64))
    shape = tuple(value.size // known if size == -1 else size for size in sizes)
    return (replace(_straight(w, value), shape=shape),)


def _squeeze(w: Writer, call: Call) -> tuple[Value, ...]:
    value, axes = w.placed(call.value(0)), call.numbers("axes", 1)
    gone = {
        axis % len(value.shape)
        for axis in (axes if axes is not None else [i for i, size in enumerate(value.shape) if size == 1])
    }
    shape = tuple(size for axis, size in enumerate(value.shape) if axis not in gone)
    return (replace(_straight(w, value), shape=shape),)


def _straight(w: Writer, value: Value) -> Value:
    """The value with its elements in order."""
    if value.steps == contiguous(value.shape):
        return value
    return w.copy(value, value.shape, value.steps, 0)


def _transpose(w: Writer, call: Call) -> tuple[Value, ...]:
    value = w.placed(call.value(0))
    order = call.attribute("perm", list(range(len(value.shape)))[::-1])
    shape, steps = (tuple(each[axis] for axis in order) for each in (value.shape, value.steps))
    return (w.copy(value, shape, steps, 0),)


def _part(w: Writer, value: Value, axis: int, start: int, step: int, size: int) -> Value:
    """Places start, start + step, ... of one axis; no copy where they stand together."""
    shape = (*value.shape[:axis], size, *value.shape[axis + 1 :])
    offset = start * value.steps[axis]
    strides = (*value.steps[:axis], value.steps[axis] * step, *value.steps[axis + 1 :])
    together = step == 1 and all(size == 1 for size in value.shape[:axis])
    if together and value.strides is None and value.array is None:
        return replace(value, shape=shape, code=f"({value.code} + {offset})" if offset else value.code)
    return w.copy(value, shape, strides, offset)


def _split(w: Writer, call: Call) -> tuple[Value, ...]:
    value = w.placed(call.value(0))
    axis, parts = call.axis(0, len(value.shape)), len(call.node.output)
    each = -(-value.shape[axis] // parts)
    even = [min(each, value.shape[axis] - each * i) for i in range(parts)]
    found, start = [], 0
    for size in call.numbers("split", 1) or even:
        found.append(_part(w, value, axis, start, 1, size))
        start += size
    return tuple(found)


def _slice(w: Writer, call: Call) -> tuple[Value, ...]:
    found = w.placed(call.value(0))
    starts, ends = (call.numbers(name, i) or [] for i, name in ((1, "starts"), (2, "ends")))
    axes = call.numbers("axes", 3) or list(range(len(starts)))
    steps = call.numbers("steps", 4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where = axis % len(found.shape)
        places = range(*slice(start, end, step).indices(found.shape[where]))
        found = _part(w, found, where, places.start, places.step, len(places))
    return (found,)


def _concat(w: Writer, call: Call) -> tuple[Value, ...]:
    parts = [w.placed(call.value(i)) for i in range(len(call.inputs))]
    axis = call.axis(0, len(parts[0].shape))
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    whole = w.local(tuple(shape), parts[0].type)
    start = 0
    for part in parts:
        w.fill(whole, part, axis, start)
        start += part.shape[axis]
    return (whole,)


def _gather(w: Writer, call: Call) -> tuple[Value, ...]:
    value, index = w.placed(call.value(0)), w.ready(call.value(1))
    axis = call.axis(0, len(value.shape))
    before, after = value.shape[:axis], value.shape[axis + 1 :]
    out_shape = (*before, *index.shape, *after)
    # Where the index stands along `axis`, and the other axes where they were.
    lead = (*value.steps[:axis], *(0,) * len(index.shape), *value.steps[axis + 1 :])
    spread = (*(0,) * axis, *index.steps, *(0,) * len(after))
    place = replace(index, shape=out_shape, strides=spread)
    there = replace(value, shape=out_shape, strides=lead)
    return (w.pick(out_shape, there, place, value.steps[axis]),)


def _one_hot(w: Writer, call: Call) -> tuple[Value, ...]:
    index, off_on = call.value(0), call.value(2).array
    depth = call.value(1).array
    if off_on is None or depth is None or call.attribute("axis", -1) not in (-1, len(index.shape)):
        raise call.refused("it is written for known values along a last axis of known size")
    width = int(depth.ravel()[0])
    off, on = (Value((), FLOAT, array=np.asarray(each, np.float32)) for each in off_on.ravel())
    shape = (*index.shape, width)
    places = Value((width,), INT64, array=np.arange(width))
    wide = replace(index, shape=(*index.shape, 1), strides=None)
    return (
        w.each(shape, FLOAT, [wide, places, on, off], lambda i, j, yes, no: f"{i} == {j} ? {yes} : {no}"),
    )


def _label_encoder(w: Writer, call: Call) -> tuple[Value, ...]:
    keys, codes = call.attribute("keys_strings"), call.attribute("values_int64s")
    if keys is None or codes is None or call.value(0).type != TEXT:
        raise call.refused("labels are written from text to whole numbers only")
    # In C a text ends at its first zero byte, so a key that holds one is never met.
    pairs = sorted((key, code) for key, code in zip(keys, codes, strict=True) if b"\0" not in key)
    default = call.attribute("default_int64", -1)
    names = w.listed("const char *", [quoted(key.decode()) for key, _ in pairs] or ['""'])
    numbers = w.table(np.array([code for _, code in pairs] or [default], np.int64))
    name = w.helper(
        "code_of",
        "static int64_t code_of(const char *text, const char *const *keys, const int64_t *codes, int count, int64_t other)\n{\n"
        "    int low = 0, high = count;\n"
        "    while (low < high) {\n"
        "        const int middle = low + (high - low) / 2;\n"
        '        const int order = strcmp(text ? text : "", keys[middle]);\n'
        "        if (order == 0)\n            return codes[middle];\n"
        "        if (order < 0)\n            high = middle;\n        else\n            low = middle + 1;\n"
        "    }\n    return other;\n}",
    )
    value = call.value(0)
    return (
        w.each(
            value.shape,
            INT64,
            [value],
            lambda text: f"{name}({text}, {names}, {numbers}, {len(pairs)}, INT64_C({default}))",
        ),
    )


def _gemm(w: Writer, call: Call) -> tuple[Value, ...]:
    if call.attribute("transA", 0):
        raise call.refused("transA is set")
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    third = call.inputs[2] if len(call.inputs) > 2 else None
    turned = bool(call.attribute("transB", 0))
    return (_product(w, call, alpha=alpha, add=third, beta=beta, turned=turned),)


def _matmul(w: Writer, call: Call) -> tuple[Value, ...]:
    return (_product(w, call, alpha=1.0, add=None, beta=1.0, turned=False),)


def _product(w: Writer, call: Call, *, alpha: float, add: Value | None, beta: float, turned: bool) -> Value:
    """One row times a known matrix: the rows of the matrix whose factor is not zero are added up."""
    row, matrix = call.value(0), call.value(1)
    if matrix.array is None or matrix.array.ndim != 2 or row.array is not None or row.size != row.shape[-1]:
        raise call.refused("products are written for one row and a known matrix")
    if not np.isfinite(matrix.array).all():
        raise call.refused("the matrix holds numbers that are not finite")
    kind = row.type
    diagonal = np.diagonal(matrix.array)
    if (
        add is None
        and alpha == 1
        and len(diagonal) > 1
        and np.array_equal(np.diagflat(diagonal), matrix.array)
    ):
        return w.each(row.shape, kind, [row, constant(diagonal.copy())], lambda x, d: f"{x} * {d}")
    length, width = matrix.array.shape[::-1] if turned else matrix.array.shape
    shape = (*row.shape[:-1], width)
    weights = w.turned(matrix.array) if turned else w.table(matrix.array)
    if alpha != 1:
        row = w.each(row.shape, kind, [row, _number(alpha, kind)], lambda x, a: f"{x} * {a}")
    if add is None:
        start = w.each(shape, kind, [_number(0, kind)], lambda zero: zero)
    elif beta == 1:
        start = w.each(shape, kind, [add], lambda x: x)
    else:
        start = w.each(shape, kind, [add, _number(beta, kind)], lambda x, b: f"{x} * {b}")
    if width == 1:
        w.body.append(f"{start.code}[0] += {w.dot(kind, w.kinds[weights])}({row.code}, {weights}, {length});")
    else:
        w.body.append(
            f"{w.dense(kind, w.kinds[weights], length)}({row.code}, {length}, {weights}, {width}, {start.code});"
        )
    return start


def _number(value: float, kind: str) -> Value:
    return Value((), kind, array=np.asarray(value, np.float32 if kind == FLOAT else np.float64))


def _reduced(
    start: str, form: Callable[[str, str], str], after: str, w: Writer, call: Call
) -> tuple[Value, ...]:
    """Fold axes: a start, a step, and what is done with the result."""
    value = call.value(0)
    given = call.numbers("axes", 1)
    axes = [axis % len(value.shape) for axis in (range(len(value.shape)) if given is None else given)]
    single = value.type == FLOAT
    start = start if start in {"INFINITY", "-INFINITY"} else ("0.0f" if single else "0.0")
    magnitude = "fabsf" if single else "fabs"
    found = w.fold(value, axes, start, lambda y, x: form(y, x).replace("ABS", magnitude))
    if after == "mean":
        count = int(np.prod([value.shape[axis] for axis in axes], dtype=np.int64))
        found = w.each(
            found.shape, found.type, [found, _number(count, found.type)], lambda x, n: f"{x} / {n}"
        )
    if after == "root":
        found = w.each(found.shape, found.type, [found], lambda x: f"{'sqrtf' if single else 'sqrt'}({x})")
    if not call.attribute("keepdims", 1):
        shape: Shape = tuple(size for axis, size in enumerate(value.shape) if axis not in axes)
        found = replace(found, shape=shape)
    return (found,)


def _softmax(w: Writer, call: Call) -> tuple[Value, ...]:
    value = call.value(0)
    axis, exp = call.axis(-1, len(value.shape)), "expf" if value.type == FLOAT else "exp"
    top = w.fold(value, [axis], "-INFINITY", lambda y, x: f"{x} > {y} ? {x} : {y}")
    raised = w.each(value.shape, value.type, [value, top], lambda x, t: f"{exp}({x} - {t})")
    total = w.fold(raised, [axis], "0", lambda y, x: f"{y} + {x}")
    return (w.each(value.shape, value.type, [raised, total], lambda x, t: f"{x} / {t}"),)


def _trees(w: Writer, call: Call) -> tuple[Value, ...]:
    return (write_trees(w, call.node, w.placed(call.value(0)), call.refused),)


OPERATORS: dict[str, Emit] = {
    "Abs": partial(_function, "fabs"),
    "Add": partial(_elementwise, lambda a, b: f"{a} + {b}"),
    "Asinh": partial(_function, "asinh"),
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Cos": partial(_function, "cos"),
    "Div": partial(_elementwise, lambda a, b: f"{a} / {b}"),
    "Equal": partial(_truth, lambda a, b: f"{a} == {b}"),
    "Erf": partial(_function, "erf"),
    "Exp": partial(_function, "exp"),
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": _same,
    "IsNaN": partial(_truth, lambda x: f"{x} != {x}"),
    "LeakyRelu": _leaky,
    "Less": partial(_truth, lambda a, b: f"{a} < {b}"),
    "Log": partial(_function, "log"),
    "MatMul": _matmul,
    "Max": partial(_extreme, ">"),
    "Min": partial(_extreme, "<"),
    "Mod": _remainder,
    "Mul": partial(_elementwise, lambda a, b: f"{a} * {b}"),
    "Neg": partial(_elementwise, lambda x: f"-{x}"),
    "Not": partial(_truth, lambda x: f"!{x}"),
    "OneHot": _one_hot,
    "Pow": _power,
    "ReduceL1": partial(_reduced, "0", lambda y, x: f"{y} + ABS({x})", ""),
    "ReduceL2": partial(_reduced, "0", lambda y, x: f"{y} + {x} * {x}", "root"),
    "ReduceMax": partial(_reduced, "-INFINITY", lambda y, x: f"{x} > {y} ? {x} : {y}", ""),
    "ReduceMean": partial(_reduced, "0", lambda y, x: f"{y} + {x}", "mean"),
    "ReduceSum": partial(_reduced, "0", lambda y, x: f"{y} + {x}", ""),
    "ReduceSumSquare": partial(_reduced, "0", lambda y, x: f"{y} + {x} * {x}", ""),
    "Relu": partial(_elementwise, lambda x: f"{x} > 0 ? {x} : 0"),
    "Reshape": _reshape,
    "Sigmoid": _sigmoid,
    "Sin": partial(_function, "sin"),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": partial(_function, "sqrt"),
    "Squeeze": _squeeze,
    "Sub": partial(_elementwise, lambda a, b: f"{a} - {b}"),
    "Tanh": partial(_function, "tanh"),
    "TopK": write_top,
    "Transpose": _transpose,
    "Where": _where,
    "ai.onnx.ml.LabelEncoder": _label_encoder,
    "ai.onnx.ml.TreeEnsembleRegressor": _trees,
}
"""Operator -> what writes it. Networks of images and sequences (convolutions, pooling, normalisation) are left to onnxruntime."""
