"""What a student costs in use, measured on the graph that ships."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns, sleep

import numpy as np

from stillwatch.artifact.audit import OUTPUT, audit
from stillwatch.artifact.parity import open_session
from stillwatch.table.pack import Layout, Rows
from stillwatch.table.schema import Schema

_MOMENTS = 30
_PAUSE = 0.1  # seconds from one moment to the next
_SLOW = 0.9  # quantile of the moments
_CALLS = 60
_ROWS = 16


def latencies(
    models: Mapping[str, bytes], rows: Rows, layout: Layout, schema: Schema, *, moments: int = _MOMENTS
) -> dict[str, float]:
    """Microseconds of one row, raw values in, by onnxruntime on one core: the median call, in a slow moment of the machine.

    A core that is shared with others, as most are, may take twice as long for seconds on end, and a budget is to hold then, too.
    So the clock is read in `moments` a tenth of a second apart. The graphs take turns: all meet the same ones.
    """
    feeds = [
        layout.feed(rows.take(slice(i, i + 1)), schema.numbers, schema.texts)
        for i in range(min(len(rows), _ROWS))
    ]
    sessions = {}
    for name, model in models.items():
        audit(model)
        sessions[name] = open_session(model)
    found: dict[str, list[float]] = {name: [] for name in models}
    for moment in range(moments + 1):
        if moment > 1:
            sleep(_PAUSE)
        for name, session in sessions.items():
            taken = []
            for call in range(_CALLS):
                feed = feeds[call % len(feeds)]
                began = perf_counter_ns()
                session.run([OUTPUT], feed)
                taken.append(perf_counter_ns() - began)
            if moment:  # the first pays for memory and caches
                found[name].append(float(np.median(taken)))
    return {name: float(np.quantile(each, _SLOW)) / 1e3 for name, each in found.items()}
