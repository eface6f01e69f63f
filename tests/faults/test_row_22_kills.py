"""Workers and drivers killed at random points: the rerun's parts are those of an undisturbed run, byte for byte."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.kills import Disturbed, contents, parts
from stillwatch.scale import Local, score_files
from tests.tables import mixed_table

KILLS = 9


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty files, each of which takes a moment."""
    folder = tmp_path_factory.mktemp("many")
    unit = mixed_table(1_000, seed=8).drop_columns(["fraud"])
    for i in range(60):
        pq.write_table(pa.concat_tables([unit.slice(i, 900)] * 20), folder / f"{i:02}.parquet")
    return folder


@pytest.fixture(scope="module")
def whole(model: Path, many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an undisturbed run leaves."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert score_files(model, many, out, engine=Local(1)).rows == 60 * 18_000
    return contents(out)


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Twelve small files."""
    folder = tmp_path / "few"
    folder.mkdir()
    for i in range(12):
        pq.write_table(mixed_table(200, seed=i), folder / f"{i:02}.parquet")
    return folder


def test_killed_workers_change_nothing(
    model: Path, few: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    score_files(model, few, tmp_path / "undisturbed", engine=Local(1))
    killed = []

    def kill(_: str, done: int, total: int) -> None:
        workers = multiprocessing.active_children()
        if 0 < done < total and len(killed) < 2 and rng.random() < 0.4 and workers:
            victim = workers[int(rng.integers(len(workers)))]
            killed.append(victim.pid)
            victim.kill()

    found = score_files(model, few, tmp_path / "out", engine=Local(2), progress=kill)
    assert killed
    assert found.failed == ()
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


DIES = """
import os, signal, sys
import pyarrow.parquet as pq
from benchmarks.kills import Disturbed, contents, parts
from stillwatch.scale import Local, score_files
write, calls = pq.ParquetWriter.write_table, iter(range(99))
def killed(*args, **kwargs):
    write(*args, **kwargs)
    if next(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
pq.ParquetWriter.write_table = killed
score_files(*sys.argv[1:], engine=Local(1))
"""


def test_a_driver_killed_while_it_writes_leaves_whole_parts_only(
    model: Path, few: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", DIES, model, few, out], check=False)
    assert done.returncode == -signal.SIGKILL
    assert parts(out) == 5
    assert len(list(out.glob(".part-*"))) == 1
    assert not (out / "_SUCCESS").exists()
    assert score_files(model, few, out, engine=Local(1)).kept == 5
    score_files(model, few, tmp_path / "undisturbed", engine=Local(1))
    assert contents(out) == contents(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_kills_on_each_engine_change_nothing(
    model: Path, many: Path, whole: dict[str, bytes], tmp_path: Path, engine: str, rng: np.random.Generator
) -> None:
    """`benchmarks/kills.py` does the same with more kills."""
    if engine == "ray":
        pytest.importorskip("ray", reason="ray is not installed: pip install 'stillwatch[ray]'")
    runs = Disturbed(model, many, tmp_path, engine, rng)
    runs.kill(KILLS)
    assert min(runs.kills.values()) >= 1, runs.kills
    runs.finish()
    for out in runs.outs:
        assert contents(out) == whole
        assert pq.read_table(out).num_rows == 60 * 18_000
