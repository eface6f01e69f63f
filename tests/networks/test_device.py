from __future__ import annotations

import pytest
import torch

from stillwatch.networks import distill_network
from stillwatch.networks.device import choose_device, choose_precision

from .conftest import Case


def test_auto_is_a_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu").type == "cpu"


def test_the_cpu_computes_in_full_unless_asked() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == torch.float32
    assert choose_precision("bfloat16", cpu) == torch.bfloat16


def test_mixed_precision_trains(case: Case) -> None:
    done = distill_network(
        case.teacher,
        case.student(width=32),
        case.loader(),
        validation=case.validation(),
        precision="bfloat16",
        device="cpu",
        learning_rate=3e-2,
        epochs=10,
        labels_alone=False,
    )
    assert done.trained.epochs[-1].fidelity > done.trained.epochs[0].fidelity
    assert done.student[0].weight.dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_a_gpu_trains_and_hands_both_networks_back(case: Case, precision: str) -> None:
    student = case.student(width=32)
    before = {name: value.clone() for name, value in case.teacher.state_dict().items()}
    done = distill_network(
        case.teacher,
        student,
        case.loader(),
        validation=case.validation(),
        device="cuda",
        precision=precision,  # type: ignore[arg-type]
        learning_rate=3e-2,
        epochs=20,
    )
    assert {p.device.type for p in (*student.parameters(), *case.teacher.parameters())} == {"cpu"}
    assert all(torch.equal(value, before[name]) for name, value in case.teacher.state_dict().items())
    assert done.report.fidelity is not None
    assert done.report.fidelity.spearman > 0.8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_networks_that_live_on_a_gpu_stay_there(case: Case, tmp_path: object) -> None:
    student = case.student().cuda()
    done = distill_network(
        case.teacher.cuda(),
        student,
        case.loader(),
        validation=case.validation(),
        epochs=2,
        checkpoint=str(tmp_path),
    )
    assert {p.device.type for p in (*student.parameters(), *case.teacher.parameters())} == {"cuda"}
    again = distill_network(
        case.teacher,
        case.student().cuda(),
        case.loader(),
        validation=case.validation(),
        epochs=2,
        checkpoint=str(tmp_path),
    )
    assert again.trained.epochs == done.trained.epochs
