"""Features, teacher, knowledge and student, fitted on one set of rows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from stillwatch.distillation.cost import latencies
from stillwatch.distillation.scout import scout
from stillwatch.distillation.search import Capacity, Exam, Search, search
from stillwatch.distillation.start import Start
from stillwatch.features.pipeline import Code, Features, fit_features
from stillwatch.graph import Graph
from stillwatch.knowledge.extract import Asker, Map
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.knowledge.make import Scout, make_knowledge
from stillwatch.knowledge.transfer import parents_of
from stillwatch.knowledge.unseen import differences
from stillwatch.students.protocol import Learner, Student
from stillwatch.table.pack import Rows
from stillwatch.table.schema import Schema
from stillwatch.teachers.fit import fit_teacher
from stillwatch.teachers.known import Known
from stillwatch.teachers.out_of_fold import training_scores
from stillwatch.teachers.protocol import Teacher

Progress = Callable[[str, int, int], None]
_WARM_SHARE = 0.3  # of the usual synthetic rows, for a student that has seen such rows before
_EXAMINED = 4_000  # unseen rows on which students are compared


@dataclass(frozen=True)
class Fitted:
    """All that was fitted on one set of rows, what each step took in seconds, and how the student was searched for, if so."""

    features: Features
    asker: Asker
    knowledge: Knowledge
    student: Student
    seconds: dict[str, float]
    search: Search | None = None

    def teacher_score(self, rows: Rows) -> NDArray[np.float64]:
        """(n,) raw scores of the teacher."""
        return self.asker.ask(self.features.transform(rows))

    def student_score(self, rows: Rows) -> NDArray[np.float32]:
        """(n,) scores of the student, by its NumPy form."""
        code = self.features.encode(rows)
        return self.student.score(self.features.assemble(code)) + self.features.guard(code)

    def soften(self, raw: NDArray[np.float64]) -> NDArray[np.float32]:
        """(n,) raw scores on the scale that the student learnt."""
        return self.knowledge.softener.soften(raw)

    def graph(self) -> bytes:
        """The model: raw rows to score."""
        return write_graph(self.features, self.student)


def write_graph(features: Features, student: Student) -> bytes:
    """Raw rows to score: features, student and guard in one graph."""
    graph = Graph()
    matrix, guard = features.write(graph)
    score = student.write(graph, matrix)
    return graph.finish(score if guard is None else graph.add("Add", score, guard))


@dataclass(frozen=True)
class Prepared:
    """All that stands before a student is trained, and what each step took in seconds."""

    rows: Rows
    schema: Schema
    features: Features
    code: Code
    asker: Asker
    knowledge: Knowledge
    seconds: dict[str, float]

    def learnt(self, student: Student, search: Search | None = None) -> Fitted:
        """The end of the way: with the student."""
        return Fitted(self.features, self.asker, self.knowledge, student, self.seconds, search)


def prepare(
    rows: Rows,
    schema: Schema,
    teacher: Teacher,
    *,
    seed: int,
    start: Start | None = None,
    asked: float = 1,
    known: NDArray[np.float64] | None = None,
    cache: str | Path | None = None,
    map: Map | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Fit features and teacher, and ask; data flows one way.

    With `start` the features and the scale of the scores are those of an earlier model. `asked` is the share of the usual
    synthetic rows that the teacher is asked about. `known` is (n,) 1 = confirmed anomaly, 0 = confirmed normal, NaN = not
    known; None, or without a confirmed anomaly: unused.
    """
    seconds: dict[str, float] = {}
    began = perf_counter()
    features = fit_features(rows, schema) if start is None else replace(start.features, schema=schema)
    code = features.encode(rows)
    x = features.assemble(code)
    seconds["features"] = perf_counter() - began

    began = perf_counter()
    if progress is not None:
        progress("fit teacher", 0, 1)
    if known is not None and (known == 1).any():
        teacher = Known(teacher, known)
    fitted = fit_teacher(teacher, x, seed=seed)
    if start is not None:
        start.check_teacher(fitted.recipe()["name"])
    own = training_scores(fitted, x, seed=seed)
    if progress is not None:
        progress("fit teacher", 1, 1)
    seconds["fit teacher"] = perf_counter() - began

    began = perf_counter()
    tell = None if progress is None else partial(progress, "ask teacher")
    asker = Asker(fitted, x, cache=cache, map=map, progress=tell)
    knowledge = make_knowledge(
        asker,
        features,
        code,
        own,
        seed=seed,
        softener=None if start is None else start.softener,
        asked=asked,
        scout=scout_of(start, seed),
    )
    seconds["ask teacher"] = perf_counter() - began
    return Prepared(rows, schema, features, code, asker, knowledge, seconds)


def scout_of(start: Start | None, seed: int) -> Scout:
    """What says where to ask again: a student that goes on learning, or one that is solved in a second."""
    earlier = None if start is None else start.student
    if earlier is not None and getattr(earlier, "warm", False):
        return lambda knowledge: earlier.score(knowledge.x)
    return partial(scout, seed=seed)


def train(
    prepared: Prepared, student: Learner | Capacity, *, seed: int, progress: Progress | None = None
) -> Fitted:
    """Train a student, or search for one."""
    tell = None if progress is None else partial(progress, "train student")
    if isinstance(student, Capacity):
        rows, features, knowledge = prepared.rows, prepared.features, prepared.knowledge
        learnt, found = search(
            student,
            knowledge,
            examine(prepared.asker, features, prepared.code, knowledge, seed=seed),
            export=lambda tried: write_graph(features, tried),
            latencies=partial(latencies, rows=rows, layout=features.layout, schema=prepared.schema),
            seed=seed,
            progress=tell,
        )
        return prepared.learnt(learnt, found)
    # A copy: one description of a student may be fitted many times, on folds for instance.
    learnt = copy.copy(student).fit(
        prepared.knowledge,
        seed=seed,
        progress=None if tell is None else lambda step, steps, best: tell(step, steps),
    )
    return prepared.learnt(learnt)


def asked_share(student: Learner | Capacity) -> float:
    """Share of the usual synthetic rows that the teacher is asked about: fewer for a student that has seen such rows before."""
    return _WARM_SHARE if getattr(student, "warm", False) else 1


def examine(asker: Asker, features: Features, code: Code, knowledge: Knowledge, *, seed: int) -> Exam:
    """Ask the teacher about rows of a kind that no student trains on."""
    rng = np.random.default_rng((seed, 1))  # not the stream that drew the transfer set
    drawn = differences(parents_of(code, features), _EXAMINED, rng)
    x = features.assemble(drawn)
    return Exam(x, knowledge.softener.soften(asker.ask(x)) - features.guard(drawn))
