"""A schema as a JSON file: written with the reasons and a sample of each column, edited by hand, read back.

`PROTOCOL` is raised when a field changes its name, type or meaning; a newer file is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from stillwatch.errors import SchemaError
from stillwatch.table.read import Source, open_source
from stillwatch.table.schema import Column, Role, Schema
from stillwatch.table.timestamp import MISSING_TIME
from stillwatch.table.values import MISSING_TOKENS, DecimalMark, Kind, UnreadTypeError, ValueRules
from stillwatch.table.write import write_whole

PROTOCOL: Literal[1] = 1
SAMPLE = 3  # values of a column that are written
LEAST_SEEN = 5  # a text seen less often than this is never written
MOST_BYTES = 16 << 20

Value = str | float | bool


class _ColumnEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column, as it stands in the file; `reason` and `sample` are for people."""

    name: str
    kind: Kind
    role: Role = "feature"
    zone: str = ""
    reason: str = ""
    sample: tuple[Value, ...] = ()


class _SchemaFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; `notes` are for people."""

    protocol: int
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = MISSING_TOKENS
    decimal: DecimalMark = "."
    columns: tuple[_ColumnEntry, ...]


def save_schema(
    schema: Schema, path: str | os.PathLike[str], *, data: Any = None, overwrite: bool = False
) -> None:
    """Write a schema as JSON, to be looked at, edited and handed to `load_schema`.

    Parameters
    ----------
    data
        rows to take a sample of each feature, label and known column from, anything `inspect` takes, and what had to be guessed
        to read them; None: no samples. Texts that stand in fewer than 5 rows are never written.

    Raises
    ------
    TableError
        the target exists and may not be replaced, or cannot be written.
    """
    source = None if data is None else open_source(data)
    samples = {} if source is None else _samples(schema, source)
    entries = tuple(
        _ColumnEntry(
            name=c.name,
            kind=c.kind,
            role=c.role,
            zone=c.zone,
            reason=c.reason,
            sample=samples.get(c.name, ()),
        )
        for c in schema.columns
    )
    whole = _SchemaFile(
        protocol=PROTOCOL,
        notes=() if source is None else source.notes,
        missing=schema.missing,
        decimal=schema.decimal,
        columns=entries,
    )
    write_whole(path, msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n", overwrite=overwrite)


def load_schema(path: str | os.PathLike[str]) -> Schema:
    """Read a schema that `save_schema` wrote, edited or not.

    Raises
    ------
    SchemaError
        it cannot be read, is of a newer protocol, or a field is wrong; names the line, or where in the JSON it stands.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise SchemaError(f"{path}: the schema cannot be read: {reason}.") from exc
    if len(data) > MOST_BYTES:
        raise SchemaError(f"{path}: a schema has at most {MOST_BYTES >> 20} MB.")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        protocol = msgspec.json.decode(data, type=dict[str, Any]).get("protocol")
        if isinstance(protocol, int) and protocol > PROTOCOL:
            raise SchemaError(f"{path}: protocol {protocol} needs a newer stillwatch, which reads it.")
        found = msgspec.json.decode(data, type=_SchemaFile)
        return Schema(
            columns=tuple(
                Column(name=c.name, kind=c.kind, role=c.role, zone=c.zone, reason=c.reason)
                for c in found.columns
            ),
            missing=found.missing,
            decimal=found.decimal,
        )
    except SchemaError as exc:
        raise exc if str(exc).startswith(str(path)) else SchemaError(f"{path}: {exc}") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise SchemaError(f"{path}: {_problem(exc, data)}") from exc


def _problem(exc: Exception, data: bytes) -> str:
    text = str(exc)
    if isinstance(exc, UnicodeDecodeError):
        return "not UTF-8 text. Save it in UTF-8."
    if isinstance(exc, RecursionError):
        return "nested too deeply."
    at = text.rpartition("(byte ")[2].removesuffix(")")
    if at.isdigit():
        line = data[: int(at)].count(b"\n") + 1
        what = text.rpartition(" (byte")[0].removeprefix("JSON is malformed: ")
        return f"line {line:,} is not JSON ({what}). Mind quotes and commas."
    if "Invalid enum value" in text:
        kinds, roles = "number, category, boolean, timestamp", "feature, label, known, key, ignore"
        text += f". A kind is one of {kinds}; a role one of {roles}; decimal is '.' or ','"
    return text + "."


def _samples(schema: Schema, source: Source) -> Mapping[str, tuple[Value, ...]]:
    batch = next(source.batches())
    rules = ValueRules(schema.missing, schema.decimal)
    return {
        column.name: _sample(column, batch.column(column.name), rules)
        for column in schema.columns
        if column.role in {"feature", "label", "known"} and column.name in batch.schema.names
    }


def _sample(column: Column, array: pa.Array, rules: ValueRules) -> tuple[Value, ...]:
    """A few distinct values: the first ones, of texts the most frequent."""
    try:
        if column.kind == "category":
            texts, counts = np.unique(rules.texts(array).values.astype(str), return_counts=True)
            often = [i for i in np.argsort(-counts, kind="stable") if texts[i] and counts[i] >= LEAST_SEEN]
            return tuple(str(texts[i]) for i in often[:SAMPLE])
        if column.kind == "timestamp":
            times = rules.times(array, column.zone).values
            return tuple(_iso(int(time)) for time in _first(times[times != MISSING_TIME]))
        values = (rules.booleans if column.kind == "boolean" else rules.numbers)(array).values
    except UnreadTypeError:
        return ()
    present = _first(values[np.isfinite(values)])
    if column.kind == "boolean":
        return tuple(bool(value) for value in present)
    return tuple(int(value) if value.is_integer() and abs(value) < 2**53 else value for value in present)


def _first(values: Any) -> list[Any]:
    return list(dict.fromkeys(values[:1_000].tolist()))[:SAMPLE]


def _iso(time: int) -> str:
    return f"{np.datetime64(time, 'us')}Z"
