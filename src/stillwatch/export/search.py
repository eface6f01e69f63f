"""The highest or lowest values of a row in C, and the nearest of many points without all distances in double precision."""

from __future__ import annotations

import numpy as np

from stillwatch.export.call import Call
from stillwatch.export.values import DOUBLE, FLOAT, INT64, Value
from stillwatch.export.writer import Writer

_BLOCK = 64  # values that are looked at together, most of which hold nothing of interest
_LANES = 32  # columns in which the best of many are sought
_MANY = 128  # values that pay for a bound


def is_search(product: Call) -> bool:
    """Whether a product is of a row in double precision with a known matrix of floats: what `_nearest` takes."""
    row, matrix, add = (*product.inputs, None)[:3]
    return (
        row is not None
        and matrix is not None
        and add is not None
        and row.array is None
        and row.type == DOUBLE
        and not product.attribute("transA", 0)
        and matrix.array is not None
        and bool((matrix.array.astype(np.float32) == matrix.array).all())
        and add.array is not None
        and add.size == matrix.shape[0 if product.attribute("transB", 0) else 1]
    )


def _nearest(w: Writer, call: Call, product: Call) -> tuple[Value, ...]:
    """Places of the lowest results of a product: sought in floats, decided in doubles among those that rounding leaves open."""
    row, matrix, add = (product.value(i) for i in range(3))
    assert matrix.array is not None  # noqa: S101 - see `is_search`
    assert add.array is not None  # noqa: S101
    alpha, beta = product.attribute("alpha", 1.0), product.attribute("beta", 1.0)
    known = matrix.array.T if product.attribute("transB", 0) else matrix.array
    weights = w.turned(matrix.array) if product.attribute("transB", 0) else w.table(matrix.array)
    length, width = known.shape
    count = (call.numbers("k", 1) or [1])[0]
    # At most so far are sums of floats from the truth: half an ulp for each rounding, twice to be safe.
    rounding = (length + 4) * 2.0**-23
    constant_part = rounding * float(np.abs(beta * add.array).max())
    row_part = rounding * abs(alpha) * float(np.sqrt(np.square(known.astype(np.float64)).sum(axis=0)).max())
    added = w.table((beta * add.array).astype(np.float64).ravel())
    places = w.local((*row.shape[:-1], count), INT64)
    far, narrow = w.local((width,), FLOAT), w.local((length,), FLOAT)
    best = w.local((count,), DOUBLE)
    dense, bound, insert = (
        w.dense(FLOAT, FLOAT, length),
        _bound(w, "<", FLOAT, count),
        _insert(w, "<", DOUBLE),
    )
    w.body += [
        "{",
        "    double size = 0;",
        f"    for (int i = 0; i < {length}; i++) {{",
        f"        {narrow.code}[i] = (float)({alpha!r} * {row.code}[i]);",
        f"        size += {row.code}[i] * {row.code}[i];",
        "    }",
        f"    for (int i = 0; i < {width}; i++)",
        f"        {far.code}[i] = (float){added}[i];",
        f"    {dense}({narrow.code}, {length}, {weights}, {width}, {far.code});",
        f"    const double off = {constant_part!r} + {row_part!r} * sqrt(size);",
        f"    const float open = nextafterf((float)((double){bound}({far.code}, {width}) + 2 * off), INFINITY);",
        f"    for (int start = 0, held = 0; start < {width}; start += {_BLOCK}) {{",
        f"        const int end = start + {_BLOCK} < {width} ? start + {_BLOCK} : {width};",
        "        int any = 0;",
        "        for (int i = start; i < end; i++)",
        f"            any |= {far.code}[i] <= open;",
        "        for (int i = start; any && i < end; i++) {",
        f"            if ({far.code}[i] > open)",
        "                continue;",
        "            double sum = 0;",
        f"            for (int j = 0; j < {length}; j++)",
        f"                sum += {row.code}[j] * (double){weights}[j * {width} + i];",
        f"            held = {insert}((double){added}[i] + {alpha!r} * sum, i, held, {count}, {best.code}, {places.code});",
        "        }",
        "    }",
        "}",
    ]
    return best, places


def _bound(w: Writer, sign: str, kind: str, count: int) -> str:
    """A function that gives a number which at least `count` values reach, and hardly more than that."""
    high = sign == ">"
    lanes, name = max(_LANES, count), f"bound_of_{count}_{'highest' if high else 'lowest'}_{kind}"
    w.stack += (4 if kind == FLOAT else 8) * (lanes + count) + 8 * count
    first, furthest = _first(w, sign, kind), "-INFINITY" if high else "INFINITY"
    return w.helper(
        name,
        f"""/* the best of every {lanes}th value are few, and the best of them good */
static {kind} {name}(const {kind} *x, int n)
{{
    {kind} lane[{lanes}], best[{count}];
    int64_t at[{count}];
    int i = 0;
    for (int j = 0; j < {lanes}; j++)
        lane[j] = {furthest};
    for (; i + {lanes} <= n; i += {lanes})
        for (int j = 0; j < {lanes}; j++)
            lane[j] = x[i + j] {sign} lane[j] ? x[i + j] : lane[j];
    for (int j = 0; i + j < n; j++)
        lane[j] = x[i + j] {sign} lane[j] ? x[i + j] : lane[j];
    {first}(lane, {lanes}, {count}, best, at);
    return best[{count - 1}];
}}""",
    )


def _insert(w: Writer, sign: str, kind: str) -> str:
    """A function that puts a value where it belongs among the best so far, earlier ones before equals."""
    name = f"insert_{'high' if sign == '>' else 'low'}_{kind}"
    return w.helper(
        name,
        f"static int {name}({kind} x, int i, int held, int k, {kind} *best, int64_t *at)\n{{\n"
        f"    if (held == k && !(x {sign} best[k - 1]))\n        return held;\n"
        "    int j = held < k ? held++ : k - 1;\n"
        f"    for (; j > 0 && x {sign} best[j - 1]; j--) {{\n"
        "        best[j] = best[j - 1];\n        at[j] = at[j - 1];\n    }\n"
        "    best[j] = x;\n    at[j] = i;\n    return held;\n}",
    )


def _first(w: Writer, sign: str, kind: str) -> str:
    """A function that finds the first few in order."""
    insert, name = _insert(w, sign, kind), f"first_{'high' if sign == '>' else 'low'}_{kind}"
    return w.helper(
        name,
        f"static void {name}(const {kind} *x, int n, int k, {kind} *best, int64_t *at)\n{{\n"
        "    for (int held = 0, i = 0; i < n; i++)\n"
        f"        held = {insert}(x[i], i, held, k, best, at);\n}}",
    )


def _first_of_many(w: Writer, sign: str, kind: str, count: int) -> str:
    """The same for many, most of which are passed over a block at a time."""
    insert, bound = _insert(w, sign, kind), _bound(w, sign, kind, count)
    name = f"first_{count}_{'high' if sign == '>' else 'low'}_{kind}"
    return w.helper(
        name,
        f"""static void {name}(const {kind} *x, int n, {kind} *best, int64_t *at)
{{
    const {kind} least = {bound}(x, n);
    int held = 0;
    for (int start = 0; start < n; start += {_BLOCK}) {{
        const int end = start + {_BLOCK} < n ? start + {_BLOCK} : n;
        int any = 0;
        for (int i = start; i < end; i++)
            any |= x[i] {sign}= least;
        for (int i = start; any && i < end; i++)
            if (x[i] {sign}= least)
                held = {insert}(x[i], i, held, {count}, best, at);
    }}
    for (; held < {count}; held++) {{ /* only where numbers are none */
        best[held] = x[held];
        at[held] = held;
    }}
}}""",
    )


def write_top(w: Writer, call: Call) -> tuple[Value, ...]:
    """The highest or lowest of the last axis, and where they stand."""
    if call.before is not None:
        return _nearest(w, call, call.before)
    value, count = w.placed(call.value(0)), call.numbers("k", 1)
    last = len(value.shape) - 1
    if count is None or call.axis(-1, last + 1) != last or value.size != value.shape[last]:
        raise call.refused("the highest or lowest are written for the last axis only")
    sign = ">" if call.attribute("largest", 1) else "<"
    found, places = (w.local((*value.shape[:-1], count[0]), kind) for kind in (value.type, INT64))
    if value.size < _MANY:
        name = _first(w, sign, value.type)
        w.body.append(f"{name}({value.code}, {value.size}, {count[0]}, {found.code}, {places.code});")
    else:
        name = _first_of_many(w, sign, value.type, count[0])
        w.body.append(f"{name}({value.code}, {value.size}, {found.code}, {places.code});")
    return found, places
