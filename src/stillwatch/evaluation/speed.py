"""Speed: what one row costs, and how many rows a batch scores in a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from stillwatch.errors import InputError

SECONDS = 0.15
_FEWEST_CALLS = 3
_MOST_CALLS = 20_000  # enough for a p99; more would only heat the machine


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Times on the machine that wrote the report, this process alone; other machines differ."""

    one_p50_us: float | None = None
    one_p99_us: float | None = None
    one_calls: int = 0
    rows_per_second: float | None = None
    batch_rows: int = 0


def measure_speed(
    one: Callable[[int], Any] | None,
    batch: Callable[[], Any] | None,
    *,
    rows: int,
    seconds: float = SECONDS,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Speed:
    """Time single rows and whole batches.

    Parameters
    ----------
    one
        Scores row i, 0 <= i < rows. Rows rotate, so that one lucky row is not measured. None: not measured.
    batch
        Scores all rows at once. None: not measured.
    rows
        Number of rows, 1 or more.
    seconds
        Time to spend on each of the two. A call that takes longer still runs 3 times (a batch: once).
    clock
        Nanoseconds.
    """
    if rows < 1:
        raise InputError(f"speed needs 1 row or more, not {rows}.")
    limit = int(seconds * 1e9)
    figures: dict[str, Any] = {}
    if one is not None:
        times = _time_rows(one, rows, limit, clock)
        figures |= {
            "one_p50_us": float(np.quantile(times, 0.5)) / 1e3,
            "one_p99_us": float(np.quantile(times, 0.99)) / 1e3,
            "one_calls": len(times),
        }
    if batch is not None:
        median = max(float(np.median(_time_batches(batch, limit, clock))), 1.0)
        figures |= {"rows_per_second": rows * 1e9 / median, "batch_rows": rows}
    return Speed(**figures)


def _time_rows(one: Callable[[int], Any], rows: int, limit: int, clock: Callable[[], int]) -> list[int]:
    one(0)  # the first call pays for memory and caches
    times: list[int] = []
    stop = clock() + limit
    while len(times) < _MOST_CALLS:
        start = clock()
        if start >= stop and len(times) >= _FEWEST_CALLS:
            break
        one(len(times) % rows)
        times.append(clock() - start)
    return times


def _time_batches(batch: Callable[[], Any], limit: int, clock: Callable[[], int]) -> list[int]:
    start = clock()
    batch()
    first = clock() - start
    if first >= limit:  # too slow to be asked again only for a warm cache
        return [first]
    times: list[int] = []
    stop = clock() + limit - first
    while len(times) < _MOST_CALLS:
        start = clock()
        batch()
        times.append(clock() - start)
        if clock() >= stop:
            break
    return times
