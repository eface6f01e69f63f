"""From a raw table by way of networks to one folder that scores raw rows."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

import stillwatch as sw
from stillwatch.distillation.result import Distillation
from stillwatch.errors import StudentError
from stillwatch.evaluation.fidelity import spearman
from stillwatch.networks import (
    Hint,
    NetworkDistillation,
    NetworkTable,
    TensorBatches,
    distill_discrepancy,
    distill_network,
    export_network,
    network_model,
    read_table,
)


def network(*widths: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    parts = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*parts[:-1])


@pytest.fixture(scope="module")
def rows(table: pa.Table) -> NetworkTable:
    return read_table(table, label="fraud")


@pytest.fixture(scope="module")
def done(rows: NetworkTable) -> NetworkDistillation:
    teacher = network(rows.columns, 64, 64, 1)
    own = {"validation": rows.validation(), "learning_rate": 1e-2, "epochs": 6}
    distill_network(network(rows.columns, 4, 1), teacher, rows.training(), loss=None, label_weight=1.0, **own)
    return distill_network(teacher, network(rows.columns, 8, 1), rows.training(synthetic=500), **own)


@pytest.fixture(scope="module")
def model(rows: NetworkTable, done: NetworkDistillation) -> Distillation:
    return network_model(rows, done)


def test_the_folder_scores_raw_rows_as_pytorch_does(
    table: pa.Table, rows: NetworkTable, done: NetworkDistillation, model: Distillation, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    assert sw.verify(tmp_path / "model").ok
    scorer = sw.load(tmp_path / "model")
    x = rows.encode(table)
    with torch.no_grad():
        expected = done.student(x)[:, 0].numpy() + rows.features.guard(rows.features.encode(rows.rows))
    assert np.allclose(scorer.score(table), expected, atol=1e-5)
    row = table.slice(3, 1).to_pylist()[0]
    assert scorer.score_one(row) == pytest.approx(expected[3], abs=1e-5)
    assert model.manifest.parity < 1e-5
    assert scorer.judge(table, rate=0.02).alert.mean() < 0.2


def test_the_manifest_and_the_report_say_where_it_comes_from(model: Distillation) -> None:
    manifest = model.manifest
    assert manifest.student["name"] == "network:Sequential"
    assert manifest.student["loss"] == "kl"
    assert manifest.teacher["name"] == "network:Sequential"
    assert len(manifest.teacher["parameters"]["weights"]) == 64
    assert manifest.knowledge["rows"]["synthetic"] == 500
    assert manifest.quality is not None
    report = model.report
    assert report.reproduction is not None
    assert report.reproduction.call.startswith("stillwatch.networks.network_model(")
    assert report.student is not None
    assert report.student.parameters == manifest.student["parameters"]


def test_calibration_rows_are_seen_by_no_network(rows: NetworkTable) -> None:
    used = {*rows.learn.tolist(), *rows.split.fit[rows.held].tolist()}
    assert used == set(rows.split.fit.tolist())
    assert used.isdisjoint(rows.split.calibration.tolist())
    assert set(rows.learn.tolist()).isdisjoint(rows.split.fit[rows.held].tolist())
    assert rows.labels is not None
    assert {0.0, 1.0} == set(rows.labels[rows.split.fit[rows.held]].tolist())


def test_a_small_table_is_split_as_well(table: pa.Table) -> None:
    small = read_table(table.slice(0, 300), label="fraud", train_on="normal")
    assert len(small.split.calibration) > 40
    assert small.regime == "normal"
    assert small.labels is not None
    assert not small.labels[small.learn].any()


def test_made_rows_have_no_label(rows: NetworkTable) -> None:
    batches = rows.training(synthetic=100)
    assert batches.labels is not None
    assert int(torch.isnan(batches.labels).sum()) == 100
    assert torch.isfinite(batches.x).all()


def test_a_student_of_features_alone_is_no_model(rows: NetworkTable, done: NetworkDistillation) -> None:
    student = network(rows.columns, 8, 64)
    hints = [Hint("0", "")]
    alone = distill_network(done.teacher, student, rows.training(), loss=None, hints=hints, epochs=1)
    with pytest.raises(StudentError, match="discrepancy detector"):
        network_model(rows, alone)


def test_a_detector_teaches_a_plain_student_that_becomes_a_model(table: pa.Table, tmp_path: Path) -> None:
    rows = read_table(table, label="fraud", train_on="normal")
    learn = TensorBatches(rows.matrix(rows.learn))
    held = rows.validation()
    detector = distill_discrepancy(
        network(rows.columns, 64, 32), network(rows.columns, 16, 32, seed=1), learn, validation=held, epochs=5
    )
    lessons = rows.training(synthetic=500)
    student = network(rows.columns, 32, 1)
    done = distill_network(
        detector, student, lessons, validation=held, loss="regression", epochs=40, learning_rate=1e-2
    )
    network_model(rows, done).save(tmp_path / "model")
    with torch.no_grad():
        taught = detector(rows.encode(table)).numpy()
    assert spearman(sw.load(tmp_path / "model").score(table), taught) > 0.6


def test_one_network_is_exported_the_same_way_twice(done: NetworkDistillation, rows: NetworkTable) -> None:
    first, second = (export_network(done.student, rows.columns).model for _ in range(2))
    assert first == second
