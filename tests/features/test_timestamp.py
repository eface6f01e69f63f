from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from stillwatch.artifact.audit import audit
from stillwatch.artifact.parity import open_session
from stillwatch.features.pipeline import Features, fit_features
from stillwatch.features.timestamp import WEIGHT, YEAR, fit_timestamps
from stillwatch.graph import Graph
from stillwatch.knowledge.transfer import KINDS, draw, parents_of
from stillwatch.table.pack import Rows
from stillwatch.table.schema import Column, Schema
from stillwatch.table.timestamp import DAY, FIRST_TIME, LAST_TIME, MISSING_TIME

SCHEMA = Schema(
    columns=(
        Column(name="x", kind="number"),
        Column(name="when", kind="timestamp"),
        Column(name="city", kind="category"),
        Column(name="then", kind="timestamp"),
    )
)
START = 1_709_294_400_000_000  # 2024-03-01T12:00Z


def training_rows(n: int = 300) -> Rows:
    rng = np.random.default_rng(3)
    times = START + rng.integers(0, 30, (n, 2)) * DAY + rng.integers(0, DAY // 4, (n, 2))  # from noon to six
    times[rng.random(n) < 0.2, 1] = MISSING_TIME
    texts = rng.choice(np.array(["a", "b"], dtype=object), (n, 1))
    return Rows(rng.normal(size=(n, 1)), texts, times)


@pytest.fixture(scope="module")
def features() -> Features:
    return fit_features(training_rows(), SCHEMA)


def matrix_by_graph(features: Features, rows: Rows) -> np.ndarray:
    graph = Graph()
    matrix, _ = features.write(graph)
    data = graph.finish(graph.add("ReduceL1", matrix, axes=[1], keepdims=1))
    audit(data)
    model = onnx.load_from_string(data)
    model.graph.output.append(helper.make_tensor_value_info(matrix, TensorProto.FLOAT, ["n", "d"]))
    session = open_session(model.SerializeToString())
    feed = features.layout.feed(rows, features.schema.numbers, features.schema.texts)
    return session.run([matrix], feed)[0]


instants = st.one_of(
    st.integers(MISSING_TIME, LAST_TIME),
    st.integers(START - 10**15, START + 10**15),
    st.sampled_from(
        [MISSING_TIME, FIRST_TIME, LAST_TIME, 0, -1, DAY, -62_135_596_800_000_000, 253_402_300_799_999_999]
    ),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(instants, instants), min_size=1, max_size=5))
def test_numpy_and_graph_agree_on_any_time(features: Features, drawn: list[tuple[int, int]]) -> None:
    times = np.array(drawn, dtype=np.int64)
    rows = Rows(np.zeros((len(times), 1)), np.full((len(times), 1), "a", dtype=object), times)
    x = features.transform(rows)
    np.testing.assert_allclose(x, matrix_by_graph(features, rows), rtol=1e-5, atol=1e-6)
    assert np.isfinite(x).all()


@pytest.mark.parametrize("kept", [["when"], ["then"], ["x", "then"], ["city", "when"], ["when", "then"]])
def test_tables_of_some_kinds(kept: list[str]) -> None:
    rows = training_rows()
    schema = Schema(columns=tuple(column for column in SCHEMA.columns if column.name in kept))
    part = Rows(
        rows.numbers[:, : len(schema.numbers)],
        rows.texts[:, : len(schema.texts)],
        rows.times[:, [SCHEMA.times.index(name) for name in schema.times]],
    )
    fitted = fit_features(part, schema)
    np.testing.assert_allclose(fitted.transform(part), matrix_by_graph(fitted, part), rtol=1e-5, atol=1e-6)


def circles(time: int) -> np.ndarray:
    return fit_timestamps(np.array([[START]])).features(np.array([[time]]))[0]


def test_circles_repeat_by_day_week_and_year() -> None:
    at = circles(START)
    assert at.shape == (6,)
    for period, same in ((DAY, [0, 3]), (7 * DAY, [0, 1, 3, 4]), (YEAR, [2, 5])):
        later = circles(START + period)
        np.testing.assert_allclose(later[same], at[same], atol=1e-5)
    half = circles(START + DAY // 2)
    np.testing.assert_allclose(half[[0, 3]], -at[[0, 3]], atol=1e-5)
    np.testing.assert_allclose(np.square(at).sum(), 3 * WEIGHT**2, rtol=1e-5)


def test_a_missing_time_stands_in_the_middle_and_is_told_where_training_had_gaps(features: Features) -> None:
    assert features.timestamps is not None
    assert features.timestamps.gaps.tolist() == [1]
    x = features.timestamps.features(np.full((1, 2), MISSING_TIME))
    assert x.tolist() == [[0.0] * 12 + [1.0]]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_synthetic_row_has_valid_times(features: Features, kind: str) -> None:
    rng = np.random.default_rng(0)
    parents = parents_of(features.encode(training_rows()), features)
    made = KINDS[kind](parents, 400, rng)
    assert made.time.shape == (400, 2)
    assert made.time.dtype == np.int64
    assert (made.time[:, 0] != MISSING_TIME).all()  # it never was in training
    if kind in {"swap", "jitter", "between", "local", "stretch", "extreme"}:
        assert np.isin(made.time, parents.code.time).all()
    else:
        hours = made.time[:, 0] % DAY // (DAY // 24)
        assert len(np.unique(hours)) == 24
    assert np.isfinite(features.assemble(made)).all()
    both, _ = draw(parents, 100, rng, {"jitter": 1.0, "box": 1.0})
    assert len(both.time) == 100


def test_a_table_of_times_alone_makes_synthetic_rows() -> None:
    rows = training_rows()
    schema = Schema(columns=SCHEMA.columns[1:2])
    fitted = fit_features(
        Rows(np.empty((300, 0)), np.empty((300, 0), dtype=object), rows.times[:, :1]), schema
    )
    parents = parents_of(
        fitted.encode(Rows(rows.numbers[:, :0], rows.texts[:, :0], rows.times[:, :1])), fitted
    )
    for kind in KINDS.values():
        assert len(kind(parents, 50, np.random.default_rng(0))) == 50


@pytest.mark.parametrize("times", [[MISSING_TIME], [FIRST_TIME, LAST_TIME], [LAST_TIME, MISSING_TIME]])
def test_training_at_the_ends_of_time(times: list[int]) -> None:
    fitted = fit_timestamps(np.array(times, dtype=np.int64)[:, None])
    assert (fitted.low < fitted.high).all()
    assert np.isfinite(fitted.features(fitted.anywhen(50, np.random.default_rng(0)))).all()
