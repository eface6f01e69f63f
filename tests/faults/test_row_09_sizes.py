"""No row, one row, and as many as there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from stillwatch.scorer import CHUNK
from tests.faults.doors import DOORS
from tests.tables import mixed_table

IN_MEMORY = ("arrow", "pandas", "polars")


@pytest.mark.parametrize("door", IN_MEMORY)
def test_no_rows_give_an_empty_answer(scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str) -> None:
    _assert_empty(scorer, DOORS[door](rows.slice(0, 0), tmp_path))


@pytest.mark.parametrize("door", ["csv", "parquet"])
def test_no_rows_in_a_file_give_an_empty_answer(
    scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str
) -> None:
    """A day on which nothing happened is no error."""
    _assert_empty(scorer, DOORS[door](rows.slice(0, 0), tmp_path))


def _assert_empty(scorer: sw.Scorer, data: object) -> None:
    verdict = scorer.judge(data)
    for part in (verdict.score, verdict.p_value, verdict.alert, verdict.low_evidence):
        assert part.shape == (0,)
    assert verdict.score.dtype == np.float32
    assert verdict.counts.rows == 0
    assert scorer.score(data).shape == scorer.p_value(data).shape == scorer.alert(data).shape == (0,)


@pytest.mark.parametrize("door", DOORS)
def test_one_row_is_a_table(scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str) -> None:
    expected = scorer.score(rows)[:1]
    verdict = scorer.judge(DOORS[door](rows.slice(0, 1), tmp_path))
    np.testing.assert_allclose(verdict.score, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, 65_536, 65_537])
def test_sizes_around_the_cuts(scorer: sw.Scorer, tmp_path: Path, size: int) -> None:
    """A row scores the same wherever chunks and batches end."""
    unit = mixed_table(257, seed=4).drop_columns(["fraud"])
    table = pa.concat_tables([unit] * (size // 257 + 1)).slice(0, size)
    expected = np.resize(scorer.score(unit), size)
    np.testing.assert_allclose(scorer.score(table), expected, rtol=1e-5, atol=1e-5)
    pq.write_table(table, tmp_path / "t.parquet")
    np.testing.assert_allclose(scorer.score(tmp_path / "t.parquet"), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_million_rows(scorer: sw.Scorer, tmp_path: Path) -> None:
    unit = mixed_table(1_000, seed=4).drop_columns(["fraud"])
    pq.write_table(pa.concat_tables([unit] * 1_000), tmp_path / "t.parquet")
    scores = scorer.score(tmp_path / "t.parquet")
    np.testing.assert_allclose(scores.reshape(1_000, 1_000)[-1], scorer.score(unit), rtol=1e-5, atol=1e-5)
