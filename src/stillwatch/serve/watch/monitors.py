"""Drift and alert rate, watched beside scoring on a sample of its rows.

Every scoring call of n rows adds 1 + n / 128 rows to what may be looked at, so that their number alone bounds what watching
costs, whatever the load (benchmarks/watching.py). Where rows come faster than a thousand a second, calls are passed over by
chance, so that about so many are looked at. Which rows they are hangs on nothing but numbers, pace and chance: calls of one row
are all looked at until then, of larger ones a part. They wait until a thousand have come; then a thread counts them in the
cells of the model's sketches and lets the monitor of scores bet. What has drifted is worked out when somebody asks, and not too
often.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from random import random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client.registry import Collector

from stillwatch.drift.monitor import Direction
from stillwatch.drift.report import Drift, Found, compare
from stillwatch.drift.sketch import ColumnCounter
from stillwatch.scorer import Verdict
from stillwatch.serve.batch import Judged
from stillwatch.serve.metrics import MOST_COLUMNS, counter, gauges
from stillwatch.serve.models import Model, Models
from stillwatch.table.rows import Rows

LEVEL = 0.001  # chance that one comparison of an unchanged stream calls anything drifted
BLOCK = 4_096  # rows: the comparison is of the last one or two blocks
_LOOK = 1_024  # rows counted at once
_PIECE = 64  # rows taken from a call that has as many: picking costs time, too
_PACE = 1_000  # rows a second
_BACKLOG = 4  # looks that may wait; further rows are left out
_FRESH = 10.0  # seconds between two comparisons, or 50 times as long as one takes


_Taken = tuple[Rows, NDArray[np.float32], NDArray[np.bool_]]  # rows, scores, alarms


@dataclass(frozen=True)
class Watched:
    """What is known about the rows of one model.

    Attributes
    ----------
    rows
        looked at since the model was loaded.
    since
        when the first row of the comparison came, as seconds since 1970; None: there was none.
    drift
        the comparison; None: there was no row, or the model holds no sketches.
    evidence, direction, alarm_row
        see `drift.monitor.Monitor`; None where the model's calibration is approximate.
    """

    rows: int = 0
    since: float | None = None
    drift: Drift | None = None
    evidence: float | None = None
    direction: Direction | None = None
    alarm_row: int | None = None


class Sample:
    """A sample of the rows that a model scores, counted."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.watched = Watched()
        self._rng = np.random.default_rng()
        self._waiting: list[_Taken] = []
        self._held = 0
        self._looks: list[Future[None]] = []
        self._credit = _PIECE  # rows that may be looked at
        self._share = 1.0  # of calls that are not passed over
        self._began = time.monotonic()
        self._rows = 0
        # An approximate calibration has no sketch of its scores, and promises nothing.
        self._monitor = None if model.manifest.sketches.score is None else model.scorer.monitor()
        self._blocks = [self._block()]
        self._due = 0.0

    def add(self, rows: Rows, verdict: Verdict, threads: ThreadPoolExecutor) -> None:
        """Take some of the rows, or none; on the event loop."""
        if self._share < 1 and random() > self._share:
            return
        many = len(rows)
        self._credit = min(self._credit + 1 + many // 128, _LOOK)
        wanted = min(many, self._credit)
        if wanted < min(many, _PIECE) or not many:
            return
        self._credit -= wanted
        score, alert = verdict.score, verdict.alert
        if many > wanted:  # one of each of `wanted` pieces, at random
            index = ((np.arange(wanted) + self._rng.random(wanted)) * (many / wanted)).astype(np.intp)
            rows, score, alert = rows.take(index), score[index], alert[index]
        self._waiting.append((rows, score, alert))
        self._held += wanted
        if self._held >= _LOOK:
            taken = self._taken()
            self._looks = [look for look in self._looks if not look.done()]
            if len(self._looks) < _BACKLOG:
                self._looks.append(threads.submit(self._look, taken))

    def _taken(self) -> list[_Taken]:
        """What waits; and pass over as many calls as would have held these rows to the pace."""
        now = time.monotonic()
        share = min(1.0, self._share * (now - self._began) * _PACE / max(1, self._held))
        if self._held >= _LOOK or share > self._share:  # a few rows may come at once by chance
            self._share = share
        self._began = now
        waiting, self._waiting, self._held = self._waiting, [], 0
        return waiting

    async def refresh(self, threads: ThreadPoolExecutor) -> None:
        """Bring `watched` up to date, unless it was a moment ago."""
        if (now := time.monotonic()) < self._due and self.watched.rows:
            return
        self._due = now + _FRESH
        await asyncio.get_running_loop().run_in_executor(threads, self._compare, self._taken())
        self._due = max(self._due, now + 50 * (time.monotonic() - now))

    # In the one thread

    def _block(self) -> _Block:
        manifest = self.model.manifest
        return _Block(ColumnCounter(manifest.sketches.columns, manifest.schema, manifest.categories))

    def _look(self, taken: list[_Taken]) -> None:
        if not taken:
            return
        rows = Rows.concat(rows for rows, _, _ in taken)
        scores = np.concatenate([score for _, score, _ in taken])
        alarms = int(np.concatenate([alert for _, _, alert in taken]).sum())
        if len(self._blocks[-1].scores) >= BLOCK:
            self._blocks = [self._blocks[-1], self._block()]
        self._blocks[-1].add(rows, scores, alarms)
        self._rows += len(rows)
        if self._monitor is not None:
            self._monitor.add(scores)

    def _compare(self, taken: list[_Taken]) -> None:
        self._look(taken)
        monitor, manifest = self._monitor, self.model.manifest
        found = self._blocks[0].found(self._blocks[1:])
        known = bool(manifest.sketches.columns) and len(found.scores) > 0
        self.watched = Watched(
            rows=self._rows,
            since=self._blocks[0].since if self._rows else None,
            drift=compare(manifest.sketches, manifest.categories, found, rate=self.model.rate, level=LEVEL)
            if known
            else None,
            evidence=None if monitor is None else monitor.evidence,
            direction=None if monitor is None else monitor.direction,
            alarm_row=None if monitor is None else monitor.alarm_row,
        )


class _Block:
    """Counts of some thousand rows."""

    def __init__(self, columns: ColumnCounter) -> None:
        self._columns = columns
        self.since = 0.0
        self.scores: NDArray[np.float32] = np.empty(0, dtype=np.float32)
        self._alarms = 0

    def add(self, rows: Rows, scores: NDArray[np.float32], alarms: int) -> None:
        self.since = self.since or time.time()
        self._columns.add(rows)
        self.scores = np.concatenate([self.scores, scores])
        self._alarms += alarms

    def found(self, others: list[_Block]) -> Found:
        """These counts and others as one."""
        blocks = [self, *others]
        return Found(
            _Sum([block._columns for block in blocks]),
            np.concatenate([block.scores for block in blocks]),
            sum(block._alarms for block in blocks),
        )


class _Sum(ColumnCounter):
    """Several counters of the same columns as one."""

    def __init__(self, parts: list[ColumnCounter]) -> None:
        self.counts = [
            np.sum(counts, axis=0) for counts in zip(*(part.counts for part in parts), strict=True)
        ]
        self.missing = [sum(counts) for counts in zip(*(part.missing for part in parts), strict=True)]


class Monitors(Collector):
    """The samples of all models, and their metrics."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._samples: dict[str, Sample] = {}
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="watch")
        for model in models:
            self._sample(model)

    def judged(self, judged: Judged) -> None:
        """Take a sample of judged rows. A model that was just swapped out is not watched any more."""
        if self._models.get(judged.model.name) is judged.model:
            self._sample(judged.model).add(judged.rows, judged.verdict, self._threads)

    def of(self, model: Model) -> Watched:
        """What is known, as of the last `refresh`."""
        return self._sample(model).watched

    async def refresh(self) -> None:
        """Bring what is known up to date."""
        for model in self._models:
            await self._sample(model).refresh(self._threads)

    def close(self) -> None:
        """Wait for nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _sample(self, model: Model) -> Sample:
        found = self._samples.get(model.name)
        if found is None or found.model is not model:
            found = self._samples[model.name] = Sample(model)
        return found

    def collect(self) -> Iterator[Any]:
        """The families, as `prometheus_client` asks for them."""
        every = {model.name: self.of(model) for model in self._models}
        yield counter(
            "watched_rows",
            "Rows looked at for drift.",
            ("model",),
            {name: w.rows for name, w in every.items()},
        )
        compared = {name: watched.drift for name, watched in every.items() if watched.drift is not None}
        yield gauges(
            "drift_rows",
            "Rows in the comparison of now.",
            ("model",),
            {n: d.rows for n, d in compared.items()},
        )
        yield gauges(
            "alert_rate",
            "Share of alerts among the rows compared, at the model's own rate.",
            ("model",),
            {name: drift.alarms.found for name, drift in compared.items()},
        )
        yield gauges(
            "alert_rate_promised",
            "The model's own alert rate.",
            ("model",),
            {model.name: model.rate for model in self._models},
        )
        yield gauges(
            "drifted",
            "What has drifted: columns (their number), score and alert rate (0 or 1).",
            ("model", "what"),
            {
                (name, what): value
                for name, drift in compared.items()
                for what, value in (
                    ("columns", len(drift.drifted)),
                    ("score", int(drift.score is not None and drift.score.drifted)),
                    ("alert_rate", int(drift.alarms.drifted)),
                )
            },
        )
        yield gauges(
            "column_drift_psi",
            "Population stability index of the columns that have drifted.",
            ("model", "column"),
            {
                (name, change.column): change.psi
                for name, drift in compared.items()
                for change in [change for change in drift.columns if change.drifted][:MOST_COLUMNS]
            },
        )
        scores = {
            name: (watched.evidence, int(watched.alarm_row is not None))
            for name, watched in every.items()
            if watched.evidence is not None
        }
        yield gauges(
            "score_change_evidence",
            "Evidence that scores have changed, as a share of what raises the alarm.",
            ("model",),
            {name: evidence for name, (evidence, _) in scores.items()},
        )
        yield gauges(
            "score_change_alarm",
            "Whether the monitor of scores has raised its alarm: at most once in ten million unchanged rows, on average.",
            ("model",),
            {name: alarm for name, (_, alarm) in scores.items()},
        )
