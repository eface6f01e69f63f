from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.knowledge import make
from tests.tables import mixed_table

MOST_SYNTHETIC = make.MOST_SYNTHETIC


@contextmanager
def asked_about(rows: int) -> Iterator[None]:
    """No teacher is asked about more made rows than these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "MOST_SYNTHETIC", rows)
        yield


def pytest_configure() -> None:
    """A shell has what it runs in the background ignore interrupts, and the programs that it starts inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def few_questions() -> Iterator[None]:
    """Few questions about every table: most tests are of what happens, not of how well.

    `user_sized` takes that back; the installed program, in a process of its own, knows nothing of it.
    """
    with asked_about(10_000):
        yield


@pytest.fixture
def user_sized() -> Iterator[None]:
    """As many questions as a user's table gets."""
    with asked_about(MOST_SYNTHETIC):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261123)


@pytest.fixture(scope="session")
def table() -> pa.Table:
    return mixed_table(2_400)


@pytest.fixture(scope="session")
def distilled(table: pa.Table) -> sw.Distillation:
    """One distillation of a mixed table, shared by the tests that look at its parts."""
    with asked_about(MOST_SYNTHETIC):
        return sw.distill(table, label="fraud", teacher="knn", student=sw.MLP(hidden=(32, 32), steps=300))


@pytest.fixture(scope="session")
def model(distilled: sw.Distillation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its model folder; never changed by a test."""
    folder = tmp_path_factory.mktemp("models") / "mixed"
    distilled.save(folder)
    return folder


@pytest.fixture
def real_data() -> Path:
    """Real tables that never enter the project."""
    folder = Path(os.environ.get("STILLWATCH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data is not there: set STILLWATCH_DATA (looked in {folder.name})")
    return folder
