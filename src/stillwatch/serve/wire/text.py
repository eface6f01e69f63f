"""JSON from outside: what is wrong with it, in words."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from stillwatch.errors import InputError, SchemaError
from stillwatch.serve.limits import Limits, unfolds_too_far
from stillwatch.table.values import shown

T = TypeVar("T")


# What a value, an object and an array take in memory, about; each value but the first of them follows a comma.
_VALUE, _OBJECT, _ARRAY = 32, 200, 64


def check_unfolding(body: bytes, limits: Limits) -> None:
    """Refuse a body of JSON that would take too much memory once it is decoded: "{}," is three bytes, and an object."""
    size = body.count(b",") * _VALUE + body.count(b"{") * _OBJECT + body.count(b"[") * _ARRAY
    if size > limits.decoded_bytes:
        raise unfolds_too_far(limits)


def decoded(decoder: msgspec.json.Decoder[T], text: bytes | memoryview) -> T:
    """Decode one document.

    Raises
    ------
    InputError
        it is none, or not what the decoder expects.
    """
    if not len(text):
        raise InputError("the body is empty. Send one JSON document.")
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as exc:
        raise InputError(f"the body is not what is expected: {exc}.") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InputError(_problem(bytes(text), exc)) from exc


def refuse_doubled_keys(text: bytes, keys: int) -> None:
    """Raise SchemaError where an object names a key twice, which the decoder does not tell.

    Parameters
    ----------
    keys
        how many keys were decoded. Each has a colon, so only where there are more colons can one stand twice.
    """
    if text.count(b":") > keys:
        try:
            json.loads(text, object_pairs_hook=_refuse_doubled)
        except RecursionError as exc:
            raise InputError("the body is nested too deeply.") from exc


def _refuse_doubled(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(names) > len(set(names)):
        doubled = next(name for name in names if names.count(name) > 1)
        raise SchemaError(f"the key {shown(doubled)} stands more than once in an object. Keep one of them.")


def _problem(text: bytes, exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "the body is nested too deeply."
    if isinstance(exc, UnicodeDecodeError):
        return "the body is not UTF-8. Send JSON in UTF-8."
    if "out of range" in str(exc):
        return "the body holds a number beyond the range of float64. Send null for a missing value."
    for token in (b"NaN", b"Infinity"):
        if token in text:
            return f"the body is not JSON: it holds a bare {token.decode()}, perhaps. Send null for a missing value."
    what = "it ends too early" if "truncated" in str(exc) else str(exc).removeprefix("JSON is malformed: ")
    return f"the body is not JSON ({what}). Send one JSON document in UTF-8."
