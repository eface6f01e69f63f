from __future__ import annotations

import re
import shlex
from html import unescape
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.serve import page
from stillwatch.serve.limits import Limits
from stillwatch.serve.models import open_models
from tests.serve.conftest import Ask

HOSTILE = ["<script>alert(1)</script>", "a'b\"c", "=cmd()", "line\nbreak\x1b[31m", "x" * 10_000]


def test_it_needs_nothing_from_elsewhere(ask: Ask) -> None:
    answer = ask("GET", "/docs")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(
        r"<script|<link|<img|src=|@import|url\(|//[a-z]+\.", answer.text.replace("http://localhost", "")
    )
    for name in ("mixed", "numbers"):
        assert f"/v2/models/{name}/infer" in answer.text


def test_its_examples_run(ask: Ask) -> None:
    commands = [
        shlex.split(unescape(text))
        for text in re.findall(r"<pre>(.*?)</pre>", ask("GET", "/docs").text, re.S)
    ]
    assert len(commands) == 4
    for command in commands:
        path = command[3].removeprefix("http://localhost:8080")
        answer = ask("POST", path, content=command[-1].encode(), headers={"content-type": "application/json"})
        assert answer.status_code == 200, answer.text


@pytest.mark.slow
def test_row_29_hostile_names_are_inert(tmp_path: Any, make_ask: Any) -> None:
    rng = np.random.default_rng(0)
    table = pa.table({name: rng.normal(size=400) for name in HOSTILE})
    table = table.append_column("city", pa.array(rng.choice(["<b>", "=1+1", "c"], 400)))
    sw.distill(table, teacher="knn", assume_normal=True, student=sw.MLP(hidden=(8,), steps=20)).save(
        tmp_path / "odd"
    )
    text = page.docs(open_models([tmp_path / "odd"]), Limits())
    assert "<script" not in text
    assert "\x1b" not in text
    assert "<b>" not in text
    assert len(text) < 60_000
    ask = make_ask(folders=[tmp_path / "odd"])
    for path in ("/openapi.json", "/v2/models/odd"):
        msgspec.json.decode(ask("GET", path).content)
    record = dict.fromkeys(HOSTILE, 1.0) | {"city": "<script>"}
    assert ask("POST", "/invocations", json={"dataframe_records": [record]}).status_code == 200
    assert "\x1b" not in ask("GET", "/metrics").text
    said = ask("POST", "/invocations", json={"dataframe_records": [{}]})
    assert said.headers["content-type"] == "application/json"
    assert "\x1b" not in said.json()["error"]
