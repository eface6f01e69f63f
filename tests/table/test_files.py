from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import SchemaError, TableError
from stillwatch.table import delimited
from stillwatch.table.files import open_file

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(data: bytes | str, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write


def rows(path: Path) -> list[tuple[str, ...]]:
    file = open_file(path)
    return [tuple(row.values()) for batch in file.batches(2) for row in batch.to_pylist()]


PARQUET = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(save: Save, separator: str, end: str) -> None:
    lines = [["a", "b"], ["1", "x"], ["", "?"]]
    path = save(end.join(separator.join(line) for line in lines))
    assert open_file(path).names == ("a", "b")
    assert rows(path) == [("1", "x"), ("", "?")]


def test_a_comma_in_a_quoted_name_is_no_separator(save: Save) -> None:
    path = save('"a, b, c";d\n1,5;2\n')
    assert open_file(path).names == ("a, b, c", "d")
    assert rows(path) == [("1,5", "2")]


def test_everything_is_text_and_nothing_is_null(save: Save) -> None:
    assert rows(save("a,b\n007,NA\n,null\n1e5, x \n")) == [("007", "NA"), ("", "null"), ("1e5", " x ")]


def test_quotes_line_breaks_and_a_byte_order_mark(save: Save) -> None:
    path = save(b"\xef\xbb\xbf" + b'"a\nb",c\n"x ""y""\nz","1,2"\n')
    assert open_file(path).names == ("a\nb", "c")
    assert rows(path) == [('x "y"\nz', "1,2")]


def test_one_column(save: Save) -> None:
    assert rows(save("a\n1\n2\n")) == [("1",), ("2",)]


def test_gzip_in_parts(save: Save) -> None:
    data = gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n")
    assert rows(save(data, "t.csv.gz")) == [("1", "2"), ("3", "4")]
    assert rows(save(data, "t.data")) == [("1", "2"), ("3", "4")]


def test_a_file_larger_than_a_block_is_streamed(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 10)
    path = save("a,b\n" + "".join(f"{i},x\n" for i in range(5000)))
    batches = list(open_file(path).batches(65_536))
    assert len(batches) > 10
    assert sum(batch.num_rows for batch in batches) == 5000


def test_line_breaks_in_quotes_survive_the_cut_into_blocks(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 10)
    path = save("a,b\n" + "".join(f'{i},"x\ny,{i}\n"\n' for i in range(2000)))
    assert rows(path) == [(str(i), f"x\ny,{i}\n") for i in range(2000)]


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(PARQUET, tmp_path / "t.parquet")
    assert rows(tmp_path / "t.parquet") == [(1, "x"), (2, None), (3, "z")]
    (tmp_path / "t.bin").write_bytes((tmp_path / "t.parquet").read_bytes())
    assert len(rows(tmp_path / "t.bin")) == 3


def test_the_index_that_pandas_wrote_is_dropped(tmp_path: Path) -> None:
    pq.write_table(PARQUET.append_column("__index_level_0__", pa.array([7, 8, 9])), tmp_path / "t.parquet")
    assert open_file(tmp_path / "t.parquet").names == ("a", "b")


def test_reading_again_gives_the_same(save: Save) -> None:
    file = open_file(save("a,b\n1,2\n"))
    assert list(file.batches(10)) == list(file.batches(10))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"\n\n", "is empty"),
        ("t.csv", b"a,\xc3\xa4\n\xff,1\n", r"not UTF-8 text at line 2\b"),
        ("t.csv", b"\xffa,\xc3\xa4\n1,2\n", "not UTF-8 text"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16-le"), "NUL bytes"),
        (
            "t.csv",
            b"made by a tool\na,b\n1,2\n",
            "line 2 has 2 fields, the header has 1.*remove what is above it",
        ),
        ("t.csv", b"PK\x03\x04zip", "zip archive"),
        ("t.csv", b"a,b\n1,\x00\n", "NUL bytes"),
        ("t.csv", b"a,b\n1,2\n3\n", r"line 3 has 1 fields, the header has 2; it begins '3'"),
        ("t.csv", b'a,b\n\n"1\n1",2\n\n3,4,5\n', r"line 6 has 3 fields"),
        (
            "t.csv",
            b"a,b\n1,2\n3,4,\xff\n",
            r"line 3 has 3 fields, the header has 2",
        ),  # and prints no stack trace
        ("t.csv.gz", b"a,b\n1,2\n", "not a gzip file"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 999, mtime=0)[:-9], "truncated"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:12], "truncated"),
        ("t.csv.gz", b"\x1f\x8b" + b"x" * 50, "damaged"),
        ("t.parquet", b"a,b\n1,2\n", "not a Parquet file"),
        ("t.parquet", b"PAR1" + b"x" * 50, "damaged"),
    ],
)
def test_files_that_cannot_be_read(save: Save, name: str, data: bytes, message: str) -> None:
    path = save(data, name)
    with pytest.raises(TableError, match=message) as caught:
        rows(path)
    assert str(path) in str(caught.value)


def test_damage_after_the_first_block_is_told_while_reading(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 10)
    good = "a,b\n" + "1,2\n" * 5000
    for bad, message in [
        (b"1,2,3\n", "line 5,002 has 3 fields"),
        (b"1,\xc3\xa4\xff\n", r"at line 5,002\b"),
        (b'1,"' + b"x" * 5000, "quote left open"),
    ]:
        file = open_file(save(good.encode() + bad))
        with pytest.raises(TableError, match=message):
            list(file.batches(10))


def test_a_ragged_row_carries_its_number(save: Save) -> None:
    with pytest.raises(TableError) as caught:
        rows(save("a,b\n1,2\n3\n"))
    assert caught.value.row == 2


def test_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(PARQUET, path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(TableError, match="damaged"):
        rows(path)


def test_damaged_parquet_pages(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [str(i) for i in range(1000)]}), path)
    data = bytearray(path.read_bytes())
    data[4:200] = b"\xff" * 196
    path.write_bytes(data)
    with pytest.raises(TableError, match="damaged"):
        rows(path)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_a_file_without_rows_has_columns(tmp_path: Path, name: str) -> None:
    """It may be one part of many, or a day on which nothing happened."""
    for text in (b"a,b\n", b"a,b"):
        (tmp_path / "t.csv").write_bytes(text)
        pq.write_table(PARQUET.slice(0, 0), tmp_path / "t.parquet")
        assert open_file(tmp_path / name).names == ("a", "b")
        assert rows(tmp_path / name) == []


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_doubled_names(tmp_path: Path, name: str) -> None:
    if name == "t.csv":
        (tmp_path / name).write_text("a,b,a\n1,2,3\n")
    else:
        table = pa.Table.from_arrays([pa.array([1])] * 3, ["a", "b", "a"])
        pq.write_table(table, tmp_path / name)
    with pytest.raises(SchemaError, match=r"more than once: 'a'"):
        open_file(tmp_path / name)


def test_no_file_a_folder_and_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TableError, match="does not exist"):
        open_file(tmp_path / "t.csv")
    with pytest.raises(TableError, match="is a directory"):
        open_file(tmp_path)
    (tmp_path / "t.csv").write_text("a\n1\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(TableError, match="permission denied"):
        open_file(tmp_path / "t.csv")


def test_three_thousand_columns(save: Save) -> None:
    names = [f"c{i}" for i in range(3000)]
    path = save(",".join(names) + "\n" + ",".join("1" * 3000) + "\n")
    assert len(rows(path)[0]) == 3000


def test_a_cell_of_a_megabyte(save: Save) -> None:
    assert len(rows(save("a,b\n" + "x" * 1_000_000 + ",1\n"))[0][0]) == 1_000_000
