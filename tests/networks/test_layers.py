from __future__ import annotations

import pytest
import torch
from torch import nn

from stillwatch.errors import InputError
from stillwatch.networks import Hint, distill_network
from stillwatch.networks.layers import Matcher, feature, recorded

from .conftest import Case


def test_layers_are_recorded_by_path_while_the_context_lasts() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
    x = torch.randn(5, 2)
    with recorded(model, ["1.0", "", "1.0"], "model") as given:
        output = model(x)
    assert torch.equal(given[""], output)
    assert torch.equal(given["1.0"], torch.relu(model[0](x)))
    before = given["1.0"]
    model(torch.randn(5, 2))
    assert given["1.0"] is before


def test_of_a_recurrent_layer_the_outputs_are_its_feature() -> None:
    model = nn.Sequential(nn.LSTM(3, 5, batch_first=True))
    with recorded(model, ["0"], "model") as given:
        outputs, _ = model(torch.randn(2, 7, 3))
    assert torch.equal(feature(given, "0", "model"), outputs)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5), (6, 4, 5, 3)])
def test_widths_are_projected_and_positions_kept(shape: tuple[int, ...]) -> None:
    student, teacher = torch.randn(shape), torch.randn(shape[0], 7, *shape[2:])
    matcher = Matcher(Hint("t", "s"), student, teacher)
    ours, theirs = matcher(student, teacher)
    assert ours.shape == theirs.shape == teacher.shape
    first = tuple([0] * len(shape[2:]))
    by_hand = matcher.projection(student[(0, slice(None), *first)])
    assert torch.allclose(ours[(0, slice(None), *first)], by_hand, atol=1e-6)


def test_equal_widths_need_no_projection() -> None:
    student = torch.randn(6, 4)
    matcher = Matcher(Hint("t", "s"), student, torch.randn(6, 4))
    assert not list(matcher.parameters())
    assert torch.equal(matcher(student, student)[0], student)


def test_squared_features_are_standardised_and_cosines_are_not() -> None:
    teacher = 5 + 3 * torch.randn(1000, 4)
    mean, deviation = teacher.mean(dim=0), teacher.std(dim=0, correction=0)
    for distance, expected in (("squared", (teacher - mean) / deviation), ("cosine", teacher)):
        matcher = Matcher(Hint("t", "s", distance=distance), teacher, teacher)  # type: ignore[arg-type]
        matcher.standardise_by(mean, deviation)
        assert torch.allclose(matcher(teacher, teacher)[1], expected, atol=1e-5)


def test_hints_bring_features_together(case: Case) -> None:
    """By another width, so that the projection has to be learnt with the student."""
    student = case.student(out=1, width=32)
    done = distill_network(
        case.teacher,
        student,
        case.loader(),
        validation=case.validation(),
        hints=[Hint("body", "1", weight=5.0)],
        validate="loss",
        learning_rate=1e-2,
        epochs=15,
        labels_alone=False,
    )
    values = [epoch.value for epoch in done.trained.epochs]
    assert values[-1] > values[0] / 4  # negative losses
    assert done.trained.judged.loss == pytest.approx(-max(values))
    assert len(done.matchers) == 1


def test_hints_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="distance='euclid'"):
        Hint("a", "b", distance="euclid")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="weight=0"):
        Hint("a", "b", weight=0)
