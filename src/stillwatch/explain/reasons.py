"""Why a row scores high: the columns whose normal value would lower its score the most.

The first reason is the column that lowers the score the most when it alone is set to what is normal for rows like this one. It
stays normal while the second is looked for among the others, and so on: a column that hides behind another is found, and the
effects add up to the fall of the score when all of them are normal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
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
_FAR = 3.0  # robust deviations


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
        normal = self._normal[self._nearest(row)]
        spent = np.zeros(len(self._names), dtype=np.float32)
        reasons = []
        now = row
        for _ in range(min(top, len(spent))):
            tried = _each_replaced(now, normal)
            scores = self._score(tried)
            j = int((scores[:-1] + spent).argmin())
            effect = float(scores[-1] - scores[j])
            reasons.append(Reason(self._names[j], effect, self._value(row, j), self._value(normal, j)))
            spent[j] = np.inf
            now = tried.take(slice(j, j + 1))
        return tuple(reasons)

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

    def _nearest(self, row: Rows) -> int:
        """The group whose normal row is most like this one. A column counts as `_FAR` at most: it may be the odd one."""
        normal = self._all
        with np.errstate(over="ignore", invalid="ignore"):
            away = np.abs(row.numbers - normal.numbers) * self._per_scale
        distance = np.fmin(away, _FAR).sum(axis=1)  # what one of the two lacks is far
        if self._gaps.any():
            distance -= _FAR * (np.isnan(row.numbers) & self._gaps).sum(axis=1)
        if row.texts.shape[1]:
            distance += _FAR * (row.texts != normal.texts).sum(axis=1)
        return int(distance.argmin())

    @cached_property
    def _all(self) -> Rows:
        return self._references.rows()

    @cached_property
    def _normal(self) -> list[Rows]:
        """One row a group."""
        return [self._all.take(slice(i, i + 1)) for i in range(len(self._all))]

    @cached_property
    def _gaps(self) -> NDArray[np.bool_]:
        return np.isnan(self._all.numbers)

    @cached_property
    def _per_scale(self) -> NDArray[np.float64]:
        scale: NDArray[np.float64] = np.maximum(np.array(self._references.scale), 1e-300)
        return 1 / scale


def _each_replaced(row: Rows, normal: Rows) -> Rows:
    """The row once a column, with that column replaced, and once as it is."""
    numbers, texts, times = (part.shape[1] for part in (row.numbers, row.texts, row.times))
    copies = numbers + texts + times + 1
    return Rows(
        _diagonal(row.numbers, normal.numbers, 0, copies),
        _diagonal(row.texts, normal.texts, numbers, copies),
        _diagonal(row.times, normal.times, numbers + texts, copies),
    )


def _diagonal(values: NDArray[Any], normal: NDArray[Any], first: int, copies: int) -> NDArray[Any]:
    width = values.shape[1]
    if not width:
        return np.empty((copies, 0), dtype=values.dtype)
    out = values.repeat(copies, axis=0)
    own = np.arange(width)
    out[first + own, own] = normal[0]
    return out
