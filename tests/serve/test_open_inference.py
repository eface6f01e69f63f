from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.artifact.parity import disagreement
from tests.serve.bodies import inference, scores, tensors
from tests.serve.conftest import Ask

INFER = "/v2/models/mixed/infer"


def test_a_mixed_table_scores_as_in_python(ask: Ask, scorer: sw.Scorer, rows: pa.Table) -> None:
    answer = ask("POST", INFER, json=inference(rows, id="seven"))
    assert answer.status_code == 200
    said = answer.json()
    verdict = scorer.judge(rows)
    assert disagreement(verdict.score, scores(said)) <= 1e-5
    np.testing.assert_allclose(scores(said, "p_value"), verdict.p_value, rtol=1e-5)
    np.testing.assert_array_equal(scores(said, "alert"), verdict.alert)
    assert (said["id"], said["model_name"]) == ("seven", "mixed")
    assert [output["name"] for output in said["outputs"]] == ["score", "p_value", "alert"]


@pytest.mark.parametrize("at", [0, 3, 7])
def test_one_row_scores_as_the_same_row_among_others(
    ask: Ask, scorer: sw.Scorer, rows: pa.Table, at: int
) -> None:
    said = ask("POST", INFER, json=inference(rows.slice(at, 1))).json()
    assert disagreement(scorer.score(rows.slice(at, 1)), scores(said)) <= 1e-5


def test_every_answer_names_version_and_digest(ask: Ask, rows: pa.Table) -> None:
    answer = ask("POST", INFER, json=inference(rows.slice(0, 1)))
    digest = answer.headers["x-model-digest"]
    assert answer.json()["parameters"]["digest"] == digest
    assert answer.json()["model_version"] == answer.headers["x-model-version"] == digest[:12]
    assert ask("GET", "/v2/models/mixed").json()["versions"] == [digest[:12]]
    one = inference(rows.slice(0, 1))
    assert ask("POST", f"/v2/models/mixed/versions/{digest[:12]}/infer", json=one).status_code == 200
    assert ask("POST", "/v2/models/mixed/versions/1/infer", json=one).status_code == 404


@pytest.mark.parametrize("count", [1, 5])
def test_null_is_missing_in_every_kind_of_column(
    ask: Ask, scorer: sw.Scorer, rows: pa.Table, count: int
) -> None:
    few = rows.slice(0, count)
    body = inference(few)
    for tensor in body["inputs"]:
        tensor["data"][0] = None
    blank = pa.table(
        {
            name: pa.array([None, *column.to_pylist()[1:]], column.type)
            for name, column in zip(few.column_names, few.columns, strict=True)
        }
    )
    said = ask("POST", INFER, json={**body, "outputs": [{"name": "score"}, {"name": "low_evidence"}]}).json()
    assert disagreement(scorer.score(blank), scores(said)) <= 1e-5
    assert scores(said, "low_evidence").tolist() == [True] + [False] * (count - 1)


def test_columns_go_by_name_in_any_order_and_others_are_ignored(
    ask: Ask, scorer: sw.Scorer, rows: pa.Table
) -> None:
    few = rows.slice(0, 4)
    inputs = [
        *reversed(tensors(few)),
        {"name": "note", "shape": [4], "datatype": "BYTES", "data": list("abcd")},
    ]
    said = ask("POST", INFER, json={"inputs": inputs}).json()
    assert disagreement(scorer.score(few), scores(said)) <= 1e-5


def binary_body(inputs: list[tuple[str, str, list[int], bytes]], **more: Any) -> tuple[bytes, dict[str, str]]:
    described = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
        for name, datatype, shape, raw in inputs
    ]
    head = msgspec.json.encode({"inputs": described, **more})
    return head + b"".join(raw for *_, raw in inputs), {"Inference-Header-Content-Length": str(len(head))}


def texts(values: list[str]) -> bytes:
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def test_binary_tensors_in_and_out(ask: Ask, scorer: sw.Scorer, rows: pa.Table) -> None:
    few = rows.slice(0, 6)
    inputs = []
    for name in few.column_names:
        column = few.column(name)
        if pa.types.is_string(column.type):
            inputs.append((name, "BYTES", [6, 1], texts(column.to_pylist())))
        elif pa.types.is_boolean(column.type):
            inputs.append((name, "BOOL", [6, 1], np.array(column.to_pylist(), np.bool_).tobytes()))
        else:
            values = column.to_numpy().astype("<f8")
            inputs.append((name, "FP64", [6, 1], values.tobytes()))
    body, headers = binary_body(inputs, parameters={"binary_data_output": True})
    answer = ask("POST", INFER, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    said, tail = msgspec.json.decode(answer.content[:length]), answer.content[length:]
    assert [output["parameters"]["binary_data_size"] for output in said["outputs"]] == [24, 24, 6]
    assert disagreement(scorer.score(few), np.frombuffer(tail[:24], "<f4")) <= 1e-5


def test_the_packed_input_of_a_model_of_numbers(ask: Ask, numbers: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(256, 5)).astype(np.float32)
    x[3, 2] = np.nan
    body, headers = binary_body([("rows", "FP32", [256, 5], x.tobytes())])
    said = ask("POST", "/v2/models/numbers/infer", content=body, headers=headers).json()
    expected = sw.load(numbers).score(x)
    assert disagreement(expected, scores(said)) <= 1e-5
    plain = {
        "name": "rows",
        "datatype": "FP32",
        "shape": [2, 5],
        "data": [[1, 2, None, 4, 5], [1, 2, 3, 4, 5]],
    }
    flat = {**plain, "data": [1, 2, None, 4, 5, 1, 2, 3, 4, 5]}
    nested = scores(ask("POST", "/v2/models/numbers/infer", json={"inputs": [plain]}).json())
    np.testing.assert_array_equal(
        nested, scores(ask("POST", "/v2/models/numbers/infer", json={"inputs": [flat]}).json())
    )
    assert ask("GET", "/v2/models/numbers").json()["parameters"]["packed_input"]["shape"] == [-1, 5]


def test_a_packed_input_for_a_mixed_model_says_what_to_send(ask: Ask) -> None:
    tensor = {"name": "rows", "datatype": "FP32", "shape": [1, 8], "data": [0] * 8}
    answer = ask("POST", INFER, json={"inputs": [tensor]})
    assert answer.status_code == 400
    assert "one input for each column" in answer.json()["error"]


def test_the_alert_rate_is_chosen_by_the_request(ask: Ask, scorer: sw.Scorer, rows: pa.Table) -> None:
    said = ask("POST", INFER, json=inference(rows, parameters={"alert_rate": 0.3})).json()
    np.testing.assert_array_equal(scores(said, "alert"), scorer.judge(rows, 0.3).alert)
    assert said["parameters"]["alert_rate"] == 0.3
    for rate, words in (
        (1e-9, "calibration rows"),
        (2, "between 0 and 1"),
        (True, "between 0 and 1"),
        ("x", "between"),
    ):
        answer = ask("POST", INFER, json=inference(rows.slice(0, 1), parameters={"alert_rate": rate}))
        assert answer.status_code == 400
        assert words in answer.json()["error"]


def test_reasons_by_name(ask: Ask, scorer: sw.Scorer, rows: pa.Table) -> None:
    few = rows.slice(0, 3)
    said = ask("POST", INFER, json=inference(few, outputs=[{"name": "reasons"}])).json()
    assert [output["name"] for output in said["outputs"]] == ["reasons"]
    found = [
        [reason["column"] for reason in msgspec.json.decode(text)] for text in said["outputs"][0]["data"]
    ]
    assert found == [[reason.column for reason in reasons] for reasons in scorer.explain(few)]


def test_unknown_parameters_are_ignored_and_no_rows_give_no_scores(ask: Ask, rows: pa.Table) -> None:
    said = ask(
        "POST", INFER, json=inference(rows.slice(0, 0), parameters={"sequence_id": 3, "x": "y"})
    ).json()
    assert [output["data"] for output in said["outputs"]] == [[], [], []]


one = {"name": "amount", "shape": [1], "datatype": "FP64", "data": [1.0]}


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([], "inputs is empty"),
        ([one], "is missing"),
        ([{**one, "name": "Amount"}], "did you mean 'Amount'"),
        ([one, one], "more than once"),
        ([{**one, "datatype": "FP128"}], "'FP128'"),
        ([{**one, "shape": []}], "has shape []"),
        ([{**one, "shape": [-1]}], "has shape [-1]"),
        ([{**one, "shape": [1 << 62]}], "has shape"),
        ([{**one, "shape": [2]}], "1 values, and its shape [2] needs 2"),
        ([{**one, "shape": [1, 2]}], "one input for each column"),
        ([{**one, "data": [True]}], "not of datatype FP64"),
        ([{**one, "data": ["1"]}], "not of datatype FP64"),
        ([{**one, "datatype": "INT8", "data": [200]}], "beyond INT8"),
        ([{**one, "datatype": "INT64", "data": [1 << 63]}], "beyond INT64"),
        ([{**one, "datatype": "INT32", "data": [1.5]}], "not of datatype INT32"),
        ([{**one, "data": [[1.0]]}], "not of datatype FP64"),
        ([{**one, "parameters": {"binary_data_size": 8}}], "Send one of them"),
        ([{"name": "amount", "shape": [1], "datatype": "FP64"}], "has no data"),
        ([one, {**one, "name": "age", "shape": [2], "data": [1, 2]}], "has 2 rows"),
    ],
)
def test_what_is_wrong_is_said(ask: Ask, inputs: list[dict[str, Any]], words: str) -> None:
    answer = ask("POST", INFER, json={"inputs": inputs})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "size", "words"),
    [
        ("FP64", [1], b"12345678", 9, "8 bytes are left"),
        ("FP64", [1], b"12345678", -1, "8 bytes are left"),
        ("FP64", [1], b"12345678", "8", "8 bytes are left"),
        ("FP64", [2], b"12345678", 8, "take 16"),
        ("FP64", [1 << 31], b"12345678", 8, "rows"),
        ("BYTES", [1], struct.pack("<I", 1 << 31) + b"abc", 7, "ends behind"),
        ("BYTES", [2], struct.pack("<I", 1) + b"a", 5, "too few"),
        ("BYTES", [1], struct.pack("<I", 1) + b"ab", 6, "stand behind"),
        ("BOOL", [1], b"\x02", 1, "neither 0 nor 1"),
    ],
)
def test_row_10_sizes_that_lie_are_refused_before_anything_is_allocated(
    ask: Ask, datatype: str, shape: list[int], raw: bytes, size: Any, words: str
) -> None:
    tensor = {"name": "x0", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    head = msgspec.json.encode({"inputs": [tensor]})
    answer = ask(
        "POST",
        "/v2/models/numbers/infer",
        content=head + raw,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert answer.status_code in {400, 413}
    assert words in answer.json()["error"]


def test_bytes_behind_the_last_input_are_refused(ask: Ask) -> None:
    body, headers = binary_body([("rows", "FP32", [1, 5], bytes(20))])
    answer = ask("POST", "/v2/models/numbers/infer", content=body + b"more", headers=headers)
    assert answer.status_code == 400
    assert "4 bytes stand behind the last input" in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999", "9" * 4000, "١"])
def test_a_header_length_that_lies(ask: Ask, length: str) -> None:
    answer = ask(
        "POST", INFER, content=b"{}", headers=[(b"Inference-Header-Content-Length", length.encode())]
    )
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length" in answer.json()["error"]
