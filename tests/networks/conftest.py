from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillwatch.networks import NetworkDistillation, TensorBatches, distill_network

BRIEF: dict[str, Any] = {"epochs": 2, "labels_alone": False}


@dataclass(frozen=True)
class Case:
    """Rows of which one in ten lies outside of a ball, and a teacher that knows how far out each row lies."""

    x: Tensor
    labels: Tensor
    teacher: nn.Module

    def loader(self, labels: Tensor | None = None, *, size: int = 60) -> TensorBatches:
        return TensorBatches(self.x[:600], self.labels[:600] if labels is None else labels[:600], size=size)

    def validation(self) -> TensorBatches:
        return TensorBatches(self.x[600:], self.labels[600:], shuffle=False)

    def student(self, out: int = 1, width: int = 8) -> nn.Sequential:
        torch.manual_seed(7)
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, out))


class Radius(nn.Module):
    """Log-odds that grow with the squared distance from the middle; a BatchNorm and a Dropout tell who is not in eval mode."""

    def __init__(self, out: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.body = nn.Linear(4, 16)
        self.drop = nn.Dropout(0.5)
        self.out = out

    def forward(self, x: Tensor) -> Tensor:
        z = self.drop(self.norm(x))
        odds = z.square().sum(dim=1, keepdim=True) - 7 + 0 * self.body(z).sum(dim=1, keepdim=True)
        return (
            odds
            if self.out == 1
            else torch.cat([torch.zeros_like(odds)] + [odds - i for i in range(self.out - 1)], dim=1)
        )


@pytest.fixture
def case() -> Case:
    torch.manual_seed(0)
    x = torch.randn(800, 4)
    teacher = Radius()
    with torch.no_grad():
        labels = (teacher.eval()(x)[:, 0] > 0).long()
    return Case(x, labels, teacher.train())


def distill(case: Case, student: nn.Module, **options: Any) -> NetworkDistillation:
    loader = options.pop("loader", case.loader())
    options = {"validation": case.validation(), "learning_rate": 1e-2} | options
    return distill_network(options.pop("teacher", case.teacher), student, loader, **options)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}
