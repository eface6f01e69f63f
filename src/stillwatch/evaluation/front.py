"""The capacity front: what every student that was tried costs, and how well it follows its teacher."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stillwatch.evaluation.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Note,
    Plot,
    Shape,
    Tick,
    dots_path,
    line_path,
    linear,
    logarithmic,
    round_steps,
)
from stillwatch.evaluation.numerals import decimal, duration, size
from stillwatch.evaluation.report import Candidate

MOST_FAMILIES = 5  # with a colour of their own


def cost_of(candidate: Candidate, *, by_time: bool) -> float | None:
    """Microseconds or bytes."""
    return candidate.latency_us if by_time else candidate.bytes


def front(candidates: Sequence[Candidate], *, by_time: bool) -> tuple[Candidate, ...]:
    """Those that no other one beats in both cost and fidelity, cheapest first.

    Examples
    --------
    >>> tried = [Candidate(family="a", size="1", fidelity=f, latency_us=t) for f, t in ((0.8, 1), (0.7, 2), (0.9, 3))]
    >>> [candidate.fidelity for candidate in front(tried, by_time=True)]
    [0.8, 0.9]
    """
    kept: list[Candidate] = []
    priced = [c for c in candidates if cost_of(c, by_time=by_time) is not None]
    for candidate in sorted(priced, key=lambda c: (cost_of(c, by_time=by_time) or 0, -c.fidelity)):
        if not kept or candidate.fidelity > kept[-1].fidelity:
            kept.append(candidate)
    return tuple(kept)


def front_plot(candidates: Sequence[Candidate]) -> Plot | None:
    """Fidelity against the time of one row, or against size where nothing was timed; None with fewer than two to show."""
    by_time = sum(c.latency_us is not None for c in candidates) >= 2
    shown = [(c, cost) for c in candidates if (cost := cost_of(c, by_time=by_time)) is not None and cost > 0]
    if len(shown) < 2:
        return None
    costs, heights = [cost for _, cost in shown], [c.fidelity for c, _ in shown]
    low, high = min(costs) / 1.3, max(costs) * 1.3
    floor = max(-1.0, math.floor((min(heights) - 0.005) * 50) / 50)
    x, y = logarithmic(low, high, LEFT, WIDTH - RIGHT), linear(floor, 1, HEIGHT - BOTTOM, TOP)
    best = front([c for c, _ in shown], by_time=by_time)
    shapes = [
        Shape(line_path([(cost_of(c, by_time=by_time) or low, c.fidelity) for c in best], x, y), "front")
    ]
    families = list(dict.fromkeys(c.family for c, _ in shown))
    legend = []
    for at, family in enumerate(families[:MOST_FAMILIES]):
        look = f"dots family{at}"
        points = [
            (cost, c.fidelity)
            for c, cost in shown
            if c.family == family or (at == MOST_FAMILIES - 1 and c.family in families[MOST_FAMILIES:])
        ]
        shapes.append(Shape(dots_path(points, x, y), look))
        legend.append(
            (look, family if at < MOST_FAMILIES - 1 or len(families) == MOST_FAMILIES else "others")
        )
    notes = []
    for c, cost in shown:
        if c.chosen:
            shapes.append(Shape(dots_path([(cost, c.fidelity)], x, y), "dots ring"))
            late = x(cost) > WIDTH * 0.6
            under = y(c.fidelity) + 24 < HEIGHT - BOTTOM
            notes.append(
                Note(
                    x(cost) + (-10 if late else 10),
                    y(c.fidelity) + (24 if under else -14),
                    f"kept: {c.size}",
                    "strong",
                    "end" if late else "start",
                )
            )
    write = duration if by_time else lambda value: size(round(value or 0))
    told = "; ".join(
        f"{c.family} {c.size}: {decimal(c.fidelity)} at {write(cost)}{', kept' if c.chosen else ''}"
        for c, cost in shown[:40]
    )
    return Plot(
        id="front",
        title="What more capacity would buy",
        text=f"Scatter plot of the students that were tried, rank agreement against cost. {told}.",
        x_label="Time for one row (logarithmic)" if by_time else "Size (logarithmic)",
        y_label="Rank agreement, held-out rows",
        x_ticks=tuple(Tick(x(value), write(value)) for value in _cost_ticks(low, high)),
        y_ticks=tuple(Tick(y(value), f"{value:.3g}") for value in round_steps(floor, 1, 4)),
        shapes=tuple(shapes),
        notes=tuple(notes),
        legend=(*legend, ("front", "Best at its cost")),
        caption="Upper left is better: close to the teacher, and cheap.",
    )


def _cost_ticks(low: float, high: float) -> tuple[float, ...]:
    """Round costs from low to high: powers of ten where there are many, else steps of 1, 2, 5."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high / low > 1_000 else (1, 3) if high / low > 30 else (1, 2, 5)
    ticks = tuple(f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high)
    return ticks or (math.sqrt(low * high),)
