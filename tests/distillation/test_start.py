"""Going on from an earlier model: what is read back, what is kept, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.distillation.fit import scout_of
from stillwatch.distillation.scout import scout
from stillwatch.distillation.start import Start, begin
from stillwatch.features.pipeline import fit_features
from stillwatch.features.state import features_of, state_of
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.held_out import held_out_agreement
from stillwatch.students.lesson import dense_layers, fold
from stillwatch.students.warm import unfold
from stillwatch.table.pack import Packer
from stillwatch.table.schema import infer_schema
from tests.lessons import lesson
from tests.tables import mixed_table


@pytest.fixture(scope="module")
def old() -> pa.Table:
    return mixed_table(2_400, seed=0)


@pytest.fixture(scope="module")
def new() -> pa.Table:
    return mixed_table(2_400, seed=1)


@pytest.fixture
def seen() -> Knowledge:
    x = np.random.default_rng(0).normal(size=(1_500, 4)).astype(np.float32)
    raw = np.linalg.norm(x, axis=1).astype(np.float64)
    return lesson(x, raw)


STUDENTS = {
    "mlp": sw.MLP((24, 24), steps=400),
    "half mlp": sw.MLP((24, 24), steps=400, half=True),
    "prototypes": sw.Prototypes(40, hidden=(16, 16), steps=400),
    "half prototypes": sw.Prototypes(40, hidden=(16, 16), steps=400, half=True),
    "blend": sw.Blend(
        sw.Prototypes(40, hidden=(16, 16), steps=400), sw.MLP((16, 16), steps=400, half=True), share=0.6
    ),
    "additive": sw.Additive(),
    "linear": sw.Linear(),
    "trees": sw.Trees(leaves=8, trees=20),
}


@pytest.fixture(scope="module")
def first(old: pa.Table) -> sw.Distillation:
    return sw.distill(
        old, label="fraud", teacher="isolation_forest", student=sw.Prototypes(60, hidden=(16, 16), steps=600)
    )


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_is_read_back_from_its_graph(name: str, old: pa.Table) -> None:
    d = sw.distill(old, label="fraud", teacher="isolation_forest", student=STUDENTS[name])
    found = begin(d, "auto")
    assert found.student.name == name.removeprefix("half ")
    if getattr(found.student, "warm", False):
        x = d.features(old)[:200]
        np.testing.assert_array_equal(found.student.score(x), d.fitted.student.score(x))


def test_features_are_the_same_after_a_detour_over_json(old: pa.Table, new: pa.Table) -> None:
    stamped = old.append_column("when", pa.array(np.arange(len(old)), pa.timestamp("s")))
    schema = infer_schema(sw.open_source(stamped), label="fraud")
    rows = Packer(schema).table(stamped)
    features = fit_features(rows, schema)
    assert features.timestamps is not None
    known = dict(zip(features.layout.txt, features.categories.known(), strict=True))  # type: ignore[union-attr]
    state = msgspec.json.decode(msgspec.json.encode(state_of(features)))
    again = features_of(state, schema, features.layout, known)
    np.testing.assert_array_equal(again.transform(rows), features.transform(rows))


def test_unfolding_undoes_folding() -> None:
    rng = np.random.default_rng(0)
    layers, other = dense_layers(3, (5,), seed=0), dense_layers(3, (5,), seed=1)
    scales = rng.normal(size=3), rng.uniform(0.5, 2, 3), 0.7, 2.5
    folded = fold(layers, *scales)
    unfold(other, folded, *scales)
    for (weight, bias), (again, too) in zip(folded, fold(other, *scales), strict=True):
        np.testing.assert_allclose(again, weight, rtol=1e-5)
        np.testing.assert_allclose(too, bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["mlp", "half mlp", "prototypes", "half prototypes"])
def test_training_goes_on_from_where_it_stood(family: str, seen: Knowledge) -> None:
    import copy

    student = copy.copy(STUDENTS[family]).fit(seen, seed=0)
    cold = copy.copy(STUDENTS[family])
    cold.steps = 6
    cold.fit(seen, seed=0)
    student.warm, student.steps = True, 40
    told: list[tuple[int, int]] = []
    student.fit(seen, seed=0, progress=lambda step, steps, best: told.append((step, steps)))
    assert {steps for _, steps in told} == {6}  # 0.15 of the steps
    assert student.history[0][0] == 0  # as it came
    assert student.history[-1][0] == told[-1][0]
    assert student.history[-1][1] > cold.history[-1][1] + 0.05
    assert not student.warm  # once


@pytest.mark.parametrize("family", ["mlp", "half mlp", "prototypes", "half prototypes"])
def test_the_same_rows_again_cost_nothing(family: str, seen: Knowledge) -> None:
    import copy

    student = copy.copy(STUDENTS[family]).fit(seen, seed=0)
    before = held_out_agreement(student, seen)
    student.warm, student.steps = True, 40
    assert held_out_agreement(student.fit(seen, seed=0), seen) >= before - 1e-4  # rounding to half precision


def test_points_start_anew_where_rows_moved_and_stay_where_they_did_not() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1_500, 2)).astype(np.float32)
    here, there = (lesson(x + far, np.linalg.norm(x, axis=1).astype(np.float64)) for far in (0, 9))
    student = sw.Prototypes(30, hidden=(16, 16), steps=200).fit(here, seed=0)
    places = student.places
    for rows, moved in ((here, False), (there, True)):
        student.warm, student.steps = True, 7  # one step: where they start
        student.fit(rows, seed=0)
        assert (np.abs(student.places.mean(axis=0) - places.mean(axis=0)).min() > 4) == moved


def test_training_goes_on_where_all_rows_are_the_same() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)).astype(np.float32)
    student = sw.Prototypes(points=8, steps=20).fit(lesson(x, x[:, 0]), seed=0)
    student.warm = True
    student.fit(lesson(np.ones_like(x), x[:, 0]), seed=0)
    assert np.isfinite(student.score(x)).all()


def test_the_earlier_student_says_where_to_ask_again(seen: Knowledge) -> None:
    class Earlier:
        warm = True

        def score(self, x: Any) -> Any:
            return x[:, 0]

    cold = Earlier()
    cold.warm = False
    warm, anew = (scout_of(cast(Start, SimpleNamespace(student=student)), 0) for student in (Earlier(), cold))
    np.testing.assert_array_equal(warm(seen), seen.x[:, 0])
    np.testing.assert_array_equal(anew(seen), scout(seen, seed=0))
    assert np.abs(anew(seen) - seen.x[:, 0]).max() > 0.1


@pytest.mark.parametrize(
    ("before", "now", "rows", "said"),
    [
        (0.93, 0.87, 2_000, True),
        (0.93, 0.92, 2_000, False),
        (0.73, 0.70, 2_000, False),  # by chance, perhaps
        (0.93, 0.87, 100, False),  # by chance, perhaps
        (1.0, 0.9, 2_000, True),
        (1.0, 1.0, 2_000, False),
        (0.87, 0.93, 2_000, False),
        (0.93, None, 5, False),
    ],
)
def test_a_shortfall_is_more_than_chance(before: float, now: float | None, rows: int, said: bool) -> None:
    earlier = SimpleNamespace(agreed=before)
    told = Start.shortfall(cast(Start, earlier), {"spearman_upper": now, "rows": rows})
    assert bool(told) == said


class TestAgain:
    def test_scores_keep_their_scale_and_thresholds_compare(
        self, first: sw.Distillation, new: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first.save(tmp_path / "model")
        monkeypatch.setattr("stillwatch.distillation.fit.scout", None)  # the earlier student needs no other
        again = sw.distill(new.drop_columns("fraud"), teacher="isolation_forest", start=tmp_path / "model")
        assert again.knowledge.provenance["softening"] == first.knowledge.provenance["softening"]
        assert again.manifest.student["name"] == "prototypes"
        assert again.manifest.calibration.scores != first.manifest.calibration.scores
        before, after = first.scorer.score(new), again.scorer.score(new)
        assert abs(np.median(after - before)) < 0.2
        features = [d.fitted.features.transform(next(d.scorer.pack(new))) for d in (first, again)]
        np.testing.assert_array_equal(*features)
        assert len(again.knowledge) < 0.6 * len(first.knowledge)

    def test_a_restart_that_cannot_follow_says_so(self, first: sw.Distillation, old: pa.Table) -> None:
        agreed = first.manifest.fidelity["spearman_upper"]
        assert begin(first, "auto").agreed == agreed

        def told(before: float | None) -> list[str]:
            fidelity = first.manifest.fidelity | {"spearman_upper": before}
            manifest = msgspec.structs.replace(first.manifest, fidelity=fidelity)
            earlier = SimpleNamespace(manifest=manifest, model=first.model)
            again = sw.distill(old, teacher="isolation_forest", start=earlier)
            return [said for said in again.warnings if said.startswith("start: ")]

        assert told(agreed) == told(None) == []
        (said,) = told(0.999)
        assert "that of the earlier model to 0.999" in said

    def test_a_run_repeats(self, first: sw.Distillation, new: pa.Table) -> None:
        one, two = (sw.distill(new, teacher="isolation_forest", start=first) for _ in range(2))
        assert one.model == two.model

    def test_another_teacher_is_refused(self, first: sw.Distillation, new: pa.Table) -> None:
        with pytest.raises(
            sw.InputError, match=r"learnt from the teacher 'isolation_forest', and 'knn' came"
        ):
            sw.distill(new, teacher="knn", start=first)

    def test_another_student_is_refused(self, first: sw.Distillation, new: pa.Table) -> None:
        with pytest.raises(sw.StudentError, match="student is 'prototypes', and 'mlp' was asked for"):
            sw.distill(new, teacher="isolation_forest", student="mlp", start=first)

    def test_other_columns_are_refused(self, first: sw.Distillation, new: pa.Table) -> None:
        schema = infer_schema(sw.open_source(new.drop_columns("age")))
        with pytest.raises(sw.InputError, match="columns differ from the model's in 'age'"):
            sw.distill(new, schema=schema, teacher="isolation_forest", start=first)
        with pytest.raises(sw.SchemaError, match="age"):
            sw.distill(new.drop_columns("age"), teacher="isolation_forest", start=first)

    def test_a_search_makes_everything_anew(self, first: sw.Distillation, new: pa.Table) -> None:
        with pytest.raises(sw.InputError, match="budget and start"):
            sw.distill(new, start=first, budget=sw.Budget())

    def test_something_else_is_refused(self, new: pa.Table) -> None:
        with pytest.raises(sw.InputError, match="start is a int"):
            sw.distill(new, start=3)

    def test_a_model_that_was_misread_is_refused(self, first: sw.Distillation) -> None:
        from dataclasses import replace

        state = dict(first.manifest.knowledge["features"])
        numbers = dict(state["numbers"])
        numbers["center"] = [value + 1 for value in numbers["center"]]
        knowledge = {**first.manifest.knowledge, "features": {**state, "numbers": numbers}}
        changed = replace(first, manifest=msgspec.structs.replace(first.manifest, knowledge=knowledge))
        with pytest.raises(sw.StudentError, match="writes it otherwise"):
            begin(changed, "auto")
        del knowledge["features"]
        changed = replace(first, manifest=msgspec.structs.replace(first.manifest, knowledge=knowledge))
        with pytest.raises(sw.InputError, match="does not hold what its features were made with"):
            begin(changed, "auto")
