"""All values missing, in a row or in a column: a finite score, and the row flagged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from tests.faults.conftest import changed
from tests.faults.doors import DOORS

every_door = pytest.mark.parametrize("door", DOORS)


@every_door
def test_an_empty_row_scores_and_is_flagged(
    scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str
) -> None:
    empty = pa.table({field.name: pa.nulls(1, field.type) for field in rows.schema})
    verdict = scorer.judge(DOORS[door](pa.concat_tables([rows.slice(0, 2), empty]), tmp_path))
    assert verdict.low_evidence.tolist() == [False, False, True]
    assert np.isfinite(verdict.score).all()
    assert ((verdict.p_value > 0) & (verdict.p_value <= 1)).all()
    assert verdict.counts.missing == dict.fromkeys(verdict.counts.missing, 1)
    assert len(verdict.counts.missing) == 8


@every_door
@pytest.mark.parametrize("name", ["amount", "stamp", "member", "city", "country", "version"])
def test_an_empty_column_scores(
    scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str, name: str
) -> None:
    for kind in (rows.schema.field(name).type, pa.null()):
        verdict = scorer.judge(DOORS[door](changed(rows, name, pa.nulls(len(rows), kind)), tmp_path))
        assert np.isfinite(verdict.score).all()
        assert verdict.counts.missing[name] == len(rows)
        assert not verdict.low_evidence.any()


def test_one_value_is_enough_evidence(scorer: sw.Scorer, rows: pa.Table) -> None:
    for name in rows.column_names:
        row = dict.fromkeys(rows.column_names) | {name: rows[name][0].as_py()}
        verdict = scorer.judge([row])
        assert not verdict.low_evidence[0], name
        assert scorer.score_one(row) == pytest.approx(float(verdict.score[0]), rel=1e-5)


def test_an_array_of_nothing(rng: np.random.Generator) -> None:
    d = sw.distill(rng.normal(size=(60, 3)), teacher="knn", student=sw.MLP(hidden=(4,), steps=10))
    verdict = d.scorer.judge(np.full((2, 3), np.nan))
    assert verdict.low_evidence.all()
    assert np.isfinite(verdict.score).all()
    assert np.isfinite(d.scorer.score_one([None, None, None]))
