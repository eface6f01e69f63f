"""Points and layers side by side: the mean of two students that err in different places.

Points follow distances to places, dense layers follow whatever else a teacher does. A teacher that is a mean of both kinds, as
`auto` is, is best followed by a mean of both.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import StudentError
from stillwatch.graph import Graph
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.held_out import agreement
from stillwatch.students.mlp import MLP
from stillwatch.students.protocol import Progress, Student
from stillwatch.students.prototypes import Prototypes
from stillwatch.training.together import together

_SHARES = tuple(tenth / 10 for tenth in range(11))


class Blend:
    """A weighted mean of `Prototypes` and `MLP`, which are trained apart.

    Parameters
    ----------
    points, layers
        the two; None: of the default size, in half precision.
    share
        weight of the points, between 0 and 1; None: the tenth that agrees best with the teacher on rows held out. Once found
        it stays.
    """

    name = "blend"

    def __init__(
        self, points: Prototypes | None = None, layers: MLP | None = None, share: float | None = None
    ) -> None:
        if share is not None and not 0 <= share <= 1:
            raise StudentError(f"share={share:g}: expected a number between 0 and 1.")
        self.points = Prototypes(half=True) if points is None else points
        self.layers = MLP(half=True) if layers is None else layers
        self.share = share

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Self:
        """Train both side by side on the rows that are not held out; see `Student.fit`."""
        # Copies, for a copy of this student may be trained beside it.
        self.points, self.layers = copy.copy(self.points), copy.copy(self.layers)
        parts: tuple[Student, ...] = self.points, self.layers
        together([partial(part.fit, knowledge, seed=seed) for part in parts], progress)
        if self.share is None:
            held_out = knowledge.x[knowledge.held_out]
            self.share, _ = best_share(self.points.score(held_out), self.layers.score(held_out), knowledge)
        return self

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean of the two; see `Student.score`."""
        return _mean(self._share, self.points.score(x), self.layers.score(x))

    def write(self, graph: Graph, matrix: str) -> str:
        """The nodes of both, and their mean; see `Student.write`."""
        points = graph.add("Mul", self.points.write(graph, matrix), graph.constant(self._share))
        layers = graph.add("Mul", self.layers.write(graph, matrix), graph.constant(1 - self._share))
        return graph.add("Add", points, layers)

    def describe(self) -> dict[str, Any]:
        """Name, share of the points, shape of both and number of parameters."""
        points, layers = self.points.describe(), self.layers.describe()
        return {
            **points,
            "name": self.name,
            "share": self.share,
            "layers": layers["hidden"],
            "parameters": points["parameters"] + layers["parameters"],
        }

    @property
    def _share(self) -> np.float32:
        return np.float32(0 if self.share is None else self.share)

    @property
    def warm(self) -> bool:
        """Whether the next training goes on from what is there."""
        return self.points.warm

    @property
    def history(self) -> tuple[tuple[int, float], ...]:
        """(step, validation fidelity) of the points, which take longer."""
        return self.points.history


def best_share(
    points: NDArray[np.float32], layers: NDArray[np.float32], knowledge: Knowledge
) -> tuple[float, float]:
    """The tenth that the mean of two students' scores of the held-out rows agrees best with, and how well it does."""
    found = [(agreement(_mean(np.float32(share), points, layers), knowledge), -share) for share in _SHARES]
    agrees, share = max(found)
    return -share, agrees


def _mean(share: np.float32, points: NDArray[np.float32], layers: NDArray[np.float32]) -> NDArray[np.float32]:
    return share * points + (1 - share) * layers
