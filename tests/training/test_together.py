"""Trainings side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

import pytest
import torch

from stillwatch.training.loop import one_thread
from stillwatch.training.together import Progress, in_turn, together

PATIENCE = 20  # seconds that nothing here comes near
STEPS = 10_000


def test_results_come_in_the_order_of_the_jobs_that_ran_side_by_side() -> None:
    met = [Event(), Event()]

    def job(number: int, *, progress: Progress) -> int:
        met[number].set()
        assert met[1 - number].wait(PATIENCE)  # the other must have begun, too
        return number

    assert together([partial(job, 0), partial(job, 1)]) == [0, 1]


def test_one_that_stops_early_is_not_behind() -> None:
    def early(*, progress: Progress) -> None:
        progress(1, 9, 0.5)

    def late(*, progress: Progress) -> None:
        progress(9, 9, 0.5)

    heard: list[tuple[int, int, float]] = []
    together([early, late], lambda *now: heard.append(now))
    assert heard[-1] == (9, 9, 0.5)


def test_jobs_that_end_in_another_order_leave_the_threads_as_they_were() -> None:
    started, second_began, ended = Event(), Event(), Event()

    def first(*, progress: Progress) -> None:
        with one_thread():
            started.set()
            assert second_began.wait(PATIENCE)
        ended.set()

    def second(*, progress: Progress) -> None:
        assert started.wait(PATIENCE)
        with one_thread():
            second_began.set()
            assert ended.wait(PATIENCE)

    with one_thread():  # hands back what was set before
        torch.set_num_threads(3)
        together([first, second])
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == 3


def test_no_jobs_give_no_results() -> None:
    assert together([]) == []


class Long:
    """A job of 10,000 steps that takes half a minute if nobody stops it."""

    step = 0

    def __call__(self, *, progress: Progress) -> None:
        rest = Event()
        for self.step in range(1, STEPS + 1):
            progress(self.step, STEPS, 0.0)
            rest.wait(0.003)


def failing(*, progress: Progress) -> None:
    raise ValueError("the loss is not finite")


@pytest.mark.parametrize("first", [True, False])
def test_a_job_that_fails_ends_the_others_and_its_error_is_raised(first: bool) -> None:
    other = Long()
    with pytest.raises(ValueError, match="not finite"):
        together([failing, other] if first else [other, failing])
    assert other.step < STEPS


def test_a_caller_who_gives_up_ends_them_all() -> None:
    def give_up(step: int, steps: int, best: float) -> None:
        raise KeyboardInterrupt

    jobs = [Long(), Long()]
    with pytest.raises(KeyboardInterrupt):
        together(jobs, give_up)
    assert max(job.step for job in jobs) < STEPS


def test_progress_is_of_the_job_that_is_furthest_behind() -> None:
    heard, enough = [], Event()

    def quick(*, progress: Progress) -> None:
        progress(9, 10, 0.9)
        assert enough.wait(PATIENCE)

    def slow(*, progress: Progress) -> None:
        progress(2, 10, 0.2)
        assert enough.wait(PATIENCE)

    def listen(step: int, steps: int, best: float) -> None:
        heard.append((step, steps, best))
        enough.set()

    together([quick, slow], listen)
    assert heard[0] == (2, 10, 0.2)


def test_the_end_is_told_however_quick_it_came() -> None:
    heard = []

    def quick(*, progress: Progress) -> None:
        progress(10, 10, 0.5)

    together([quick, quick], lambda *said: heard.append(said))
    assert heard == [(10, 10, 0.5)]


def test_jobs_in_turn_are_one_job_that_never_goes_back() -> None:
    def job(name: str, *, progress: Progress) -> str:
        for step in range(1, 4):
            progress(step, 3, 0.5)
        return name

    heard: list[tuple[int, int, float]] = []
    made = in_turn([partial(job, "a"), partial(job, "b")])
    assert made(progress=lambda *now: heard.append(now)) == ["a", "b"]
    assert heard == [(step, 6, 0.5) for step in range(1, 7)]
