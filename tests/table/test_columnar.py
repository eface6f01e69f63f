from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.read import open_source

TABLE = pa.table({"x": [1, 2, 3], "y": pa.array(["a", None, "a"]).dictionary_encode()})


def write(path: Path, table: pa.Table, *, stream: bool = False, **options: Any) -> Path:
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("name", ["t.arrow", "t.feather", "t"])
def test_arrow(tmp_path: Path, stream: bool, compression: str | None, name: str) -> None:
    source = open_source(write(tmp_path / name, TABLE, stream=stream, compression=compression))
    for _ in range(2):
        assert pa.Table.from_batches(source.batches(1)).to_pydict() == {"x": [1, 2, 3], "y": ["a", None, "a"]}


def test_feather_of_both_versions(tmp_path: Path) -> None:
    pyarrow.feather.write_feather(TABLE, str(tmp_path / "t.feather"))
    assert open_source(tmp_path / "t.feather").names == ("x", "y")
    (tmp_path / "old.feather").write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(TableError, match="Feather file of version 1"):
        open_source(tmp_path / "old.feather")


@pytest.mark.parametrize("stream", [False, True])
def test_no_rows_and_doubled_names(tmp_path: Path, stream: bool) -> None:
    source = open_source(write(tmp_path / "t.arrow", TABLE.slice(0, 0), stream=stream))
    assert (source.names, [batch.num_rows for batch in source.batches()]) == (("x", "y"), [0])
    doubled = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    with pytest.raises(SchemaError, match="more than once"):
        open_source(write(tmp_path / "u.arrow", doubled, stream=stream))


@pytest.mark.parametrize("stream", [False, True])
def test_damage_is_one_of_our_errors(tmp_path: Path, stream: bool) -> None:
    data = write(tmp_path / "t.arrow", TABLE, stream=stream).read_bytes()
    wrong = 0
    for cut in range(9, len(data), 7):
        (tmp_path / "cut.arrow").write_bytes(data[:cut])
        try:
            list(open_source(tmp_path / "cut.arrow").batches())
        except TableError:
            wrong += 1
    assert wrong > 10
    for at in range(8, len(data), 5):
        (tmp_path / "bit.arrow").write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            list(open_source(tmp_path / "bit.arrow").batches())
        except (TableError, SchemaError):
            wrong += 1
    assert wrong > 20


@pytest.mark.parametrize("stream", [False, True])
def test_indices_that_point_outside_are_refused(tmp_path: Path, stream: bool) -> None:
    """Arrow trusts what it reads: decoded, this would read memory that is not the file's."""
    outside = pa.DictionaryArray.from_arrays(pa.array([0, 10_000_000]), pa.array(["a", "b"]), safe=False)
    path = write(tmp_path / "t.arrow", pa.table({"x": outside}), stream=stream)
    with pytest.raises(TableError, match="damaged"):
        list(open_source(path).batches())


def test_parquet_text_that_is_no_utf8_is_a_table_error(tmp_path: Path) -> None:
    words = pa.array(["fine", "b\u00e4d"])
    offsets, data = words.buffers()[1:]
    broken = pa.py_buffer(data.to_pybytes().replace(b"\xc3", b"\xf8"))
    array = pa.Array.from_buffers(pa.string(), 2, [None, offsets, broken])
    pq.write_table(pa.table({"word": array}), tmp_path / "rows.parquet")
    with pytest.raises(TableError, match=r"rows\.parquet"):
        list(open_source(tmp_path / "rows.parquet").batches())
