"""Tables that are in memory already: dataframes, Arrow streams, NumPy arrays, lists of dicts."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.errors import TableError
from stillwatch.table.schema import refuse_duplicates
from stillwatch.table.values import UnreadTypeError, ValueRules, WrongValueError, shown, union

PANDAS_INDEX = re.compile(r"__index_level_\d+__")

_AS_IT_IS = ValueRules(missing=())
_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating, type(None))


def column_of(values: Sequence[Any], name: str) -> pa.Array:
    """Arrow column of Python objects; mixed types become numbers if all are numbers, `MIXED` with booleans, otherwise text.

    Raises
    ------
    TableError
        text that is not Unicode, or objects of several types that are neither numbers nor text.
    """
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        pass  # Decimal("Infinity") is a TypeError to Arrow
    try:
        if all(isinstance(value, _NUMBERS) for value in values):
            return _numbers(values)
        return pa.array([_text(value) for value in values], pa.string())
    except UnreadTypeError as exc:
        raise TableError(
            f"column {shown(name)} holds values that are neither numbers nor text ({exc}). Make them so.",
            column=name,
        ) from exc
    except (WrongValueError, UnicodeError) as exc:
        raise TableError(
            f"column {shown(name)} holds text that is not Unicode. Clean it.", column=name
        ) from exc


def table_of_stream(data: Any) -> pa.Table:
    """Arrow table of anything with `__arrow_c_stream__`, without the index of a dataframe.

    Raises
    ------
    SchemaError
        a column name stands twice.
    TableError
        it cannot be exported.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The DataFrame has column names of mixed type")
            table = pa.RecordBatchReader.from_stream(data).read_all()
    except (pa.ArrowException, UnicodeError, TypeError, ValueError) as exc:
        # pandas refuses doubled names and columns of mixed types; these go by their objects.
        if not (hasattr(data, "items") and hasattr(data, "columns")):
            raise TableError(f"{type(data).__name__} cannot be read as an Arrow table: {exc}") from exc
        columns = [(str(name), column) for name, column in data.items()]
        refuse_duplicates(name for name, _ in columns)
        return pa.table({name: column_of(list(column), name) for name, column in columns})
    return table.drop_columns(_index_columns(table.schema))


def table_of_records(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Arrow table of dicts, which must all have the same keys.

    Raises
    ------
    TableError
        an item is not a dict, or has other keys than the first.
    """
    names = list(records[0])
    for row, record in enumerate(records, start=1):
        if not isinstance(record, Mapping):
            raise TableError(
                f"row {row:,} is a {type(record).__name__}, expected a dict like row 1.", row=row
            )
        if record.keys() != records[0].keys():
            absent = [name for name in names if name not in record]
            added = [name for name in record if name not in records[0]]
            what = f"has no {shown(absent[0])}" if absent else f"has {shown(added[0])}"
            raise TableError(
                f"row {row:,} {what}, unlike row 1. Give all rows the same keys, None for missing values.",
                row=row,
            )
    return pa.table({str(name): column_of([record[name] for record in records], str(name)) for name in names})


def table_of_objects(x: NDArray[Any], names: tuple[str, ...]) -> pa.Table:
    """Arrow table of a 2-D array of Python objects, of text, or with a mask."""
    return pa.table({name: column_of(x[:, j].tolist(), name) for j, name in enumerate(names)})


def batches_of_numbers(x: NDArray[Any], names: tuple[str, ...], size: int) -> Iterator[pa.RecordBatch]:
    """Arrow batches of a 2-D array of numbers."""
    for start in range(0, len(x), size):
        block = x[start : start + size]
        columns = [number_column(block[:, j]) for j in range(len(names))]
        yield pa.RecordBatch.from_arrays(columns, names=list(names))


def number_column(column: NDArray[Any]) -> pa.Array:
    """Arrow column of a 1-D array of numbers or booleans, over its own memory: `pa.array` would import pandas first."""
    if column.dtype.kind == "f" and column.dtype.itemsize not in (4, 8):
        with np.errstate(over="ignore"):
            column = column.astype(np.float64)
    column = np.ascontiguousarray(column).reshape(-1)  # a column of np.matrix has two dimensions
    data = np.packbits(column, bitorder="little") if column.dtype == np.bool_ else column
    return pa.Array.from_buffers(pa.from_numpy_dtype(column.dtype), len(column), [None, pa.py_buffer(data)])


def is_plain(x: NDArray[Any]) -> bool:
    """Whether an array holds numbers and nothing else: no objects, text or mask."""
    return x.dtype.kind in "fiub" and not isinstance(x, np.ma.MaskedArray)


def _index_columns(schema: pa.Schema) -> list[str]:
    """Columns that pandas made of an index."""
    stored = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    return [name for name in schema.names if name in stored or PANDAS_INDEX.fullmatch(name)]


def _numbers(values: Sequence[Any]) -> pa.Array:
    numbers = [_AS_IT_IS.number(value) for value in values]
    truths = [isinstance(value, bool | np.bool_) for value in values]
    column = pa.array(numbers, pa.float64(), from_pandas=True)
    if not any(truths):
        return column
    codes = pa.array([0 if truth else 1 for truth in truths], pa.int8())
    return union(codes, pa.array([bool(number) for number in numbers]), column)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else _AS_IT_IS.text(value) or None
