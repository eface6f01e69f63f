"""NDJSON whose lines all have the same keys, as events most often do: values without a dict a line.

The keys are those of the first line of a batch. A batch that has others somewhere is left to whoever reads line by line, and
so is all that is not plainly right: what comes out is what `json_lines.record_of` would have found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from stillwatch.errors import InputError
from stillwatch.table.json_lines import object_a_line, record_of

_WORTH = 32  # lines that are worth the look at the first one
_MOST_OTHERS = 256  # keys that nobody asked for

_Decode = Callable[[bytes], list[Any]]


class SameKeys:
    """Reads batches of lines.

    Parameters
    ----------
    numbers
        keys whose values must be numbers, true, false or null.
    others
        keys whose values may be anything.
    """

    def __init__(self, numbers: Sequence[str], others: Sequence[str]) -> None:
        self._numbers, self._others = tuple(numbers), tuple(others)
        # One attribute, so that threads never see the keys of one and the decoder of another.
        self._expected: tuple[frozenset[str], _Decode | None] = frozenset(), None

    def read(self, lines: Sequence[bytes]) -> list[tuple[Any, ...]] | None:
        """Of each line the values of the numbers, of the others, and then of the keys that nobody asked for.

        None: the lines have to be looked at one by one.
        """
        if len(lines) < _WORTH:
            return None
        whole = b"\n".join(lines)
        found = self._read(whole, lines)
        if found is None and self._learn(lines[0]):
            found = self._read(whole, lines)
        return found

    def _read(self, whole: bytes, lines: Sequence[bytes]) -> list[tuple[Any, ...]] | None:
        keys, decode = self._expected
        if decode is None or not object_a_line(whole, lines, len(lines) * len(keys)):
            return None
        try:
            found = decode(whole)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        return list(map(msgspec.structs.astuple, found)) if len(found) == len(lines) else None

    def _learn(self, line: bytes) -> bool:
        """Expect the keys of this line; whether these are others than before."""
        try:
            keys = record_of(line).keys()
        except (InputError, UnicodeDecodeError):
            return False
        wanted = (*self._numbers, *self._others)
        if keys == self._expected[0] or not keys >= set(wanted) or len(keys) > len(wanted) + _MOST_OTHERS:
            return False
        extra = [key for key in keys if key not in wanted]
        kinds = [float | bool | None] * len(self._numbers) + [Any] * (len(self._others) + len(extra))
        names = {f"f{place}": key for place, key in enumerate((*wanted, *extra))}
        line_type = msgspec.defstruct(
            "Line", list(zip(names, kinds, strict=True)), rename=names, forbid_unknown_fields=True, gc=False
        )
        self._expected = frozenset(keys), msgspec.json.Decoder(line_type).decode_lines
        return True
