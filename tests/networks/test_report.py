from __future__ import annotations

import msgspec
import numpy as np
import pytest

from stillwatch.networks import NetworkDistillation, NetworkReport, distill_network
from stillwatch.networks.report import parameters

from .conftest import Case


@pytest.fixture
def done(case: Case) -> NetworkDistillation:
    return distill_network(
        case.teacher,
        case.student(),
        case.loader(),
        validation=case.validation(),
        epochs=3,
        learning_rate=1e-2,
    )


def test_it_sets_both_networks_side_by_side(case: Case, done: NetworkDistillation) -> None:
    report = done.report
    assert (report.teacher.name, report.student.name) == ("Radius", "Sequential")
    assert report.student.parameters == 4 * 8 + 8 + 8 + 1 == parameters(done.student)
    assert report.student.bytes == 4 * report.student.parameters
    assert report.smaller == pytest.approx(88 / 49)
    for facts in (report.teacher, report.student):
        assert facts.speed is not None
        assert facts.speed.one_p50_us is not None
        assert facts.speed.rows_per_second is not None
        assert facts.quality is not None
    assert [epoch.epoch for epoch in report.epochs] == [1, 2, 3]
    assert all(epoch.average_precision is not None for epoch in report.epochs)
    assert case.teacher.training  # timing leaves it alone, too


def test_it_admits_what_the_teacher_gave(done: NetworkDistillation) -> None:
    report = done.report
    assert report.gain is not None
    assert report.labels_alone is not None
    assert report.student.quality is not None
    difference = report.student.quality.average_precision.value - report.labels_alone.average_precision.value
    assert report.gain.average_precision.value == pytest.approx(difference)
    assert len(report.labels_alone_epochs) == 3
    assert "against the same student on labels alone" in str(report)


def test_the_students_on_labels_alone_start_alike(case: Case) -> None:
    """Same initial weights, and a rate so low that they stay."""
    done = distill_network(
        case.teacher,
        case.student(),
        case.loader(),
        validation=case.validation(),
        epochs=1,
        learning_rate=1e-12,
    )
    assert done.labels_alone is not None
    assert np.allclose(done.trained.judged.student, done.labels_alone.judged.student, atol=1e-5)
    assert done.labels_alone.network is not done.student


def test_it_is_json_and_text(done: NetworkDistillation) -> None:
    report = done.report
    assert msgspec.json.decode(report.json(), type=NetworkReport) == report
    lines = str(report).splitlines()
    assert lines[1].startswith("teacher Radius")
    assert lines[2].startswith("student Sequential")
    assert "1.8 times fewer parameters" in lines
