"""Bad use: what came, what was expected, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from stillwatch.errors import InputError, TeacherError
from stillwatch.networks import Hint, Logits, ReconstructionError, TensorBatches, distill_network

from .conftest import BRIEF, Case, Radius, distill


def test_shapes_that_do_not_match(case: Case) -> None:
    with pytest.raises(InputError, match=r"student gives \(60, 2\), the teacher \(60, 1\).*last layer"):
        distill(case, case.student(2), **BRIEF)
    with pytest.raises(InputError, match=r"cannot take a batch of shape \(60, 4\)"):
        distill(case, nn.Linear(5, 1), **BRIEF)
    with pytest.raises(InputError, match=r"gives torch.float32 \(60, 4, 1\)"):
        distill(case, nn.Sequential(nn.Linear(4, 4), nn.Unflatten(1, (4, 1))), **BRIEF)


def test_a_teacher_that_outputs_nan(case: Case) -> None:
    x = case.x.clone()
    x[70, 2] = torch.nan
    with pytest.raises(TeacherError, match=r"gives NaN or infinity for 1 of 64 rows .*first: row 71"):
        distill(case, case.student(), loader=TensorBatches(x[:128], size=64, shuffle=False), **BRIEF)


def test_a_teacher_that_says_the_same_of_all(case: Case) -> None:
    teacher = nn.Linear(4, 1)
    nn.init.zeros_(teacher.weight)
    with pytest.raises(TeacherError, match=r"same score.*weights are loaded"):
        distill(case, case.student(), teacher=teacher, **BRIEF)


def test_a_loader_that_yields_nothing(case: Case) -> None:
    with pytest.raises(InputError, match=r"yields nothing. Hand over an iterable"):
        distill(case, case.student(), loader=[], **BRIEF)
    with pytest.raises(InputError, match=r"nothing the second time.*not an iterator"):
        distill(case, case.student(), loader=iter(list(case.loader())), **BRIEF)
    with pytest.raises(InputError, match="0 validation rows came"):
        distill(case, case.student(), validation=[], **BRIEF)


def test_labels_of_one_class_only(case: Case) -> None:
    with pytest.raises(InputError, match=r"all 600 labelled rows are of class 0.*label_weight=0"):
        distill(case, case.student(), loader=case.loader(torch.zeros(800)), label_weight=0.5, **BRIEF)
    with pytest.raises(InputError, match="needs labels, and the loader yields none"):
        distill(case, case.student(), loader=TensorBatches(case.x), label_weight=0.5, **BRIEF)
    done = distill(case, case.student(), loader=case.loader(torch.zeros(800)), epochs=1)
    assert done.labels_alone is None
    assert "No student on labels alone" in str(done.report)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.full((800,), 0.5), "a label is 0.5; expected whole numbers"),
        (torch.arange(800) % 4, r"a label is 3, but the networks have 2 classes"),
    ],
)
def test_labels_that_are_no_classes(case: Case, labels: Tensor, message: str) -> None:
    teacher, student = Radius(2), case.student(2)
    with pytest.raises(InputError, match=message):
        distill(case, student, teacher=teacher, loader=case.loader(labels), label_weight=0.5, **BRIEF)


def test_layers_that_do_not_exist(case: Case) -> None:
    with pytest.raises(InputError, match=r"teacher has no layer 'bdy'. Nearest .*'body'"):
        distill(case, case.student(), hints=[Hint("bdy", "0")], **BRIEF)
    with pytest.raises(InputError, match=r"student has no layer '9'"):
        distill(case, case.student(), hints=[Hint("body", "9")], **BRIEF)


def test_a_student_that_is_larger_than_its_teacher_warns(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    done = distill(case, case.student(width=100), **BRIEF)
    assert "The student has 601 weights, its teacher 88" in done.warnings[0]
    assert done.warnings[0] in caplog.text
    assert not distill(case, nn.Linear(4, 1), **BRIEF).warnings


def test_a_student_that_is_its_teacher_is_refused(case: Case) -> None:
    with pytest.raises(InputError, match="share 4 weights"):
        distill(case, case.teacher, **BRIEF)
    with pytest.raises(InputError, match=r"student is a type; expected a torch.nn.Module.*Linear\(\)"):
        distill(case, nn.Linear, **BRIEF)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "option",
    [
        {"loss": "mse"},
        {"temperature": 0.0},
        {"label_weight": 1.5},
        {"label_loss": "hinge"},
        {"loss": None},
        {"epochs": 0},
        {"patience": 0},
        {"learning_rate": -1.0},
        {"validate": "accuracy"},
        {"device": "abacus"},
        {"precision": "float8"},
    ],
)
def test_options_that_are_none(case: Case, option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(option)) + "=|nothing to learn"):
        distill(case, case.student(), **{**BRIEF, **option})


def test_rows_that_a_network_cannot_take(case: Case) -> None:
    with pytest.raises(
        InputError, match=r"teacher \(Linear\) cannot take a batch of shape \(60, 4\): mat1 and mat2"
    ):
        distill(case, case.student(), teacher=nn.Linear(5, 1), **BRIEF)
    with pytest.raises(
        InputError, match=r"weights are torch.float32, the rows torch.float64: yield rows.float\(\)"
    ):
        distill(case, case.student(), loader=TensorBatches(case.x.double()), **BRIEF)
    with pytest.raises(InputError, match=r"\(60, 4\), \(60,\), \(60,\).*called as network\(\*inputs\)"):
        distill(case, case.student(), loader=[(case.x[:60], case.labels[:60], case.labels[:60])], **BRIEF)


def test_a_last_batch_of_one_row_and_a_batch_norm(case: Case) -> None:
    student = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    loader = DataLoader(TensorDataset(case.x[:61]), batch_size=60)
    with pytest.raises(InputError, match=r"a batch of one row, .*drop_last=True"):
        distill(case, student, loader=loader, **BRIEF)
    assert case.teacher.training


def test_what_would_be_gone_through_row_by_row(case: Case) -> None:
    with pytest.raises(InputError, match=r"loader is a tensor.*TensorBatches\(loader\)"):
        distill(case, case.student(), loader=case.x, **BRIEF)
    with pytest.raises(
        InputError, match=r"validation is a TensorDataset.*DataLoader\(validation, batch_size=256\)"
    ):
        distill(case, case.student(), validation=TensorDataset(case.x), **BRIEF)
    with pytest.raises(InputError, match="loader is a NoneType; expected an iterable of batches"):
        distill(case, case.student(), loader=None, **BRIEF)


def test_outputs_that_are_not_one_a_row(case: Case) -> None:
    """A recurrent network over (time, rows, columns) answers for each column of a table that lies the other way."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.out = nn.LSTM(3, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.layer(x)[0][-1])  # type: ignore[no-any-return]

    with pytest.raises(InputError, match=r"teacher gives \(7, 1\) for a batch of 50 rows.*batch_first=True"):
        distill_network(Last(), Last(), [torch.randn(50, 7, 3)], **BRIEF)


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Softmax(dim=1)])
def test_probabilities_are_no_logits(case: Case, last: nn.Module) -> None:
    classes = 2 if isinstance(last, nn.Softmax) else 1
    teacher, student = nn.Sequential(Radius(classes), last), case.student(classes)
    with pytest.raises(InputError, match=r"teacher gives probabilities; expected logits.*Logits\(teacher\)"):
        distill(case, student, teacher=teacher, **BRIEF)
    with pytest.raises(InputError, match="student gives probabilities"):
        distill(case, nn.Sequential(student, last), teacher=Radius(classes), **BRIEF)
    done = distill(case, student, teacher=Logits(teacher), **BRIEF)
    logits = distill(case, case.student(classes), teacher=Radius(classes), **BRIEF)
    assert done.trained.epochs[-1].fidelity == pytest.approx(logits.trained.epochs[-1].fidelity, abs=0.01)


def test_an_autoencoder_is_not_read_as_a_classifier(case: Case) -> None:
    """Its output has as many columns as a row, and would pass for logits of as many classes."""
    teacher = nn.Linear(4, 4)
    with torch.no_grad():
        teacher.weight.copy_(0.5 * torch.eye(4))
    with pytest.raises(InputError, match=r"gives its rows back, \(60, 4\).*ReconstructionError\(teacher\)"):
        distill(case, nn.Linear(4, 4), teacher=teacher, **BRIEF)
    done = distill(case, case.student(), teacher=ReconstructionError(teacher), loss="regression", **BRIEF)
    assert not [text for text in done.warnings if "logit" in text]


def test_a_distance_is_hardly_a_logit(case: Case) -> None:
    done = distill(case, case.student(), teacher=ReconstructionError(nn.Linear(4, 4)), **BRIEF)
    assert [text for text in done.warnings if "use loss='regression'" in text]
    assert not [text for text in distill(case, case.student(), **BRIEF).warnings if "logit" in text]


def test_layers_whose_sizes_are_not_known(case: Case) -> None:
    with pytest.raises(InputError, match=r"student \(LazyLinear\) has lazy layers.*student\(batch\)"):
        distill(case, nn.LazyLinear(1), **BRIEF)


def test_hints_that_are_none(case: Case) -> None:
    for hints in ("body", [("body", "0")]):
        with pytest.raises(InputError, match=r"a hint is .*expected Hint\('layer of the teacher'"):
            distill(case, case.student(), hints=hints, **BRIEF)
    for channels in (0, 2):
        with pytest.raises(
            InputError, match=rf"\(60, 16\), whose .* along dimension {channels}\. Set channels"
        ):
            distill(case, case.student(), hints=[Hint("body", "0", channels=channels)], **BRIEF)


def test_a_checkpoint_of_another_student(case: Case, tmp_path: Path) -> None:
    distill(case, case.student(), checkpoint=tmp_path, **BRIEF)
    with pytest.raises(InputError, match="other settings or networks"):
        distill(case, case.student(width=5), checkpoint=tmp_path, **BRIEF)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Name another folder"):
        distill(case, case.student(), checkpoint=tmp_path / "file", **BRIEF)
