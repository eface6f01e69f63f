"""A load generator for one address of the loopback: kept-alive connections, bounded in count and time.

Closed: every connection sends its next request when it has its answer. Open: requests fall due at a fixed rate whatever the
server does, and their time runs from when they were due, so that a stall counts for all who waited.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvloop


@dataclass
class Load:
    """What came back.

    Attributes
    ----------
    seconds
        per answer 200, from due to done.
    refused
        per other answer, from due to done.
    unsent
        requests that never found a free connection.
    """

    seconds: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    retry_after: int = 0
    lost: int = 0
    unsent: int = 0
    took: float = 0.0

    def figures(self) -> dict[str, Any]:
        times = np.array(self.seconds or [np.nan]) * 1e3
        return {
            "requests_per_second": len(self.seconds) / self.took,
            "p50_ms": float(np.quantile(times, 0.5)),
            "p99_ms": float(np.quantile(times, 0.99)),
            "max_ms": float(times.max()),
            "answers": dict(self.statuses),
            "lost": self.lost,
            "unsent": self.unsent,
        }


def request(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers, f"Content-Length: {len(body)}"]
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + body


def inference(columns: list[str], row: list[float]) -> bytes:
    inputs = [
        {"name": name, "shape": [1, 1], "datatype": "FP64", "data": [value]}
        for name, value in zip(columns, row)
    ]
    return json.dumps({"inputs": inputs}).encode()


def packed(matrix: np.ndarray) -> tuple[bytes, str]:
    """A binary tensor, and the header that goes with it."""
    raw = matrix.astype("<f4").tobytes()
    tensor = {
        "name": "rows",
        "datatype": "FP32",
        "shape": list(matrix.shape),
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + raw, f"Inference-Header-Content-Length: {len(head)}"


def closed(port: int, requests: list[bytes], *, connections: int, count: int, seconds: float) -> Load:
    return uvloop.run(_run(port, requests, connections, count, seconds, rate=None))


def open_loop(port: int, requests: list[bytes], *, connections: int, rate: float, seconds: float) -> Load:
    return uvloop.run(_run(port, requests, connections, int(rate * seconds), seconds, rate=rate))


class _Connection(asyncio.Protocol):
    def __init__(self, runner: _Runner) -> None:
        self._runner = runner
        self._buffer = b""
        self._due = 0.0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, data: bytes, due: float) -> None:
        self._due = due
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer = b""
        self._runner.answered(self, int(head[9:12]), time.perf_counter() - self._due, b"retry-after" in head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._runner.lost(self)


class _Runner:
    def __init__(self, requests: list[bytes], count: int, *, paced: bool) -> None:
        self.load = Load()
        self.done = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._count, self._left, self._next = count, count, 0
        self._paced = paced
        self._waiting: deque[float] = deque()
        self._free: deque[_Connection] = deque()
        self.ending = False

    def answered(self, connection: _Connection, status: int, seconds: float, told: bool) -> None:
        load = self.load
        load.statuses[status] += 1
        load.retry_after += told
        (load.seconds if status == 200 else load.refused).append(seconds)
        if self._paced:
            if self._waiting:
                self._send(connection, self._waiting.popleft())
            else:
                self._free.append(connection)
        elif self._left > 0:
            self._send(connection, time.perf_counter())
        self._settle()

    def lost(self, connection: _Connection) -> None:
        if not self.ending:
            self.load.lost += 1
            self._settle()

    def due(self, moment: float) -> None:
        if self._free:
            self._send(self._free.popleft(), moment)
        else:
            self._waiting.append(moment)

    def start(self, connections: list[_Connection]) -> None:
        for connection in connections:
            if self._paced:
                self._free.append(connection)
            elif self._left > 0:
                self._send(connection, time.perf_counter())

    def end(self) -> None:
        self.load.unsent = len(self._waiting) if self._paced else 0
        if not self.done.done():
            self.done.set_result(None)

    def _send(self, connection: _Connection, due: float) -> None:
        self._left -= 1
        self._next = (self._next + 1) % len(self._requests)
        connection.ask(self._requests[self._next], due)

    def _settle(self) -> None:
        if (
            self._left <= 0
            and sum(self.load.statuses.values()) + self.load.lost >= self._count
            and not self.done.done()
        ):
            self.done.set_result(None)


async def _run(
    port: int, requests: list[bytes], connections: int, count: int, seconds: float, rate: float | None
) -> Load:
    loop = asyncio.get_running_loop()
    runner = _Runner(requests, count, paced=rate is not None)
    made = [
        (await loop.create_connection(lambda: _Connection(runner), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    began = time.perf_counter()
    loop.call_later(seconds + (2 if rate else 0), runner.end)
    runner.start(made)
    if rate is not None:
        for i in range(count):
            moment = began + i / rate
            if (ahead := moment - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            runner.due(moment)
    await runner.done
    runner.load.took = min(time.perf_counter() - began, seconds) if rate else time.perf_counter() - began
    runner.ending = True
    for connection in made:
        connection.transport.close()
    await asyncio.sleep(0.05)
    return runner.load
