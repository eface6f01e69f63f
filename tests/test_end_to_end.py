"""From a real table to scores, through the command line only, as a user would go."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).with_name("stillwatch")


def stillwatch(folder: Path, *arguments: object) -> Any:
    """Run a command in a folder, and return its JSON."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments), "--json"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def table(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.exists():
        pytest.skip(f"{name} is not there: set STILLWATCH_DATA to the folder that holds it")
    return path


def whole_way(tmp_path: Path, train: Path, *options: str, test: Path | None = None) -> tuple[Any, Any, Any]:
    """Distill, verify, score to Parquet and evaluate; returns the columns by name, the figures and the report."""
    found = stillwatch(tmp_path, "distill", train, *options, "-o", "a model")
    assert stillwatch(tmp_path, "verify", "a model", "--expect", found["digest"])["ok"]
    rows = test or train
    totals = stillwatch(tmp_path, "score", "a model", rows, "-o", "scores.parquet")
    scores = pq.read_table(tmp_path / "scores.parquet")
    assert scores.column_names == ["score", "p_value", "alert"]
    assert scores.num_rows == totals["rows"]
    assert sum(scores["alert"].to_pylist()) == totals["alerts"]
    figures = stillwatch(tmp_path, "evaluate", "a model", rows)
    assert figures["rows"] == figures["labelled"] == scores.num_rows
    assert figures["quality"] is not None
    schema = stillwatch(tmp_path, "inspect", "a model")["schema"]
    columns = {column["name"]: column for column in schema["columns"]}
    return columns, figures["quality"], found["report"]


def features(columns: dict[str, Any], kind: str) -> set[str]:
    return {
        name for name, column in columns.items() if column["role"] == "feature" and column["kind"] == kind
    }


def test_network_connections(real_data: Path, tmp_path: Path) -> None:
    """Trained on normal rows; the test file holds attacks of kinds that the training file has not."""
    train, test = (table(real_data, f"network/nsl_kdd_{part}.csv.gz") for part in ("train", "test"))
    options = ("--label", "anomaly", "--ignore", "attack", "--train-on", "normal")
    columns, quality, report = whole_way(tmp_path, train, *options, test=test)
    assert quality["auroc"]["value"] >= 0.945
    assert quality["average_precision"]["value"] >= 0.955
    assert report["regime"] == "normal"
    assert features(columns, "category") == {"protocol_type", "service", "flag"}
    assert columns["anomaly"]["role"] == "label"
    assert columns["attack"]["role"] == "ignore"
    assert {"land", "logged_in"} <= features(columns, "boolean")


def test_insurance_claims(real_data: Path, tmp_path: Path) -> None:
    train = table(real_data, "finance/vehicle_fraud.csv.gz")
    columns, quality, _ = whole_way(tmp_path, train, "--label", "FraudFound_P", "--ignore", "PolicyNumber")
    assert {"Make", "Month", "Fault", "VehiclePrice"} <= features(columns, "category")
    assert {"PoliceReportFiled", "WitnessPresent"} <= features(columns, "boolean")
    assert {"Age", "Year", "Deductible"} <= features(columns, "number")
    assert columns["PolicyNumber"]["role"] == "ignore"
    assert quality["anomalies"] == 923


def test_card_payments(real_data: Path, tmp_path: Path) -> None:
    train = table(real_data, "finance/creditcard.csv.gz")
    columns, quality, _ = whole_way(tmp_path, train, "--label", "Class")
    assert features(columns, "number") == {"Time", "Amount", *(f"V{i}" for i in range(1, 29))}
    assert quality["auroc"]["value"] > 0.9


def test_thyroid_patients(real_data: Path, tmp_path: Path) -> None:
    train = table(real_data, "medical/hypothyroid.csv.gz")
    columns, quality, report = whole_way(tmp_path, train, "--label", "anomaly", "--ignore", "diagnosis")
    assert {"age", "TSH", "T3", "TT4", "T4U", "FTI"} <= features(columns, "number")
    assert {"sick", "pregnant", "TSH measured"} <= features(columns, "boolean")
    assert {"sex", "referral source"} <= features(columns, "category")
    assert columns["TBG"]["role"] == "ignore"  # missing throughout
    assert quality["anomalies"] == 291
    assert report["rows"]["calibration"] == 754
