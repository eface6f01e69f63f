"""Every loss against values worked out by hand, with the arithmetic beside them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stillwatch.errors import InputError
from stillwatch.training import losses


def close(found: Tensor, expected: float) -> bool:
    return bool(abs(found.item() - expected) < 1e-6)


def test_softened_kl_of_two_rows() -> None:
    # T = 2. Row 1: teacher (2 ln 3, 0) / 2 -> p = (3/4, 1/4), student (0, 0) -> q = (1/2, 1/2).
    # Row 2: both (0, 0), no divergence. T^2 / 2 rows * (3/4 ln 3/2 + 1/4 ln 1/2).
    teacher = torch.tensor([[2 * math.log(3), 0.0], [0.0, 0.0]])
    expected = 4 / 2 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert close(losses.softened_kl(torch.zeros(2, 2), teacher, temperature=2.0), expected)
    assert expected == pytest.approx(0.2616241, abs=1e-6)


def test_softened_kl_of_three_classes() -> None:
    # T = 1: p = (1/2, 1/4, 1/4), q = (1/3, 1/3, 1/3).
    teacher = torch.tensor([[math.log(2), 0.0, 0.0]])
    expected = 0.5 * math.log(1.5) + 0.5 * math.log(0.75)
    assert close(losses.softened_kl(torch.zeros(1, 3), teacher, temperature=1.0), expected)


def test_the_square_of_the_temperature_keeps_the_gradient_alike() -> None:
    """Hinton 2015, eq. 4: for high T the gradient tends to (z_i - v_i) / k for zero-mean logits."""
    teacher = torch.tensor([[0.3, -0.1, -0.2]])
    student = torch.tensor([[-0.2, 0.1, 0.1]], requires_grad=True)
    losses.softened_kl(student, teacher, temperature=1e3).backward()
    assert student.grad is not None
    assert torch.allclose(student.grad, (student.detach() - teacher) / 3, atol=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_one_logit_is_two_classes(temperature: float) -> None:
    # sigmoid(ln 3) = 3/4 against sigmoid(0) = 1/2, at T = 1.
    teacher = torch.tensor([math.log(3), -2.0, 30.0])
    student = torch.tensor([0.0, 1.0, -30.0])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert close(losses.softened_bernoulli(student[:1], teacher[:1], temperature=1.0), expected)
    pair = [torch.stack([torch.zeros(3), z], dim=1) for z in (student, teacher)]
    found = losses.softened_bernoulli(student, teacher, temperature=temperature)
    assert torch.allclose(found, losses.softened_kl(*pair, temperature=temperature), rtol=1e-6)
    assert close(losses.softened_bernoulli(teacher, teacher, temperature=temperature), 0.0)


def test_one_logit_far_out_stays_finite() -> None:
    student = torch.tensor([[-500.0]], requires_grad=True)
    found = losses.softened_bernoulli(student, torch.tensor([[500.0]]), temperature=1.0)
    found.backward()
    assert close(found, 500.0)
    assert close(student.grad, -1.0)  # type: ignore[arg-type]


def test_score_regression() -> None:
    # Differences 0.5, 3, 0: (0.5^2 / 2 + (3 - 1/2) + 0) / 3.
    found = losses.score_regression(torch.tensor([0.5, 3.0, 1.0]), torch.tensor([0.0, 0.0, 1.0]))
    assert close(found, (0.125 + 2.5) / 3)


def test_score_ranking() -> None:
    # Teacher 2 > 1 = 1: the pairs (a, b) and (a, c). Student 1, 0, 3: ln(1 + e^-1) and ln(1 + e^2).
    teacher, student = torch.tensor([2.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, 3.0])
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(2))) / 2
    assert close(losses.score_ranking(student, teacher), expected)
    assert close(losses.score_ranking(student + 7, 100 * teacher), expected)
    assert close(losses.score_ranking(student, torch.ones(3)), 0.0)


def test_hint() -> None:
    # Squares 1, 4, 0, 9 over four features, halved.
    student, teacher = torch.tensor([[1.0, 2.0], [5.0, 3.0]]), torch.tensor([[0.0, 4.0], [5.0, 0.0]])
    assert close(losses.hint(student, teacher), (1 + 4 + 0 + 9) / 4 / 2)


def test_cosine() -> None:
    # Row 1: parallel, 0. Row 2: at a right angle, 1. Row 3: opposite, 2.
    student = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    teacher = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-3.0, -4.0]])
    assert close(losses.cosine(student, teacher), 1.0)
    found = losses.cosine_map(student, teacher)
    assert torch.allclose(found, torch.tensor([0.0, 1.0, 2.0]), atol=1e-6)


def test_cosine_is_half_the_distance_of_normalised_features() -> None:
    """STFPM, eq. 1, position by position."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    apart = functional.normalize(student, dim=1) - functional.normalize(teacher, dim=1)
    assert torch.allclose(losses.cosine_map(student, teacher), apart.square().sum(dim=1) / 2, atol=1e-6)
    assert losses.cosine_map(student, teacher).shape == (2, 4, 5)


def test_class_balanced() -> None:
    # beta = 0.9, counts (3, 1): weights 0.1 / (1 - 0.729) and 1, scaled to sum to 2.
    first, second = 0.1 / (1 - 0.9**3), 0.1 / (1 - 0.9)
    first, second = (2 * w / (first + second) for w in (first, second))
    # Row 1 of class 0: logits (0, 0), ln 2. Row 2 of class 1: logits (0, ln 3), ln 4/3.
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
    expected = (first * math.log(2) + second * math.log(4 / 3)) / 2
    labels, counts = torch.tensor([0, 1]), torch.tensor([3, 1])
    assert close(losses.class_balanced(logits, labels, counts, beta=0.9), expected)
    one = logits[:, 1] - logits[:, 0]
    assert close(losses.class_balanced(one, labels, counts, beta=0.9), expected)
    plain = losses.class_balanced(logits, labels, counts, beta=0.0)
    assert close(plain, functional.cross_entropy(logits, labels).item())


def test_focal() -> None:
    # Row 1: p = 1/2, (1/2)^2 ln 2. Row 2: p = 3/4, (1/4)^2 ln 4/3.
    logits = torch.tensor([[0.0], [math.log(3)]])
    labels = torch.tensor([0, 1])
    expected = (0.25 * math.log(2) + 0.0625 * math.log(4 / 3)) / 2
    assert close(losses.focal(logits, labels), expected)
    two = torch.cat([torch.zeros(2, 1), logits], dim=1)
    assert close(losses.focal(two, labels), expected)
    assert close(losses.focal(two, labels, gamma=0.0), functional.cross_entropy(two, labels).item())


@pytest.mark.parametrize(
    "loss",
    [
        lambda s, t: losses.softened_kl(s, t, temperature=2.0),
        lambda s, t: losses.softened_bernoulli(s[:, :1], t[:, :1], temperature=2.0),
        lambda s, t: losses.score_regression(s[:, 0], t[:, 0]),
        lambda s, t: losses.score_ranking(s[:, 0], t[:, 0]),
        losses.hint,
        losses.cosine,
    ],
)
def test_no_gradient_reaches_the_teacher(loss: object) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    loss(student, teacher).backward()  # type: ignore[operator]
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_half_precision_is_computed_in_full() -> None:
    student, teacher = torch.randn(8, 3), torch.randn(8, 3)
    low = losses.softened_kl(student.bfloat16(), teacher.bfloat16(), temperature=2.0)
    assert low.dtype == torch.float32


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(4,\), teacher \(4, 1\)"):
        losses.score_regression(torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(InputError, match="softened_bernoulli"):
        losses.softened_kl(torch.zeros(4, 1), torch.zeros(4, 1), temperature=1.0)
