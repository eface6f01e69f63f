"""How one value is read: as a number, as true or false, as text.

The rules stand in the docstring of `table.pack`. Each has a scalar form (`number`, `boolean`, `text`) and a
form for an Arrow column, which applies the scalar form to the distinct values or takes a vectorised way that
gives the same.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from stillwatch.table.timestamp import (
    MISSING_TIME,
    clipped,
    is_temporal,
    time_of_object,
    time_of_text,
    times_of_numbers,
    times_of_temporal,
    times_of_texts,
)

Kind = Literal["number", "category", "boolean", "timestamp"]
DecimalMark = Literal[".", ","]

MISSING_TOKENS: tuple[str, ...] = (
    "", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null",
)  # fmt: skip

PAIRS = (("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n"))
LONGEST_TEXT = 10_000

MIXED = pa.sparse_union([pa.field("truth", pa.bool_()), pa.field("number", pa.float64())])
"""Booleans and numbers in one column: `true` is 1 as a number, yet as a category it is no "1"."""

_TRUTH = {word: truth for pair in PAIRS for word, truth in zip(pair, (1.0, 0.0), strict=True)}
# What Python and Arrow call white space differs; this set is the one that both trim.
_WHITE = " \t\n\v\f\r"
# Stricter than `float`, which also takes "1_000" and "١"; `nan(...)` is what C prints and Arrow reads.
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf(?:inity)?)|(?i:(nan)(?:\([a-z0-9_]*\))?))"
)
_WHOLE = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.0+)?")
NESTED = "lists or objects"
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NOT_AVAILABLE = {"NAType", "NaTType"}  # pandas' own nulls, told by name: pandas is no dependency


class WrongValueError(ValueError):
    """A value that its column cannot hold; `table.pack` turns it into a TableError that names the column."""


class UnreadTypeError(TypeError):
    """An Arrow type or a Python object that no rule covers."""


class Parsed(NamedTuple):
    """A column as read.

    Attributes
    ----------
    values
        (n,) float64 with NaN for missing, object of str with "" for missing, or int64 with `MISSING_TIME`.
    wrong
        (n,) bool: values that the column cannot hold, which stand as missing; None where there is none.
    """

    values: NDArray[Any]
    wrong: NDArray[np.bool_] | None


class ValueRules:
    """The rules, given the texts that mean a missing value and the decimal mark of numbers in text."""

    def __init__(self, missing: Iterable[str] = MISSING_TOKENS, decimal: DecimalMark = ".") -> None:
        self.comma = decimal == ","
        self.missing = frozenset(trim(token) for token in missing)
        # A token that reads as a number (say -999) stands for that number in every spelling and type.
        parsed = [number for token in self.missing if (number := self._parse(token)) is not None]
        self.missing_numbers = np.unique([number for number in parsed if not math.isnan(number)])
        self._missing_spellings = frozenset(_spell_float(number) for number in self.missing_numbers.tolist())

    @cached_property
    def _tokens(self) -> pa.Array:
        # Late, since Arrow imports pandas, where it is installed, to make an array of Python values.
        return pa.array(sorted(self.missing), pa.string())

    # One value

    def number(self, value: Any) -> float:
        """One value of a number column; NaN = missing."""
        value = _plain(value)
        if isinstance(value, str):
            text = trim(value)
            number = math.nan if text in self.missing else self._parse(text)
            if number is None:
                raise WrongValueError("not a number")
        else:
            number = _as_float(value)
        return math.nan if len(self.missing_numbers) and number in self.missing_numbers else number

    def boolean(self, value: Any) -> float:
        """One value of a boolean column: a word of `PAIRS`, or a number as it is; NaN = missing."""
        value = _plain(value)
        if isinstance(value, str):
            text = trim(value)
            if text not in self.missing and (truth := _TRUTH.get(text.lower())) is not None:
                return truth
        return self.number(value)

    def text(self, value: Any) -> str:
        """One value of a category column, in its one spelling; "" = missing."""
        value = _plain(value)
        spelling = self._spell_text(value) if isinstance(value, str) else _spell(value)
        return "" if spelling in self._missing_spellings else spelling

    def time(self, value: Any, zone: str = "") -> int:
        """One value of a timestamp column, in microseconds UTC; `MISSING_TIME` = missing."""
        value = _plain(value)
        if isinstance(value, str):
            text = trim(value)
            found = MISSING_TIME if text in self.missing else time_of_text(text, zone)
            if found is None:
                raise WrongValueError("not a timestamp")
            return self._blanked_time(found)
        if value is None:
            return MISSING_TIME
        if isinstance(value, dt.date | np.datetime64):
            return time_of_object(value, zone)
        if isinstance(value, int | np.integer) and not isinstance(value, bool):
            return self._blanked_time(clipped(int(value)))
        if isinstance(value, float | np.floating):
            times, wrong = times_of_numbers(np.array([value], dtype=np.float64))
            if wrong[0]:
                raise WrongValueError("not a whole number of microseconds")
            return self._blanked_time(int(times[0]))
        raise _unread(value)

    def _blanked_time(self, value: int) -> int:
        return MISSING_TIME if value in self.missing_numbers else value

    def _parse(self, text: str) -> float | None:
        if self.comma:
            if "." in text:
                return None
            text = text.replace(",", ".")
        found = _NUMBER.fullmatch(text)
        if found is None:
            return None
        return math.nan if found[1] else float(text)

    def _spell_text(self, text: str) -> str:
        text = trim(text)
        if text in self.missing:
            return ""
        if len(text) > LONGEST_TEXT or "\0" in text or not is_unicode(text):
            raise WrongValueError("not clean text")
        if whole := _WHOLE.fullmatch(text):
            return "0" if whole[2] == "0" else whole[1] + whole[2]
        lower = text.lower()
        return lower if lower in ("true", "false") else text

    # One Arrow column

    def numbers(self, array: pa.Array) -> Parsed:
        """Arrow column to float64."""
        array = decoded(array)
        if not is_text(array.type):
            return Parsed(self.blanked(typed_numbers(array)), None)
        if is_bytes(array.type):
            return _by_distinct(array, self.number, math.nan, np.float64)
        values = None if self.comma else _cast(array)
        if values is None:
            values = _cast(self._cleaned(array))
        if values is None:
            return _by_distinct(array, self.number, math.nan, np.float64)
        return Parsed(self.blanked(values), None)

    def booleans(self, array: pa.Array) -> Parsed:
        """Arrow column to float64, 1 = true."""
        array = decoded(array)
        if not is_text(array.type):
            return Parsed(self.blanked(typed_numbers(array)), None)
        return _by_distinct(array, self.boolean, math.nan, np.float64)

    def texts(self, array: pa.Array) -> Parsed:
        """Arrow column to an object array of str."""
        array = decoded(array)
        if array.type == MIXED:
            array = spelled(array)
        if not is_text(array.type):
            typed_numbers(array[:0])  # refuses the types that have no spelling
        if is_span(array.type):
            array = pa.array(typed_numbers(array), from_pandas=True)
        return _by_distinct(array, self.text, "", np.object_)

    def times(self, array: pa.Array, zone: str = "") -> Parsed:
        """Arrow column to int64 microseconds UTC; `zone` holds for what names none."""
        array = decoded(array)
        kind = array.type
        if pt.is_null(kind):
            return Parsed(np.full(len(array), MISSING_TIME), None)
        if is_temporal(kind):
            return Parsed(times_of_temporal(array, zone), None)
        if is_text(kind):
            found = None if is_bytes(kind) else times_of_texts(self._trimmed(array), zone)
            if found is not None:
                return Parsed(found, None)
            return _by_distinct(array, lambda value: self.time(value, zone), MISSING_TIME, np.int64)
        if not (pt.is_integer(kind) or pt.is_floating(kind)):
            raise UnreadTypeError(_type_name(kind))
        present = array.is_valid().to_numpy(zero_copy_only=False)
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
        times, wrong = times_of_numbers(values)
        blank = ~present | np.isin(times, self.missing_numbers)
        return Parsed(np.where(blank, MISSING_TIME, times), wrong & ~blank if wrong.any() else None)

    def _trimmed(self, texts: pa.Array) -> pa.Array:
        """Text without white space around it, null where a token stands for a missing value."""
        texts = pc.ascii_trim_whitespace(texts)
        blank = pc.is_in(texts, self._tokens.cast(texts.type))
        return pc.if_else(blank, pa.scalar(None, texts.type), texts)

    def _cleaned(self, texts: pa.Array) -> pa.Array:
        texts = self._trimmed(texts)
        if self.comma:
            # A point becomes something that no number holds.
            texts = pc.replace_substring(pc.replace_substring(texts, ".", "#"), ",", ".")
        return texts

    def blanked(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers with NaN in place of those that a missing token stands for."""
        if not len(self.missing_numbers):
            return values
        return np.where(np.isin(values, self.missing_numbers), np.nan, values)


def trim(text: str) -> str:
    """Text without ASCII white space around it."""
    return text.strip(_WHITE)


def shown(value: object, limit: int = 40) -> str:
    r"""Text of a value or a name for a message: one line, cut, control characters inert.

    Examples
    --------
    >>> shown("a\x1b[31m")
    "'a\\x1b[31m'"
    """
    if isinstance(value, str | bytes):
        return repr(value[:limit]) + ("…" if len(value) > limit else "")
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "…"


def decoded(array: pa.Array) -> pa.Array:
    """Arrow column without extension types, dictionaries, runs and views; bytes stay bytes."""
    if isinstance(array, pa.ExtensionArray):
        return decoded(array.storage)
    if pt.is_dictionary(array.type):
        # The values first: Arrow cannot take from views.
        return pa.DictionaryArray.from_arrays(array.indices, decoded(array.dictionary)).dictionary_decode()
    if pt.is_run_end_encoded(array.type):
        return decoded(pc.run_end_decode(array))
    if pt.is_string_view(array.type):
        return array.cast(pa.string())
    if pt.is_binary_view(array.type) or pt.is_fixed_size_binary(array.type):
        return array.cast(pa.binary())
    return array


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds text, or bytes that should be text."""
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or is_bytes(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds bytes."""
    return bool(pt.is_binary(kind) or pt.is_large_binary(kind))


def is_span(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds spans of time, or times of day: spans since midnight."""
    return bool(pt.is_duration(kind) or pt.is_time(kind))


def typed_numbers(array: pa.Array) -> NDArray[np.float64]:
    """(n,) float64 of an Arrow column of numbers, booleans, spans (in seconds) or nulls; null = NaN."""
    kind = array.type
    if is_span(kind):
        narrow = pa.int32() if pt.is_time32(kind) else pa.int64()
        return _to_numpy(pc.cast(pc.cast(array, narrow), pa.float64(), safe=False)) / _PER_SECOND[kind.unit]
    if pt.is_null(kind):
        return np.full(len(array), np.nan)
    if kind == MIXED:
        array = pc.if_else(_truths(array), array.field(0).cast(pa.float64()), array.field(1))
    elif pt.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif pt.is_decimal(kind):
        array = array.cast(pa.string())  # Arrow's own way to float64 is off by one unit in the last place
    elif not (pt.is_integer(kind) or pt.is_floating(kind)):
        raise UnreadTypeError(_type_name(kind))
    return _to_numpy(array if pt.is_float64(kind) else pc.cast(array, pa.float64(), safe=False))


def mixed(array: pa.Array) -> pa.Array:
    """Arrow column of booleans, numbers or nulls as `MIXED`."""
    if array.type == MIXED:
        return array
    truth = pt.is_boolean(array.type)
    nothing = pa.nulls(len(array), pa.float64() if truth else pa.bool_())
    number = nothing if truth else pa.array(typed_numbers(array), from_pandas=True)
    codes = pa.array(np.full(len(array), 0 if truth else 1, dtype=np.int8))
    return union(codes, array if truth else nothing, number)


def union(codes: pa.Array, truths: pa.Array, numbers: pa.Array) -> pa.Array:
    """`MIXED` column: `codes` are 0 where the boolean stands for a value, 1 where the number does."""
    return pa.UnionArray.from_sparse(codes, [truths, numbers], [field.name for field in MIXED])


def spelled(array: pa.Array) -> pa.Array:
    """Column of type `MIXED` as text, each value in its one spelling."""
    return pa.array([_spell(value) or None for value in array.to_pylist()], pa.string())


def _truths(array: pa.Array) -> pa.Array:
    return pc.equal(array.type_codes, pa.scalar(0, pa.int8()))


def _unread(value: Any) -> UnreadTypeError:
    nested = isinstance(value, dict | list | tuple | set | np.ndarray)
    return UnreadTypeError(NESTED if nested else f"type {type(value).__name__}")


def _type_name(kind: pa.DataType) -> str:
    if kind == MIXED:
        return "true/false beside numbers"
    return NESTED if pt.is_nested(kind) else f"type {kind}"


def _cast(texts: pa.Array) -> NDArray[np.float64] | None:
    try:
        return _to_numpy(pc.cast(texts, pa.float64()))
    except pa.ArrowInvalid:
        return None


def _to_numpy(array: pa.Array) -> NDArray[np.float64]:
    if pt.is_float64(array.type) and not array.null_count:
        # Where it lies: `to_numpy` copies slices, and imports pandas first.
        return np.asarray(np.from_dlpack(array), dtype=np.float64)
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _by_distinct(array: pa.Array, rule: Callable[[Any], Any], missing: Any, dtype: Any) -> Parsed:
    encoded = array.dictionary_encode()
    distinct = _distinct_values(encoded.dictionary)
    known = np.full(len(distinct) + 1, missing, dtype=dtype)
    wrong = np.zeros(len(distinct) + 1, dtype=np.bool_)
    for i, value in enumerate(distinct):
        try:
            known[i] = rule(value)
        except WrongValueError:
            wrong[i] = True
    index = encoded.indices.fill_null(len(distinct)).to_numpy(zero_copy_only=False)
    return Parsed(known[index], wrong[index] if wrong.any() else None)


def _distinct_values(dictionary: pa.Array) -> list[Any]:
    # NumPy keeps float32 as float32, whose spelling is shorter than that of the same value in float64.
    return list(dictionary.to_numpy()) if pt.is_floating(dictionary.type) else dictionary.to_pylist()


def _plain(value: Any) -> Any:
    """Text or number without the dress in which it came; None for null."""
    if isinstance(value, str | float | int | None):
        return value
    if isinstance(value, pa.Scalar):
        value = value.as_py()
    elif isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError as exc:
            raise WrongValueError("not UTF-8 text") from exc
    return None if type(value).__name__ in _NOT_AVAILABLE else value


def _as_float(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "s"))
    if isinstance(value, dt.time):
        return (value.hour * 3_600 + value.minute * 60 + value.second) + value.microsecond / 10**6
    if not isinstance(value, int | float | Decimal | np.bool_ | np.integer | np.floating):
        raise _unread(value)
    try:
        return float(value)
    except OverflowError:  # an integer beyond the largest float
        return math.inf if value > 0 else -math.inf
    except ValueError:  # Decimal("sNaN")
        return math.nan


def _spell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return str(int(value))
    return _spell_float(value if isinstance(value, np.floating) else _as_float(value))


def _spell_float(value: float | np.floating[Any]) -> str:
    if math.isnan(value):
        return ""
    # `str` of a float32 is its own shortest spelling: 0.1, not 0.10000000149011612.
    return str(int(value)) if value.is_integer() else str(value)


def is_unicode(text: str) -> bool:
    """Whether text is free of halves of surrogate pairs, and so can be written as UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
