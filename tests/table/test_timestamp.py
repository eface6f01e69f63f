from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.pack import Packer
from stillwatch.table.read import open_source
from stillwatch.table.schema import Column, Schema, infer_schema
from stillwatch.table.timestamp import FIRST_TIME, LAST_TIME, MISSING_TIME, times_of_numbers
from stillwatch.table.values import ValueRules, WrongValueError

RULES = ValueRules()
NOON = 1_709_294_400_000_000  # 2024-03-01T12:00Z
MIDNIGHT = NOON - 12 * 3_600 * 10**6
UTC = dt.UTC


@pytest.mark.parametrize(
    ("value", "microseconds"),
    [
        ("2024-03-01T12:00", NOON),
        ("2024-03-01 12:00:00", NOON),
        (" 2024-03-01t12:00:00.000Z ", NOON),
        ("2024-03-01T12:00:00,25", NOON + 250_000),
        ("2024-03-01T12:00:00.0000019999", NOON + 1),
        ("2024-03-01T13:30+01:30", NOON),
        ("2024-03-01 07:00:00 -0500", NOON),
        ("2024-03-01T12:00:00+00", NOON),
        ("2024-03-01", MIDNIGHT),
        ("2024/03/01", MIDNIGHT),
        ("2024/03/01 12:00", NOON),
        (str(NOON), NOON),
        (NOON, NOON),
        (float(NOON), NOON),
        (np.int64(NOON), NOON),
        (dt.datetime(2024, 3, 1, 12), NOON),
        (dt.datetime(2024, 3, 1, 13, tzinfo=dt.timezone(dt.timedelta(hours=1))), NOON),
        (dt.date(2024, 3, 1), MIDNIGHT),
        (np.datetime64("2024-03-01T12:00"), NOON),
        (np.datetime64("2024-03-01"), MIDNIGHT),
        (pd.Timestamp("2024-03-01T12:00"), NOON),
        (pd.Timestamp("2024-03-01T13:00", tz="Europe/Zurich"), NOON),
        (pa.scalar(dt.datetime(2024, 3, 1, 12)), NOON),
        (None, MISSING_TIME),
        ("", MISSING_TIME),
        ("NA", MISSING_TIME),
        (float("nan"), MISSING_TIME),
        (pd.NaT, MISSING_TIME),
        (np.datetime64("NaT"), MISSING_TIME),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999-12:00", 253_402_300_799_999_999 + 12 * 3_600 * 10**6),
        (10**30, LAST_TIME),
        (-(10**30), FIRST_TIME),
        ("-" + "9" * 5_000, FIRST_TIME),
    ],
)
def test_values(value: Any, microseconds: int) -> None:
    assert RULES.time(value) == microseconds
    if not isinstance(value, int | np.datetime64):
        array = pa.array([value.as_py() if isinstance(value, pa.Scalar) else value], from_pandas=True)
        found, wrong = RULES.times(array)
        assert wrong is None
        assert found.tolist() == [microseconds]


@pytest.mark.parametrize(
    "value",
    ["31/12/2024", "12/31/2024", "2024-13-01", "2024-02-30", "2024-01-01T24:00", "2024-01-01T23:59:60", "0000-01-01",
     "2024-1-1", "2024-03-01T12", "20240301T12", "2024-03/01", "2024-03-01Z", "2024-03-01T12:00+25:00", "yesterday",
     "٢٠٢٤-٠٣-٠١", "2024-03-01T12:00 UTC", 0.5, float("inf")],
)  # fmt: skip
def test_not_timestamps(value: Any) -> None:
    with pytest.raises(WrongValueError):
        RULES.time(value)
    _, wrong = RULES.times(pa.array([value]))
    assert wrong is not None
    assert wrong.tolist() == [True]


pieces = st.one_of(
    st.datetimes().map(lambda t: t.isoformat(" ")),
    st.datetimes().map(lambda t: t.isoformat() + "Z"),
    st.datetimes(timezones=st.timezones()).map(dt.datetime.isoformat),
    st.dates().map(str),
    st.from_regex(r"\A\d{4}[-/]\d\d[-/]\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,8})?)?(Z|[+-]\d\d:?\d\d)?)?\Z"),
    st.integers().map(str),
    st.sampled_from(["", "NA", "x", "0000-01-01", "0000-12-31T00:00Z", None]),
)


@pytest.mark.parametrize("zone", ["", "Europe/Zurich", "America/St_Johns", "Africa/Monrovia"])
@settings(max_examples=60, deadline=None)
@given(values=st.one_of(st.lists(pieces, max_size=4), st.lists(st.dates().map(str), max_size=3)))
def test_a_column_means_what_its_values_mean_alone(zone: str, values: list[str | None]) -> None:
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        found, wrong = RULES.times(pa.array(values, kind), zone)
        for i, value in enumerate(values):
            try:
                alone: Any = RULES.time(value, zone)
            except WrongValueError:
                alone = "wrong"
            assert alone == ("wrong" if wrong is not None and wrong[i] else found[i]), value


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=4))
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["", "Pacific/Apia"])
def test_typed_timestamps_stay_in_range_and_in_order(unit: str, zone: str, values: list[int | None]) -> None:
    array = pa.array(values, pa.timestamp(unit))
    found, wrong = RULES.times(array, zone)
    assert wrong is None
    present = sorted((v, t) for v, t in zip(values, found.tolist(), strict=True) if v is not None)
    if not zone:
        assert [t for _, t in present] == sorted(t for _, t in present)
        scale = {"s": 10**6, "ms": 1_000, "us": 1, "ns": 1}[unit]
        for v, t in present:
            exact = v // 1_000 if unit == "ns" else v * scale
            # `us` INT64_MIN is the one instant that cannot be told from a missing value.
            assert t == exact or abs(exact) > 2**63 - 2 * scale
    assert (found[[v is None for v in values]] == MISSING_TIME).all()


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2024-07-01T12:00", "2024-07-01T10:00Z"),
        ("2024-01-01T12:00", "2024-01-01T11:00Z"),
        ("2024-10-27T02:30", "2024-10-27T00:30Z"),  # stands twice: the first
        ("2024-03-31T02:30", "2024-03-31T01:30Z"),  # stands nowhere
        ("2024-07-01", "2024-06-30T22:00Z"),
        ("2024-07-01T12:00Z", "2024-07-01T12:00Z"),
    ],
)
def test_a_zone_that_the_schema_names(local: str, utc: str) -> None:
    assert RULES.time(local, "Europe/Zurich") == RULES.time(utc)
    typed = pa.array([local.removesuffix("Z")]).cast(pa.timestamp("s"))
    if not local.endswith("Z"):
        assert RULES.times(typed, "Europe/Zurich").values[0] == RULES.time(utc)


def test_dates_of_both_widths_and_their_ends() -> None:
    assert RULES.times(pa.array([dt.date(2024, 3, 1), None])).values.tolist() == [MIDNIGHT, MISSING_TIME]
    assert RULES.times(pa.array([dt.date(2024, 3, 1)], pa.date64())).values.tolist() == [MIDNIGHT]
    ends = RULES.times(pa.array([-(2**31), 2**31 - 1], pa.int32()).cast(pa.date32())).values
    assert ends[0] < -(2**62) < 2**62 < ends[1]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2024-03-01", "2024-03-02 10:00", "NA"], "timestamp"),
        (["2024-03-01T10:00Z", "2024-03-01T10:00:00.5+01:00"], "timestamp"),
        (["2024-03-01", "yesterday"], "category"),
        (["2024-03-01", "2024/03/02"], "category"),
        (["2024/03/01", "2024/03/02"], "category"),
        (["20240301", "20240302"], "number"),
        (["2024-03-01", "5"], "category"),
        (pa.array([dt.datetime(2024, 3, 1), None]), "timestamp"),
        (pa.array([dt.datetime(2024, 3, 1, tzinfo=UTC), None]), "timestamp"),
        (pa.array([dt.date(2024, 3, 1)]), "timestamp"),
        (pa.array([dt.datetime(2024, 3, 1)]).dictionary_encode(), "timestamp"),
        (pa.array([dt.timedelta(1), dt.timedelta(2)]), "number"),
        (pa.array([dt.time(1), dt.time(2)]), "number"),
    ],
)
def test_what_is_inferred(values: Any, kind: str) -> None:
    column = infer_schema(open_source(pa.table({"when": values, "x": [0.5] * len(values)}))).columns[0]
    assert (column.kind, column.role) == (kind, "feature")


def test_distinct_timestamps_are_no_ids() -> None:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(200)]
    table = pa.table(
        {"when": days, "text": [str(day) for day in days], "long": [dt.timedelta(i) for i in range(200)]}
    )
    schema = infer_schema(open_source(table))
    assert (schema.times, schema.numbers) == (("when", "text"), ("long",))


def packer(**zones: str) -> Packer:
    return Packer(Schema(columns=tuple(Column(name=n, kind="timestamp", zone=z) for n, z in zones.items())))


def test_wrong_values_name_column_row_and_value() -> None:
    table = pa.table({"when": ["2024-03-01"] * 10 + ["31/12/2024"]})
    with pytest.raises(
        TableError, match=r"'when': 1 of 11 .* not timestamps \(first: '31/12/2024' at row 11\)"
    ) as e:
        packer(when="").table(table)
    assert "2024-12-31T23:59:59Z" in str(e.value)
    with pytest.raises(TableError, match=r"'when': '31/12/2024' is not a timestamp"):
        packer(when="").row({"when": "31/12/2024"})
    for value in (True, [1], dt.timedelta(1)):
        with pytest.raises(TableError, match="column 'when'"):
            packer(when="").row({"when": value})
        with pytest.raises(TableError, match="column 'when'"):
            packer(when="").table(pa.table({"when": [value]}))


@pytest.mark.parametrize("zone", ["Europe/Zürich", "../../etc/passwd", "/etc/passwd", "Mars/Olympus", "\0"])
def test_unknown_zones(zone: str) -> None:
    with pytest.raises(SchemaError, match=r"time zone .* is unknown"):
        Schema(columns=(Column(name="when", kind="timestamp", zone=zone),))


def test_zones_are_declared() -> None:
    schema = packer(when="", then="").schema
    assert schema.with_zones({"then": "Asia/Tokyo"}).columns[1].zone == "Asia/Tokyo"
    with pytest.raises(SchemaError, match="did you mean 'then'"):
        schema.with_zones({"them": "Asia/Tokyo"})
    with pytest.raises(SchemaError, match="belongs to a timestamp"):
        Schema(columns=(Column(name="x", kind="number", zone="Asia/Tokyo"),))
    assert schema.with_zones({"then": "Asia/Tokyo"}).with_kinds({"then": "category"}).columns[1].zone == ""


def test_frames_in_their_own_types() -> None:
    when = [dt.datetime(2024, 3, 1, 12), None]
    frames = [
        pd.DataFrame({"when": pd.to_datetime(pd.Series(when))}),
        pd.DataFrame(
            {"when": pd.to_datetime(pd.Series(when)).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")}
        ),
        pd.DataFrame({"when": pd.to_datetime(pd.Series(when)).astype("category")}),
        pl.DataFrame({"when": when}),
        pl.DataFrame({"when": when}).with_columns(pl.col("when").dt.cast_time_unit("ns")),
        pa.table({"when": when}),
        [{"when": value} for value in when],
    ]
    for frame in frames:
        batch = next(open_source(frame).batches())
        assert packer(when="").table(batch).times.tolist() == [[NOON], [MISSING_TIME]]


def test_neither_zone_nor_locale_of_the_machine_matters() -> None:
    code = (
        "import datetime as dt, pyarrow as pa\n"
        "from stillwatch.table.values import ValueRules\n"
        "r = ValueRules()\n"
        "texts = pa.array(['2024-07-01 12:00', '2024-03-31T02:30', '2024-01-01'])\n"
        "print(r.times(texts).values.tolist(), r.times(texts, 'Europe/Zurich').values.tolist(),\n"
        "      r.time(dt.datetime(2024, 7, 1)), r.number('1.5'))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "TZ": zone, "LC_ALL": language, "LANG": language},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for zone, language in (("UTC", "C"), ("America/New_York", "de_DE.UTF-8"), ("Asia/Kolkata", "POSIX"))
    }
    assert len(found) == 1


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_numbers_beyond_int64_stop_at_its_ends(kind: type[np.floating]) -> None:
    values = np.array([np.finfo(kind).max, np.finfo(kind).min, 7, np.nan], dtype=kind)
    times, wrong = times_of_numbers(values)
    assert times[2] == 7
    assert times[3] == MISSING_TIME
    assert times[0] >= 65_504
    assert times[1] <= -65_504
    assert not wrong.any()
