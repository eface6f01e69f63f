"""One contract for every student."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import stillwatch as sw
from stillwatch.artifact.audit import audit
from stillwatch.artifact.parity import open_session
from stillwatch.evaluation.fidelity import spearman
from stillwatch.graph import Graph
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.protocol import Student
from tests.lessons import lesson

STUDENTS: dict[str, Callable[[], Student]] = {
    "mlp": lambda: sw.MLP(hidden=(16, 16), steps=150),
    "prototypes": lambda: sw.Prototypes(points=30, hidden=(16,), steps=150),
    "blend": lambda: sw.Blend(
        sw.Prototypes(points=30, hidden=(16,), steps=150), sw.MLP(hidden=(16,), steps=150)
    ),
    "trees": lambda: sw.Trees(leaves=16, trees=60),
    "additive": sw.Additive,
    "additive, linked": lambda: sw.Additive(link=True),
    "linear": sw.Linear,
}
SOLVED = {"additive", "additive, linked", "linear"}  # in closed form: chance has no say


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1_500, 5)).astype(np.float32)
    raw = np.linalg.norm(x, axis=1).astype(np.float64)
    return lesson(x, raw, soft=np.arcsinh(raw - np.median(raw)))


@pytest.mark.parametrize("name", STUDENTS)
class TestStudent:
    def test_it_learns(self, name: str, knowledge: Knowledge) -> None:
        student = STUDENTS[name]().fit(knowledge, seed=0)
        apart = knowledge.held_out
        agreement = np.corrcoef(student.score(knowledge.x[apart]), knowledge.target[apart])[0, 1]
        assert agreement > 0.9
        assert len(student.history) > 1

    def test_the_graph_agrees_with_the_student(self, name: str, knowledge: Knowledge) -> None:
        student = STUDENTS[name]().fit(knowledge, seed=0)
        graph = Graph()
        model = graph.finish(student.write(graph, graph.input("num", 5)))
        audit(model)
        (score,) = open_session(model).run(["score"], {"num": knowledge.x})
        np.testing.assert_allclose(score[:, 0], student.score(knowledge.x), rtol=1e-5, atol=1e-5)

    def test_a_seed_repeats(self, name: str, knowledge: Knowledge) -> None:
        one, two, other = (
            STUDENTS[name]().fit(knowledge, seed=seed).score(knowledge.x) for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(one, two)
        assert (one != other).any() or name in SOLVED

    def test_a_row_scores_the_same_alone_and_among_others(self, name: str, knowledge: Knowledge) -> None:
        student = STUDENTS[name]().fit(knowledge, seed=0)
        together = student.score(knowledge.x[:20])
        alone = np.concatenate([student.score(knowledge.x[i : i + 1]) for i in range(20)])
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)

    def test_fitting_leaves_the_knowledge_and_the_global_seed_alone(
        self, name: str, knowledge: Knowledge
    ) -> None:
        before, state = knowledge.x.copy(), torch.random.get_rng_state()
        STUDENTS[name]().fit(knowledge, seed=0)
        np.testing.assert_array_equal(knowledge.x, before)
        assert torch.equal(torch.random.get_rng_state(), state)

    def test_an_unfitted_one_says_so(self, name: str, knowledge: Knowledge) -> None:
        with pytest.raises(sw.StudentError, match="not fitted"):
            STUDENTS[name]().score(knowledge.x)


def test_every_student_that_has_a_name_is_checked() -> None:
    from stillwatch.students.resolve import NAMES
    from stillwatch.students.sizes import choices

    assert (
        {name.partition(",")[0] for name in STUDENTS}
        == set(NAMES) - {"auto"}
        == {choice.family for choice in choices("auto")}
    )


def test_torch_numpy_and_onnxruntime_give_one_score(knowledge: Knowledge) -> None:
    student = sw.MLP(hidden=(16, 16), steps=150).fit(knowledge, seed=0)
    (first, middle, last) = [[torch.from_numpy(part) for part in layer] for layer in student.layers]
    z = torch.from_numpy(knowledge.x) @ first[0] + first[1]
    hidden = torch.relu(torch.cat([z, torch.log1p(z**2)], dim=1) @ middle[0] + middle[1])
    x = hidden @ last[0] + last[1]
    np.testing.assert_allclose(x[:, 0].numpy(), student.score(knowledge.x), rtol=1e-5, atol=1e-5)


def test_a_distance_along_slanted_axes_is_followed_closely() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6_000, 24))
    away = np.log(np.square(x @ (rng.normal(size=(24, 24)) * np.geomspace(0.1, 3, 24))).sum(axis=1))
    seen = lesson(x, away, every=5)
    student = sw.MLP(hidden=(32, 32), steps=400).fit(seen, seed=0)
    assert spearman(student.score(seen.x[seen.held_out]), away[seen.held_out]) > 0.99  # 0.978 by ReLU alone


def test_training_is_judged_where_alarms_are() -> None:
    from stillwatch.students.lesson import Lesson

    x = np.random.default_rng(0).normal(size=(500, 1))
    learnt = Lesson(lesson(x, x[:, 0] - np.median(x)), seed=0)
    middle = float((np.median(x) - learnt.shift[0]) / learnt.spread[0])
    assert learnt.agreement(torch.nn.Threshold(middle, middle)) == pytest.approx(1)
    assert learnt.agreement(torch.nn.Hardtanh(-9, middle)) == 0


def test_an_impossible_shape_is_refused() -> None:
    with pytest.raises(sw.StudentError, match="at least one layer"):
        sw.MLP(hidden=())
    with pytest.raises(sw.StudentError, match="unknown"):
        sw.distill(np.zeros((10, 2)), student="forest")
