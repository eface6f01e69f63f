from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from tests.tables import mixed_table


@pytest.fixture(scope="session")
def scorer(model: Path) -> sw.Scorer:
    return sw.load(model)


@pytest.fixture(scope="session")
def rows() -> pa.Table:
    """Forty rows that the model has not seen, without gaps, so that every door can hold them."""
    table = mixed_table(400, seed=11).drop_columns(["fraud"])
    whole = table.filter(~np.isnan(table["age"].to_numpy()))
    return whole.slice(0, 40)


def changed(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The table with one column replaced."""
    return table.set_column(table.column_names.index(name), name, values)
