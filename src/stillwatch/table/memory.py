"""Tables that are in memory already: dataframes, Arrow tables, NumPy arrays, lists of dicts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.errors import TableError
from stillwatch.table.values import UnreadTypeError, ValueRules, WrongValueError, shown

PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_NO_TOKENS = ValueRules(missing=())
_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating, type(None))


def column_of(values: Sequence[Any], name: str) -> pa.Array:
    """Arrow column of Python objects; mixed types become numbers if all are numbers, otherwise text.

    Raises
    ------
    TableError
        an object that is neither number, text nor true/false among others, or text that is not Unicode.
    """
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeError):
        pass
    try:
        if all(isinstance(value, _NUMBERS) for value in values):
            return pa.array([_NO_TOKENS.number(value) for value in values], pa.float64(), from_pandas=True)
        return pa.array([_text(value) for value in values], pa.string())
    except UnreadTypeError as exc:
        raise TableError(
            f"column {shown(name)} holds objects of type {exc} among others. Make them numbers or text.",
            column=name,
        ) from exc
    except (WrongValueError, UnicodeError) as exc:
        raise TableError(
            f"column {shown(name)} holds text that is not Unicode. Clean it.", column=name
        ) from exc


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return _NO_TOKENS.text(value) or None


def table_of_stream(data: Any) -> pa.Table:
    """Arrow table of anything with `__arrow_c_stream__`, without a dataframe's index."""
    try:
        table = pa.RecordBatchReader.from_stream(data).read_all()
    except (pa.ArrowException, UnicodeError, TypeError) as exc:
        # pandas: an object column of mixed types
        if not hasattr(data, "items"):
            raise TableError(f"{type(data).__name__} cannot be read as an Arrow table: {exc}") from exc
        return pa.table({str(name): column_of(list(column), str(name)) for name, column in data.items()})
    return table.drop_columns(_index_columns(table.schema))


def table_of_records(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Arrow table of dicts, which must all have the same keys.

    Raises
    ------
    TableError
        something is not a dict, or has other keys than the first.
    """
    names = list(records[0])
    known = set(names)
    for row, record in enumerate(records, start=1):
        if not isinstance(record, Mapping):
            raise TableError(
                f"row {row:,} is a {type(record).__name__}, expected a dict as row 1 is.", row=row
            )
        if record.keys() != known:
            absent = [name for name in names if name not in record]
            added = [name for name in record if name not in known]
            what = f"has no {shown(absent[0])}" if absent else f"has {shown(added[0])}"
            raise TableError(
                f"row {row:,} {what}, unlike row 1. Give every row the same keys, None where a value is missing.",
                row=row,
            )
    return pa.table({str(name): column_of([record[name] for record in records], str(name)) for name in names})


def batches_of_array(x: NDArray[Any], names: tuple[str, ...], size: int) -> Iterator[pa.RecordBatch]:
    """Arrow batches of a 2-D array."""
    for start in range(0, len(x), size):
        block = x[start : start + size]
        yield pa.RecordBatch.from_arrays(
            [_array_column(block[:, j], name) for j, name in enumerate(names)], names=list(names)
        )


def _array_column(column: NDArray[Any], name: str) -> pa.Array:
    if isinstance(column, np.ma.MaskedArray) or column.dtype.kind not in "fiub":
        return column_of(column.tolist(), name)
    if column.dtype.kind == "f" and column.dtype.itemsize not in (4, 8):
        with np.errstate(over="ignore"):
            column = column.astype(np.float64)
    return pa.array(np.ascontiguousarray(column))


def _index_columns(schema: pa.Schema) -> list[str]:
    """Names of columns that pandas made of its index."""
    stored = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    named = {name for name in stored if isinstance(name, str)}
    return [name for name in schema.names if name in named or PANDAS_INDEX.fullmatch(name)]
