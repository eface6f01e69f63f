"""Rows as the formats have them."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

DATATYPES = {"member": "BOOL", "city": "BYTES", "shop": "BYTES", "country": "BYTES", "stamp": "INT64"}


def _null(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def tensors(rows: pa.Table) -> list[dict[str, Any]]:
    """One input for each column, as JSON."""
    return [
        {
            "name": name,
            "shape": [rows.num_rows, 1],
            "datatype": DATATYPES.get(name, "FP64"),
            "data": [_null(value) for value in rows.column(name).to_pylist()],
        }
        for name in rows.column_names
    ]


def inference(rows: pa.Table, **more: Any) -> dict[str, Any]:
    return {"inputs": tensors(rows), **more}


def records(rows: pa.Table) -> list[dict[str, Any]]:
    return [{name: _null(value) for name, value in row.items()} for row in rows.to_pylist()]


def ndjson(rows: pa.Table) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in records(rows)).encode()


def csv(rows: pa.Table) -> bytes:
    sink = io.BytesIO()
    pacsv.write_csv(rows, sink)
    return sink.getvalue()


def arrow(rows: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
        stream.write_table(rows, max_chunksize=100)
    return sink.getvalue()


def scores(answer: dict[str, Any], name: str = "score") -> np.ndarray:
    """One output of an inference answer."""
    return np.array(next(output["data"] for output in answer["outputs"] if output["name"] == name))
