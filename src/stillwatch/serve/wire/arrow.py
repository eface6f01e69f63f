"""Arrow IPC streams, in and out.

What a stream would unfold to is known before it is: compressed buffers, and types that hide their size, are refused, and a
dictionary's longest value is multiplied by the rows.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from stillwatch.errors import InputError
from stillwatch.serve.limits import Limits, unfolds_too_far
from stillwatch.serve.models import Model
from stillwatch.serve.wire.asked import Answer, Asked, Head, Reply, asked_by_query, check_columns, check_size
from stillwatch.serve.wire.messages import refuse_compression
from stillwatch.table.memory import number_column
from stillwatch.table.rows import Rows
from stillwatch.table.schema import refuse_duplicates
from stillwatch.table.values import shown

MEDIA = "application/vnd.apache.arrow.stream"

_encoder = msgspec.json.Encoder()
_READ = (
    pt.is_null, pt.is_boolean, pt.is_integer, pt.is_floating, pt.is_decimal, pt.is_temporal, pt.is_string,
    pt.is_large_string, pt.is_binary, pt.is_large_binary, pt.is_fixed_size_binary,
)  # fmt: skip


def read(body: bytes, head: Head, model: Model, limits: Limits) -> Asked:
    """Read a request; errors as in `open_inference.read`."""
    rate, outputs = asked_by_query(head, model)
    if not body:
        raise InputError("the body is empty. Send an Arrow IPC stream.")
    names = {column.name for column in model.columns} | set(model.manifest.schema.keys)
    refuse_compression(body)
    try:
        with pa.ipc.open_stream(pa.BufferReader(body)) as stream:
            check_columns(len(stream.schema), model, limits)
            refuse_duplicates(stream.schema.names)
            used = [field for field in stream.schema if field.name in names]
            for field in used:
                _check_type(field)
            parts, kept, rows, size = [], [], 0, 0
            for batch in stream:
                rows += batch.num_rows
                check_size(rows, outputs, limits)
                batch = batch.select([field.name for field in used])  # noqa: PLW2901 - the rest is ignored
                batch.validate(full=True)  # offsets come from outside
                size += sum(map(_unfolded, batch.columns))
                if size > limits.decoded_bytes:
                    raise unfolds_too_far(limits)
                parts.append(model.packer.table(batch, first_row=rows - batch.num_rows + 1))
                kept.append(batch)
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"the body is no whole Arrow IPC stream: {str(exc).splitlines()[0][:200]}.") from exc
    if not parts:
        parts.append(model.packer.table(pa.schema(used).empty_table()))
    ignored = len(stream.schema.names) - len(used)
    cell = partial(table_cell, pa.Table.from_batches(kept, pa.schema(used)))
    return Asked(Rows.concat(parts), ignored, rate, outputs, partial(write, model, outputs), cell)


def table_cell(table: pa.Table, column: str, row: int) -> Any:
    """`Cell` of a table."""
    return table.column(column)[row].as_py() if column in table.column_names else None


def write(model: Model, outputs: tuple[str, ...], answer: Answer) -> Reply:
    """Write an answer; its schema names the model."""
    batch = answered(outputs, answer).replace_schema_metadata(
        {"model": model.name, "model_version": model.version, "model_digest": model.digest}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return Reply(sink.getvalue().to_pybytes(), MEDIA)


def answered(outputs: tuple[str, ...], answer: Answer) -> pa.RecordBatch:
    """An answer as Arrow columns; reasons are JSON text."""
    columns: dict[str, Any] = {}
    for name in outputs:
        if name == "reasons":
            columns[name] = pa.array(
                [_encoder.encode(reasons).decode() for reasons in answer.reasons], pa.string()
            )
        else:
            values = getattr(answer, name)
            columns[name] = number_column(values.astype("float32") if name == "p_value" else values)
    return pa.RecordBatch.from_pydict(columns)


def _check_type(field: pa.Field) -> None:
    kind = field.type.value_type if pt.is_dictionary(field.type) else field.type
    if isinstance(kind, pa.BaseExtensionType) or not any(test(kind) for test in _READ):
        raise InputError(
            f"column {shown(field.name)} has the Arrow type {shown(str(field.type))}, which is not read here. "
            "Send numbers, text, booleans or timestamps, or dictionaries of them."
        )


def _unfolded(array: pa.Array) -> int:
    """Bytes that a column takes once its dictionary is resolved."""
    if not pt.is_dictionary(array.type):
        return int(array.nbytes)
    values = array.dictionary
    variable = any(test(values.type) for test in _READ[-5:-1])
    longest = (pc.max(pc.binary_length(values)).as_py() or 0) if variable and len(values) else 16
    return int(len(array) * longest + array.nbytes)
