"""Whether a stream still scores as the calibration rows did, watched row by row, with a promise that holds at any time.

A p-value of a row says where its score stands among the calibration rows. Betting against these p-values as if they were uniform
would ruin the promise: a table of n rows is itself a sample, and a long stream tells it from the truth. So the bets are against
what is exactly known. With n rows seen, the next one falls with the same chance into each of the n + 1 gaps between their scores:
the chance of a cell is its share of the gaps, whatever the distribution. Every row of the stream then adds a gap to its cell, and
the longer a stream has been like the calibration rows, the sharper the monitor.

Each alternative (scores higher, lower, wider, narrower, more high ones) bets on its own chances for the cells. Over a block of
rows, R = (rows + R) * (what the bet pays). Where nothing has changed, R grows by one a row on average, so that the mean of all R
passes 10^7 at most once in 10^7 rows, on average, however long it is watched.

Source: Vovk, Nouretdinov & Gammerman 2003 (testing exchangeability on-line); Shin, Ramdas & Rinaldo 2022, arXiv:2203.03532
(e-detectors, Shiryaev-Roberts).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stillwatch.drift.sketch import ScoreSketch
from stillwatch.errors import InputError

Direction = Literal["higher", "lower", "wider", "narrower", "more high ones"]
Floats = NDArray[np.float64]

# The log-odds of a score's place among the others are moved: odds' = scale * odds - shift.
_MOVED: tuple[tuple[float, float, Direction], ...] = (
    (1.0, 0.15, "higher"),
    (1.0, 0.4, "higher"),
    (1.0, 1.0, "higher"),
    (1.0, -0.15, "lower"),
    (1.0, -0.4, "lower"),
    (1.0, -1.0, "lower"),
    (0.75, 0.0, "wider"),
    (1.3, 0.0, "narrower"),
)
_SCALE = np.array([[scale] for scale, _, _ in _MOVED])
_SHIFT = np.array([[shift] for _, shift, _ in _MOVED])
# Some rows more fall among the highest: a share of all rows, evenly into so much of the top.
_SHARE, _TOP = np.array([[0.02], [0.1]]), np.array([[0.01], [0.05]])
_DIRECTIONS: tuple[Direction, ...] = (
    *(direction for *_, direction in _MOVED),
    "more high ones",
    "more high ones",
)
_LEAST, _MOST = 256, 4_096  # rows judged at once


class Monitor:
    """Watches the scores of a stream; made by `Scorer.monitor`.

    Parameters
    ----------
    sketch
        calibration rows by score.
    every
        one false alarm is accepted in so many rows, on average: with the default, a tenth of one in a million.

    Attributes
    ----------
    rows
        rows seen since the start.
    alarm_row
        number of the row at which the alarm was raised, counted from 1; None: it was not. It stays until `restart`.

    Notes
    -----
    The promise is for rows that are drawn from what the calibration rows were drawn from, one independently of the other. Memory
    does not grow. The alarm is looked at when 256 further rows have come, and in larger batches every 4,096.
    """

    def __init__(self, sketch: ScoreSketch, *, every: int = 10_000_000) -> None:
        if every < 1:
            raise InputError(
                f"every={every}: expected the rows in which one false alarm is accepted, such as 1,000,000."
            )
        self.every = every
        self._sketch = sketch
        self.restart()

    def restart(self) -> None:
        """Forget the stream, and start from the calibration rows again."""
        self.rows = 0
        self.alarm_row: int | None = None
        # Rows that tie with the calibration rows on an edge are ordered at random, or the gaps would not be exact. `height` is
        # that of the highest of those calibration rows, which is the edge.
        self._rng = np.random.default_rng(0)
        self._height = self._rng.random(len(self._sketch.edges)) ** (
            1 / np.array(self._sketch.tied, dtype=np.float64)
        )
        self._gaps = np.array(self._sketch.counts, dtype=np.float64)
        self._gaps[-1] += 1
        self._waiting: list[NDArray[np.float32]] = []
        self._judged = 0
        self._log_r = np.full(len(_DIRECTIONS), -np.inf)

    def add(self, scores: NDArray[np.floating]) -> bool:
        """Watch further rows.

        Parameters
        ----------
        scores
            (n,) scores that the same scorer gave, in the order of the stream.

        Returns
        -------
        Whether the alarm has been raised.
        """
        self._waiting.append(np.array(scores, dtype=np.float32, ndmin=1))
        self.rows += len(self._waiting[-1])
        if self.rows - self._judged >= _LEAST:
            waiting = np.concatenate(self._waiting)
            self._waiting = []
            for start in range(0, len(waiting), _MOST):
                self._bet(waiting[start : start + _MOST])
        return self.alarm_row is not None

    @property
    def evidence(self) -> float:
        """Evidence of change, as a share of what raises the alarm."""
        return math.exp(min(self._log_evidence(), 700.0))

    @property
    def direction(self) -> Direction:
        """What the scores most look like, compared with the calibration rows: of interest once there is an alarm."""
        return _DIRECTIONS[int(self._log_r.argmax())]

    def _count(self, scores: NDArray[np.float32]) -> Floats:
        """Rows by cell."""
        below, upto = self._sketch.count_to_edges(scores)
        tied = upto - below
        if tied.any():
            upto = upto - self._rng.binomial(tied, 1 - self._height)
        return np.diff(upto, prepend=0, append=len(scores))

    def _bet(self, scores: NDArray[np.float32]) -> None:
        """Place the bets on further rows, from what was known before them, and settle them."""
        gaps, counts = self._gaps, self._count(scores)
        total = gaps.sum()
        below = np.cumsum(gaps[:-1])
        odds = _SCALE * np.log(below / (total - below)) - _SHIFT
        place = below / total
        chances = np.ones((len(_DIRECTIONS), len(gaps) + 1))
        chances[:, 0] = 0
        chances[: len(_MOVED), 1:-1] = 1 / (1 + np.exp(-odds))
        chances[len(_MOVED) :, 1:-1] = (1 - _SHARE) * place + _SHARE * np.maximum(1 - (1 - place) / _TOP, 0)
        bets = np.concatenate([gaps[None], total * (chances[:, 1:] - chances[:, :-1])])
        before, after = _log_gamma(np.stack([bets, bets + counts])).sum(axis=2)
        won = after - before
        self._log_r = np.logaddexp(self._log_r, math.log(len(scores))) + (won[1:] - won[0])
        self._gaps = gaps + counts
        self._judged += len(scores)
        if self.alarm_row is None and self._log_evidence() >= 0:
            self.alarm_row = self._judged

    def _log_evidence(self) -> float:
        return float(np.logaddexp.reduce(self._log_r)) - math.log(len(_DIRECTIONS) * self.every)


def _log_gamma(x: Floats) -> Floats:
    """Logarithm of the gamma function of x > 0, to 1e-9: Stirling's series, from x + 5 on."""
    y = x + 5
    shifted = (y - 0.5) * np.log(y) - y + (1 / 12 - (1 / 360) / (y * y)) / y
    return shifted - np.log(x * (x + 1) * (x + 2) * (x + 3) * (x + 4))
