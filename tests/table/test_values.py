from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.table.values import UnreadTypeError, ValueRules, WrongValueError, shown

RULES = ValueRules()
COMMA = ValueRules(decimal=",")
SENTINEL = ValueRules(missing=("", "-999"))

# Text that comes near to what the rules know, and text that does not.
words = st.sampled_from(
    ["", " ", "?", "NA", "nan", "NaN", "-nan", "inf", "-INF", "Infinity", "nan(7)", "TRUE", "false", "t", "No"]  # noqa: RUF005
    + ["1_000", "0x10", "1,5", "1.5", " 3 ", "\t4\n", "+5", "-0", "-0.0", "443.0", "443.00", "007", "1e400"]
    + ["1e-400", "-999", "-999.0", "-9.99e2", ".5", "5.", ".", "e5", "1e", "--1", "١", "\u00a03", "a\x00b", "5\n6"]
)  # fmt: skip
texts = st.one_of(
    words,
    st.text(alphabet="0123456789+-.,eE nainfs", max_size=8),
    st.text(max_size=6),
    st.floats().map(repr),
    st.integers().map(str),
)


def scalar(rule: Any, value: Any) -> Any:
    try:
        return rule(value)
    except WrongValueError:
        return "wrong"


def same(a: Any, b: Any) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("rules", [RULES, COMMA, SENTINEL], ids=["point", "comma", "sentinel"])
@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary", "binary"])
@given(values=st.lists(st.one_of(texts, st.none()), max_size=6))
def test_a_column_means_what_its_values_mean_alone(
    rules: ValueRules, kind: str, values: list[str | None]
) -> None:
    kinds = {
        "string": pa.string(),
        "large_string": pa.large_string(),
        "string_view": pa.string_view(),
        "dictionary": pa.dictionary(pa.int32(), pa.string()),
        "binary": pa.binary(),
    }
    array = pa.array([v.encode() if v and kind == "binary" else v for v in values], kinds[kind])
    for column_rule, value_rule in [
        (rules.numbers, rules.number),
        (rules.booleans, rules.boolean),
        (rules.texts, rules.text),
    ]:
        read, wrong = column_rule(array)
        for i, value in enumerate(values):
            alone = scalar(value_rule, value)
            together = "wrong" if wrong is not None and wrong[i] else read[i]
            assert same(alone, together), (value, alone, together)


@given(
    values=st.lists(st.one_of(st.floats(width=32), st.none()), min_size=1, max_size=5),
    width=st.sampled_from([4, 8]),
)
def test_typed_floats_mean_what_they_mean_alone(values: list[float | None], width: int) -> None:
    array = pa.array(values, pa.float32() if width == 4 else pa.float64())
    plain = [None if v is None else np.float32(v) if width == 4 else v for v in values]
    assert all(map(same, RULES.numbers(array).values.tolist(), map(RULES.number, plain)))
    assert RULES.texts(array).values.tolist() == [RULES.text(v) for v in plain]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (" 3 ", 3.0),
        ("1e400", math.inf),
        ("-Infinity", -math.inf),
        (True, 1.0),
        (np.bool_(False), 0.0),
        (Decimal("1.50"), 1.5),
        (Decimal("sNaN"), math.nan),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (2**63, 2.0**63),
        (b"2.5", 2.5),
        (np.float32(0.5), 0.5),
        (np.array(7), 7.0),
        (pa.scalar(7), 7.0),
        (None, math.nan),
        (pd.NA, math.nan),
        (pd.NaT, math.nan),
        ("NULL", math.nan),
        ("-0", -0.0),
    ],
)
def test_numbers(value: Any, number: float) -> None:
    assert same(RULES.number(value), number)


@pytest.mark.parametrize("value", ["1,5", "1_000", "0x10", "١", "true", "", "a", "3\x00", b"\xff"])
def test_not_numbers(value: Any) -> None:
    strict = ValueRules(missing=())
    with pytest.raises(WrongValueError):
        strict.number(value)


@pytest.mark.parametrize(
    ("values", "spelling"),
    [
        (
            [443, 443.0, "443", "443.0", " 443.00 ", np.int8(44) + np.int16(399), Decimal("443.00"), b"443"],
            "443",
        ),
        ([0.1, "0.1", np.float32(0.1), np.float64(0.1), Decimal("0.1")], "0.1"),
        ([True, "TRUE", "true", np.bool_(True)], "true"),
        ([0, -0.0, "-0", "0.0"], "0"),
        ([1e20, 10**20, "100000000000000000000"], "100000000000000000000"),
        (["007"], "007"),
        (["1.10"], "1.10"),
        (["Ärger ", b"\xc3\x84rger"], "Ärger"),
        ([None, math.nan, "NA", " ? ", pd.NA], ""),
        ([math.inf, "inf"], "inf"),
    ],
)
def test_one_spelling(values: list[Any], spelling: str) -> None:
    assert [RULES.text(value) for value in values] == [spelling] * len(values)


@pytest.mark.parametrize("value", ["x" * 10_001, "a\0b", "\ud800", b"\xff"])
def test_texts_that_are_refused(value: Any) -> None:
    with pytest.raises(WrongValueError):
        RULES.text(value)


def test_a_long_text_is_allowed_up_to_the_limit() -> None:
    assert RULES.text("x" * 10_000) == "x" * 10_000


@pytest.mark.parametrize("value", [[1], {"a": 1}, 1j, object(), np.datetime64("2020-01-01")])
def test_objects_that_no_rule_covers(value: Any) -> None:
    for rule in (RULES.number, RULES.boolean, RULES.text):
        with pytest.raises(UnreadTypeError):
            rule(value)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([0], pa.timestamp("us")),
        pa.array([0], pa.date32()),
        pa.array([[1]]),
        pa.array([{"a": 1}]),
    ],
)
def test_types_that_no_rule_covers(array: pa.Array) -> None:
    for rule in (RULES.numbers, RULES.booleans, RULES.texts):
        with pytest.raises(UnreadTypeError):
            rule(array)


@pytest.mark.parametrize(
    "kind",
    [
        pa.int8(),
        pa.uint64(),
        pa.float16(),
        pa.float32(),
        pa.float64(),
        pa.decimal128(9, 2),
        pa.decimal256(9, 2),
        pa.dictionary(pa.int8(), pa.int64()),
    ],
)
def test_number_types(kind: pa.DataType) -> None:
    values = [Decimal(3), None] if pa.types.is_decimal(kind) else [3, None]
    array = pa.array(values, pa.float32()).cast(kind) if kind == pa.float16() else pa.array(values, kind)
    np.testing.assert_array_equal(RULES.numbers(array).values, [3.0, np.nan])
    assert RULES.texts(array).values.tolist() == ["3", ""]


def test_decimals_are_the_nearest_number() -> None:
    values = [Decimal("7.39"), Decimal("-0.07"), Decimal("123456789.01")]
    assert RULES.numbers(pa.array(values)).values.tolist() == [float(value) for value in values]


def test_a_token_that_is_a_number_stands_for_it_in_every_spelling_and_type() -> None:
    for value in ("-999", "-999.0", " -9.99e2", -999, -999.0):
        assert math.isnan(SENTINEL.number(value))
        assert math.isnan(SENTINEL.boolean(value))
    assert SENTINEL.text(-999) == SENTINEL.text("-999.0") == SENTINEL.text(-999.0) == ""
    assert np.isnan(SENTINEL.numbers(pa.array([-999, 1])).values).tolist() == [True, False]


def test_decimal_comma() -> None:
    assert COMMA.number("-1,5") == -1.5
    assert COMMA.number(1.5) == 1.5
    assert COMMA.numbers(pa.array(["1,5", " 2 ", "NA"])).values[:2].tolist() == [1.5, 2.0]
    with pytest.raises(WrongValueError):
        COMMA.number("1.5")


def test_bools_in_a_boolean_column() -> None:
    array = pa.array(["Yes", "no", "T", "f", "1", "0", "2.5", "NA", None])
    expected = [1, 0, 1, 0, 1, 0, 2.5, np.nan, np.nan]
    np.testing.assert_array_equal(RULES.booleans(array).values, expected)


def test_shown_is_short_and_inert() -> None:
    assert shown("\x1b[2J" + "x" * 100) == repr("\x1b[2J" + "x" * 36) + "…"
    assert "\n" not in shown("a\nb")
    assert len(shown(list(range(100)))) == 41
