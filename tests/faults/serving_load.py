"""FAULTS rows 2, 12, 13, 14 and 28 under load, with figures: `python -m tests.faults.serving_load [MODEL]`.

Every part is bounded in requests and seconds, stays on the loopback and ends only the process that it started. The figures of
`docs/reliability.md` come from here; `test_serving_load.py` runs the same for a short while and asserts what needs no clock.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.load import Load, closed, inference, open_loop, request
from tests.serve.process import Process, post, until

COLUMNS = 30
NAMES = [f"x{i}" for i in range(COLUMNS)]
OVERLOAD_ROWS = 32


def make_model(folder: Path, *, steps: int = 400) -> Path:
    import stillwatch as sw

    rng = np.random.default_rng(0)
    x = rng.normal(size=(3_000, COLUMNS)) @ rng.normal(size=(COLUMNS, COLUMNS))
    table = pa.table(dict(zip(NAMES, x.T, strict=True)))
    sw.distill(table, teacher="knn", assume_normal=True, student=sw.MLP(steps=steps)).save(folder / "model")
    return folder / "model"


def one_row(rng: np.random.Generator) -> bytes:
    return request("/v2/models/model/infer", inference(NAMES, rng.normal(size=COLUMNS).tolist()))


def some_rows(rng: np.random.Generator, rows: int) -> bytes:
    split = {"columns": NAMES, "data": rng.normal(size=(rows, COLUMNS)).tolist()}
    return request("/invocations", json.dumps({"dataframe_split": split}).encode())


def brackets(served: Process) -> dict[str, Any]:
    """Row 2: 100,000 nested brackets."""
    asked = post("/v2/models/model/infer", b"[" * 100_000, close=True)
    began = time.perf_counter()
    answer = served.say(asked)
    return {"status": int(answer[9:12]), "ms": (time.perf_counter() - began) * 1e3}


def half_open(served: Process, seconds: float) -> dict[str, Any]:
    """Row 12: an honest client, alone and beside 500 connections that never finish a request."""
    rng = np.random.default_rng(1)
    honest = [one_row(rng)]
    alone = open_loop(served.port, honest, connections=2, rate=100, seconds=seconds)
    slow = [socket.create_connection((served.host, served.port)) for _ in range(500)]
    for connection in slow:
        connection.sendall(b"POST /v2/models/model/infer HTTP/1.1\r\nContent-Le")
    beside = open_loop(served.port, honest, connections=2, rate=100, seconds=seconds)
    began = time.monotonic()
    until(lambda: served.descriptors() < 100, 30)
    closed_after = time.monotonic() - began + seconds
    for connection in slow:
        connection.close()
    return {
        "alone": alone.figures(),
        "beside": beside.figures(),
        "all_closed_within_seconds": closed_after,
    }


def gone(served: Process, times: int, *, warm: int = 3_000) -> dict[str, Any]:
    """Row 13: clients that leave in the middle of a request, or of its answer."""
    rng = np.random.default_rng(2)
    whole = some_rows(rng, 200)

    def leave(count: int) -> None:
        for i in range(count):
            with socket.create_connection((served.host, served.port)) as connection:
                connection.sendall(whole[: len(whole) // 2] if i % 2 else whole)
                if i % 4 == 0:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        # Once this is answered, all who came before have been let in.
        served.say(b"GET /ping HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")

    leave(warm)  # allocators have settled by then
    until(lambda: served.descriptors() < 40)
    before, descriptors = served.memory(), served.descriptors()
    leave(times)
    until(lambda: served.descriptors() <= descriptors + 2)
    return {"requests": times, "memory_growth_mb": (served.memory() - before) / 2**20}


def overload(served: Process, seconds: float) -> dict[str, Any]:
    """Row 14: three times what the service can do, from more connections than may wait."""
    rng = np.random.default_rng(3)
    asked = [some_rows(rng, OVERLOAD_ROWS) for _ in range(20)]
    able = closed(served.port, asked, connections=16, count=10**6, seconds=max(2.0, seconds / 5))
    assert able.seconds, able.figures()
    capacity = len(able.seconds) / able.took
    # Each connection asks again as soon as it was refused, so the offer is held down to three times the capacity.
    flood = open_loop(served.port, asked, connections=384, rate=3 * capacity, seconds=seconds)
    began = time.monotonic()
    after = closed(served.port, asked, connections=1, count=50, seconds=10)
    return {
        "capacity_requests_per_second": capacity,
        "offered_requests_per_second": 3 * capacity,
        "goodput": len(flood.seconds) / flood.took / capacity,
        "answers": dict(flood.statuses),
        "lost": flood.lost,
        "unsent": flood.unsent,
        "refused_with_retry_after": flood.retry_after,
        "recovered_p99_ms": after.figures()["p99_ms"],
        "recovered_within_seconds": time.monotonic() - began,
    }


def refusal_time(model: Path, seconds: float) -> dict[str, Any]:
    """Row 14: how long a refusal takes while the service is busy; with a queue of one, nearly all are refused."""
    rng = np.random.default_rng(4)
    asked = [one_row(rng)]
    with Process([model], "--quiet", "--max-waiting", "1") as served:
        load: Load = open_loop(served.port, asked, connections=64, rate=1_500, seconds=seconds)
    times = np.array(load.refused or [np.nan]) * 1e3
    return {
        "answers": dict(load.statuses),
        "p50_ms": float(np.quantile(times, 0.5)),
        "p99_ms": float(np.quantile(times, 0.99)),
    }


def soak(served: Process, seconds: float) -> dict[str, Any]:
    """Row 28: a steady mix of good and bad requests."""
    rng = np.random.default_rng(5)
    asked = [one_row(rng) for _ in range(50)] + [some_rows(rng, 20) for _ in range(10)]
    closed(served.port, asked, connections=8, count=2_000, seconds=10)
    before, descriptors = served.memory(), served.descriptors()
    halves = [open_loop(served.port, asked, connections=8, rate=300, seconds=seconds / 2) for _ in range(2)]
    until(lambda: served.descriptors() <= descriptors, 10)
    return {
        "requests": sum(len(half.seconds) for half in halves),
        "not_answered": sum(half.lost + half.unsent for half in halves),
        "memory_growth_mb": (served.memory() - before) / 2**20,
        "p99_ms": [half.figures()["p99_ms"] for half in halves],
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(sys.argv[1]) if sys.argv[1:] else make_model(Path(folder))
        found: dict[str, Any] = {}
        with Process([model], "--quiet") as served:
            found["row 2, brackets"] = brackets(served)
            found["row 12, half open"] = half_open(served, 10)
            found["row 13, gone"] = gone(served, 10_000)
            found["row 14, overload"] = overload(served, 30)
            found["row 28, soak"] = soak(served, 60)
        found["row 14, refusals"] = refusal_time(model, 10)
    for name, figures in found.items():
        print(json.dumps({"row": name, **figures}))  # noqa: T201 - a script


if __name__ == "__main__":
    main()
