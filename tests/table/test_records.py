from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import InputError
from stillwatch.table.pack import Packer
from stillwatch.table.records import RecordPacker
from stillwatch.table.schema import MISSING_TOKENS, Column, Schema
from stillwatch.table.values import Kind

SCHEMA = Schema(
    columns=(
        Column(name="n", kind="number"),
        Column(name="b", kind="boolean"),
        Column(name="m", kind="number"),
        Column(name="c", kind="category"),
        Column(name="t", kind="timestamp"),
    )
)
KNOWN = {"c": ["x", "443", "true"]}

# What JSON holds, and what reads as something of its kind.
value = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.just(2**70),
    st.sampled_from(["", "x", " x ", "443.0", "1,5", "1_0", "12.5", "-999", "NA", "true", "yes", "2024-01-01", "é", "\ud800"]),
    st.lists(st.integers(), max_size=1), st.dictionaries(st.just("a"), st.integers(), max_size=1),
)  # fmt: skip
record = st.fixed_dictionaries(
    {}, optional={"n": value, "b": value, "m": value, "c": value, "t": value, "extra": value}
)
easy = st.fixed_dictionaries(
    {
        "n": st.one_of(st.none(), st.floats(), st.integers()),
        "b": st.booleans(),
        "m": st.floats(),
        "c": st.sampled_from(["x", None, "new"]),
        "t": st.sampled_from(["2024-01-01T10:00Z", None, 5]),
    }
)


@settings(deadline=None, max_examples=300)
@given(
    records=st.lists(st.one_of(easy, record), max_size=5), missing=st.sampled_from([(), ("-999",), ("1",)])
)
def test_every_record_means_what_it_means_alone(
    records: list[dict[str, Any]], missing: tuple[str, ...]
) -> None:
    schema = Schema(columns=SCHEMA.columns, missing=(*MISSING_TOKENS, *missing))
    packer = Packer(schema)
    alone, wrong = [], []
    for at, one in enumerate(records):
        try:
            alone.append(packer.row(one))
        except InputError:
            wrong.append(at)
    rows, refused = RecordPacker(packer, KNOWN).pack(records)
    assert [at for at, _ in refused] == wrong
    assert len(rows) == len(alone)
    for i, one in enumerate(alone):
        np.testing.assert_array_equal(rows.numbers[i : i + 1], one.numbers)
        np.testing.assert_array_equal(rows.texts[i : i + 1], one.texts)
        np.testing.assert_array_equal(rows.times[i : i + 1], one.times)


@pytest.mark.parametrize("kind", ["number", "boolean", "category", "timestamp"])
def test_tables_of_one_column(kind: Kind) -> None:
    packer = Packer(Schema(columns=(Column(name="a", kind=kind),)))
    records = [{"a": value} for value in (None, 1, 0, [2], "x", "1")]
    rows, refused = RecordPacker(packer, {}).pack(records)
    assert len(rows) + len(refused) == len(records)
    assert 3 in [at for at, _ in refused]


def test_reasons_tell_no_value() -> None:
    packer = RecordPacker(Packer(SCHEMA), KNOWN)
    whole = {"n": 1, "b": True, "m": 2, "c": "x", "t": None}
    for name, value in (("n", "n"), ("b", "secret"), ("c", "secret\0"), ("t", "secret"), ("m", ["secret"])):
        ((_, reason),) = packer.pack([whole | {name: value}])[1]
        assert reason.startswith(f"column '{name}'")
        assert "secret" not in reason
        assert "'n' is" not in reason


def test_what_is_absent() -> None:
    some = {"n": 1, "t": dt.datetime(2024, 1, 1, tzinfo=dt.UTC).isoformat()}
    rows, refused = RecordPacker(Packer(SCHEMA), KNOWN, absent_is_missing=True).pack([some, {}])
    assert not refused
    assert np.isnan(rows.numbers[1]).all()
    assert rows.times[0, 0] == 1_704_067_200_000_000
    assert "missing" in RecordPacker(Packer(SCHEMA), KNOWN).pack([some])[1][0].reason
