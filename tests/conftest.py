from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.knowledge import make
from tests.tables import mixed_table

MOST_SYNTHETIC = make.MOST_SYNTHETIC


@pytest.fixture(scope="session", autouse=True)
def few_questions() -> Iterator[None]:
    """A teacher is asked about as many rows of every table as of a tiny one: most tests are of what happens, not of how well.

    `user_sized` takes that back; the installed program, in a process of its own, knows nothing of it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "MOST_SYNTHETIC", make.LEAST_SYNTHETIC)
        yield


@pytest.fixture
def user_sized(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many questions as a user's table gets."""
    monkeypatch.setattr(make, "MOST_SYNTHETIC", MOST_SYNTHETIC)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261123)


@pytest.fixture(scope="session")
def table() -> pa.Table:
    return mixed_table(2_400)


@pytest.fixture(scope="session")
def distilled(table: pa.Table) -> sw.Distillation:
    """One distillation of a mixed table, shared by the tests that look at its parts."""
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
