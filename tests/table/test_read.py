from __future__ import annotations

import gc
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from stillwatch.errors import SchemaError, TableError
from stillwatch.table import delimited
from stillwatch.table.read import open_source

FRAME = pd.DataFrame({"x": [1.5, 2.5, 3.5], "y": ["a", "b", "c"]})
TABLE = pa.table({"x": [1.5, 2.5, 3.5], "y": ["a", "b", "c"]})


def values(data: Any, size: int = 2) -> list[dict[str, Any]]:
    return [row for batch in open_source(data).batches(size) for row in batch.to_pylist()]


@pytest.mark.parametrize(
    "data",
    [
        FRAME,
        pl.from_pandas(FRAME),
        TABLE,
        TABLE.to_batches()[0],
        TABLE.to_reader(),
        TABLE.to_pylist(),
    ],
    ids=["pandas", "polars", "table", "batch", "reader", "dicts"],
)
def test_doors(data: Any) -> None:
    source = open_source(data)
    assert source.names == ("x", "y")
    assert source.named
    assert "3 rows" in source.description
    for _ in range(2):  # a source can be read again
        batches = list(source.batches(2))
        assert [batch.num_rows for batch in batches] == [2, 1]
        assert pa.Table.from_batches(batches).to_pylist() == TABLE.to_pylist()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i4", "u1", "?", "O", "U5", "S5"])
def test_arrays(dtype: str) -> None:
    x = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    source = open_source(x)
    assert (source.names, source.named) == (("x0", "x1"), False)
    assert [batch.num_rows for batch in source.batches(2)] == [2, 1]
    first = next(source.batches())["x1"].to_pylist()
    assert [float(v) if not isinstance(v, bytes) else float(v.decode()) for v in first] == [1, 0, 1]


def test_masked_arrays_keep_their_gaps() -> None:
    x = np.ma.MaskedArray([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])
    assert next(open_source(x).batches())["x1"].to_pylist() == [None, 4.0]


def test_object_arrays_of_mixed_values() -> None:
    x = np.array([[1, "a"], [None, "b"], ["?", 2]], dtype=object)
    assert [list(row.values()) for row in values(x)] == [["1", "a"], [None, "b"], ["?", "2"]]


def test_files_in_a_list_and_a_glob(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("y;x\n4;3\n")
    pq.write_table(pa.table({"y": [6], "x": [5]}), tmp_path / "c.parquet")
    paths = [tmp_path / "a.csv", str(tmp_path / "b.csv"), tmp_path / "c.parquet"]
    expected = [{"x": "1", "y": "2"}, {"x": "3", "y": "4"}, {"x": 5, "y": 6}]
    assert values(paths) == expected
    assert values(str(tmp_path / "*.[cp]*")) == expected
    source = open_source(paths)
    assert source.description == "list of 3 files"
    assert {tuple(batch.schema.names) for batch in source.batches()} == {("x", "y")}


def test_a_path_that_exists_is_no_glob(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").write_text("x\n1\n")
    (tmp_path / "a1.csv").write_text("x\n2\n")
    assert values(str(tmp_path / "a[1].csv")) == [{"x": "1"}]
    assert values(tmp_path / "a[1].csv") == [{"x": "1"}]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("X,y\n1,2\n", "b.csv: column 'x' is missing; did you mean 'X'?"),
        ("x,y,z\n1,2,3\n", "b.csv: column 'z'"),
    ],
)
def test_files_with_other_columns(tmp_path: Path, second: str, message: str) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text(second)
    with pytest.raises(SchemaError) as caught:
        open_source([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert message in str(caught.value)
    assert "a.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("no/such/*.csv", "no file matches"),
        ("no/such.csv", "does not exist"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((3, 0)), "at least one column"),
        (np.zeros((2, 2), dtype=complex), "complex"),
        (np.zeros((2, 2), dtype="M8[s]"), "datetime"),
        ([], "an empty list"),
        ([1, 2], "type list"),
        (7, "type int"),
        (None, "NoneType"),
        (pa.table({}), "no columns"),
        (pd.DataFrame(), "no columns"),
    ],
)
def test_data_that_is_no_table(data: Any, message: str) -> None:
    with pytest.raises(TableError, match=message):
        open_source(data)


def test_no_rows_give_one_empty_batch() -> None:
    for data in (TABLE.slice(0, 0), np.zeros((0, 2)), FRAME.iloc[:0]):
        batches = list(open_source(data).batches())
        assert [batch.num_rows for batch in batches] == [0]
        assert len(batches[0].schema.names) == 2


def test_doubled_names() -> None:
    with pytest.raises(SchemaError, match="'a'"):
        open_source(pa.Table.from_arrays([pa.array([1])] * 2, ["a", "a"]))


def test_a_source_is_its_own_source() -> None:
    source = open_source(TABLE)
    assert open_source(source) is source


def write_csv(path: Path) -> None:
    with path.open("w") as file:
        file.write("x,y\n")
        for i in range(20):
            file.writelines(f"{i}{j:05},{'z' * 90}\n" for j in range(10_000))


def write_parquet(path: Path) -> None:
    with pq.ParquetWriter(path, pa.schema({"x": pa.string()}), compression="none") as writer:
        for i in range(20):
            writer.write_table(pa.table({"x": [f"{i}{j:09}" * 10 for j in range(10_000)]}))


@pytest.mark.parametrize(("name", "write"), [("t.csv", write_csv), ("t.parquet", write_parquet)])
def test_memory_does_not_hold_the_file(
    tmp_path: Path, name: str, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / name)
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 18)
    source = open_source(tmp_path / name)
    gc.collect()
    before = pa.total_allocated_bytes()
    most = rows = 0
    for batch in source.batches(10_000):
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 200_000
    assert most < 0.6 * (tmp_path / name).stat().st_size


def test_how_many_rows_is_known_before_they_are_read(tmp_path: Path) -> None:
    """Of text it is an estimate, and of what is packed nothing is known."""
    table = pa.table({"a": np.arange(5_000) % 10})
    pq.write_table(table, tmp_path / "t.parquet")
    feather.write_feather(table, tmp_path / "t.arrow")
    pacsv.write_csv(table, tmp_path / "t.csv")
    (tmp_path / "t.ndjson").write_text('{"a": 1}\n' * 5_000)
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        file.write((tmp_path / "t.csv").read_bytes())
    for name in ("t.parquet", "t.arrow", "t.ndjson"):
        assert open_source(tmp_path / name).rows == 5_000
    assert open_source(tmp_path / "t.csv").rows == pytest.approx(5_000, rel=0.01)
    assert open_source(tmp_path / "t.csv.gz").rows == 0
    assert open_source([tmp_path / "t.parquet", tmp_path / "t.arrow"]).rows == 10_000
    assert open_source([tmp_path / "t.parquet", tmp_path / "t.csv.gz"]).rows == 0
    assert open_source(table).rows == open_source(np.zeros((5_000, 2))).rows == 5_000


def test_reading_can_be_watched(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    (tmp_path / "t.csv").write_text("a\n" + "1" * 60_000 + "\n" + "1\n" * 5_000)  # the estimate is too low
    source = open_source(tmp_path / "t.csv").watched(lambda done, total: told.append((done, total)))
    assert source.rows < 4_000
    assert sum(batch.num_rows for batch in source.batches()) == 5_001
    assert told[0][0] == 0
    assert all(done < total for done, total in told[:-1])
    assert told[-1] == (5_001, 5_001)


def test_wide_tables_come_in_shorter_batches() -> None:
    """3,000 columns of 65,536 rows would be 1.5 GB."""
    assert next(open_source(np.zeros((5_000, 3_000), dtype=np.int8)).batches()).num_rows < 2_500
    assert next(open_source(np.zeros((70_000, 2), dtype=np.int8)).batches()).num_rows == 65_536
