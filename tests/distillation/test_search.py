"""A budget is kept, what it cannot give is said, and a recorded search decides the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

import stillwatch as sw
from stillwatch.distillation import cost
from stillwatch.distillation.cost import latencies
from stillwatch.distillation.search import ROOM, Capacity, Exam, search
from stillwatch.graph import Graph
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.protocol import Student
from stillwatch.students.sizes import Choice, least_bytes
from tests.lessons import lesson

CHOICES = (
    Choice("linear", "s", sw.Linear()),
    Choice("additive", "s", sw.Additive(pairs=0)),
    Choice("mlp", "1 x 4", sw.MLP((4,), steps=150)),
    Choice("mlp", "2 x 16", sw.MLP((16, 16), steps=300)),
    Choice("mlp", "2 x 64", sw.MLP((64, 64), steps=300)),
    Choice("mlp", "2 x 96", sw.MLP((96, 96), steps=300)),
)
CLOCK = {
    "linear s": 4.0,
    "additive s": 9.0,
    "mlp 1 x 4": 5.0,
    "mlp 2 x 16": 6.0,
    "mlp 2 x 64": 8.0,
    "mlp 2 x 96": 12.0,
}


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2_500, 4)).astype(np.float32)
    raw = np.linalg.norm(x - np.sign(x[:, :1]), axis=1).astype(np.float64)
    return lesson(x, raw, soft=np.arcsinh(raw - np.median(raw)), every=5)


@pytest.fixture(scope="module")
def exam(knowledge: Knowledge) -> Exam:
    x = np.random.default_rng(1).uniform(-3, 3, size=(500, 4)).astype(np.float32)
    return Exam(x, np.linalg.norm(x - np.sign(x[:, :1]), axis=1).astype(np.float32))


def export(student: Student) -> bytes:
    graph = Graph()
    return graph.finish(student.write(graph, graph.input("num", 4)))


def clock(models: Mapping[str, bytes], *, moments: int = 1) -> dict[str, float]:
    return {name: CLOCK[name] for name in models}


def found(budget: sw.Budget, knowledge: Knowledge, exam: Exam) -> sw.Search:
    _, result = search(Capacity(budget, CHOICES), knowledge, exam, export=export, latencies=clock, seed=0)
    return result


@pytest.mark.parametrize("size_kb", [1, 3, 8, 100])
@pytest.mark.parametrize("latency_us", [None, 7.0, 20.0])
def test_the_most_faithful_inside_is_chosen(
    size_kb: float, latency_us: float | None, knowledge: Knowledge, exam: Exam
) -> None:
    result = found(sw.Budget(latency_us=latency_us, size_kb=size_kb), knowledge, exam)
    chosen = result.chosen
    assert chosen.bytes <= 1_000 * size_kb
    assert latency_us is None or chosen.latency_us <= ROOM * latency_us
    assert chosen.fidelity >= max(trial.fidelity for trial in result.trials if trial.inside) - 0.001
    assert not result.note


def test_the_student_is_the_chosen_one(knowledge: Knowledge, exam: Exam) -> None:
    student, result = search(
        Capacity(sw.Budget(size_kb=3), CHOICES), knowledge, exam, export=export, latencies=clock, seed=0
    )
    assert len(export(student)) == result.chosen.bytes
    assert (result.chosen.family, result.chosen.parameters) == (
        student.name,
        student.describe()["parameters"],
    )


def test_the_front_is_what_nothing_beats(knowledge: Knowledge, exam: Exam) -> None:
    result = found(sw.Budget(), knowledge, exam)
    assert len(result.trials) == len(CHOICES)

    def beats(one: object, other: object) -> bool:
        figures = [(-trial.fidelity, trial.latency_us, trial.bytes) for trial in (one, other)]
        return figures[0] != figures[1] and all(a <= b for a, b in zip(*figures, strict=True))

    for trial in result.trials:
        assert trial.front == (not any(beats(other, trial) for other in result.trials))
    assert result.front
    assert result.chosen.inside


def test_of_a_family_nothing_larger_than_the_first_outside_is_trained(
    knowledge: Knowledge, exam: Exam
) -> None:
    names = {trial.name for trial in found(sw.Budget(latency_us=6), knowledge, exam).trials}
    assert "mlp 2 x 64" in names
    assert "mlp 2 x 96" not in names


def test_a_size_tells_beforehand_what_cannot_fit(knowledge: Knowledge, exam: Exam) -> None:
    names = {trial.name for trial in found(sw.Budget(size_kb=40), knowledge, exam).trials}
    assert names == {"linear s", "additive s", "mlp 2 x 16", "mlp 2 x 64"}


@pytest.mark.parametrize("columns", [3, 40])
def test_the_least_bytes_are_less_than_the_real_ones(columns: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3_000, columns)).astype(np.float32)
    asked = np.linalg.norm(x, axis=1).astype(np.float64)
    seen = lesson(x, asked, every=5)
    for student in (
        sw.MLP((16, 16), steps=5, half=True),
        sw.MLP((16,), steps=5),
        sw.Prototypes(20, hidden=(8,), steps=5),
        sw.Prototypes(30, hidden=(8, 8), steps=5, half=True),
        sw.Trees(leaves=8, trees=20),
        sw.Linear(),
    ):
        least = least_bytes(student, columns)
        graph = Graph()
        size = len(graph.finish(student.fit(seen, seed=0).write(graph, graph.input("num", columns))))
        assert least <= size <= 2.5 * least + 3_000, student.name


def test_the_quickest_that_is_faithful_enough_is_enough(knowledge: Knowledge, exam: Exam) -> None:
    free = {trial.name: trial.fidelity for trial in found(sw.Budget(), knowledge, exam).trials}
    wanted = free["mlp 2 x 16"]
    result = found(sw.Budget(fidelity=wanted), knowledge, exam)
    assert result.chosen.fidelity >= wanted
    assert not any(t.fidelity >= wanted and t.latency_us < result.chosen.latency_us for t in result.trials)


def test_a_fidelity_out_of_reach_is_said_with_the_budget_that_would_reach_it(
    knowledge: Knowledge, exam: Exam
) -> None:
    wanted = next(t.fidelity for t in found(sw.Budget(), knowledge, exam).trials if t.name == "mlp 2 x 64")
    result = found(sw.Budget(size_kb=2.5, fidelity=wanted), knowledge, exam)
    assert result.chosen.fidelity < wanted
    assert "within 2.5 KB" in result.note
    allowed = dict(part.split("=") for part in result.note.rpartition("allow ")[2].rstrip(".").split(" and "))
    enough = found(
        sw.Budget(**{name: float(value) for name, value in allowed.items()}, fidelity=wanted), knowledge, exam
    )
    assert enough.chosen.fidelity >= wanted
    assert not enough.note


def test_a_fidelity_that_no_student_has_is_said(knowledge: Knowledge, exam: Exam) -> None:
    result = found(sw.Budget(fidelity=1.0), knowledge, exam)
    assert "Nor does any of the 6 that were tried, at any cost" in result.note
    assert result.chosen.fidelity == pytest.approx(max(t.fidelity for t in result.trials), abs=0.001)


def test_a_budget_that_holds_nothing_is_refused_with_what_would(knowledge: Knowledge, exam: Exam) -> None:
    with pytest.raises(
        sw.StudentError, match=r"No student keeps within 2 µs a row.*linear s, needs latency_us=4.5"
    ):
        found(sw.Budget(latency_us=2), knowledge, exam)


def test_recorded_costs_decide_the_same_without_a_clock(knowledge: Knowledge, exam: Exam) -> None:
    first_student, first = search(
        Capacity(sw.Budget(latency_us=7), CHOICES), knowledge, exam, export=export, latencies=clock, seed=0
    )

    def broken(models: Mapping[str, bytes], *, moments: int = 1) -> dict[str, float]:
        raise AssertionError("a clock was read")

    again, second = search(
        Capacity(sw.Budget(latency_us=7, costs=first.costs), CHOICES),
        knowledge,
        exam,
        export=export,
        latencies=broken,
        seed=0,
    )
    assert export(again) == export(first_student)
    assert second.chosen == first.chosen
    slower = {
        name: 10 * latency if name.startswith("mlp") else latency for name, latency in first.costs.items()
    }
    other = found(sw.Budget(latency_us=15, costs=slower), knowledge, exam)
    assert other.chosen.family != "mlp"


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency_us": 0},
        {"size_kb": -1},
        {"size_kb": float("nan")},
        {"fidelity": 1.2},
        {"fidelity": 0},
        {"costs": {}},
    ],
)
def test_an_impossible_budget_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(sw.InputError, match=next(iter(wrong))):
        sw.Budget(**wrong)


def test_costs_of_other_choices_are_refused(knowledge: Knowledge, exam: Exam) -> None:
    with pytest.raises(sw.StudentError, match="recorded costs"):
        found(sw.Budget(costs={"mlp 9 x 9": 1.0}), knowledge, exam)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, 3)) * [1, 2, 3]


@pytest.fixture(scope="module")
def distilled(rows: np.ndarray) -> sw.Distillation:
    budget = sw.Budget(size_kb=10, fidelity=0.9999)
    return sw.distill(rows, teacher="knn", assume_normal=True, student="additive", budget=budget)


class TestDistill:
    def test_the_model_keeps_to_the_budget(self, distilled: sw.Distillation) -> None:
        assert distilled.search is not None
        assert len(distilled.model) == distilled.search.chosen.bytes <= 10_000
        assert {trial.family for trial in distilled.search.trials} == {"additive"}
        assert distilled.manifest.student["name"] == "additive"

    def test_the_report_shows_every_trial_and_what_was_not_reached(self, distilled: sw.Distillation) -> None:
        assert distilled.search is not None
        shown = [
            (one.family, one.size, one.fidelity, one.latency_us, one.bytes, one.chosen)
            for one in distilled.report.search
        ]
        assert shown == [
            (t.family, t.size, t.fidelity, t.latency_us, t.bytes, t.chosen) for t in distilled.search.trials
        ]
        assert distilled.search.note in distilled.report.warnings

    def test_a_rerun_with_the_costs_gives_the_same_bytes(
        self, rows: np.ndarray, distilled: sw.Distillation
    ) -> None:
        assert distilled.search is not None
        again = sw.distill(
            rows,
            teacher="knn",
            assume_normal=True,
            student="additive",
            budget=replace(distilled.search.budget, costs=distilled.search.costs),
        )
        assert again.model == distilled.model

    def test_a_latency_is_that_of_the_exported_graph(
        self, rows: np.ndarray, distilled: sw.Distillation
    ) -> None:
        (packed,) = distilled.scorer.pack(rows)
        manifest = distilled.manifest
        measured = latencies({"it": distilled.model}, packed, manifest.layout, manifest.schema)
        assert 0 < measured["it"] < 10_000

    def test_a_latency_is_that_of_the_slow_moments(
        self, rows: np.ndarray, distilled: sw.Distillation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moments, now = [1], [0]

        def next_moment(seconds: float) -> None:
            moments.append(1)

        def clock() -> int:
            now[0] += 20_000 if len(moments) % 5 == 0 else 10_000
            return now[0]

        monkeypatch.setattr(cost, "sleep", next_moment)
        monkeypatch.setattr(cost, "perf_counter_ns", clock)
        (packed,) = distilled.scorer.pack(rows)
        manifest = distilled.manifest
        measured = latencies({"it": distilled.model}, packed, manifest.layout, manifest.schema)
        assert measured == {"it": 20.0}

    def test_without_a_budget_nothing_is_searched(self, rows: np.ndarray) -> None:
        plain = sw.distill(rows, teacher="knn", assume_normal=True, student="linear")
        assert plain.search is None
        assert plain.report.search == ()

    def test_an_unknown_student_is_refused_before_any_work(self) -> None:
        with pytest.raises(sw.StudentError, match="unknown"):
            sw.distill("no such file", student="forest", budget=sw.Budget())
