"""A sum of small functions, one a column and one for each of a few pairs: what it says of a column can be drawn.

    score = link(bias + sum_j f_j(x_j) + sum_(i, j) g_ij(x_i, x_j))

The link is none, or asinh, which turns raw scores into soft ones. Each f is piecewise linear, each g bilinear on a grid, both
flat beyond their last knots. They are made of ramps

    r_k(x) = clip((x - t_k) / (t_(k+1) - t_k), 0, 1)

from one knot t to the next, so that a weight is by how much the function climbs between two knots. Splines with a penalty:
Eilers and Marx 1996; the choice of pairs: Lou, Caruana, Gehrke, Hooker 2013 (GA2M), here by means of a residual over a grid.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import StudentError
from stillwatch.evaluation.fidelity import spearman
from stillwatch.graph import Graph
from stillwatch.knowledge.knowledge import TRAIN, Knowledge
from stillwatch.knowledge.profile import Profile, knots, spread
from stillwatch.students.dense import in_blocks
from stillwatch.students.protocol import Progress
from stillwatch.students.ridge import solve

_BLOCK = 4096
_MOST_TERMS = 800  # of columns together, so that solving takes seconds
_MOST_RAMPS, _FEWEST_RAMPS = 32, 4
_FAR = 30.0  # soft scores beyond are as good as this one, before they were softened
_PAIR_RAMPS = 4
_PAIRED = 30  # columns among which pairs are looked for
_SAMPLE = 20_000


class Ramps(NamedTuple):
    """Where the (k, columns) ramps start, and how steep they are; 0 = no ramp."""

    start: NDArray[np.float32]
    slope: NDArray[np.float32]


class Additive:
    """Regression on soft scores, by one function a column and a few pairs.

    Parameters
    ----------
    knots
        most ramps of a column's function; None: by the number of columns.
    pairs
        most pairs of columns that get a function together.
    link
        True: what is summed are raw scores, and their sum is softened. So follows a teacher that is a sum itself, ECOD say.
        Without pairs its functions are then read off its answers about one column at a time, at as many knots as it was asked.
    """

    name = "additive"

    def __init__(self, knots: int | None = None, pairs: int = 8, link: bool = False) -> None:
        if knots is not None and knots < 1:
            raise StudentError(f"knots={knots}: expected at least one.")
        if pairs < 0:
            raise StudentError(f"pairs={pairs}: expected 0 or more.")
        self.knots = knots
        self.pairs = pairs
        self.link = link
        self.curved: NDArray[np.int64] = np.empty(0, np.int64)
        self.ramps = _no_ramps((1, 0))
        self.left: NDArray[np.int64] = np.empty(0, np.int64)
        self.right: NDArray[np.int64] = np.empty(0, np.int64)
        self.left_ramps = self.right_ramps = _no_ramps((_PAIR_RAMPS, 0))
        self.weight: NDArray[np.float32] = np.empty((0, 1), np.float32)
        self.bias = np.zeros(1, np.float32)
        self.history: tuple[tuple[int, float], ...] = ()

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Self:
        """Solve for the functions of columns, look for pairs in what they leave, and solve for all; see `Student.fit`.

        With a link and no pairs the teacher is taken for a sum: where it was asked about one column at a time, nothing is solved,
        its functions are read off.
        """
        if self.link and not self.pairs and knowledge.profile is not None:
            return self._read(knowledge.profile, knowledge, progress)
        learn = ~knowledge.held_out
        x, real = knowledge.x[learn], knowledge.x[learn & (knowledge.kind == TRAIN)]
        self.curved = np.flatnonzero([len(np.unique(column)) > 2 for column in x.T])
        most = self.knots or int(np.clip(_MOST_TERMS // max(len(self.curved), 1), _FEWEST_RAMPS, _MOST_RAMPS))
        self.ramps = _stacked([_ramps(knots(x[:, j], real[:, j], most + 1)) for j in self.curved], most)
        self.left = self.right = np.empty(0, np.int64)
        self.left_ramps = self.right_ramps = _no_ramps((_PAIR_RAMPS, 0))
        self._solve(knowledge, seed, None if self.pairs else progress)
        if self.pairs and len(self.curved) > 1:
            self._pair(knowledge, seed)
            self._solve(knowledge, seed, progress)
        return self

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """NumPy form of the sum and the link; see `Student.score`."""
        self._check_fitted()
        total = in_blocks(self._sum, x, _BLOCK)
        return np.asarray(np.arcsinh(total)) if self.link else total

    def terms(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, terms) what the score is a weighted sum of: the features, ramps of the curved ones, products of the pairs'."""
        high = _climb(x[:, None, self.curved], self.ramps)
        one = _climb(x[:, None, self.left], self.left_ramps)
        other = _climb(x[:, None, self.right], self.right_ramps)
        both = one[:, :, None] * other[:, None]
        # The features themselves count where they take two values: there a line is all there is.
        return np.concatenate(
            [x * self._straight(x), high.reshape(len(x), -1), both.reshape(len(x), -1)], axis=1
        )

    def curve(self, column: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The function of one column of the feature matrix, pairs aside.

        Returns
        -------
        (k,) feature values, ascending, and (k,) what the sum gains at each over the first; straight between two, flat beyond.
        A feature of two values has (0, 1) and its step.
        """
        self._check_fitted()
        columns = len(self.weight) - self._curved_terms
        if not 0 <= column < columns:
            raise StudentError(
                f"column={column}: expected a column of the feature matrix, 0 to {columns - 1}."
            )
        (place,) = np.nonzero(self.curved == column)
        if not len(place):
            return np.array([0, 1], np.float32), np.array([0, self.weight[column, 0]], np.float32)
        start, slope = (part[:, place[0]] for part in self.ramps)
        there = slope > 0
        start, slope = start[there], slope[there]
        spans = self.weight[columns : columns + self.ramps.start.size, 0].reshape(self.ramps.start.shape)
        climbs = spans[there, place[0]]
        return np.append(start, start[-1] + 1 / slope[-1]), np.append(np.float32(0), np.cumsum(climbs))

    def write(self, graph: Graph, matrix: str) -> str:
        """Ramps, products of ramps, one Gemm, and the link; see `Student.write`.

        Hundreds of terms cancel each other: summed in double precision, the score does not hang on their order.
        """
        self._check_fitted()
        columns, (most, curved) = len(self.weight) - self._curved_terms, self.ramps.start.shape
        parts = [matrix]
        if curved:
            chosen = matrix
            if curved < columns:
                chosen = graph.add("Gather", matrix, graph.constant(self.curved, np.int64), axis=1)
            high = _write_climb(graph, chosen, self.ramps, (1, curved))
            parts.append(graph.add("Reshape", high, graph.constant([-1, curved * most], np.int64)))
        if len(self.left):
            sides, count = [], len(self.left)
            for side, ramps, shape in (
                (self.left, self.left_ramps, (_PAIR_RAMPS, 1, count)),
                (self.right, self.right_ramps, (1, _PAIR_RAMPS, count)),
            ):
                chosen = graph.add("Gather", matrix, graph.constant(side, np.int64), axis=1)
                placed = Ramps(*(part.reshape(shape) for part in ramps))
                sides.append(_write_climb(graph, chosen, placed, (1, 1, count)))
            both = graph.add("Mul", *sides)
            parts.append(graph.add("Reshape", both, graph.constant([-1, count * _PAIR_RAMPS**2], np.int64)))
        together = graph.add("Concat", *parts, axis=1) if len(parts) > 1 else matrix
        weight, bias = (
            graph.add("Cast", graph.constant(part), to=graph.DOUBLE) for part in (self.weight, self.bias)
        )
        exact = graph.add("Cast", together, to=graph.DOUBLE)
        total = graph.add("Cast", graph.add("Gemm", exact, weight, bias), to=graph.FLOAT)
        return graph.add("Asinh", total) if self.link else total

    def describe(self) -> dict[str, Any]:
        """Name, shape and number of parameters."""
        return {
            "name": self.name,
            "knots": len(self.ramps.start),
            "pairs": len(self.left),
            "link": self.link,
            "parameters": self.weight.size
            + 1
            + sum(part.size for ramps in (self.ramps, self.left_ramps, self.right_ramps) for part in ramps),
        }

    @property
    def _curved_terms(self) -> int:
        return self.ramps.start.size + len(self.left) * _PAIR_RAMPS**2

    def _sum(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        exact = self.terms(x).astype(np.float64) @ self.weight.astype(np.float64) + self.bias
        return exact[:, 0].astype(np.float32)

    def _straight(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        straight = np.ones(x.shape[1], dtype=np.float32)
        straight[self.curved] = 0
        return straight

    def _aim(self, knowledge: Knowledge) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n,) what the sum shall be, and (n,) how much an error counts: before a link, as much as it does after it."""
        target = knowledge.target.astype(np.float64)
        if not self.link:
            return target, np.ones(len(target))
        raw = np.sinh(np.clip(target, -_FAR, _FAR))
        return raw, 1 / (1 + raw**2)

    def _read(self, profile: Profile, knowledge: Knowledge, progress: Progress | None) -> Self:
        """What a column adds is by how much the raw score of the middle row changes with it."""
        softener = knowledge.softener
        columns = range(knowledge.x.shape[1])
        values = [profile.value[profile.column == j] for j in columns]
        added = [(profile.raw[profile.column == j] - profile.rest) / softener.scale for j in columns]
        self.curved = np.flatnonzero([len(each) > 2 for each in values])
        self.left = self.right = np.empty(0, np.int64)
        self.left_ramps = self.right_ramps = _no_ramps((_PAIR_RAMPS, 0))
        most = max((len(values[j]) - 1 for j in self.curved), default=1)
        self.ramps = _stacked([_ramps(values[j]) for j in self.curved], most)
        straight, climbs = np.zeros(len(values)), np.zeros(self.ramps.start.shape)
        for place, j in enumerate(self.curved):
            climbs[: len(values[j]) - 1, place] = np.diff(added[j])
        for j in np.flatnonzero([len(each) == 2 for each in values]):
            straight[j] = np.diff(added[j])[0] / np.diff(values[j])[0]
        first = np.array([each[0] for each in values], np.float64)
        bias = (profile.rest - softener.center) / softener.scale + sum(each[0] for each in added)
        self.weight = np.concatenate([straight, climbs.ravel()])[:, None].astype(np.float32)
        self.bias = np.array([bias - straight @ first], np.float32)
        held_out = knowledge.held_out
        agreement = spearman(self.score(knowledge.x[held_out]), knowledge.target[held_out])
        self.history = ((1, agreement),)
        if progress is not None:
            progress(1, 1, agreement)
        return self

    def _solve(self, knowledge: Knowledge, seed: int, progress: Progress | None) -> None:
        target, counts = self._aim(knowledge)
        weight, bias, self.history = solve(
            self.terms, knowledge, target, counts, seed=seed, progress=progress
        )
        self.weight, self.bias = weight[:, None].astype(np.float32), np.array([bias], np.float32)

    def _pair(self, knowledge: Knowledge, seed: int) -> None:
        """Choose the pairs whose grid explains most of what the columns alone leave."""
        learn = np.flatnonzero(~knowledge.held_out)
        if len(learn) > _SAMPLE:
            learn = np.sort(np.random.default_rng(seed).choice(learn, _SAMPLE, replace=False))
        x = knowledge.x[learn]
        target, counts = self._aim(knowledge)
        left_over = (target[learn] - in_blocks(self._sum, x, _BLOCK)) * np.sqrt(counts[learn])
        spans = self.weight[x.shape[1] : x.shape[1] + self.ramps.start.size].reshape(self.ramps.start.shape)
        strongest = self.curved[np.sort(np.argsort(-np.abs(spans).sum(axis=0), kind="stable")[:_PAIRED])]
        edges = {j: np.quantile(x[:, j], np.linspace(0, 1, _PAIR_RAMPS + 1)[1:-1]) for j in strongest}
        cell = {j: np.searchsorted(edges[j], x[:, j]) for j in strongest}
        gains = {
            (i, j): _explained(cell[i] * _PAIR_RAMPS + cell[j], left_over)
            for i, j in combinations(strongest.tolist(), 2)
        }
        best = sorted(gains, key=lambda pair: (-gains[pair], pair))[: self.pairs]
        self.left, self.right = (np.array(side, dtype=np.int64) for side in zip(*best, strict=True))
        self.left_ramps, self.right_ramps = (
            _stacked([_ramps(spread(x[:, j], _PAIR_RAMPS + 1)) for j in side], _PAIR_RAMPS)
            for side in (self.left, self.right)
        )

    def _check_fitted(self) -> None:
        if not self.weight.size:
            raise StudentError("This student is not fitted. Call fit(knowledge) first.")


def _ramps(knots: NDArray[np.float32]) -> Ramps:
    return Ramps(knots[:-1], np.float32(1) / np.diff(knots))


def _stacked(ramps: list[Ramps], most: int) -> Ramps:
    """(most, columns) ramps, those of a column with fewer filled up with ramps that never climb."""
    start, slope = _no_ramps((most, len(ramps)))
    for j, one in enumerate(ramps):
        start[: len(one.start), j], slope[: len(one.start), j] = one
    return Ramps(start, slope)


def _no_ramps(shape: tuple[int, int]) -> Ramps:
    return Ramps(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


def _climb(x: NDArray[np.float32], ramps: Ramps) -> NDArray[np.float32]:
    climbed: NDArray[np.float32] = np.clip((x - ramps.start) * ramps.slope, np.float32(0), np.float32(1))
    return climbed


def _write_climb(graph: Graph, columns: str, ramps: Ramps, shape: tuple[int, ...]) -> str:
    apart = graph.add("Reshape", columns, graph.constant([-1, *shape], np.int64))
    away = graph.add("Sub", apart, graph.constant(ramps.start))
    climbed = graph.add("Mul", away, graph.constant(ramps.slope))
    return graph.add("Clip", climbed, graph.constant(0.0), graph.constant(1.0))


def _explained(cell: NDArray[np.int64], left_over: NDArray[np.float64]) -> float:
    """Sum of squares that the means of the cells explain."""
    count = np.bincount(cell)
    total = np.bincount(cell, weights=left_over)
    return float((total**2 / np.maximum(count, 1)).sum())
