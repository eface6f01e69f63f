from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pyarrow as pa
import pytest
from starlette.requests import ClientDisconnect, Request

from stillwatch.serve.intake import Intake
from stillwatch.serve.limits import Limits, RefusedError
from tests.serve.bodies import ndjson
from tests.serve.conftest import Ask

LINES = "/v2/models/mixed/ndjson"


def request_of(parts: list[bytes], headers: dict[str, str] | None = None, *, gone: bool = False) -> Request:
    messages: Iterator[dict[str, Any]] = iter(
        [
            {"type": "http.request", "body": part, "more_body": gone or i < len(parts) - 1}
            for i, part in enumerate(parts)
        ]
        + [{"type": "http.disconnect"}]
    )

    async def receive() -> Any:
        return next(messages)

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request(
        {"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""}, receive
    )


def read(intake: Intake, request: Request) -> bytes:
    async def run() -> bytes:
        async with intake.body(request) as body:
            assert intake.held == len(body)
            return body

    return asyncio.run(run())


def test_a_body_is_what_came_and_is_let_go() -> None:
    intake = Intake(Limits())
    assert read(intake, request_of([b"ab", b"", b"c"])) == b"abc"
    assert read(intake, request_of([b""])) == b""
    assert intake.held == 0


@pytest.mark.parametrize("announced", [None, "3", "999999999", "9" * 400, "nonsense"])
def test_row_11_the_limit_counts_what_comes_not_what_was_announced(announced: str | None) -> None:
    intake = Intake(Limits(body_bytes=10))
    headers = {} if announced is None else {"content-length": announced}
    with pytest.raises(RefusedError, match="larger than 10 bytes") as caught:
        read(intake, request_of([b"12345"] * 5, headers))
    assert caught.value.status == 413
    assert intake.held == 0


def test_row_11_an_announced_body_is_refused_before_it_is_read() -> None:
    async def never() -> Any:
        raise AssertionError("the body was asked for")

    request = request_of([], {"content-length": "11"})
    request._receive = never
    with pytest.raises(RefusedError, match="larger than 10 bytes"):
        read(Intake(Limits(body_bytes=10)), request)


@pytest.mark.parametrize("packing", ["gzip", "br", "deflate", "gzip, identity", "zstd"])
def test_row_11_packed_bodies_are_refused(packing: str) -> None:
    with pytest.raises(RefusedError, match="compressed") as caught:
        read(Intake(Limits()), request_of([b"x"], {"content-encoding": packing}))
    assert caught.value.status == 415


def test_all_bodies_together_are_bounded_and_a_gone_client_counts_no_more() -> None:
    intake = Intake(Limits(held_bytes=8))
    intake.held = 6
    with pytest.raises(RefusedError, match="memory") as caught:
        read(intake, request_of([b"123"]))
    assert (caught.value.status, caught.value.retry_after) == (503, 1)
    with pytest.raises(ClientDisconnect):
        read(intake, request_of([b"1"], gone=True))
    assert intake.held == 6


def test_a_refusal_closes_the_connection(ask: Ask, rows: pa.Table) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield ndjson(rows)

    answer = ask("POST", LINES, content=parts())
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    service = ask.service  # type: ignore[attr-defined]
    assert service.intake.held == 0
