from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec
import pyarrow as pa
import pytest

from tests.serve.bodies import inference, records
from tests.serve.conftest import Ask


@pytest.fixture
def document(ask: Ask) -> dict[str, Any]:
    found: dict[str, Any] = ask("GET", "/openapi.json").json()
    return found


def valid(document: dict[str, Any], name: str, value: Any) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return bool(jsonschema_rs.is_valid(schema, value))


def test_it_is_made_of_the_columns_of_the_models(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    names = document["components"]["schemas"]["mixed.Inference"]["properties"]["inputs"]["items"][
        "properties"
    ]["name"]
    assert names["enum"] == ["amount", "age", "stamp", "member", "city", "shop", "country", "version"]
    assert "/v2/models/numbers/infer" in document["paths"]
    assert "/invocations" not in document["paths"]  # two models: it needs a name


def test_with_one_model_invocations_needs_no_name(make_ask: Any, model: Any) -> None:
    document = make_ask(folders=[model])("GET", "/openapi.json").json()
    assert "/invocations" in document["paths"]


def test_requests_and_answers_are_what_it_says(ask: Ask, document: dict[str, Any], rows: pa.Table) -> None:
    few = rows.slice(0, 5)
    body = msgspec.json.decode(msgspec.json.encode(inference(few, id="x")))
    assert valid(document, "mixed.Inference", body)
    assert valid(document, "InferenceAnswer", ask("POST", "/v2/models/mixed/infer", json=body).json())
    called = {"dataframe_records": records(few)}
    assert valid(document, "mixed.Invocation", called)
    answer = ask("POST", "/v2/models/mixed/invocations?outputs=score,reasons", json=called)
    assert valid(document, "InvocationAnswer", answer.json())
    assert valid(document, "Metadata", ask("GET", "/v2/models/mixed").json())
    assert valid(document, "Server", ask("GET", "/v2").json())
    assert valid(document, "Error", ask("POST", "/v2/models/mixed/infer", json={}).json())


def test_every_path_answers(ask: Ask, document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method in operations:
            answer = ask(method.upper(), path)
            assert str(answer.status_code) in operations[method]["responses"], path
            assert answer.status_code < 500
