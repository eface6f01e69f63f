"""FAULTS rows 1, 2, 3, 9, 11, 15 through the doors of the service; rows 10, 12, 13, 16, 20, 21 stand in `tests/serve`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

import stillwatch as sw
from tests.serve.process import Process, post

JSON, CSV = "application/json", "text/csv"
LINES, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"
INFER, CALL = "/v2/models/mixed/infer", "/v2/models/mixed/invocations"
DOORS = [(INFER, JSON), (CALL, JSON), (CALL, CSV), (CALL, LINES), (CALL, ARROW)]


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[Process]:
    with Process([model], "--quiet") as process:
        yield process


def send(served: Process, path: str, media: str, body: bytes) -> httpx.Response:
    answer = httpx.post(served.url + path, content=body, headers={"content-type": media})
    assert "Traceback" not in answer.text
    assert httpx.get(f"{served.url}/v2/health/ready").status_code == 200
    return answer


@pytest.mark.parametrize(("path", "media"), DOORS)
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"inputs": [{"name": "amou', b"\x00", b"null", b"\xff\xfe"]
)
def test_row_1_bodies_that_say_nothing(served: Process, path: str, media: str, body: bytes) -> None:
    answer = send(served, path, media, body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"}
    assert body or "the body is empty" in answer.json()["error"]


@pytest.mark.parametrize(("path", "media"), DOORS[:4])
@pytest.mark.parametrize("unit", [b"[", b'{"inputs":'])
def test_row_2_a_hundred_thousand_brackets(served: Process, path: str, media: str, unit: bytes) -> None:
    began = time.perf_counter()
    answer = send(served, path, media, unit * 100_000)
    assert answer.status_code == 400
    assert time.perf_counter() - began < 5  # a guard against hanging; reliability.md has the figure


ROW: dict[str, Any] = {
    "age": 40, "stamp": 1_700_000_000, "member": True, "city": "Bern", "shop": "shop 1", "country": "CH", "version": 1,
}  # fmt: skip


def amount(text: str) -> bytes:
    """A row whose amount is written so."""
    rest = msgspec.json.encode(ROW).decode()[1:]
    return f'{{"amount": {text}, {rest}'.encode()


@pytest.mark.parametrize(
    "token", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999", "nan", "undefined", "0x1"]
)
def test_row_3_what_json_does_not_have_is_refused(served: Process, token: str) -> None:
    for path, media, body in (
        (CALL, JSON, b'{"dataframe_records": [' + amount(token) + b"]}"),
        (CALL, LINES, amount(token)),
        (
            INFER,
            JSON,
            f'{{"inputs": [{{"name": "amount", "shape": [1], "datatype": "FP64", "data": [{token}]}}]}}'.encode(),
        ),
    ):
        answer = send(served, path, media, body)
        assert answer.status_code == 400, (path, answer.text)
        assert "JSON" in answer.json()["error"] or "range" in answer.json()["error"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("-0", 0.0),
        ("9223372036854775808", 2.0**63),
        ("1" + "0" * 400, np.inf),
        ("true", True),
        ("null", None),
        ('"1e400"', np.inf),
        ('"NaN"', None),
        ('" 3 "', 3.0),
        ("5e-324", 5e-324),
        ("1e308", 1e308),
    ],
)
def test_row_3_odd_numbers_mean_what_they_mean_in_python(
    served: Process, model: Path, written: str, value: Any
) -> None:
    expected = sw.load(model).score_one({"amount": value, **ROW})
    one = b'{"dataframe_records": [' + amount(written) + b"]}"
    two = b'{"dataframe_records": [' + amount(written) + b"," + amount(written) + b"]}"
    for body in (one, two):
        answer = send(served, CALL, JSON, body)
        assert answer.status_code == 200, answer.text
        for prediction in answer.json()["predictions"]:
            assert prediction["score"] == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_row_6_text_that_is_none(served: Process) -> None:
    for city in ('"a\\u0000b"', '"\\ud800"', '"' + "x" * 20_000 + '"'):
        rest = msgspec.json.encode({k: v for k, v in ROW.items() if k != "city"}).decode()[1:]
        body = f'{{"amount": 1, "city": {city}, {rest}'.encode()
        assert send(served, CALL, LINES, body).status_code == 400


def test_row_11_chunks_of_one_byte(served: Process) -> None:
    head = (
        f"POST {INFER} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nConnection: close\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode()
    answer = served.say(head + b"1\r\n[\r\n" * 300_000 + b"0\r\n\r\n", 30)
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_row_11_an_endless_chunked_body_is_cut_off(served: Process) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    sent = 0
    before = served.memory()
    with served.connect(30) as connection:
        connection.sendall(head)
        try:
            for _ in range(200):
                connection.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
    assert sent < 100 << 20
    assert served.memory() < before + (64 << 20)


def test_row_11_a_gzip_bomb_is_refused_unread(served: Process) -> None:
    answer = served.say(post(INFER, b"\x1f\x8b" + b"\0" * 1_000, "Content-Encoding: gzip"))
    assert answer.startswith(b"HTTP/1.1 415 ")


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fetc",
        "..%252f",
        "%2e%2e",
        "mixed%00",
        "mixed/../mixed",
        ".",
        "..",
        "MIXED",
        "mixed%20",
        "%c0%ae",
        "a" * 5_000,
    ],
)
def test_row_15_names_lead_nowhere_else(served: Process, name: str) -> None:
    for method, path in (("GET", f"/v2/models/{name}"), ("POST", f"/v2/models/{name}/infer")):
        head = f"{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        answer = served.say(head.encode())
        assert answer[9:12] in {b"404", b"400", b"405"}, answer
        assert b'{"error":"' in answer


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "GET"])
def test_row_15_wrong_methods(served: Process, method: str) -> None:
    answer = httpx.request(method, served.url + INFER)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert httpx.request("POST", f"{served.url}/v2/health/live").status_code == 405


def test_loading_models_is_not_on_the_wire(served: Process) -> None:
    for path in (
        "/v2/repository/index",
        "/v2/repository/models/mixed/load",
        "/v2/repository/models/mixed/unload",
    ):
        assert httpx.post(served.url + path).status_code == 404
