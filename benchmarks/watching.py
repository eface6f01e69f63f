"""What drift and alert-rate monitors, and the live page, cost beside scoring.

Protocol: one process, one core, the processor time of all its threads. Calls of a model of 30 numbers with n rows each, alone and
with what watches them, in short turns: alone, watched, watched, alone. Then whole requests (read, scored, answered; no sockets)
the same way. A turn ends when the thread that counts has nothing left to do. The cost is the median over the pairs of turns of
what watching added, with the middle 95 % of medians of pairs drawn anew (bootstrap). What the set-up left behind is frozen, as
the service does it, so that no collection of garbage falls to either side by chance.
The comparison of the sketches is made when somebody asks, at most every ten seconds; its time stands apart.
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from load import inference, packed
from protocol import Log, arguments, table
from serving_peer import COLUMNS, training_rows

import stillwatch as sw
from stillwatch.serve.app import Service
from stillwatch.serve.batch import Judged, Part
from stillwatch.serve.limits import Limits
from stillwatch.serve.log import Log as ServiceLog
from stillwatch.serve.models import open_models
from stillwatch.serve.watch.feedback import FeedbackFolder
from stillwatch.serve.wire import open_inference
from stillwatch.serve.wire.asked import Asked, Head

NAMES = [f"x{i}" for i in range(COLUMNS)]
Run = Callable[[int], None]


def seconds(run: Run, times: int, service: Service) -> float:
    """Processor time of a call, threads included."""
    began = time.process_time_ns()
    for i in range(times):
        run(i)
    service.monitors._threads.submit(int).result()
    return (time.process_time_ns() - began) / times / 1e9


def cost(service: Service, alone: Run, watched: Run, times: int, pairs: int) -> dict[str, float]:
    """Median time of a call alone, and what the watched one takes more, as a share; see above."""
    alone(0), watched(0)
    gc.collect()
    gc.freeze()
    plain, more = [], []
    for turn in range(pairs):
        order = (alone, watched) if turn % 2 else (watched, alone)
        took = {run: seconds(run, times, service) for run in order}
        plain.append(took[alone])
        more.append(took[watched] - took[alone])
    gc.unfreeze()
    typical = np.median(plain)
    drawn = np.random.default_rng(0).choice(more, (2_000, pairs))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975]) / typical
    return {
        "alone_us": float(typical * 1e6),
        "adds_us": float(np.median(more) * 1e6),
        "costs": float(np.median(more) / typical),
        "low": float(low),
        "high": float(high),
    }


def look(service: Service, judged: Judged, *, live: bool) -> None:
    """What watching does with one answer."""
    service.monitors.judged(judged)
    if live:
        assert service.live is not None
        service.live.judged(judged)


def calls(service: Service, rows: int, times: int, pairs: int, *, live: bool) -> dict[str, float]:
    (model,) = service.models
    parts = [model.packer.array(np.resize(training_rows()[i:], (rows, COLUMNS))) for i in range(64)]
    asked = Asked(parts[0], 0, model.rate, ("score",), lambda _: None)  # type: ignore[arg-type, return-value]

    def call(i: int, *, watch: bool) -> None:
        one = parts[i % 64]
        judged = Judged(model, one, model.scorer.judge_packed(one, model.rate), [Part(asked, "r", 0)])
        if watch:
            look(service, judged, live=live)

    return cost(service, partial(call, watch=False), partial(call, watch=True), times, pairs)


def requests(service: Service, rows: int, times: int, pairs: int, *, live: bool) -> dict[str, float]:
    (model,) = service.models
    x = training_rows()
    if rows == 1:
        bodies = [(inference(NAMES, row.tolist()), Head()) for row in x[:64]]
    else:
        made = [packed(np.resize(x[i:], (rows, COLUMNS))) for i in range(16)]
        bodies = [(body, Head(binary_header=header.partition(": ")[2])) for body, header in made]

    def answer(i: int, *, watch: bool) -> None:
        body, head = bodies[i % len(bodies)]
        asked = open_inference.read(body, head, model, service.limits)
        verdict = model.scorer.judge_packed(asked.rows, model.rate)
        from stillwatch.serve.batch import _part  # what the batcher does

        asked.reply(_part(verdict, asked, slice(None)))
        judged = Judged(model, asked.rows, verdict, [Part(asked, "r", 0)])
        if watch:
            look(service, judged, live=live)

    return cost(service, partial(answer, watch=False), partial(answer, watch=True), times, pairs)


def comparison(service: Service) -> float:
    """Seconds of one comparison of some thousand rows."""
    (model,) = service.models
    sample = service.monitors._sample(model)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        sample._compare([])
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    log = Log("watching", ("what", "rows", "live"), quick=options.quick)
    pairs, scale = (4, 0.25) if options.quick else (30, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        sw.distill(pa.table(dict(zip(NAMES, training_rows().T))), teacher="knn", assume_normal=True).save(
            place / "model"
        )
        service = Service(
            open_models([place / "model"]),
            Limits(),
            ServiceLog(io.BytesIO(), requests=False),
            FeedbackFolder(place / "feedback"),
        )
        ways: tuple[tuple[str, Any], ...] = (("model call", calls), ("request", requests))
        for what, measure in ways:
            for rows, times in ((1, 1_024), (32, 512), (256, 256), (4_096, 32)):
                for live in (False, True):
                    if not log.done(what=what, rows=rows, live=live):
                        found = measure(service, rows, int(times * scale), pairs, live=live)
                        log.add(what=what, rows=rows, live=live, **found)
        took = comparison(service)
        asyncio.run(service.monitors.refresh())
        service.close()
    shown = [
        (f"{line['what']}, {line['rows']:,} rows{', live page' if line['live'] else ''}", line["alone_us"], line["adds_us"],
         line["costs"], line["low"], line["high"])
        for line in log.lines
    ]  # fmt: skip
    table(("what", "alone, µs", "adds, µs", "watching costs", "from", "to"), shown)
    dearest = {
        f"{what}, {'monitors and live page' if live else 'monitors'}": max(
            line["costs"] for line in log.lines if (line["what"], line["live"]) == (what, live)
        )
        for what in ("model call", "request")
        for live in (False, True)
    }
    summary = {
        "dearest": dearest,
        "comparison_ms": took * 1e3,
        "comparison_share_of_a_core": took / 10,
        "below_5_percent": dearest["request, monitors"] < 0.05,
    }
    print(summary)
    log.finish(summary)


if __name__ == "__main__":
    main()
