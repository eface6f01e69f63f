"""Bad files among good ones: what is wrong is recorded with its part, the others are scored."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from stillwatch.scale import Local, score_files
from stillwatch.scale.parts import MANIFEST, SUCCESS
from tests.tables import mixed_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good file at each end, and between them all that can be wrong with one."""
    folder = tmp_path / "data"
    folder.mkdir()
    good = mixed_table(300, seed=4).drop_columns(["fraud"])
    pq.write_table(good, folder / "00 good.parquet")
    pq.write_table(good, folder / "01 truncated.parquet")
    data = (folder / "01 truncated.parquet").read_bytes()
    (folder / "01 truncated.parquet").write_bytes(data[:-100])
    (folder / "02 magic.parquet").write_bytes(b"NOPE" + data[4:])
    damaged = bytearray(data)
    damaged[4:60] = b"\xff" * 56
    (folder / "03 damaged.parquet").write_bytes(damaged)
    pq.write_table(good.drop_columns(["age"]), folder / "04 column.parquet")
    strange = pa.array(["12,5"] * 300)
    pq.write_table(good.set_column(0, "amount", strange), folder / "05 value.parquet")
    pq.write_table(good.slice(0, 0), folder / "06 no rows.parquet")
    (folder / "07 empty.parquet").touch()
    (folder / "08 folder.parquet").symlink_to(folder / "nowhere")
    pq.write_table(good, folder / "09 good.parquet")
    return folder


BAD = {
    1: "damaged|truncated",
    2: "is not a Parquet file",
    3: "damaged|not UTF-8",
    4: "column 'age' is missing",
    5: "column 'amount': .* are not numbers .*at row 1",
    7: "is empty",
    8: "does not exist",
}


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_files_are_recorded_and_the_others_scored(
    model: Path, folder: Path, tmp_path: Path, workers: int
) -> None:
    files = sorted(folder.iterdir())
    found = score_files(model, files, tmp_path / "out", engine=Local(workers))
    assert {int(part.part[5:10]): bool(part.error) for part in found.parts} == {
        i: i in BAD for i in range(10)
    }
    for part in found.failed:
        assert re.search(BAD[int(part.part[5:10])], part.error), part.error
        assert part.error.startswith(part.source)
        assert "Traceback" not in part.error
    assert pq.read_table(tmp_path / "out").num_rows == found.rows == 600
    lines = (tmp_path / "out" / MANIFEST).read_text().splitlines()
    assert sum('"error":' in line for line in lines) == len(BAD)
    assert not (tmp_path / "out" / SUCCESS).exists()
    # Mended, the rest is done, and no more than the rest.
    for path in files:
        if int(path.name[:2]) in BAD:
            path.unlink()
            pq.write_table(mixed_table(50, seed=5), path)
    again = score_files(model, files, tmp_path / "out", engine=Local(1))
    assert (again.kept, again.failed) == (3, ())
    assert (tmp_path / "out" / SUCCESS).exists()


def test_nothing_but_bad_files_is_an_error(model: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(sw.InputError, match="is empty"):
        score_files(model, folder / "07 empty.parquet", tmp_path / "out")


def test_a_file_that_changes_under_the_run_is_recorded(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [folder / "00 good.parquet", folder / "09 good.parquet"]
    judge = sw.Scorer.judge

    def changed(self: sw.Scorer, *args: object, **kwargs: object) -> sw.Verdict:
        os.utime(good[0], ns=(1, 1))
        return judge(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(sw.Scorer, "judge", changed)
    found = score_files(model, good, tmp_path / "out", engine=Local(1))
    assert [part.error for part in found.failed] == [
        f"{good[0]} changed while it was being read. Run again when it rests."
    ]
    assert not (tmp_path / "out" / "part-00000-00000.parquet").exists()


def test_ten_thousand_tiny_files_in_small(model: Path, tmp_path: Path) -> None:
    """Two hundred of them; all ten thousand are slow."""
    _tiny(model, tmp_path, 200)


@pytest.mark.slow
def test_ten_thousand_tiny_files(model: Path, tmp_path: Path) -> None:
    _tiny(model, tmp_path, 10_000)


def _tiny(model: Path, tmp_path: Path, number: int) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    pq.write_table(mixed_table(2), folder / "00000.parquet")
    for i in range(1, number):
        os.link(folder / "00000.parquet", folder / f"{i:05}.parquet")
    found = score_files(model, folder, tmp_path / "out")
    assert (found.rows, len(found.parts), found.failed) == (2 * number, number, ())
    assert score_files(model, folder, tmp_path / "out").kept == number


MEASURED = """
import resource, sys
from stillwatch.scale import Local, score_files
found = score_files(*sys.argv[1:], engine=Local(1))
print(found.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_is_flat_whatever_the_file_size(model: Path, tmp_path: Path) -> None:
    """All rows stand in one row group, which is the worst case."""
    unit = mixed_table(100_000, seed=8).drop_columns(["fraud"])
    used = {}
    for units in (2, 40):
        path = tmp_path / f"{units}.parquet"
        pq.write_table(pa.concat_tables([unit] * units), path, row_group_size=1 << 30, use_dictionary=False)
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, model, path, tmp_path / f"out {units}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        rows, megabytes = map(int, done.stdout.split())
        assert rows == units * 100_000
        used[units] = megabytes
    assert used[40] < used[2] + 100, used


def test_a_disk_that_is_full_stops_the_run_and_keeps_what_is_done(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    """No file may grow past the limit: the second part is larger."""
    pq.write_table(mixed_table(18_000, seed=4), folder / "10 large.parquet")
    files = [folder / name for name in ("00 good.parquet", "10 large.parquet", "09 good.parquet")]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            score_files(model, files, tmp_path / "out", engine=Local(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_job.json", "_manifest.jsonl", "part-00000-00000.parquet",
    ]  # fmt: skip
    found = score_files(model, files, tmp_path / "out", engine=Local(1))
    assert (found.kept, found.rows) == (1, 18_600)
    assert np.isfinite(pq.read_table(tmp_path / "out")["score"].to_numpy()).all()
