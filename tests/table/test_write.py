from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import TableError
from stillwatch.table.write import write_csv, write_scores

NAMES = ["a.csv", "a.csv.gz", "a.parquet"]


def batch(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


SCORES = [
    batch(key=["x", None], score=np.array([0.1, -2.5], dtype=np.float32), alert=[False, True]),
    batch(key=['y"\n,'], score=np.array([1e-30], dtype=np.float32), alert=[True]),
]


def read(path: Path) -> list[list[str]]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_comes_back(tmp_path: Path, name: str) -> None:
    assert write_scores(tmp_path / name, iter(SCORES)) == 3
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name == "a.parquet":
        assert pq.read_table(tmp_path / name) == pa.Table.from_batches(SCORES)
    else:
        assert read(tmp_path / name) == [
            ["key", "score", "alert"],
            ["x", "0.1", "false"],
            ["", "-2.5", "true"],
            ['y"\n,', "1e-30", "true"],
        ]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_scores(tmp_path / folder / name, SCORES)
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_no_rows(tmp_path: Path, name: str) -> None:
    assert write_scores(tmp_path / name, [SCORES[0].slice(0, 0)]) == 0
    assert (tmp_path / name).stat().st_size > 0


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError, OSError(28, "No space left on device")])
@pytest.mark.parametrize("name", NAMES)
def test_a_failure_leaves_nothing_behind(tmp_path: Path, name: str, failure: Any) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield SCORES[0]
        raise failure

    expected = TableError if isinstance(failure, OSError) else failure
    with pytest.raises(expected):
        write_scores(tmp_path / name, broken())
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_stays_unless_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(TableError, match="exists"):
        write_scores(path, SCORES)
    assert path.read_text() == "old"
    write_scores(path, SCORES, overwrite=True)
    assert len(read(path)) == 4


def test_a_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(TableError):
        write_scores(path, [SCORES[0], batch(other=[1])], overwrite=True)
    assert path.read_text() == "old"


def untouched() -> Iterator[pa.RecordBatch]:
    raise AssertionError("work began")
    yield


def test_targets_that_cannot_be_are_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.csv").mkdir()
    for path, message in [
        (tmp_path / "no" / "a.csv", "not a folder"),
        (tmp_path / "d.csv", "not a regular file"),
        (tmp_path / "a.xlsx", r"\.csv, \.csv\.gz or \.parquet"),
    ]:
        with pytest.raises(TableError, match=message):
            write_scores(path, untouched(), overwrite=True)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(TableError, match="cannot be written to: Permission denied"):
        write_scores(tmp_path / "a.csv", untouched())


def test_a_target_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    def slow() -> Iterator[pa.RecordBatch]:
        yield SCORES[0]
        path.write_text("theirs")

    with pytest.raises(TableError, match="exists"):
        write_scores(path, slow())
    assert path.read_text() == "theirs"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write_scores(tmp_path / "link.csv", SCORES, overwrite=True)
    assert (tmp_path / "link.csv").is_symlink()
    assert len(read(tmp_path / "real.csv")) == 4


def test_nothing_and_changing_columns(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="nothing came"):
        write_scores(tmp_path / "a.csv", [])
    with pytest.raises(TableError, match="'key' int64, then 'key' string"):
        write_scores(tmp_path / "a.parquet", [batch(key=[1]), batch(key=["1"])])


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_formulas_are_inert_in_csv(kind: pa.DataType) -> None:
    cells = ["=1+1", "+x", "-x", "@SUM(A1)", "\tx", "\rx", "-5", "+1.5e-3", "x=1", "", None]
    stream = io.BytesIO()
    write_csv(
        [pa.RecordBatch.from_arrays([pa.array(cells, kind), pa.array([-1.5] * len(cells))], ["=k", "n"])],
        stream,
    )
    table = list(csv.reader(io.StringIO(stream.getvalue().decode(), newline="")))
    assert table[0] == ["'=k", "n"]
    expected = ["'=1+1", "'+x", "'-x", "'@SUM(A1)", "'\tx", "'\rx", "-5", "+1.5e-3", "x=1", "", ""]
    assert [row[0] for row in table[1:]] == expected
    assert {row[1] for row in table[1:]} == {"-1.5"}


def test_csv_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert write_csv(SCORES) == 3
    import sys

    sys.stdout.flush()
    assert capfdbinary.readouterr().out.startswith(b'"key","score","alert"\n')
