"""Clients that others wrote, with their defaults."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.artifact.parity import disagreement
from tests.serve.bodies import tensors
from tests.serve.process import Process

TRITON = """
import sys
import numpy as np
import tritonclient.http as triton

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("mixed")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
rows = np.load(sys.argv[2], allow_pickle=False)
inputs = []
for column in client.get_model_metadata("mixed")["inputs"]:
    values, datatype = rows[column["name"]], column["datatype"]
    if datatype == "BYTES":
        values = np.array([text.encode() for text in values], dtype=np.object_)
    tensor = triton.InferInput(column["name"], [len(values), 1], datatype)
    tensor.set_data_from_numpy(values.reshape(-1, 1))
    inputs.append(tensor)
found = client.infer("mixed", inputs, request_id="r1")
assert found.get_response()["id"] == "r1"
asked = client.infer("mixed", inputs, outputs=[triton.InferRequestedOutput("p_value", binary_data=False)])
np.savez(sys.argv[3], score=found.as_numpy("score"), alert=found.as_numpy("alert"), p_value=asked.as_numpy("p_value"))
try:
    client.infer("nothing", inputs)
except triton.InferenceServerException as exc:
    assert exc.status() == "404", exc.status()
    assert "no such model" in exc.message()
"""

KSERVE = """
import asyncio, sys
import numpy as np
from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig

async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    url = sys.argv[1]
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "mixed")
    rows = np.load(sys.argv[2], allow_pickle=False)
    found = {}
    for binary in (False, True):
        inputs = []
        for name in rows.files:
            values, datatype = rows[name], {"U": "BYTES", "b": "BOOL"}.get(rows[name].dtype.kind, "FP64")
            if datatype == "BYTES":
                values = values.astype(object)
            tensor = InferInput(name, [len(values), 1], datatype)
            tensor.set_data_from_numpy(values.reshape(-1, 1), binary_data=binary)
            inputs.append(tensor)
        request = InferRequest("mixed", inputs, request_id="k1")
        answer = await client.infer(url, request, model_name="mixed")
        assert answer.id == "k1", answer.id
        for output in answer.outputs:
            found[f"{output.name}_{binary}"] = output.as_numpy()
    np.savez(sys.argv[3], **found)

asyncio.run(main())
"""


def saved(rows: pa.Table, file: Path) -> None:
    """Columns as plain arrays: text, booleans, and float64 with NaN where nothing is."""
    columns = {name: rows.column(name).to_numpy() for name in rows.column_names}
    plain = {
        name: values.astype(str) if isinstance(values[0], str)
        else values.astype(np.bool_ if name == "member" else np.float64)
        for name, values in columns.items()
    }  # fmt: skip
    np.savez(file, **plain)


def test_tritonclient_with_its_defaults(
    served: Process, scorer: sw.Scorer, rows: pa.Table, tmp_path: Any
) -> None:
    """In a process of its own: gevent changes the one that it is loaded into."""
    saved(rows, tmp_path / "rows.npz")
    done = subprocess.run(
        [sys.executable, "-c", TRITON, f"{served.host}:{served.port}", tmp_path / "rows.npz", tmp_path / "found.npz"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    verdict = scorer.judge(rows)
    with np.load(tmp_path / "found.npz") as found:
        assert disagreement(verdict.score, found["score"]) <= 1e-5
        np.testing.assert_array_equal(found["alert"], verdict.alert)
        np.testing.assert_allclose(found["p_value"], verdict.p_value, rtol=1e-5)


@pytest.mark.slow
def test_kserve_v2_rest_client(served: Process, scorer: sw.Scorer, rows: pa.Table, tmp_path: Path) -> None:
    """Its dependencies do not fit beside ours, so it lives in an environment of its own, with JSON and with binary tensors."""
    python = os.environ.get("STILLWATCH_KSERVE_PYTHON")
    if python is None:
        pytest.skip(
            "kserve's pins do not fit ours: pip install kserve elsewhere, and name that Python in STILLWATCH_KSERVE_PYTHON"
        )
    saved(rows, tmp_path / "rows.npz")
    done = subprocess.run(
        [python, "-c", KSERVE, served.url, tmp_path / "rows.npz", tmp_path / "found.npz"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    verdict = scorer.judge(rows)
    with np.load(tmp_path / "found.npz") as found:
        for binary in (False, True):
            assert disagreement(verdict.score, found[f"score_{binary}"]) <= 1e-5
            np.testing.assert_array_equal(found[f"alert_{binary}"], verdict.alert)


def test_kserve_v2_rest_wire(served: Process, scorer: sw.Scorer, rows: pa.Table) -> None:
    """What kserve's `InferenceRESTClient(RESTConfig(protocol="v2"))` sends; the client itself is tested above."""
    few = rows.slice(0, 20)

    async def talk() -> tuple[dict[str, Any], dict[str, Any], bool]:
        async with httpx.AsyncClient(base_url=served.url) as client:
            ready = await client.get("/v2/health/ready")
            live = await client.get("/v2/health/live")
            model = await client.get("/v2/models/mixed/ready")
            body = {
                "id": "5d3a",
                "inputs": [{**tensor, "parameters": {}} for tensor in tensors(few)],
                "parameters": {},
            }
            answer = await client.post(
                "/v2/models/mixed/infer", json=body, headers={"content-type": "application/json"}
            )
            answer.raise_for_status()
            return answer.json(), model.json(), ready.json()["ready"] and live.json()["live"]

    answer, model, up = asyncio.run(talk())
    assert up
    assert model == {"name": "mixed", "ready": True}
    assert answer["id"] == "5d3a"
    assert {"model_name", "model_version", "outputs"} <= answer.keys()
    for output in answer["outputs"]:
        assert {"name", "shape", "datatype", "data"} <= output.keys()
        assert output["shape"] == [20] == [len(output["data"])]
    assert disagreement(scorer.score(few), answer["outputs"][0]["data"]) <= 1e-5


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(tmp_path: Path, rng: np.random.Generator) -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    example = text.partition("```python\n")[2].partition("```")[0]
    table = pa.table(
        {
            "amount": np.exp(rng.normal(3, 1, 400)),
            "hour": rng.integers(8, 20, 400),
            "shop": rng.choice(["a", "b"], 400).tolist(),
        }
    )
    student = sw.MLP(hidden=(8,), steps=20)
    sw.distill(table, teacher="knn", assume_normal=True, student=student).save(tmp_path / "model")
    with Process([tmp_path / "model"]) as process:
        code = example.replace("localhost:8080", f"{process.host}:{process.port}")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = sw.load(tmp_path / "model").score_one({"amount": 9000.0, "hour": 3, "shop": "z"})
    assert float(done.stdout.strip("[]\n")) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_schemathesis_finds_no_failure_and_no_breach(served: Process, tmp_path: Path) -> None:
    conformance = ("status_code", "content_type", "response_schema", "response_headers")
    checks = ",".join(["not_a_server_error", *(f"{name}_conformance" for name in conformance)])
    command = [
        sys.executable, "-W", "ignore", "-m", "schemathesis.cli", "run", f"{served.url}/openapi.json",
        "--checks", checks, "--max-examples", "40", "--seed", "1", "--phases", "examples,coverage,fuzzing",
        "--suppress-health-check", "all", "--request-timeout", "10", "--no-color",
    ]  # fmt: skip
    hooks = {
        "SCHEMATHESIS_HOOKS": "tests.serve.schemathesis_hooks",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=tmp_path,
        env={**os.environ, **hooks},
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
