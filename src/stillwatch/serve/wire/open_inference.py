"""The Open Inference Protocol, version 2: one input for each raw column, or one packed input where all are numbers.

Source: KServe, `inference_rest.md`, and Triton's binary tensor extension. Ours: null in `data` means missing, as NaN does in
binary floats; the parameter `alert_rate` of a request; the outputs `low_evidence` and `reasons`, by name only.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.errors import InputError, SchemaError, TableError
from stillwatch.serve.limits import Limits
from stillwatch.serve.models import Model
from stillwatch.serve.wire import binary
from stillwatch.serve.wire.asked import (
    Answer,
    Asked,
    Head,
    Reply,
    check_columns,
    check_size,
    checked_outputs,
    checked_rate,
)
from stillwatch.serve.wire.text import check_unfolding, decoded
from stillwatch.table.memory import column_of
from stillwatch.table.rows import Rows
from stillwatch.table.schema import Kind, refuse_duplicates
from stillwatch.table.values import shown

JSON = "application/json"
OCTETS = "application/octet-stream"
HEADER_LENGTH = "Inference-Header-Content-Length"
PACKED = "rows"
"""Name of the input that holds all columns."""

DATATYPES: dict[Kind, str] = {"number": "FP64", "boolean": "BOOL", "category": "BYTES", "timestamp": "BYTES"}
"""What the metadata names for each kind of column; every other datatype is read by the packer's rules as well."""

OUTPUT_TYPES = {
    "score": "FP32",
    "p_value": "FP32",
    "alert": "BOOL",
    "low_evidence": "BOOL",
    "reasons": "BYTES",
}

_Columns = dict[str, list[Any] | NDArray[Any]]
_ONE = ([1], [1, 1])
_REALS: frozenset[type] = frozenset((float, int, type(None)))
_TRUTH: frozenset[type] = frozenset((bool, type(None)))
_TEXT: frozenset[type] = frozenset((str, type(None)))
_WHOLE: frozenset[type] = frozenset((int, type(None)))
_JSON_TYPES: dict[str, frozenset[type]] = {
    "BOOL": _TRUTH,
    "BYTES": _TEXT,
    **dict.fromkeys(("FP16", "FP32", "FP64"), _REALS),
    **dict.fromkeys(binary.WHOLE, _WHOLE),
}


class Tensor(msgspec.Struct):
    """One input, as it is sent."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class Wanted(msgspec.Struct):
    """One output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class Inference(msgspec.Struct):
    """A request."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Wanted] | None = None


_decoder = msgspec.json.Decoder(Inference)
_encoder = msgspec.json.Encoder()


def read(body: bytes, head: Head, model: Model, limits: Limits) -> Asked:
    """Read a request.

    Raises
    ------
    InputError
        it is no such request, or a value is not one that its column can hold.
    RefusedError
        it holds more rows than are taken.
    """
    text, tail = binary.split(body, head.binary_header)
    check_unfolding(text, limits)
    asked = decoded(_decoder, text)
    parameters = asked.parameters or {}
    outputs = checked_outputs([wanted.name for wanted in asked.outputs or ()])
    if not asked.inputs:
        raise InputError("inputs is empty. Send one input for each column.")
    check_columns(len(asked.inputs), model, limits)
    row = None if len(tail) else _one_row(asked.inputs)
    if row is None:
        packed, columns = _rows(asked.inputs, tail, outputs, model, limits)
    else:
        packed, columns = model.packer.row(row), {name: [value] for name, value in row.items()}
    everywhere = bool(parameters.get("binary_data_output"))
    as_bytes = {
        wanted.name
        for wanted in asked.outputs or ()
        if (wanted.parameters or {}).get("binary_data", everywhere)
    } or (set(outputs) if everywhere and not asked.outputs else set())
    rate = checked_rate(parameters.get("alert_rate"), model)
    return Asked(
        rows=packed,
        ignored=max(0, len(asked.inputs) - len(model.columns)),
        rate=rate,
        outputs=outputs,
        reply=partial(write, model, asked.id, outputs, frozenset(as_bytes), rate),
        cell=lambda column, at: columns[column][at] if column in columns else None,
    )


def write(
    model: Model,
    identity: str | None,
    outputs: tuple[str, ...],
    as_bytes: frozenset[str],
    rate: float,
    answer: Answer,
) -> Reply:
    """Write an answer; outputs in `as_bytes` as binary tensors behind the JSON."""
    described, tail = [], []
    for name in outputs:
        output: dict[str, Any] = {"name": name, "datatype": OUTPUT_TYPES[name], "shape": [len(answer.score)]}
        values = answer.column(name)
        if name == "reasons":
            values = [_encoder.encode(reasons).decode() for reasons in values]
        if name in as_bytes:
            raw = binary.encoded(values, OUTPUT_TYPES[name])
            output["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            output["data"] = values
        described.append(output)
    said: dict[str, Any] = {
        "model_name": model.name,
        "model_version": model.version,
        "parameters": {"digest": model.digest, "alert_rate": rate},
        "outputs": described,
    }
    if identity is not None:
        said["id"] = identity
    text = _encoder.encode(said)
    if not tail:
        return Reply(text, JSON)
    return Reply(b"".join([text, *tail]), OCTETS, ((HEADER_LENGTH, str(len(text))),))


def _one_row(tensors: list[Tensor]) -> dict[str, Any] | None:
    """The row of a request with one value in each input, all in order; None: look closer."""
    row = {}
    for tensor in tensors:
        data = tensor.data
        if data is None or len(data) != 1 or tensor.shape not in _ONE or tensor.parameters:
            return None
        if type(data[0]) not in _JSON_TYPES.get(tensor.datatype, ()) or tensor.datatype in binary.WHOLE:
            return None
        row[tensor.name] = data[0]
    return row if len(row) == len(tensors) and PACKED not in row else None


def _rows(
    tensors: list[Tensor], tail: memoryview, outputs: tuple[str, ...], model: Model, limits: Limits
) -> tuple[Rows, _Columns]:
    """The rows of any request, and its columns as they came."""
    refuse_duplicates(tensor.name for tensor in tensors)
    rows = _rows_of(tensors)
    check_size(rows, outputs, limits)
    raw = binary.Tail(tail)
    found = _packed(tensors, rows, raw, model)
    raw.finish()
    return found


def _rows_of(tensors: list[Tensor]) -> int:
    """Check the shapes; all inputs have the same number of rows."""
    for tensor in tensors:
        shape = tensor.shape
        if not 1 <= len(shape) <= 2 or any(size < 0 or size > 1 << 31 for size in shape):
            raise InputError(
                f"input {shown(tensor.name)} has shape {shown(shape)}, expected [rows] or [rows, 1]; "
                f"or, for the packed input {PACKED!r}, [rows, columns]."
            )
        if tensor.datatype not in _JSON_TYPES:
            raise InputError(
                f"input {shown(tensor.name)} has datatype {shown(tensor.datatype)}. "
                f"There are {', '.join(_JSON_TYPES)}."
            )
    rows = tensors[0].shape[0]
    for tensor in tensors:
        if tensor.shape[0] != rows:
            raise InputError(
                f"input {shown(tensor.name)} has {tensor.shape[0]:,} rows, and {shown(tensors[0].name)} has {rows:,}."
            )
    return rows


def _packed(tensors: list[Tensor], rows: int, tail: binary.Tail, model: Model) -> tuple[Rows, _Columns]:
    if len(tensors) == 1 and _is_packed(tensors[0], model):
        return _pack_matrix(tensors[0], tail, model), {}
    columns: _Columns = {}
    for tensor in tensors:
        if len(tensor.shape) == 2 and tensor.shape[1] != 1:
            raise InputError(
                f"input {shown(tensor.name)} has shape {shown(tensor.shape)}, expected [rows] or [rows, 1]: one input "
                "for each column."
            )
        columns[tensor.name] = _values(tensor, tail)
    if rows == 1:
        return model.packer.row({name: values[0] for name, values in columns.items()}), columns
    table = pa.table({name: _column(name, values) for name, values in columns.items()})
    return model.packer.table(table), columns


def _is_packed(tensor: Tensor, model: Model) -> bool:
    return tensor.name == PACKED and PACKED not in {column.name for column in model.columns}


def _pack_matrix(tensor: Tensor, tail: binary.Tail, model: Model) -> Rows:
    if any(column.kind not in {"number", "boolean"} for column in model.columns):
        raise SchemaError(
            f"the packed input {PACKED!r} is for models of numbers alone. Send one input for each column."
        )
    expected = len(model.columns)
    if len(tensor.shape) != 2 or tensor.shape[1] != expected or tensor.datatype in {"BYTES", "BOOL"}:
        raise SchemaError(
            f"the packed input {PACKED!r} came as {shown(tensor.datatype)} {shown(tensor.shape)}, expected numbers "
            f"of shape [rows, {expected}], in the order of the metadata."
        )
    values = _values(tensor, tail)
    if not isinstance(values, np.ndarray):
        try:
            values = np.array(values, dtype=np.float64)  # None becomes NaN
        except OverflowError:  # an integer beyond the largest float
            values = np.array([model.packer.rules.number(value) for value in values])
    return model.packer.array(values.reshape(tensor.shape))


def _values(tensor: Tensor, tail: binary.Tail) -> list[Any] | NDArray[Any]:
    """The values of an input in row-major order; as many as its shape says."""
    expected = prod(tensor.shape)
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is not None:
        if tensor.data is not None:
            raise InputError(f"input {shown(tensor.name)} has data and binary_data_size. Send one of them.")
        return tail.take(tensor.name, tensor.datatype, expected, size)
    if tensor.data is None:
        raise InputError(f"input {shown(tensor.name)} has no data.")
    data = tensor.data
    if len(data) != expected or (data and type(data[0]) is list):
        data = _flat(tensor)
    if len(data) != expected:
        raise InputError(
            f"input {shown(tensor.name)} has {len(data):,} values, and its shape {shown(tensor.shape)} needs {expected:,}."
        )
    _check_types(tensor, data)
    return data


def _flat(tensor: Tensor) -> list[Any]:
    """Values of data that is nested as the shape is, [[1], [2]]."""
    data, shape = tensor.data or [], tensor.shape
    if len(shape) != 2 or not all(isinstance(row, list) and len(row) == shape[1] for row in data):
        return data
    return [value for row in data for value in row]


def _check_types(tensor: Tensor, data: list[Any]) -> None:
    allowed = _JSON_TYPES[tensor.datatype]
    if not allowed.issuperset(map(type, data)):
        at = next(i for i, value in enumerate(data) if type(value) not in allowed)
        raise TableError(
            f"input {shown(tensor.name)}: {shown(data[at])} at row {at + 1:,} is not of datatype {tensor.datatype}. "
            "Name the datatype of the values, or send null for a missing one.",
            column=tensor.name,
            row=at + 1,
        )
    if tensor.datatype in binary.WHOLE:
        low, high = binary.WHOLE[tensor.datatype]
        for at, value in enumerate(data):
            if value is not None and not low <= value <= high:
                raise TableError(
                    f"input {shown(tensor.name)}: {shown(value)} at row {at + 1:,} is beyond {tensor.datatype}. "
                    "Name a wider datatype.",
                    column=tensor.name,
                    row=at + 1,
                )


def _column(name: str, values: list[Any] | NDArray[Any]) -> pa.Array:
    if isinstance(values, np.ndarray):
        return pa.array(values)
    return pa.array(values, pa.binary()) if values and type(values[0]) is bytes else column_of(values, name)
