"""What has drifted, how much, how surely, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.drift import difference
from stillwatch.drift.difference import Floats
from stillwatch.drift.sketch import (
    MOST_CATEGORIES,
    ColumnCounter,
    ColumnSketch,
    Kind,
    ScoreSketch,
    Sketches,
)
from stillwatch.errors import InputError

Advice = Literal["none", "watch", "recalibrate", "distill again"]

LEVEL = 0.01  # chance that anything at all is called drifted where nothing is
LARGE = 0.25  # PSI from which a change is large, by custom
_BARS = 10
_DAYS = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")


class Bar(msgspec.Struct, frozen=True):
    """One bar of a chart: its cells in words, and the shares of the rows with a value, before and now."""

    label: str
    before: float
    now: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How one column, or the score, compares with what the model was made of.

    Parameters
    ----------
    column
        Its name; "" for the score.
    kind
        "number", "category", "hour" or "weekday" of a timestamp, "score".
    psi
        Population stability index, over about ten cells of a number and all cells of a category: how large the change is.
    ks, above
        Largest gap between the two distributions; chance that a new value exceeds an earlier one. None for what has no order.
    missing, unseen
        Share of rows (before, now) without a value, and with one that is not known; `unseen` is None for what is no category.
    p_value
        Chance to see such a change in this column or any other where nothing has drifted; None: it cannot be told.
    drifted
        The p-value is at most the level.
    largest
        The bar that changed the most.
    bars
        For a chart.
    """

    column: str
    kind: Kind | Literal["score"]
    psi: float
    ks: float | None = None
    above: float | None = None
    missing: tuple[float, float] | None = None
    unseen: tuple[float, float] | None = None
    p_value: float | None
    drifted: bool
    largest: Bar
    bars: tuple[Bar, ...]

    @property
    def size(self) -> Literal["small", "moderate", "large"]:
        """The change in words, by the customary bounds of the PSI."""
        return "small" if self.psi < 0.1 else "moderate" if self.psi < LARGE else "large"


class Alarms(msgspec.Struct, frozen=True, kw_only=True):
    """Share of rows that raise an alarm: promised, found, and whether chance explains the difference (as for `Change`)."""

    promised: float
    found: float
    p_value: float | None
    drifted: bool


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """A table compared with what a model was made of.

    Parameters
    ----------
    rows
        Rows compared.
    level
        Chance that anything is called drifted where nothing is.
    columns
        Every column, the surest change first.
    score, alarms
        The score's distribution, and the alarms at the model's own rate, against the calibration rows.
    advice, why
        What to do, and a sentence on it.
    """

    rows: int
    level: float
    columns: tuple[Change, ...]
    score: Change | None
    alarms: Alarms
    advice: Advice
    why: str

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that have drifted, the surest first."""
        return tuple(dict.fromkeys(change.column for change in self.columns if change.drifted))

    @property
    def alarm(self) -> bool:
        """Whether anything has drifted: a column, the score or the share of alarms."""
        return bool(self.drifted) or self.alarms.drifted or (self.score is not None and self.score.drifted)


@dataclass(frozen=True)
class Found:
    """What was found in new rows: counts by column, (n,) scores, and how many of them raise an alarm."""

    columns: ColumnCounter
    scores: NDArray[np.float32]
    alarms: int


def compare(
    sketches: Sketches,
    categories: Mapping[str, Sequence[str]],
    found: Found,
    *,
    rate: float,
    level: float = LEVEL,
) -> Drift:
    """Judge counts of new rows; p-values are corrected for all that is looked at.

    Parameters
    ----------
    rate
        share of normal rows that were promised to raise an alarm.
    level
        see `Drift`.
    """
    if not 0 < level < 1:
        raise InputError(f"level={level}: expected a chance between 0 and 1, such as 0.01.")
    if not sketches.columns:
        raise InputError("This model holds no sketches of its columns. Distill it again with this version.")
    rows = len(found.scores)
    tests: list[list[float]] = []
    columns: list[Change] = []
    for sketch, counts, missing in zip(
        sketches.columns, found.columns.counts, found.columns.missing, strict=True
    ):
        change, p = _column(sketch, counts.astype(np.float64), missing, categories.get(sketch.column, ()))
        columns.append(change)
        tests.append(p)
    score = None
    alarms = Alarms(promised=rate, found=found.alarms / max(rows, 1), p_value=None, drifted=False)
    if sketches.score is not None:
        score, p = _score(sketches.score, sketches.score.count(found.scores).astype(np.float64))
        tests += [p, [_broken_promise(rate, sum(sketches.score.counts), found.alarms, rows)]]
    # A test that no outcome could fail (nothing missing before or now) is none, and is not corrected for: it is left out above.
    many = sum(map(len, tests))
    corrected = [min(1.0, many * min(p, default=1.0)) for p in tests]
    columns = [
        msgspec.structs.replace(change, p_value=p, drifted=p <= level)
        for change, p in zip(columns, corrected, strict=False)
    ]
    columns.sort(key=lambda change: (change.p_value or 0.0, -change.psi, change.column))
    if score is not None:
        score = msgspec.structs.replace(score, p_value=corrected[-2], drifted=corrected[-2] <= level)
        alarms = msgspec.structs.replace(alarms, p_value=corrected[-1], drifted=corrected[-1] <= level)
    advice, why = _advice(columns, score, alarms)
    return Drift(
        rows=rows,
        level=level,
        columns=tuple(columns),
        score=score,
        alarms=alarms,
        advice=advice,
        why=why,
    )


def _column(
    sketch: ColumnSketch, now: Floats, missing: int, known: Sequence[str]
) -> tuple[Change, list[float]]:
    """One column's figures, and its p-values yet to be corrected."""
    before = np.array(sketch.counts, dtype=np.float64)
    had, have = before.sum() + sketch.missing, now.sum() + missing
    tests = []
    if sketch.missing or missing:
        tests.append(difference.share_shift(sketch.missing, had, missing, have))
    shares = (sketch.missing / max(float(had), 1.0), missing / max(float(have), 1.0))
    if sketch.kind == "number":
        change, p = _ordered(before, now, sketch.edges)
        return msgspec.structs.replace(change, column=sketch.column, missing=shares), tests + p
    labels = _labels(sketch.kind, known, len(before))
    changed, p_value = difference.largest_cell(before, now)
    bars = _bars(before, now, [[i] for i in range(len(before))], labels)
    change = Change(
        column=sketch.column,
        kind=sketch.kind,
        psi=difference.population_stability(before, now),
        missing=shares,
        unseen=(bars[-1].before, bars[-1].now) if sketch.kind == "category" else None,
        p_value=None,
        drifted=False,
        largest=bars[changed],
        bars=tuple(sorted(bars, key=lambda bar: -max(bar.before, bar.now))[:_BARS])
        if sketch.kind == "category"
        else bars,
    )
    return change, [*tests, p_value] if (before + now > 0).sum() > 1 else tests


def _score(sketch: ScoreSketch, now: Floats) -> tuple[Change, list[float]]:
    """The score's figures against the calibration rows. The table that the model was made of has not drifted either."""
    calibrating = np.array(sketch.counts, dtype=np.float64)
    change, p = _ordered(calibrating, now, sketch.edges)
    if sketch.fitted:
        _, p_table = _ordered(calibrating + np.array(sketch.fitted), now, sketch.edges)
        p = [max(pair) for pair in zip(p, p_table, strict=False)]
    return msgspec.structs.replace(change, kind="score"), p


def _broken_promise(rate: float, calibrating: int, alarms: int, rows: int) -> float:
    """p-value of more alarms than promised; fewer keep the promise."""
    if alarms <= rate * rows:
        return 1.0
    return difference.share_shift(rate * calibrating, calibrating, alarms, rows)


def _ordered(before: Floats, now: Floats, edges: Sequence[float]) -> tuple[Change, list[float]]:
    gap, p_gap = difference.largest_gap(before, now)
    above, p_above = difference.chance_above(before, now)
    groups = _groups(before)
    together = [np.array([part[group].sum() for group in groups]) for part in (before, now)]
    bars = _bars(before, now, groups, _spans(edges, groups))
    change = Change(
        column="",
        kind="number",
        psi=difference.population_stability(*together),
        ks=gap,
        above=above,
        p_value=None,
        drifted=False,
        largest=max(bars, key=lambda bar: abs(bar.now - bar.before)),
        bars=bars,
    )
    return change, [p_gap, p_above] if (before + now > 0).sum() > 1 else []


def _groups(before: Floats) -> list[list[int]]:
    """Cells together, in order, until each group had about a tenth of the rows."""
    groups: list[list[int]] = [[]]
    share = 0.0
    for cell, count in enumerate(before):
        if share >= 1 / _BARS - 1e-9:
            groups.append([])
            share = 0.0
        groups[-1].append(cell)
        share += count / max(before.sum(), 1.0)
    return groups


def _bars(before: Floats, now: Floats, groups: list[list[int]], labels: Sequence[str]) -> tuple[Bar, ...]:
    had, have = max(before.sum(), 1.0), max(now.sum(), 1.0)
    return tuple(
        Bar(label, float(before[group].sum() / had), float(now[group].sum() / have))
        for group, label in zip(groups, labels, strict=True)
    )


def _spans(edges: Sequence[float], groups: list[list[int]]) -> list[str]:
    """Groups of cells in words, with as many digits as tell their edges apart."""
    ends = [edges[group[-1]] for group in groups if group[-1] < len(edges)]
    apart = len({f"{edge:.12g}" for edge in ends})  # an atom has an edge a hair below it
    digits = next((d for d in range(4, 12) if len({f"{edge:.{d}g}" for edge in ends}) == apart), 12)
    return [_span(edges, group, digits) for group in groups]


def _span(edges: Sequence[float], group: list[int], digits: int) -> str:
    low = f"{edges[group[0] - 1]:.{digits}g}" if group[0] else None
    high = f"{edges[group[-1]]:.{digits}g}" if group[-1] < len(edges) else None
    if high is None:
        return "all" if low is None else f"above {low}"
    return f"to {high}" if low in {None, high} else f"{low} to {high}"


def _labels(kind: Kind, known: Sequence[str], cells: int) -> tuple[str, ...]:
    if kind == "hour":
        return tuple(f"{hour:02d}:00" for hour in range(24))
    if kind == "weekday":
        return _DAYS
    rarer = ("(rarer)",) if len(known) > MOST_CATEGORIES else ()
    return (*known[:MOST_CATEGORIES], *rarer, "(unseen)")[:cells]


def _advice(columns: Sequence[Change], score: Change | None, alarms: Alarms) -> tuple[Advice, str]:
    drifted = [change for change in columns if change.drifted]
    large = [change for change in drifted if change.size == "large"]
    if large:
        return "distill again", (
            f"{len(large)} column{'s have' if large[1:] else ' has'} changed so much (PSI {LARGE} or more) that the rows are "
            "unlike those that the model learnt: distill again, from recent rows."
        )
    if alarms.drifted or (score is not None and score.drifted):
        return "recalibrate", (
            "The scores no longer spread as those of the calibration rows, so the promised rate does not hold: recalibrate with "
            "recent normal rows. If alarms are now worth more than before, look at them first."
        )
    if drifted:
        return (
            "watch",
            "Columns have changed a little; the scores still spread as promised. Nothing has to be done yet.",
        )
    return "none", "Every difference is one that chance explains."
