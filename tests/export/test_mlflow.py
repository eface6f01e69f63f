"""The MLflow folder: what MLflow reads, and that it scores the same where MLflow is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stillwatch.artifact.load import read_artifact
from stillwatch.artifact.parity import open_session
from stillwatch.errors import InputError
from stillwatch.export.mlflow import export_mlflow
from tests.golden.make import HERE

GOLDEN = HERE / "protocol_1" / "model"
FEED = {
    "num": np.array([[20, 40, 1, 1], [np.nan, 1e3, 0, 2]], np.float32),
    "num64": np.array([[1.70002e9], [np.nan]]),
    "txt": np.array([["Aa"], [""]], object),
    "time": np.array([[0], [-(2**63)]], np.int64),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export_mlflow(GOLDEN, tmp_path / "mlflow", alert_rate=0.05)
    return tmp_path / "mlflow"


def test_the_folder_holds_what_mlflow_reads(folder: Path) -> None:
    loaded = read_artifact(GOLDEN)
    found: dict[str, Any] = yaml.safe_load((folder / "MLmodel").read_text())
    assert found["flavors"]["python_function"]["loader_module"] == "mlflow.onnx"
    assert (folder / found["flavors"]["onnx"]["data"]).read_bytes() == loaded.model
    inputs = json.loads(found["signature"]["inputs"])
    assert {each["name"]: each["tensor-spec"]["shape"][1] for each in inputs} == loaded.summary.inputs
    assert json.loads(found["metadata"]["columns"])["txt"] == ["city"]
    assert found["metadata"]["alert_rate"] == 0.05
    assert found["metadata"]["digest"] == loaded.digest
    assert (folder / found["flavors"]["python_function"]["env"]["virtualenv"]).is_file()


def test_a_folder_that_is_there_is_kept(folder: Path) -> None:
    with pytest.raises(InputError, match="exists"):
        export_mlflow(GOLDEN, folder)
    export_mlflow(GOLDEN, folder, overwrite=True)
    with pytest.raises(InputError, match="cannot be made a folder"):
        export_mlflow(GOLDEN, folder / "MLmodel" / "below")


def test_mlflow_loads_it_and_scores_the_same(folder: Path) -> None:
    pyfunc = pytest.importorskip("mlflow.pyfunc", reason="mlflow is not installed")
    found = pyfunc.load_model(str(folder)).predict(FEED)["score"]
    expected = open_session(read_artifact(GOLDEN).model).run(["score"], FEED)[0]
    np.testing.assert_array_equal(found, expected)
