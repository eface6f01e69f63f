"""Ctrl-C while something must not be left half done."""

from __future__ import annotations

import signal
import threading

import pytest

from stillwatch.interrupts import interrupts_held


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    done: list[str] = []

    def write() -> None:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert done == ["the rest"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_does_not_wait() -> None:
    done: list[str] = []

    def write() -> None:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            done.append("the rest")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert done == []


def test_without_one_nothing_is_raised_and_failures_pass() -> None:
    with interrupts_held():
        pass
    with pytest.raises(ValueError, match="ours"), interrupts_held():
        raise ValueError("ours")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_program_is_called_when_the_block_ends_and_is_back() -> None:
    calls: list[str] = []
    before = signal.signal(signal.SIGINT, lambda *_: calls.append("called"))
    try:
        ours = signal.getsignal(signal.SIGINT)
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            assert calls == []
        assert calls == ["called"]
        assert signal.getsignal(signal.SIGINT) is ours
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_may_write_too() -> None:
    done: list[str] = []

    def write() -> None:
        with interrupts_held():
            done.append("written")

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert done == ["written"]
