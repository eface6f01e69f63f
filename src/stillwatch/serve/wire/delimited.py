"""CSV with a header, in and out. Every field is text, so that the packer alone decides what a value means."""

from __future__ import annotations

import csv
import io
from functools import partial

import pyarrow as pa
import pyarrow.csv as pacsv

from stillwatch.errors import InputError, TableError
from stillwatch.serve.limits import Limits
from stillwatch.serve.models import Model
from stillwatch.serve.wire.arrow import answered, table_cell
from stillwatch.serve.wire.asked import Answer, Asked, Head, Reply, asked_by_query, check_columns, check_size
from stillwatch.table.schema import refuse_duplicates

MEDIA = "text/csv"


def read(body: bytes, head: Head, model: Model, limits: Limits) -> Asked:
    """Read a request; errors as in `open_inference.read`."""
    rate, outputs = asked_by_query(head, model)
    if "reasons" in outputs:
        raise InputError("reasons do not fit into CSV. Ask for JSON.")
    if not body.strip():
        raise InputError("the body is empty. Send CSV with a header.")
    check_size(body.count(b"\n") - 1, outputs, limits)
    table = _table(body, model, limits)
    check_size(table.num_rows, outputs, limits)
    return Asked(
        model.packer.table(table),
        max(0, table.num_columns - len(model.columns)),
        rate,
        outputs,
        partial(write, outputs),
        partial(table_cell, table),
    )


def write(outputs: tuple[str, ...], answer: Answer) -> Reply:
    """Write an answer."""
    sink = pa.BufferOutputStream()
    pacsv.write_csv(
        answered(outputs, answer), sink, pacsv.WriteOptions(quoting_style="none", quoting_header="none")
    )
    return Reply(sink.getvalue().to_pybytes(), MEDIA)


def _table(body: bytes, model: Model, limits: Limits) -> pa.Table:
    try:
        names = _header(body)
        check_columns(len(names), model, limits)
        refuse_duplicates(names)
        return pacsv.read_csv(pa.BufferReader(body), *_options(names, limits))
    except (pa.ArrowInvalid, csv.Error, UnicodeDecodeError) as exc:
        raise TableError(f"the body is not CSV in UTF-8: {str(exc).splitlines()[0][:200]}") from exc


def _header(body: bytes) -> list[str]:
    """Names of the columns: the first record that is not blank."""
    for record in csv.reader(io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")):
        if record:
            return record
    raise InputError("the body holds no CSV. Send a header and rows.")


def _options(names: list[str], limits: Limits) -> tuple[object, object, object]:
    return (
        pacsv.ReadOptions(use_threads=False, block_size=limits.body_bytes + 1),
        pacsv.ParseOptions(newlines_in_values=True),
        pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
