from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import SchemaError, TableError
from stillwatch.scale.spans import spans_of
from stillwatch.table.files import open_file
from stillwatch.table.read import open_source


def values(data: Any, **options: str) -> list[dict[str, Any]]:
    return [row for batch in open_source(data, **options).batches() for row in batch.to_pylist()]


def test_files_of_all_kinds_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,a\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"y;x\nb;2\n"))
    (tmp_path / "deeper").mkdir()
    pq.write_table(pa.table({"x": [3], "y": ["c"]}), tmp_path / "deeper" / "c.parquet")
    (tmp_path / "deeper" / "part-0").write_text('{"x": 4, "y": "d"}\n')
    for name in ("_SUCCESS", ".c.parquet.crc", "README.md", "notes.docx"):
        (tmp_path / name).write_text("not a table")
    source = open_source(tmp_path)
    assert "4 files" in source.description
    assert [str(row["x"]) for row in values(str(tmp_path))] == ["1", "2", "3", "4"]


def test_key_value_folders_become_columns(tmp_path: Path) -> None:
    for year, city in (("2023", "Bern"), ("2024", "Z%C3%BCrich"), ("2024", "__HIVE_DEFAULT_PARTITION__")):
        folder = tmp_path / f"year={year}" / f"city={city}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"x": [1, 2]}), folder / "p.parquet")
    assert values(tmp_path)[1:4] == [
        {"x": 2, "year": "2023", "city": "Bern"},
        {"x": 1, "year": "2024", "city": "Zürich"},
        {"x": 2, "year": "2024", "city": "Zürich"},
    ]
    assert sum(row["city"] is None for row in values(tmp_path)) == 2


def test_what_pyarrow_writes(tmp_path: Path) -> None:
    pq.write_to_dataset(pa.table({"k": ["a", "b"], "x": [1, 2]}), str(tmp_path), partition_cols=["k"])
    assert values(tmp_path) == [{"x": 1, "k": "a"}, {"x": 2, "k": "b"}]


def test_a_columns_own_values_win_over_its_folders_name(tmp_path: Path) -> None:
    (tmp_path / "x=7").mkdir()
    (tmp_path / "x=7" / "t.csv").write_text("x\n1\n")
    assert values(tmp_path) == [{"x": "1"}]


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"without any file that holds a table: \.csv"):
        open_source(tmp_path)
    (tmp_path / "k=1").mkdir()
    (tmp_path / "k=1" / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").write_text("x\n1\n")
    with pytest.raises(SchemaError, match="column 'k' is one too many"):
        open_source(tmp_path)
    with pytest.raises(TableError, match="is a directory"):
        open_source([tmp_path])


def test_ten_thousand_tiny_files(tmp_path: Path) -> None:
    for i in range(2_000):
        (tmp_path / f"{i:05}.csv").write_text(f"x\n{i}\n")
    source = open_source(tmp_path)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert sum(batch.num_rows for batch in source.batches()) == 2_000
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x\n1\n")
    source = open_source(path)
    list(source.batches())
    path.write_text("x\n1\n2\n")
    with pytest.raises(TableError, match="changed while it was being read"):
        list(source.batches())
    path.unlink()
    with pytest.raises(TableError, match="does not exist"):
        list(source.batches())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a,b\n1,x\n", [{"a": "1", "b": "x"}]),
        (b'\n{"a": 1, "b": "x"}\n', [{"a": 1, "b": "x"}]),
        (gzip.compress(b"a;b\n1;x\n", mtime=0), [{"a": "1", "b": "x"}]),
    ],
)
def test_standard_input(data: bytes, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    source = open_source("-")
    assert source.description == "standard input"
    for _ in range(2):
        assert [row for batch in source.batches() for row in batch.to_pylist()] == expected


def test_a_pipe_with_a_name_is_read_once(tmp_path: Path) -> None:
    """As the shell makes one of `<(zcat payments.csv.gz)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"a,b\n1,x\n",))
    writer.start()
    source = open_source(pipe)
    writer.join()
    for _ in range(2):
        assert [row for batch in source.batches() for row in batch.to_pylist()] == [{"a": "1", "b": "x"}]
    with pytest.raises(TableError, match="is a pipe"):
        open_file(pipe)


def test_standard_input_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for data, message in ((b"", "standard input is empty"), (b'{"a": NaN}', "standard input: line 1")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(TableError, match=message):
            open_source("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(TableError, match="standard input is closed"):
        open_source("-")


def test_encodings(tmp_path: Path) -> None:
    text = "Straße;Größe\nMünchen;1,5\nKöln;2,5\n"
    path = tmp_path / "t.csv"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "mac-roman"):
        path.write_bytes(text.encode(encoding))
        declared = None if encoding.startswith("utf") else encoding
        source = open_source(path, encoding=declared)
        assert source.names == ("Straße", "Größe")
        rows = [row for batch in source.batches() for row in batch.to_pylist()]
        assert rows[1] == {"Straße": "Köln", "Größe": "2,5"}
        if encoding != "utf-16":
            assert values(path, encoding=declared or "utf8", delimiter=";") == rows


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (
            "ä,b\n1,2\n".encode("latin-1"),
            {"encoding": "utf-8"},
            "the header is not UTF-8 text.*encoding='cp1252'",
        ),
        ("a,b\n1,ä\n".encode("latin-1"), {"encoding": "utf8"}, "not UTF-8 text at line 2.*encoding='cp1252'"),
        (b"a,b\n1,\x81\n", {"encoding": "cp1252"}, "not text in cp1252"),
        ("a,b\n1,2\n".encode("utf-16")[:-1], {"encoding": "utf-16"}, "utf-16|truncated"),
        (b"a,b\n1,2\n", {"encoding": "utf-99"}, "encoding 'utf-99' is unknown"),
        (b"a,b\n1,2\n", {"encoding": "rot13"}, "is unknown"),
        (b"a,b\n1,2\n", {"encoding": "hex"}, "is unknown"),
        (b"a,b\n1,2\n", {"delimiter": "ab"}, "expected one ASCII character"),
        (b"a,b\n1,2\n", {"delimiter": '"'}, "expected one ASCII character"),
        (b"a,b\n1,2\n", {"delimiter": ""}, "expected one ASCII character"),
    ],
)
def test_text_that_is_declared_wrongly(tmp_path: Path, data: bytes, options: Any, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(TableError, match=message):
        values(tmp_path / "t.csv", **options)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("mark", [";", "|", ","])
def test_the_separator_that_excel_names(tmp_path: Path, encoding: str, mark: str) -> None:
    path = tmp_path / "t.csv"
    text = f"sep={mark}\r\na{mark}b\r\n" + f"1{mark}x,\r\n".replace("x,", '"x,"') * 9
    path.write_bytes(text.encode(encoding))
    assert values(path) == [{"a": "1", "b": "x,"}] * 9
    file = open_file(path)
    assert file.names == ("a", "b")
    assert spans_of(file, 20) == []
    path.write_bytes((text + f"1{mark}2{mark}3\r\n").encode(encoding))
    with pytest.raises(TableError, match="line 12 has 3 fields, the header has 2"):
        values(path)


def test_a_column_that_is_named_like_that_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=,b\n1,2\n")
    assert values(tmp_path / "t.csv") == [{"sep=": "1", "b": "2"}]


@pytest.mark.parametrize("mark", ["é", "\ufffd"])
def test_what_cannot_separate_is_a_name(tmp_path: Path, mark: str) -> None:
    (tmp_path / "t.csv").write_text(f"sep={mark}\n1\n")
    assert values(tmp_path / "t.csv") == [{f"sep={mark}": "1"}]


@pytest.mark.parametrize("mark", ['"', "\x00"])
def test_a_quote_and_a_nul_separate_nothing(tmp_path: Path, mark: str) -> None:
    (tmp_path / "t.csv").write_text(f"sep={mark}\na,b\n1,2\n")
    with pytest.raises(TableError):
        values(tmp_path / "t.csv")
    (tmp_path / "u.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="expected one ASCII character"):
        values(tmp_path / "u.csv", delimiter=mark)


def test_a_delimiter_that_no_header_shows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a b,c~d\n1 2,3~4\n")
    assert values(tmp_path / "t.csv", delimiter="~") == [{"a b,c": "1 2,3", "d": "4"}]


def test_options_of_text_files_are_refused_elsewhere() -> None:
    with pytest.raises(TableError, match="for files"):
        open_source([{"a": 1}], delimiter=";")


@pytest.mark.parametrize("path", ["https://example.org/t.csv", "s3://bucket/t.parquet", "file:///t.csv"])
def test_no_path_is_an_address(path: str) -> None:
    with pytest.raises(TableError, match=r"does not exist.*Addresses are not read"):
        open_source(path)
