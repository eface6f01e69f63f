"""Every door that rows come in by: one rule has to hold at all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

Door = Callable[[pa.Table, Path], Any]


def _csv(table: pa.Table, folder: Path) -> Path:
    pacsv.write_csv(table, folder / "rows.csv")
    return folder / "rows.csv"


def _parquet(table: pa.Table, folder: Path) -> Path:
    pq.write_table(table, folder / "rows.parquet")
    return folder / "rows.parquet"


def _ndjson(table: pa.Table, folder: Path) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in table.to_pylist())
    (folder / "rows.ndjson").write_text(lines)
    return folder / "rows.ndjson"


TEXT_FILES: dict[str, Door] = {"csv": _csv}
DOORS: dict[str, Door] = {
    "csv": _csv,
    "ndjson": _ndjson,
    "parquet": _parquet,
    "arrow": lambda table, _: table,
    "pandas": lambda table, _: table.to_pandas(),
    "polars": lambda table, _: pl.from_arrow(table),
    "dicts": lambda table, _: table.to_pylist(),
}
