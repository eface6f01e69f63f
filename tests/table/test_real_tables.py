"""The tables that benchmarks use: is what is inferred what a person would say?"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from stillwatch.table.pack import Packer, Rows
from stillwatch.table.read import open_source
from stillwatch.table.schema import Column, Schema, infer_schema

DATA = Path(os.environ.get("STILLWATCH_DATA", Path(__file__).parents[3] / "shared" / "data"))


def table(name: str, label: str, **options: object) -> tuple[Schema, Rows, np.ndarray]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there: set STILLWATCH_DATA to the folder that holds it")
    source = open_source(path)
    schema = infer_schema(source, label=label, **options)  # type: ignore[arg-type]
    packer = Packer(schema)
    batches = list(source.batches())
    labels = np.concatenate([packer.label(batch) for batch in batches])
    return schema, Rows.concat(map(packer.table, batches)), labels


def by_name(schema: Schema) -> dict[str, Column]:
    return {column.name: column for column in schema.columns}


def test_network() -> None:
    schema, rows, labels = table("network/nsl_kdd_train.csv.gz", "anomaly", ignore=["attack"])
    assert len(rows) == 25_192
    assert schema.texts == ("protocol_type", "service", "flag")
    assert len(schema.numbers) == 38
    assert np.isfinite(rows.numbers).all()
    assert labels.mean() == pytest.approx(0.466, abs=0.001)


def test_payments() -> None:
    schema, rows, labels = table("finance/creditcard.csv.gz", "Class")
    assert all(column.kind == "number" for column in schema.features)
    assert len(schema.numbers) == 30
    assert by_name(schema)["Time"].role == "feature"
    assert labels.sum() == pytest.approx(0.0335 * len(rows), rel=0.01)


def test_claims() -> None:
    schema, rows, _ = table("finance/vehicle_fraud.csv.gz", "FraudFound_P")
    columns = by_name(schema)
    assert columns["PolicyNumber"].role == "ignore"
    assert columns["PoliceReportFiled"].kind == "boolean"
    assert columns["Sex"].kind == "category"
    assert columns["Year"].kind == "number"
    assert [c.name for c in schema.columns if c.role == "ignore"] == ["PolicyNumber"]
    assert set(rows.texts[:, schema.texts.index("Month")]) >= {"Jan", "Dec"}


def test_thyroid() -> None:
    schema, rows, labels = table("medical/hypothyroid.csv.gz", "anomaly", ignore=["diagnosis"])
    columns = by_name(schema)
    assert columns["TBG"].role == "ignore"
    assert columns["TBG measured"].role == "feature"
    assert {columns[name].kind for name in ("TSH", "T3", "TT4", "age")} == {"number"}
    assert columns["on thyroxine"].kind == "boolean"
    assert np.isnan(rows.numbers[:, schema.numbers.index("TSH")]).sum() == 369
    assert (rows.texts[:, schema.texts.index("sex")] == "").sum() == 150
    assert set(labels) == {0.0, 1.0}
