"""One connection: deadlines, and bounds on what comes before a body.

uvicorn waits for ever for a request that has begun, for a reader that does not read, and for a client that says nothing.
ASGI begins after the head, so the deadlines stand here. There is no timer a request: `sweep` looks at all connections a few
times a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from stillwatch.serve.limits import Limits

GONE = "stillwatch.gone"
"""Where a request finds out whether its client has gone: a function in its scope."""

_IDLE, _READING, _ANSWERING = range(3)


class Connection(HttpToolsProtocol):
    """uvicorn's connection with deadlines.

    Parameters
    ----------
    limits
        see `Limits`; the other parameters are uvicorn's.
    """

    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._state = _IDLE
        self._since = self.loop.time()
        self._head = 0

    @property
    def waits(self) -> bool:
        """Whether the connection waits for its client, not for us."""
        return self._state != _ANSWERING

    @property
    def since(self) -> float:
        """When the wait of now began, on the loop's clock."""
        return self._since

    def connection_made(self, transport: Any) -> None:  # noqa: D102 - asyncio's
        self._joined = Joined(transport)
        super().connection_made(cast(asyncio.Transport, self._joined))
        if len(self.connections) > self._limits.connections:
            _make_room(self.connections)

    def data_received(self, data: bytes) -> None:  # noqa: D102 - asyncio's
        if self._state == _IDLE:
            self._enter(_READING)
            self._head = 0
        if self._head >= 0:
            self._head += len(data)
        super().data_received(data)
        if self._head > self._limits.head_bytes and not self.transport.is_closing():
            self._refuse(431, f"the head of the request is larger than {self._limits.head_bytes:,} bytes.")

    def on_message_begin(self) -> None:  # noqa: D102 - the parser's
        if len(self.pipeline) >= self._limits.pipelined:
            raise ValueError("too many requests were sent ahead")
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[GONE] = self._joined.is_closing

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102 - the parser's
        if self._head < 0:
            raise ValueError("headers came behind the body, where nothing bounds them")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:  # noqa: D102 - the parser's
        self._head = -1  # what follows is the body, which the application counts
        super().on_headers_complete()

    def on_message_complete(self) -> None:  # noqa: D102 - the parser's
        self._head = 0
        self._enter(_ANSWERING if not self.cycle.response_complete else _IDLE)
        super().on_message_complete()

    def on_response_complete(self) -> None:  # noqa: D102 - uvicorn's
        self._joined.flush()
        # A refusal may come before the body has: the rest of it is still on its way.
        self._enter(_ANSWERING if self.pipeline else _READING if self.cycle.more_body else _IDLE)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: D102 - uvicorn's
        self._refuse(400, "this is not HTTP/1.1, or more than is taken was sent at once.")

    def overdue(self, now: float) -> bool:
        """Whether the wait of now has lasted too long."""
        limits = self._limits
        waited = now - self._since
        if self._state == _READING:
            return waited > limits.read_seconds
        if self._state == _ANSWERING:
            return waited > limits.answer_seconds + limits.write_seconds
        unsent = self.transport.get_write_buffer_size()
        return waited > (limits.write_seconds if unsent else limits.idle_seconds)

    def end(self) -> None:
        """Close an overdue connection; say so where the client may still be listening."""
        closing = self.transport.is_closing()
        if self._state == _READING and not closing and (self.cycle is None or self._unanswered):
            self._refuse(408, f"the request took longer than {self._limits.read_seconds:g} s to arrive.")
        else:
            self.transport.abort()

    @property
    def _unanswered(self) -> bool:
        return self._head >= 0 or not self.cycle.response_started

    def _enter(self, state: int) -> None:
        self._state = state
        self._since = self.loop.time()

    def _refuse(self, status: int, message: str) -> None:
        content = msgspec.json.encode({"error": message})
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            % len(content)
            + content
        )
        self.transport.close()


class Joined:
    """A transport that keeps the head of an answer until its body comes: one packet instead of two.

    Parameters
    ----------
    transport
        what everything else is left to.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, or keep the head of an answer."""
        if not self._head and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
        else:
            self._transport.writelines([self._head, data])
            self._head = b""

    def flush(self) -> None:
        """Send what was kept."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """Send what was kept, and close."""
        self.flush()
        self._transport.close()


def sweep(connections: Iterable[Any], now: float) -> None:
    """End the connections whose wait has lasted too long."""
    for connection in list(connections):
        if connection.overdue(now):
            connection.end()


def _make_room(connections: Iterable[Any]) -> None:
    """Close the connection that has waited longest for its client, so that slow clients shut nobody out."""
    waiting = [connection for connection in connections if connection.waits]
    if waiting:
        min(waiting, key=lambda connection: connection.since).transport.abort()
