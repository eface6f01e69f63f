from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.memory import column_of, table_of_records, table_of_stream
from stillwatch.table.read import open_source


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ([1, 2.5, None], [1.0, 2.5, None]),
        ([True, 2, 2**70, None], [True, 2.0, float(2**70), None]),
        ([True, None], [True, None]),
        ([1, "a", None, 2.0, True], ["1", "a", None, "2", "true"]),
        (["a", float("nan"), pd.NA], ["a", None, None]),
        ([Decimal("1.5"), "x"], ["1.5", "x"]),
        ([None, Decimal("Infinity")], [None, "inf"]),
        (["é".encode(), "x"], [b"\xc3\xa9", b"x"]),
    ],
)
def test_columns_of_mixed_objects(values: list[Any], column: list[Any]) -> None:
    assert column_of(values, "c").to_pylist() == column


@pytest.mark.parametrize("values", [["a\ud800"], ["\ud800", 1], [1, object()], ["a", dt.date(2020, 1, 1)]])
def test_columns_that_cannot_be(values: list[Any]) -> None:
    with pytest.raises(TableError, match="column 'c'"):
        column_of(values, "c")


@pytest.mark.parametrize(
    "index",
    [None, pd.Index([5, 6]), pd.Index([5, 6], name="id"), pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])],
)
def test_the_index_of_a_dataframe_is_dropped(index: Any) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=index)
    assert table_of_stream(frame).to_pydict() == {"a": [1, 2], "b": ["x", None]}


def test_dataframes_with_mixed_columns() -> None:
    frame = pd.DataFrame({"a": [1, "x"], 7: [1.5, None]})
    assert table_of_stream(frame).to_pydict() == {"a": ["1", "x"], "7": [1.5, None]}


def test_polars() -> None:
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"]}, schema_overrides={"b": pl.Categorical})
    assert table_of_stream(frame).to_pydict() == {"a": [1, None], "b": ["x", "y"]}


def test_doubled_names_and_a_series() -> None:
    with pytest.raises(SchemaError, match="more than once: 'a'"):
        table_of_stream(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(SchemaError, match="more than once: '1'"):
        open_source(pd.DataFrame([[1, "x"]], columns=[1, "1"]))
    with pytest.raises(TableError, match="Series"):
        table_of_stream(pd.Series([1, 2]))
    with pytest.raises(TableError, match="Series"):
        table_of_stream(pl.Series([1, 2]))


def test_records() -> None:
    table = table_of_records([{"a": 1, "b": "x"}, {"b": 2, "a": None}])
    assert table.to_pydict() == {"a": [1, None], "b": ["x", "2"]}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"a": 1}, "row 2 has no 'b'"),
        ({"a": 1, "b": 2, "c": 3}, "row 2 has 'c'"),
        ([1, 2], "row 2 is a list"),
    ],
)
def test_records_that_differ(second: Any, message: str) -> None:
    with pytest.raises(TableError, match=message):
        table_of_records([{"a": 1, "b": 2}, second])


def test_arrow_reader_is_read_once() -> None:
    table = pa.table({"a": np.arange(5)})
    assert table_of_stream(table.to_reader()) == table
