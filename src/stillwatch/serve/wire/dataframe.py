"""The scoring protocol of MLflow and SageMaker: `/invocations` with JSON.

One of `dataframe_split` {"columns": [...], "data": [[...], ...]}, `dataframe_records` [{...}, ...], or `inputs`: {"column":
[values]}, [{...}] or [[values in the order of the model's columns]]; beside it `params` {"alert_rate": ..., "outputs": [...]}.
Answer: {"predictions": [{"score": ..., "p_value": ..., "alert": ...}]}.

Source: MLflow, "Deploy models", inference server input formats.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from stillwatch.errors import InputError, SchemaError
from stillwatch.serve.limits import Limits
from stillwatch.serve.models import Model
from stillwatch.serve.wire.asked import (
    Answer,
    Asked,
    Cell,
    Head,
    Reply,
    asked_by_query,
    check_columns,
    check_size,
    checked_outputs,
    checked_rate,
)
from stillwatch.serve.wire.text import check_unfolding, decoded, refuse_doubled_keys
from stillwatch.table.memory import column_of, table_of_records
from stillwatch.table.rows import Rows
from stillwatch.table.schema import refuse_duplicates

MEDIA = "application/json"
_FORMS = "dataframe_split, dataframe_records or inputs"


class Split(msgspec.Struct):
    """Rows as lists beside the names of their columns."""

    columns: list[str]
    data: list[list[Any]]
    index: list[Any] | None = None


class Invocation(msgspec.Struct):
    """A request."""

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    inputs: dict[str, list[Any]] | list[dict[str, Any] | list[Any]] | None = None
    params: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(Invocation)
_encoder = msgspec.json.Encoder()


def read(body: bytes, head: Head, model: Model, limits: Limits) -> Asked:
    """Read a request; errors as in `open_inference.read`."""
    check_unfolding(body, limits)
    asked = decoded(_decoder, body)
    given = [
        name
        for name in ("dataframe_split", "dataframe_records", "inputs")
        if getattr(asked, name) is not None
    ]
    if len(given) != 1:
        raise InputError(f"{' and '.join(given) or 'none'} of {_FORMS} came. Send one of them.")
    rate, outputs = asked_by_query(head, model)
    if asked.params:
        rate = checked_rate(asked.params.get("alert_rate", rate), model)
        outputs = checked_outputs(_names(asked.params.get("outputs", list(outputs))))
    size = partial(check_size, outputs=outputs, limits=limits)
    if asked.dataframe_split is not None:
        check_columns(len(asked.dataframe_split.columns), model, limits)
        rows, columns = _split(asked.dataframe_split, model, size)
        cell: Cell = partial(_split_cell, asked.dataframe_split)
    elif isinstance(asked.inputs, dict):
        check_columns(len(asked.inputs), model, limits)
        rows, columns = _by_column(asked.inputs, model, size)
        cell = partial(_column_cell, asked.inputs)
    else:
        given_rows = asked.dataframe_records or asked.inputs or []
        rows, columns = _by_row(given_rows, body, model, size, limits)
        cell = partial(_row_cell, given_rows)
    ignored = max(0, columns - len(model.columns))
    return Asked(rows, ignored, rate, outputs, partial(write, model, outputs), cell)


def write(model: Model, outputs: tuple[str, ...], answer: Answer) -> Reply:
    """Write an answer."""
    said = {
        "predictions": records(outputs, answer),
        "model": {"name": model.name, "version": model.version, "digest": model.digest},
    }
    return Reply(_encoder.encode(said), MEDIA)


def records(outputs: tuple[str, ...], answer: Answer) -> list[dict[str, Any]]:
    """An answer row by row."""
    columns = [answer.column(name) for name in outputs]
    return [dict(zip(outputs, values, strict=True)) for values in zip(*columns, strict=True)]


def _split(split: Split, model: Model, size: Any) -> tuple[Rows, int]:
    size(len(split.data))
    refuse_duplicates(split.columns)
    width = len(split.columns)
    for at, row in enumerate(split.data, start=1):
        if len(row) != width:
            raise SchemaError(f"row {at:,} has {len(row):,} values, and there are {width:,} columns.")
    if len(split.data) == 1:
        return model.packer.row(dict(zip(split.columns, split.data[0], strict=True))), width
    columns = zip(*split.data, strict=True) if split.data else ((),) * width
    return _table(dict(zip(split.columns, map(list, columns), strict=True)), model), width


def _by_column(columns: dict[str, list[Any]], model: Model, size: Any) -> tuple[Rows, int]:
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise SchemaError(
            f"the columns of inputs have from {min(lengths):,} to {max(lengths):,} values. Send as many of each."
        )
    size(max(lengths, default=0))
    return _table(columns, model), len(columns)


def _by_row(rows: list[Any], body: bytes, model: Model, size: Any, limits: Limits) -> tuple[Rows, int]:
    """Objects, or lists in the order of the model's columns."""
    size(len(rows))
    names = [column.name for column in model.columns]
    if not rows:
        return _table({name: [] for name in names}, model), len(names)
    if isinstance(rows[0], list):
        for at, row in enumerate(rows, start=1):
            if not isinstance(row, list) or len(row) != len(names):
                raise SchemaError(
                    f"row {at:,} is not a list of {len(names):,} values, one for each column of the model's metadata."
                )
        return _table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)), model), len(names)
    check_columns(max(map(len, rows)), model, limits)
    refuse_doubled_keys(body, sum(map(len, rows)))
    if len(rows) == 1:
        return model.packer.row(rows[0]), len(rows[0])
    return model.packer.table(table_of_records(rows)), len(rows[0])


def _table(columns: dict[str, list[Any]], model: Model) -> Rows:
    return model.packer.table(pa.table({name: column_of(values, name) for name, values in columns.items()}))


def _split_cell(split: Split, column: str, row: int) -> Any:
    return split.data[row][split.columns.index(column)] if column in split.columns else None


def _column_cell(columns: dict[str, list[Any]], column: str, row: int) -> Any:
    return columns[column][row] if column in columns else None


def _row_cell(rows: list[Any], column: str, row: int) -> Any:
    return rows[row].get(column) if isinstance(rows[row], dict) else None


def _names(given: Any) -> list[str]:
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("params.outputs is no list of names.")
    return names
