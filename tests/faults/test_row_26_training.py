"""Tables that are hard to train on, and teachers that fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from tests.faults.doors import DOORS
from tests.tables import mixed_table

QUICK = sw.MLP(hidden=(8,), steps=20)


class Failing:
    """A function teacher that raises once it has been asked so many rows."""

    def __init__(self, after: int | None = None) -> None:
        self.after = after
        self.asked = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.after is not None and self.asked + len(x) > self.after:
            raise RuntimeError("the licence server is away")
        self.asked += len(x)
        return np.abs(x).sum(axis=1).astype(np.float64)


def test_a_teacher_that_raises_after_nine_tenths_keeps_what_it_said(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2_500, 3))
    whole = Failing()
    expected = sw.distill(x, teacher=whole, student=QUICK)
    failing = Failing(after=int(0.9 * whole.asked))
    with pytest.raises(sw.TeacherError, match="the licence server is away"):
        sw.distill(x, teacher=failing, student=QUICK, cache=tmp_path / "cache")
    assert failing.asked > 0.5 * whole.asked
    mended = Failing()
    d = sw.distill(x, teacher=mended, student=QUICK, cache=tmp_path / "cache")
    assert mended.asked < 0.4 * whole.asked
    assert d.model == expected.model
    np.testing.assert_array_equal(d.knowledge.raw, expected.knowledge.raw)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: np.where(np.arange(len(x)) == 3, np.nan, x[:, 0]), "not finite"),
        (lambda x: np.full(len(x), np.inf), "not finite"),
        (lambda x: np.zeros(len(x)), "same score|tells none apart"),
        (lambda x: x[:-1, 0], "shape"),
        (lambda x: x, "shape"),
        (lambda x: ["high"] * len(x), "high|number"),
        (lambda x: None, "NoneType|None|number"),
    ],
)
def test_a_teacher_that_answers_nonsense_is_refused(answer: Any, message: str) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(sw.TeacherError, match=message):
        sw.distill(x, teacher=answer, student=QUICK)


@pytest.mark.parametrize("door", DOORS)
def test_one_row_says_how_many_are_needed(tmp_path: Path, door: str) -> None:
    table = pa.table({"amount": [1.5], "city": ["Bern"]})
    with pytest.raises(sw.InputError, match="1 row came to train on; at least 5 are needed"):
        sw.distill(DOORS[door](table, tmp_path))


@pytest.mark.parametrize("door", DOORS)
def test_every_door_trains_the_same(tmp_path: Path, door: str) -> None:
    table = mixed_table(60).drop_columns(["fraud", "age"])
    expected = sw.distill(table, teacher="knn", student=QUICK)
    d = sw.distill(DOORS[door](table, tmp_path), teacher="knn", student=QUICK)
    np.testing.assert_allclose(d.scorer.score(table), expected.scorer.score(table), rtol=1e-4, atol=1e-4)


def test_one_row_on_the_command_line(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from stillwatch.cli.main import app

    pacsv.write_csv(pa.table({"amount": [1.5], "city": ["Bern"]}), tmp_path / "t.csv")
    found = CliRunner().invoke(app, ["distill", str(tmp_path / "t.csv"), "-o", str(tmp_path / "m")])
    assert found.exit_code == 1
    assert "error: 1 row came to train on; at least 5 are needed." in found.stderr
    assert not (tmp_path / "m").exists()


def test_the_label_among_the_features_cannot_be() -> None:
    """A declared label is never a feature; a copy of it under another name is warned of."""
    rng = np.random.default_rng(0)
    anomaly = rng.random(300) < 0.1
    table = pa.table(
        {"x": rng.normal(size=300), "fraud": anomaly, "verdict": np.where(anomaly, "bad", "good")}
    )
    d = sw.distill(table, label="fraud", teacher="isolation_forest", student=QUICK)
    assert [column.name for column in d.manifest.schema.features] == ["x", "verdict"]
    assert any("'verdict' alone separates the label" in warning for warning in d.warnings)
    with pytest.raises(sw.SchemaError, match="both label and key"):
        sw.distill(table, label="fraud", key=["fraud"])


def test_columns_without_news(tmp_path: Path) -> None:
    """Constant stays, missing throughout and ids are set aside with a reason that the report shows."""
    rng = np.random.default_rng(0)
    rows = 200
    table = pa.table(
        {
            "id": [f"c-{i:05}" for i in range(rows)],
            "void": pa.nulls(rows, pa.string()),
            "same": ["CH"] * rows,
            "x": rng.normal(size=rows),
        }
    )
    pacsv.write_csv(table, tmp_path / "t.csv")
    student = sw.MLP(hidden=(32,), steps=400)
    d = sw.distill(tmp_path / "t.csv", teacher="knn", student=student, assume_normal=True)
    columns = {column.name: column for column in d.report.columns}
    assert [name for name, column in columns.items() if column.role == "feature"] == ["same", "x"]
    assert "as in an id" in columns["id"].reason
    assert "missing" in columns["void"].reason
    assert d.scorer.score_one({"same": "DE", "x": 0.0}) > d.scorer.score_one({"same": "CH", "x": 0.0})


@pytest.mark.slow
@pytest.mark.parametrize("share", [1.0, 0.5], ids=["an id", "a category"])
def test_a_million_categories(tmp_path: Path, share: float) -> None:
    """Each row its own text, or each text twice: small model, small memory, no text stored that is too rare."""
    rows = 1_000_000 if share == 1 else 2_000_000
    rng = np.random.default_rng(0)
    words = pa.array([f"w{i}" for i in range(1_000_000)])
    word = words if share == 1 else pa.concat_arrays([words, words])
    table = pa.table({"word": word, "x": rng.normal(size=rows), "y": rng.normal(size=rows)})
    pq.write_table(table, tmp_path / "t.parquet")
    schema = sw.inspect(tmp_path / "t.parquet")
    assert ("word" in schema.texts) == (share < 1)
    schema = schema.with_kinds({"word": "category"}).with_roles(feature=["word"])
    d = sw.distill(tmp_path / "t.parquet", schema=schema, teacher="isolation_forest", student=QUICK)
    assert d.manifest.categories == {"word": ()}
    assert len(d.model) < 100_000
    row = {"word": "w7", "x": 0.0, "y": 0.0}
    assert d.scorer.score_one(row) == d.scorer.score_one({**row, "word": "never seen"})
    d.save(tmp_path / "model")
    assert sw.verify(tmp_path / "model").ok
