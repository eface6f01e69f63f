"""What stands in a row of scores: the key columns, then score, p-value and alert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from stillwatch.errors import SchemaError
from stillwatch.table.memory import number_column
from stillwatch.table.schema import did_you_mean
from stillwatch.table.values import MIXED, spelled

if TYPE_CHECKING:
    from stillwatch.scorer import Verdict

RESULTS = ("score", "p_value", "alert", "reasons")
"""Columns that scoring may add to the key columns."""


def check_keys(keys: Sequence[str], names: Sequence[str]) -> None:
    """Raise SchemaError where a key column is missing, or has the name of a result."""
    for name in keys:
        if name in RESULTS:
            raise SchemaError(
                f"the model's key column {name!r} has the name of a column that `score` adds. "
                "Rename it in the table and distill again."
            )
        if name not in names:
            raise SchemaError(f"key column {name!r} is missing{did_you_mean(name, names)}")


def key_columns(batch: pa.RecordBatch, keys: Sequence[str]) -> dict[str, pa.Array]:
    """The key columns, as they may be written to a file."""
    columns = {name: batch.column(name) for name in keys}
    return {name: spelled(column) if column.type == MIXED else column for name, column in columns.items()}


def score_columns(batch: pa.RecordBatch, keys: Sequence[str], verdict: Verdict) -> pa.RecordBatch:
    """Key columns of rows, and what was found about them."""
    return pa.RecordBatch.from_pydict(
        key_columns(batch, keys)
        | {
            "score": number_column(verdict.score),
            "p_value": number_column(verdict.p_value.astype(np.float32)),
            "alert": number_column(verdict.alert),
        }
    )
