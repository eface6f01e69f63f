"""Small counts of what a model was made of: every column, and the score, in cells whose edges are then fixed.

Numbers and times are counted over all rows that the model was made of, fitted on or set aside: fitting changes no column, and
more rows see smaller drift. Texts and scores are counted over the calibration rows alone: the others chose which values are
known, and score otherwise than new rows do. Every edge of a column speaks for 20 rows or more; later rows are counted in the same
cells, so that two counts compare exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.table.rows import Rows
from stillwatch.table.schema import Schema
from stillwatch.table.timestamp import DAY, MISSING_TIME, SECOND

Kind = Literal["number", "category", "hour", "weekday"]

FEWEST_ROWS = 20  # an edge speaks for so many rows
MOST_CELLS = 32
MOST_CATEGORIES = 64  # further known values share a cell
_MOST_EDGES = 40_000  # of all columns together, so that wide tables keep a small manifest
_SCORE_CELLS = 24  # equal ones; the highest is halved on and on
_FEWEST_SCORES = 8
MOST_ROWS = 1 << 53  # what no float64 counts was never counted
_ROUNDING = 2e-5  # a graph and its NumPy form, or batches of other sizes, may round a score differently

Counts = NDArray[np.int64]


class ColumnSketch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows of one column by cell.

    Parameters
    ----------
    kind
        "number": cells between `edges`, in order. "category": the known values, the rarer known ones together, the unseen. A
        timestamp has two sketches, "hour" (24 cells) and "weekday" (7, Thursday first, as 1 January 1970 was).
    edges
        Inner edges of the cells of a number, ascending; a value on an edge belongs to the cell below.
    counts
        Rows with a value, by cell.
    missing
        Rows without.
    """

    column: str
    kind: Kind
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...]
    missing: int


class ScoreSketch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows by score.

    Parameters
    ----------
    edges
        Inner edges, ascending: scores of calibration rows. Scores that differ by a rounding are one.
    counts
        Calibration rows by cell; a score on an edge belongs to the cell below.
    tied
        For each edge, how many of the calibration rows have this score.
    fitted
        Rows that were fitted on, by cell; they score a little lower. Empty after a recalibration.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    tied: tuple[int, ...]
    fitted: tuple[int, ...] = ()

    def fit(self) -> bool:
        """Whether counts fit their cells; each edge is a calibration row, so that only the highest cell may be empty."""
        return (
            len(self.counts) - 1 == len(self.edges) == len(self.tied)
            and len(self.fitted) in {0, len(self.counts)}
            and _ascend(self.edges)
            and all(count >= tied >= 1 for count, tied in zip(self.counts, self.tied, strict=False))
            and all(0 <= count <= MOST_ROWS for count in (*self.counts, *self.fitted))
        )

    def count(self, scores: NDArray[np.floating]) -> Counts:
        """(cells,) rows by cell."""
        return np.diff(self.count_to_edges(scores)[1], prepend=0, append=len(scores))

    def count_to_edges(self, scores: NDArray[np.floating]) -> tuple[Counts, Counts]:
        """(edges,) rows below each edge, and rows below it or on it."""
        edges = np.array(self.edges, dtype=np.float64)
        rounding = _ROUNDING * np.maximum(1, np.abs(edges))
        ordered = np.sort(np.asarray(scores, dtype=np.float32))
        return ordered.searchsorted(edges - rounding, "left"), ordered.searchsorted(edges + rounding, "right")


class Sketches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a model's sketches; the score's is None where its calibration is approximate."""

    columns: tuple[ColumnSketch, ...] = ()
    score: ScoreSketch | None = None

    def fit(self, schema: Schema, categories: Mapping[str, Sequence[str]]) -> bool:
        """Whether the sketches are of columns of the schema, and their counts fit their cells."""
        kinds: dict[str, set[Kind]] = {name: {"number"} for name in schema.numbers}
        kinds |= {name: {"category"} for name in schema.texts}
        kinds |= {name: {"hour", "weekday"} for name in schema.times}
        columns = all(
            sketch.kind in kinds.get(sketch.column, ())
            and len(sketch.counts) == _width(sketch, categories.get(sketch.column, ()))
            and _ascend(sketch.edges)
            and all(0 <= count <= MOST_ROWS for count in (*sketch.counts, sketch.missing))
            for sketch in self.columns
        )
        return columns and (self.score is None or self.score.fit())


def sketch_columns(
    rows: Rows, schema: Schema, categories: Mapping[str, Sequence[str]], *, apart: Rows | None = None
) -> tuple[ColumnSketch, ...]:
    """Count the columns of the rows that a model is made of.

    Parameters
    ----------
    categories
        known values of each text column, the most frequent first.
    apart
        those of the rows that had no say in which values are known: text columns are counted over these, for unseen values are
        rarer among the others. None: all rows.
    """
    cells = min(MOST_CELLS, max(8, _MOST_EDGES // max(1, len(schema.numbers))))
    empty = [
        ColumnSketch(column=name, kind="number", edges=_edges(column, cells), counts=(), missing=0)
        for name, column in zip(schema.numbers, rows.numbers.T, strict=True)
    ]
    clock: tuple[Kind, ...] = ("hour", "weekday")
    empty += [
        ColumnSketch(column=name, kind=kind, counts=(), missing=0) for name in schema.times for kind in clock
    ]
    texts = [ColumnSketch(column=name, kind="category", counts=(), missing=0) for name in schema.texts]
    return (
        *_filled(empty, rows, schema, categories),
        *_filled(texts, rows if apart is None else apart, schema, categories),
    )


def _filled(
    sketches: Sequence[ColumnSketch], rows: Rows, schema: Schema, categories: Mapping[str, Sequence[str]]
) -> Iterator[ColumnSketch]:
    counter = ColumnCounter(sketches, schema, categories)
    counter.add(rows)
    for sketch, counts, missing in zip(sketches, counter.counts, counter.missing, strict=True):
        yield msgspec.structs.replace(sketch, counts=tuple(counts.tolist()), missing=missing)


class ColumnCounter:
    """Counts rows in the cells of sketches, batch by batch.

    Attributes
    ----------
    counts, missing
        per sketch: rows with a value by cell, and rows without.
    """

    def __init__(
        self, sketches: Sequence[ColumnSketch], schema: Schema, categories: Mapping[str, Sequence[str]]
    ) -> None:
        self._sketches = sketches
        self._place = {
            name: j for names in (schema.numbers, schema.texts, schema.times) for j, name in enumerate(names)
        }
        self._edges = [np.array(sketch.edges, dtype=np.float64) for sketch in sketches]
        self._cell = {name: _category_cells(categories.get(name, ())) for name in schema.texts}
        self.counts: list[Counts] = [
            np.zeros(_width(sketch, categories.get(sketch.column, ())), dtype=np.int64) for sketch in sketches
        ]
        self.missing = [0] * len(sketches)

    def add(self, rows: Rows) -> None:
        """Count more rows."""
        for i, sketch in enumerate(self._sketches):
            place = self._place[sketch.column]
            if sketch.kind == "number":
                counts, missing = _count_numbers(rows.numbers[:, place], self._edges[i])
            elif sketch.kind == "category":
                counts, missing = _count_texts(
                    rows.texts[:, place], self._cell[sketch.column], len(self.counts[i])
                )
            else:
                counts, missing = _count_times(rows.times[:, place], sketch.kind)
            self.counts[i] += counts
            self.missing[i] += missing


def sketch_scores(scores: NDArray[np.float32], fitted: NDArray[np.float32] | None = None) -> ScoreSketch:
    """Count the scores of calibration rows: in equal cells, finer and finer towards the highest.

    Parameters
    ----------
    fitted
        scores of the rows that were fitted on, if they are at hand.
    """
    ordered = np.sort(scores)
    n = len(ordered)
    equal = min(_SCORE_CELLS, max(1, n // _FEWEST_SCORES))
    shares = [k / equal for k in range(1, equal)]
    tail = 1 / equal / 2
    while tail * n >= _FEWEST_SCORES:
        shares.append(1 - tail)
        tail /= 2
    edges: list[float] = []
    for share in shares:
        edge = float(ordered[round(share * n) - 1])
        if not edges or edge - edges[-1] > 3 * _ROUNDING * max(1, abs(edge)):
            edges.append(edge)
    sketch = ScoreSketch(edges=tuple(edges), counts=(), tied=())
    below, upto = sketch.count_to_edges(ordered)
    return ScoreSketch(
        edges=sketch.edges,
        counts=tuple(sketch.count(ordered).tolist()),
        tied=tuple((upto - below).tolist()),
        fitted=() if fitted is None else tuple(sketch.count(fitted).tolist()),
    )


def _edges(column: NDArray[np.float64], cells: int) -> tuple[float, ...]:
    """Means of the 20 values about each quantile. A value that all 20 share is an atom, and gets a cell of its own."""
    ordered = np.sort(np.clip(column[~np.isnan(column)], -1e300, 1e300))
    cells = min(cells, len(ordered) // FEWEST_ROWS)
    edges: set[float] = set()
    for k in range(1, cells):
        start = round(k * len(ordered) / cells) - FEWEST_ROWS // 2
        window = ordered[start : start + FEWEST_ROWS]
        if window[0] == window[-1]:
            edges |= {float(np.nextafter(window[0], -np.inf)), float(window[0])}
        else:
            edges.add(float((window / FEWEST_ROWS).sum()))
    return tuple(sorted(edges))


def _count_numbers(column: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[Counts, int]:
    present = column[~np.isnan(column)]
    cells = np.searchsorted(edges, present, side="left")
    return np.bincount(cells, minlength=len(edges) + 1), len(column) - len(present)


def _count_texts(column: NDArray[np.object_], cell: Mapping[str, int], width: int) -> tuple[Counts, int]:
    values = Counter(column.tolist())
    missing = values.pop("", 0)
    counts = np.zeros(width, dtype=np.int64)
    for value, count in values.items():
        counts[cell.get(value, width - 1)] += count
    return counts, missing


def _count_times(column: NDArray[np.int64], kind: Kind) -> tuple[Counts, int]:
    present = column[column != MISSING_TIME]
    missing = len(column) - len(present)
    if kind == "hour":
        return np.bincount(present % DAY // (3_600 * SECOND), minlength=24), missing
    return np.bincount(present % (7 * DAY) // DAY, minlength=7), missing


def _category_cells(known: Sequence[str]) -> dict[str, int]:
    """Cell of each known value; unseen values have the cell behind the last."""
    return {value: min(i, MOST_CATEGORIES) for i, value in enumerate(known)}


def _width(sketch: ColumnSketch, known: Sequence[str]) -> int:
    if sketch.kind == "number":
        return len(sketch.edges) + 1
    if sketch.kind == "category":
        return min(len(known), MOST_CATEGORIES + 1) + 1
    return 24 if sketch.kind == "hour" else 7


def _ascend(edges: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(edges))
