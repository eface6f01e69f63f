"""Numbers and booleans: centre, fill, scale, saturate, squash.

For a value x of a column with median c, robust scale s and half-width b of its box (in units of s):

    u = (x - c) / (s b)               distance from the median, in half-boxes; a missing value counts as the median
    f = z / sqrt(1 + |z|),            z = b clip(u, -1, 1)

f grows like the square root of z: a heavy tail keeps its order without crushing the bulk. Beyond the box f stands still and the
guard takes over (see `students.protocol`):

    guard = log(max(1, sum |u|) / max(1, sum |clip(u, -1, 1)|))

It is zero inside the box. So every student keeps the order of a column as far as float32 reaches, and no student is asked for a
value unlike all that it was trained on.

A constant column becomes "differs from its training value", 0 or a fixed step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.graph import Graph

Float32 = NDArray[np.float32]

BOX = 16.0  # the box reaches this many times further than the furthest training value
DIFFERS = 3.0  # the step of a constant column that changes, in units of f
_SUM_CAP = 1e30
_FLOAT24 = 2.0**-24


@dataclass(frozen=True)
class Numbers:
    """Fitted constants of the number and boolean columns.

    They stand in the order of the layout: num, then num64, and in each of them the columns that vary before the constant ones.

    Attributes
    ----------
    wide
        number of columns, at the end, that travel as float64.
    center
        (k,) float64, medians.
    constant
        (k,) bool, columns with one value in all fit rows.
    scale, box
        (r,) float64 of the r columns that vary: robust scale in the column's units; half-width of the box in units of the scale.
    missing
        indices into the r columns that vary of those that had missing values: each gets an indicator. (A constant column
        that is missing differs.)
    """

    wide: int
    center: NDArray[np.float64]
    constant: NDArray[np.bool_]
    scale: NDArray[np.float64]
    box: NDArray[np.float64]
    missing: NDArray[np.int64]

    @property
    def varying(self) -> NDArray[np.int64]:
        """Indices of the columns that vary."""
        return np.flatnonzero(~self.constant)

    @property
    def constants(self) -> NDArray[np.int64]:
        """Indices of the constant columns."""
        return np.flatnonzero(self.constant)

    def absent(self, d: Float32) -> NDArray[np.bool_]:
        """(n, len(missing)) whether a value is missing, in the columns where that is known to happen."""
        return np.isnan(d[:, self.varying[self.missing]])

    def differences(self, x: NDArray[np.float64]) -> Float32:
        """(n, k) difference from the median in float32, NaN = missing: what the graph computes first."""
        narrow = len(self.center) - self.wide
        with np.errstate(over="ignore", invalid="ignore"):
            near = x[:, :narrow].astype(np.float32) - self.center[:narrow].astype(np.float32)
            far = (x[:, narrow:] - self.center[narrow:]).astype(np.float32)
        return np.concatenate([near, far], axis=1)

    def half_boxes(self, d: Float32) -> Float32:
        """(n, r) u of the varying columns, unclipped."""
        with np.errstate(over="ignore"):
            filled = np.where(np.isnan(d), np.float32(0), d)[:, self.varying]
            u: Float32 = filled * self._per_half_box
            return u

    def squash(self, u: Float32) -> Float32:
        """(n, r) f, for u in half-boxes."""
        clipped = np.clip(u, np.float32(-1), np.float32(1))
        slope, floor = self._slope_and_floor
        f: Float32 = clipped / np.sqrt(np.abs(clipped) * slope + floor)
        return f

    def unsquash(self, f: Float32) -> Float32:
        """(n, r) u for f; the inverse of `squash` inside the box."""
        magnitude = np.square(f, dtype=np.float64)
        z = np.sign(f) * (magnitude + np.sqrt(magnitude**2 + 4 * magnitude)) / 2
        u: Float32 = (z / self.box).astype(np.float32)
        return u

    def differs(self, d: Float32) -> Float32:
        """(n, constants) 0, or `DIFFERS` where a constant column holds another value or none."""
        return np.where(d[:, self.constants] != 0, np.float32(DIFFERS), np.float32(0))

    def guard(self, u: Float32) -> Float32:
        """(n,) zero inside the box, growing without bound outside."""
        with np.errstate(over="ignore"):
            total = np.abs(u).sum(axis=1, dtype=np.float32)
        inside = np.clip(u, np.float32(-1), np.float32(1))
        least = np.abs(inside).sum(axis=1, dtype=np.float32)
        guard: Float32 = np.log(
            np.clip(total, np.float32(1), np.float32(_SUM_CAP)) / np.maximum(least, np.float32(1))
        )
        return guard

    def write(self, graph: Graph, num: str | None, num64: str | None) -> Written:
        """Put the same steps into a graph."""
        narrow = len(self.center) - self.wide
        parts = []
        if num is not None:
            center = graph.constant(self.center[:narrow])
            parts.append((graph.add("Sub", num, center), self.constant[:narrow]))
        if num64 is not None:
            center = graph.constant(self.center[narrow:], np.float64)
            difference = graph.add("Sub", num64, center)
            parts.append((graph.add("Cast", difference, to=1), self.constant[narrow:]))
        halves = [_split(graph, d, constant) for d, constant in parts]
        varying = _concat(graph, [v for v, _ in halves if v is not None])
        constants = _concat(graph, [c for _, c in halves if c is not None])
        blocks: list[str] = []
        guard = absent = None
        if varying is not None:
            absent = graph.add("IsNaN", varying)
            filled = graph.add("Where", absent, graph.constant(0.0), varying)
            u = graph.add("Mul", filled, graph.constant(self._per_half_box))
            clipped = graph.add("Clip", u, graph.constant(-1.0), graph.constant(1.0))
            slope, floor = self._slope_and_floor
            steep = graph.add("Mul", graph.add("Abs", clipped), graph.constant(slope))
            root = graph.add("Sqrt", graph.add("Add", steep, graph.constant(floor)))
            blocks.append(graph.add("Div", clipped, root))
            total, least = (
                graph.add(
                    "Clip",
                    graph.add("ReduceL1", part, axes=[1], keepdims=1),
                    graph.constant(1.0),
                    graph.constant(_SUM_CAP),
                )
                for part in (u, clipped)
            )
            guard = graph.add("Log", graph.add("Div", total, least))
        if constants is not None:
            same = graph.add("Equal", constants, graph.constant(0.0))
            step = graph.add("Cast", graph.add("Not", same), to=1)
            blocks.append(graph.add("Mul", step, graph.constant(DIFFERS)))
        if absent is not None and len(self.missing):
            if len(self.missing) < len(self.scale):
                absent = graph.add("Gather", absent, graph.constant(self.missing, np.int64), axis=1)
            blocks.append(graph.add("Cast", absent, to=1))
        return Written(blocks, guard)

    @property
    def _per_half_box(self) -> Float32:
        return (1 / (self.scale * self.box)).astype(np.float32)

    @property
    def _slope_and_floor(self) -> tuple[Float32, Float32]:
        # f = u / sqrt(|u| / b + 1 / b^2) is z / sqrt(1 + |z|) with one operation less.
        return (1 / self.box).astype(np.float32), (1 / self.box**2).astype(np.float32)


@dataclass(frozen=True)
class Written:
    """Names of what `Numbers.write` put into a graph: feature blocks in order, and the guard ([n, 1]) if any."""

    blocks: list[str]
    guard: str | None


def _split(graph: Graph, d: str, constant: NDArray[np.bool_]) -> tuple[str | None, str | None]:
    """Parts of [n, k] that vary and that are constant; the latter stand last. A Gather of columns would be far slower."""
    fixed = int(constant.sum())
    if fixed == len(constant):
        return None, d
    if not fixed:
        return d, None
    sizes = graph.constant([len(constant) - fixed, fixed], np.int64)
    varying, constants = graph.add_many("Split", d, sizes, outputs=2, axis=1)
    return varying, constants


def _concat(graph: Graph, parts: list[str]) -> str | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return graph.add("Concat", *parts, axis=1)


def needs_float64(x: NDArray[np.float64], scale: float) -> bool:
    """Whether float32 would blur a column: its values lie far from zero for their spread, or it is one large number."""
    present = x[np.isfinite(x)]
    furthest = float(np.abs(present).max(initial=0.0))
    if scale == 0:
        return furthest > 2**24
    return furthest * _FLOAT24 > 1e-3 * scale


def robust_scale(x: NDArray[np.float64]) -> float:
    """Scale of one column in its own units; 0 for a constant one.

    The range from the 10th to the 90th percentile over 2.563 (the standard deviation, were the column normal); the
    interquartile range ranks anomalies worse on contaminated tables, the standard deviation on all. Where four fifths of the
    values are one and the same it is 0, and the typical distance of the others times the root of their share stands in: for
    a column of two values that is the standard deviation, and extremes among the others do not inflate it.
    """
    present = np.clip(x[~np.isnan(x)], -1e300, 1e300)
    if not len(present):
        return 0.0
    low, middle, high = np.quantile(present, [0.1, 0.5, 0.9])
    spread = float(high - low) / 2.563
    if spread > 0:
        return spread
    others = np.abs(present - middle)
    others = others[others > 0]
    return float(np.median(others) * np.sqrt(len(others) / len(present))) if len(others) else 0.0


def fit_numbers(x: NDArray[np.float64], scales: list[float], wide: int) -> Numbers:
    """Constants of (n, k) columns ordered as in the layout, given `robust_scale` of each."""
    center = np.array([_median(column) for column in x.T], dtype=np.float64)
    scale = np.array(scales, dtype=np.float64)
    constant = scale == 0
    deviations = np.abs(np.clip(x, -1e300, 1e300) - center)[:, ~constant] / scale[~constant]
    furthest = np.nanmax(deviations, axis=0, initial=1.0) if len(x) else np.ones(int((~constant).sum()))
    return Numbers(
        wide=wide,
        center=center,
        constant=constant,
        scale=scale[~constant],
        box=np.minimum(BOX * furthest, 1e15),
        missing=np.flatnonzero(np.isnan(x[:, ~constant]).any(axis=0)),
    )


def _median(column: NDArray[np.float64]) -> float:
    present = column[~np.isnan(column)]
    return float(np.clip(np.median(present), -1e300, 1e300)) if len(present) else 0.0
