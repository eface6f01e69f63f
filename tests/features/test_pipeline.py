from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from stillwatch.artifact.parity import open_session
from stillwatch.features.pipeline import Features, fit_features
from stillwatch.graph import Graph
from stillwatch.table.pack import Packer, Rows
from stillwatch.table.schema import Column, Schema
from tests.tables import mixed_table

SCHEMA = Schema(
    columns=(
        Column(name="plain", kind="number"),
        Column(name="heavy", kind="number"),
        Column(name="gaps", kind="number"),
        Column(name="large", kind="number"),
        Column(name="same", kind="number"),
        Column(name="flag", kind="boolean"),
        Column(name="city", kind="category"),
        Column(name="one", kind="category"),
    )
)


def training_rows(n: int = 400) -> Rows:
    rng = np.random.default_rng(1)
    gaps = rng.normal(size=n)
    gaps[rng.random(n) < 0.2] = np.nan
    numbers = np.column_stack(
        [
            rng.normal(5, 2, n),
            rng.standard_cauchy(n) * 1e6,
            gaps,
            3e9 + rng.integers(0, 1000, n),
            np.full(n, 7.0),
            (rng.random(n) < 0.1).astype(float),
        ]
    )
    texts = np.empty((n, 2), dtype=object)
    texts[:, 0] = rng.choice(["a", "b", "c", "", "twice only"], n, p=[0.5, 0.3, 0.1, 0.09, 0.01])
    texts[:, 1] = "always"
    return Rows(numbers, texts)


@pytest.fixture(scope="module")
def features() -> Features:
    return fit_features(training_rows(), SCHEMA)


def matrix_by_graph(features: Features, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Feature matrix and guard as onnxruntime computes them."""
    graph = Graph()
    matrix, guard = features.write(graph)
    assert guard is not None
    model = onnx.load_from_string(graph.finish(guard))
    model.graph.output.append(helper.make_tensor_value_info(matrix, TensorProto.FLOAT, ["n", "d"]))
    session = open_session(model.SerializeToString())
    feed = features.layout.feed(rows, features.schema.numbers, features.schema.texts)
    score, x = session.run(["score", matrix], feed)
    return x, score[:, 0]


numbers = st.one_of(
    st.floats(width=64, allow_nan=False),
    st.just(float("nan")),
    st.sampled_from([0.0, -0.0, 7.0, np.inf, -np.inf, 1e38, -1e38, 1e308, 1e-310, 3e9, 3e9 + 1, 2.0**24 + 1]),
)
texts = st.one_of(
    st.sampled_from(["a", "b", "c", "", "always", "twice only"]),
    st.text(max_size=5).filter(lambda t: "\0" not in t),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[numbers] * 6, *[texts] * 2), min_size=1, max_size=6))
def test_numpy_and_graph_agree_on_any_row(features: Features, drawn: list[tuple[object, ...]]) -> None:
    rows = Rows(
        np.array([row[:6] for row in drawn], dtype=np.float64),
        np.array([row[6:] for row in drawn], dtype=object),
    )
    code = features.encode(rows)
    x, guard = matrix_by_graph(features, rows)
    np.testing.assert_allclose(features.assemble(code), x, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(features.guard(code), guard, rtol=1e-5, atol=1e-5)
    assert np.isfinite(x).all()
    assert np.isfinite(guard).all()


def test_the_guard_is_zero_inside_the_box_however_many_columns_and_grows_beyond(
    rng: np.random.Generator,
) -> None:
    schema = Schema(columns=tuple(Column(name=f"c{j}", kind="number") for j in range(200)))
    numbers = rng.normal(size=(300, 200))
    fitted = fit_features(Rows(numbers, np.empty((300, 0), dtype=object)), schema)
    assert (fitted.guard(fitted.encode(Rows(numbers, np.empty((300, 0), dtype=object)))) == 0).all()
    out = np.repeat(numbers[:1], 3, axis=0)
    out[:, 7] = 1e4, 1e5, 1e6
    guard = fitted.guard(fitted.encode(Rows(out, np.empty((3, 0), dtype=object))))
    assert (np.diff(guard, prepend=0) > 0).all()


def test_numpy_and_graph_agree_on_tables_of_one_kind() -> None:
    rows = training_rows()
    for kept in (
        SCHEMA.columns[:1],
        SCHEMA.columns[4:5],
        SCHEMA.columns[6:7],
        SCHEMA.columns[3:4],
        SCHEMA.columns[3:6],
    ):
        schema = Schema(columns=kept)
        part = Rows(
            rows.numbers[:, [SCHEMA.numbers.index(n) for n in schema.numbers]],
            rows.texts[:, [SCHEMA.texts.index(n) for n in schema.texts]],
        )
        fitted = fit_features(part, schema)
        graph = Graph()
        matrix, _ = fitted.write(graph)
        model = onnx.load_from_string(graph.finish(graph.add("ReduceL1", matrix, axes=[1], keepdims=1)))
        feed = fitted.layout.feed(part, schema.numbers, schema.texts)
        (score,) = open_session(model.SerializeToString()).run(["score"], feed)
        expected = np.abs(fitted.transform(part)).sum(axis=1)
        np.testing.assert_allclose(score[:, 0], expected, rtol=1e-5, atol=1e-5)


def test_large_whole_numbers_keep_their_value(features: Features) -> None:
    assert features.layout.num64 == ("large",)
    rows = training_rows().take(np.zeros(2, dtype=np.int64))
    rows.numbers[:, 3] = [3e9 + 500, 3e9 + 501]
    x = features.transform(rows)
    assert (x[0] != x[1]).any()


def test_constant_column_says_whether_it_differs(features: Features) -> None:
    rows = training_rows().take(np.zeros(3, dtype=np.int64))
    rows.numbers[:, 4] = [7.0, 7.001, np.nan]
    differs = features.encode(rows).differs[:, 0]
    assert differs[0] == 0
    assert (differs[1:] > 0).all()


def test_a_value_seen_too_rarely_counts_as_unseen_and_is_not_stored() -> None:
    rows = training_rows()
    rows.texts[:3, 0] = "private"
    assert features_know(rows, "private") is False
    rows.texts[:5, 0] = "private"
    assert features_know(rows, "private") is True


def features_know(rows: Rows, value: str) -> bool:
    categories = fit_features(rows, SCHEMA).categories
    assert categories is not None
    return value in categories.known()[0]


def test_missing_number_is_read_as_the_median(features: Features) -> None:
    rows = training_rows().take(np.zeros(2, dtype=np.int64))
    median = np.nanmedian(training_rows().numbers[:, 2])
    rows.numbers[:, 2] = [np.nan, median]
    u = features.encode(rows).u
    np.testing.assert_allclose(u[0], u[1], atol=1e-6)


def test_squash_and_unsquash_are_inverse(features: Features) -> None:
    assert features.numbers is not None
    u = np.tile(np.linspace(-1, 1, 201, dtype=np.float32)[:, None], (1, len(features.numbers.scale)))
    back = features.numbers.unsquash(features.numbers.squash(u))
    np.testing.assert_allclose(back, u, rtol=1e-4, atol=1e-6)


def test_order_of_a_column_is_kept_to_1e15_deviations_and_scores_stay_finite(distilled: object) -> None:
    import stillwatch as sw

    assert isinstance(distilled, sw.Distillation)
    row = mixed_table(10).drop_columns(["fraud"]).to_pylist()[0]
    values = [10.0**k for k in range(4, 16)]
    for sign in (1, -1):
        scores = [distilled.scorer.score_one({**row, "amount": sign * value}) for value in values]
        assert all(a < b for a, b in pairwise(scores[3:])), (sign, scores)
    ends = [np.inf, -np.inf, 1e308, -1e308, 1e-310, 1e38]
    assert all(np.isfinite(distilled.scorer.score_one({**row, "amount": value})) for value in ends)


def test_a_column_a_million_deviations_out_raises_the_alarm(distilled: object) -> None:
    import stillwatch as sw

    assert isinstance(distilled, sw.Distillation)
    rows = mixed_table(50, seed=3).drop_columns(["fraud"]).to_pylist()
    for column, step in (("amount", 2e7), ("age", 1e7), ("stamp", 2e10)):
        pushed = [{**row, column: (row[column] or 0) + step} for row in rows]
        assert distilled.scorer.alert(pushed).all(), column


def test_packer_and_features_do_not_change_their_input() -> None:
    rows = training_rows()
    before = rows.numbers.copy()
    fit_features(rows, SCHEMA).transform(rows)
    np.testing.assert_array_equal(rows.numbers, before)
    table = pa.table({"amount": [1.0, None], "city": ["a", None]})
    schema = Schema(columns=(Column(name="amount", kind="number"), Column(name="city", kind="category")))
    assert Packer(schema).table(table).texts[:, 0].tolist() == ["a", ""]
