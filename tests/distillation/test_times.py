"""Timestamps from the file to the score, and a split by time."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from stillwatch.distillation.split import make_split
from stillwatch.table.timestamp import FIRST_TIME, LAST_TIME, MISSING_TIME
from tests.test_scorer import PLAIN_CLIENT


def shifts(rows: int, seed: int = 0, *, night: bool = False) -> pa.Table:
    """Payments on weekdays in working hours; at night where `night` says so."""
    rng = np.random.default_rng(seed)
    day = rng.integers(0, 52 * 5, rows)
    hour = rng.uniform(1, 4, rows) if night else rng.uniform(8, 18, rows)
    seconds = (day // 5 * 7 + day % 5) * 86_400 + hour * 3_600
    when = np.datetime64("2024-01-01T00:00:00.000000") + (seconds * 1e6).astype("timedelta64[us]")
    then = pa.array(when.astype("datetime64[D]"), mask=rng.random(rows) < 0.2)
    return pa.table(
        {
            "amount": rng.normal(50, 5, rows),
            "when": when,
            "city": ["Bern", "Genf"] * (rows // 2),
            "then": then,
        }
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    d = sw.distill(shifts(600), teacher="knn", student=sw.MLP(hidden=(32, 32), steps=400), assume_normal=True)
    assert d.manifest.layout.time == ("when", "then")
    folder = tmp_path_factory.mktemp("times") / "model"
    d.save(folder)
    return folder


@pytest.fixture(scope="module")
def scorer(model: Path) -> sw.Scorer:
    return sw.load(model)


def test_what_happens_at_night_scores_higher(scorer: sw.Scorer) -> None:
    day, night = scorer.score(shifts(200, seed=1)), scorer.score(shifts(200, seed=1, night=True))
    assert np.median(night) > np.quantile(day, 0.95)


def test_every_door_gives_the_same_scores(scorer: sw.Scorer, tmp_path: Path) -> None:
    fresh = shifts(60, seed=2)
    expected = scorer.score(fresh)
    pacsv.write_csv(fresh, tmp_path / "t.csv")
    pq.write_table(fresh, tmp_path / "t.parquet")
    records = fresh.to_pylist()
    texts = [{k: v.isoformat() if isinstance(v, dt.date) else v for k, v in row.items()} for row in records]
    (tmp_path / "t.ndjson").write_text("\n".join(map(json.dumps, texts)))
    whole = [
        {**row, "when": int(np.datetime64(row["when"], "us").astype(int)), "then": row["then"]}
        for row in records
    ]
    with_zone = fresh.set_column(
        1, "when", fresh["when"].cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", "Asia/Tokyo"))
    )
    doors = {
        "csv": scorer.score(tmp_path / "t.csv"),
        "parquet": scorer.score(tmp_path / "t.parquet"),
        "ndjson": scorer.score(tmp_path / "t.ndjson"),
        "pandas": scorer.score(fresh.to_pandas()),
        "polars": scorer.score(pl.from_arrow(fresh)),
        "zone": scorer.score(with_zone),
        "datetimes": np.array([scorer.score_one(row) for row in records]),
        "texts": np.array([scorer.score_one(row) for row in texts]),
        "integers": np.array([scorer.score_one(row) for row in whole]),
        "tuples": np.array([scorer.score_one(tuple(row.values())) for row in records]),
        "series": np.array([scorer.score_one(row) for _, row in fresh.to_pandas().iterrows()]),
        "frame": scorer.score(pd.DataFrame(records)),
    }
    for door, scores in doors.items():
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5, err_msg=door)


def test_one_row_of_numbers_and_times(tmp_path: Path) -> None:
    table = shifts(300).select(["amount", "when"])
    d = sw.distill(table, teacher="knn", student=sw.MLP(hidden=(8,), steps=20), assume_normal=True)
    expected = d.scorer.score(table)[:20]
    assert len(np.unique(expected)) > 10
    one = d.scorer.score_one
    for rows in (table.to_pylist()[:20], [tuple(row.values()) for row in table.to_pylist()[:20]]):
        np.testing.assert_allclose([one(row) for row in rows], expected, rtol=1e-5, atol=1e-5)


def test_gaps_are_counted_and_huge_dates_score(scorer: sw.Scorer) -> None:
    row = shifts(2).to_pylist()[0]
    verdict = scorer.judge([{**row, "when": None}, dict.fromkeys(row), row])
    assert verdict.counts.missing["when"] == 2
    assert verdict.low_evidence.tolist() == [False, True, False]
    ends = [
        FIRST_TIME,
        LAST_TIME,
        MISSING_TIME,
        10**40,
        -(10**40),
        "0001-01-01",
        "9999-12-31T23:59:59.999999-23:59",
    ]
    assert np.isfinite([scorer.score_one({**row, "when": end}) for end in ends]).all()
    assert np.isfinite(verdict.score).all()
    with pytest.raises(sw.TableError, match=r"column 'when': '31.12.2024' is not a timestamp"):
        scorer.score_one({**row, "when": "31.12.2024"})


def test_plain_onnxruntime_gives_the_scorers_score(scorer: sw.Scorer, model: Path) -> None:
    fresh = shifts(40, seed=3)
    layout = scorer.manifest.layout
    rows = scorer._packer.table(fresh)
    feed = layout.feed(rows, scorer.manifest.schema.numbers, scorer.manifest.schema.texts)
    client = PLAIN_CLIENT.replace('"txt": object}', '"txt": object, "time": np.int64}')
    assert client != PLAIN_CLIENT
    done = subprocess.run(
        [sys.executable, "-c", client, str(model / "model.onnx")],
        input=json.dumps({name: values.tolist() for name, values in feed.items()}),
        capture_output=True,
        text=True,
        check=True,
    )
    np.testing.assert_allclose(json.loads(done.stdout), scorer.score(fresh), rtol=1e-5, atol=1e-5)


def test_the_folder_verifies_and_its_card_says_where_times_stand(model: Path) -> None:
    assert sw.verify(model).ok
    card = (model / "README.md").read_text()
    assert "### `time`: int64, microseconds since 1970 in UTC, -2^63 = missing, shape [n, 2]" in card
    assert '"time": np.zeros((1, 2), np.int64)' in card
    golden = json.loads((model / "manifest.json").read_text())["golden"]["rows"]
    assert isinstance(golden[1]["when"], str)


def test_the_newest_rows_calibrate() -> None:
    order = np.random.default_rng(0).permutation(3_000)
    split = make_split(3_000, None, "all", rng=np.random.default_rng(1), order=order)
    assert order[split.calibration].min() == 2_400
    assert order[split.fit].max() == 2_399
    few = make_split(300, None, "all", rng=np.random.default_rng(1), order=order[:300])
    spans = sorted((order[fold].min(), order[fold].max()) for fold in few.folds)
    assert all(a[1] < b[0] for a, b in pairwise(spans))


@pytest.mark.parametrize("role", ["feature", "ignore", "key"])
@pytest.mark.parametrize("column", ["when", "step"])
def test_time_is_declared_by_name_whatever_its_role(role: str, column: str) -> None:
    table = shifts(2_400).sort_by("when").append_column("step", pa.array(np.arange(2_400) / 7))
    shuffled = table.take(np.random.default_rng(0).permutation(2_400))
    roles = {} if role == "feature" else {role: column}
    student = sw.MLP(hidden=(8,), steps=20)
    d = sw.distill(shuffled, time=column, teacher="knn", student=student, assume_normal=True, **roles)
    newest = np.argsort(shuffled["step"].to_numpy())[-480:]
    assert set(d.split.calibration) == set(newest)


def test_time_that_cannot_order() -> None:
    with pytest.raises(sw.SchemaError, match=r"no column 'wen'; did you mean 'when'\?"):
        sw.distill(shifts(50), time="wen", assume_normal=True)
    with pytest.raises(sw.SchemaError, match=r"of kind category.*expected a timestamp or a number"):
        sw.distill(shifts(50), time="city", assume_normal=True)
