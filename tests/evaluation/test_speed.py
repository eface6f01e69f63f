import pytest

from stillwatch.errors import InputError
from stillwatch.evaluation import measure_speed


class Clock:
    """Time that passes only while somebody works."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def work(self, nanoseconds):
        self.now += nanoseconds


def test_figures_follow_the_clock():
    clock = Clock()
    speed = measure_speed(
        lambda i: clock.work(100_000 if i == 99 else 10_000),
        lambda: clock.work(2_000_000),
        rows=100,
        seconds=0.01,
        clock=clock,
    )
    assert speed.one_p50_us == pytest.approx(10)
    assert 10 <= speed.one_p99_us <= 100
    assert speed.rows_per_second == pytest.approx(50_000)
    assert speed.batch_rows == 100


def test_rows_rotate():
    clock, seen = Clock(), []

    def one(i):
        seen.append(i)
        clock.work(1_000_000)

    measure_speed(one, None, rows=3, seconds=0.005, clock=clock)
    assert seen == [0, 0, 1, 2, 0, 1]


def test_time_is_bounded_for_a_slow_teacher():
    clock, calls = Clock(), []

    def batch():
        calls.append(1)
        clock.work(5_000_000_000)

    speed = measure_speed(lambda _: clock.work(1_000_000_000), batch, rows=10, seconds=0.3, clock=clock)
    assert (speed.one_calls, len(calls)) == (3, 1)
    assert speed.rows_per_second == pytest.approx(2)


def test_what_was_not_asked_is_unknown():
    speed = measure_speed(None, None, rows=1)
    assert (speed.one_p50_us, speed.rows_per_second) == (None, None)


def test_real_clock_gives_positive_figures():
    speed = measure_speed(lambda i: i, lambda: sum(range(100)), rows=5, seconds=0.01)
    assert speed.one_p50_us >= 0
    assert speed.rows_per_second > 0


def test_no_rows_is_an_error():
    with pytest.raises(InputError, match="1 row or more"):
        measure_speed(None, None, rows=0)
