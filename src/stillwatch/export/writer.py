"""C under construction: tables, helper functions, and the statements that make one row's score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillwatch.export.values import DOUBLE, FLOAT, Shape, Value, contiguous, literal, wrapped

_PARTS = 8  # sums that a product of two rows is added up in
_ABREAST = (8, 4, 1)  # rows of a matrix that are added at once, so that sums are read and written more seldom


class Writer:
    """Collects the parts of one C file.

    Attributes
    ----------
    tables, helpers
        declarations outside the function, by their text and by their names, in order.
    body
        statements of the function.
    kinds
        table -> C type of its elements.
    stack
        bytes of the function's own arrays.
    """

    def __init__(self) -> None:
        self.tables: list[str] = []
        self.helpers: dict[str, str] = {}
        self.body: list[str] = []
        self.kinds: dict[str, str] = {}
        self.stack = 0
        self._names: dict[tuple[str, Shape, bytes], str] = {}
        self._turned: dict[tuple[Shape, bytes], str] = {}
        self._longest: dict[str, int] = {}
        self._count = 0

    def local(self, shape: Shape, kind: str) -> Value:
        """A new array of the function."""
        name = self._fresh("v")
        size = max(prod(shape), 1)
        self.body.append(f"{kind} {name}[{size}];")
        self.stack += size * {FLOAT: 4, "unsigned char": 1}.get(kind, 8)
        return Value(shape, kind, name)

    def table(self, array: NDArray[Any]) -> str:
        """Write an array down once and return its name; doubles that are floats take the place of floats."""
        key = (str(array.dtype), tuple(array.shape), array.tobytes())
        if key not in self._names:
            stored = array
            if array.dtype == np.float64 and (array.astype(np.float32) == array).all():
                stored = array.astype(np.float32)
            kind = {"float32": FLOAT, "float64": DOUBLE, "int64": "int64_t", "int32": "int32_t"}.get(
                str(stored.dtype), "unsigned char"
            )
            items = [str(x) if kind == "int32_t" else literal(x, kind) for x in stored.ravel()]
            self._names[key] = self.listed(kind, items)
        return self._names[key]

    def listed(self, kind: str, items: Sequence[str]) -> str:
        """Write down a table of items that are C already."""
        name = self._fresh("t")
        self.kinds[name] = kind
        start = f"{kind}const" if kind.endswith("*") else f"const {kind}"
        self.tables.append(f"static {start} {name}[{len(items)}] = {{\n{wrapped(items)}\n}};")
        return name

    def turned(self, array: NDArray[Any]) -> str:
        """Write down a matrix with its rows and columns exchanged; who reads it later by `placed` finds it."""
        name = self.table(np.ascontiguousarray(array.T))
        self._turned[array.shape, array.tobytes()] = name
        return name

    def placed(self, value: Value) -> Value:
        """The value with an address: a known one is written down, where it was not yet in either form."""
        if value.code or value.array is None:
            return value
        array = value.array
        key = (tuple(array.shape), array.tobytes())
        if array.ndim == 2 and key in self._turned:
            return replace(value, code=self._turned[key], strides=(1, array.shape[0]))
        return replace(value, code=self.table(array))

    def ready(self, value: Value) -> Value:
        """The value so that `element` can read it: a single known number needs no address."""
        return value if value.array is not None and value.size == 1 else self.placed(value)

    def element(self, value: Value, index: str) -> str:
        """C expression of one element; a single known number stands for itself."""
        if value.array is not None and value.size == 1:
            return literal(value.array.ravel()[0], value.type)
        read = f"{value.code}[{index}]"
        return f"(double){read}" if value.array is not None and value.type == DOUBLE else read

    def each(self, shape: Shape, kind: str, inputs: Sequence[Value], form: Callable[..., str]) -> Value:
        """A new array, element by element: `form` joins the expressions of the inputs, which are spread to its shape."""
        placed = [self.ready(value) for value in inputs]
        out = self.local(shape, kind)
        axes, steps = _merged(shape, [contiguous(shape), *(_spread(value, shape) for value in placed)])
        indices = [_index(step) for step in steps]
        expression = form(
            *(self.element(value, index) for value, index in zip(placed, indices[1:], strict=True))
        )
        self._loops(axes, f"{out.code}[{indices[0]}] = {expression};")
        return out

    def fold(self, value: Value, axes: Sequence[int], start: str, form: Callable[[str, str], str]) -> Value:
        """A new array of what is left when axes are folded into one; they stay with size 1."""
        placed = self.placed(value)
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
        out = self.local(kept, value.type)
        steps = tuple(0 if size == 1 else step for size, step in zip(kept, contiguous(kept), strict=True))
        self._loops([out.size], f"{out.code}[i0] = {start};")
        sizes, (outward, inward) = _merged(value.shape, [steps, placed.steps])
        target = f"{out.code}[{_index(outward)}]"
        self._loops(sizes, f"{target} = {form(target, self.element(placed, _index(inward)))};")
        return out

    def copy(self, value: Value, shape: Shape, strides: Shape, offset: int) -> Value:
        """A new array of elements that stand at other steps of a placed value."""
        moved = replace(
            value, shape=shape, strides=strides, code=f"({value.code} + {offset})" if offset else value.code
        )
        return self.each(shape, value.type, [moved], lambda x: x)

    def fill(self, whole: Value, part: Value, axis: int, start: int) -> None:
        """Put a placed part into an array, from `start` on along an axis."""
        steps = contiguous(whole.shape)
        sizes, (outward, inward) = _merged(part.shape, [steps, part.steps])
        target = f"({whole.code} + {start * steps[axis]})" if start else whole.code
        self._loops(sizes, f"{target}[{_index(outward)}] = {self.element(part, _index(inward))};")

    def pick(self, shape: Shape, value: Value, place: Value, step: int) -> Value:
        """A new array of elements of a placed value whose places along one axis, with this step, are given."""
        out = self.local(shape, value.type)
        sizes, (outward, inward, by) = _merged(shape, [contiguous(shape), value.steps, place.steps])
        at = self.element(place, _index(by))
        read = self.element(value, f"{at} * {step} + {_index(inward)}")
        self._loops(sizes, f"{out.code}[{_index(outward)}] = {read};")
        return out

    def dense(self, kind: str, stored: str, length: int) -> str:
        """The function that adds a row times a matrix to an array, for these types and at most `length` factors."""
        name = f"add_product_{kind}_{stored}"
        self._longest[name] = max(self._longest.get(name, _ABREAST[0]), length)
        madd = "MADDF" if kind == FLOAT else "MADD"
        rounds = "".join(_added_rows(each, kind, stored, madd) for each in _ABREAST)
        self.helpers[name] = f"""/* y += x w; rows of w whose factor is zero are passed over */
static void {name}(const {kind} *restrict x, int n, const {stored} *restrict w, int m, {kind} *restrict y)
{{
    int at[{self._longest[name]}], count = 0, i = 0;
    for (int k = 0; k < n; k++) {{
        at[count] = k;
        count += x[k] != 0;
    }}
{rounds}}}"""
        return name

    def dot(self, kind: str, stored: str) -> str:
        """The function that gives the product of two rows of these types."""
        madd = "MADDF" if kind == FLOAT else "MADD"
        return self.helper(
            f"product_{kind}_{stored}",
            f"""static {kind} product_{kind}_{stored}(const {kind} *restrict x, const {stored} *restrict w, int n)
{{
    {kind} part[{_PARTS}] = {{0}}, sum = 0;
    int i = 0;
    for (; i + {_PARTS} <= n; i += {_PARTS})
        for (int j = 0; j < {_PARTS}; j++)
            part[j] = {madd}(x[i + j], w[i + j], part[j]);
    for (; i < n; i++)
        sum = {madd}(x[i], w[i], sum);
    for (int j = 0; j < {_PARTS}; j++)
        sum += part[j];
    return sum;
}}""",
        )

    def helper(self, name: str, text: str) -> str:
        """Write a function down once and return its name."""
        self.helpers.setdefault(name, text)
        return name

    def _loops(self, sizes: Sequence[int], statement: str) -> None:
        for depth, size in enumerate(sizes):
            self.body.append("    " * depth + f"for (int i{depth} = 0; i{depth} < {size}; i{depth}++)")
        self.body.append("    " * len(sizes) + statement)

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"


def _added_rows(count: int, kind: str, stored: str, madd: str) -> str:
    """A loop that adds so many rows at once while there are as many left."""
    rows = "\n".join(
        f"        const {kind} x{i} = x[at[i + {i}]];\n        const {stored} *restrict w{i} = w + at[i + {i}] * m;"
        for i in range(count)
    )
    total = "y[j]"
    for i in range(count):
        total = f"{madd}(x{i}, w{i}[j], {total})"
    return f"""    for (; i + {count} <= count; i += {count}) {{
{rows}
        for (int j = 0; j < m; j++)
            y[j] = {total};
    }}
"""


def _spread(value: Value, shape: Shape) -> Shape:
    """Strides of a value spread to a shape."""
    lead = len(shape) - len(value.shape)
    return (0,) * lead + tuple(
        0 if size == 1 else step for size, step in zip(value.shape, value.steps, strict=True)
    )


def _merged(shape: Shape, strides: Sequence[Shape]) -> tuple[list[int], list[list[int]]]:
    """Sizes and strides with as few axes as will do: loops over one long axis are quick."""
    sizes: list[int] = []
    merged: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        here = [each[axis] for each in strides]
        if sizes and all(done[-1] == step * size for done, step in zip(merged, here, strict=True)):
            sizes[-1] *= size
            for done, step in zip(merged, here, strict=True):
                done[-1] = step
        else:
            sizes.append(size)
            for done, step in zip(merged, here, strict=True):
                done.append(step)
    return sizes, merged


def _index(steps: Sequence[int]) -> str:
    terms = [f"i{depth}" if step == 1 else f"{step} * i{depth}" for depth, step in enumerate(steps) if step]
    return " + ".join(terms) or "0"
