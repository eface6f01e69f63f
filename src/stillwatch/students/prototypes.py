"""A network that knows places: distances to the nearest of a few hundred learnt points, read by small dense layers.

Many detectors are functions of distance to many places: to neighbours, to centres. Dense layers must put such a function
together from planes, which takes far more of them, and far more training, than a file of 200 KB holds. Here the first layer is
made of points. It learns where they stand (in the manner of learning vector quantisation), how much each column counts, and, by
the dense layers over distances and columns, anything that distance does not say.

No point is a training row: each starts as the mean of at least 20 rows that the teacher was asked about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import StudentError
from stillwatch.graph import Graph, rounded
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.knowledge.nearest import nearest
from stillwatch.students.dense import Layers, forward, in_blocks, rounded_layers, weights, write_layers
from stillwatch.students.protocol import Progress

if TYPE_CHECKING:  # PyTorch is there when training, not when scoring
    from torch import Tensor

    from stillwatch.students.lesson import Lesson
    from stillwatch.students.points import Points

_BLOCK = 1024
_MOST, _MOST_WIDE = 1536, 512  # a wide table pays for its features already
_MOST_NUMBERS = 46_000  # in the whole student: 184 KB
_FEWEST = 64
ROWS_A_POINT = 40  # asked rows that it takes to place one more point
MOST_AXES = 32  # more columns than this are measured along their main axes
_COARSE = 3e-5  # error of a squared distance, as a share of it, that a choice in single precision may bring


class Prototypes:
    """Regression on soft scores, by distances to learnt points.

    Parameters
    ----------
    points
        number of points; None: by the numbers of rows and columns.
    nearest
        how many of the nearest points are looked at.
    hidden
        width of each dense layer.
    steps
        most training steps; None: by the number of rows.
    half
        True: places and weights are rounded to float16 after training, for half the room.

    Attributes
    ----------
    warm
        the next training goes on from the axes and layers that are there, and takes 0.15 of the steps; points start where
        they are, or anew where the new rows are, whichever agrees better on rows held out.
    """

    name = "prototypes"

    def __init__(
        self,
        points: int | None = None,
        nearest: int = 4,
        hidden: tuple[int, ...] = (64, 64),
        steps: int | None = None,
        half: bool = False,
    ) -> None:
        if points is not None and points < 1:
            raise StudentError(f"points={points}: expected at least one.")
        if nearest < 1:
            raise StudentError(f"nearest={nearest}: expected at least one.")
        if not hidden or min(hidden) < 1:
            raise StudentError(f"hidden={tuple(hidden)}: expected at least one layer of at least one unit.")
        self.points = points
        self.nearest = nearest
        self.hidden = tuple(hidden)
        self.steps = steps
        self.half = half
        self.warm = False
        self.places: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self.axes: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self.blur = 0.0
        self.layers: Layers = []
        self.history: tuple[tuple[int, float], ...] = ()

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Self:
        """Train on the rows that are not held out; see `Student.fit`."""
        import torch

        from stillwatch.students.lesson import Lesson, fold
        from stillwatch.students.points import main_axes, starting_places
        from stillwatch.training.loop import one_thread

        lesson = Lesson(knowledge, seed=seed)
        with one_thread():  # where points start, too: on more threads sums are rounded in another order
            if self.warm:
                axes, count = torch.from_numpy(self.axes * lesson.spread[:, None]), len(self.places)
            else:
                axes = main_axes(lesson.x[lesson.train], torch.from_numpy(lesson.spread), MOST_AXES)
                others = axes.numel() + weights(self.nearest + lesson.x.shape[1], self.hidden)
                count = self.points or _default_points(len(lesson), axes.shape[0], axes.shape[1], others)
            rng = np.random.default_rng(seed)
            anew = starting_places(lesson.x @ axes, lesson.train, count, rng, keep=self.warm)
            starts = [anew]
            if self.warm:
                earlier = torch.from_numpy(self.places - lesson.shift @ self.axes)
                # Of rows that are all alike fewer points may be left than the layers read.
                starts = [earlier, anew] if len(anew) >= self._looked_at else [earlier]
            networks = [self._network(lesson, places, axes, seed) for places in starts]
            network = networks[0] if len(networks) == 1 else max(networks, key=lesson.agreement)
            self.history = lesson.teach(network, steps=self.steps, warm=self.warm, progress=progress)
        self.warm = False

        weight = network.weight.detach().exp().double().numpy()
        self.axes = (network.axes.detach().double().numpy() / lesson.spread[:, None] * weight).astype(
            np.float32
        )
        offset = lesson.shift.astype(np.float64) @ self.axes
        self.places = (network.places().detach().double().numpy() * weight + offset).astype(np.float32)
        self.blur = network.blur
        self.layers = fold(network.layers, *_scales(network, lesson), lesson.middle, lesson.height)
        if self.half:
            self.places, self.axes, self.layers = (
                rounded(self.places),
                rounded(self.axes),
                rounded_layers(self.layers),
            )
        return self

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """NumPy form of the network; see `Student.score`."""
        self._check_fitted()
        return in_blocks(self._forward, x, _BLOCK)

    def write(self, graph: Graph, matrix: str) -> str:
        """Choose the nearest points, measure the distances to them, and the dense layers; see `Student.write`.

        Distances are differences of close numbers: they are measured in double precision. So is the choice, unless the points lie
        so far apart that single precision tells them apart, too, in half the time.
        """
        self._check_fitted()
        exact = graph.add("Cast", matrix, to=graph.DOUBLE)
        stored = graph.constant(self.places)
        places = graph.add("Cast", stored, to=graph.DOUBLE)
        along = graph.add("MatMul", exact, graph.add("Cast", graph.constant(self.axes), to=graph.DOUBLE))
        count = graph.constant([self._looked_at], np.int64)
        if _coarseness(self.places, self.blur) <= _COARSE:
            rough = graph.add("Cast", along, to=graph.FLOAT)
            norm = graph.constant(-np.square(self.places.astype(np.float64)).sum(axis=1) / 2)
            near = graph.add("Gemm", rough, stored, norm, transB=1)
            _, chosen = graph.add_many("TopK", near, count, outputs=2, axis=1)
        else:
            norm = graph.add("ReduceSumSquare", places, axes=[1], keepdims=0)
            far = graph.add("Gemm", along, places, norm, alpha=-2.0, transB=1)
            _, chosen = graph.add_many("TopK", far, count, outputs=2, axis=1, largest=0)
        row = graph.add("Reshape", along, graph.constant([-1, 1, self.axes.shape[1]], np.int64))
        away = graph.add("Sub", row, graph.add("Gather", places, chosen, axis=0))
        squares = graph.add("ReduceSumSquare", away, axes=[2], keepdims=0)
        blurred = graph.add("Add", squares, graph.constant(self.blur, np.float64))
        distance = graph.add("Log", graph.add("Cast", blurred, to=graph.FLOAT))
        return write_layers(self.layers, graph, graph.add("Concat", distance, matrix, axis=1))

    def describe(self) -> dict[str, Any]:
        """Name, shape and number of parameters."""
        dense = sum(weight.size + bias.size for weight, bias in self.layers)
        return {
            "name": self.name,
            "points": len(self.places),
            "nearest": self._looked_at,
            "hidden": [len(bias) for _, bias in self.layers[:-1]],
            "parameters": self.places.size + self.axes.size + dense,
        }

    @property
    def _looked_at(self) -> int:
        return min(self.nearest, len(self.places))

    def _network(self, lesson: Lesson, places: Tensor, axes: Tensor, seed: int) -> Points:
        """What training starts from: points at these places, before layers that are new or go on."""
        from stillwatch.students.lesson import dense_layers
        from stillwatch.students.points import Points
        from stillwatch.students.warm import unfold

        looked_at = min(self.nearest, len(places))
        layers = dense_layers(looked_at + lesson.x.shape[1], self.hidden, seed=seed)
        network = Points(places, axes, lesson.x[lesson.train], looked_at, layers)
        if self.warm:
            network.blur = self.blur
            unfold(layers, self.layers, *_scales(network, lesson), lesson.middle, lesson.height)
        return network

    def _forward(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        along = x.astype(np.float64) @ self.axes.astype(np.float64)
        places = self.places.astype(np.float64)
        chosen = nearest(np.square(places).sum(axis=1) - 2 * (along @ places.T), self._looked_at)
        squares = np.square(along[:, None] - places[chosen]).sum(axis=2)
        distance = np.log((squares + self.blur).astype(np.float32))
        return forward(self.layers, np.concatenate([distance, x], axis=1))

    def _check_fitted(self) -> None:
        if not self.layers:
            raise StudentError("This student is not fitted. Call fit(knowledge) first.")


def _scales(network: Points, lesson: Lesson) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(m,) middle and spread of what the layers read: distances, and columns."""
    return (
        np.concatenate([network.centre.numpy(), lesson.shift]),
        np.concatenate([network.scale.numpy(), lesson.spread]),
    )


def _default_points(rows: int, columns: int, axes: int, others: int) -> int:
    """As many as the file holds beside the student's other numbers, and as the asked rows can place."""
    room = max(_FEWEST, (_MOST_NUMBERS - others) // axes)
    return max(1, min(_MOST if columns == axes else _MOST_WIDE, room, rows // ROWS_A_POINT))


def _coarseness(places: NDArray[np.float32], blur: float) -> float:
    """Rounding of a squared distance in single precision, as a share of the squared distance to the fourth point nearby.

    Points at the same place are no choice: below `blur` all is near.
    """
    if len(places) < 2:
        return 0.0
    exact = places.astype(np.float64)
    size = np.square(exact).sum(axis=1)
    fourth = min(4, len(exact) - 1)
    worst = 0.0
    for start in range(0, len(exact), _BLOCK):
        part = exact[start : start + _BLOCK]
        apart = size[start : start + _BLOCK, None] + size - 2 * (part @ exact.T)
        between = np.maximum(np.partition(apart, fourth, axis=1)[:, fourth], blur)
        worst = max(worst, float((size[start : start + _BLOCK] / between).max()))
    return float(np.sqrt(exact.shape[1] + 4) * 2.0**-24 * worst)
