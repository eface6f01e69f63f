from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from stillwatch.errors import InputError
from stillwatch.networks import AnomalyScore, Logits, ReconstructionError, export_network

from .conftest import BRIEF, Case, distill


def test_probabilities_become_logits() -> None:
    one, three = torch.tensor([0.5, 0.75, 1.0]), torch.tensor([[0.5, 0.25, 0.25]])
    odds = Logits(nn.Identity())(one)
    assert odds[0] == pytest.approx(0.0, abs=1e-6)
    assert odds[1] == pytest.approx(1.0986123, abs=1e-6)  # ln 3
    assert 15 < odds[2] < 20
    score = AnomalyScore(Logits(nn.Identity()))(three)
    assert score[0] == pytest.approx(0.0, abs=1e-6)  # as likely as not


def test_the_first_of_what_a_variational_autoencoder_gives_is_its_reconstruction() -> None:
    class Variational(nn.Linear):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return super().forward(x), x

    torch.manual_seed(0)
    plain = nn.Linear(4, 4)
    variational = Variational(4, 4)
    variational.load_state_dict(plain.state_dict())
    x = torch.randn(5, 4)
    assert torch.equal(ReconstructionError(variational)(x), ReconstructionError(plain)(x))


def test_a_reconstruction_of_another_shape_is_refused() -> None:
    """(n, 1) would be compared with (n, 4) without a word."""
    with pytest.raises(InputError, match=r"autoencoder gives \(5, 1\) for rows \(5, 4\)"):
        ReconstructionError(nn.Linear(4, 1))(torch.randn(5, 4))


def test_logits_pass_the_audit() -> None:
    torch.manual_seed(0)
    network = Logits(nn.Sequential(nn.Linear(4, 2), nn.Softmax(dim=1)))
    assert export_network(network, 4).parity < 1e-5


def test_scores_are_judged_in_full_precision(case: Case) -> None:
    """bfloat16 keeps 8 bits: it would tie rows, and the figures are of networks that run in float32."""
    done = distill(case, case.student(), precision="bfloat16", device="cpu", **BRIEF)
    with torch.no_grad():
        teacher = copy.deepcopy(case.teacher).eval()(case.x[600:])[:, 0].double().numpy()
        student = done.student(case.x[600:])[:, 0].double().numpy()
    assert (done.trained.judged.student == student).all()
    assert (done.trained.judged.teacher == teacher).all()
