"""Where to ask the teacher: training rows and valid rows around, between and beyond them.

A student that has only seen training rows has never met an anomaly. A teacher can be asked about any row, so it is asked where
anomalies will be. Every kind of row changes a `Code` column by column, so that categories stay categories, discrete columns
keep to values that exist, and constants and missing values change as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillwatch.features.number import DIFFERS
from stillwatch.features.pipeline import Code, Features
from stillwatch.knowledge.knowledge import NEAR
from stillwatch.knowledge.nearest import nearest

Draw = Callable[["Parents", int, np.random.Generator], Code]
# Share of near rows where no column is continuous and where all are, and how the other kinds share the rest (decisions 9 and
# 16); the box takes part with the most where no column is continuous.
_LEAST_NEAR, _MOST_NEAR = 0.05, 0.6
_OTHERS = {"swap": 0.2, "jitter": 0.15, "between": 0.1, "stretch": 0.3, "extreme": 0.08, "flip": 0.07}
_LEAST_BOX, _MOST_BOX = 0.05, 0.15
_AROUND = ("swap", "jitter", "between", NEAR)  # how rows descend from rows that were made up themselves
_DISCRETE = 20  # a column with at most so many distinct values is resampled, never jittered
_NEIGHBOURS = 9
_FURTHEST = 2.5  # times as far from the middle as the near row that it was, at most
_AMONG = 2_048  # rows among which the nearest are looked for
_BLOCK = 1_024
_ROUNDING = 1e-6  # of f, that sums of a few rows of one value may bring


@dataclass(frozen=True)
class Parents:
    """Rows that synthetic rows descend from, with what the kinds need to know of them.

    Attributes
    ----------
    code
        the rows.
    f
        (n, r) squashed numbers of the rows.
    values
        distinct values of f, of the columns that have few.
    spread
        (r,) standard deviation of f.
    widths
        number of codes of each category column.
    features
        the fitted steps, to go from f back to u.
    """

    code: Code
    f: NDArray[np.float32]
    values: dict[int, NDArray[np.float32]]
    spread: NDArray[np.float32]
    widths: tuple[int, ...]
    features: Features

    def __len__(self) -> int:
        return len(self.code)

    @property
    def discrete(self) -> NDArray[np.bool_]:
        """(r,) bool: columns with few distinct values."""
        return np.isin(np.arange(self.f.shape[1]), list(self.values))

    @cached_property
    def nearest(self) -> NDArray[np.int64]:
        """(n, k) rows that lie nearest to each among some of them, its numbers in standard deviations."""
        f = self.f / np.maximum(self.spread, 1e-6)
        among = np.unique(np.linspace(0, len(f) - 1, _AMONG).round().astype(np.int64))
        k = min(_NEIGHBOURS, len(among))
        norm, turned = np.square(f[among]).sum(axis=1), f[among].T.copy()
        found = [nearest(norm - 2 * (f[at : at + _BLOCK] @ turned), k) for at in range(0, len(f), _BLOCK)]
        return among[np.concatenate(found)]

    def with_f(self, base: Code, f: NDArray[np.floating]) -> Code:
        """`base` with its numbers replaced: one that is the same but for rounding stays as it was, for a teacher may tell."""
        before = self.features.squash(base.u)
        same = np.abs(f - before) <= _ROUNDING * (1 + np.abs(before))
        u = np.where(same, base.u, self.features.unsquash(f.astype(np.float32)))
        return replace(base, u=u)


def parents_of(code: Code, features: Features) -> Parents:
    """Describe rows for the generators."""
    f = features.squash(code.u)
    distinct = [np.unique(column) for column in f.T]
    return Parents(
        code=code,
        f=f,
        values={j: found for j, found in enumerate(distinct) if len(found) <= _DISCRETE},
        spread=f.std(axis=0) if len(f) else np.zeros(f.shape[1], dtype=np.float32),
        widths=features.categories.widths if features.categories is not None else (),
        features=features,
    )


def swap(parents: Parents, n: int, rng: np.random.Generator) -> Code:
    """Rows of which a random share of the columns comes from another row."""
    a, b = _pick(parents, n, rng), _pick(parents, n, rng)
    share = rng.uniform(0.05, 0.6, size=(n, 1))
    return _blend(parents.code.take(a), parents.code.take(b), share, rng)


def jitter(parents: Parents, n: int, rng: np.random.Generator) -> Code:
    """Rows moved a little or a lot, in all or in some columns; discrete columns are redrawn now and then."""
    base = swap_discrete(parents, n, rng)
    f = parents.features.squash(base.u)
    scale = np.exp(rng.uniform(np.log(0.02), np.log(2.0), size=(n, 1)))
    moved = rng.random(f.shape) < np.where(rng.random((n, 1)) < 0.5, 1.0, rng.uniform(0.05, 0.5, (n, 1)))
    step = rng.normal(size=f.shape) * scale * parents.spread * (moved & ~parents.discrete)
    return parents.with_f(base, f + step)


def swap_discrete(parents: Parents, n: int, rng: np.random.Generator) -> Code:
    """Rows whose discrete columns, constants aside, are redrawn from other rows at a random, mostly small rate."""
    a, b = _pick(parents, n, rng), _pick(parents, n, rng)
    base, other = parents.code.take(a), parents.code.take(b)
    rate = rng.uniform(0, 0.3, size=(n, 1)) * (rng.random((n, 1)) < 0.7)
    numbers = (rng.random(base.u.shape) < rate) & parents.discrete
    texts = rng.random(base.category.shape) < rate
    return replace(
        base, u=np.where(numbers, other.u, base.u), category=np.where(texts, other.category, base.category)
    )


def between(parents: Parents, n: int, rng: np.random.Generator) -> Code:
    """Rows on the line through two rows, between and beyond them."""
    a, b = _pick(parents, n, rng), _pick(parents, n, rng)
    base = _blend(parents.code.take(a), parents.code.take(b), np.full((n, 1), 0.5), rng)
    reach = rng.uniform(-0.5, 2.5, size=(n, 1))
    f = parents.f[a] + reach * (parents.f[b] - parents.f[a])
    return parents.with_f(base, np.where(parents.discrete, parents.f[b], f))


def local(parents: Parents, n: int, rng: np.random.Generator) -> Code:
    """Rows spread around a row as the rows nearest to it are: where a row that nobody has seen would lie."""
    a = _pick(parents, n, rng)
    near = parents.nearest[a]
    weight = rng.normal(size=near.shape)
    weight -= weight.mean(axis=1, keepdims=True)  # a difference of near rows, not a place of its own
    weight *= np.exp(rng.uniform(np.log(0.3), np.log(1.5), size=(n, 1))) / np.sqrt(near.shape[1])
    f = parents.f[a]
    for column, w in zip(near.T, weight.astype(np.float32).T, strict=True):
        f = f + w[:, None] * parents.f[column]
    other = near[np.arange(n), rng.integers(0, near.shape[1], size=n)]
    base = _blend(parents.code.take(a), parents.code.take(other), np.full((n, 1), 0.3), rng)
    return parents.with_f(base, np.where(parents.discrete, parents.features.squash(base.u), f))


def stretch(parents: Parents, n: int, rng: np.random.Generator) -> Code:
    """Near rows moved straight away from the middle of the table: odd in the same columns, and more so."""
    base = local(parents, n, rng)
    f, middle = parents.features.squash(base.u), np.median(parents.f, axis=0)
    reach = np.exp(rng.uniform(0, np.log(_FURTHEST), size=(n, 1)))
    return parents.with_f(base, np.where(parents.discrete, f, middle + reach * (f - middle)))


def extreme(parents: Parents, n: int, rng: np.random.Generator) -> Code:
    """Rows with a few columns pushed out, up to the edge of their box."""
    base = parents.code.take(_pick(parents, n, rng))
    columns = base.u.shape[1]
    if not columns:
        return flip(parents, n, rng)
    chosen = _sparse((n, columns), rng)
    low = np.clip(np.abs(parents.code.u).max(axis=0, initial=0.0), 1e-6, 1) * 0.5
    reach = np.exp(rng.uniform(np.log(low), np.log(np.maximum(1.2, 2 * low)), size=base.u.shape))
    sign = rng.choice([-1.0, 1.0], size=base.u.shape)
    u = np.where(chosen, reach * sign, base.u).astype(np.float32)
    return replace(base, u=u)


def box(parents: Parents, n: int, rng: np.random.Generator) -> Code:
    """Rows of which a random share of the columns, few or all, takes any value in a box a little wider than the training rows.

    All values of a column are alike likely, so that rare ones meet as they never did.
    """
    base = parents.code.take(_pick(parents, n, rng))
    share = rng.uniform(0.05, 1, size=(n, 1))
    low, high = parents.f.min(axis=0), parents.f.max(axis=0)
    margin = 0.1 * (high - low)
    anywhere = rng.uniform(low - margin, high + margin, size=base.u.shape)
    for column, values in parents.values.items():
        anywhere[:, column] = rng.choice(values, n)
    f = np.where(rng.random(base.u.shape) < share, anywhere, parents.features.squash(base.u))
    category = np.where(
        rng.random(base.category.shape) < share, _any_category(parents, n, rng), base.category
    )
    time = np.where(rng.random(base.time.shape) < share, _any_time(parents, n, rng), base.time)
    return parents.with_f(replace(base, category=category, time=time), f)


def flip(parents: Parents, n: int, rng: np.random.Generator) -> Code:
    """Rows with a few categories, constants or missing values changed to anything they can be."""
    base = parents.code.take(_pick(parents, n, rng))
    m, c, a, t = (part.shape[1] for part in (base.category, base.differs, base.absent, base.time))
    if m + c + a + t == 0:
        return jitter(parents, n, rng)
    chosen = _sparse((n, m + c + a + t), rng)
    category = np.where(chosen[:, :m], _any_category(parents, n, rng), base.category)
    differs = np.where(chosen[:, m : m + c], np.float32(DIFFERS) - base.differs, base.differs)
    absent = base.absent ^ chosen[:, m + c : m + c + a]
    time = np.where(chosen[:, m + c + a :], _any_time(parents, n, rng), base.time)
    return blank(parents, Code(base.u, differs, absent, category, time))


def blank(parents: Parents, code: Code) -> Code:
    """Let a number that is missing stand at its median, as the features do."""
    numbers = parents.features.numbers
    if numbers is None or not code.absent.shape[1]:
        return code
    u = code.u.copy()
    u[:, numbers.missing] = np.where(code.absent, 0, u[:, numbers.missing])
    return replace(code, u=u)


KINDS: dict[str, Draw] = {
    "jitter": jitter,
    "swap": swap,
    "between": between,
    NEAR: local,
    "stretch": stretch,
    "extreme": extreme,
    "box": box,
    "flip": flip,
}


def continuous_pairs(parents: Parents) -> float:
    """Share of the pairs of columns of which both are continuous."""
    code = parents.code
    columns = sum(part.shape[1] for part in (code.u, code.differs, code.absent, code.category, code.time))
    return float((np.count_nonzero(~parents.discrete) / max(1, columns)) ** 2)


def mix(parents: Parents) -> dict[str, float]:
    """Share of each kind of row.

    Near rows keep how continuous columns vary together, so there are as many as pairs of columns are continuous. The rest is for
    kinds that change single values, and where columns have few values, for values that have never met.
    """
    pairs = continuous_pairs(parents)
    near = max(_LEAST_NEAR, _MOST_NEAR * pairs)
    others = _OTHERS | {"box": _MOST_BOX - (_MOST_BOX - _LEAST_BOX) * pairs}
    rest = (1 - near) / sum(others.values())
    return {NEAR: near, **{kind: share * rest for kind, share in others.items()}}


def draw(
    parents: Parents, n: int, rng: np.random.Generator, shares: dict[str, float]
) -> tuple[Code, NDArray[np.str_]]:
    """Draw n synthetic rows, each kind by its share; return them with the name of each row's kind."""
    edges = np.rint(n * np.cumsum([0, *shares.values()]) / sum(shares.values())).astype(np.int64)
    codes, names = [], []
    for kind, count in zip(shares, np.diff(edges).tolist(), strict=True):
        if count:
            codes.append(blank(parents, KINDS[kind](parents, count, rng)))
            names.append(np.full(count, kind))
    return concatenate(codes), np.concatenate(names)


def around(
    parents: Parents,
    code: Code,
    weight: NDArray[np.floating],
    n: int,
    rng: np.random.Generator,
    shares: dict[str, float],
) -> Code:
    """Draw n rows around rows of `code`, on the scales of `parents`: the more a row weighs, the more descend from it."""
    chosen = code.take(rng.choice(len(code), size=n, p=weight / weight.sum()))
    there = replace(parents, code=chosen, f=parents.features.squash(chosen.u))
    return draw(there, n, rng, {kind: shares[kind] for kind in _AROUND if kind in shares})[0]


def concatenate(codes: list[Code]) -> Code:
    """Stack rows."""
    return Code(
        np.concatenate([c.u for c in codes]),
        np.concatenate([c.differs for c in codes]),
        np.concatenate([c.absent for c in codes]),
        np.concatenate([c.category for c in codes]),
        np.concatenate([c.time for c in codes]),
    )


def _pick(parents: Parents, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.integers(0, len(parents), size=n)


def _sparse(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """One column a row, and further ones with a falling chance."""
    n, columns = shape
    chosen = rng.random(shape) < rng.exponential(0.7, size=(n, 1)) / columns
    chosen[np.arange(n), rng.integers(0, columns, size=n)] = True
    return chosen


def _any_category(parents: Parents, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    widths = np.array(parents.widths, dtype=np.float64)
    return (rng.random((n, len(widths))) * widths).astype(np.int64)


def _any_time(parents: Parents, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    stamps = parents.features.timestamps
    return np.empty((n, 0), dtype=np.int64) if stamps is None else stamps.anywhen(n, rng)


def _blend(a: Code, b: Code, share: NDArray[np.float64], rng: np.random.Generator) -> Code:
    def mix(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        return np.where(rng.random(x.shape) < share, y, x)

    return Code(
        mix(a.u, b.u),
        mix(a.differs, b.differs),
        mix(a.absent, b.absent),
        mix(a.category, b.category),
        mix(a.time, b.time),
    )
