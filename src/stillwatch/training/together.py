"""Several trainings side by side, each on a core of its own.

Training a small student keeps one core busy and no more, so a second one beside it costs next to no time. Each has its own random
numbers and its own thread, so the results are those of training one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from threading import Event
from typing import TypeVar

Result = TypeVar("Result")
Progress = Callable[[int, int, float], None]
_EVERY = 0.1  # seconds between two looks at how far they are


def together(jobs: Sequence[Callable[..., Result]], progress: Progress | None = None) -> list[Result]:
    """Run jobs side by side and return what each gave, in order.

    Parameters
    ----------
    jobs
        functions of `progress`, which they call with (step, steps, best) now and then.
    progress
        called in this thread with what the job that is furthest behind said last.

    Raises
    ------
    Exception
        what a job, or `progress`, raised first; the others then end at their next call of `progress`.
    """
    from stillwatch.training.loop import one_thread

    stop = Event()
    said: list[tuple[int, int, float]] = [(0, 1, 0.0) for _ in jobs]

    def run(number: int) -> Result:
        def tell(step: int, steps: int, best: float) -> None:
            said[number] = step, steps, best
            if stop.is_set():
                raise _StopError

        result = jobs[number](progress=tell)
        _, steps, best = said[number]
        said[number] = steps, steps, best  # one that stopped early is not behind
        return result

    # Jobs that took the threads one by one, and gave them back in another order, would leave one to later threads.
    with one_thread(), ThreadPoolExecutor(max(1, len(jobs))) as pool:
        try:
            running = [pool.submit(run, number) for number in range(len(jobs))]
            told = (0, 1, 0.0)
            while True:
                done, left = wait(running, timeout=_EVERY, return_when=FIRST_EXCEPTION)
                behind = min(said, key=lambda now: now[0] / now[1], default=told)
                if progress is not None and behind != told:
                    progress(*behind)
                    told = behind
                for job in done:
                    job.result()  # or what it raised
                if not left:
                    return [job.result() for job in running]
        finally:
            stop.set()


def in_turn(jobs: Sequence[Callable[..., Result]]) -> Callable[..., list[Result]]:
    """One job for `together` out of several that run one after another."""

    def run(progress: Progress) -> list[Result]:
        def tell(before: int, step: int, steps: int, best: float) -> None:
            progress(before * steps + step, len(jobs) * steps, best)

        return [job(progress=partial(tell, before)) for before, job in enumerate(jobs)]

    return run


class _StopError(Exception):
    """Another job failed, or the caller gave up."""
