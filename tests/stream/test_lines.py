from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.stream import Lines, lines
from stillwatch.table.disk import LONGEST_LINE


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):  # closed by the test
            os.close(end)


@settings(deadline=None, max_examples=50)
@given(data=st.binary(max_size=60).map(lambda data: data.replace(b"a", b"\n")), count=st.integers(1, 5))
def test_lines_are_those_of_the_bytes(data: bytes, count: int) -> None:
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    batches = list(Lines(reading, count=count).batches())
    os.close(reading)
    expected = data.split(b"\n")
    assert [line for batch in batches for line in batch] == (expected if expected[-1] else expected[:-1])
    assert all(0 < len(batch) <= count for batch in batches)


def test_a_full_batch_does_not_wait(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"a\nb\nc\n")
    batches = Lines(pipe[0], count=2, wait=60).batches()
    assert next(batches) == [b"a", b"b"]


def test_a_batch_waits_no_longer_than_it_should(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"a\nhalf")
    batches = Lines(pipe[0], count=100, wait=0.01).batches()
    assert next(batches) == [b"a"]
    os.write(pipe[1], b" a line\n")
    assert next(batches) == [b"half a line"]


def test_one_event_after_the_other_is_answered_without_the_end(pipe: tuple[int, int]) -> None:
    batches = Lines(pipe[0], wait=0).batches()
    for word in (b"a", b"b"):
        os.write(pipe[1], word + b"\n")
        assert next(batches) == [word]


def test_reading_stops_when_it_is_told_to(pipe: tuple[int, int]) -> None:
    """Whole lines that were read come; the beginning of a line does not."""
    stop, told = os.pipe()
    os.write(pipe[1], b"a\nb\nhal")
    batches = Lines(pipe[0], count=100, wait=60, stop=stop).batches()
    threading.Timer(0.05, os.write, (told, b".")).start()
    assert list(batches) == [[b"a", b"b"]]
    os.close(stop)
    os.close(told)


def test_a_line_of_100_mb_takes_no_memory_and_is_told(pipe: tuple[int, int]) -> None:
    def write() -> None:
        os.write(pipe[1], b"before\n")
        for _ in range(100):
            os.write(pipe[1], b"x" * (1 << 20))
        os.write(pipe[1], b"\nafter\n")
        os.close(pipe[1])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    reader = Lines(pipe[0], wait=0)
    found = []
    for batch in reader.batches():
        found += batch
        assert len(reader._rest) <= LONGEST_LINE + 1
    thread.join()
    assert [len(line) for line in found] == [6, LONGEST_LINE + 1, 5]


def test_long_lines_make_short_batches(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_MOST_BYTES", 1_000)
    os.write(pipe[1], b"x" * 600 + b"\n" + b"x" * 600 + b"\n")
    began = time.monotonic()
    assert len(next(Lines(pipe[0], count=100, wait=60).batches())) == 2
    assert time.monotonic() - began < 30
