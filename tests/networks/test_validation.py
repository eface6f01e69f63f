from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stillwatch.evaluation.fidelity import spearman
from stillwatch.networks import TensorBatches
from stillwatch.networks.lesson import Lesson
from stillwatch.networks.objective import Goal, Learner, Objective
from stillwatch.networks.result import Judged
from stillwatch.networks.validation import epoch_of, figure_of, judge
from stillwatch.training import losses

CPU = torch.device("cpu")


def judged(teacher: Tensor, student: Tensor, loss: str = "kl", *, size: int = 5_000) -> Judged:
    """Two networks that give back one column each of the rows."""

    class Column(nn.Module):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def forward(self, x: Tensor) -> Tensor:
            return x[:, self.number]

    rows = TensorBatches(torch.stack([teacher, student], dim=1), shuffle=False, size=size)
    goal = Goal(loss=loss)  # type: ignore[arg-type]
    lesson = Lesson(Column(0), rows, rows, CPU, torch.float32, goal, {}, {})
    return judge(Learner(Column(1), []), lesson, Objective(goal))


def test_many_normal_rows_do_not_outvote_the_few_anomalies() -> None:
    """By ranks, a student that agrees on 990 normal rows and takes ten anomalies for normal is the better one."""
    torch.manual_seed(0)
    teacher = torch.cat([torch.randn(990) - 8, torch.randn(10) + 8])
    blind = torch.cat([teacher[:990], torch.full((10,), -12.0)])
    rough = teacher + torch.cat([2 * torch.randn(990), torch.zeros(10)])
    by_ranks = [spearman(student.double().numpy(), teacher.double().numpy()) for student in (blind, rough)]
    assert by_ranks[0] > by_ranks[1]
    found = [
        epoch_of(1, judged(teacher, student), figure_of("auto", Goal(), None)) for student in (blind, rough)
    ]
    assert found[0].value < found[1].value


def test_the_loss_is_the_mean_over_rows_however_they_are_dealt_out() -> None:
    torch.manual_seed(0)
    teacher, student = torch.randn(3_000), torch.randn(3_000)
    expected = float(losses.softened_bernoulli(student, teacher, temperature=2.0))
    for size in (100, 5_000):
        assert judged(teacher, student, size=size).loss == pytest.approx(expected, rel=1e-5)


def test_a_ranking_of_many_rows_is_taken_in_blocks() -> None:
    """All pairs of 50,000 rows would be ten gigabytes."""
    scores = torch.randn(50_000)
    assert judged(scores, scores, "ranking", size=50_000).loss == pytest.approx(
        float(losses.score_ranking(scores[:1_024], scores[:1_024])), rel=0.1
    )


def test_a_student_that_gives_nan_is_the_worst() -> None:
    found = judged(torch.randn(50), torch.full((50,), torch.nan))
    for figure in ("loss", "average_precision", "fidelity"):
        assert epoch_of(1, found, figure).value <= -1  # type: ignore[arg-type]
    assert np.isnan(found.student).all()
