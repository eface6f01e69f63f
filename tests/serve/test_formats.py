"""Each format in and out gives what Python gives."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

import stillwatch as sw
from stillwatch.artifact.parity import disagreement
from stillwatch.serve.limits import Limits
from tests.serve.bodies import arrow, csv, inference, ndjson, records
from tests.serve.conftest import Ask

NAMED = "/v2/models/mixed/invocations"
JSON, CSV = "application/json", "text/csv"
LINES, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"


def _split(rows: pa.Table) -> bytes:
    names = rows.column_names
    data = [[row[name] for name in names] for row in records(rows)]
    return msgspec.json.encode({"dataframe_split": {"columns": names, "data": data}})


def _columns(rows: pa.Table) -> bytes:
    found = records(rows)
    return msgspec.json.encode({"inputs": {name: [row[name] for row in found] for name in rows.column_names}})


def _positions(rows: pa.Table) -> bytes:
    return msgspec.json.encode({"inputs": [list(row.values()) for row in records(rows)]})


REQUESTS: dict[str, tuple[str, Callable[[pa.Table], bytes]]] = {
    "dataframe_split": (JSON, _split),
    "dataframe_records": (JSON, lambda rows: msgspec.json.encode({"dataframe_records": records(rows)})),
    "inputs by column": (JSON, _columns),
    "inputs by row": (JSON, lambda rows: msgspec.json.encode({"inputs": records(rows)})),
    "inputs by place": (JSON, _positions),
    "csv": (CSV, csv),
    "ndjson": (LINES, ndjson),
    "arrow": (ARROW, arrow),
}


def answered(media: str, content: bytes) -> dict[str, np.ndarray]:
    """Columns of an answer in any format."""
    if media == JSON:
        found: Any = msgspec.json.decode(content)["predictions"]
    elif media == LINES:
        found = [msgspec.json.decode(line) for line in content.splitlines()]
    elif media == CSV:
        return {n: c.to_numpy() for n, c in _named(pacsv.read_csv(io.BytesIO(content)))}
    else:
        return {n: c.to_numpy() for n, c in _named(pa.ipc.open_stream(content).read_all())}
    return {name: np.array([row[name] for row in found]) for name in found[0]}


def _named(table: pa.Table) -> Any:
    return zip(table.column_names, table.columns, strict=True)


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("count", [1, 300])
def test_scores_are_those_of_python(
    ask: Ask, scorer: sw.Scorer, rows: pa.Table, name: str, count: int
) -> None:
    media, write = REQUESTS[name]
    few = rows.slice(5, count)
    answer = ask("POST", NAMED, content=write(few), headers={"content-type": media})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(media)
    found = answered(media, answer.content)
    verdict = scorer.judge(few)
    assert list(found) == ["score", "p_value", "alert"]
    assert disagreement(verdict.score, found["score"]) <= 1e-5
    np.testing.assert_allclose(found["p_value"], verdict.p_value, rtol=1e-4)
    np.testing.assert_array_equal(found["alert"].astype(bool), verdict.alert)
    assert answer.headers["x-model-name"] == "mixed"


@pytest.mark.parametrize("name", REQUESTS)
def test_rate_and_outputs_by_query(ask: Ask, scorer: sw.Scorer, rows: pa.Table, name: str) -> None:
    media, write = REQUESTS[name]
    few = rows.slice(0, 40)
    query = "?alert_rate=0.4&outputs=alert,low_evidence"
    answer = ask("POST", NAMED + query, content=write(few), headers={"content-type": media})
    found = answered(media, answer.content)
    assert list(found) == ["alert", "low_evidence"]
    np.testing.assert_array_equal(found["alert"].astype(bool), scorer.judge(few, 0.4).alert)


@pytest.mark.parametrize("name", ["dataframe_records", "ndjson", "arrow"])
def test_reasons_where_they_fit(ask: Ask, rows: pa.Table, name: str) -> None:
    media, write = REQUESTS[name]
    answer = ask(
        "POST", NAMED + "?outputs=reasons", content=write(rows.slice(0, 2)), headers={"content-type": media}
    )
    found = answered(media, answer.content)["reasons"]
    first = msgspec.json.decode(found[0]) if media == ARROW else found[0]
    assert {"column", "effect", "value", "normal"} == set(first[0])


def test_reasons_of_too_many_rows_are_refused(ask: Ask, rows: pa.Table) -> None:
    many = pa.concat_tables([rows] * 4)
    answer = ask("POST", NAMED + "?outputs=reasons", content=arrow(many), headers={"content-type": ARROW})
    assert answer.status_code == 413
    assert "1,000" in answer.json()["error"]


@pytest.mark.parametrize(
    ("media", "body", "words"),
    [
        (JSON, b"{}", "none of dataframe_split"),
        (JSON, b'{"inputs": [], "dataframe_records": []}', "dataframe_records and inputs"),
        (JSON, b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', "row 1 has 2 values"),
        (JSON, b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}', "more than once"),
        (JSON, b'{"dataframe_records": [{"amount": 1}, {"age": 2}]}', "row 2 has no 'amount'"),
        (JSON, b'{"dataframe_records": [{"amount": 1, "amount": 2}]}', "'amount' stands more than once"),
        (JSON, b'{"inputs": {"amount": [1], "age": [1, 2]}}', "from 1 to 2 values"),
        (JSON, b'{"inputs": [[1, 2]]}', "row 1 is not a list of 8 values"),
        (JSON, b'{"inputs": [{"amount": {}}]}', "is missing"),
        (JSON, b'{"dataframe_records": [{}], "params": {"outputs": ["scores"]}}', "no output 'scores'"),
        (CSV, b"", "empty"),
        (CSV, b"amount,amount\n1,2\n", "more than once"),
        (CSV, b"amount,age\n1\n", "not CSV"),
        (CSV, b"amount\n\xff\n", "not CSV in UTF-8"),
        (LINES, b'{"amount": 1}\n{"amount"\n', "line 2: the body is not JSON"),
        (LINES, b'{"amount": 1}\n[1]\n', "line 2: [1] is no JSON object"),
        (LINES, b'{"amount": 1, "amount": 2}', "line 1: the key 'amount'"),
        (ARROW, b"", "empty"),
        (ARROW, b"\xff\xff\xff\xff", "no whole Arrow"),
        (ARROW, b"ARROW1\0\0" * 20, "no whole Arrow"),
    ],
)
def test_what_is_wrong_is_said(ask: Ask, media: str, body: bytes, words: str) -> None:
    answer = ask("POST", NAMED, content=body, headers={"content-type": media})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize("value", ["1,5", "x", ""])
def test_a_wrong_value_names_column_row_and_value(ask: Ask, rows: pa.Table, value: str) -> None:
    few = rows.slice(0, 5)
    body = records(few)
    body[3]["amount"] = value
    answer = ask("POST", NAMED, json={"dataframe_records": body})
    if value:
        assert answer.status_code == 400
        assert "column 'amount'" in answer.json()["error"]
        assert f"'{value}' at row 4" in answer.json()["error"]
    else:
        assert answer.status_code == 200


@pytest.mark.parametrize("media", ["text/plain", "", "application/xml", "application/vnd.apache.parquet"])
def test_another_content_type_is_refused(ask: Ask, media: str) -> None:
    answer = ask("POST", NAMED, content=b"x", headers={"content-type": media})
    assert answer.status_code == 415
    assert "text/csv" in answer.json()["error"]


def test_one_model_needs_no_name_and_several_do(make_ask: Any, model: Any, rows: pa.Table) -> None:
    body = {"dataframe_records": records(rows.slice(0, 2))}
    assert make_ask(folders=[model])("POST", "/invocations", json=body).status_code == 200
    answer = make_ask()("POST", "/invocations", json=body)
    assert answer.status_code == 404
    assert "mixed, numbers" in answer.json()["error"]


def test_routes_for_lines_and_arrow_need_no_content_type(ask: Ask, scorer: sw.Scorer, rows: pa.Table) -> None:
    few = rows.slice(0, 9)
    lines = ask("POST", "/v2/models/mixed/ndjson", content=ndjson(few))
    stream = ask("POST", "/v2/models/mixed/arrow", content=arrow(few))
    assert disagreement(scorer.score(few), answered(LINES, lines.content)["score"]) <= 1e-5
    table = pa.ipc.open_stream(stream.content).read_all()
    assert disagreement(scorer.score(few), table.column("score").to_numpy()) <= 1e-5
    assert table.schema.metadata[b"model_digest"].decode() == stream.headers["x-model-digest"]


@pytest.mark.parametrize("count", [0, 100])
def test_row_9_no_rows_and_the_most_rows_and_one_more(make_ask: Any, rows: pa.Table, count: int) -> None:
    ask = make_ask(limits=Limits(rows=100))
    for name, (media, write) in REQUESTS.items():
        if count == 0 and name in {"inputs by place", "inputs by row", "ndjson"}:
            continue
        answer = ask("POST", NAMED, content=write(rows.slice(0, count)), headers={"content-type": media})
        assert answer.status_code == 200, (name, answer.text)
        if count:
            answer = ask("POST", NAMED, content=write(rows.slice(0, 101)), headers={"content-type": media})
            assert answer.status_code == 413
            assert "at most 100" in answer.json()["error"]
    assert ask("POST", "/v2/models/mixed/infer", json=inference(rows.slice(0, 101))).status_code == 413


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("infer", b'{"inputs": [' + b"{}," * 100_000 + b"{}]}"),
        ("invocations", b'{"dataframe_records": [' + b"{}," * 100_000 + b"{}]}"),
        ("invocations", b'{"inputs": [' + b"[]," * 250_000 + b"[]]}"),
        ("ndjson", b"{}\n" * 100_000),
    ],
)
def test_row_11_json_that_unfolds_too_far_is_refused_before_it_is_decoded(
    make_ask: Any, path: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = make_ask(limits=Limits(decoded_bytes=16 << 20))
    monkeypatch.setattr("stillwatch.serve.wire.dataframe.decoded", None)
    monkeypatch.setattr("stillwatch.serve.wire.open_inference.decoded", None)
    answer = ask("POST", f"/v2/models/mixed/{path}", content=body, headers={"content-type": JSON})
    assert answer.status_code == 413
    assert "unfolds" in answer.json()["error"]


@pytest.mark.parametrize("way", [*(way for way in REQUESTS if way != "inputs by place"), "open inference"])
def test_columns_without_end_are_refused_before_a_table_is_made_of_them(
    make_ask: Any, rows: pa.Table, way: str
) -> None:
    """A column costs kilobytes however short it is: 900,000 in a header of 8 MB once took three gigabytes."""
    ask = make_ask(limits=Limits(columns=20))
    for more, status in ((11, 200), (13, 413)):
        wide = rows.slice(0, 2)
        for i in range(more):
            wide = wide.append_column(f"more {i}", pa.array([1.0, 2.0]))
        if way == "open inference":
            answer = ask("POST", "/v2/models/mixed/infer", json=inference(wide))
        else:
            media, write = REQUESTS[way]
            answer = ask("POST", NAMED, content=write(wide), headers={"content-type": media})
        assert answer.status_code == status, answer.text
        assert status == 200 or "columns came in one request" in answer.json()["error"]


def test_keys_that_each_stand_in_one_line_are_cells_of_every_line(make_ask: Any, rows: pa.Table) -> None:
    ask = make_ask(limits=Limits(decoded_bytes=1 << 20))
    (row,) = records(rows.slice(0, 1))
    content = b"\n".join(msgspec.json.encode(row | {f"only {i}": 1}) for i in range(300))
    answer = ask("POST", NAMED, content=content, headers={"content-type": LINES})
    assert answer.status_code == 413
    assert "unfolds" in answer.json()["error"]


def test_csv_may_begin_with_blank_lines_and_a_byte_order_mark(ask: Ask, rows: pa.Table) -> None:
    plain = ask("POST", NAMED, content=csv(rows), headers={"content-type": CSV})
    odd = ask("POST", NAMED, content=b"\xef\xbb\xbf\n\n" + csv(rows), headers={"content-type": CSV})
    assert (odd.status_code, odd.text) == (200, plain.text)
