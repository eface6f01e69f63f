"""What the service takes and gives, for programs: model metadata, and an OpenAPI document made from the loaded models."""

from __future__ import annotations

from typing import Any

from stillwatch import __version__
from stillwatch.serve.limits import Limits
from stillwatch.serve.models import Model, Models
from stillwatch.serve.wire import arrow, delimited, lines
from stillwatch.serve.wire.asked import OUTPUTS
from stillwatch.serve.wire.open_inference import DATATYPES, OUTPUT_TYPES, PACKED
from stillwatch.table.schema import Column

_JSON = "application/json"
_VALUES: dict[str, list[str]] = {
    "number": ["number", "string", "boolean", "null"],
    "boolean": ["boolean", "number", "string", "null"],
    "category": ["string", "number", "boolean", "null"],
    "timestamp": ["string", "integer", "null"],
}
_MEANING = {
    "number": "A number; null = missing.",
    "boolean": "True or false; null = missing.",
    "category": "Text; null = missing. A value never seen in training is scored as such.",
    "timestamp": "ISO 8601, year first; null = missing.",
}
_ERRORS = {
    "400": "The request cannot be read, or holds a value that its column cannot.",
    "401": "The token is missing or wrong.",
    "403": "A browser sent it in the name of another site's page.",
    "404": "There is no such model or version.",
    "408": "The request took too long to arrive.",
    "413": "The request is larger than is taken.",
    "415": "The body is of another type, or compressed.",
    "431": "The head of the request is too large.",
    "503": "Too much to do; Retry-After says when to come back.",
}


def all_numbers(model: Model) -> bool:
    """Whether a model takes the packed input."""
    names = {column.name for column in model.columns}
    return PACKED not in names and all(column.kind in {"number", "boolean"} for column in model.columns)


def metadata(model: Model) -> dict[str, Any]:
    """Model metadata as the Open Inference Protocol has it."""
    parameters: dict[str, Any] = {"digest": model.digest, "alert_rate": model.rate}
    if all_numbers(model):
        shape = [-1, len(model.columns)]
        parameters["packed_input"] = {"name": PACKED, "datatype": "FP32", "shape": shape}
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "stillwatch",
        "inputs": [
            {"name": column.name, "datatype": DATATYPES[column.kind], "shape": [-1, 1]}
            for column in model.columns
        ],
        "outputs": [{"name": name, "datatype": OUTPUT_TYPES[name], "shape": [-1]} for name in OUTPUTS],
        "parameters": parameters,
    }


def document(models: Models, limits: Limits) -> dict[str, Any]:
    """The OpenAPI document."""
    paths: dict[str, Any] = {
        "/v2/health/live": {"get": _look("Whether the process is there.", "Live", open_to_all=True)},
        "/v2/health/ready": {"get": _look("Whether it takes requests.", "Ready", open_to_all=True)},
        "/ping": {"get": _look("As /v2/health/ready.", "Ready", open_to_all=True)},
        "/v2": {"get": _look("The server.", "Server")},
        "/metrics": {"get": _text("Metrics for Prometheus.", "text/plain")},
        "/docs": {"get": _text("This document, for people.", "text/html")},
    }
    schemas = _fixed_schemas()
    for model in models:
        paths |= _paths(model)
        schemas |= _schemas(model, limits)
    if (only := models.only()) is not None:
        paths["/invocations"] = paths[f"/v2/models/{only.name}/invocations"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stillwatch",
            "version": __version__,
            "description": "Scores rows: higher is more abnormal. `p_value` is the share of normal rows expected to score at "
            "least as high; `alert` is true where it is at most the alert rate.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths(model: Model) -> dict[str, Any]:
    name = model.name
    base = f"/v2/models/{name}"
    infer = _scoring(
        f"Score rows by {name}: Open Inference Protocol, version 2.",
        {_JSON: {"schema": _ref(f"{name}.Inference")}},
        {_JSON: {"schema": _ref("InferenceAnswer")}},
        query=False,
    )
    invocations = _scoring(
        f"Score rows by {name}: MLflow and SageMaker.",
        {
            _JSON: {"schema": _ref(f"{name}.Invocation")},
            delimited.MEDIA: {"schema": {"type": "string"}},
            lines.MEDIA: {"schema": {"type": "string"}},
            arrow.MEDIA: {"schema": {"type": "string", "format": "binary"}},
        },
        {
            _JSON: {"schema": _ref("InvocationAnswer")},
            delimited.MEDIA: {"schema": {"type": "string"}},
            lines.MEDIA: {"schema": {"type": "string"}},
            arrow.MEDIA: {"schema": {"type": "string", "format": "binary"}},
        },
    )
    versioned = f"{base}/versions/{model.version}"
    return {
        base: {"get": _look(f"Columns and outputs of {name}.", "Metadata")},
        f"{base}/ready": {"get": _look(f"Whether {name} takes requests.", "ModelReady")},
        f"{base}/infer": {"post": infer},
        f"{base}/invocations": {"post": invocations},
        f"{base}/ndjson": {"post": _one_media(f"Score lines by {name}.", lines.MEDIA, {"type": "string"})},
        f"{base}/arrow": {
            "post": _one_media(
                f"Score an Arrow IPC stream by {name}.", arrow.MEDIA, {"type": "string", "format": "binary"}
            )
        },
        versioned: {"get": _look(f"As {base}.", "Metadata")},
        f"{versioned}/ready": {"get": _look(f"As {base}/ready.", "ModelReady")},
        f"{versioned}/infer": {"post": infer},
    }


def _schemas(model: Model, limits: Limits) -> dict[str, Any]:
    columns = {column.name: _value(column) for column in model.columns}
    names = list(columns)
    row = {"type": "object", "required": names, "properties": columns}
    inputs = sorted({*names, PACKED}) if all_numbers(model) else names
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"enum": inputs, "description": "A column; others are ignored."},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": limits.rows},
                "minItems": 1,
                "maxItems": 2,
            },
            "datatype": {"enum": ["BOOL", "BYTES", "FP32", "FP64", "INT32", "INT64"]},
            "data": {"type": "array", "items": {"type": ["number", "string", "boolean", "array", "null"]}},
            "parameters": {"type": "object"},
        },
    }
    values = {"type": "array", "items": {"type": ["number", "string", "boolean", "null"]}}
    parameters = {
        "type": "object",
        "properties": {"alert_rate": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}},
    }
    return {
        f"{model.name}.Inference": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string"},
                "inputs": {"type": "array", "items": tensor, "minItems": 1},
                "outputs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"enum": list(OUTPUTS)}, "parameters": {"type": "object"}},
                    },
                },
                "parameters": parameters,
            },
        },
        f"{model.name}.Invocation": {
            "type": "object",
            "properties": {
                "dataframe_split": {
                    "type": "object",
                    "required": ["columns", "data"],
                    "properties": {
                        "columns": {"type": "array", "items": {"enum": names}},
                        "data": {"type": "array", "items": values},
                        "index": {"type": "array"},
                    },
                },
                "dataframe_records": {"type": "array", "items": row},
                "inputs": {
                    "anyOf": [
                        {"type": "object", "required": names, "properties": dict.fromkeys(names, values)},
                        {"type": "array", "items": {"anyOf": [row, values]}},
                    ]
                },
                "params": parameters,
            },
        },
    }


def _fixed_schemas() -> dict[str, Any]:
    text, number, flag = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    output = _object(
        name={"enum": list(OUTPUTS)},
        datatype={"enum": sorted(set(OUTPUT_TYPES.values()))},
        shape={"type": "array", "items": {"type": "integer", "minimum": 0}},
    )
    output["properties"] |= {"data": {"type": "array"}, "parameters": {"type": "object"}}
    signature = _object(digest={"type": "string", "pattern": "^[0-9a-f]{64}$"}, alert_rate=share)
    answer = _object(
        model_name=text, model_version=text, parameters=signature, outputs={"type": "array", "items": output}
    )
    answer["properties"]["id"] = text
    reasons = {"type": "array", "items": {"type": "object"}}
    prediction = {
        "type": "object",
        "properties": {
            "score": number,
            "p_value": share,
            "alert": flag,
            "low_evidence": flag,
            "reasons": reasons,
        },
        "additionalProperties": False,
    }
    tensors = {
        "type": "array",
        "items": _object(name=text, datatype=text, shape={"type": "array", "items": {"type": "integer"}}),
    }
    return {
        "Error": _object(error={"type": "string", "minLength": 1}),
        "Live": _object(live=flag),
        "Ready": _object(ready=flag),
        "ModelReady": _object(name=text, ready=flag),
        "Server": _object(name=text, version=text, extensions={"type": "array", "items": text}),
        "Metadata": _object(
            name=text,
            versions={"type": "array", "items": text},
            platform=text,
            inputs=tensors,
            outputs=tensors,
            parameters={"type": "object"},
        ),
        "InferenceAnswer": answer,
        "InvocationAnswer": _object(
            predictions={"type": "array", "items": prediction},
            model=_object(name=text, version=text, digest=text),
        ),
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def _value(column: Column) -> dict[str, Any]:
    return {"type": _VALUES[column.kind], "description": _MEANING[column.kind]}


def _one_media(summary: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return _scoring(summary, {media: {"schema": schema}}, {media: {"schema": schema}})


def _scoring(
    summary: str, request: dict[str, Any], answer: dict[str, Any], *, query: bool = True
) -> dict[str, Any]:
    headers = {
        f"x-model-{name}": {"schema": {"type": "string"}, "description": f"The model's {name}."}
        for name in ("name", "version", "digest")
    }
    said: dict[str, Any] = {
        "summary": summary,
        "security": [{"token": []}, {}],
        "requestBody": {"required": True, "content": request},
        "responses": {
            "200": {"description": "Scored.", "headers": headers, "content": answer},
            **_errors(*_ERRORS),
        },
    }
    if query:
        said["parameters"] = [
            {
                "name": "alert_rate",
                "in": "query",
                "description": "Share of normal rows that may raise an alarm; the model's own where it is left out.",
                "schema": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            },
            {
                "name": "outputs",
                "in": "query",
                "description": f"Some of {', '.join(OUTPUTS)}, with commas between them.",
                "schema": {"type": "string"},
            },
        ]
    return said


def _look(summary: str, schema: str, *, open_to_all: bool = False) -> dict[str, Any]:
    content = {_JSON: {"schema": _ref(schema)}}
    said: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}},
    }
    if schema in {"Ready", "ModelReady"}:
        said["responses"]["503"] = {"description": "Not now.", "content": content}
    if not open_to_all:
        said["security"] = [{"token": []}, {}]
        said["responses"] |= _errors("401")
    return said


def _text(summary: str, media: str) -> dict[str, Any]:
    content = {media: {"schema": {"type": "string"}}}
    return {
        "summary": summary,
        "security": [{"token": []}, {}],
        "responses": {"200": {"description": summary, "content": content}, **_errors("401")},
    }


def _errors(*codes: str) -> dict[str, Any]:
    content = {_JSON: {"schema": _ref("Error")}}
    return {code: {"description": _ERRORS[code], "content": content} for code in codes}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
