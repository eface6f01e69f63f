from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.serve.watch.feedback import FeedbackFolder
from tests.serve.bodies import records
from tests.serve.conftest import Ask
from tests.tables import mixed_table


@pytest.fixture(scope="session")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a key column, calibrated on rows set apart."""
    table = mixed_table(2_400)
    table = table.append_column("payment_id", pa.array([f"p{i}" for i in range(2_400)]))
    folder = tmp_path_factory.mktemp("watched") / "payments"
    student = sw.MLP(hidden=(16,), steps=200)
    sw.distill(table, label="fraud", key=["payment_id"], teacher="knn", student=student).save(folder)
    return folder


@pytest.fixture
def events() -> list[dict[str, Any]]:
    """Rows that the model has not seen, as JSON; the first is far out."""
    table = mixed_table(300, seed=21).drop_columns(["fraud"])
    rows = records(table.append_column("payment_id", pa.array([f"n{i}" for i in range(300)])))
    rows[0]["amount"] = 1e9
    return rows


@pytest.fixture
def feedback(tmp_path: Path) -> Path:
    return tmp_path / "feedback"


@pytest.fixture
def watch(make_ask: Callable[..., Ask], payments: Path, feedback: Path) -> Ask:
    """The application with its live page, without a token."""
    return make_ask(folders=[payments], feedback=FeedbackFolder(feedback))


def shifted(rows: list[dict[str, Any]], factor: float) -> list[dict[str, Any]]:
    return [row | {"amount": row["amount"] * factor} for row in rows]
