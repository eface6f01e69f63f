"""Events a second on one core: `score --stream` over NDJSON of 30 numbers, beside river's HalfSpaceTrees on the same lines.

Protocol: the same file of lines for all (river: its first tenth), one core, one process each, the clock around the whole of it,
start and model included.
`command` is `stillwatch score model - --stream` with the file on its standard input and NDJSON to /dev/null; `library` is
`score_stream` within a process that runs already. river decodes each line with the decoder that we use (msgspec), and writes
its scores as lines, too: `score` asks a forest that has learnt 5,000 events, `score and learn` also learns from each event,
as its users do. Its trees want values between 0 and 1, so the lines hold such. Needs: pip install '.[bench]'
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
from protocol import Log, arguments, table

import stillwatch as sw
from stillwatch.stream import Lines, Outlet, score_stream

EVENTS, COLUMNS, LEARNT = 300_000, 30, 5_000
FEWER = 10  # river gets every so many lines' worth of them: its rate is the same, and the run stays short
NAMES = [f"x{j}" for j in range(COLUMNS)]
STILLWATCH = str(Path(sys.executable).with_name("stillwatch"))


def rows(count: int, seed: int) -> list[dict[str, float]]:
    """Dependent columns, squashed into 0 to 1."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(0).normal(size=(COLUMNS, COLUMNS))
    x = 1 / (1 + np.exp(-rng.normal(size=(count, COLUMNS)) @ mix / 5))
    return [dict(zip(NAMES, row)) for row in x.tolist()]


def write_events(path: Path, count: int) -> None:
    with path.open("w") as file:
        for start in range(0, count, 10_000):
            part = rows(min(10_000, count - start), seed=1 + start)
            file.write("".join(json.dumps(row) + "\n" for row in part))


def command(model: Path, events: Path) -> None:
    with events.open("rb") as source:
        done = subprocess.run(
            [STILLWATCH, "score", model, "-", "--stream"],
            stdin=source,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr.decode())


def library(scorer: sw.Scorer, events: Path) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with events.open("rb", buffering=0) as source:
        outlet = Outlet(nowhere, nowhere)
        score_stream(scorer, Lines(source.fileno()).batches(), outlet)
        outlet.close()
    os.close(nowhere)


def river(forest: Any, events: Path, most: int, *, learn: bool) -> None:
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    with events.open("rb") as source, open(os.devnull, "wb") as sink:
        for number, line in zip(range(most), source):
            event = decode(line)
            score = forest.score_one(event)
            if learn:
                forest.learn_one(event)
            sink.write(encode({"line": number, "score": score}) + b"\n")


def learnt() -> Any:
    from river.anomaly import HalfSpaceTrees

    forest = HalfSpaceTrees(seed=0)
    for row in rows(LEARNT, seed=0):
        forest.learn_one(row)
    return forest


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    count = EVENTS // 30 if options.quick else EVENTS
    log = Log("stream", ("way", "round"), quick=options.quick)
    with tempfile.TemporaryDirectory() as place:
        model, events = Path(place) / "model", Path(place) / "events.ndjson"
        write_events(events, count)
        sw.distill(rows(LEARNT, seed=0), teacher="knn", assume_normal=True).save(model)
        scorer, forest, learning = sw.load(model), learnt(), learnt()
        ways: dict[str, Callable[[], None]] = {
            "stillwatch, command": lambda: command(model, events),
            "stillwatch, library": lambda: library(scorer, events),
            "river, score": lambda: river(forest, events, count // FEWER, learn=False),
            "river, score and learn": lambda: river(learning, events, count // FEWER, learn=True),
        }
        for turn in range(1 if options.quick else 3):
            for way, run in ways.items():
                if not log.done(way=way, round=turn):
                    began = perf_counter()
                    run()
                    seconds = perf_counter() - began
                    read = count // FEWER if way.startswith("river") else count
                    log.add(
                        way=way, round=turn, events=read, seconds=seconds, events_per_second=read / seconds
                    )
    found = {
        way: float(np.median([line["events_per_second"] for line in log.lines if line["way"] == way]))
        for way in ways
    }
    table(("way", "events/s"), [(way, f"{rate:,.0f}") for way, rate in found.items()])
    best = max(rate for way, rate in found.items() if way.startswith("river"))
    summary = {
        "river": version("river"),
        "events_per_second": found,
        "command_over_best_river": found["stillwatch, command"] / best,
        "at_least_100_000": found["stillwatch, command"] >= 100_000,
    }
    print(summary)
    log.finish(summary)


if __name__ == "__main__":
    main()
