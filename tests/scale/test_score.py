from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from stillwatch.scale import Local, score_files
from stillwatch.scale.parts import JOB, MANIFEST, SUCCESS
from tests.scale.conftest import Contents, keyed_table

pytestmark = pytest.mark.usefixtures("small_shards")


def test_parts_hold_what_the_scorer_says(keyed_model: Path, files: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = score_files(
        keyed_model, files, tmp_path / "out", alert_rate=0.05, progress=lambda *now: told.append(now)
    )
    table = pq.read_table(tmp_path / "out")
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("id", "int64"), ("score", "float"), ("p_value", "float"), ("alert", "bool"),
    ]  # fmt: skip
    rows = pq.read_table(files)
    verdict = sw.load(keyed_model).judge(rows, 0.05)
    assert table["id"].to_pylist() == rows["id"].to_pylist()
    np.testing.assert_array_equal(table["score"].to_numpy(), verdict.score)
    np.testing.assert_array_equal(table["p_value"].to_numpy(), verdict.p_value.astype(np.float32))
    np.testing.assert_array_equal(table["alert"].to_numpy(), verdict.alert)
    assert (found.rows, found.alerts, found.kept) == (2_400, int(verdict.alert.sum()), 0)
    assert (found.missing, found.unseen) == (verdict.counts.missing, verdict.counts.unseen)
    assert found.ignored == ()
    assert told[0] == ("score", 0, 2_400)
    assert told[-1] == ("score", 2_400, 2_400)
    assert len(told) == 13


@pytest.mark.parametrize("format_", ["csv", "ndjson", "arrow"])
def test_every_format_gives_the_same(
    keyed_model: Path, tmp_path: Path, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = keyed_table(300)
    path = tmp_path / f"t.{format_}"
    if format_ == "csv":
        pacsv.write_csv(table, path)
    elif format_ == "ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    found = score_files(keyed_model, path, tmp_path / "out")
    assert (len(found.parts) > 1) == (format_ != "arrow")
    table = pq.read_table(tmp_path / "out")
    np.testing.assert_array_equal(table["score"].to_numpy(), sw.load(keyed_model).score(path))
    assert [int(key) for key in table["id"].to_pylist()] == list(range(300))


def test_the_same_bytes_from_processes_and_after_every_cut(
    keyed_model: Path, files: Path, tmp_path: Path, contents: Contents
) -> None:
    score_files(keyed_model, files, tmp_path / "one", engine=Local(1))
    whole = contents(tmp_path / "one")
    assert len(whole) == 15
    score_files(keyed_model, files, tmp_path / "two", engine=Local(2))
    assert contents(tmp_path / "two") == whole
    # A driver that was killed leaves any parts, a manifest without some of them or cut in a line, and no mark of success.
    lines = (tmp_path / "one" / MANIFEST).read_bytes()
    for cut in range(0, len(lines), 997):
        folder = tmp_path / f"cut {cut}"
        shutil.copytree(tmp_path / "one", folder)
        (folder / SUCCESS).unlink()
        (folder / MANIFEST).write_bytes(lines[:cut])
        found = score_files(keyed_model, files, folder, engine=Local(1))
        assert found.kept == lines[:cut].count(b"\n")
        assert contents(folder) == whole


def test_a_finished_folder_is_left_alone(
    keyed_model: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score_files(keyed_model, files, tmp_path / "out")
    monkeypatch.setattr("stillwatch.scale.score._score", None)
    again = score_files(keyed_model, files, tmp_path / "out")
    assert (again.parts, again.kept) == (first.parts, 12)


def test_a_part_that_was_damaged_or_removed_is_made_again(
    keyed_model: Path, files: Path, tmp_path: Path, contents: Contents
) -> None:
    score_files(keyed_model, files, tmp_path / "out")
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / "part-00000-00001.parquet").unlink()
    damaged = tmp_path / "out" / "part-00002-00003.parquet"
    data = bytearray(damaged.read_bytes())
    data[100] ^= 1
    damaged.write_bytes(data)
    assert score_files(keyed_model, files, tmp_path / "out").kept == 10
    assert contents(tmp_path / "out") == whole


def test_a_changed_input_is_noticed(
    keyed_model: Path, files: Path, tmp_path: Path, contents: Contents
) -> None:
    score_files(keyed_model, files, tmp_path / "out")
    pq.write_table(keyed_table(500, seed=9), files / "1.parquet", row_group_size=200)
    found = score_files(keyed_model, files, tmp_path / "out")
    assert (found.kept, found.rows) == (8, 2_100)
    score_files(keyed_model, files, tmp_path / "anew")
    assert contents(tmp_path / "out") == contents(tmp_path / "anew")


def test_a_folder_is_never_filled_from_two_jobs(keyed_model: Path, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    score_files(keyed_model, files, out)
    with pytest.raises(sw.TableError, match="holds scores of another model, alert rate"):
        score_files(keyed_model, files, out, alert_rate=0.2)
    assert score_files(keyed_model, files, out, alert_rate=0.2, overwrite=True).kept == 0
    assert json.loads((out / JOB).read_bytes())["alert_rate"] == 0.2
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(sw.TableError, match="holds other files"):
            score_files(keyed_model, files, other, overwrite=overwrite)
    with pytest.raises(sw.TableError, match="is a file"):
        score_files(keyed_model, files, other / "mine.txt")
    with pytest.raises(sw.TableError, match=r"is not a folder\. Create it first"):
        score_files(keyed_model, files, tmp_path / "no" / "out")
    assert [path.name for path in other.iterdir()] == ["mine.txt"]


def test_two_runs_do_not_write_to_one_folder(keyed_model: Path, files: Path, tmp_path: Path) -> None:
    def second(*_: object) -> None:
        with pytest.raises(sw.TableError, match="another run is writing to"):
            score_files(keyed_model, files, tmp_path / "out")

    assert score_files(keyed_model, files, tmp_path / "out", progress=second).rows == 2_400


def test_key_columns_keep_one_type(keyed_model: Path, tmp_path: Path) -> None:
    table = keyed_table(40)
    place = table.column_names.index("id")
    texts = table.set_column(place, "id", pa.array([f"k{i}" for i in range(40)]))
    blank = table.set_column(place, "id", pa.nulls(40))
    for name, part in {"a": table, "b": texts, "c": blank}.items():
        pq.write_table(part, tmp_path / f"{name}.parquet")
    found = score_files(keyed_model, str(tmp_path / "*.parquet"), tmp_path / "out")
    assert [part.part for part in found.failed] == ["part-00001-00000.parquet"]
    assert (
        "key column 'id' is of type string here and of type int64 in the first file" in found.failed[0].error
    )
    assert pq.read_table(tmp_path / "out").num_rows == 80
    assert not (tmp_path / "out" / SUCCESS).exists()


def test_a_model_without_keys_and_columns_that_nobody_needs(model: Path, files: Path, tmp_path: Path) -> None:
    found = score_files(model, files, tmp_path / "out")
    assert found.ignored == ("id",)
    assert pq.read_table(tmp_path / "out").column_names == ["score", "p_value", "alert"]


def test_what_killed_workers_left_is_swept_at_the_end(keyed_model: Path, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def told(step: str, done: int, total: int) -> None:
        if done:  # as a worker leaves it that is killed while the others go on
            (out / ".part-00000.parquet.0123abcd.part").touch()

    score_files(keyed_model, files, out, engine=Local(1), progress=told)
    assert not [path.name for path in out.iterdir() if path.name.endswith(".part")]
