"""From rows to the feature matrix, in NumPy and as graph nodes.

The matrix is assembled from a `Code`: the columns in a form in which a new, valid row can be made by changing one of them
(`knowledge.transfer` does that). Order of the features: varying numbers, constant numbers, missing indicators, categories,
timestamps with their indicators.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stillwatch.features.category import Categories, fit_categories
from stillwatch.features.number import Numbers, fit_numbers, needs_float64, robust_scale
from stillwatch.features.timestamp import Timestamps, fit_timestamps
from stillwatch.graph import Graph
from stillwatch.table.pack import Layout, Rows
from stillwatch.table.schema import Schema


@dataclass(frozen=True)
class Code:
    """Rows, column by column, in model units.

    Attributes
    ----------
    u
        (n, r) float32: varying numbers in half-boxes, unclipped; 0 where missing.
    differs
        (n, c) float32: constant columns.
    absent
        (n, a) bool: number columns that may be missing.
    category
        (n, m) int64: codes.
    time
        (n, t) int64: microseconds UTC, `MISSING_TIME` where missing. None given: no such column.
    """

    u: NDArray[np.float32]
    differs: NDArray[np.float32]
    absent: NDArray[np.bool_]
    category: NDArray[np.int64]
    time: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))

    def __post_init__(self) -> None:
        if self.time.shape == (0, 0):
            object.__setattr__(self, "time", np.empty((len(self.u), 0), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.u)

    @property
    def width(self) -> int:
        """Number of coded columns."""
        return sum(part.shape[1] for part in (self.u, self.differs, self.absent, self.category, self.time))

    def take(self, index: NDArray[np.int64]) -> Code:
        """Rows at `index`."""
        return Code(
            self.u[index], self.differs[index], self.absent[index], self.category[index], self.time[index]
        )


@dataclass(frozen=True)
class Features:
    """Fitted feature steps of one table.

    Attributes
    ----------
    layout
        which column stands where in the graph's inputs.
    numbers, categories, timestamps
        the steps, None where the table has no such column.
    """

    schema: Schema
    layout: Layout
    numbers: Numbers | None
    categories: Categories | None
    timestamps: Timestamps | None = None

    def encode(self, rows: Rows) -> Code:
        """Rows in model units."""
        n = len(rows)
        u = differs = np.zeros((n, 0), dtype=np.float32)
        absent = np.zeros((n, 0), dtype=np.bool_)
        category = np.zeros((n, 0), dtype=np.int64)
        if self.numbers is not None:
            order = [self.schema.numbers.index(name) for name in self.layout.num + self.layout.num64]
            d = self.numbers.differences(rows.numbers[:, order])
            u, differs = self.numbers.half_boxes(d), self.numbers.differs(d)
            absent = self.numbers.absent(d)
        if self.categories is not None:
            category = self.categories.codes(rows.texts)
        return Code(u, differs, absent, category, rows.times)

    def assemble(self, code: Code) -> NDArray[np.float32]:
        """(n, d) float32 feature matrix, always finite: what teachers and students see."""
        blocks: list[NDArray[np.float32]] = []
        if self.numbers is not None:
            blocks += [self.squash(code.u), code.differs, code.absent.astype(np.float32)]
        if self.categories is not None:
            blocks.append(self.categories.one_hot(code.category))
        if self.timestamps is not None:
            blocks.append(self.timestamps.features(code.time))
        return np.ascontiguousarray(np.concatenate(blocks, axis=1))

    def squash(self, u: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, r) number features of `Code.u`."""
        return u if self.numbers is None else self.numbers.squash(u)

    def unsquash(self, f: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, r) `Code.u` of number features."""
        return f if self.numbers is None else self.numbers.unsquash(f)

    def guard(self, code: Code) -> NDArray[np.float32]:
        """(n,) what is added to every student's score outside the box; see `features.number`."""
        if self.numbers is None or not len(self.numbers.varying):
            return np.zeros(len(code), dtype=np.float32)
        return self.numbers.guard(code.u)

    def transform(self, rows: Rows) -> NDArray[np.float32]:
        """(n, d) float32 feature matrix of rows."""
        return self.assemble(self.encode(rows))

    def write(self, graph: Graph) -> tuple[str, str | None]:
        """Put the inputs and all steps into a graph; return the matrix and, where there is one, the guard ([n, 1])."""
        blocks: list[str] = []
        guard = None
        if self.numbers is not None:
            num = graph.input("num", len(self.layout.num)) if self.layout.num else None
            num64 = graph.input("num64", len(self.layout.num64)) if self.layout.num64 else None
            written = self.numbers.write(graph, num, num64)
            blocks += written.blocks
            guard = written.guard
        if self.categories is not None:
            blocks.append(self.categories.write(graph, graph.input("txt", len(self.layout.txt))))
        if self.timestamps is not None:
            blocks += self.timestamps.write(graph, graph.input("time", len(self.layout.time)))
        matrix = blocks[0] if len(blocks) == 1 else graph.add("Concat", *blocks, axis=1)
        return matrix, guard


def fit_features(rows: Rows, schema: Schema) -> Features:
    """Fit every step on the fit rows; columns follow the schema."""
    scales = [robust_scale(column) for column in rows.numbers.T]
    wide = [needs_float64(column, scale) for column, scale in zip(rows.numbers.T, scales, strict=True)]
    # float32 before float64, and in both what varies before what is constant: parts of a tensor are cheap, picks are not.
    order = sorted(range(len(wide)), key=lambda i: (wide[i], scales[i] == 0))
    names = [schema.numbers[i] for i in order]
    narrow = len(wide) - sum(wide)
    return Features(
        schema=schema,
        layout=Layout(
            num=tuple(names[:narrow]), num64=tuple(names[narrow:]), txt=schema.texts, time=schema.times
        ),
        numbers=fit_numbers(rows.numbers[:, order], [scales[i] for i in order], sum(wide)) if order else None,
        categories=fit_categories(rows.texts, schema.missing) if schema.texts else None,
        timestamps=fit_timestamps(rows.times) if schema.times else None,
    )
