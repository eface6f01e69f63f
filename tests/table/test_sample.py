from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import TableError
from stillwatch.table.sample import sample

TABLE = pa.table({"x": range(1000), "y": [str(i) for i in range(1000)]})


def drawn(limit: int, seed: int = 0, size: int = 64) -> list[int]:
    rng = np.random.default_rng(seed)
    values: list[int] = sample(TABLE.to_batches(max_chunksize=size), limit, rng)["x"].to_pylist()
    return values


@settings(deadline=None)
@given(size=st.integers(1, 1000), limit=st.integers(1, 1100), seed=st.integers(0, 3))
def test_batches_do_not_matter(size: int, limit: int, seed: int) -> None:
    rows = drawn(limit, seed, size)
    assert rows == drawn(limit, seed, 1000)
    assert rows == sorted(set(rows))
    assert len(rows) == min(limit, 1000)


def test_seeds_matter() -> None:
    assert drawn(100, seed=1) != drawn(100, seed=2)


def test_every_row_is_equally_likely() -> None:
    counts = np.zeros(1000)
    for seed in range(400):
        counts[drawn(100, seed)] += 1
    assert abs(counts[:500].sum() / counts.sum() - 0.5) < 0.01
    assert 40 * 0.4 < counts.min() <= counts.max() < 40 * 1.8


def test_rows_stay_whole() -> None:
    table = sample(TABLE.to_batches(max_chunksize=7), 50, np.random.default_rng(0))
    assert [str(x) for x in table["x"].to_pylist()] == table["y"].to_pylist()


def test_no_rows_and_no_batch() -> None:
    empty = sample([pa.RecordBatch.from_pydict({"x": []})], 5, np.random.default_rng(0))
    assert empty.schema.names == ["x"]
    assert empty.num_rows == 0
    with pytest.raises(TableError):
        sample([], 5, np.random.default_rng(0))


def joined_batch(column: pa.ChunkedArray) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column.combine_chunks()], ["x"])


def test_types_are_joined_where_they_can_be() -> None:
    batches = [pa.RecordBatch.from_pydict({"x": [1]}), pa.RecordBatch.from_pydict({"x": [1.5]})]
    assert sample(batches, 5, np.random.default_rng(0))["x"].to_pylist() == [1.0, 1.5]
    batches[1] = pa.RecordBatch.from_pydict({"x": ["a"]})
    assert sample(batches, 5, np.random.default_rng(0))["x"].to_pylist() == ["1", "a"]
    batches[1] = pa.RecordBatch.from_pydict({"x": [True]})
    joined = sample(batches, 5, np.random.default_rng(0))["x"]
    assert joined.to_pylist() == [1.0, True]
    assert sample([joined_batch(joined), *batches], 5, np.random.default_rng(0))["x"].to_pylist() == [
        1.0,
        True,
        1.0,
        True,
    ]
    batches[1] = pa.RecordBatch.from_pydict({"x": [[1]]})
    with pytest.raises(TableError, match="cannot be joined"):
        sample(batches, 5, np.random.default_rng(0))
