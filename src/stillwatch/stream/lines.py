"""Lines of an open file or pipe in micro-batches: by count, by time and by size, whichever comes first."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from time import monotonic

from stillwatch.table.disk import LONGEST_LINE

COUNT, WAIT = 1024, 0.05
_CHUNK = 1 << 18  # bytes read at once
_MOST_BYTES = 16 << 20  # of one batch


class Lines:
    """Lines as they come, without their ends.

    A line that is longer than 2 MB comes as its first 2 MB and one byte, and the rest of it is passed over.

    Parameters
    ----------
    descriptor
        what to read; it stays open.
    count
        most lines of a batch.
    wait
        seconds that the first line of a batch waits for others.
    stop
        a descriptor that can be read from once reading should end, such as the end of a pipe that a signal handler writes
        to. Whole lines that were read by then still come, the beginning of one does not.
    """

    def __init__(
        self, descriptor: int, *, count: int = COUNT, wait: float = WAIT, stop: int | None = None
    ) -> None:
        self._descriptor = descriptor
        self._count, self._wait = count, wait
        self._stops = [] if stop is None else [stop]
        self._rest = b""
        self._skipping = False

    def batches(self) -> Iterator[list[bytes]]:
        """Batches of at least one line, until the end of the file."""
        held: list[bytes] = []
        size, deadline = 0, 0.0
        while True:
            patience = max(0.0, deadline - monotonic()) if held else None
            ready = select.select([self._descriptor, *self._stops], [], [], patience)[0]
            if any(stop in ready for stop in self._stops):
                break
            if ready:
                chunk = os.read(self._descriptor, _CHUNK)
                if not chunk:
                    held += [self._rest] if self._rest else []
                    break
                lines = self._split(chunk)
                if lines and not held:
                    deadline = monotonic() + self._wait
                held += lines
                size += len(chunk)
            while len(held) >= self._count or (
                held and (size >= _MOST_BYTES or not ready or monotonic() >= deadline)
            ):
                yield held[: self._count]
                held = held[self._count :]
                size, deadline = 0, monotonic() + self._wait
        for start in range(0, len(held), self._count):
            yield held[start : start + self._count]

    def _split(self, chunk: bytes) -> list[bytes]:
        """Lines that are complete now; the last one, which is not, is kept, but not more of it than can be used."""
        if self._skipping:
            end = chunk.find(b"\n")
            if end < 0:
                return []
            chunk, self._skipping = chunk[end:], False
        lines = chunk.split(b"\n")
        lines[0] = self._rest + lines[0]
        self._rest = lines.pop()
        if len(self._rest) > LONGEST_LINE:
            self._rest, self._skipping = self._rest[: LONGEST_LINE + 1], True
        return lines
