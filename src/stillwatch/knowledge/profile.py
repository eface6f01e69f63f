"""What a teacher says of one column at a time.

A teacher that is a sum over columns, as ECOD is, gives itself away: the middle row with one column changed tells that column's
share of the sum, and its curve need not be fitted, only read. (A curve of this kind is an individual conditional expectation:
Goldstein, Kapelner, Bleich, Pitkin 2015.) A teacher that is no sum answers too, and what it says here tells little.

Such rows need not be possible, one of two categories at once say: a sum does not mind, and no other student learns from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MOST_QUESTIONS = 5_000
_MOST_KNOTS, _FEWEST_KNOTS = 64, 16
_ENDS = 4  # knots where a column of the training rows ends, just beyond, and where other rows end
_EDGE = 0.01  # deviations just beyond


@dataclass(frozen=True)
class Profile:
    """Raw scores of the middle row with one column of the features changed.

    Attributes
    ----------
    rest
        raw score of the middle row, the median of every column.
    column, value, raw
        (m,) which column was changed, in ascending order; to what, ascending within a column; and the raw score.
    """

    rest: float
    column: NDArray[np.int64]
    value: NDArray[np.float32]
    raw: NDArray[np.float64]


def profile(
    ask: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    x: NDArray[np.float32],
    real: NDArray[np.float32],
) -> Profile | None:
    """Ask about every column of the (n, d) features at its knots; None where columns are too many for enough of them.

    `real` (m, d) are the training rows among them: they say where the middle is, and where a column is asked about.
    """
    most = _MOST_QUESTIONS // max(1, x.shape[1])
    if most < _FEWEST_KNOTS:
        return None
    values = [_asked(x[:, j], real[:, j], min(most, _MOST_KNOTS)) for j in range(x.shape[1])]
    column, value = np.repeat(np.arange(len(values)), [len(each) for each in values]), np.concatenate(values)
    rows = np.repeat(np.median(real, axis=0)[None], len(column) + 1, axis=0)
    rows[np.arange(len(column)), column] = value  # the last row stays as it is
    raw = ask(rows)
    return Profile(float(raw[-1]), column, value, raw[:-1])


def _asked(column: NDArray[np.float32], real: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Knots, and places close by either side of the values that most rows share: there a sum of ranks jumps."""
    if len(both := np.unique(column)) <= 2:
        return both
    values, counts = np.unique(real, return_counts=True)
    room = np.min([np.diff(values, prepend=-np.inf), np.diff(values, append=np.inf)], axis=0) / 3
    step = np.minimum(room, np.float32(_EDGE * real.std()))
    shared = np.argsort(-counts, kind="stable")[: most // 6]
    shared = shared[counts[shared] > 1]
    sides = [values[shared] - step[shared], values[shared] + step[shared]]
    inner = knots(column, real, most - 2 * len(shared))
    return np.unique(np.concatenate([inner, *sides, values[shared]]).astype(np.float32))


def knots(column: NDArray[np.float32], real: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Values of a column between which its function may be taken for straight, ascending, at most `most` of them.

    Of those among the (m,) values of training rows a third lie as many rows apart as each other, two thirds the closer the
    further out: there scores turn. Where these values end a score may jump, and it may go on as far as all rows reach.
    """
    inner, values = most - _ENDS, np.unique(real)
    if inner < 2 or not len(values):
        return spread(column, most)
    if len(values) > inner:
        rows, real = len(real), np.sort(real)
        out = np.geomspace(1, rows / 2, inner // 3, endpoint=False).round().astype(np.int64) - 1
        even = np.linspace(0, rows - 1, inner - 2 * len(out)).round().astype(np.int64)
        values = np.unique(real[np.concatenate([out, even, rows - 1 - out])])
    edge = np.float32(_EDGE * real.std())
    ends = [column.min(), values[0] - edge, values[-1] + edge, column.max()]
    return np.unique(np.append(values, ends).astype(np.float32))


def spread(column: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Values as many rows apart as each other: those of a column that takes few, quantiles of all others."""
    values = np.unique(column)
    if len(values) <= most:
        return values
    return np.unique(np.quantile(column, np.linspace(0, 1, most), method="nearest"))
