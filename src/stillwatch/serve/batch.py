"""The one queue: requests that arrive together are scored together.

Nothing waits for company. What has arrived while the loop was busy is read and scored in one call of the model, for at most
`_SLICE` seconds, and then the loop sees to its sockets again: so a refusal is never far away, however long the queue is.
Requests that would take longer than that go to a thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from stillwatch.explain.reasons import Reason
from stillwatch.scorer import Verdict
from stillwatch.serve.limits import Limits, late, overloaded
from stillwatch.serve.models import Model
from stillwatch.serve.wire.asked import TOP, Answer, Asked, Reply
from stillwatch.table.rows import Rows

Read = Callable[[], Asked]

_SLICE = 0.002  # seconds that reading and scoring may keep the loop from its sockets
_SMALL_BYTES = 65_536
_SMALL_ROWS = 2_048
_THREADS = 2


class Part(NamedTuple):
    """One request among the rows that were judged together.

    Attributes
    ----------
    origin
        id of the request.
    start
        where its rows begin.
    """

    asked: Asked
    origin: str
    start: int


class Judged(NamedTuple):
    """Rows that one model judged in one call, at its own alert rate."""

    model: Model
    rows: Rows
    verdict: Verdict
    parts: Sequence[Part]


Watch = Callable[[Judged], None]


@dataclass(frozen=True, eq=False)
class _Job:
    model: Model
    read: Read
    origin: str
    until: float
    reply: asyncio.Future[Reply]


class Batcher:
    """Scores requests on the event loop, and large ones beside it.

    Parameters
    ----------
    watch
        told what was judged, on the event loop.
    """

    def __init__(self, limits: Limits, watch: Watch) -> None:
        self._limits = limits
        self._watch = watch
        self._waiting: deque[_Job] = deque()
        self._large = 0
        self._scheduled = False
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="large")

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return len(self._waiting) + self._large

    def check_room(self, size: int) -> None:
        """Raise RefusedError where one more request, with a body of `size` bytes, would be too many."""
        if size > _SMALL_BYTES and self._large >= self._limits.waiting_large:
            raise overloaded(f"{self._large:,} large requests wait")
        if len(self._waiting) >= self._limits.waiting:
            raise overloaded(f"{len(self._waiting):,} requests wait")

    async def reply(self, model: Model, read: Read, size: int, origin: str = "") -> Reply:
        """Read, score and answer one request.

        Parameters
        ----------
        read
            makes the body into rows.
        size
            of the body, in bytes.
        origin
            id of the request.

        Raises
        ------
        RefusedError
            there is too much to do, or the deadline has passed.
        StillwatchError
            what `read` found.
        """
        loop = asyncio.get_running_loop()
        job = _Job(model, read, origin, loop.time() + self._limits.answer_seconds, loop.create_future())
        self.check_room(size)
        if size > _SMALL_BYTES:
            return await self._beside(job)
        self._waiting.append(job)
        self._schedule(loop)
        return await job.reply

    def close(self) -> None:
        """Wait for no thread: the requests have been answered, or given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    # On the loop

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._work, loop)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read what waits for a slice of time, score it together, answer."""
        self._scheduled = False
        began = now = loop.time()
        ready: dict[Model, list[tuple[_Job, Asked]]] = {}
        rows = 0
        while self._waiting and now - began < _SLICE and rows < _SMALL_ROWS:
            job = self._waiting.popleft()
            asked = self._read(job, now)
            if asked is not None and (len(asked.rows) > _SMALL_ROWS or "reasons" in asked.outputs):
                self._hand_over(job, asked, loop)
            elif asked is not None:
                ready.setdefault(job.model, []).append((job, asked))
                rows += len(asked.rows)
            now = loop.time()
        for model, jobs in ready.items():
            self._score(model, jobs)
        if self._waiting:
            self._schedule(loop)

    def _read(self, job: _Job, now: float) -> Asked | None:
        if job.reply.done():
            return None
        try:
            if now > job.until:
                raise late()
            return job.read()
        except Exception as exc:  # the request's own; it is told, and nobody else
            job.reply.set_exception(exc)
            return None

    def _score(self, model: Model, jobs: list[tuple[_Job, Asked]]) -> None:
        try:
            rows = Rows.concat(asked.rows for _, asked in jobs)
            verdict = model.scorer.judge_packed(rows, model.rate)
            parts, start = [], 0
            for job, asked in jobs:
                stop = start + len(asked.rows)
                parts.append(Part(asked, job.origin, start))
                job.reply.set_result(asked.reply(_part(verdict, asked, slice(start, stop))))
                start = stop
            self._watch(Judged(model, rows, verdict, parts))
        except Exception as exc:
            for job, _ in jobs:
                if not job.reply.done():
                    job.reply.set_exception(exc)

    def _hand_over(self, job: _Job, asked: Asked, loop: asyncio.AbstractEventLoop) -> None:
        """Leave a request to a thread after all."""
        task = loop.create_task(self._beside(replace(job, read=lambda: asked)))
        task.add_done_callback(partial(_pass_on, job.reply))

    # Beside it

    async def _beside(self, job: _Job) -> Reply:
        """The same in a thread, for one request."""
        self.check_room(_SMALL_BYTES + 1)
        loop = asyncio.get_running_loop()
        self._large += 1
        given_up = threading.Event()
        work = loop.run_in_executor(self._threads, _answer, job, given_up)
        work.add_done_callback(self._left)
        try:
            reply, judged = await asyncio.wait_for(asyncio.shield(work), max(0.0, job.until - loop.time()))
        except TimeoutError:
            given_up.set()
            raise late() from None
        self._watch(judged)
        return reply

    def _left(self, work: asyncio.Future[tuple[Reply, Judged]]) -> None:
        self._large -= 1
        if not work.cancelled():
            work.exception()  # whoever waited has gone


def _answer(job: _Job, given_up: threading.Event) -> tuple[Reply, Judged]:
    """Read, score and answer one request; stop where nobody waits any more."""
    if given_up.is_set():
        raise late()
    asked = job.read()
    if given_up.is_set():
        raise late()
    verdict = job.model.scorer.judge_packed(asked.rows, job.model.rate)
    reasons = job.model.scorer.explain_packed(asked.rows, TOP) if "reasons" in asked.outputs else ()
    reply = asked.reply(_part(verdict, asked, slice(None), reasons))
    return reply, Judged(job.model, asked.rows, verdict, [Part(asked, job.origin, 0)])


def _part(verdict: Verdict, asked: Asked, rows: slice, reasons: Sequence[tuple[Reason, ...]] = ()) -> Answer:
    p_value = verdict.p_value[rows]
    return Answer(verdict.score[rows], p_value, p_value <= asked.rate, verdict.low_evidence[rows], reasons)


def _pass_on(reply: asyncio.Future[Reply], task: asyncio.Task[Reply]) -> None:
    """Hand a task's outcome to the request that waits for it."""
    if reply.done() or task.cancelled():
        reply.cancel()
    elif (exc := task.exception()) is not None:
        reply.set_exception(exc)
    else:
        reply.set_result(task.result())
