from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from stillwatch.errors import SchemaError, TableError
from stillwatch.table import profile
from stillwatch.table.read import open_source
from stillwatch.table.schema import Column, Schema, infer_schema


def infer(columns: Any, **options: Any) -> Schema:
    data = pa.table(columns) if isinstance(columns, dict) else columns
    return infer_schema(open_source(data), **options)


def only(values: Any, **options: Any) -> Column:
    """What is inferred for one column that stands beside an ordinary one."""
    schema = infer({"c": values, "other": pa.array([0.5] * len(values))}, **options)
    return schema.columns[0]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", " 2.5 ", "NA", "1e5"], "number"),
        ([1, 2, None], "number"),
        ([0.0, 1.0], "boolean"),
        (["0", "1", "?"], "boolean"),
        (["1", "1"], "number"),
        ([True, True], "boolean"),
        (["t", "F"], "boolean"),
        (["YES", "yes"], "boolean"),
        (["t", "no"], "category"),
        (["yes", "1"], "category"),
        (["a", "b"], "category"),
        (["007", "008"], "number"),
        (["inf", "1"], "number"),
        ([b"1", b"2"], "number"),
        ([b"x", b"y"], "category"),
    ],
)
def test_kinds(values: list[Any], kind: str) -> None:
    column = only(values)
    assert (column.kind, column.role) == (kind, "feature")
    assert column.reason


def test_reasons_are_plain_sentences() -> None:
    assert only(["1", "2"]).reason == "all 2 values are numbers"
    assert only(["7", "7", ""]).reason == "all 2 values are numbers, always 7, 1 missing"
    assert only(["a", "b", "a"]).reason == "text, 2 distinct values"
    assert only(["f", "f"]).reason == "only 'f'"


def test_one_bad_number_makes_a_category_that_says_so() -> None:
    column = only([str(i % 7) for i in range(99)] + ["x1"])
    assert column.kind == "category"
    assert "99 of 100 values are numbers" in column.reason
    assert "the first other is at row 100" in column.reason
    assert "x1" not in column.reason  # the reason is stored with the model, and the value is one row's


@pytest.mark.parametrize(
    ("values", "like"),
    [
        (["$1,234.50", "$ 2", "-$3.5"], "numbers"),
        (["12.5%", "13 %"], "numbers"),
        (["1.234,50 €", "2,00 €"], "numbers"),
        (["CHF 1'000.00", "CHF 3.50"], "numbers"),
        (["1 234,5", "12 345 678,9"], "numbers"),
        (["1,234,567.89", "2,345,678.90"], "numbers"),
        (["\N{MINUS SIGN}5", "\N{MINUS SIGN}6.5"], "numbers"),
        (["(5.00)", "(6.25)"], "numbers"),
        (["31/12/2024", "1/2/2024 13:45"], "dates"),
        (["31.12.2024", "01.02.24"], "dates"),
        (["2024/12/31", "2024/01/02"], "dates"),
        (["3 Mar 2024", "4-Dec-24"], "dates"),
        (["March 3, 2024", "Dec. 4 2024"], "dates"),
        (["10.0.0.1", "192.168.1.7"], ""),
        (["8001 Z", "A12"], ""),
        (["1-2", "3-4"], ""),
        (["a", "b"], ""),
        (["$1", "b"], ""),
    ],
)
def test_what_people_write_for_numbers_and_dates_is_hinted_at(values: list[str], like: str) -> None:
    column = only(values)
    assert column.kind == "category"
    assert (f"most look like {like}" in column.reason) if like else ("look like" not in column.reason)


@pytest.mark.parametrize("kind", [int, bool, str])
def test_a_column_of_few_ones_may_be_the_label(kind: type) -> None:
    few = infer({"c": [kind(int(i % 25 == 0)) for i in range(100)], "d": [0.5] * 100})
    if kind is not str or few.columns[0].kind == "boolean":
        assert "4 % of them 1: if that marks an anomaly, declare it the label" in few.columns[0].reason
    assert "label" not in only([kind(i % 2) for i in range(100)]).reason
    assert few.with_roles(label="c").columns[0].reason == "declared as label"


@pytest.mark.parametrize(
    ("first", "step", "hint"),
    [
        (1_700_000_000, 60, "perhaps seconds since 1970: write them as 2024-12-31T12:00Z"),
        (1_700_000_000_000, 60_000, "perhaps milliseconds since 1970: write"),
        (1_700_000_000_000_000, 60, "perhaps microseconds since 1970: declare it a timestamp"),
        (1_700_000_000 * 10**9, 10**9, "perhaps nanoseconds"),
        (900_000_000, 60, ""),
        (1_700_000_000, 0.5, ""),
        (1, 10**8, ""),
    ],
)
@pytest.mark.parametrize("written", [str, lambda value: value])
def test_counts_since_1970_are_hinted_at(first: int, step: float, hint: str, written: Any) -> None:
    column = only([written(first + step * i) for i in range(60)])
    assert column.kind == "number"
    assert hint in column.reason if hint else "1970" not in column.reason


def test_the_row_of_the_first_offender_counts_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["1"] * 70_000 + ["x"] + ["2"] * 10
    assert "at row 70,001" in only(values).reason


def test_decimal_commas_are_found_out() -> None:
    values = ["1,5", "2,25", "3"] * 10
    schema = infer({"c": values, "d": ["7"] * 30})
    assert (schema.numbers, schema.decimal) == (("c", "d"), ",")
    assert only(values, kinds={"c": "category"}).kind == "category"
    assert infer({"c": values, "d": [1.0] * 30}, ignore=["c"]).decimal == "."


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        ({"c": ["1,5", "2,25"]}, {"decimal": "."}),
        ({"c": ["1,500", "22,250", "7"]}, {}),  # these may be thousands
        ({"c": ["1,5", "2,25"], "d": ["1.5", "2"]}, {}),
    ],
)
def test_decimal_commas_that_are_not_certain_name_the_option(
    columns: dict[str, Any], options: dict[str, Any]
) -> None:
    with pytest.raises(
        SchemaError, match=r"column 'c' holds .* decimal comma \(first: '[0-9,]+' at row 1\).*decimal=','"
    ):
        infer(columns, **options)


@pytest.mark.parametrize(
    ("values", "aside"),
    [
        (list(range(50)), True),
        (list(range(49)), False),
        ([str(i) for i in range(100)], True),
        ([f"{i}.0" for i in range(100)], False),
        ([float(i) for i in range(100)], False),
        ([*range(98), 0, 0], False),
        ([f"u{i}" for i in range(95)] + ["u0"] * 5, True),
        ([f"u{i}" for i in range(94)] + ["u0"] * 6, False),
        ([f"u{i}" for i in range(60)] + [None] * 40, True),
    ],
)
def test_id_like_columns_are_set_aside(values: list[Any], aside: bool) -> None:
    column = only(values)
    assert column.role == ("ignore" if aside else "feature")
    if aside:
        assert "id" in column.reason
        declared = only(values, kinds={"c": column.kind})
        assert (declared.role, declared.reason) == ("feature", f"declared as {column.kind}")


def test_array_columns_are_never_taken_for_ids() -> None:
    schema = infer(np.arange(200).reshape(100, 2))
    assert schema.numbers == ("x0", "x1")


def test_missing_throughout_is_set_aside_and_constant_stays() -> None:
    schema = infer({"gone": ["NA", "", None], "null": pa.nulls(3), "constant": [5, 5, 5]})
    assert [column.role for column in schema.columns] == ["ignore", "ignore", "feature"]
    assert "missing" in schema.columns[0].reason


def test_a_type_that_is_not_read_is_set_aside() -> None:
    column = only(pa.array([[1], [2]]))
    assert column.role == "ignore"
    assert "lists or objects" in column.reason


@pytest.mark.parametrize("repeats", [1, 2, 10])
@pytest.mark.parametrize("clustered", [True, False])
def test_distinct_values_beyond_the_limit(
    monkeypatch: pytest.MonkeyPatch, repeats: int, clustered: bool
) -> None:
    monkeypatch.setattr(profile, "MOST_DISTINCT", 1000)
    names = [f"u{i}" for i in range(20_000 // repeats)]
    values = sorted(names * repeats) if clustered else names * repeats
    source = open_source(pa.table({"c": values, "d": [0.5] * len(values)}))
    batches = source.batches
    monkeypatch.setattr(type(source), "batches", lambda self: batches(500))
    column = infer_schema(source).columns[0]
    assert column.role == ("ignore" if repeats == 1 else "feature")


def test_a_value_that_takes_over_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MOST_DISTINCT", 100)
    counter = profile.DistinctCount()
    counter.add(range(100), np.ones(100, dtype=np.int64))
    counter.add(["again"], np.array([900]))
    assert counter.share == pytest.approx(0.101)


def test_the_memory_of_distinct_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MOST_DISTINCT", 100)
    counter = profile.DistinctCount()
    for start in range(0, 10_000, 50):
        counter.add(range(start, start + 50), np.ones(50, dtype=np.int64))
    assert len(counter._seen) <= 150
    assert counter.share == 1.0
    assert str(counter) == "more than 100 of 10,000"


def test_roles() -> None:
    schema = infer(
        {"id": list(range(60)), "x": [0.5] * 60, "note": ["a"] * 60, "y": [0, 1] * 30},
        label="y",
        key="id",
        ignore=["note"],
    )
    assert schema.label == "y"
    assert schema.keys == ("id",)
    assert [column.name for column in schema.features] == ["x"]
    assert schema.columns[2].reason == "declared as ignore"


@pytest.mark.parametrize(
    "option", [{"label": "Amout"}, {"ignore": ["Amout"]}, {"key": "Amout"}, {"kinds": {"Amout": "number"}}]
)
def test_unknown_names_are_told_with_the_nearest(option: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match=r"no column 'Amout'; did you mean 'Amount'\?"):
        infer({"Amount": [1.5, 2.5], "other": [1, 2]}, **option)


def test_unknown_names_are_told_before_any_row_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(pa.table({"a": [1]}))
    monkeypatch.setattr(type(source), "batches", None)
    with pytest.raises(SchemaError, match="no column 'b'"):
        infer_schema(source, label="b")


def test_one_column_in_two_roles() -> None:
    with pytest.raises(SchemaError, match="'y' is declared both label and ignore"):
        infer({"x": [1.5], "y": [0]}, label="y", ignore=["y"])


def test_no_feature_left() -> None:
    with pytest.raises(SchemaError, match="no feature column is left"):
        infer({"y": [0, 1]}, label="y")
    with pytest.raises(SchemaError, match=r"'id' is ignore.*declare its kind"):
        infer({"id": list(range(100))})


def test_no_rows() -> None:
    with pytest.raises(TableError, match="no rows"):
        infer({"x": pa.array([], pa.float64())})


def test_one_row() -> None:
    assert infer({"x": [1.5], "y": ["a"]}).numbers == ("x",)


SCHEMA = Schema(
    columns=(
        Column(name="a", kind="number"),
        Column(name="b", kind="category"),
        Column(name="c", kind="boolean", role="label"),
        Column(name="d", kind="boolean"),
    )
)


def test_orders() -> None:
    assert SCHEMA.numbers == ("a", "d")
    assert SCHEMA.texts == ("b",)
    assert SCHEMA.label == "c"


def test_with_roles_and_kinds() -> None:
    changed = SCHEMA.with_roles(label="d", key=["b"]).with_kinds({"a": "category"})
    assert changed.label == "d"
    assert changed.keys == ("b",)
    assert changed.texts == ("a",)
    assert changed.columns[2].role == "ignore"
    assert changed.with_roles(feature="c").numbers == ("c",)
    assert SCHEMA.label == "c"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((Column(name="a", kind="number"),) * 2, "'a'"),
        ((Column(name="a", kind="float"),), "kind 'float' is unknown"),  # type: ignore[arg-type]
        ((Column(name="a", kind="number", role="x"),), "role 'x' is unknown"),  # type: ignore[arg-type]
        ((), "no feature column"),
        (tuple(Column(name=n, kind="number", role="label") for n in "ab"), "one label"),
        (tuple(Column(name=n, kind="number", role="known") for n in "ab"), "one known"),
    ],
)
def test_schemas_that_cannot_be(columns: tuple[Column, ...], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema(columns=columns)


def test_a_column_tells_what_is_known() -> None:
    schema = infer({"a": [1.5, 2], "confirmed": [1, None], "checked": [None, 0]}, known="confirmed")
    assert (schema.known, schema.label, schema.numbers) == ("confirmed", None, ("a", "checked"))
    other = schema.with_roles(known="checked")
    assert other.known == "checked"
    assert other.columns[1].role == "ignore"
    assert schema.with_roles(label="checked").known == "confirmed"


def test_a_schema_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(SCHEMA), type=Schema) == SCHEMA


def test_a_hostile_column_name_is_inert_in_messages() -> None:
    name = "<script>\x1b[31m\n" + "x" * 1000
    with pytest.raises(SchemaError) as caught:
        infer({name: [1.5]}, label="y")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 200
