from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.drift.report import Drift, Found, _spans, compare
from stillwatch.drift.sketch import ColumnCounter, Sketches, sketch_columns, sketch_scores
from stillwatch.table.rows import Rows
from stillwatch.table.schema import Column, Schema
from tests.tables import mixed_table

COLUMNS = 30
SCHEMA = Schema(columns=tuple(Column(name=f"x{j}", kind="number") for j in range(COLUMNS)))


def score(x: np.ndarray) -> np.ndarray:
    return np.square(x).mean(axis=1).astype(np.float32)


def packed(x: np.ndarray) -> Rows:
    return Rows(x, np.empty((len(x), 0), dtype=object))


@pytest.fixture
def judge(rng: np.random.Generator) -> Callable[[np.ndarray], Drift]:
    """A model of 20,000 rows, as far as drift sees it."""
    x = rng.normal(size=(20_000, COLUMNS))
    apart = score(x[:4_000])
    sketches = Sketches(columns=sketch_columns(packed(x), SCHEMA, {}), score=sketch_scores(apart))
    bar = np.sort(apart)[-40]

    def run(new: np.ndarray) -> Drift:
        counter = ColumnCounter(sketches.columns, SCHEMA, {})
        counter.add(packed(new))
        return compare(sketches, {}, Found(counter, score(new), int((score(new) > bar).sum())), rate=0.01)

    return run


def test_the_same_kind_of_rows_is_not_called_drifted(
    judge: Callable[[np.ndarray], Drift], rng: np.random.Generator
) -> None:
    assert sum(judge(rng.normal(size=(1_000, COLUMNS))).alarm for _ in range(40)) <= 2


@pytest.mark.parametrize(("shift", "rows"), [(0.5, 400), (0.1, 6_000)])
def test_a_small_shift_of_one_column_is_named(
    judge: Callable[[np.ndarray], Drift], rng: np.random.Generator, shift: float, rows: int
) -> None:
    named = 0
    for run in range(20):
        x = rng.normal(size=(rows, COLUMNS))
        x[:, run] += shift * (-1) ** run
        found = judge(x)
        named += f"x{run}" in found.drifted
        assert len(found.drifted) <= 2
    assert named >= 19


def test_another_spread_is_named_as_well(
    judge: Callable[[np.ndarray], Drift], rng: np.random.Generator
) -> None:
    x = rng.normal(size=(2_000, COLUMNS))
    x[:, 3] *= 1.5
    found = judge(x)
    assert found.drifted == ("x3",)
    (change,) = (c for c in found.columns if c.drifted)
    assert change is found.columns[0]
    assert change.ks == pytest.approx(0.1, abs=0.04)
    assert change.above == pytest.approx(0.5, abs=0.03)
    assert sum(bar.now for bar in change.bars) == pytest.approx(1)


def test_missing_values_that_come_are_named(
    judge: Callable[[np.ndarray], Drift], rng: np.random.Generator
) -> None:
    x = rng.normal(size=(1_000, COLUMNS))
    x[::100, 7] = np.nan
    found = judge(x)
    assert found.drifted == ("x7",)
    assert found.columns[0].missing == (0.0, 0.01)


def changed(**columns: object) -> pa.Table:
    return pa.table(mixed_table(3_000, seed=3).to_pydict() | columns)


def test_a_model_and_its_table(distilled: sw.Distillation) -> None:
    found = distilled.scorer.drift(mixed_table(3_000, seed=3))
    assert (found.rows, found.alarm, found.advice, found.drifted) == (3_000, False, "none", ())
    assert {change.column for change in found.columns} == {c.name for c in distilled.manifest.schema.features}
    assert found.alarms.found == pytest.approx(0.01, abs=0.01)


def test_the_table_that_a_model_was_made_of_has_not_drifted(rng: np.random.Generator) -> None:
    """Rows that were fitted on score lower than new rows do; that is no drift."""
    x = rng.normal(size=(2_500, 6))
    d = sw.distill(x, teacher="knn", assume_normal=True, student=sw.MLP(hidden=(64, 64), steps=800))
    assert not d.scorer.drift(x).alarm
    assert sum(d.scorer.drift(x[rng.integers(0, 2_500, 1_000)]).alarm for _ in range(20)) <= 1
    sketches = d.manifest.sketches
    assert sketches.score is not None
    assert sum(sketches.score.fitted) == 2_000
    assert sum(sketches.score.counts) == 500


def test_new_categories_ask_for_another_distillation(distilled: sw.Distillation) -> None:
    found = distilled.scorer.drift(changed(city=["Zug", "Bern"] * 1_500))
    (city,) = (c for c in found.columns if c.column == "city")
    assert city.drifted
    assert (city.size, city.unseen) == ("large", (pytest.approx(0.0, abs=0.01), pytest.approx(0.5)))
    assert found.advice == "distill again"


def test_more_of_what_is_known_asks_for_calibration_or_patience(
    table: pa.Table, distilled: sw.Distillation
) -> None:
    later = mixed_table(3_000, seed=3)
    fraud = np.flatnonzero(later["fraud"].to_numpy())
    # Three rows in a hundred are fraud: at this rate all of them raise alarms, and not those above most other fraud.
    alert = sw.distill(table, label="fraud", teacher="knn", student=sw.MLP(hidden=(32, 32)), alert_rate=0.05)
    found = alert.scorer.drift(later.take(np.concatenate([np.tile(np.arange(2_500), 2), np.tile(fraud, 16)])))
    assert found.alarms.drifted
    assert found.advice == "recalibrate"
    slight = distilled.scorer.drift(changed(member=[i % 5 > 0 for i in range(3_000)]))
    assert (slight.drifted, slight.advice) == (("member",), "watch")


def test_a_constant_column_that_changes_is_named(distilled: sw.Distillation) -> None:
    for value in (0.0, 2.0):
        assert "version" in distilled.scorer.drift(changed(version=[value] * 3_000)).drifted


def test_rows_are_compared_whatever_the_batches(distilled: sw.Distillation) -> None:
    table = mixed_table(3_000, seed=3)
    whole, parts = (
        distilled.scorer.drift(table),
        distilled.scorer.drift(table.to_batches(max_chunksize=500)[0]),
    )
    assert whole.rows == 3_000
    assert parts.rows == 500


def test_few_or_no_rows_say_nothing(distilled: sw.Distillation) -> None:
    for rows in (0, 1):
        found = distilled.scorer.drift(mixed_table(3_000, seed=3).slice(0, rows))
        assert not found.alarm
        assert found.rows == rows


def test_without_rows_set_apart_the_score_is_not_judged() -> None:
    x = np.random.default_rng(0).normal(size=(300, 2))
    small = sw.distill(x, teacher="knn", student=sw.MLP(hidden=(4,), steps=10)).scorer
    found = small.drift(x + 3)
    assert found.score is None
    assert found.alarms.p_value is None
    assert set(found.drifted) == {"x0", "x1"}


def test_a_level_is_a_chance(distilled: sw.Distillation) -> None:
    with pytest.raises(sw.InputError, match="level=1"):
        distilled.scorer.drift(mixed_table(100), level=1)


def test_labels_have_the_digits_that_tell_bars_apart(rng: np.random.Generator) -> None:
    x = 1_700_000_000 + 10_000 * rng.random(2_000)
    sketch = sketch_columns(
        Rows(x[:, None], np.empty((2_000, 0), object)),
        Schema(columns=(Column(name="serial", kind="number"),)),
        {},
    )[0]
    labels = _spans(sketch.edges, [[i] for i in range(len(sketch.counts))])
    assert len(set(labels)) == len(labels)
    assert _spans((0.0, 1.0, 2.5), [[0], [1], [2], [3]]) == ["to 0", "0 to 1", "1 to 2.5", "above 2.5"]
