"""Why a row scores high: the columns whose normal value would lower its score the most.

A column counts by how much the score falls when it is set to what is normal for rows like this one, and by half of how much the
score of the normal row rises when it gets this value alone: where several columns are odd at once, one of them normal again may
change little. The strongest becomes the first reason and stays normal while the next is looked for among the others, so that
a column that hides behind another is found, and the effects add up to the fall of the score when all of them are normal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from itertools import combinations, pairwise
from typing import Any

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
_ODD = 6  # columns that are tried alone in the normal row
_PAIRED = 5  # columns that are tried in pairs


class Reason(msgspec.Struct, frozen=True):
    """One column of one row.

    Attributes
    ----------
    column
        its name.
    effect
        by how much the score falls when the column is set to `normal`, and the columns of the reasons before it are normal
        too; negative where the score rises.
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
        kinds = (schema.numbers, schema.texts, schema.times)
        self._place = [(part, column) for part, names in enumerate(kinds) for column in range(len(names))]
        self._references, self._score = references, score

    def explain(self, rows: Rows, top: int) -> list[tuple[Reason, ...]]:
        """For each row `top` reasons, or as many as there are columns, the strongest first.

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
        return [self._explain(rows.take(slice(i, i + 1)), top) for i in range(len(rows))]

    def _explain(self, row: Rows, top: int) -> tuple[Reason, ...]:
        normal, away = self._nearest(row)
        score, fallen, alone = self._first_look(row, normal, away)
        worth = fallen.copy()
        for j, part in alone.items():
            worth[j] -= part
        left = worth.argsort(kind="stable").tolist()
        chosen = [left.pop(0)]
        scores = [
            score,
            float(fallen[chosen[0]]),
        ]  # as it is, with the first column normal, with the first two, ...
        while len(chosen) < top and left:
            looked = left[:_PAIRED]
            two = top - len(chosen) > 1 and len(looked) > 1
            extra = np.array([alone.get(j, 0.0) for j in looked], dtype=np.float32)
            for column, lower in self._next(row, normal, chosen, looked, extra, two=two):
                chosen.append(column)
                scores.append(lower)
                left.remove(column)
        return tuple(
            Reason(self._names[j], before - after, self._value(row, j), self._value(normal, j))
            for j, (before, after) in zip(chosen, pairwise(scores), strict=True)
        )

    def _first_look(
        self, row: Rows, normal: Rows, away: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float32], dict[int, float]]:
        """The score, (d,) the score with each column normal, and half of what a column alone adds to the normal row.

        The last is asked of the columns that are furthest away only: a normal value adds nothing.
        """
        width = len(self._names)
        odd = away.argsort(kind="stable")[-_ODD:].tolist()
        copies, first = [], 0
        for values, usual in zip(_parts(row), _parts(normal), strict=True):
            columns = values.shape[1]
            out = np.empty((width + len(odd) + 2, columns), dtype=values.dtype)
            if columns:
                out[: width + 1] = values
                out[width + 1 :] = usual
                # Row first + k, column k: the same place in the next row is columns + 1 further on.
                out.reshape(-1)[first * columns : (first + columns) * columns : columns + 1] = usual[0]
            copies.append(out)
            first += columns
        own = _parts(row)
        for at, j in enumerate(odd, start=width + 1):
            part, column = self._place[j]
            copies[part][at, column] = own[part][0, column]
        scores = self._score(Rows(*copies))
        added = (scores[width + 1 : -1] - scores[-1]) / 2
        return float(scores[width]), scores[:width], dict(zip(odd, added.tolist(), strict=True))

    def _next(
        self,
        row: Rows,
        normal: Rows,
        chosen: Sequence[int],
        looked: Sequence[int],
        extra: NDArray[np.float32],
        *,
        two: bool,
    ) -> list[tuple[int, float]]:
        """The next of the columns `looked`, or the next two, and the score with it and those before it normal.

        Both are found in one call, with each of the columns and with each pair of them.
        """
        sets, pair = _sets(len(looked), pairs=two)
        copies, usual = [part.repeat(len(sets), axis=0) for part in _parts(row)], _parts(normal)
        for j in chosen:
            part, column = self._place[j]
            copies[part][:, column] = usual[part][0, column]
        for at, members in enumerate(sets):
            for k in members:
                part, column = self._place[looked[k]]
                copies[part][at, column] = usual[part][0, column]
        scores = self._score(Rows(*copies))
        a = int((scores[: len(looked)] - extra).argmin())
        found = [(looked[a], float(scores[a]))]
        if two:
            after = scores[pair[a]] - extra
            after[a] = np.inf
            b = int(after.argmin())
            found.append((looked[b], float(scores[pair[a, b]])))
        return found

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

    def _nearest(self, row: Rows) -> tuple[Rows, NDArray[np.float64]]:
        """The normal row of the group that is most like this one, and (d,) how far each column is from it.

        In robust deviations. In the choice a column counts as `_FAR` at most, for it may be the odd one; times play no part.
        """
        normal = self._all
        with np.errstate(over="ignore", invalid="ignore"):
            away = np.abs(row.numbers - normal.numbers) * self._per_scale
        distance = np.fmin(away, _FAR).sum(axis=1)  # what one of the two lacks is far
        if self._has_gaps:
            distance -= _FAR * (np.isnan(row.numbers) & np.isnan(normal.numbers)).sum(axis=1)
        if row.texts.shape[1]:
            distance += _FAR * (row.texts != normal.texts).sum(axis=1)
        nearest = int(distance.argmin())
        far = away[nearest]  # a missing value is the furthest there is: NaN is sorted last
        if len(far) < len(self._names):
            others = [row.texts[0] != normal.texts[nearest], row.times[0] != normal.times[nearest]]
            far = np.concatenate([far, *(3 * _FAR * part for part in others)])
        return self._normal[nearest], far

    @cached_property
    def _all(self) -> Rows:
        return self._references.rows()

    @cached_property
    def _normal(self) -> list[Rows]:
        """One row a group."""
        return [self._all.take(slice(i, i + 1)) for i in range(len(self._all))]

    @cached_property
    def _has_gaps(self) -> bool:
        return bool(np.isnan(self._all.numbers).any())

    @cached_property
    def _per_scale(self) -> NDArray[np.float64]:
        scale: NDArray[np.float64] = np.maximum(np.array(self._references.scale), 1e-300)
        return 1 / scale


def _parts(rows: Rows) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return rows.numbers, rows.texts, rows.times


@lru_cache(maxsize=32)
def _sets(columns: int, *, pairs: bool) -> tuple[list[tuple[int, ...]], NDArray[np.intp]]:
    """Each column alone, then each pair; and (columns, columns) where a pair stands in that list."""
    found: list[tuple[int, ...]] = [(a,) for a in range(columns)]
    found += combinations(range(columns), 2) if pairs else ()
    place = np.zeros((columns, columns), dtype=np.intp)
    for at, members in enumerate(found):
        place[members[0], members[-1]] = place[members[-1], members[0]] = at
    return found, place
