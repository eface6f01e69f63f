from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stillwatch.errors import InputError
from stillwatch.networks import Hint, NetworkDistillation, TensorBatches, distill_network
from stillwatch.networks.distill import default_epochs

from .conftest import BRIEF, Case, Radius, distill, weights


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("loss", ["kl", "regression", "ranking"])
def test_a_student_learns_its_teacher(case: Case, loss: Any) -> None:
    done = distill(case, case.student(width=32), loss=loss, epochs=25, learning_rate=3e-2, labels_alone=False)
    assert done.trained.epochs[0].fidelity < 0.9
    assert done.report.fidelity is not None
    assert done.report.fidelity.spearman > 0.9
    assert not done.student.training


def test_classes_are_taught_too(case: Case) -> None:
    done = distill(
        case,
        case.student(3, width=32),
        teacher=Radius(3),
        loss="kl",
        epochs=25,
        learning_rate=3e-2,
        labels_alone=False,
    )
    assert done.report.fidelity is not None
    assert done.report.fidelity.spearman > 0.9


def test_the_teacher_is_left_as_it_was_found(case: Case) -> None:
    teacher = case.teacher
    teacher.norm.eval()  # partly frozen, on purpose
    teacher.body.weight.requires_grad_(False)
    state = weights(teacher)
    modes = [module.training for module in teacher.modules()]
    flags = [parameter.requires_grad for parameter in teacher.parameters()]
    distill(case, case.student(), hints=[Hint("body", "0")], **BRIEF)
    assert same(weights(teacher), state)
    assert [module.training for module in teacher.modules()] == modes
    assert [parameter.requires_grad for parameter in teacher.parameters()] == flags
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not any(module._forward_hooks for module in teacher.modules())


def test_a_batch_norm_teacher_in_train_mode_teaches_in_eval_mode(case: Case) -> None:
    """Its statistics do not move, and its answers are those of eval mode."""
    assert case.teacher.training
    before = weights(case.teacher)
    done = distill(case, case.student(), **BRIEF)
    assert same(weights(case.teacher), before)
    assert case.teacher.training
    with torch.no_grad():
        expected = copy.deepcopy(case.teacher).eval()(case.x[600:])[:, 0].double().numpy()
    assert np.array_equal(done.trained.judged.teacher, expected)


class Counter(Radius):
    """Writes into a buffer whenever it is asked, in eval mode, too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("asked", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        return super().forward(x)


def test_buffers_that_move_in_eval_mode_are_put_back(case: Case) -> None:
    teacher = Counter()
    distill(case, case.student(), teacher=teacher, **BRIEF)
    assert teacher.asked.item() == 0


def test_a_teacher_is_put_back_when_training_fails(case: Case) -> None:
    with pytest.raises(InputError):
        distill(case, nn.Linear(5, 1), **BRIEF)
    assert case.teacher.training


def test_without_label_weight_flipped_labels_change_nothing(case: Case) -> None:
    students = [case.student(), case.student()]
    for student, labels in zip(students, (case.labels, 1 - case.labels), strict=True):
        flipped = TensorBatches(case.x[600:], labels[600:], shuffle=False)
        distill(case, student, loader=case.loader(labels), validation=flipped, epochs=3)
    assert same(weights(students[0]), weights(students[1]))


def test_labels_change_the_student_where_they_have_weight(case: Case) -> None:
    students = [case.student(), case.student()]
    for student, labels in zip(students, (case.labels, 1 - case.labels), strict=True):
        distill(case, student, loader=case.loader(labels), label_weight=0.5, **BRIEF)
    assert not same(weights(students[0]), weights(students[1]))


@pytest.mark.parametrize("label_loss", ["class_balanced", "focal"])
def test_labels_alone_train_without_a_teacher(case: Case, label_loss: Any) -> None:
    done = distill(
        case, case.student(width=32), loss=None, label_weight=1.0, label_loss=label_loss, epochs=20
    )
    quality = done.report.student.quality
    assert quality is not None
    assert quality.average_precision.value > 0.7
    assert done.labels_alone is None


def test_unknown_labels_do_not_count(case: Case) -> None:
    """Rows that are labelled -1 or NaN teach by the teacher alone."""
    students = [case.student(), case.student()]
    for student, unknown in zip(students, (-1.0, float("nan")), strict=True):
        labels = case.labels.float()
        labels[:300] = unknown
        distill(case, student, loader=case.loader(labels), label_weight=0.5, **BRIEF)
    assert same(weights(students[0]), weights(students[1]))


def test_one_seed_gives_one_student(case: Case) -> None:
    def train(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(7)
        student = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 1))
        distill(case, student, seed=seed, **BRIEF)
        return weights(student)

    first = train(0)
    torch.rand(5)  # what was drawn before does not matter
    assert same(first, train(0))
    assert not same(first, train(1))


def test_the_global_generator_is_left_alone(case: Case) -> None:
    student = case.student()
    before = torch.get_rng_state()
    distill(case, student, **BRIEF)
    assert torch.equal(torch.get_rng_state(), before)


class StopError(Exception):
    pass


def test_a_stopped_training_goes_on_from_its_checkpoint(case: Case, tmp_path: Path) -> None:
    def train(checkpoint: Path, stop: int | None = None) -> NetworkDistillation:
        def progress(step: str, done: int, total: int) -> None:
            if step == "train student" and done == stop:
                raise StopError

        torch.manual_seed(7)
        student = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1))
        hints = [Hint("body", "0")]
        return distill(case, student, epochs=6, hints=hints, checkpoint=checkpoint, progress=progress)

    whole = train(tmp_path / "whole")
    with pytest.raises(StopError):
        train(tmp_path / "torn", stop=4)
    resumed = train(tmp_path / "torn")
    assert resumed.trained.epochs == whole.trained.epochs
    assert same(weights(resumed.student), weights(whole.student))
    assert resumed.labels_alone is not None
    assert whole.labels_alone is not None
    assert resumed.labels_alone.epochs == whole.labels_alone.epochs
    assert sorted(p.name for p in (tmp_path / "torn").iterdir()) == ["labels_alone.pt", "student.pt"]


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_refused(case: Case, tmp_path: Path) -> None:
    distill(case, case.student(), checkpoint=tmp_path, **BRIEF)
    with pytest.raises(InputError, match="other settings"):
        distill(case, case.student(), checkpoint=tmp_path, temperature=3.0, **BRIEF)
    with pytest.raises(InputError, match="other settings or networks"):
        distill(case, case.student(), checkpoint=tmp_path, teacher=Radius(), **BRIEF)
    (tmp_path / "student.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="damaged"):
        distill(case, case.student(), checkpoint=tmp_path, **BRIEF)


def test_a_checkpoint_that_would_run_code_is_refused(case: Case, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"settings": Bomb()}, tmp_path / "student.pt")
    with pytest.raises(InputError, match="damaged"):
        distill(case, case.student(), checkpoint=tmp_path, **BRIEF)
    assert not (tmp_path / "ran").exists()


def test_it_stops_early_and_keeps_the_best_epoch(case: Case) -> None:
    options = {"epochs": 200, "patience": 2, "learning_rate": 0.3, "labels_alone": False}
    done = distill(case, case.student(), **options)
    epochs = done.trained.epochs
    assert len(epochs) < 200
    best = max(epoch.value for epoch in epochs)
    assert epochs[-3].value == best
    assert done.trained.judged.loss == pytest.approx(-best)


def test_average_precision_decides_where_labels_count(case: Case) -> None:
    done = distill(case, case.student(), label_weight=0.5, **BRIEF)
    assert all(epoch.value == epoch.average_precision for epoch in done.trained.epochs)
    done = distill(case, case.student(), validate="fidelity", **BRIEF)
    assert all(epoch.value == epoch.fidelity for epoch in done.trained.epochs)


def test_a_short_loader_is_gone_through_more_often() -> None:
    assert [default_epochs(batches) for batches in (1, 20, 50, 5_000)] == [200, 125, 50, 30]


def test_progress_is_told(case: Case) -> None:
    told: list[tuple[str, int, int]] = []
    distill(case, case.student(), epochs=2, progress=lambda *args: told.append(args))
    assert told[:2] == [("ask teacher", 0, 1), ("ask teacher", 1, 1)]
    assert [t for t in told if t[0] == "train student"][-1] == ("train student", 2, 2)
    assert told[-1] == ("train on labels alone", 2, 2)


def test_inputs_may_be_several_and_named(case: Case) -> None:
    class Two(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.inner(torch.cat([left, right], dim=1))

    left, right = case.x[:, :2], case.x[:, 2:]
    for batch in (
        lambda rows: ((left[rows], right[rows]), case.labels[rows]),
        lambda rows: {"left": left[rows], "right": right[rows]},
    ):
        batches = [batch(slice(i, i + 100)) for i in range(0, 800, 100)]
        done = distill_network(Two(case.teacher), Two(case.student()), batches, **BRIEF)
        assert len(done.trained.judged.student) == 800


def test_a_data_loader_works(case: Case) -> None:
    rows = torch.utils.data.TensorDataset(case.x, case.labels)
    loader = torch.utils.data.DataLoader(rows, batch_size=100, shuffle=True)
    students = [case.student(), case.student()]
    for student in students:
        distill(case, student, loader=loader, **BRIEF)
    assert same(weights(students[0]), weights(students[1]))


def test_a_shuffled_validation_pairs_each_row_with_itself(case: Case) -> None:
    shuffled = TensorBatches(case.x, case.labels, size=50)
    done = distill(case, copy.deepcopy(case.teacher), validation=shuffled, learning_rate=1e-9, **BRIEF)
    assert done.trained.epochs[0].fidelity > 0.99  # 0 were the rows mispaired; its BatchNorm moves a little
