from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.distillation.split import make_split
from stillwatch.errors import SchemaError

QUICK = sw.MLP(hidden=(16,), steps=60)


def table(rows: int, confirmed: int = 5, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    truth = rng.random(rows) < 0.05
    x = rng.normal(size=(rows, 4)) + truth[:, None] * [2.5, -2.5, 0, 0]
    known = np.full(rows, None, dtype=object)
    known[np.flatnonzero(truth)[:confirmed]] = 1
    known[np.flatnonzero(~truth)[:4]] = 0
    columns: dict[str, Any] = {f"c{j}": x[:, j] for j in range(4)}
    return pa.table(columns | {"confirmed": pa.array(known.tolist(), pa.int64()), "fraud": truth.astype(int)})


@pytest.mark.parametrize("rows", [600, 3_000])
@pytest.mark.parametrize("order", [None, "time"])
def test_confirmed_anomalies_train_and_calibration_stays_uniform(rows: int, order: str | None) -> None:
    known = np.full(rows, np.nan)
    known[:40:2], known[1:40:2] = 1, 0
    split = make_split(
        rows,
        None,
        "all",
        rng=np.random.default_rng(0),
        order=None if order is None else np.arange(rows)[::-1],
        known=known,
    )
    confirmed = np.flatnonzero(known == 1)
    assert np.isin(confirmed, split.fit).all()
    judging = np.concatenate([split.calibration, *split.folds])
    assert not np.isin(confirmed, judging).any()
    assert len(judging) == ((rows - 20) // 5 if rows >= 2_000 else rows - 20)
    assert len(np.unique(split.fit)) == len(split.fit)
    if order is None and rows >= 2_000:  # every other row has the same chance, those known to be normal, too
        drawn = [
            np.isin(
                np.flatnonzero(known == 0),
                make_split(rows, None, "all", rng=np.random.default_rng(s), known=known).calibration,
            ).mean()
            for s in range(60)
        ]
        assert np.mean(drawn) == pytest.approx(0.2, abs=0.05)


def test_without_the_column_nothing_changes() -> None:
    one = make_split(3_000, None, "all", rng=np.random.default_rng(0))
    two = make_split(3_000, None, "all", rng=np.random.default_rng(0), known=np.full(3_000, np.nan))
    np.testing.assert_array_equal(one.calibration, two.calibration)


def test_distill_learns_from_what_is_known() -> None:
    data, fresh = table(2_400), table(2_000, seed=1)
    quality = {}
    for known in (None, "confirmed"):
        d = sw.distill(
            data.drop_columns(["fraud", *([] if known else ["confirmed"])]),
            known=known,
            teacher="knn",
            student=QUICK,
        )
        evaluation = sw.evaluate(d.scorer, fresh.drop_columns(["confirmed"]), label="fraud")
        assert evaluation.quality is not None
        quality[known] = evaluation.quality.average_precision.value
    assert quality["confirmed"] > quality[None] + 0.05
    assert d.manifest.schema.known == "confirmed"
    assert "confirmed" not in d.manifest.schema.numbers
    assert d.manifest.teacher["known"] == {
        "anomalies": 5,
        "normal": 3,
        "digest": d.manifest.teacher["known"]["digest"],
    }


def test_a_small_table_in_folds(tmp_path: Any) -> None:
    d = sw.distill(table(400).drop_columns(["fraud"]), known="confirmed", teacher="knn", student=QUICK)
    assert d.manifest.calibration.rows == 395
    d.save(tmp_path / "model")
    again = sw.load(tmp_path / "model")
    assert np.isfinite(again.score_one({f"c{j}": 0.0 for j in range(4)}))


def test_nothing_confirmed_as_an_anomaly_is_said() -> None:
    d = sw.distill(
        table(400, confirmed=0).drop_columns(["fraud"]), known="confirmed", teacher="knn", student=QUICK
    )
    assert any("no row of 'confirmed' is a confirmed anomaly" in warning for warning in d.warnings)
    assert "known" not in d.manifest.teacher


def test_what_the_column_must_hold() -> None:
    data = table(400).set_column(4, "confirmed", pa.array([2] * 400))
    with pytest.raises(
        SchemaError, match=r"column of what is known, 'confirmed' holds '2'.*confirmed anomaly"
    ):
        sw.distill(data, known="confirmed", teacher="knn", student=QUICK)
    with pytest.raises(SchemaError, match="'fraud' is declared both label and known"):
        sw.distill(table(400), label="fraud", known="fraud", teacher="knn", student=QUICK)
    with pytest.raises(SchemaError, match="no column 'confirmd'; did you mean 'confirmed'"):
        sw.distill(table(400), known="confirmd", teacher="knn", student=QUICK)


def test_a_large_table_keeps_what_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillwatch.distillation.distill.MOST_ROWS", 500)
    d = sw.distill(table(4_000).drop_columns(["fraud"]), known="confirmed", teacher="knn", student=QUICK)
    assert d.manifest.teacher["known"]["anomalies"] == 5
    assert len(d.split.fit) == 500
