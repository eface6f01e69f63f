"""NDJSON: a JSON object a line in, a line out for each, in order. A bad line refuses the request and is named."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from stillwatch.errors import InputError
from stillwatch.serve.limits import Limits, unfolds_too_far
from stillwatch.serve.models import Model
from stillwatch.serve.wire.asked import Answer, Asked, Head, Reply, asked_by_query, check_columns, check_size
from stillwatch.serve.wire.dataframe import records
from stillwatch.serve.wire.text import check_unfolding, decoded, refuse_doubled_keys
from stillwatch.table.memory import column_of
from stillwatch.table.values import shown

MEDIA = "application/x-ndjson"
_CELL = 16  # bytes that one value of a table takes while it is made, at least

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def read(body: bytes, head: Head, model: Model, limits: Limits) -> Asked:
    """Read a request; a key that a line lacks is a missing value, as in files. Errors as in `open_inference.read`."""
    rate, outputs = asked_by_query(head, model)
    check_unfolding(body, limits)
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), start=1) if line.strip()]
    if not lines:
        raise InputError("the body is empty. Send one JSON object a line.")
    check_size(len(lines), outputs, limits)
    found = [_record(number, line) for number, line in lines]
    names = dict.fromkeys(name for record in found for name in record)
    check_columns(len(names), model, limits)
    if len(names) * len(found) * _CELL > limits.decoded_bytes:  # keys of one line are cells of every line
        raise unfolds_too_far(limits)
    if len(found) == 1:
        rows = model.packer.row(found[0])
    else:
        rows = model.packer.table(
            pa.table({name: column_of([record.get(name) for record in found], name) for name in names})
        )
    ignored = max(0, len(names) - len(model.columns))
    return Asked(
        rows, ignored, rate, outputs, partial(write, outputs), lambda column, row: found[row].get(column)
    )


def write(outputs: tuple[str, ...], answer: Answer) -> Reply:
    """Write an answer."""
    return Reply(_encoder.encode_lines(records(outputs, answer)), MEDIA)


def _record(number: int, line: bytes) -> dict[str, Any]:
    try:
        record = decoded(_decoder, line)
        if not isinstance(record, dict):
            raise InputError(f"{shown(record)} is no JSON object.")
        refuse_doubled_keys(line, len(record))
    except InputError as exc:
        raise type(exc)(f"line {number:,}: {exc}") from exc
    return record
