from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from tests.tables import mixed_table


def keyed_table(rows: int, seed: int = 0) -> pa.Table:
    """A mixed table whose rows have a number."""
    return mixed_table(rows, seed).append_column("id", pa.array(np.arange(rows) + 1_000_000 * seed))


@pytest.fixture(scope="session")
def keyed_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a key column; never changed by a test."""
    folder = tmp_path_factory.mktemp("models") / "keyed"
    d = sw.distill(
        keyed_table(400), label="fraud", key=["id"], teacher="knn", student=sw.MLP(hidden=(8,), steps=40)
    )
    d.save(folder)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three Parquet files of four row groups each."""
    folder = tmp_path / "data"
    folder.mkdir()
    for i in range(3):
        pq.write_table(keyed_table(800, seed=i), folder / f"{i}.parquet", row_group_size=200)
    return folder


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of one row group here, and of 4,096 bytes of text."""
    monkeypatch.setattr("stillwatch.scale.shards.ROWS", 200)
    monkeypatch.setattr("stillwatch.scale.shards.BYTES", 4_096)


Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def contents() -> Contents:
    """Names and bytes of all files of a folder, hidden ones included."""
    return lambda folder: {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
