from __future__ import annotations

import msgspec
import numpy as np
import pytest

import stillwatch as sw
from stillwatch.artifact.manifest import decode, encode
from stillwatch.drift.sketch import (
    FEWEST_ROWS,
    ColumnCounter,
    Sketches,
    sketch_columns,
    sketch_scores,
)
from stillwatch.errors import ArtifactError
from stillwatch.table.rows import Rows
from stillwatch.table.schema import Column, Schema
from stillwatch.table.timestamp import DAY, MISSING_TIME, SECOND


def numbers(*columns: np.ndarray) -> tuple[Rows, Schema]:
    rows = Rows(np.stack(columns, axis=1), np.empty((len(columns[0]), 0), dtype=object))
    return rows, Schema(columns=tuple(Column(name=f"x{j}", kind="number") for j in range(len(columns))))


def test_cells_of_a_number_hold_equal_shares(rng: np.random.Generator) -> None:
    rows, schema = numbers(rng.normal(size=6_400))
    (sketch,) = sketch_columns(rows, schema, {})
    assert len(sketch.counts) == 32
    assert min(sketch.counts) > 150
    assert sum(sketch.counts) == 6_400


@pytest.mark.parametrize("column", [np.ones(100), np.repeat([0.0, 1.0], 50)])
def test_values_that_many_rows_share_have_cells_of_their_own(column: np.ndarray) -> None:
    rows, schema = numbers(column)
    (sketch,) = sketch_columns(rows, schema, {})
    counts = dict(zip(*np.unique(column, return_counts=True), strict=True))
    assert sorted(count for count in sketch.counts if count) == sorted(counts.values())
    off = ColumnCounter([sketch], schema, {})
    off.add(numbers(np.array([column[0] - 0.5, column[-1] + 0.5]))[0])
    assert (np.array(sketch.counts)[np.flatnonzero(off.counts[0])] == 0).all()


def test_missing_and_infinite_values_are_counted() -> None:
    rows, schema = numbers(np.array([np.nan] * 30 + [np.inf] * 30 + [-np.inf] * 30 + list(range(30))))
    (sketch,) = sketch_columns(rows, schema, {})
    assert (sketch.missing, sum(sketch.counts)) == (30, 90)
    assert np.isfinite(sketch.edges).all()


def test_categories_are_counted_by_their_place_and_the_rest_as_unseen() -> None:
    schema = Schema(columns=(Column(name="city", kind="category"),))
    texts = np.array(["Bern"] * 5 + ["Chur"] * 3 + ["Zug", "", ""], dtype=object)[:, None]
    known = {"city": ("Bern", "Chur")}
    (sketch,) = sketch_columns(Rows(np.empty((11, 0)), texts), schema, known)
    assert (sketch.counts, sketch.missing) == ((5, 3, 1), 2)
    (apart,) = sketch_columns(
        Rows(np.empty((11, 0)), texts), schema, known, apart=Rows(np.empty((3, 0)), texts[-3:])
    )
    assert (apart.counts, apart.missing) == ((0, 0, 1), 2)
    many = {"city": tuple(f"c{i}" for i in range(80))}
    (wide,) = sketch_columns(Rows(np.empty((1, 0)), np.array([["c79"]], dtype=object)), schema, many)
    assert wide.counts == (0,) * 64 + (1, 0)


def test_a_time_is_counted_by_hour_and_weekday() -> None:
    schema = Schema(columns=(Column(name="when", kind="timestamp"),))
    times = np.array([[0], [25 * 3_600 * SECOND], [8 * DAY], [MISSING_TIME]])
    hours, days = sketch_columns(Rows(np.empty((4, 0)), np.empty((4, 0), object), times), schema, {})
    assert (hours.kind, hours.counts[:3], hours.missing) == ("hour", (2, 1, 0), 1)
    assert (days.kind, days.counts[:3], days.missing) == ("weekday", (1, 2, 0), 1)


def test_scores_are_counted_finer_where_they_are_high(rng: np.random.Generator) -> None:
    scores = rng.normal(size=4_000).astype(np.float32)
    sketch = sketch_scores(scores)
    assert sum(sketch.counts) == 4_000
    assert 8 <= sketch.counts[-1] < 20
    assert sketch.count(scores).tolist() == list(sketch.counts)
    assert max(sketch.tied) <= 2
    assert sketch_scores(np.ones(400, np.float32)).tied == (400,)


def test_scores_that_differ_by_a_rounding_are_one(rng: np.random.Generator) -> None:
    """A graph may round otherwise than NumPy, and a third of all rows may have the same score."""
    scores = np.where(rng.random(1_000) < 0.3, -0.75, rng.normal(size=1_000)).astype(np.float32)
    sketch = sketch_scores(scores)
    assert max(sketch.tied) > 250
    rounded = scores * np.float32(1 + 3e-7 * rng.choice([-1, 0, 1]))
    assert sketch.count(rounded).tolist() == list(sketch.counts)


def test_every_edge_speaks_for_twenty_rows(rng: np.random.Generator) -> None:
    for column in (rng.normal(size=500), rng.integers(0, 9, 500).astype(float)):
        rows, schema = numbers(column)
        (sketch,) = sketch_columns(rows, schema, {})
        for edge in sketch.edges:
            shared = np.count_nonzero(column == edge) + np.count_nonzero(column == np.nextafter(edge, np.inf))
            assert shared == 0 or shared >= FEWEST_ROWS


def test_a_wide_table_keeps_a_small_manifest(rng: np.random.Generator) -> None:
    rows, schema = numbers(*rng.integers(0, 9, size=(3_000, 400)).astype(float))
    assert len(msgspec.json.format(msgspec.json.encode(sketch_columns(rows, schema, {})))) < 5 << 20


def test_a_manifest_keeps_its_sketches_and_refuses_what_contradicts_them(distilled: sw.Distillation) -> None:
    manifest = distilled.manifest
    sketches = manifest.sketches
    assert {sketch.column for sketch in sketches.columns} == {c.name for c in manifest.schema.features}
    assert sketches.score is not None
    assert msgspec.json.decode(msgspec.json.encode(sketches), type=Sketches) == sketches
    first = sketches.columns[0]
    for changed in (
        {"counts": (*first.counts, 1)},
        {"edges": first.edges[::-1]},
        {"column": "nowhere"},
        {"missing": -1},
        {"kind": "hour"},
    ):
        bad = (msgspec.structs.replace(first, **changed), *sketches.columns[1:])
        with pytest.raises(ArtifactError, match="sketches do not fit the schema"):
            decode(
                encode(
                    msgspec.structs.replace(manifest, sketches=msgspec.structs.replace(sketches, columns=bad))
                )
            )
    for changed in (
        {"counts": (0, *sketches.score.counts[1:])},
        {"tied": (0, *sketches.score.tied[1:])},
        {"fitted": (1,)},
    ):
        score = msgspec.structs.replace(sketches.score, **changed)
        with pytest.raises(ArtifactError, match="sketches do not fit the schema"):
            decode(
                encode(
                    msgspec.structs.replace(
                        manifest, sketches=Sketches(columns=sketches.columns, score=score)
                    )
                )
            )
