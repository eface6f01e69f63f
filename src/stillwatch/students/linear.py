"""The smallest student: a weight for how far each column lies above what is normal, and one for how far below."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import StudentError
from stillwatch.graph import Graph
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.protocol import Progress
from stillwatch.students.ridge import solve


class Linear:
    """Regression on soft scores, linear in the features and in their distances from the median.

    A feature of a number is 0 at the column's median, so x and |x| together weigh both sides of it apart. A plain linear score
    would call one side of every column the better the further it goes.
    """

    name = "linear"

    def __init__(self) -> None:
        self.weight: NDArray[np.float32] = np.empty((0, 1), np.float32)
        self.bias = np.zeros(1, np.float32)
        self.history: tuple[tuple[int, float], ...] = ()

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Self:
        """Solve for the weights; see `Student.fit`."""
        target = knowledge.target
        weight, bias, self.history = solve(
            _both_sides, knowledge, target, np.ones_like(target), seed=seed, progress=progress
        )
        self.weight, self.bias = weight[:, None].astype(np.float32), np.array([bias], np.float32)
        return self

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """NumPy form of the sum; see `Student.score`."""
        self._check_fitted()
        return np.asarray((_both_sides(x) @ self.weight + self.bias)[:, 0])

    def write(self, graph: Graph, matrix: str) -> str:
        """One Gemm; see `Student.write`."""
        self._check_fitted()
        sides = graph.add("Concat", matrix, graph.add("Abs", matrix), axis=1)
        return graph.add("Gemm", sides, graph.constant(self.weight), graph.constant(self.bias))

    def describe(self) -> dict[str, Any]:
        """Name and number of parameters."""
        return {"name": self.name, "parameters": self.weight.size + 1}

    def _check_fitted(self) -> None:
        if not self.weight.size:
            raise StudentError("This student is not fitted. Call fit(knowledge) first.")


def _both_sides(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([x, np.abs(x)], axis=1)
