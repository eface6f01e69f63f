from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.table.json_lines import record_of
from stillwatch.table.pack import Packer
from stillwatch.table.records import RecordPacker
from stillwatch.table.same_keys import SameKeys
from stillwatch.table.schema import Column, Schema

SCHEMA = Schema(
    columns=(
        Column(name="n", kind="number"),
        Column(name="b", kind="boolean"),
        Column(name="c", kind="category"),
        Column(name="t", kind="timestamp"),
        Column(name="id", kind="category", role="key"),
    ),
    missing=("", "NA", "7"),
)
NUMBERS, OTHERS = ("n", "b"), ("c", "t", "id")

number = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53 + 1, 2**64, 2**70 + 1, -(2**63), 7, "7", "x"]),
)  # fmt: skip
record = st.fixed_dictionaries(
    {
        "n": number,
        "b": number,
        "c": st.sampled_from(["x", None, "new: y", 443, 7, True]),
        "t": st.sampled_from(["2024-01-01T10:00Z", None, 5]),
        "id": st.one_of(st.integers(), st.text(max_size=3), st.none()),
    }
)


def line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode()


LINES = [line({"n": i, "b": i % 2, "c": "x", "t": 5, "id": f"e{i}"}) for i in range(40)]


@settings(deadline=None, max_examples=300)
@given(records=st.lists(record, min_size=1, max_size=8), extra=st.sampled_from([{}, {"more": [1, {"a": 2}]}]))
def test_values_are_those_of_a_line_alone(records: list[dict[str, Any]], extra: dict[str, Any]) -> None:
    lines = [line(one | extra) for one in records] * 32
    packer = RecordPacker(Packer(SCHEMA), {"c": ["x"]})
    found = SameKeys(NUMBERS, OTHERS).read(lines)
    rows = None if found is None else packer.pack_tuples(found)
    if rows is None or found is None:
        return
    alone, wrong = packer.pack([record_of(each) for each in lines])
    assert not wrong
    np.testing.assert_array_equal(rows.numbers, alone.numbers)
    np.testing.assert_array_equal(rows.texts, alone.texts)
    np.testing.assert_array_equal(rows.times, alone.times)
    assert [values[4] for values in found] == [one["id"] for one in records] * 32


def test_plain_lines_are_read() -> None:
    assert SameKeys(NUMBERS, OTHERS).read(LINES) == [(i, i % 2, "x", 5, f"e{i}") for i in range(40)]


def test_other_keys_are_learnt_from_the_next_batch() -> None:
    reader = SameKeys(NUMBERS, OTHERS)
    assert reader.read(LINES) is not None
    turned = [line(dict(reversed(record_of(each).items())) | {"more": None}) for each in LINES]
    assert [values[:5] for values in reader.read(turned) or ()] == reader.read(LINES)


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"[1]",
        b"{",
        b"\xff",
        b'{"n": 1, "b": 1, "c": "x", "t": 5, "id": "\xff"}',
        b'{"n": 1, "n": 2, "b": 1, "c": "x", "t": 5, "id": "e"}',
        b'{"n": 1, "\\u006e": 2, "b": 1, "c": "x", "t": 5, "id": "e"}',
        b'{"n": 1e999, "b": 1, "c": "x", "t": 5, "id": "e"}',
        b'{"n": "12", "b": 1, "c": "x", "t": 5, "id": "e"}',
        b'{"n": NaN, "b": 1, "c": "x", "t": 5, "id": "e"}',
        b'{"b": 1, "c": "x", "t": 5, "id": "e"}',
        b'{"n": 1, "b": 1, "c": "x", "t": 5, "id": "e", "more": 1}',
        LINES[0] + LINES[1],
        LINES[0] + b" " + LINES[1],
        LINES[0] + b"\n" + LINES[1],
        b'{"n": 1, "b": 1, "c": "x", "t": 5, "id": {"a": 1}\n}',
    ],
)
@pytest.mark.parametrize("at", [0, 5, 39])
def test_what_is_not_plain_is_left_to_others(odd: bytes, at: int) -> None:
    reader = SameKeys(NUMBERS, OTHERS)
    lines = [*LINES[:at], odd, *LINES[at + 1 :]]
    found = reader.read(lines)
    if found is not None:  # then it was plain after all
        assert [values[4] for values in found] == [record_of(each)["id"] for each in lines]
        assert at == 0 or b"\n" in odd
    assert reader.read(LINES) is not None
