from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stillwatch as sw
from stillwatch.table.schema import Column, Schema
from stillwatch.table.values import Kind

TABLE = pa.table(
    {
        "amount": [1.5, None, 2.0, 2.0, 7.25, 1e300, np.inf, np.nan, 3.0, 4.0],
        "member": [True, False, None, True, True, True, True, True, True, True],
        "city": ["Bern"] * 5 + ["Genf"] * 4 + [None],
        "when": [dt.datetime(2024, 3, 1, 12)] * 9 + [None],
        "card": [str(i) for i in range(10)],
        "fraud": [0] * 9 + [1],
    }
)


@pytest.fixture
def schema() -> Schema:
    return sw.inspect(TABLE, label="fraud", key="card")


def test_what_is_written(schema: Schema, tmp_path: Path) -> None:
    sw.save_schema(schema, tmp_path / "s.json", data=TABLE)
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["protocol"] == 1
    columns = {column["name"]: column for column in found["columns"]}
    assert columns["amount"]["sample"] == [1.5, 2, 7.25]
    assert columns["member"]["sample"] == [True, False]
    assert columns["city"]["sample"] == ["Bern"]  # Genf stands in 4 rows only
    assert columns["when"]["sample"] == ["2024-03-01T12:00:00.000000Z"]
    assert columns["card"]["sample"] == []  # a key is nobody's business
    assert columns["amount"]["reason"].startswith("all 8 values are numbers")


def test_it_is_read_back_edited_or_not(schema: Schema, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    sw.save_schema(schema, path)
    assert sw.load_schema(path) == schema
    found = json.loads(path.read_text())
    found["columns"][3] |= {"zone": "Europe/Zurich"}
    del found["columns"][0]["reason"], found["columns"][0]["sample"]
    path.write_text("\ufeff" + json.dumps(found))
    edited = sw.load_schema(path)
    assert edited.columns[3].zone == "Europe/Zurich"
    assert edited.columns[0].kind == "number"


def test_an_existing_file_is_kept(schema: Schema, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text("mine")
    with pytest.raises(sw.TableError, match="exists"):
        sw.save_schema(schema, path)
    assert path.read_text() == "mine"
    sw.save_schema(schema, path, overwrite=True)
    assert sw.load_schema(path) == schema
    assert [file.name for file in tmp_path.iterdir()] == ["s.json"]


COLUMN = {"name": "a", "kind": "number"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": [COLUMN | {"kind": "numbr"}]}, r"'numbr' - at `\$\.columns\[0\]\.kind`.*one of number"),
        ({"columns": [COLUMN, {"name": "b"}]}, r"missing required field `kind` - at `\$\.columns\[1\]`"),
        ({"columns": [COLUMN | {"rol": "key"}]}, r"unknown field `rol` - at `\$\.columns\[0\]`"),
        ({"columns": [COLUMN | {"name": 7}]}, r"`\$\.columns\[0\]\.name`"),
        ({"columns": [COLUMN, COLUMN]}, "more than once: 'a'"),
        ({"columns": [COLUMN | {"role": "ignore"}]}, "no feature column is left"),
        ({"columns": [COLUMN | {"kind": "timestamp", "zone": "Mars"}]}, "time zone 'Mars' is unknown"),
        ({"columns": [COLUMN | {"zone": "UTC"}]}, "belongs to a timestamp"),
        ({"columns": []}, "no feature column"),
        ({"decimal": ";"}, r"\$\.decimal"),
        ({"missing": "NA"}, r"\$\.missing"),
        ({"protocol": 2}, "protocol 2 needs a newer stillwatch"),
        ({"protocol": None}, r"\$\.protocol"),
        ({"more": 1}, "unknown field `more`"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"protocol": 1, "columns": [COLUMN]} | change))
    with pytest.raises(sw.SchemaError, match=message) as caught:
        sw.load_schema(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"protocol": 1,\n "columns": [\n  {"name": "a" "kind": "number"}]}',
            "line 3 is not JSON.*quotes and commas",
        ),
        ("", "is not JSON|truncated"),
        ("[]", "Expected `object`"),
        ("[" * 50_000, "nested too deeply|Expected"),
        (b"\xff\xfe", "UTF-8|not JSON"),
    ],
)
def test_what_is_no_schema(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(sw.SchemaError, match=message):
        sw.load_schema(path)
    with pytest.raises(sw.SchemaError, match="cannot be read: No such file"):
        sw.load_schema(tmp_path / "none.json")
    with pytest.raises(sw.SchemaError, match="cannot be read: Is a directory"):
        sw.load_schema(tmp_path)


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
kinds: st.SearchStrategy[Kind] = st.sampled_from(["number", "category", "boolean", "timestamp"])


@settings(max_examples=50, deadline=None)
@given(
    columns=st.lists(st.tuples(names, kinds), min_size=1, max_size=5, unique_by=lambda pair: pair[0]),
    missing=st.lists(st.text(st.characters(codec="utf-8"), max_size=4), max_size=3),
)
def test_any_schema_survives(
    columns: list[tuple[str, Kind]], missing: list[str], tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.mktemp("schema") / "s.json"
    schema = Schema(
        columns=tuple(Column(name=n, kind=k) for n, k in columns), missing=tuple(missing), decimal=","
    )
    sw.save_schema(schema, path)
    assert sw.load_schema(path) == schema


def test_a_schema_from_a_file_distills_as_inferred(tmp_path: Path) -> None:
    from tests.tables import mixed_table

    table = mixed_table(300)
    schema = sw.inspect(table, label="fraud")
    sw.save_schema(schema, tmp_path / "s.json", data=table)
    student = sw.MLP(hidden=(8,), steps=20)
    a, b = (
        sw.distill(table, schema=s, teacher="knn", student=student)
        for s in (schema, sw.load_schema(tmp_path / "s.json"))
    )
    np.testing.assert_array_equal(a.scorer.score(table), b.scorer.score(table))
