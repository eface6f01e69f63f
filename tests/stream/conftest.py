from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillwatch as sw
from tests.tables import mixed_table

Records = list[dict[str, Any]]


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with the key column "id"."""
    table = mixed_table(400)
    table = table.append_column("id", [[f"e{i}" for i in range(400)]])
    d = sw.distill(table, label="fraud", key=["id"], teacher="knn", student=sw.MLP(hidden=(16,), steps=60))
    folder = tmp_path_factory.mktemp("stream") / "model"
    d.save(folder)
    return folder


@pytest.fixture(scope="session")
def scorer(keyed: Path) -> sw.Scorer:
    return sw.load(keyed)


@pytest.fixture(scope="session")
def records() -> Records:
    """Events without gaps, as JSON holds them."""
    table = mixed_table(2_000, seed=5).drop_columns(["fraud"])
    whole = table.filter(~np.isnan(table["age"].to_numpy()))
    rows: Records = whole.to_pylist()
    return [row | {"id": f"n{i}"} for i, row in enumerate(rows)]


@pytest.fixture(scope="session")
def lines(records: Records) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[list[bytes]], Path]:
    def saved(lines: list[bytes], name: str = "events.ndjson") -> Path:
        (tmp_path / name).write_bytes(b"".join(line + b"\n" for line in lines))
        return tmp_path / name

    return saved
