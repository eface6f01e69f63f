"""Values of a graph as C sees them, for one row: shapes are fixed, and what is known beforehand is a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]

FLOAT, DOUBLE, INT64, BOOL, TEXT = "float", "double", "int64_t", "unsigned char", "const char *"
"""C types of one element."""

OF_DTYPE = {"float32": FLOAT, "float64": DOUBLE, "int64": INT64, "bool": BOOL}


@dataclass(frozen=True)
class Value:
    """A value of the graph.

    Attributes
    ----------
    shape
        sizes, with one row.
    type
        C type of an element.
    code
        C expression of its first element's address; "" where it is known and was not yet written down.
    array
        what it is, where that is known beforehand.
    strides
        steps of each axis in elements; None: as usual in C.
    """

    shape: Shape
    type: str
    code: str = ""
    array: NDArray[Any] | None = None
    strides: Shape | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def steps(self) -> Shape:
        """Strides in elements."""
        return contiguous(self.shape) if self.strides is None else self.strides


def constant(array: NDArray[Any]) -> Value:
    """A value that is known beforehand."""
    return Value(tuple(array.shape), OF_DTYPE[str(array.dtype)], array=array)


def contiguous(shape: Shape) -> Shape:
    """Strides of an array whose last axis runs fastest."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def literal(number: Any, kind: str) -> str:
    """One number in C: the shortest text that reads back as the same."""
    if kind == BOOL:
        return str(int(number))
    if kind == INT64:
        return "INT64_MIN" if int(number) == -(2**63) else f"INT64_C({int(number)})"
    if not np.isfinite(number):
        return "NAN" if np.isnan(number) else ("INFINITY" if number > 0 else "-INFINITY")
    text = str(np.float32(number)) if kind == FLOAT else str(np.float64(number))
    if "." not in text and "e" not in text:
        text += ".0"
    return text + ("f" if kind == FLOAT else "")


def quoted(text: str) -> str:
    """A C string of the UTF-8 bytes of a text; all but plain ASCII is escaped."""
    plain = {ord(sign) for sign in " !#$%&'()*+,-./:;<=>@[]^_`{|}~"} | set(range(48, 58)) | set(range(65, 91))
    plain |= set(range(97, 123))
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def remark(text: str, most: int = 60) -> str:
    """A text that can stand in a comment: one line of printable ASCII that does not end it."""
    safe = "".join(sign if " " <= sign <= "~" else "?" for sign in text[:most])
    return safe.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").replace("??", "? ?")


def wrapped(items: Sequence[str], width: int = 110) -> str:
    """Items with commas between them, in lines."""
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) + 2 > width:
            lines.append(line)
            line = ""
        line += f"{item}, "
    return "\n".join(f"    {each.rstrip()}" for each in (*lines, line.rstrip().removesuffix(",")) if each)
