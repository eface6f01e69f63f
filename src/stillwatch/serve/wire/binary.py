"""Binary tensors: a JSON header, then the raw little-endian values of each input, in order.

A BYTES tensor is, value by value, four bytes of length and the bytes. Every length is checked against what is there before
anything is allocated.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import InputError
from stillwatch.table.values import shown

WHOLE = {
    f"{sign}INT{bits}": (0 if sign else -(1 << bits - 1), (1 << bits) - 1 if sign else (1 << bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
"""Integer datatypes, with the least and the greatest value."""

_DTYPES = {"BOOL": "u1", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"} | {
    name: f"<{'u' if name[0] == 'U' else 'i'}{int(name.lstrip('UINT')) // 8}" for name in WHOLE
}
_LENGTH = struct.Struct("<I")


def split(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """The JSON and what follows it."""
    if header_length is None:
        return body, memoryview(b"")
    if not header_length.isdecimal() or not header_length.isascii() or int(header_length[:12]) > len(body):
        raise InputError(
            f"Inference-Header-Content-Length is {shown(header_length)}, expected the length of the JSON in a body of "
            f"{len(body):,} bytes."
        )
    length = int(header_length)
    return body[:length], memoryview(body)[length:]


class Tail:
    """The binary part of a request, taken input by input."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def take(self, name: str, datatype: str, count: int, size: Any) -> list[Any] | NDArray[Any]:
        """The next `size` bytes as `count` values: an array of numbers, or a list of bytes.

        Raises
        ------
        InputError
            the sizes contradict each other or what is there.
        """
        left = len(self._data) - self._at
        if type(size) is not int or not 0 <= size <= left:
            raise InputError(
                f"input {shown(name)} has binary_data_size {shown(size)}, and {left:,} bytes are left."
            )
        part = self._data[self._at : self._at + size]
        self._at += size
        if datatype == "BYTES":
            return _texts(name, part, count)
        dtype = np.dtype(_DTYPES[datatype])
        if count * dtype.itemsize != size:
            raise InputError(
                f"input {shown(name)} has {size:,} bytes, and {count:,} values of {datatype} take "
                f"{count * dtype.itemsize:,}."
            )
        values = np.frombuffer(part, dtype)
        if datatype == "BOOL":
            if (values > 1).any():
                raise InputError(f"input {shown(name)} holds bytes that are neither 0 nor 1, and is BOOL.")
            return values.view(np.bool_)
        return values.astype(np.float32) if datatype == "FP16" else values

    def finish(self) -> None:
        """Refuse bytes that belong to no input."""
        if left := len(self._data) - self._at:
            raise InputError(f"{left:,} bytes stand behind the last input. Name them in binary_data_size.")


def encoded(values: list[Any], datatype: str) -> bytes:
    """Values as a binary tensor."""
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
    return np.array(values, dtype=_DTYPES[datatype]).tobytes()


def _texts(name: str, part: memoryview, count: int) -> list[bytes]:
    if count * _LENGTH.size > len(part):
        raise InputError(
            f"input {shown(name)} has {len(part):,} bytes, too few for {count:,} values of BYTES."
        )
    texts, at = [], 0
    for row in range(count):
        end = at + _LENGTH.size
        end += _LENGTH.unpack_from(part, at)[0] if end <= len(part) else len(part) + 1
        if end > len(part):
            raise InputError(
                f"input {shown(name)}: value {row + 1:,} of {count:,} ends behind its {len(part):,} bytes."
            )
        texts.append(bytes(part[at + _LENGTH.size : end]))
        at = end
    if at != len(part):
        raise InputError(f"input {shown(name)}: {len(part) - at:,} bytes stand behind its {count:,} values.")
    return texts
