"""Why a row scores high: the columns whose normal value would lower its score the most.

A column counts by how much the score falls when it is set to what is normal for rows like this one. Where several columns are
odd at once, one of them normal again may change little. So those that are furthest from normal are set to it in every
combination, and each of them counts by its mean fall over all orders in which they may become normal (Shapley value): together
they add up to the fall of the score when all of them are normal. A column that is as it is in rows like this one is no reason, so
only the furthest are tried. All this is one call of the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import InputError
from stillwatch.explain.references import FEWEST_ROWS, References
from stillwatch.table.rows import Rows
from stillwatch.table.schema import Schema
from stillwatch.table.timestamp import MISSING_TIME

Value = str | float | bool | None
_FAR = 1.0  # robust deviations
_LIKE = 3  # groups of rows like this one
_TOGETHER = 4  # columns that become normal in every combination
_ALONE = 8  # columns, the next furthest, that become normal one at a time


class Reason(msgspec.Struct, frozen=True):
    """One column of one row.

    Attributes
    ----------
    column
        its name.
    effect
        by how much the score falls when the column is set to `normal`; negative where it rises. For the four columns that are
        furthest from normal it is the mean over all orders in which they become normal.
    value, normal
        what the row holds, and what is normal for rows like it, in the column's own units; None = missing, times as text (UTC).
    """

    column: str
    effect: float
    value: Value
    normal: Value


class Explainer:
    """Finds reasons.

    Parameters
    ----------
    schema, references
        the columns, and what is normal for them.
    score
        (n,) scores of packed rows.
    """

    def __init__(
        self, schema: Schema, references: References, score: Callable[[Rows], NDArray[np.float32]]
    ) -> None:
        self._names = (*schema.numbers, *schema.texts, *schema.times)
        self._booleans = frozenset(column.name for column in schema.features if column.kind == "boolean")
        self._references, self._score = references, score

    def explain(self, rows: Rows, top: int) -> list[tuple[Reason, ...]]:
        """For each row `top` reasons, or as many as there are columns, the strongest first.

        They are sought among the 12 columns that are furthest from normal, or among `top` of them.

        Raises
        ------
        InputError
            `top` is less than 1, or the model was made of too few rows to hold reference values.
        """
        if top < 1:
            raise InputError(f"top={top}: expected the number of reasons a row, 1 or more.")
        if not len(self._references):
            raise InputError(
                f"This model holds no reference values: it was made of fewer than {FEWEST_ROWS} rows. Distill with more."
            )
        # Row by row: a row's copies fill a call of the network already.
        if len(rows) == 1:
            return [self._explain(rows, top)]
        return [self._explain(rows.take(slice(i, i + 1)), top) for i in range(len(rows))]

    def _explain(self, row: Rows, top: int) -> tuple[Reason, ...]:
        normal, away = self._normal(row)
        # NaN is the furthest: one of the two is missing.
        order = away.argsort(kind="stable")[::-1][: max(_TOGETHER + _ALONE, top)]
        effects = self._effects(row, normal, order)
        strongest = (-effects).argsort(kind="stable")[:top].tolist()
        return tuple(
            Reason(self._names[j], float(effects[place]), self._value(row, j), self._value(normal, j))
            for place, j in zip(strongest, order[strongest].tolist(), strict=True)
        )

    def _effects(self, row: Rows, normal: Rows, order: NDArray[np.int64]) -> NDArray[np.float64]:
        """Effects of these columns, the furthest from normal first; see `Reason`."""
        count = min(_TOGETHER, len(order))
        copies = _copies(count, len(order) - count)
        is_normal = np.zeros((len(copies), len(self._names)), dtype=np.bool_)
        is_normal[:, order] = copies
        scores = self._score(_mixed(row, normal, is_normal)).astype(np.float64)
        effects = np.empty(len(order))
        effects[:count] = _mean_falls(count).dot(scores[: 1 << count])
        effects[count:] = scores[0] - scores[1 << count :]
        return effects

    def _value(self, row: Rows, j: int) -> Value:
        """One value in its column's own units."""
        numbers, texts = row.numbers.shape[1], row.texts.shape[1]
        if j < numbers:
            number = float(row.numbers[0, j])
            if math.isnan(number):
                return None
            return bool(number) if self._names[j] in self._booleans and number in {0, 1} else number
        if j < numbers + texts:
            return row.texts[0, j - numbers] or None
        time = row.times[0, j - numbers - texts]
        return None if time == MISSING_TIME else f"{np.datetime64(int(time), 'us')}Z"

    def _normal(self, row: Rows) -> tuple[Rows, NDArray[np.float64]]:
        """What is normal for a row, and (d,) how far each of its columns is from that, in robust deviations.

        The middle of the groups that are most like it; categories and times are those of the one most like it. In the choice a
        column counts as `_FAR` at most, for it may be the odd one; times play no part.
        """
        groups = self._groups
        with np.errstate(over="ignore", invalid="ignore"):
            apart = np.abs(self._scaled - row.numbers * self._per_scale)
            distance = np.fmin(apart, _FAR).dot(self._once)
            if self._has_gaps:  # what one of the two lacks is far
                distance -= _FAR * (np.isnan(row.numbers) & np.isnan(groups.numbers)).sum(axis=1)
            if row.texts.shape[1]:
                distance += _FAR * (row.texts != groups.texts).sum(axis=1)
            like = distance.argsort(kind="stable")[: _LIKE if len(groups) >= _LIKE else 1]
            middle = self._by_column.take(like, axis=1)
            middle.sort(axis=1)  # NaN last: the middle is missing where most are
            numbers = middle[:, len(like) // 2][None]
            away = np.abs(row.numbers - numbers)[0] * self._per_scale
        if self._has_gaps:
            away[np.isnan(row.numbers[0]) & np.isnan(numbers[0])] = 0.0
        normal = Rows(numbers, groups.texts[like[:1]], groups.times[like[:1]])
        if len(away) < len(self._names):
            others = [row.texts[0] != normal.texts[0], row.times[0] != normal.times[0]]
            away = np.concatenate([away, *(3 * _FAR * part for part in others)])
        return normal, away

    @cached_property
    def _groups(self) -> Rows:
        return self._references.rows()

    @cached_property
    def _by_column(self) -> NDArray[np.float64]:
        return np.ascontiguousarray(self._groups.numbers.T)

    @cached_property
    def _scaled(self) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):
            scaled: NDArray[np.float64] = self._groups.numbers * self._per_scale
        return scaled

    @cached_property
    def _once(self) -> NDArray[np.float64]:
        return np.ones(self._groups.numbers.shape[1])

    @cached_property
    def _has_gaps(self) -> bool:
        return bool(np.isnan(self._groups.numbers).any())

    @cached_property
    def _per_scale(self) -> NDArray[np.float64]:
        scale: NDArray[np.float64] = np.maximum(np.array(self._references.scale), 1e-300)
        return 1 / scale


def _mixed(row: Rows, normal: Rows, is_normal: NDArray[np.bool_]) -> Rows:
    """Copies of one row in which the marked columns, (copies, d), are as in another."""
    numbers, texts = row.numbers.shape[1], row.texts.shape[1]
    return Rows(
        np.where(is_normal[:, :numbers], normal.numbers, row.numbers),
        np.where(is_normal[:, numbers : numbers + texts], normal.texts, row.texts),
        np.where(is_normal[:, numbers + texts :], normal.times, row.times),
    )


@lru_cache(maxsize=8)
def _copies(together: int, alone: int) -> NDArray[np.bool_]:
    """(2^together + alone, together + alone): the copies of a row to ask about, and which columns are normal in them.

    Every combination of the first columns, and each of the others alone.
    """
    copies = np.zeros(((1 << together) + alone, together + alone), dtype=np.bool_)
    copies[: 1 << together, :together] = _combinations(together).T
    copies[1 << together :, together:] = np.eye(alone, dtype=np.bool_)
    return copies


def _combinations(columns: int) -> NDArray[np.bool_]:
    """(k, 2^k): bit j of a combination's place says whether it holds column j."""
    held: NDArray[np.bool_] = (np.arange(1 << columns) >> np.arange(columns)[:, None] & 1).astype(np.bool_)
    return held


@lru_cache(maxsize=_TOGETHER)
def _mean_falls(columns: int) -> NDArray[np.float64]:
    """(k, 2^k): times the scores of all combinations, the mean fall as a column becomes normal, over all orders.

    Source: Shapley 1953.
    """
    members = _combinations(columns)
    size = members.sum(axis=0)
    orders = [math.factorial(n) * math.factorial(columns - 1 - n) for n in range(columns)]
    share = np.array([*orders, 0]) / math.factorial(columns)
    falls: NDArray[np.float64] = np.where(members, -share[size - 1], share[size])
    return falls
