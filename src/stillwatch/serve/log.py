"""Log lines: JSON, one a line, without feature values; a stalled reader never stalls the service."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from datetime import UTC, datetime
from io import BytesIO, RawIOBase
from typing import Any

import msgspec

_HELD = 10_000  # lines; beyond, the oldest are dropped and counted
_PAUSE = 0.1  # seconds between writes


class Log:
    """Lines on their way to a stream, written by a thread of their own.

    Parameters
    ----------
    stream
        usually standard error.
    requests
        whether requests that went well have a line, too.
    """

    def __init__(self, stream: RawIOBase | BytesIO, *, requests: bool) -> None:
        self.requests = requests
        self._stream = stream
        self._lines: deque[tuple[float, str, dict[str, Any]]] = deque(maxlen=_HELD)
        self._taken = self._written = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def write(self, event: str, **fields: Any) -> None:
        """Take a line."""
        self._taken += 1
        self._lines.append((time.time(), event, fields))

    def close(self) -> None:
        """Write what is left, unless the stream is stalled."""
        self._closing.set()
        self._thread.join(timeout=1.0)

    def _write_all(self) -> None:
        while not self._closing.wait(_PAUSE):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        self._written += len(lines)
        if (dropped := self._taken - self._written - len(self._lines)) > 0:
            self._written += dropped
            lines.append((time.time(), "log lines dropped", {"count": dropped}))
        if lines:
            try:
                left = memoryview(b"".join(map(_line, lines)))
                while left:
                    left = left[self._stream.write(left) or 0 :]
            except (OSError, ValueError):  # nobody reads any more; that is no reason to stop scoring
                pass


class Bridge(logging.Handler):
    """What uvicorn and asyncio have to say, as lines of ours: where and what kind, never the text of an exception."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:  # noqa: D102 - logging's
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        self._log.write(
            "library",
            logger=record.name,
            level=record.levelname.lower(),
            said=str(record.msg)[:200],
            error=kind,
        )


def place_of(exc: BaseException) -> str:
    """Kind of an exception and where it was raised, without its text, which may hold values."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(exc).__name__
    return f"{type(exc).__name__} at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def _line(entry: tuple[float, str, dict[str, Any]]) -> bytes:
    moment, event, fields = entry
    stamp = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode({"time": stamp, "event": event, **fields}) + b"\n"
