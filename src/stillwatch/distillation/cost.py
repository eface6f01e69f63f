"""What a student costs in use, measured on the graph that ships."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns

import numpy as np

from stillwatch.artifact.audit import OUTPUT, audit
from stillwatch.artifact.parity import open_session
from stillwatch.table.pack import Layout, Rows
from stillwatch.table.schema import Schema

_ROUNDS = 15
_CALLS = 60
_ROWS = 16


def latencies(models: Mapping[str, bytes], rows: Rows, layout: Layout, schema: Schema) -> dict[str, float]:
    """Median microseconds of one row, raw values in, by onnxruntime on one core.

    The graphs take turns, so that all meet the same noise, and each counts by its middle round.
    """
    feeds = [
        layout.feed(rows.take(slice(i, i + 1)), schema.numbers, schema.texts)
        for i in range(min(len(rows), _ROWS))
    ]
    sessions = {}
    for name, model in models.items():
        audit(model)
        sessions[name] = open_session(model)
    rounds: dict[str, list[float]] = {name: [] for name in models}
    for number in range(_ROUNDS + 1):
        for name, session in sessions.items():
            taken = []
            for call in range(_CALLS):
                feed = feeds[call % len(feeds)]
                began = perf_counter_ns()
                session.run([OUTPUT], feed)
                taken.append(perf_counter_ns() - began)
            if number:  # the first round pays for memory and caches
                rounds[name].append(float(np.median(taken)))
    return {name: float(np.median(found)) / 1e3 for name, found in rounds.items()}
