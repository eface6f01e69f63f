from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from stillwatch.errors import InputError, TeacherError
from stillwatch.networks import TensorBatches, distill_network
from stillwatch.networks.batches import Batch
from stillwatch.networks.jitter import Jitter

from .conftest import BRIEF, Case, distill, weights


def test_half_of_the_rows_move_by_little_and_by_far() -> None:
    torch.manual_seed(0)
    x, labels = torch.zeros(4_000, 5), torch.ones(4_000, dtype=torch.int64)
    deviations = torch.tensor([1.0, 1.0, 1.0, 100.0, 0.0])
    moved = Jitter(10.0, deviations)(Batch(x, labels))
    gone = (moved.first != 0).any(dim=1)
    assert 0.4 < gone.float().mean() < 0.5  # some rows draw no column
    assert (moved.labels[gone] == -1).all()
    assert 0.4 < (moved.labels == 1).float().mean() < 0.6
    assert (moved.first[:, 4] == 0).all()  # a constant column stays
    far = moved.first[:, 0].abs()
    assert far[far > 0].quantile(0.05) < 0.05
    assert 5 < far.quantile(0.99) < 30
    assert moved.first[:, 3].abs().max() > 20 * far.max()
    assert (x == 0).all()


def test_a_student_of_an_autoencoder_learns_where_no_row_lies() -> None:
    """Normal rows on a line; the teacher's error grows with the distance from it, on both sides."""
    torch.manual_seed(0)
    line = torch.randn(600, 1) * torch.ones(1, 3)
    rows = line + 0.1 * torch.randn(600, 3)
    off = torch.randn(200, 1) * torch.ones(1, 3) + torch.randn(200, 3)

    class Error(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x - x.mean(dim=1, keepdim=True)).square().mean(dim=1)

    def found(**options: Any) -> float:
        """Share of pairs of an odd row and a training row that the student puts right."""
        torch.manual_seed(1)
        student = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
        options = {"loss": "regression", "epochs": 40, "learning_rate": 1e-2} | options
        distill_network(Error(3, 100), student, TensorBatches(rows, size=64), **options)
        with torch.no_grad():
            return float((student(off) > student(rows)[:, 0]).float().mean())

    assert found(jitter=0) < 0.93
    assert found() > 0.95


def test_it_is_drawn_by_the_seed_and_leaves_classifiers_alone(case: Case) -> None:
    def train(**options: Any) -> float:
        student = case.student()
        distill(case, student, **options, **BRIEF)
        return float(sum(value.sum() for value in weights(student).values()))

    assert train(loss="regression") == train(loss="regression") == train(loss="regression", jitter=10)
    assert train(loss="regression") != train(loss="regression", jitter=0)
    assert train() == train(jitter=0) != train(jitter=1)


def test_a_teacher_that_overflows_far_out(case: Case) -> None:
    class Steep(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (20 * x.abs().amax(dim=1)).exp() / 1e6

    with pytest.raises(TeacherError, match=r"moved by up to jitter=10, gives NaN or infinity"):
        distill(case, case.student(), teacher=Steep(4, 40), loss="regression", **BRIEF)


def test_rows_that_cannot_be_moved(case: Case) -> None:
    whole = [(torch.randint(9, (50, 3)),)] * 3
    embedding = nn.Sequential(nn.Embedding(9, 8), nn.Flatten(), nn.Linear(24, 1))
    student = nn.Sequential(nn.Embedding(9, 2), nn.Flatten(), nn.Linear(6, 1))
    distill_network(embedding, student, whole, loss="regression", **BRIEF)
    with pytest.raises(
        InputError, match=r"jitter=3 needs inputs that are one tensor of floating point numbers"
    ):
        distill_network(embedding, student, whole, jitter=3, **BRIEF)
    for wrong in (-1, math.nan, "much"):
        with pytest.raises(InputError, match="jitter="):
            distill(case, case.student(), jitter=wrong, **BRIEF)
