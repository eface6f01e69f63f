from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.explain.reasons import Explainer
from stillwatch.explain.references import References
from stillwatch.table.pack import Packer
from stillwatch.table.rows import Rows
from stillwatch.table.schema import Column, Schema

SCHEMA = Schema(
    columns=(
        Column(name="amount", kind="number"),
        Column(name="member", kind="boolean"),
        Column(name="city", kind="category"),
        Column(name="when", kind="timestamp"),
    )
)
NORMAL = References(
    numbers=((10.0, 1.0), (1_000.0, 1.0)), texts=(("Bern",), ("Chur",)), times=((0,), (0,)), scale=(2.0, 1.0)
)


def score(rows: Rows) -> np.ndarray:
    """Grows with the amount, in Zug, where nobody is a member, and where the amount is missing."""
    amount = np.nan_to_num(rows.numbers[:, 0], nan=30.0) / 10
    return (amount + 2.0 * (rows.texts[:, 0] == "Zug") - rows.numbers[:, 1]).astype(np.float32)


@pytest.fixture
def explain() -> Callable[..., tuple[sw.Reason, ...]]:
    explainer, packer = Explainer(SCHEMA, NORMAL, score), Packer(SCHEMA)
    return lambda top=9, **row: explainer.explain(packer.row(row), top)[0]


def test_reasons_are_falls_of_the_score_in_order(explain: Callable[..., tuple[sw.Reason, ...]]) -> None:
    found = explain(amount=90.0, member=False, city="Zug", when="1970-01-01T12:00")
    assert [r.column for r in found] == ["amount", "city", "member", "when"]
    assert [r.effect for r in found] == pytest.approx([8.0, 2.0, 1.0, 0.0])
    assert [(r.value, r.normal) for r in found] == [
        (90.0, 10.0),
        ("Zug", "Bern"),
        (False, True),
        ("1970-01-01T12:00:00.000000Z", "1970-01-01T00:00:00.000000Z"),
    ]
    assert explain(amount=90.0, member=False, city="Zug", when=None, top=2) == found[:2]


def test_an_effect_has_a_sign(explain: Callable[..., tuple[sw.Reason, ...]]) -> None:
    by_name = {r.column: r.effect for r in explain(amount=5.0, member=True, city="Bern", when=None)}
    assert by_name["amount"] == pytest.approx(-0.5)


def test_missing_values_are_none(explain: Callable[..., tuple[sw.Reason, ...]]) -> None:
    first = explain(amount=None, member=True, city="", when=None, top=1)[0]
    assert (first.column, first.value, first.normal) == ("amount", None, 10.0)
    assert first.effect == pytest.approx(2.0)


def test_normal_is_what_is_normal_for_rows_like_it(explain: Callable[..., tuple[sw.Reason, ...]]) -> None:
    assert {r.column: r.normal for r in explain(amount=990.0, member=False, city="Chur", when=None)} == {
        "amount": 1_000.0,
        "member": True,
        "city": "Chur",
        "when": "1970-01-01T00:00:00.000000Z",
    }


def found_by(score: Callable[[Rows], np.ndarray], row: list[float], top: int) -> tuple[sw.Reason, ...]:
    """Reasons of a row of numbers that are normally 0 and spread by 1."""
    schema = Schema(columns=tuple(Column(name=f"x{j}", kind="number") for j in range(len(row))))
    zeros = (0.0,) * len(row)
    references = References(numbers=(zeros,), texts=((),), times=((),), scale=(1.0,) * len(row))
    rows = Rows(np.array([row]), np.empty((1, 0), object))
    return Explainer(schema, references, score).explain(rows, top)[0]


def test_a_column_that_hides_behind_another_is_found() -> None:
    """The highest alone sets the score: what two have in common is shared."""
    found = found_by(lambda rows: rows.numbers.max(axis=1).astype(np.float32), [9.0, 8.0, 0.5], 2)
    assert [r.column for r in found] == ["x0", "x1"]
    assert [r.effect for r in found] == pytest.approx([1 + 7.5 / 2 + 0.5 / 3, 7.5 / 2 + 0.5 / 3])


def test_columns_that_hide_each_other_are_found() -> None:
    """Of x0 and x1 either is enough for the highest score; of all others none changes it by much."""

    def saturated(rows: Rows) -> np.ndarray:
        odd = np.abs(rows.numbers[:, :2]).max(axis=1)
        return (np.minimum(odd, 5.0) + 0.1 * rows.numbers[:, 2:].sum(axis=1)).astype(np.float32)

    found = found_by(saturated, [9.0, 9.0, *[0.5] * 10], 2)
    assert {r.column for r in found} == {"x0", "x1"}
    assert [r.effect for r in found] == pytest.approx([2.5, 2.5])


def test_a_column_that_looks_normal_is_found_where_the_score_falls_without_it() -> None:
    """Ten columns are far from normal and harmless; the score hangs on two that disagree."""

    def disagreement(rows: Rows) -> np.ndarray:
        return np.abs(rows.numbers[:, 0] - rows.numbers[:, 1]).astype(np.float32)

    found = found_by(disagreement, [0.9, -0.9, *[4.0] * 10], 2)
    assert {r.column for r in found} == {"x0", "x1"}
    assert [r.effect for r in found] == pytest.approx([0.9, 0.9])


def test_a_wide_row_costs_no_more_than_a_narrow_one() -> None:
    asked = []

    def total(rows: Rows) -> np.ndarray:
        asked.append(len(rows))
        return rows.numbers.sum(axis=1).astype(np.float32)

    row = [0.01 * j for j in range(100)]
    found = found_by(total, row, 3)
    assert [r.column for r in found] == ["x99", "x98", "x97"]
    assert asked == [24]
    assert len({r.column for r in found_by(total, row, 50)}) == 50


def test_effects_of_the_furthest_columns_add_up(rng: np.random.Generator) -> None:
    """To the fall of the score when they are normal, whatever the score; that of any other is its own fall."""
    weights = rng.normal(size=(6, 8))

    def tangled(rows: Rows) -> np.ndarray:
        return np.tanh(rows.numbers @ weights).prod(axis=1).astype(np.float32)

    row = [1.5, 0.3, -2.5, 2.0, -0.2, 1.8]
    effects = {r.column: r.effect for r in found_by(tangled, row, 6)}
    alike = np.array([[0.0 if abs(value) > 1 else value for value in row], row])
    normal, own = tangled(Rows(alike, np.empty((2, 0), object)))
    furthest = sum(effects[name] for name in ("x0", "x2", "x3", "x5"))
    assert furthest == pytest.approx(float(own - normal), abs=1e-6)
    without = np.array([row])
    without[0, 1] = 0.0
    fall = own - tangled(Rows(without, np.empty((1, 0), object)))[0]
    assert effects["x1"] == pytest.approx(float(fall), abs=1e-6)


def test_normal_is_the_middle_of_the_groups_most_alike() -> None:
    """And missing where most of them miss it; a value that is missing on both sides is not odd."""
    references = References(
        numbers=((0.0, 5.0, None), (0.1, 6.0, None), (0.2, 9.0, 1.0), (50.0, 50.0, 50.0)),
        texts=(("a",), ("b",), ("c",), ("d",)),
        times=((),) * 4,
        scale=(1.0, 1.0, 1.0),
    )
    columns = [Column(name=name, kind="number") for name in "xyz"] + [Column(name="t", kind="category")]
    explainer = Explainer(
        Schema(columns=tuple(columns)), references, lambda rows: np.zeros(len(rows), np.float32)
    )
    row = Rows(np.array([[0.0, 5.6, np.nan]]), np.array([["a"]], dtype=object))
    (found,) = explainer.explain(row, 9)
    assert {r.column: r.normal for r in found} == {"x": 0.1, "y": 6.0, "z": None, "t": "a"}


def test_what_is_missing_on_both_sides_is_not_odd() -> None:
    """Five such columns take no place of the two that hide each other; one that is missing on one side does."""
    schema = Schema(columns=tuple(Column(name=f"x{j}", kind="number") for j in range(8)))
    references = References(
        numbers=((0.0, 0.0, 0.0, *[None] * 5),), texts=((),), times=((),), scale=(1.0,) * 8
    )

    def saturated(rows: Rows) -> np.ndarray:
        odd = np.abs(np.nan_to_num(rows.numbers[:, :3], nan=9.0)).max(axis=1)
        return np.minimum(odd, 6.0).astype(np.float32)

    row = Rows(np.array([[9.0, 9.0, *[np.nan] * 6]]), np.empty((1, 0), object))
    (found,) = Explainer(schema, references, saturated).explain(row, 3)
    assert {r.column: r.effect for r in found} == pytest.approx({"x0": 2.0, "x1": 2.0, "x2": 2.0})


@pytest.mark.parametrize("top", [1, 2, 3, 4, 7, 12])
def test_any_number_of_reasons_is_the_start_of_more(top: int, rng: np.random.Generator) -> None:
    weights = rng.normal(size=12)
    names = [f"x{j}" for j in range(12)]
    explainer = Explainer(
        Schema(columns=tuple(Column(name=name, kind="number") for name in names)),
        References(numbers=((0.0,) * 12,), texts=((),), times=((),), scale=(1.0,) * 12),
        lambda rows: (rows.numbers @ weights).astype(np.float32),
    )
    row = Rows(rng.normal(size=(1, 12)), np.empty((1, 0), object))
    (found,), (whole,) = explainer.explain(row, top), explainer.explain(row, 12)
    assert [r.column for r in found] == [r.column for r in whole[:top]]
    fall = weights * row.numbers[0]
    assert [r.effect for r in whole] == pytest.approx(fall[[int(r.column[1:]) for r in whole]], abs=1e-5)
    assert len({r.column for r in whole}) == 12


def test_in_batches_as_one_by_one_and_always_the_same(distilled: sw.Distillation, table: pa.Table) -> None:
    scorer, rows = distilled.scorer, table.slice(0, 300)
    found = scorer.explain(rows)
    assert found == scorer.explain(rows)
    assert [r.column for reasons in found for r in reasons] == [
        r.column for row in rows.to_pylist() for r in scorer.explain_one(row)
    ]
    assert {len(reasons) for reasons in found} == {3}
    assert len(scorer.explain_one(rows.to_pylist()[0], top=99)) == len(scorer.manifest.schema.features)


def test_pushed_columns_are_found(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2_500, 8)) + rng.integers(0, 2, size=(2_500, 1)) * 6
    scorer = sw.distill(
        x[:2_200], teacher="knn", assume_normal=True, student=sw.MLP(hidden=(32,), steps=300)
    ).scorer
    pushed, true = x[2_200:].copy(), np.argsort(rng.random((300, 8)), axis=1)[:, :2]
    pushed[np.arange(300)[:, None], true] += 5 * 3.3 * rng.choice([-1, 1], size=(300, 2))
    names = [{int(r.column[1:]) for r in reasons} for reasons in scorer.explain(pushed)]
    assert (
        np.mean([len(found & set(columns)) for found, columns in zip(names, true.tolist(), strict=True)])
        > 1.8
    )


def test_what_cannot_be_explained_says_why(distilled: sw.Distillation, table: pa.Table) -> None:
    with pytest.raises(sw.InputError, match="1 or more"):
        distilled.scorer.explain(table.slice(0, 1), top=0)
    tiny = sw.distill(np.arange(12.0)[:, None] ** 2, teacher="knn", student=sw.MLP(hidden=(4,), steps=10))
    with pytest.raises(sw.InputError, match="fewer than 20 rows"):
        tiny.scorer.explain(np.ones((1, 1)))
    assert distilled.scorer.explain(table.slice(0, 0)) == []


def test_extremes_are_explained_too(distilled: sw.Distillation, table: pa.Table) -> None:
    row = table.slice(0, 1).to_pylist()[0] | {"amount": float("inf"), "age": None, "city": "never seen"}
    found = {r.column: r for r in distilled.scorer.explain_one(row, top=9)}
    assert found["amount"].effect > 1
    assert all(np.isfinite(r.effect) for r in found.values())
