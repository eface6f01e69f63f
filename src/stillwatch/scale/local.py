"""The engine of one machine: this process, or processes of its own, each of which works on one thread."""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from types import TracebackType
from typing import Any, Self

from stillwatch.errors import InputError, WorkerError
from stillwatch.scale.engine import ATTEMPTS, Context, Item, Result

_READY, _DONE, _RAISED = range(3)  # what a worker tells
_STILLBORN = (
    "processes end before they can work (exit code {code}). In a script, what uses them stands under "
    '`if __name__ == "__main__":`; or use one worker.'
)
_PROCESSES = get_context("spawn")  # a fork would copy threads and locks in whatever state they are


class Local:
    """Maps over processes; see `Engine`.

    Parameters
    ----------
    workers
        how many; None: as many as this process may use cores. With 1 the work is done in this process.

    Notes
    -----
    As always with processes that are spawned, a script that calls this stands under `if __name__ == "__main__":`.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self._staff: list[_Worker] = []
        self._made_by: tuple[Any, Any] | None = None
        self._open = False

    def __enter__(self) -> Self:
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        self._end()

    def map(
        self, start: Callable[[Context], Callable[[Item], Result]], context: Context, items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        """See `Engine.map`."""
        if self.workers == 1 or len(items) < 2:
            work = start(context) if items else None
            yield from ((place, work(item)) for place, item in enumerate(items) if work)
            return
        finished = False
        try:
            yield from self._mapped(start, context, items)
            finished = True
        finally:
            if not (finished and self._open):
                self._end()

    def _mapped(self, start: Any, context: Any, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        if self._made_by is None or self._made_by[0] is not start or self._made_by[1] is not context:
            self._end()
            self._made_by = start, context
        todo = deque(range(len(items)))
        deaths: Counter[int] = Counter()
        lost: dict[int, str] = {}
        unborn = 0  # workers in a row that died before they could work
        while todo or any(worker.busy for worker in self._staff):
            self._hand_out(todo, items)
            for worker in _with_news(self._staff):
                place = worker.place
                try:
                    news, result = worker.take()
                except (EOFError, OSError):
                    self._staff.remove(worker)
                    code = worker.end()
                    unborn += not worker.ready
                    if unborn == ATTEMPTS:
                        raise InputError(_STILLBORN.format(code=code)) from None
                    deaths[place] += 1
                    if deaths[place] < ATTEMPTS:
                        todo.appendleft(place)
                    else:
                        lost[place] = f"its worker died {ATTEMPTS} times, at last with exit code {code}"
                    continue
                if news == _RAISED:
                    raise result
                if news == _READY:
                    unborn = 0
                else:
                    yield place, result
        if lost:
            raise WorkerError(lost)

    def _hand_out(self, todo: deque[int], items: Sequence[Any]) -> None:
        """Give every worker something, and hire as many as there is work for."""
        idle = [worker for worker in self._staff if not worker.busy]
        while todo and (idle or len(self._staff) < self.workers):
            if not idle:
                self._staff.append(_Worker(*(self._made_by or ())))
                idle.append(self._staff[-1])
            idle.pop().give(todo.popleft(), items)

    def _end(self) -> None:
        for worker in self._staff:
            worker.end()
        self._staff, self._made_by = [], None


class _Worker:
    """One process, and what it is working on."""

    def __init__(self, start: Any, context: Any) -> None:
        self.ready = False
        self.pipe, theirs = _PROCESSES.Pipe()
        self.place = -1
        self._process = _PROCESSES.Process(target=_serve, args=(theirs, start, context), daemon=True)
        try:
            self._process.start()
        except (AttributeError, TypeError) as exc:  # what cannot be sent, such as a lambda
            raise InputError(
                f"this cannot be sent to another process ({exc}). Use one worker, the engine 'ray', or functions and "
                "classes of a module."
            ) from exc
        theirs.close()

    @property
    def busy(self) -> bool:
        """Whether it was given something and has not answered."""
        return self.place >= 0

    def give(self, place: int, items: Sequence[Any]) -> None:
        """Send a piece of work; a worker that has died shows when its answer is taken."""
        self.place = place
        with suppress(ConnectionError):
            self.pipe.send(items[place])

    def take(self) -> tuple[int, Any]:
        """That it is ready, its answer, or what it raised.

        Raises
        ------
        EOFError, OSError
            it has died.
        """
        news, answer = self.pipe.recv()
        if news == _READY:
            self.ready = True
        else:
            self.place = -1
        return news, answer

    def end(self) -> int | None:
        """End the process, whatever it does; its exit code."""
        self.pipe.close()
        self._process.kill()
        self._process.join()
        return self._process.exitcode


def _serve(pipe: Any, start: Any, context: Any) -> None:
    """Work on what comes, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the driver, which ends its workers
    Thread(target=_follow_driver, daemon=True).start()
    _use_one_thread()
    pipe.send((_READY, None))
    work = None
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            work = work or start(context)
            answer: tuple[int, Any] = _DONE, work(item)
        except Exception as exc:
            answer = _RAISED, exc
        try:
            pipe.send(answer)
        except (AttributeError, TypeError):  # an error that cannot be sent
            pipe.send((_RAISED, RuntimeError(repr(answer[1]))))


def _with_news(staff: list[_Worker]) -> list[_Worker]:
    """Wait until some have answered, or died."""
    news = connection.wait([worker.pipe for worker in staff if worker.busy])
    return [worker for worker in staff if worker.pipe in news]


def _follow_driver() -> None:
    driver = parent_process()
    if driver is not None:
        connection.wait([driver.sentinel])
    os._exit(1)


def _use_one_thread() -> None:
    import pyarrow as pa

    pa.set_cpu_count(1)
    with suppress(
        ImportError
    ):  # comes with scikit-learn; without it there is no teacher that could use threads
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)
