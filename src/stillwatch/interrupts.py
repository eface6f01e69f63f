"""Ctrl-C while something short must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold back a Ctrl-C until the block ends; a second one goes through at once.

    An exception that an interrupt raises may come anywhere, in the midst of tidying up too, so that no `finally` is safe
    from it. Outside the main thread Python raises none, and nothing is held.
    """
    usual = signal.getsignal(signal.SIGINT)
    written_in_c = usual is None  # then it could not be put back
    if written_in_c or threading.current_thread() is not threading.main_thread():
        yield
        return
    held = False

    def hold(_number: int, _frame: FrameType | None) -> None:
        nonlocal held
        held = True
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if held:
            signal.raise_signal(signal.SIGINT)
