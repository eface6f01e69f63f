from __future__ import annotations

import io
import json
import logging
import threading
from typing import Any

import pyarrow as pa
import pytest

from stillwatch.serve.limits import Limits
from stillwatch.serve.log import Bridge, Log, place_of
from tests.serve.bodies import inference
from tests.serve.conftest import Ask

SECRET = "98765.4321"  # noqa: S105 - a feature value


def lines_of(ask: Ask) -> list[dict[str, Any]]:
    log: Log = ask.service.log  # type: ignore[attr-defined]
    log.close()
    stream: io.BytesIO = log._stream  # type: ignore[assignment]
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_request_has_a_line_with_its_id_and_no_value(ask: Ask, rows: pa.Table) -> None:
    body = inference(rows.slice(0, 1))
    body["inputs"][0]["data"] = [float(SECRET)]
    answer = ask("POST", "/v2/models/mixed/infer", json=body, headers={"x-request-id": "abc-7"})
    body["inputs"][0] = {**body["inputs"][0], "datatype": "BYTES", "data": [f"x{SECRET}"]}
    wrong = ask("POST", "/v2/models/mixed/infer", json=body)
    assert SECRET in wrong.json()["error"]
    assert answer.headers["x-request-id"] == "abc-7"
    first, second = lines_of(ask)
    assert first["request_id"] == "abc-7"
    assert (first["model"], first["rows"], first["status"]) == ("mixed", 1, 200)
    assert second["request_id"] == wrong.headers["x-request-id"]
    assert second["status"] == 400
    assert SECRET not in json.dumps([first, second])


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "<script>", "ä"])
def test_an_odd_id_is_replaced(ask: Ask, given: str) -> None:
    headers = [(b"x-request-id", given.encode())]
    assert ask("GET", "/ping", headers=headers).headers["x-request-id"] not in {given, ""}


def test_row_29_paths_are_inert_and_short(ask: Ask) -> None:
    ask("GET", "/%1b[31m%0a" + "a" * 1_000)
    (line,) = lines_of(ask)
    assert len(line["path"]) == 200


def test_an_unforeseen_error_says_where_and_nothing_else(
    make_ask: Any, rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError(SECRET)

    ask = make_ask(limits=Limits())
    monkeypatch.setattr("stillwatch.scorer.Scorer.judge_packed", broken)
    answer = ask("POST", "/v2/models/mixed/infer", json=inference(rows.slice(0, 1)))
    assert answer.status_code == 500
    assert SECRET not in answer.text
    assert "RuntimeError" not in answer.text
    (line,) = lines_of(ask)
    assert line["status"] == 500
    assert line["error"].startswith("RuntimeError at tests.serve.test_log:")
    assert SECRET not in json.dumps(line)


def test_a_stalled_reader_stalls_nobody_and_loses_are_counted() -> None:
    gate = threading.Event()

    class Stalled(io.BytesIO):
        def write(self, data: Any) -> int:
            gate.wait(5)
            return super().write(data)

    stream = Stalled()
    log = Log(stream, requests=True)
    for i in range(25_000):
        log.write("e", i=i)
    gate.set()
    log.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    dropped = sum(line["count"] for line in lines if line["event"] == "log lines dropped")
    assert dropped > 0
    assert len([line for line in lines if line["event"] == "e"]) + dropped == 25_000


def test_a_reader_that_has_gone_is_no_error() -> None:
    class Gone(io.BytesIO):
        def write(self, data: Any) -> int:
            raise BrokenPipeError

    log = Log(Gone(), requests=True)
    log.write("e")
    log.close()


def test_libraries_speak_in_our_lines() -> None:
    stream = io.BytesIO()
    log = Log(stream, requests=True)
    logger = logging.Logger("library")
    logger.addHandler(Bridge(log))
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("it failed")
    log.close()
    line = json.loads(stream.getvalue())
    assert (line["said"], line["error"]) == ("it failed", "ValueError")
    assert SECRET not in stream.getvalue().decode()


def test_a_place_without_a_trace() -> None:
    assert place_of(ValueError(SECRET)) == "ValueError"
