"""What is normal for a column: medians and most frequent values of groups of alike rows.

One median for all rows would be a poor norm where a table holds several kinds of rows. So the rows are halved along their most
spread feature until there are enough groups; every value that is kept speaks for 20 rows or more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.table.rows import Rows
from stillwatch.table.schema import Schema
from stillwatch.table.timestamp import DAY, FIRST_TIME, LAST_TIME, MISSING_TIME, SECOND

FEWEST_ROWS = 20  # a stored value speaks for so many rows
FEWEST_SHARING = 5  # so many rows must hold a value before it is stored as it is; else the mean of the middle half stands for it
MOST_GROUPS = 32
_EXTREME = 1.5  # of a feature, 3 robust deviations of a number: extremes call for no groups of their own
_MOST_VALUES = 30_000  # of all groups together, so that wide tables keep a small manifest
_HOUR, _WEEK = 3_600 * SECOND, 7 * DAY


class References(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Normal values, one row a group; empty where a table has fewer than 20 rows.

    Parameters
    ----------
    numbers
        Medians in the order of `Schema.numbers`, or means of the middle half where a median would be some row's own value;
        None: the column is mostly missing.
    texts
        Most frequent known values in the order of `Schema.texts`; "" = missing.
    times
        Typical times in the order of `Schema.times`, microseconds UTC; `MISSING_TIME` = missing.
    scale
        Robust spread of each number column in its own units; 0 for a constant one.
    """

    numbers: tuple[tuple[float | None, ...], ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()
    times: tuple[tuple[int, ...], ...] = ()
    scale: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def fit(self, schema: Schema) -> bool:
        """Whether every group has a value for each feature column, and times are such as an int64 holds."""
        parts = (
            (self.numbers, schema.numbers),
            (self.texts, schema.texts),
            (self.times, schema.times),
            ((self.scale,) * len(self), schema.numbers),
        )
        whole = all(
            len(part) == len(self) and all(len(row) == len(names) for row in part) for part, names in parts
        )
        return whole and all(MISSING_TIME <= time <= LAST_TIME for row in self.times for time in row)

    def rows(self) -> Rows:
        """The normal rows, packed."""
        texts = np.empty((len(self), len(self.texts[0]) if self.texts else 0), dtype=np.object_)
        for i, values in enumerate(self.texts):
            texts[i] = values
        return Rows(
            np.array(self.numbers, dtype=np.float64).reshape(len(self), -1),
            texts,
            np.array(self.times, dtype=np.int64).reshape(len(self), -1),
        )


def find_references(
    rows: Rows, matrix: NDArray[np.float32], known: Sequence[Sequence[str]], scale: Sequence[float]
) -> References:
    """Condense rows to what is normal for them.

    Parameters
    ----------
    rows
        the fit rows.
    matrix
        (n, d) their features, in which rows that stand close are alike.
    known
        per text column, the values that may be stored.
    scale
        see `References`.
    """
    if len(rows) < FEWEST_ROWS:
        return References()
    width = rows.numbers.shape[1] + rows.texts.shape[1] + rows.times.shape[1]
    groups = halve(matrix.clip(-_EXTREME, _EXTREME), max(1, min(MOST_GROUPS, _MOST_VALUES // width)))
    return References(
        numbers=tuple(tuple(_median(column, group) for column in rows.numbers.T) for group in groups),
        texts=tuple(
            tuple(
                _most_frequent(column, values)
                for column, values in zip(rows.texts[group].T, known, strict=True)
            )
            for group in groups
        ),
        times=tuple(tuple(_typical_time(column, group) for column in rows.times.T) for group in groups),
        scale=tuple(float(s) for s in scale),
    )


def halve(matrix: NDArray[np.float32], most: int) -> list[NDArray[np.int64]]:
    """At most `most` groups of rows, each of `FEWEST_ROWS` or more: the widest is cut at the median of its widest feature."""
    groups = [np.arange(len(matrix))]
    widths = [_spread(matrix)]
    while len(groups) < most:
        cut = int(
            np.argmax(
                [w.sum() if len(g) >= 2 * FEWEST_ROWS else -1.0 for g, w in zip(groups, widths, strict=True)]
            )
        )
        group, width = groups[cut], widths[cut]
        if len(group) < 2 * FEWEST_ROWS or not width.any():
            break
        order = group[np.argsort(matrix[group, width.argmax()], kind="stable")]
        halves = [order[: len(order) // 2], order[len(order) // 2 :]]
        groups[cut : cut + 1] = halves
        widths[cut : cut + 1] = [_spread(matrix[half]) for half in halves]
    return groups


def _spread(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """(d,) sum of squares about the mean."""
    return np.asarray(matrix.var(axis=0, dtype=np.float64) * len(matrix))


def _median(column: NDArray[np.float64], group: NDArray[np.int64]) -> float | None:
    present = _present(column, ~np.isnan(column), group)
    if present is None:
        return None
    # The lower of two middle values: their mean may be none that the column can hold, such as half a boolean.
    middle = _middle(present)
    if (present == middle).sum() < FEWEST_SHARING:  # some row's own value: what is typical is said without it
        middle = np.sort(present)[len(present) // 4 : -(len(present) // 4)].mean()
    return float(np.clip(middle, -1e300, 1e300))


def _typical_time(column: NDArray[np.int64], group: NDArray[np.int64]) -> int:
    """The most frequent hour of the most frequent weekday, in the week of the median: it is the clock that the model reads."""
    present = _present(column, column != MISSING_TIME, group)
    if present is None:
        return MISSING_TIME
    day = np.bincount(present % _WEEK // DAY).argmax()
    hour = np.bincount(present % DAY // _HOUR).argmax()
    time = int(_middle(present) // _WEEK) * _WEEK + int(day) * DAY + int(hour) * _HOUR + _HOUR // 2
    return min(max(time, FIRST_TIME), LAST_TIME)


def _present(column: NDArray[Any], there: NDArray[np.bool_], group: NDArray[np.int64]) -> NDArray[Any] | None:
    """Values of a group, of all rows where the group has too few, or None where missing is what is normal."""
    inside = group[there[group]]
    if 2 * len(inside) < len(group) or there.sum() < FEWEST_ROWS:
        return None
    present: NDArray[Any] = column[inside] if len(inside) >= FEWEST_ROWS else column[there]
    return present


def _middle(values: NDArray[Any]) -> Any:
    place = (len(values) - 1) // 2
    return np.partition(values, place)[place]


def _most_frequent(column: NDArray[np.object_], known: Sequence[str]) -> str:
    counts = Counter(column.tolist())
    return max(("", *known), key=lambda value: (counts[value], value))
