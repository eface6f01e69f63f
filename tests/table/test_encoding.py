from __future__ import annotations

import gzip
import io
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import stillwatch as sw
from stillwatch.errors import TableError
from stillwatch.scale.shards import open_shard, plan
from stillwatch.table import encoding
from stillwatch.table.encoding import found_encoding
from stillwatch.table.read import open_source

TEXT = "Straße;Größe\nMünchen;1,5\nKöln – „Süd“;2 €\n"
ROWS = [{"Straße": "München", "Größe": "1,5"}, {"Straße": "Köln – „Süd“", "Größe": "2 €"}]
GUESSED = pytest.warns(UnicodeWarning, match="is not UTF-8: read as cp1252")


def values(data: Any, **options: str) -> list[dict[str, Any]]:
    return [row for batch in open_source(data, **options).batches() for row in batch.to_pylist()]


def found(data: bytes) -> str:
    return found_encoding(io.BytesIO(data))


def test_a_file_in_cp1252_is_found_out_and_told(tmp_path: Path) -> None:
    path, packed = tmp_path / "t.csv", tmp_path / "t.csv.gz"
    path.write_bytes(TEXT.encode("cp1252"))
    packed.write_bytes(gzip.compress(TEXT.encode("cp1252")))
    for one in (path, packed):
        with GUESSED:
            assert values(one) == ROWS
    with GUESSED:
        assert open_source(path).notes == (
            "t.csv is not UTF-8: read as cp1252 (Western European). If letters look wrong, declare the encoding.",
        )
    assert open_source(path, encoding="cp1252").notes == ()
    with pytest.raises(TableError, match="is not UTF-8 text"):
        open_source(path, encoding="utf-8")


def test_standard_input_in_latin_1(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a,b\nmañana,1\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode("latin-1"))))
    with pytest.warns(UnicodeWarning, match="standard input is not UTF-8"):
        assert values("-") == [{"a": "mañana", "b": "1"}]


def test_files_of_several_encodings_are_one_table(tmp_path: Path) -> None:
    for i, name in enumerate(("utf-8", "cp1252", "utf-16", "cp1252", "utf-8-sig")):
        (tmp_path / f"{i}.csv").write_bytes(TEXT.encode(name))
    with pytest.warns(UnicodeWarning, match=r"^1\.csv is not UTF-8, nor are 1 more files: read as cp1252"):
        assert values(tmp_path) == ROWS * 5


@pytest.mark.parametrize("ending", ["", "\n"])
@pytest.mark.parametrize("name", ["utf-8", "cp1252"])
def test_the_first_letter_may_come_late_and_stand_anywhere(
    monkeypatch: pytest.MonkeyPatch, name: str, ending: str
) -> None:
    monkeypatch.setattr(encoding, "_BLOCK", 8)
    for before in range(40):
        assert found(("x" * before + "ä" + ending).encode(name)) == name
        assert found(("x" * before + "Größe, Maß" + ending).encode(name)) == name
    for cut in range(1, 4):  # a letter that the two blocks looked at end in
        assert found(("x" * 7 + "ä" + "x" * (7 - cut) + "😀").encode()) == "utf-8"
    assert found(b"") == found(b"x" * 40) == "utf-8"


def test_text_in_utf_8_with_a_broken_byte_is_not_turned_into_wrong_letters(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(TEXT.encode() + b"K\xf6ln;1\n")
    with pytest.raises(TableError, match="is not UTF-8 text at line 4"):
        values(tmp_path / "t.csv")
    # In cp1252 a sharp s before a quotation mark, by chance, makes a letter of UTF-8.
    assert found("„Spaß“ in Köln, Größe, Maß".encode("cp1252")) == "cp1252"


@pytest.mark.parametrize("data", [b"a\nx\x81\xe4\n", b"a\n\xe4\x00\n", b"a\n\xe4\x1b[2J\n"])
def test_what_cp1252_has_no_sign_for_is_not_guessed(data: bytes, tmp_path: Path) -> None:
    assert found(data) == "utf-8"
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(TableError, match=r"UTF-8|NUL"):
        values(tmp_path / "t.csv")


def test_json_is_utf_8(tmp_path: Path) -> None:
    (tmp_path / "t.ndjson").write_bytes('{"a": "ä"}\n'.encode("cp1252"))
    with pytest.raises(TableError, match="is not UTF-8 text at line 1"):
        open_source(tmp_path / "t.ndjson")


class Endless(io.RawIOBase):
    """A hundred megabytes of ASCII, then one letter."""

    left = 100 << 20

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        if self.left <= 0:
            return b""
        self.left -= size
        return b"x" * size if self.left > 0 else b"\xe4" * size


def test_memory_stays_flat() -> None:
    tracemalloc.start()
    try:
        assert found_encoding(Endless()) == "cp1252"  # type: ignore[arg-type]
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_shards_are_read_as_the_plan_found_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_bytes(TEXT.encode("cp1252"))
    (shard,) = plan(tmp_path / "t.csv")
    monkeypatch.delattr("stillwatch.table.files.found_encoding")
    file, _ = open_shard(shard, [])
    assert [row for batch in file.batches(9) for row in batch.to_pylist()] == ROWS


def test_what_was_guessed_stands_in_schema_and_report(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("größe;ort\n".encode("cp1252") + "".join(
        f"{i % 13 + 0.5};{'Köln' if i % 3 else 'Ulm'}\n" for i in range(200)
    ).encode("cp1252"))  # fmt: skip
    with GUESSED:
        source = open_source(path)
    sw.save_schema(sw.inspect(source), tmp_path / "s.json", data=source)
    assert "t.csv is not UTF-8" in (tmp_path / "s.json").read_text()
    schema = sw.load_schema(tmp_path / "s.json")
    d = sw.distill(source, schema=schema, teacher="knn", student=sw.MLP(hidden=(4,), steps=20))
    assert "t.csv is not UTF-8" in d.warnings[0]
