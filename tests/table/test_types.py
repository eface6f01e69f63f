"""Columns of every common type: each has a rule, or an error that says what to do."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from stillwatch.errors import TableError
from stillwatch.table.pack import Packer
from stillwatch.table.read import open_source
from stillwatch.table.schema import Column, Kind, Schema, infer_schema

NAN = float("nan")


def read(data: Any, kind: Kind) -> list[Any]:
    rows = Packer(Schema(columns=(Column(name="c", kind=kind),))).table(next(open_source(data).batches()))
    part = rows.texts if kind == "category" else rows.times if kind == "timestamp" else rows.numbers
    return list(part[:, 0].tolist())


def frame(values: Any, dtype: Any) -> pd.DataFrame:
    return pd.DataFrame({"c": pd.Series(values, dtype=dtype)})


NUMBERS: list[tuple[Any, list[float]]] = [
    (frame([1, None], "Int8"), [1, NAN]),
    (frame([1.5, None], "Float32"), [1.5, NAN]),
    (frame([1.5, None], "float64[pyarrow]"), [1.5, NAN]),
    (frame([1, 0], pd.SparseDtype("int64")), [1, 0]),
    (frame([1.0, None], "category"), [1, NAN]),
    (frame([True, None], "boolean"), [1, NAN]),
    (frame([dt.timedelta(hours=1), None], "timedelta64[ns]"), [3600, NAN]),
    (pl.DataFrame({"c": [Decimal("1.25"), None]}), [1.25, NAN]),
    (pl.DataFrame({"c": [dt.timedelta(milliseconds=1500), None]}), [1.5, NAN]),
    (pl.DataFrame({"c": [dt.time(1, 0, 0, 500_000), None]}), [3600.5, NAN]),
    (pa.table({"c": pa.array([1, None], pa.uint64())}), [1, NAN]),
    (pa.table({"c": pa.array([1.5, None]).cast(pa.float16())}), [1.5, NAN]),
    (pa.table({"c": pa.array([Decimal("1.25"), None], pa.decimal256(50, 2))}), [1.25, NAN]),
    (pa.table({"c": pa.array([Decimal("1.25"), None], pa.decimal32(5, 2))}), [1.25, NAN]),
    (pa.table({"c": pa.array([1, None, 1]).dictionary_encode()}), [1, NAN, 1]),
    (pa.table({"c": pa.RunEndEncodedArray.from_arrays([2, 3], [1.5, None])}), [1.5, 1.5, NAN]),
    (pa.table({"c": pa.array([2, None], pa.time32("ms"))}), [0.002, NAN]),
    (pa.table({"c": pa.array([2, None], pa.time64("ns"))}), [2e-9, NAN]),
    (pa.table({"c": pa.array([2, None], pa.duration("s"))}), [2, NAN]),
    (
        pa.table({"c": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8()))}),
        [1, 0, NAN],
    ),
    ([{"c": dt.timedelta(seconds=2)}, {"c": None}], [2, NAN]),
    ([{"c": True}, {"c": 2}, {"c": None}, {"c": False}], [1, 2, NAN, 0]),
]


@pytest.mark.parametrize(("data", "expected"), NUMBERS)
def test_numbers(data: Any, expected: list[float]) -> None:
    np.testing.assert_array_equal(read(data, "number"), expected)
    schema = infer_schema(open_source(data))
    assert schema.columns[0].kind in {"number", "boolean"}


TEXTS: list[tuple[Any, list[str]]] = [
    (frame(["a", None], "string"), ["a", ""]),
    (frame(["a", None], "string[pyarrow]"), ["a", ""]),
    (frame(["a", None], "category"), ["a", ""]),
    (frame([443, None], "Int64"), ["443", ""]),
    (frame([True, None], "boolean"), ["true", ""]),
    (frame([dt.timedelta(hours=1), None], "timedelta64[ns]"), ["3600", ""]),
    (pl.DataFrame({"c": ["a", None]}, schema={"c": pl.Enum(["a", "b"])}), ["a", ""]),
    (pa.table({"c": pa.array(["a", None], pa.string_view())}), ["a", ""]),
    (pa.table({"c": pa.array(["a", None], pa.string_view()).dictionary_encode()}), ["a", ""]),
    (pa.table({"c": pa.array([b"ab", None], pa.binary(2))}), ["ab", ""]),
    (pa.table({"c": pa.array([dt.time(0, 1), None])}), ["60", ""]),
    (pa.table({"c": pa.nulls(2)}), ["", ""]),
    ([{"c": True}, {"c": 1}, {"c": None}, {"c": False}, {"c": 0.0}], ["true", "1", "", "false", "0"]),
    (pa.table({"c": pa.RunEndEncodedArray.from_arrays([1, 2], ["a", None])}), ["a", ""]),
    (pa.table({"c": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}", None]))}), ["{}", ""]),
]


@pytest.mark.parametrize(("data", "expected"), TEXTS)
def test_texts(data: Any, expected: list[str]) -> None:
    assert read(data, "category") == expected


UNREAD: list[Any] = [
    pa.table({"c": [[1], None]}),
    pa.table({"c": pa.array([[1, 2]], pa.list_(pa.int8(), 2))}),
    pa.table({"c": [{"a": 1}]}),
    pa.table({"c": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8()))}),
    pa.table({"c": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
    frame([pd.Interval(0, 1)], "interval"),
    pl.DataFrame({"c": [[1, 2]]}),
    [{"c": {"a": 1}}],
]


@pytest.mark.parametrize("data", UNREAD)
@pytest.mark.parametrize("kind", ["number", "category", "boolean", "timestamp"])
def test_types_without_a_rule(data: Any, kind: Kind) -> None:
    with pytest.raises(TableError, match=r"column 'c'.*ignore the column") as caught:
        read(data, kind)
    assert caught.value.column == "c"


@pytest.mark.parametrize("data", UNREAD)
def test_types_without_a_rule_are_set_aside(data: Any) -> None:
    table = next(open_source(data).batches()).append_column(
        "x", pa.array([1.5] * len(next(open_source(data).batches())))
    )
    column = infer_schema(open_source(table)).columns[0]
    assert column.role == "ignore"
    assert "not read" in column.reason


def test_uuids_and_complex_numbers_say_what_to_do() -> None:
    uuid = pa.table({"c": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\xff" * 16], pa.binary(16)))})
    with pytest.raises(TableError, match=r"column 'c'.*UTF-8"):
        read(uuid, "category")
    with pytest.raises(TableError, match=r"cannot be read|type complex"):
        open_source(pd.DataFrame({"c": [1j]}))
