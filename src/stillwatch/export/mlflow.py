"""A model as a folder that MLflow loads: `mlflow.pyfunc.load_model(folder)`, serving and registry included.

Written by hand, in the format that MLflow documents, so that nobody needs MLflow to write it. It is the same `model.onnx`, so
its inputs are packed by position, as plain onnxruntime takes them; the metadata tells which column stands where.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from stillwatch import __version__
from stillwatch.artifact.load import Loaded, read_artifact
from stillwatch.artifact.manifest import MODEL
from stillwatch.calibration.conformal import threshold
from stillwatch.export.folder import write_files

_DTYPES = {"num": "float32", "num64": "float64", "txt": "object", "time": "int64"}


def export_mlflow(
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    alert_rate: float | None = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write an MLflow model folder and return its files.

    Parameters
    ----------
    model
        model folder.
    folder
        where the files go; made where it is missing.
    alert_rate
        share of normal rows that may raise an alarm, for the threshold in the metadata; None: the model's.

    Raises
    ------
    ArtifactError
        the model cannot be read or trusted.
    InputError
        a file exists.
    CalibrationError
        the rate is finer than the calibration rows support.
    """
    loaded = read_artifact(model)
    rate = loaded.manifest.alert_rate if alert_rate is None else alert_rate
    needed = [
        "mlflow>=2",
        f"onnx=={onnx.__version__}",
        f"onnxruntime=={ort.__version__}",
        f"numpy=={np.__version__}",
    ]
    python = ".".join(map(str, sys.version_info[:3]))
    files = {
        MODEL: loaded.model,
        "requirements.txt": "".join(f"{line}\n" for line in needed).encode(),
        "python_env.yaml": f"python: {_text(python)}\ndependencies:\n  - -r requirements.txt\n".encode(),
        "MLmodel": _mlmodel(loaded, rate, python).encode(),
    }
    write_files(folder, files, overwrite=overwrite)
    return tuple(Path(folder, name) for name in files)


def _mlmodel(loaded: Loaded, rate: float, python: str) -> str:
    manifest, columns = loaded.manifest, loaded.summary.inputs
    inputs = [_tensor(name, dtype, columns[name]) for name, dtype in _DTYPES.items() if name in columns]
    metadata = {
        "stillwatch": __version__,
        "digest": loaded.digest,
        "score": "higher = more abnormal",
        "alert_rate": rate,
        "threshold": threshold(manifest.calibration, rate),
        "columns": json.dumps({name: getattr(manifest.layout, name) for name in columns}),
    }
    lines = [
        "flavors:",
        "  onnx:",
        f"    data: {MODEL}",
        f"    onnx_version: {_text(onnx.__version__)}",
        "    providers:",
        "      - CPUExecutionProvider",
        "  python_function:",
        f"    data: {MODEL}",
        "    env:",
        "      virtualenv: python_env.yaml",
        "    loader_module: mlflow.onnx",
        f"    python_version: {_text(python)}",
        "metadata:",
        *(f"  {name}: {_text(value)}" for name, value in metadata.items()),
        f"model_size_bytes: {len(loaded.model)}",
        f"model_uuid: {loaded.digest[:32]}",
        "signature:",
        f"  inputs: {_text(json.dumps(inputs))}",
        f"  outputs: {_text(json.dumps([_tensor('score', 'float32', 1)]))}",
        "  params: null",
    ]
    return "\n".join(lines) + "\n"


def _tensor(name: str, dtype: str, columns: int) -> dict[str, Any]:
    return {"name": name, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, columns]}}


def _text(value: Any) -> str:
    """A scalar in YAML: JSON is a part of it."""
    return json.dumps(value)
