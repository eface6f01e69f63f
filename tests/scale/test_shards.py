from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from stillwatch.scale.shards import Shard, open_shard, plan


def rows_of(shard: Shard, columns: tuple[str, ...] = ("id",)) -> list[int]:
    _, file = open_shard(shard, columns)
    return [value for batch in file.batches(64) for value in batch["id"].to_pylist()]


def test_a_plan_covers_every_row_once_and_in_order(files: Path, small_shards: None) -> None:
    shards = plan(files)
    assert [shard.part for shard in shards[3:6]] == [
        "part-00000-00003.parquet",
        "part-00001-00000.parquet",
        "part-00001-00001.parquet",
    ]
    assert [shard.first_row for shard in shards[:4]] == [1, 201, 401, 601]
    found = [row for shard in shards for row in rows_of(shard)]
    assert found == pq.read_table(files)["id"].to_pylist()
    assert sum(shard.rows or 0 for shard in shards) == 2_400


def test_row_groups_are_joined_up_to_a_limit_and_never_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.scale.shards.ROWS", 250)
    path = tmp_path / "t.parquet"
    with pq.ParquetWriter(path, pa.schema([("id", pa.int64())])) as writer:
        for rows in (100, 100, 100, 700, 50, 50):
            writer.write_table(pa.table({"id": np.arange(rows)}))
    assert [shard.groups for shard in plan(path)] == [(0, 2), (2, 3), (3, 4), (4, 6)]


def test_a_glob_a_list_and_a_folder_are_the_same_plan(files: Path) -> None:
    listed = plan(sorted(files.iterdir()))
    assert plan(str(files / "*.parquet")) == listed
    assert [shard.part for shard in plan(files)] == [shard.part for shard in listed]


def test_folders_that_are_values_become_columns(tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"day={day}").mkdir()
        pq.write_table(pa.table({"id": [day]}), tmp_path / f"day={day}" / "t.parquet")
    one, two = plan(tmp_path)
    whole, narrow = open_shard(two, ["day"])
    assert (whole.names, narrow.names) == (("id", "day"), ("day",))
    assert [batch.to_pylist() for batch in narrow.batches(9)] == [[{"day": "2"}]]
    assert one.digest != two.digest


def test_only_the_columns_that_are_needed_are_read(tmp_path: Path) -> None:
    table = pa.table({"id": [1], "a": [1.0], "a.b": [2.0], "c": pa.array([{"d": 1}])})
    pq.write_table(table, tmp_path / "t.parquet")
    (shard,) = plan(tmp_path / "t.parquet")
    for columns in (["a"], ["a.b"], ["a", "c"]):
        whole, narrow = open_shard(shard, columns)
        assert whole.names == ("id", "a", "a.b", "c")
        assert [batch.schema.names for batch in narrow.batches(9)] == [columns]


@pytest.mark.parametrize("change", ["rows", "time", "a value"])
def test_a_file_that_changed_is_other_work_and_is_not_read(tmp_path: Path, change: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id\n1\n2\n")
    (before,) = plan(path)
    about = path.stat()
    if change == "rows":
        path.write_text("id\n1\n")
    elif change == "time":
        os.utime(path, ns=(1, 1))
    else:
        path.write_text("id\n1\n3\n")
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.raises(sw.TableError, match="changed while it was being read"):
        open_shard(before, ["id"])
    assert plan(path)[0].digest != before.digest


def test_a_copy_elsewhere_is_the_same_work(files: Path, tmp_path: Path) -> None:
    path, copy = files / "1.parquet", tmp_path / "copy.parquet"
    copy.write_bytes(path.read_bytes())
    about = path.stat()
    os.utime(copy, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert [shard.digest for shard in plan(path)] == [shard.digest for shard in plan(copy)]


def test_a_file_without_rows_and_one_that_cannot_be_read_are_one_shard_each(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), tmp_path / "empty.parquet")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    empty, torn, absent = plan(
        [tmp_path / "empty.parquet", tmp_path / "torn.parquet", tmp_path / "no.parquet"]
    )
    assert rows_of(empty) == []
    for shard in (torn, absent):
        with pytest.raises(sw.TableError):
            open_shard(shard, ["id"])


@pytest.mark.parametrize("data", ["-", pa.table({"a": [1]}), []])
def test_shards_are_cut_from_files_only(data: object) -> None:
    with pytest.raises(sw.TableError, match="shards are cut from files"):
        plan(data)  # type: ignore[arg-type]
