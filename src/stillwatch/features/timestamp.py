"""Points in time: where they stand in the day, the week and the year.

For a time t in microseconds UTC and each of three periods p:

    a = 2 pi (t mod p) / p
    f = weight (sin a, cos a),   0 where t is missing

The day tells the hour, the week the weekday, the year (365.2425 days, which drifts from the calendar by at most a day or two)
the month. A zone would turn the first circle by a fixed angle, and no teacher sees by how much a circle is turned. So the graph
needs no calendar. A missing indicator follows for the columns that had gaps in training; elsewhere a missing time stands in the
middle of its circles, where no real one does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.graph import Graph
from stillwatch.table.timestamp import DAY, MISSING_TIME, SECOND

YEAR = 31_556_952 * SECOND  # mean Gregorian year
PERIODS = np.array([DAY, 7 * DAY, YEAR], dtype=np.int64)
WEIGHT = np.float32(0.5)  # so the three circles of a column weigh about as much as one or two numbers

_GAP = 0.25  # share of missing values among drawn times
_PER_PERIOD = (2 * np.pi / PERIODS).astype(np.float32)


@dataclass(frozen=True)
class Timestamps:
    """Fitted constants of the timestamp columns.

    Attributes
    ----------
    columns
        number of columns.
    gaps
        indices of the columns that had missing values: each gets an indicator.
    low, high
        (columns,) int64, earliest and latest time in training, with a year more on both sides.
    """

    columns: int
    gaps: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def features(self, times: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, 6 columns + gaps) float32 of (n, columns) times."""
        absent = times == MISSING_TIME
        angle = (times[:, :, None] % PERIODS).astype(np.float32) * _PER_PERIOD
        circles = np.concatenate([np.sin(angle), np.cos(angle)], axis=2) * WEIGHT
        circles = circles * ~absent[:, :, None]
        flat = circles.reshape(len(times), -1)
        return np.concatenate([flat, absent[:, self.gaps].astype(np.float32)], axis=1)

    def anywhen(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """(n, columns) times of any hour, weekday and month; some missing, in the columns where that is known to happen."""
        times = rng.integers(self.low, self.high, size=(n, self.columns))
        gap = np.isin(np.arange(self.columns), self.gaps) & (rng.random(times.shape) < _GAP)
        return np.where(gap, MISSING_TIME, times)

    def write(self, graph: Graph, time: str) -> list[str]:
        """Put the same steps into a graph; return the feature blocks in order."""
        apart = graph.add("Reshape", time, graph.constant([-1, self.columns, 1], np.int64))
        phase = graph.add("Cast", graph.add("Mod", apart, graph.constant(PERIODS, np.int64)), to=1)
        angle = graph.add("Mul", phase, graph.constant(_PER_PERIOD))
        circles = graph.add("Concat", graph.add("Sin", angle), graph.add("Cos", angle), axis=2)
        absent = graph.add("Equal", time, graph.constant(MISSING_TIME, np.int64))
        present = graph.add("Cast", graph.add("Not", absent), to=1)
        present = graph.add("Mul", present, graph.constant(WEIGHT))
        present = graph.add("Reshape", present, graph.constant([-1, self.columns, 1], np.int64))
        circles = graph.add("Mul", circles, present)
        blocks = [graph.add("Reshape", circles, graph.constant([-1, 6 * self.columns], np.int64))]
        if len(self.gaps):
            if len(self.gaps) < self.columns:
                absent = graph.add("Gather", absent, graph.constant(self.gaps, np.int64), axis=1)
            blocks.append(graph.add("Cast", absent, to=1))
        return blocks


def fit_timestamps(times: NDArray[np.int64]) -> Timestamps:
    """Constants of (n, columns) times."""
    absent = times == MISSING_TIME
    # A year more on both sides, so that every hour, weekday and month is met.
    ends = np.clip(times, -(2**62), 2**62)
    low = np.where(absent, 2**62, ends).min(axis=0, initial=2**62) - YEAR
    high = np.where(absent, -(2**62), ends).max(axis=0, initial=-(2**62)) + YEAR
    known = low < high
    return Timestamps(
        columns=times.shape[1],
        gaps=np.flatnonzero(absent.any(axis=0)),
        low=np.where(known, low // YEAR * YEAR, 0),
        high=np.where(known, (high // YEAR + 1) * YEAR, YEAR),
    )
