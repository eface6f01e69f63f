from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillwatch.errors import SchemaError, TableError
from stillwatch.table import json_lines
from stillwatch.table.pack import Packer
from stillwatch.table.read import open_source
from stillwatch.table.schema import Column, Schema, infer_schema


def saved(folder: Path, text: str | bytes, name: str = "t.ndjson") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def values(data: Any, size: int = 2) -> list[dict[str, Any]]:
    return [row for batch in open_source(data).batches(size) for row in batch.to_pylist()]


def test_lines(tmp_path: Path) -> None:
    path = saved(tmp_path, '{"a": 1, "b": "x"}\n\n {"b": null, "a": 2.5} \r\n{"a": true, "b": "2020-01-01"}')
    assert values(path, 1) == [{"a": 1, "b": "x"}, {"a": 2.5, "b": None}, {"a": True, "b": "2020-01-01"}]


def test_a_key_missing_from_some_lines_is_a_missing_value(tmp_path: Path) -> None:
    path = saved(tmp_path, '{"a": 1}\n{"b": "x"}\n{"a": 3, "b": "y"}\n')
    assert open_source(path).names == ("a", "b")
    assert values(path, 1) == [{"a": 1, "b": None}, {"a": None, "b": "x"}, {"a": 3, "b": "y"}]
    packer = Packer(Schema(columns=(Column(name="a", kind="number"), Column(name="c", kind="category"))))
    with pytest.raises(SchemaError, match="column 'c' is missing"):
        packer.table(next(open_source(path).batches()))


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson.gz", "t.jsonl.gz", "t.json", "t.log", "t"])
def test_names(tmp_path: Path, name: str) -> None:
    text = b'\xef\xbb\xbf{"a": "\xc3\xa4"}\n'
    path = saved(tmp_path, gzip.compress(text) if name.endswith("gz") else text, name)
    assert values(path) == [{"a": "ä"}]


def test_a_csv_that_begins_with_a_brace_is_a_csv(tmp_path: Path) -> None:
    assert values(saved(tmp_path, "{a},b\n1,2\n", "t.csv")) == [{"{a}": "1", "b": "2"}]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = saved(tmp_path, '{"a": "ä"}\n{"a": "ö"}\n'.encode(encoding))
    source = open_source(path, encoding=encoding)
    assert [row["a"] for batch in source.batches() for row in batch.to_pylist()] == ["ä", "ö"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": NaN}\n', "line 2 is not JSON: it holds a bare NaN.*null"),
        ('{"a": -Infinity}\n', "line 1 is not JSON: it holds a bare Infinity"),
        ('{"a": 1e400}\n', "line 1 holds a number beyond the range"),
        ('{"a": 1}\n{"a": \n', "line 2 is not JSON"),
        ('{"a": 1} {"a": 2}\n', "line 1 is not JSON.*one object a line"),
        ('[{"a": 1}]\n', r"line 1 is no JSON object.*array"),
        ('{"a": 1}\n7\n', "line 2 is no JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1}\n{"a": "' + "x" * (2 << 20) + '"}', "line 2 is longer than 2 MB"),
        (b'{"a": 1}\n\n{"a": "\xff"}\n', "not UTF-8 text at line 3.*encoding='cp1252'"),
        (r'{"a": "\ud800"}', "line 1"),
        ("{}\n", "is empty"),
        ("\n\n", "is empty"),
        ("", "is empty"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = saved(tmp_path, text)
    with pytest.raises(TableError, match=message) as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_doubled_key(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="line 2 has the key 'a' more than once"):
        open_source(saved(tmp_path, '{"a": 1}\n{"a" : 1, "b": "x:y", "a":2}\n'))


def test_nested_values_are_set_aside_or_told_with_column_and_row(tmp_path: Path) -> None:
    path = saved(tmp_path, '{"a": 1, "b": 2}\n{"a": 2, "b": null}\n{"a": 3, "b": {"c": [1]}}\n')
    column = infer_schema(open_source(path)).columns[1]
    assert column.role == "ignore"
    assert "lists or objects" in column.reason
    packer = Packer(Schema(columns=(Column(name="b", kind="number"),)))
    with pytest.raises(
        TableError, match=r"column 'b' holds lists or objects \(first at row 3\).*own column"
    ) as e:
        packer.table(next(open_source(path).batches()))
    assert (e.value.column, e.value.row) == ("b", 3)


def test_types_that_change_from_line_to_line(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        '{"a": 443, "n": 1}\n{"a": "443.0", "n": "2.5"}\n{"a": 443.0, "n": null}\n{"a": 443, "n": ""}',
    )
    schema = Schema(columns=(Column(name="a", kind="category"), Column(name="n", kind="number")))
    for size in (1, 2, 4):
        rows = [Packer(schema).table(batch) for batch in open_source(path).batches(size)]
        assert [t for part in rows for t in part.texts[:, 0]] == ["443"] * 4
        np.testing.assert_array_equal(
            np.concatenate([part.numbers[:, 0] for part in rows]), [1, 2.5, np.nan, np.nan]
        )


def test_line_cap_stops_before_the_whole_line_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 100)
    with pytest.raises(TableError, match="line 1 is longer"):
        open_source(saved(tmp_path, gzip.compress(b'{"a": "' + b"x" * (20 << 20)), "t.jsonl.gz"))
