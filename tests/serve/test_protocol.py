"""Deadlines and bounds of a connection; a process, since they are about sockets."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from tests.serve.bodies import inference
from tests.serve.process import Process, post, read_all, until

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module")
def hasty(numbers: Path) -> Iterator[Process]:
    """A service with a short deadline."""
    with Process([numbers], "--read-seconds", "0.4", "--quiet") as process:
        yield process


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v2/health/live HT",
        b"GET /v2/health/live HTTP/1.1\r\nX-Slow: ",
        b"POST /v2/models/numbers/infer HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n{",
        b"POST /v2/models/numbers/infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ],
)
def test_row_12_a_request_that_does_not_arrive_is_ended(hasty: Process, sent: bytes) -> None:
    answer = hasty.say(sent)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"took longer than 0.4 s" in answer


def test_row_12_a_byte_now_and_then_does_not_help(hasty: Process) -> None:
    began = time.monotonic()
    with hasty.connect() as connection:
        connection.settimeout(0.05)
        for sign in "GET /v2/health/live HTTP/1.1" * 4:
            try:
                connection.sendall(sign.encode())
                if connection.recv(100):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert time.monotonic() - began < 4


def test_a_connection_serves_many_requests(hasty: Process) -> None:
    with hasty.connect() as connection:
        for _ in range(3):
            connection.sendall(LIVE)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_requests_sent_ahead_are_answered_in_order_up_to_a_bound(hasty: Process) -> None:
    body = b'{"inputs": []}'
    ahead = post("/v2/models/numbers/infer", body) * 5 + LIVE.replace(
        b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"
    )
    answer = hasty.say(ahead)
    assert answer.count(b"HTTP/1.1 400 ") == 5
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert answer.index(b"HTTP/1.1 200 ") > answer.rindex(b"HTTP/1.1 400 ")
    assert hasty.say(LIVE * 5_000).count(b"HTTP/1.1 200 ") < 100


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 40_000 + b"\r\n", b"431"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX\x00: y\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
    ],
)
def test_row_15_absurd_heads(hasty: Process, head: bytes, status: bytes) -> None:
    answer = hasty.say(head)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert b'{"error":"' in answer


def test_headers_behind_a_chunked_body_are_refused(hasty: Process) -> None:
    head = b"POST /v2/models/numbers/infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b"HTTP/1.1 400 " in hasty.say(head + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 5)


def test_a_head_request_has_an_answer(hasty: Process) -> None:
    answer = hasty.say(b"HEAD /v2/health/live HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


def test_an_upgrade_is_not_taken_up(hasty: Process) -> None:
    asked = b"GET /v2/health/live HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    with hasty.connect() as connection:
        connection.sendall(asked)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_row_12_five_hundred_half_open_connections(hasty: Process) -> None:
    """They are closed at the deadline, and others are served meanwhile."""
    held = [hasty.connect() for _ in range(500)]
    try:
        for connection in held:
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nX-Sl")
        assert hasty.say(LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).startswith(
            b"HTTP/1.1 200 "
        )
        until(lambda: hasty.descriptors() < 100, 10)
    finally:
        for connection in held:
            connection.close()


def test_slow_clients_shut_nobody_out(hasty: Process) -> None:
    """Beyond the bound of connections, the one that has waited longest makes room."""
    held: list[socket.socket] = []
    try:
        held.extend(hasty.connect() for _ in range(900))
        assert hasty.say(LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).startswith(
            b"HTTP/1.1 200 "
        )
        assert hasty.descriptors() < 900
    finally:
        for connection in held:
            connection.close()


def test_row_13_a_client_that_goes_or_does_not_read(hasty: Process) -> None:
    """Memory and descriptors stay where they were."""
    rows = pa.table({f"x{i}": [0.5] * 800 for i in range(5)})
    body = msgspec.json.encode(inference(rows))
    request = post("/v2/models/numbers/infer", body)

    def leave(times: int) -> None:
        for i in range(times):
            with hasty.connect() as connection:
                connection.sendall(request if i % 2 else request[: len(request) // 2])

    leave(50)
    until(lambda: hasty.descriptors() < 30)
    before = hasty.memory()
    leave(200)
    until(lambda: hasty.descriptors() < 30)
    assert hasty.memory() < before + (16 << 20)


def test_row_13_nothing_is_read_for_a_client_that_has_gone(numbers: Path) -> None:
    """A client in a hurry leaves and asks anew: the service must not be busy with what it asked before."""
    rows = pa.table({f"x{i}": [0.5] * 2_000 for i in range(5)})
    request = post("/v2/models/numbers/infer", msgspec.json.encode(inference(rows)))
    with Process([numbers]) as process:
        process.send(signal.SIGSTOP)  # so that all have gone when the first is looked at
        for _ in range(8):
            with process.connect() as connection:
                connection.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    connection.sendall(request)
        process.send(signal.SIGCONT)
        process.wait_for("request", status=499, model="numbers", rows=0)


def test_the_rest_of_a_refused_body_is_not_waited_for(hasty: Process) -> None:
    head = b"POST /v2/models/numbers/infer HTTP/1.1\r\nHost: t\r\nContent-Length: 999999999\r\n\r\n"
    with hasty.connect() as connection:
        connection.sendall(head)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer
