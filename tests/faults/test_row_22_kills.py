"""Workers and drivers killed at random points: the rerun's parts are those of an undisturbed run, byte for byte."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.scale import Local, score_files
from tests.tables import mixed_table

KILLS = 20
DEADLINE = 240  # seconds of one disturbed run on a busy machine
DRIVER = """
import sys
from stillwatch.scale import engine_named, score_files
model, data, out, engine = sys.argv[1:]
score_files(model, data, out, engine=engine_named(engine, workers=2))
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def parts(folder: Path) -> int:
    return len(list(folder.glob("part-*.parquet")))


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
def test_twenty_kills_change_nothing(
    model: Path, many: Path, whole: dict[str, bytes], tmp_path: Path, engine: str, rng: np.random.Generator
) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="ray is not installed: pip install 'stillwatch[ray]'")
    until, kills, outs = time.monotonic() + DEADLINE, {"worker": 0, "driver": 0}, [tmp_path / "out 0"]
    while sum(kills.values()) < KILLS:
        assert time.monotonic() < until, kills
        out = outs[-1]
        run = _Run([sys.executable, "-c", DRIVER, str(model), str(many), str(out), engine])
        for who in ("worker",) * 5 + ("driver",):
            before = parts(out)
            while run.lives() and parts(out) == before and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(float(rng.uniform(0, 0.1)))
            if run.lives() and parts(out) < 60:
                kills[who] += run.kill(who, rng)
        run.end()
        if (out / "_SUCCESS").exists():
            outs.append(tmp_path / f"out {len(outs)}")
    assert min(kills.values()) >= 3, kills
    for out in outs:
        while not (out / "_SUCCESS").exists():
            assert time.monotonic() < until
            score_files(model, many, out, engine=Local(1))
        assert contents(out) == whole
        assert pq.read_table(out).num_rows == 60 * 18_000


class _Run:
    """A driver and its workers, all of which are ended in the end."""

    def __init__(self, command: list[str]) -> None:
        self._driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self._family: set[int] = set()

    def lives(self) -> bool:
        return self._driver.poll() is None

    def kill(self, who: str, rng: np.random.Generator) -> int:
        """Kill the driver, or one of its workers; how many were killed."""
        self._family |= set(_descendants(self._driver.pid))
        if who == "driver":
            self._driver.kill()
            self._driver.wait()
            return 1
        workers = [process for process in sorted(self._family) if _works(process)]
        if not workers:
            return 0
        os.kill(workers[int(rng.integers(len(workers)))], signal.SIGKILL)
        return 1

    def end(self) -> None:
        """Wait for what is still running, and end what a dead driver of Ray has left."""
        self._driver.wait(timeout=DEADLINE)
        until = time.monotonic() + 5
        while any(map(_command, self._family)) and time.monotonic() < until:
            time.sleep(0.05)
        for process in self._family:
            if re.match(r"ray::|.*/ray/", _command(process)):
                os.kill(process, signal.SIGKILL)


def _works(process: int) -> bool:
    command = _command(process)
    return command.startswith("ray::_work") or "spawn_main" in command


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _descendants(process: int) -> Iterator[int]:
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from _descendants(child)
