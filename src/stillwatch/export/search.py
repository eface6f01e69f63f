"""The highest or lowest values of a row in C, and the nearest of many points without all distances in double precision."""

from __future__ import annotations

import numpy as np

from stillwatch.export.call import Call
from stillwatch.export.values import DOUBLE, FLOAT, INT64, Value
from stillwatch.export.writer import Writer

_BLOCK = 64  # values that are looked at together, most of which hold nothing of interest


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
    dense, bound, insert = w.dense(FLOAT, FLOAT, length), _bound(w, count), _insert(w, "<", DOUBLE)
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


def _bound(w: Writer, count: int) -> str:
    """A function that gives a number which at least `count` values do not exceed, and hardly more than that."""
    lanes, name = max(_BLOCK, count), f"bound_of_{count}_lowest"
    w.stack += 4 * lanes + 12 * count
    first = _first(w, "<", FLOAT)
    return w.helper(
        name,
        f"""/* the lowest of every {lanes}th value are few, and the lowest of them low */
static float {name}(const float *x, int n)
{{
    float least[{lanes}], best[{count}];
    int64_t at[{count}];
    int i = 0;
    for (int j = 0; j < {lanes}; j++)
        least[j] = INFINITY;
    for (; i + {lanes} <= n; i += {lanes})
        for (int j = 0; j < {lanes}; j++)
            least[j] = x[i + j] < least[j] ? x[i + j] : least[j];
    for (int j = 0; i + j < n; j++)
        least[j] = x[i + j] < least[j] ? x[i + j] : least[j];
    {first}(least, {lanes}, {count}, best, at);
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
        f"""static void {name}(const {kind} *x, int n, int k, {kind} *best, int64_t *at)
{{
    int held = 0, i = 0;
    for (; i < k; i++)
        held = {insert}(x[i], i, held, k, best, at);
    for (; i + {_BLOCK} <= n; i += {_BLOCK}) {{
        const {kind} last = best[k - 1];
        int any = 0;
        for (int j = 0; j < {_BLOCK}; j++)
            any |= x[i + j] {sign} last;
        for (int j = 0; any && j < {_BLOCK}; j++)
            held = {insert}(x[i + j], i + j, held, k, best, at);
    }}
    for (; i < n; i++)
        held = {insert}(x[i], i, held, k, best, at);
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
    name = _first(w, sign, value.type)
    w.body.append(f"{name}({value.code}, {value.shape[last]}, {count[0]}, {found.code}, {places.code});")
    return found, places
