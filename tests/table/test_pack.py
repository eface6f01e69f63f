from __future__ import annotations

import datetime as dt
import math
from collections import namedtuple
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.pack import Packer, Rows
from stillwatch.table.read import open_source
from stillwatch.table.schema import Column, Kind, Role, Schema, infer_schema


def schema(missing: tuple[str, ...] | None = None, **kinds: Kind) -> Schema:
    columns = tuple(Column(name=name, kind=kind) for name, kind in kinds.items())
    return Schema(columns=columns) if missing is None else Schema(columns=columns, missing=missing)


MIXED = schema(color="category", amount="number", paid="boolean", size="number")
PACKER = Packer(MIXED)
ROW = {"color": "red", "amount": 1.5, "paid": True, "size": 3}


def equal(a: Rows, b: Rows) -> None:
    np.testing.assert_array_equal(a.numbers, b.numbers)
    assert a.texts.tolist() == b.texts.tolist()
    np.testing.assert_array_equal(a.times, b.times)
    assert a.numbers.shape == b.numbers.shape
    assert a.times.dtype == b.times.dtype == np.int64
    assert a.texts.shape == b.texts.shape
    assert a.numbers.dtype == b.numbers.dtype == np.float64
    assert a.texts.dtype == b.texts.dtype == np.object_


def packed(source: Any, packer: Packer = PACKER) -> Rows:
    return Rows.concat(packer.table(batch) for batch in open_source(source).batches())


# One value, one meaning, whatever door it came through

plain_text = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n\"'"), max_size=5)
rows_of_values = st.lists(
    st.fixed_dictionaries(
        {
            "color": st.one_of(
                st.none(), st.sampled_from(["red", " RED", "NA", "443.0", "True"]), plain_text
            ),
            "amount": st.one_of(st.none(), st.floats()),
            "paid": st.one_of(st.none(), st.booleans()),
            "when": st.one_of(st.none(), st.datetimes()),
            "size": st.one_of(st.none(), st.integers(-(2**60), 2**60)),
        }
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(rows=rows_of_values)
def test_every_door_gives_the_same(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    packer = Packer(
        schema(color="category", amount="number", paid="boolean", when="timestamp", size="number")
    )
    rows = [{column.name: row[column.name] for column in packer.schema.columns} for row in rows]
    kinds = [("color", pa.string()), ("amount", pa.float64()), ("paid", pa.bool_())]
    kinds += [("when", pa.timestamp("us")), ("size", pa.int64())]
    table = pa.Table.from_pylist(rows, schema=pa.schema(kinds))
    expected = packer.table(table)
    folder = tmp_path_factory.mktemp("doors")
    pq.write_table(table, folder / "t.parquet")
    pacsv.write_csv(table, folder / "t.csv")
    # JSON has no infinity, which is written as text; NaN becomes null.
    lines = [{**row, "amount": str(row["amount"])} if math.isinf(row["amount"] or 0) else row for row in rows]
    (folder / "t.ndjson").write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    with pa.ipc.new_file(folder / "t.arrow", table.schema) as writer:
        writer.write_table(table)
    # Arrow writes NaN as "nan" and null as nothing; both are missing.
    for name in ("t.csv", "t.parquet", "t.ndjson", "t.arrow"):
        equal(packed(folder / name, packer), expected)
    equal(packed(pl.from_arrow(table), packer), expected)
    equal(packed(pd.DataFrame(rows), packer), expected)
    equal(packed(rows, packer), expected)
    equal(Rows.concat(packer.row(row) for row in rows), expected)
    equal(Rows.concat(packer.row(tuple(row.values())) for row in rows), expected)
    equal(packer.array(np.array([list(row.values()) for row in rows], dtype=object)), expected)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                name: st.one_of(
                    st.none(),
                    st.integers(),
                    st.floats(),
                    st.booleans(),
                    st.sampled_from(
                        ["1", " 2.50 ", "NA", "-999", "-999.0", "yes", "F", "1,5", "x", "007", "3.0"]
                    ),
                    st.binary(max_size=3),
                    st.decimals(allow_nan=False, places=2, min_value=-1000, max_value=1000),
                )
                for name in ("color", "amount", "paid", "size")
            }
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_row_of_anything_packs_as_its_table_does(rows: list[dict[str, Any]]) -> None:
    packer = Packer(
        schema(("", "NA", "-999"), color="category", amount="number", paid="boolean", size="number")
    )
    for row in rows:
        columns = {name: [value] for name, value in row.items()}
        try:
            table = pa.table(columns)
        except (OverflowError, pa.ArrowInvalid):
            continue
        try:
            expected = packer.table(table)
        except TableError:
            with pytest.raises(TableError):
                packer.row(row)
        else:
            equal(packer.row(row), expected)


@given(x=st.lists(st.tuples(*[st.floats()] * 3), min_size=1, max_size=5), size=st.sampled_from([4, 8]))
def test_arrays_and_their_rows(x: list[tuple[float, ...]], size: int) -> None:
    packer = Packer(schema(("-999",), x0="number", x1="category", x2="number"))
    with np.errstate(over="ignore"):
        array = np.array(x).astype(f"f{size}")
    expected = packer.array(array)
    equal(packed(array, packer), expected)
    equal(Rows.concat(packer.row(row) for row in array), expected)
    equal(packer.array(array.astype(object)) if size == 8 else expected, expected)


# Tables


def test_order_follows_the_schema_and_extras_are_ignored() -> None:
    table = pa.table({"extra": [[1]], "size": ["3"], "paid": ["Y"], "amount": [1.5], "color": [b"red"]})
    rows = PACKER.table(table)
    assert rows.numbers.tolist() == [[1.5, 1.0, 3.0]]
    assert rows.texts.tolist() == [["red"]]
    assert PACKER.extra(table.schema.names) == ("extra",)


@pytest.mark.parametrize("rows", [0, 1, 16_383, 16_384, 16_385, 40_000])
def test_row_counts_around_a_piece(rows: int) -> None:
    table = pa.table(
        {"color": ["red"] * rows, "amount": np.arange(rows), "paid": [True] * rows, "size": ["7"] * rows}
    )
    for data in (table, table.combine_chunks().to_batches(max_chunksize=10**6)[0] if rows else table):
        packed_rows = PACKER.table(data)
        assert len(packed_rows) == rows
        assert packed_rows.numbers.shape == (rows, 3)
        np.testing.assert_array_equal(packed_rows.numbers[:, 0], np.arange(rows))
        assert set(packed_rows.texts[:, 0]) <= {"red"}


def test_chunks_with_other_dictionaries() -> None:
    parts = [pa.array(["a", None]).dictionary_encode(), pa.array(["b", "a"]).dictionary_encode()]
    table = pa.table({"c": pa.chunked_array(parts)})
    assert Packer(schema(c="category")).table(table).texts[:, 0].tolist() == ["a", "", "b", "a"]


def test_only_numbers_or_only_texts() -> None:
    table = pa.table({"a": ["1"], "b": ["x"]})
    only_number, only_text = (
        Packer(schema(a="number")).table(table),
        Packer(schema(b="category")).table(table),
    )
    assert (only_number.numbers.shape, only_number.texts.shape) == ((1, 1), (1, 0))
    assert (only_text.numbers.shape, only_text.texts.shape) == ((1, 0), (1, 1))
    assert len(only_text) == 1


def test_a_wrong_number_names_column_count_value_and_row() -> None:
    values = ["1"] * 1000
    values[16] = values[20] = values[999] = "12,50"
    with pytest.raises(TableError) as caught:
        Packer(schema(amount="number")).table(pa.table({"amount": values}), first_row=1001)
    assert str(caught.value) == (
        "column 'amount': 3 of 1,000 values are not numbers (first: '12,50' at row 1,017). "
        "Declare decimal=',' if commas are decimal marks, otherwise clean it."
    )
    assert (caught.value.column, caught.value.row) == ("amount", 1017)


def test_a_wrong_number_beyond_the_first_piece_keeps_its_row() -> None:
    values = ["1"] * 40_000
    values[39_998] = "x"
    with pytest.raises(TableError, match="at row 40,000") as caught:
        Packer(schema(c="number")).table(pa.table({"c": values}), first_row=2)
    assert caught.value.row == 40_000


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("number", "abc", "'abc' is not a number"),
        ("boolean", "maybe", "'maybe' is neither true nor false"),
        ("category", "a\0b", "is not clean text"),
        ("category", "x" * 10_001, "at most 10,000 characters"),
        ("category", b"\xff", "is not clean text"),
        ("number", b"\xff", "is not a number"),
    ],
)
def test_wrong_values_in_a_table_and_a_row(kind: Kind, value: Any, message: str) -> None:
    packer = Packer(schema(c=kind))
    for pack, data in [
        (packer.table, pa.table({"c": [value]})),
        (packer.row, {"c": value}),
        (packer.row, [value]),
    ]:
        with pytest.raises(TableError, match=message) as caught:
            pack(data)
        assert caught.value.column == "c"
        assert len(str(caught.value)) < 250


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(TableError, match="column 'c'"):
        Packer(schema(c="category")).row({"c": "\ud800"})


def test_hostile_values_are_inert_in_messages() -> None:
    with pytest.raises(TableError) as caught:
        Packer(schema(c="number")).row({"c": "\x1b[2J\n" + "<script>" * 100})
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "values",
    [
        pa.array([dt.datetime(2020, 1, 1)]),
        pa.array([dt.date(2020, 1, 1)]),
        pa.array([[1]]),
        pa.array([{"a": 1}]),
    ],
)
@pytest.mark.parametrize("kind", ["number", "boolean", "category"])
def test_types_that_are_not_read(values: pa.Array, kind: Kind) -> None:
    packer = Packer(schema(when=kind, x="number"))
    message = r"column 'when'(: type .* is not read|.* holds lists or objects \(first at row 1\)).*ignore"
    with pytest.raises(TableError, match=message):
        packer.table(pa.table({"when": values, "x": [1]}))
    with pytest.raises(TableError, match=message):
        packer.row({"when": values[0].as_py(), "x": 1})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["color", "Amount", "paid", "size"], "column 'amount' is missing; did you mean 'Amount'?"),
        (["color", "paid", "size"], "column 'amount' is missing."),
        (["color", "amont", "paid"], "column 'amount' is missing; did you mean 'amont'? In all, 2 of 4"),
        (["color", "amount", "paid", "size", "amount"], "column 'amount' stands 2 times"),
    ],
)
def test_missing_and_doubled_columns(names: list[str], message: str) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1])] * len(names), names)
    with pytest.raises(SchemaError) as caught:
        PACKER.table(batch)
    assert message in str(caught.value)
    if len(set(names)) == len(names):
        with pytest.raises(SchemaError) as caught:
            PACKER.row(dict.fromkeys(names, 1))
        assert message in str(caught.value)


def test_doubled_columns_that_nobody_needs_do_not_matter() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1])] * 3, ["z", "z", "a"])
    assert len(Packer(schema(a="number")).table(batch)) == 1


def test_semicolons_decimal_commas_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfBetrag;Ort\r\n1,5;Bern\r\n-2,25;Genf\r\n3;Bern\r\n")
    rows = packed(path, Packer(infer_schema(open_source(path))))
    assert rows.numbers[:, 0].tolist() == [1.5, -2.25, 3.0]
    assert rows.texts[:, 0].tolist() == ["Bern", "Genf", "Bern"]


def test_many_distinct_texts_with_gaps() -> None:
    values = [None if i % 5 < 2 else f"v{i}" for i in range(80_000)]
    rows = Packer(schema(c="category")).table(pa.table({"c": values}))
    assert rows.texts[:, 0].tolist() == [value or "" for value in values]


# Arrays and single rows


def with_roles(**roles: Role) -> Packer:
    return Packer(Schema(columns=tuple(Column(name=n, kind="number", role=r) for n, r in roles.items())))


def test_positions_are_features_or_all_columns() -> None:
    packer = with_roles(a="feature", y="label", b="feature")
    assert packer.array(np.array([[1.0, 2.0]])).numbers.tolist() == [[1.0, 2.0]]
    assert packer.array(np.array([[1.0, 9.0, 2.0]])).numbers.tolist() == [[1.0, 2.0]]
    assert packer.row((1, 9, 2)).numbers.tolist() == [[1.0, 2.0]]
    for wrong in (np.zeros((1, 4)), np.zeros((1, 1))):
        with pytest.raises(SchemaError, match=r"expected the 2 feature columns or all 3: 'a', 'b'"):
            packer.array(wrong)
        with pytest.raises(SchemaError, match="expected the 2 feature columns"):
            packer.row(wrong[0].tolist())


@pytest.mark.parametrize("shape", [(3,), (1, 2, 2), ()])
def test_arrays_must_have_two_dimensions(shape: tuple[int, ...]) -> None:
    with pytest.raises(SchemaError, match="expected 2-D"):
        with_roles(a="feature").array(np.zeros(shape))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "u8", "?", "U3", "S3", "O"])
def test_array_types(dtype: str) -> None:
    x = np.array([[0, 1], [1, 0]]).astype(dtype)
    if dtype == "U3":
        x = np.array([["0", "1"], ["1", "0"]])
    rows = Packer(schema(a="number", b="category")).array(x)
    assert rows.numbers[:, 0].tolist() == [0.0, 1.0]
    assert rows.texts[:, 0].tolist() == (["true", "false"] if dtype == "?" else ["1", "0"])


@pytest.mark.parametrize("dtype", [complex, "M8[s]"])
def test_arrays_that_hold_no_numbers(dtype: Any) -> None:
    with pytest.raises(TableError):
        with_roles(a="feature").array(np.zeros((1, 1), dtype=dtype))


def test_masked_values_are_missing() -> None:
    x = np.ma.MaskedArray([[1.0, 2.0]], mask=[[True, False]])
    packer = with_roles(a="feature", b="feature")
    for rows in (packer.array(x), packer.row(x[0])):
        np.testing.assert_array_equal(rows.numbers, [[np.nan, 2.0]])


def test_packing_leaves_the_array_alone() -> None:
    x = np.array([[1.0, -999.0]])
    Packer(schema(("-999",), a="number", b="number")).array(x)
    assert x.tolist() == [[1.0, -999.0]]


def test_rows_in_many_dresses() -> None:
    expected = PACKER.row(ROW)
    dress = namedtuple("dress", ["size", "paid", "amount", "color"])
    rows: list[Any] = [
        {**ROW, "extra": object()},
        list(ROW.values()),
        tuple(ROW.values()),
        np.array(list(ROW.values()), dtype=object),
        pd.Series(ROW),
        dress(3, True, 1.5, "red"),
        {"color": b" red ", "amount": "1.5", "paid": "YES", "size": Decimal(3)},
        {"color": "red", "amount": np.float32(1.5), "paid": np.bool_(True), "size": np.int8(3)},
    ]
    for row in rows:
        equal(PACKER.row(row), expected)


@pytest.mark.parametrize("row", ["red", 7, None, {1, 2}, np.zeros((2, 2))])
def test_rows_that_are_none(row: Any) -> None:
    with pytest.raises(SchemaError, match="one row came as"):
        PACKER.row(row)


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_integers_beyond_float64(value: int) -> None:
    packer = with_roles(a="feature", b="feature")
    assert packer.row({"a": value, "b": 1}).numbers.tolist() == [[math.inf if value > 0 else -math.inf, 1.0]]


def test_a_row_of_missing_values() -> None:
    rows = PACKER.row(dict.fromkeys(ROW))
    assert np.isnan(rows.numbers).all()
    assert rows.texts.tolist() == [[""]]


# Labels


def labels(values: Any) -> list[float]:
    columns = (Column(name="x", kind="number"), Column(name="y", kind="category", role="label"))
    return Packer(Schema(columns=columns)).label(pa.table({"y": values})).tolist()


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, None],
        [1.0, 0.0, math.nan],
        [True, False, None],
        ["1", "0.0", "NA"],
        ["Yes", "no", ""],
        ["t", "F", "?"],
    ],
)
def test_labels(values: list[Any]) -> None:
    np.testing.assert_array_equal(labels(values), [1.0, 0.0, np.nan])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (["normal", "attack", "normal"], "'normal', 'attack'"),
        ([0, 1, 2], "'2'"),
        ([-1, 1], "'-1'"),
        ([[1]], "list"),
    ],
)
def test_labels_that_are_none(values: list[Any], shown: str) -> None:
    with pytest.raises(SchemaError, match="for an anomaly and 0") as caught:
        labels(values)
    assert shown in str(caught.value)


def test_label_that_is_not_there() -> None:
    with pytest.raises(SchemaError, match="no label column"):
        PACKER.label(pa.table({"y": [1]}))
    packer = with_roles(a="feature", y="label")
    with pytest.raises(SchemaError, match=r"column 'y' is missing; did you mean 'Y'\?"):
        packer.label(pa.table({"a": [1], "Y": [1]}))
    assert packer.table(pa.table({"a": [1]})).numbers.tolist() == [[1.0]]
    assert packer.label(pa.table({"y": pa.array([], pa.int64())})).shape == (0,)
