"""What a score over HTTP costs: one row, an open loop, saturation, batches; FastAPI around IsolationForest beside it.

The server is one process and the load another, each on a core of its own where there are two, over the loopback. Every part is
bounded in requests and seconds, and only processes that were started here are ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from load import Load, closed, inference, open_loop, packed, request
from protocol import HERE, Log, arguments, table
from serving_peer import COLUMNS, training_rows

import stillwatch as sw

NAMES = [f"x{i}" for i in range(COLUMNS)]
PATH = "/v2/models/model/infer"
BATCH = 256


@contextmanager
def started(
    command: list[str], ready: Callable[[subprocess.Popen[bytes]], int], **environment: str
) -> Iterator[int]:
    """A server on the first core; the load stays on the last."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=HERE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | threads | environment,
    )
    os.sched_setaffinity(0, {cores[-1]})
    try:
        yield ready(process)
    finally:
        os.sched_setaffinity(0, cores)
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def ours(model: Path) -> Any:
    def ready(process: subprocess.Popen[bytes]) -> int:
        assert process.stderr is not None
        return int(json.loads(process.stderr.readline())["url"].rpartition(":")[2])

    program = Path(sys.executable).with_name("stillwatch")
    return started([str(program), "serve", str(model), "--port", "0", "--quiet"], ready)


def peer(port: int = 18_437) -> Any:
    def ready(process: subprocess.Popen[bytes]) -> int:
        for _ in range(300):
            time.sleep(0.1)
            assert process.poll() is None, "the peer did not start"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/docs", timeout=1).close()
            except OSError:
                continue
            return port
        raise SystemExit("the peer did not start")

    command = [sys.executable, "-m", "uvicorn", "serving_peer:app", "--port", str(port), "--loop", "uvloop"]
    return started(
        [*command, "--http", "httptools", "--no-access-log", "--log-level", "critical"],
        ready,
        SERVING_PEER="1",
    )


def checked(load: Load) -> Load:
    assert set(load.statuses) == {200}, load.figures()
    assert not load.lost, load.figures()
    return load


def measure_ours(model: Path, x: np.ndarray, quick: bool) -> dict[str, Any]:
    rows = [request(PATH, inference(NAMES, row.tolist())) for row in x[:200]]
    matrix, header = packed(np.resize(x, (BATCH, COLUMNS)))
    batch = [request(PATH, matrix, header)]
    seconds, count = (2, 1_000) if quick else (20, 20_000)
    with ours(model) as port:
        checked(closed(port, rows, connections=1, count=300, seconds=10))  # warm
        one = checked(closed(port, rows, connections=1, count=count, seconds=3 * seconds)).figures()
        paced = checked(open_loop(port, rows, connections=16, rate=1_000, seconds=seconds)).figures()
        full = checked(closed(port, rows, connections=16, count=200_000, seconds=seconds)).figures()
        many = checked(closed(port, batch, connections=4, count=100_000, seconds=seconds)).figures()
    return {
        "one_p50_ms": one["p50_ms"],
        "one_p99_ms": one["p99_ms"],
        "open_loop_p50_ms": paced["p50_ms"],
        "open_loop_p99_ms": paced["p99_ms"],
        "open_loop_requests_per_second": paced["requests_per_second"],
        "saturation_requests_per_second": full["requests_per_second"],
        "saturation_p99_ms": full["p99_ms"],
        "batch_rows_per_second": many["requests_per_second"] * BATCH,
        "batch_p99_ms": many["p99_ms"],
    }


def measure_peer(x: np.ndarray, quick: bool) -> dict[str, Any]:
    def asked(rows: np.ndarray) -> bytes:
        return request("/score", json.dumps({"rows": rows.tolist()}).encode())

    rows = [asked(row[None]) for row in x[:200]]
    batch = [asked(np.resize(x, (BATCH, COLUMNS)))]
    seconds, count = (2, 200) if quick else (20, 2_000)
    with peer() as port:
        checked(closed(port, rows, connections=1, count=50, seconds=10))  # warm
        one = checked(closed(port, rows, connections=1, count=count, seconds=3 * seconds)).figures()
        full = checked(closed(port, rows, connections=16, count=100_000, seconds=seconds)).figures()
        many = checked(closed(port, batch, connections=4, count=100_000, seconds=seconds)).figures()
    return {
        "peer_one_p50_ms": one["p50_ms"],
        "peer_one_p99_ms": one["p99_ms"],
        "peer_saturation_requests_per_second": full["requests_per_second"],
        "peer_batch_rows_per_second": many["requests_per_second"] * BATCH,
    }


def parity(model: Path, x: np.ndarray) -> float:
    """Largest |a - b| / max(1, |a|) between scores over HTTP and in Python."""
    body, header = packed(x[:1_000].astype(np.float32))
    name, _, length = header.partition(": ")
    with ours(model) as port:
        asked = urllib.request.Request(f"http://127.0.0.1:{port}{PATH}", body, {name: length})
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - our own address
            tail = answer.read()[int(answer.headers[name]) :]
    over_http, here = np.frombuffer(tail[:4_000], "<f4"), sw.load(model).score(x[:1_000].astype(np.float32))
    return float(np.max(np.abs(over_http - here) / np.maximum(1, np.abs(here))))


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    log = Log("serving", ("run",), quick=options.quick)
    x = training_rows()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        d = sw.distill(pa.table(dict(zip(NAMES, x.T))), teacher="isolation_forest", assume_normal=True)
        d.save(model)
        found = measure_ours(model, x, options.quick) | measure_peer(x, options.quick)
        found["parity"] = parity(model, x)
    found["one_row_times_as_fast_as_peer"] = found["peer_one_p50_ms"] / found["one_p50_ms"]
    found["per_row_times_as_fast_as_peer"] = (
        found["saturation_requests_per_second"] / found["peer_saturation_requests_per_second"]
    )
    found["batch_times_as_fast_as_peer"] = (
        found["batch_rows_per_second"] / found["peer_batch_rows_per_second"]
    )
    log.add(run=len(log.lines), **found)
    table(("figure", "value"), found.items())
    log.finish(found)


if __name__ == "__main__":
    main()
