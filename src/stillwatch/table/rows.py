"""Packed rows, and where their columns stand in a graph's inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.table.timestamp import MISSING_TIME


@dataclass(frozen=True)
class Rows:
    """Rows of the feature columns, packed. Nobody writes to the arrays: they may be the caller's own.

    Attributes
    ----------
    numbers
        (n, k) float64 in the order of `Schema.numbers`; NaN = missing, ±inf possible.
    texts
        (n, m) object array of str in the order of `Schema.texts`; "" = missing.
    times
        (n, t) int64 in the order of `Schema.times`, microseconds UTC; `MISSING_TIME` = missing. None given: no such column.
    """

    numbers: NDArray[np.float64]
    texts: NDArray[np.object_]
    times: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))

    def __post_init__(self) -> None:
        if self.times.shape == (0, 0):
            object.__setattr__(self, "times", np.empty((len(self.numbers), 0), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, index: NDArray[np.integer[Any]] | NDArray[np.bool_] | slice) -> Rows:
        """Rows at `index`."""
        return Rows(self.numbers[index], self.texts[index], self.times[index])

    def copied(self) -> Rows:
        """The same rows, which keep no others alive."""
        return Rows(self.numbers.copy(), self.texts.copy(), self.times.copy())

    @staticmethod
    def concat(parts: Iterable[Rows]) -> Rows:
        """Rows of all parts (at least one), in order."""
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        return Rows(
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.texts for part in parts]),
            np.concatenate([part.times for part in parts]),
        )

    def nothing(self) -> NDArray[np.bool_]:
        """(n,) whether all values of a row are missing."""
        nothing = np.ones(len(self), dtype=np.bool_)
        # Most rows hold something in the first column already.
        for column in (*self.numbers.T, *self.texts.T, *self.times.T):
            if not nothing.any():
                break
            nothing &= _missing(column)
        return nothing


def _missing(column: NDArray[Any]) -> NDArray[np.bool_]:
    if column.dtype == np.float64:
        return np.asarray(np.isnan(column))
    return np.asarray(column == ("" if column.dtype == np.object_ else MISSING_TIME))


class Layout(msgspec.Struct, frozen=True):
    """Which column stands where in the inputs of a graph.

    Attributes
    ----------
    num
        columns of `num`, float32 [n, a].
    num64
        columns of `num64`, float64 [n, b]: values that need more than 24 bits.
    txt
        columns of `txt`, string [n, m].
    time
        columns of `time`, int64 [n, t]: microseconds UTC, all timestamp columns in the order of the schema.
    """

    num: tuple[str, ...]
    num64: tuple[str, ...]
    txt: tuple[str, ...]
    time: tuple[str, ...] = ()

    def feed(self, rows: Rows, numbers: tuple[str, ...], texts: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Fill the inputs of the graph; those without columns are left out.

        Parameters
        ----------
        numbers, texts
            names of the columns of `rows`: `Schema.numbers` and `Schema.texts`.
        """
        inputs: dict[str, NDArray[Any]] = {}
        if self.num:
            # Beyond float32 a value becomes ±inf, which the graph reads as the largest finite one.
            with np.errstate(over="ignore"):
                inputs["num"] = _columns(rows.numbers, self.num, numbers).astype(np.float32, order="C")
        if self.num64:
            inputs["num64"] = np.ascontiguousarray(_columns(rows.numbers, self.num64, numbers))
        if self.txt:
            inputs["txt"] = np.ascontiguousarray(_columns(rows.texts, self.txt, texts))
        if self.time:
            inputs["time"] = np.ascontiguousarray(rows.times)
        return inputs


def _columns(values: NDArray[Any], wanted: tuple[str, ...], names: tuple[str, ...]) -> NDArray[Any]:
    return values if wanted == names else values[:, _places(wanted, names)]


@lru_cache(maxsize=64)
def _places(wanted: tuple[str, ...], names: tuple[str, ...]) -> NDArray[np.intp]:
    place = {name: j for j, name in enumerate(names)}
    return np.array([place[name] for name in wanted], dtype=np.intp)
