from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from stillwatch.errors import InputError
from stillwatch.networks import Discrepancy, Hint, TensorBatches, distill_discrepancy, export_network


def normal_rows(n: int, seed: int = 0) -> Tensor:
    """On a plane in ten dimensions."""
    generator = torch.Generator().manual_seed(seed)
    plane = torch.randn(2, 10, generator=torch.Generator().manual_seed(99))
    return torch.randn(n, 2, generator=generator) @ plane


def random_teacher() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 32))


def train(**options: object) -> Discrepancy:
    torch.manual_seed(2)
    student = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 32))
    return distill_discrepancy(
        random_teacher(),
        student,
        TensorBatches(normal_rows(256), size=32),
        validation=TensorBatches(normal_rows(64, seed=5), shuffle=False),
        epochs=20,
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("hints", [(Hint("", ""),), (Hint("2", "2"), Hint("0", "0", distance="cosine"))])
def test_rows_off_the_plane_score_higher(hints: tuple[Hint, ...]) -> None:
    detector = train(hints=hints)
    ordinary = detector(normal_rows(200, seed=3))
    odd = detector(
        normal_rows(200, seed=3) + 1.5 * torch.randn(200, 10, generator=torch.Generator().manual_seed(4))
    )
    assert ordinary.shape == (200,)
    assert (odd > ordinary.quantile(0.95)).float().mean() > 0.8
    assert ordinary.mean() == pytest.approx(1.0, abs=0.5)


def test_its_graph_passes_the_audit_and_agrees() -> None:
    detector = train(hints=(Hint("0", "0", distance="cosine"), Hint("2", "2")))
    assert export_network(detector, 10).parity < 1e-5


def test_it_holds_copies_and_stays_in_eval_mode() -> None:
    detector = train()
    assert not detector.train().training
    assert not any(parameter.requires_grad for parameter in detector.parameters())
    again = copy.deepcopy(detector)
    x = normal_rows(8)
    assert torch.equal(again(x), detector(x))


class Convolutions(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


def test_features_with_positions_give_a_map_of_the_row() -> None:
    """STFPM on images: layers of other widths, and the place of a defect."""
    torch.manual_seed(0)
    x = torch.rand(64, 1, 1, 8).expand(64, 1, 8, 8).contiguous()
    hints = (Hint("first", "first", distance="cosine"), Hint("second", "second", distance="cosine"))
    loader = TensorBatches(x, size=16)
    detector = distill_discrepancy(
        Convolutions(8), Convolutions(4), loader, hints=hints, pooling="max", epochs=25, learning_rate=1e-2
    )
    odd = x[:16].clone()
    odd[:, 0, 1, 1] += 3
    maps = detector.maps(odd)
    assert [tuple(part.shape) for part in maps] == [(16, 8, 8), (16, 4, 4)]
    mean = maps[0].mean(dim=0)
    assert mean[:3, :3].mean() > 1.5 * mean[5:, 5:].mean()
    assert (detector(odd) > detector(x[:16])).all()


class Decoder(nn.Module):
    """Back from the narrow end to the features before it."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Linear(32, 64)

    def forward(self, end: Tensor) -> Tensor:
        return self.middle(end)


def test_reverse_distillation_reads_the_teachers_end() -> None:
    torch.manual_seed(0)
    detector = distill_discrepancy(
        random_teacher(),
        Decoder(),
        TensorBatches(normal_rows(256), size=32),
        hints=(Hint("1", "middle", distance="cosine"),),
        student_reads="2",
        epochs=20,
    )
    odd = normal_rows(200, seed=3) + 3 * torch.randn(200, 10, generator=torch.Generator().manual_seed(4))
    assert detector(odd).mean() > 1.2 * detector(normal_rows(200, seed=3)).mean()


def test_inputs_may_be_several_or_named() -> None:
    class Two(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.inner(torch.cat([left, right], dim=1))  # type: ignore[no-any-return]

    left, right = normal_rows(128).split(5, dim=1)
    torch.manual_seed(2)
    student = nn.Linear(10, 32)
    detector = distill_discrepancy(Two(random_teacher()), Two(student), [((left, right),)] * 4, epochs=2)
    named = distill_discrepancy(
        Two(random_teacher()), Two(student), [{"left": left, "right": right}] * 4, epochs=2
    )
    assert detector(left, right).shape == (128,)
    assert named(left=left, right=right).mean() == pytest.approx(1.0, abs=0.5)


def test_labelled_anomalies_are_refused() -> None:
    labels = torch.zeros(256)
    labels[:3] = 1
    with pytest.raises(InputError, match=r"3 rows .* labelled as anomalies.*Leave them out"):
        distill_discrepancy(random_teacher(), random_teacher(), TensorBatches(normal_rows(256), labels))


def test_features_that_do_not_fit_are_refused() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    loader = TensorBatches(torch.rand(32, 1, 8, 8))
    with pytest.raises(
        InputError, match=r"hint 'first' -> '1': teacher gives \(32, 8, 8, 8\), student \(32, 8\)"
    ):
        distill_discrepancy(Convolutions(8), flat, loader, hints=(Hint("first", "1"),))
    with pytest.raises(InputError, match="pooling='sum'"):
        train(pooling="sum")


def test_sequences_match_along_their_last_dimension() -> None:
    torch.manual_seed(0)
    teacher, student = nn.Linear(3, 8), nn.Linear(3, 4)
    loader = TensorBatches(torch.rand(32, 5, 3))
    detector = distill_discrepancy(teacher, student, loader, hints=(Hint("", "", channels=-1),), epochs=2)
    assert detector.maps(torch.rand(6, 5, 3))[0].shape == (6, 5)
