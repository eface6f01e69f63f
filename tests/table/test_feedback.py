from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import stillwatch as sw


@pytest.fixture
def rows() -> pa.Table:
    return pa.table({"id": [1, 2, 3, 4], "shop": ["a", "a", "b", "b"], "amount": [1.0, 2.0, 3.0, 4.0]})


def test_confirmations_are_joined_by_key_whatever_the_format(rows: pa.Table, tmp_path: Path) -> None:
    found = pa.table({"known": [1, 0, None], "id": ["3", "1", "2"], "score": [5.0, 4.0, 3.0]})
    pacsv.write_csv(found, tmp_path / "found.csv")
    pq.write_table(found, tmp_path / "found.parquet")
    for feedback in (found, tmp_path / "found.csv", tmp_path / "found.parquet"):
        joined = sw.join_feedback(rows, feedback, key="id")
        np.testing.assert_array_equal(joined.known, [0, np.nan, 1, np.nan])
        assert (joined.matched, joined.unmatched) == (2, 0)


def test_a_key_of_two_columns_and_a_column_of_another_name(rows: pa.Table) -> None:
    found = [
        {"id": 4, "shop": "b", "fraud": "yes"},
        {"id": 4, "shop": "a", "fraud": "no"},
    ]
    joined = sw.join_feedback(rows, found, key=("id", "shop"), column="fraud")
    np.testing.assert_array_equal(joined.known, [np.nan, np.nan, np.nan, 1])
    assert (joined.matched, joined.unmatched) == (1, 1)


def test_a_key_of_several_rows_speaks_for_all(rows: pa.Table) -> None:
    np.testing.assert_array_equal(
        sw.join_feedback(rows, [{"shop": "b", "known": 1}], key="shop").known, [np.nan, np.nan, 1, 1]
    )


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([{"id": 1, "known": 1}, {"id": 1, "known": 0}], "both as an anomaly and as normal"),
        ([{"id": 1, "known": 2}], "2 at row 1 is neither 1 nor 0"),
        ([{"id": None, "known": 1}], "the confirmation at row 1 has no key"),
        ([{"id": 9, "known": 1}], "none of the 1 confirmations is of one of the 4 rows"),
        ([{"id": 1, "Known": 1}], "there is no column 'known'; did you mean 'Known'"),
        ([{"ID": 1, "known": 1}], "there is no column 'id'; did you mean 'ID'"),
    ],
)
def test_what_is_wrong_is_said(rows: pa.Table, found: list[dict[str, object]], message: str) -> None:
    with pytest.raises(sw.InputError, match=message):
        sw.join_feedback(rows, found, key="id")


def test_the_rows_stream_on_with_what_is_known(rows: pa.Table) -> None:
    found = sw.join_feedback(rows, [{"id": 2, "known": 1}, {"id": 4, "known": 0}], key="id").rows
    assert found.names == ("id", "shop", "amount", "known")
    for size in (1, 3, 100):
        table = pa.Table.from_batches(found.batches(size))
        assert table["known"].to_pylist() == [None, 1.0, None, 0.0]
        assert table.drop_columns(["known"]).equals(rows)
    with pytest.raises(sw.SchemaError, match="a column 'known' already"):
        sw.join_feedback(found, [{"id": 2, "known": 1}], key="id")
