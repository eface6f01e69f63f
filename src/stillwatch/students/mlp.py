"""A multilayer perceptron: distances from planes, then layers of ReLU; the smallest and quickest student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import StudentError
from stillwatch.graph import Graph
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.dense import Layers, forward, in_blocks, rounded_layers, write_layers
from stillwatch.students.protocol import Progress

_BLOCK = 8192


class MLP:
    """Regression on soft scores, by distances from planes and layers of ReLU; see `students.dense`.

    Parameters
    ----------
    hidden
        width of each hidden layer; None: by the number of rows.
    steps
        most training steps; None: by the number of rows.
    half
        True: weights are rounded to float16 after training, for half the room.

    Attributes
    ----------
    warm
        the next training goes on from the layers that are there, and takes 0.15 of the steps.
    """

    name = "mlp"

    def __init__(
        self, hidden: Sequence[int] | None = None, steps: int | None = None, half: bool = False
    ) -> None:
        if hidden is not None and (not hidden or min(hidden) < 1):
            raise StudentError(f"hidden={tuple(hidden)}: expected at least one layer of at least one unit.")
        self.hidden = None if hidden is None else tuple(hidden)
        self.steps = steps
        self.half = half
        self.warm = False
        self.layers: Layers = []
        self.history: tuple[tuple[int, float], ...] = ()

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Self:
        """Train on the rows that are not held out; see `Student.fit`."""
        from stillwatch.students.lesson import Lesson, dense_layers, fold, stack
        from stillwatch.students.warm import unfold
        from stillwatch.training.loop import one_thread

        lesson = Lesson(knowledge, seed=seed)
        layers = dense_layers(lesson.x.shape[1], self.hidden or default_hidden(len(lesson)), seed=seed)
        if self.warm:
            unfold(layers, self.layers, lesson.shift, lesson.spread, lesson.middle, lesson.height)
        with one_thread():
            self.history = lesson.teach(stack(layers), steps=self.steps, warm=self.warm, progress=progress)
        self.warm = False
        self.layers = fold(layers, lesson.shift, lesson.spread, lesson.middle, lesson.height)
        if self.half:
            self.layers = rounded_layers(self.layers)
        return self

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """NumPy form of the network; see `Student.score`."""
        if not self.layers:
            raise StudentError("This student is not fitted. Call fit(knowledge) first.")
        return in_blocks(lambda block: forward(self.layers, block), x, _BLOCK)

    def write(self, graph: Graph, matrix: str) -> str:
        """A Gemm a layer, and what stands between two; see `Student.write`."""
        if not self.layers:
            raise StudentError("This student is not fitted. Call fit(knowledge) first.")
        return write_layers(self.layers, graph, matrix)

    def describe(self) -> dict[str, Any]:
        """Name, shape and number of parameters."""
        parameters = sum(weight.size + bias.size for weight, bias in self.layers)
        hidden = [len(bias) for _, bias in self.layers[:-1]]
        return {"name": self.name, "hidden": hidden, "parameters": parameters}


def default_hidden(rows: int) -> tuple[int, ...]:
    """Three layers, narrow for a tiny table."""
    return (64, 64, 64) if rows < 5_000 else (96, 96, 96)
