"""What a student is.

A student maps the feature matrix to the teacher's soft score less the guard (see `features.number`). The guard is added
outside, for every student alike:

    score = student(features) + guard,    guard = log(max(1, sum |u|) / max(1, sum |clip(u, -1, 1)|)), 0 inside the box

so that inside the box the student answers as its teacher does, and outside, where no student can be trusted to extrapolate,
a row that goes further out always scores higher.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stillwatch.graph import Graph
from stillwatch.knowledge.knowledge import Knowledge

Progress = Callable[[int, int, float], None]


class Learner(Protocol):
    """What turns knowledge into a student: a student itself, or a choice among several."""

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Student:
        """Learn `knowledge.target` and return the student that did."""
        ...


@runtime_checkable
class Student(Protocol):
    """A model small enough to ship."""

    name: str

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Self:
        """Learn `knowledge.target`; the same knowledge and seed give the same student on one machine."""
        ...

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, d) features to (n,) scores without the guard; higher = more abnormal."""
        ...

    def write(self, graph: Graph, matrix: str) -> str:
        """Put the student's nodes into a graph, over the feature matrix [n, d]; return the name of [n, 1]."""
        ...

    def describe(self) -> dict[str, Any]:
        """JSON-able: name, parameters, size."""
        ...

    @property
    def history(self) -> tuple[tuple[int, float], ...]:
        """(step, validation fidelity) while it trained."""
        ...
