"""Which student the default keeps: points, layers, a mean of both, or a sum over columns."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

import stillwatch as sw
from stillwatch.knowledge.knowledge import NEAR, Knowledge
from stillwatch.knowledge.profile import profile
from stillwatch.students.auto import Auto
from stillwatch.students.blend import Blend
from stillwatch.students.held_out import agreement
from tests.lessons import lesson

ROWS = 4_000


@pytest.fixture(autouse=True)
def enough_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else few points would be no choice with so few rows."""
    monkeypatch.setattr("stillwatch.students.auto.ROWS_A_POINT", 1)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    """The first column is what the teacher says; the others tell nothing of it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3)).astype(np.float32)
    made = lesson(x, x[:, 0].astype(np.float64), every=5)
    kind = np.where(np.arange(ROWS) % 2, "train", NEAR)
    return replace(made, kind=kind, profile=profile(lambda rows: rows[:, 0], x, x))


class Fixed:
    """A student that says what the teacher does, wrong by so much of one other column."""

    name, history, warm = "fixed", ((1, 1.0),), False

    def __init__(self, column: int, error: float) -> None:
        self.column, self.error = column, error

    def fit(self, knowledge: Knowledge, **_: Any) -> Self:
        return self

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return x[:, 0] + np.float32(self.error) * x[:, self.column]


def blend(points: float, layers: float) -> Any:
    made: Any = Blend(share=None)
    made.points, made.layers = Fixed(1, points), Fixed(2, layers)
    return made


@pytest.mark.parametrize(
    ("points", "layers", "least", "most"),
    [(0.5, 0.5, 0.4, 0.6), (0.0, 2.0, 0.9, 1.0), (2.0, 0.0, 0.0, 0.1), (0.3, 0.6, 0.7, 0.9)],
)
def test_the_share_is_the_one_that_agrees_best(
    knowledge: Knowledge, points: float, layers: float, least: float, most: float
) -> None:
    made = blend(points, layers).fit(knowledge, seed=0)
    assert least <= made.share <= most
    again = copy.copy(made)
    again.points = Fixed(1, 9.0)
    assert again.fit(knowledge, seed=0).share == made.share, "once found it stays"


def choose(
    monkeypatch: pytest.MonkeyPatch,
    knowledge: Knowledge,
    points: float,
    layers: float,
    few: float = 9.0,
    sums: float = 9.0,
) -> str:
    """What the default keeps, by name: many, few, layers or sums, and + where it is a mean."""
    parts = {
        "many": Fixed(1, points),
        "few": Fixed(1, few),
        "layers": Fixed(2, layers),
        "sums": Fixed(1, sums),
    }
    monkeypatch.setattr(
        "stillwatch.students.auto.Prototypes", lambda count=None, **_: parts["few" if count else "many"]
    )
    monkeypatch.setattr("stillwatch.students.auto.MLP", lambda **_: parts["layers"])
    monkeypatch.setattr("stillwatch.students.auto.Additive", lambda **_: parts["sums"])
    found: Any = Auto().fit(knowledge, seed=0)
    names = {id(part): name for name, part in parts.items()}
    return names[id(found.points)] + "+" if isinstance(found, Blend) else names[id(found)]


@pytest.mark.parametrize(
    ("points", "layers", "kept"),
    [
        (0.5, 0.5, "many+"),
        (0.05, 0.12, "many"),
        (0.5, 0.05, "layers"),
        (0.09, 0.07, "layers"),  # quick, and nearly as good as the mean
    ],
)
def test_a_mean_is_kept_only_where_it_is_clearly_better(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch, points: float, layers: float, kept: str
) -> None:
    assert choose(monkeypatch, knowledge, points, layers) == kept


@pytest.mark.parametrize(
    ("many", "few", "layers", "kept"),
    [
        (0.30, 0.305, 2.0, "few"),
        (0.30, 0.40, 2.0, "many"),
        (0.50, 0.51, 0.5, "few+"),
        (0.50, 0.70, 0.5, "many+"),
    ],
)
def test_many_points_are_kept_only_where_few_know_less(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch, many: float, few: float, layers: float, kept: str
) -> None:
    assert choose(monkeypatch, knowledge, many, layers, few) == kept


def test_few_points_are_no_choice_where_all_are_few(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose(monkeypatch, knowledge, 0.3, 2.0, 0.3) == "few"
    monkeypatch.setattr("stillwatch.students.auto.ROWS_A_POINT", ROWS)
    assert choose(monkeypatch, knowledge, 0.3, 2.0, 0.3) == "many"


def test_sums_are_kept_only_where_nothing_is_nearly_as_good(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose(monkeypatch, knowledge, 0.3, 2.0, sums=0.15) == "sums"
    assert choose(monkeypatch, knowledge, 0.152, 2.0, sums=0.15) == "many"
    assert choose(monkeypatch, replace(knowledge, profile=None), 0.3, 2.0, sums=0.15) == "many"


def test_nothing_is_trained_where_the_teacher_is_a_sum(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any, **__: Any) -> Any:
        raise AssertionError("trained")

    monkeypatch.setattr("stillwatch.students.auto.train", train)
    assert choose(monkeypatch, knowledge, 0.0, 0.0, sums=0.05) == "sums"
    with pytest.raises(AssertionError, match="trained"):
        choose(monkeypatch, knowledge, 0.0, 0.0, sums=0.15)


def test_layers_must_be_better_on_real_rows_too(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = knowledge.x.copy()
    x[knowledge.kind == NEAR, 2] = 0  # so that layers make no error on synthetic rows
    for points, layers, kept in (0.12, 0.15, "many+"), (0.12, 0.144, "layers"):
        assert choose(monkeypatch, replace(knowledge, x=x), points, layers) == kept


def test_points_are_kept_where_only_synthetic_rows_speak_for_layers(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_real = replace(knowledge, kind=np.where(np.arange(ROWS) < ROWS - 10, NEAR, "train"))
    assert choose(monkeypatch, knowledge, 2.0, 0.0) == "layers"
    assert choose(monkeypatch, few_real, 2.0, 0.0) == "many"


def test_agreement_is_of_order_and_zero_where_nothing_was_held_out(knowledge: Knowledge) -> None:
    held_out = knowledge.x[knowledge.held_out]
    assert agreement(held_out[:, 0], knowledge) == pytest.approx(1)
    assert abs(agreement(held_out[:, 1], knowledge)) < 0.2
    nothing = Knowledge(
        x=knowledge.x[:9],
        raw=knowledge.raw[:9],
        soft=knowledge.soft[:9],
        guard=knowledge.guard[:9],
        kind=np.full(9, "train"),
        held_out=np.zeros(9, dtype=np.bool_),
        provenance={},
    )
    assert agreement(np.empty(0, dtype=np.float32), nothing) == 0


def test_real_rows_weigh_less_where_they_are_few(knowledge: Knowledge) -> None:
    held_out = knowledge.x[knowledge.held_out]
    told = []
    for real in (10, 400):  # of 800 rows held out
        kind = np.full(ROWS, NEAR)
        kind[np.flatnonzero(knowledge.held_out)[:real]] = "train"
        wrong = np.where(np.arange(len(held_out)) < real, held_out[:, 1], held_out[:, 0])
        told.append(agreement(wrong, replace(knowledge, kind=kind)))
    assert told[0] > 0.95
    assert told[1] < 0.7


def test_a_copy_shares_no_part(knowledge: Knowledge) -> None:
    one = Blend(sw.Prototypes(20, hidden=(8,), steps=30), sw.MLP((8,), steps=30)).fit(knowledge, seed=0)
    before = one.score(knowledge.x[:50])
    copy.copy(one).fit(knowledge, seed=1)
    np.testing.assert_array_equal(one.score(knowledge.x[:50]), before)


def test_an_impossible_share_is_refused() -> None:
    with pytest.raises(sw.StudentError, match="between 0 and 1"):
        sw.Blend(share=1.5)
