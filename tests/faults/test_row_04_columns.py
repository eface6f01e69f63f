"""Columns missing, doubled, extra, in other case or another order: one rule at every door."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from tests.faults.doors import DOORS

every_door = pytest.mark.parametrize("door", DOORS)


@every_door
def test_order_is_irrelevant(scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str) -> None:
    turned = rows.select(rows.column_names[::-1])
    np.testing.assert_allclose(
        scorer.score(DOORS[door](turned, tmp_path)), scorer.score(rows), rtol=1e-5, atol=1e-5
    )


@every_door
def test_extra_columns_are_ignored_and_counted(
    scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str
) -> None:
    more = rows.append_column("note", pa.array(["x"] * len(rows))).append_column(
        "Age", pa.array([1] * len(rows))
    )
    verdict = scorer.judge(DOORS[door](more, tmp_path))
    assert verdict.counts.ignored == ("note", "Age")
    np.testing.assert_allclose(verdict.score, scorer.score(rows), rtol=1e-5, atol=1e-5)


@every_door
@pytest.mark.parametrize(
    ("wanted", "given", "message"),
    [
        ("amount", "Amount", r"column 'amount' is missing; did you mean 'Amount'\?"),
        ("amount", "amuont", r"column 'amount' is missing; did you mean 'amuont'\?"),
        ("city", " city", r"column 'city' is missing; did you mean ' city'\?"),
        ("stamp", "zzz", r"column 'stamp' is missing\."),
    ],
)
def test_a_missing_column_names_the_nearest(
    scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str, wanted: str, given: str, message: str
) -> None:
    data = DOORS[door](rows.rename_columns({wanted: given}), tmp_path)
    with pytest.raises(sw.SchemaError, match=message):
        scorer.score(data)
    if door == "dicts":
        with pytest.raises(sw.SchemaError, match=message):
            scorer.score_one(data[0])


def test_all_missing_columns_are_counted(scorer: sw.Scorer, rows: pa.Table) -> None:
    with pytest.raises(sw.SchemaError, match="In all, 6 of 8 are missing"):
        scorer.score(rows.select(["amount", "city"]))


def test_a_doubled_column_is_refused(scorer: sw.Scorer, rows: pa.Table, tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([*rows.columns, rows["age"]], [*rows.column_names, "age"])
    frame = rows.to_pandas()
    frame.insert(0, "more", frame["age"])
    frame.columns = ["age", *rows.column_names]
    pq.write_table(twice, tmp_path / "rows.parquet")
    header = ",".join(twice.column_names)
    line = ",".join(str(column[0].as_py()) for column in twice.columns)
    (tmp_path / "rows.csv").write_text(f"{header}\n{line}\n")
    (tmp_path / "rows.ndjson").write_text('{"age": 1, "age": 2}\n')
    for data in (twice, frame, tmp_path / "rows.parquet", tmp_path / "rows.csv", tmp_path / "rows.ndjson"):
        with pytest.raises((sw.SchemaError, sw.TableError), match=r"'age'|\"age\""):
            scorer.score(data)


def test_without_names_the_number_of_columns_counts(scorer: sw.Scorer) -> None:
    for data in (np.zeros((3, 7)), np.zeros((3, 10))):
        with pytest.raises(sw.SchemaError, match="expected the 8 feature columns"):
            scorer.score(data)
        with pytest.raises(sw.SchemaError, match="expected the 8 feature columns"):
            scorer.score_one(data[0])
