"""FAULTS rows 12, 13, 14 and 28 for a short while; `serving_load.py` runs them at length, with figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import serving_load
from tests.serve.process import Process

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return serving_load.make_model(tmp_path_factory.mktemp("models"), steps=60)


@pytest.fixture(scope="module")
def served(thirty: Path) -> Iterator[Process]:
    with Process([thirty], "--quiet", "--read-seconds", "2") as process:
        yield process


def test_row_12_half_open_connections_are_closed_and_others_served(served: Process) -> None:
    found = serving_load.half_open(served, 2)
    assert found["beside"]["answers"] == {200: 200}
    assert found["beside"]["lost"] == 0


def test_row_13_clients_that_leave_leave_nothing_behind(served: Process) -> None:
    assert serving_load.gone(served, 600, warm=1_500)["memory_growth_mb"] < 16


def test_row_14_three_times_too_much(served: Process) -> None:
    found = serving_load.overload(served, 3)
    assert set(found["answers"]) <= {200, 503}
    assert found["answers"].get(503, 0) == found["refused_with_retry_after"]
    assert found["lost"] == 0
    assert found["answers"][200] > 0


def test_row_14_what_does_not_fit_is_refused_with_a_time_to_come_back(thirty: Path) -> None:
    assert set(serving_load.refusal_time(thirty, 1)["answers"]) <= {200, 503}


def test_row_28_a_steady_load_leaves_memory_and_descriptors_alone(served: Process) -> None:
    found = serving_load.soak(served, 6)
    assert found["not_answered"] == 0
    assert found["memory_growth_mb"] < 16
