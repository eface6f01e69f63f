"""Workers and drivers of a scoring job killed at random points, on each engine, and run again until all is done.

The parts must be those of an undisturbed run, byte for byte: no row twice, none lost, no temporary file left. All processes
that are killed are this script's own, by their number. The rows are made up, in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILES, ROWS = 60, 18_000  # rows of a file, each of which is one part
DEADLINE = 240  # seconds for the disturbed runs of one engine
DRIVER = """
import sys
from stillwatch.scale import engine_named, score_files
if __name__ == "__main__":
    model, data, out, engine = sys.argv[1:]
    score_files(model, data, out, engine=engine_named(engine, workers=2))
"""


class Disturbed:
    """Runs over the same files, one after the other, in which workers and drivers are killed.

    Attributes
    ----------
    kills
        how many of each.
    runs
        drivers that were started.
    outs
        folders that were filled; the last one may be unfinished.
    """

    def __init__(self, model: Path, data: Path, folder: Path, engine: str, rng: np.random.Generator) -> None:
        self.model, self.data, self.folder, self.engine, self._rng = model, data, folder, engine, rng
        self.kills = {"worker": 0, "driver": 0}
        self.runs = 0
        self.outs = [folder / "out 0"]
        self._all = len(list(data.iterdir()))

    def kill(self, number: int) -> None:
        """Kill workers and now and then a driver, `number` in all, each a moment after a part was done."""
        until = time.monotonic() + DEADLINE
        while sum(self.kills.values()) < number:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.kills} killed in {DEADLINE} s")
            if (self.outs[-1] / "_SUCCESS").exists():
                self.outs.append(self.folder / f"out {len(self.outs)}")
            out = self.outs[-1]
            run = _Run([sys.executable, "-c", DRIVER, *map(str, (self.model, self.data, out)), self.engine])
            self.runs += 1
            for who in ("worker",) * 5 + ("driver",):
                before = parts(out)
                while run.lives() and parts(out) == before and time.monotonic() < until:
                    time.sleep(0.005)
                time.sleep(float(self._rng.uniform(0, 0.1)))
                if run.lives() and parts(out) < self._all:
                    self.kills[who] += run.kill(who, self._rng)
            run.end()

    def finish(self) -> None:
        """Run again, undisturbed, until no part is missing."""
        for out in self.outs:
            command = [sys.executable, "-c", DRIVER, *map(str, (self.model, self.data, out)), "local"]
            subprocess.run(command, check=True, timeout=DEADLINE)


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


def parts(folder: Path) -> int:
    """Parts that stand under their final names."""
    return len(list(folder.glob("part-*.parquet")))


def contents(folder: Path) -> dict[str, bytes]:
    """Names and bytes of all files, hidden ones included."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def main() -> None:
    from protocol import Log, table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few kills, to see that it runs")
    options = parser.parse_args()
    log = Log("kills", ("engine",), quick=options.quick)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data, model = make(folder)
        whole = Disturbed(model, data, folder / "undisturbed", "local", np.random.default_rng(0))
        whole.finish()
        for engine in ("local", "ray"):
            if not log.done(engine=engine):
                log.add(engine=engine, **tried(model, data, folder, engine, contents(whole.outs[0]), options))
    table(("engine", *_SUMMARY), [[line["engine"], *(line[key] for key in _SUMMARY)] for line in log.lines])
    log.finish({line["engine"]: {key: line[key] for key in _SUMMARY} for line in log.lines})


_SUMMARY = ("worker", "driver", "runs", "folders", "differ", "rows_lost_or_twice", "left_behind")


def tried(
    model: Path, data: Path, folder: Path, engine: str, whole: dict[str, bytes], options: argparse.Namespace
) -> dict[str, Any]:
    """What became of one engine's runs."""
    began = time.perf_counter()
    place = folder / engine
    place.mkdir()
    runs = Disturbed(model, data, place, engine, np.random.default_rng(1))
    runs.kill(4 if options.quick else 24)
    runs.finish()
    found = [contents(out) for out in runs.outs]
    ids = [np.sort(pq.read_table(out)["id"].to_numpy()) for out in runs.outs]
    return {
        **runs.kills,
        "runs": runs.runs,
        "folders": len(runs.outs),
        "differ": sum(files[name] != whole.get(name) for files in found for name in files),
        "rows_lost_or_twice": sum(not np.array_equal(one, np.arange(FILES * ROWS)) for one in ids),
        "left_behind": sum(len(set(files) - set(whole)) for files in found),
        "seconds": time.perf_counter() - began,
    }


def make(folder: Path) -> tuple[Path, Path]:
    """Files, and a model of rows like theirs."""
    import stillwatch as sw

    rng = np.random.default_rng(0)
    data, model = folder / "data", folder / "model"
    data.mkdir()
    (folder / "undisturbed").mkdir()
    for i in range(FILES):
        x = rng.normal(size=(ROWS, 16))
        columns: dict[str, Any] = {"id": np.arange(i * ROWS, (i + 1) * ROWS)}
        pq.write_table(pa.table(columns | {f"x{j}": x[:, j] for j in range(16)}), data / f"{i:02}.parquet")
    rows = pq.read_table(data / "00.parquet").slice(0, 3_000)
    sw.distill(
        rows, key=["id"], teacher="knn", student=sw.MLP(hidden=(64, 64), steps=200), assume_normal=True
    ).save(model)
    return data, model


if __name__ == "__main__":
    main()
